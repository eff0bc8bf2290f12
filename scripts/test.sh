#!/usr/bin/env bash
# Runs every test: the workspace (with real S3 servers), the bench kit's own tests, the reader in Python over all golden repositories, and a
# short fuzz run where there is one.
set -euo pipefail
"$(dirname "$0")/setup-servers.sh"
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"

cargo test --workspace --locked
# The other LZ4 library (docs/rfcs/0005-lz4-libraries.md). The whole workspace is named so that only what depends on the feature is built anew.
cargo test --workspace --locked --features coffer-format/lz4-flex --test it --test fuzz_smoke
export PYTHONDONTWRITEBYTECODE=1
python3 -m unittest discover -s benches
python3 -m unittest discover -s scripts
scripts/reader.sh
if [ -x scripts/fuzz-smoke.sh ]; then
  scripts/fuzz-smoke.sh
fi
