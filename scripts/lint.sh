#!/usr/bin/env bash
# Checks formatting, clippy and documentation without changing anything; the scripts too, where shellcheck is installed.
set -euo pipefail
"$(dirname "$0")/setup.sh" --lint
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"

cargo fmt --all --check
cargo clippy --workspace --all-targets --locked -- -D warnings
RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked
# Files that import each other round a circle, and crates that know others than ARCHITECTURE.md draws.
scripts/import_circles.py
(cd scripts && python3 -m unittest -q test_architecture)
if command -v shellcheck >/dev/null; then
  shellcheck -x -P SCRIPTDIR scripts/*.sh benches/*.sh tests/cluster/*.sh .ci/run
else
  echo 'shellcheck is not installed: scripts were not checked'
fi
