#!/usr/bin/env bash
# A short run of every fuzz target: its body on seeded mutations, with the stable compiler; and under libFuzzer, FUZZ_SECONDS (10)
# each, where cargo-fuzz and a nightly compiler are installed. FUZZ_RUNS (20000) and FUZZ_SEED choose the first part.
set -euo pipefail
"$(dirname "$0")/setup.sh"
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"

export COFFER_FUZZ_RUNS=${FUZZ_RUNS:-20000}
export COFFER_FUZZ_SEED=${FUZZ_SEED:-$(od -An -N6 -tu8 /dev/urandom | tr -d ' ')}
echo "FUZZ_SEED=$COFFER_FUZZ_SEED FUZZ_RUNS=$COFFER_FUZZ_RUNS scripts/fuzz-smoke.sh"
# The whole workspace is named so that nothing is built anew after `make test`.
cargo test --workspace --locked --test fuzz_smoke

if ! cargo fuzz --version >/dev/null 2>&1 || ! cargo +nightly --version >/dev/null 2>&1; then
  echo 'cargo-fuzz or a nightly compiler is not installed: libFuzzer was not run'
  exit 0
fi
for file in fuzz/fuzz_targets/*.rs; do
  name=$(basename "$file" .rs)
  echo "libFuzzer: $name"
  cargo +nightly fuzz run "$name" -- -max_total_time="${FUZZ_SECONDS:-10}" -seed="$((COFFER_FUZZ_SEED % 2147483647 + 1))"
done
