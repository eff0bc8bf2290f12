#!/usr/bin/env bash
# A short bench for CI: 64 MiB, one round, only coffer. Fails if coffer fails, a restored image differs, or memory
# passes its cap; speed at this size says nothing. COFFER names a program that is built already.
set -euo pipefail
"$(dirname "$0")/../scripts/setup.sh"
# shellcheck source=../scripts/env.sh
. "$(dirname "$0")/../scripts/env.sh"

if [ -z "${COFFER:-}" ]; then
  cargo build --release --locked -p coffer-cli --bin coffer
  COFFER=$target/release/coffer
fi
PYTHONDONTWRITEBYTECODE=1 exec python3 benches/bench.py --coffer "$COFFER" \
  --size 64MiB --rounds 1 --peers '' --out "$target/bench-smoke" "$@"
