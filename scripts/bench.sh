#!/usr/bin/env bash
# Builds coffer and compares it with its peers: BENCH_SIZE (2GiB) of image, BENCH_ROUNDS (3) rounds.
# Results: target/bench/results.md and results.json. Further arguments go to benches/bench.py.
set -euo pipefail
"$(dirname "$0")/setup-bench.sh"
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"

cargo build --profile dist --locked -p coffer-cli --bin coffer
PYTHONDONTWRITEBYTECODE=1 exec python3 benches/bench.py --coffer "$target/dist/coffer" \
  --size "${BENCH_SIZE:-2GiB}" --rounds "${BENCH_ROUNDS:-3}" --out "$target/bench" "$@"
