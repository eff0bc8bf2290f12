#!/usr/bin/env bash
# Builds coffer and measures what it keeps beside the data (64 GiB, 24 points) and what a volume of 64 TiB costs by
# its size alone. Needs about 13 GiB of disk and, without --huge-dir, 2 GiB of memory for tmpfs.
# Results: target/bench/metadata.md and metadata.json. Arguments go to benches/metadata.py.
set -euo pipefail
"$(dirname "$0")/../scripts/setup.sh"
# shellcheck source=../scripts/env.sh
. "$(dirname "$0")/../scripts/env.sh"

cargo build --profile dist --locked -p coffer-cli --bin coffer
PYTHONDONTWRITEBYTECODE=1 exec python3 benches/metadata.py --coffer "$target/dist/coffer" --out "$target/bench" "$@"
