#!/usr/bin/env bash
# The program and its plugin against a real Keystone and a real Trove; see tests/trove/README.md.
set -euo pipefail
"$(dirname "$0")/setup-trove.sh"
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"

cargo build --locked -p coffer-cli -p coffer-plugin-trove
python3 tests/trove/drive.py "$target/debug/coffer" "$target/debug/coffer-plugin-trove" "$target/tools/trove"
