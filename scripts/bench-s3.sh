#!/usr/bin/env bash
# As bench.sh, with repositories in S3 over TLS: coffer and restic; rustic and borg beside them on the local disk.
# Results: target/bench-s3/results.md and results.json. Further arguments go to benches/bench.py.
set -euo pipefail
"$(dirname "$0")/setup-bench.sh"
"$(dirname "$0")/setup-servers.sh"
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"

cargo build --profile dist --locked -p coffer-cli --bin coffer
PYTHONDONTWRITEBYTECODE=1 exec python3 benches/bench.py --coffer "$target/dist/coffer" --store s3 \
  --size "${BENCH_SIZE:-2GiB}" --rounds "${BENCH_ROUNDS:-3}" --out "$target/bench-s3" "$@"
