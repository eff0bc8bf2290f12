#!/usr/bin/env bash
# Checks formatting, clippy and documentation without changing anything; the scripts too, where shellcheck is installed.
set -euo pipefail
"$(dirname "$0")/setup.sh" --lint
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"

cargo fmt --all --check
cargo clippy --workspace --all-targets --locked -- -D warnings
RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked
# Files that import each other round a circle. Of sim one group is left; every other crate is held to none.
scripts/import_circles.py agent api blockio cli controller coordinator engine format plugin-sdk proto snapshot store terminal tests volume
if command -v shellcheck >/dev/null; then
  shellcheck -x -P SCRIPTDIR scripts/*.sh benches/*.sh tests/cluster/*.sh .ci/run
else
  echo 'shellcheck is not installed: scripts were not checked'
fi
