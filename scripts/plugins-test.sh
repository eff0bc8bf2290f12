#!/usr/bin/env bash
# The program with the example plugin, and with the plugin for PostgreSQL on a real server; see tests/plugins/README.md.
set -euo pipefail
"$(dirname "$0")/setup.sh"
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"

ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || install_packages postgresql
cargo build --locked -p coffer-cli -p coffer-plugin-postgres -p coffer-plugin-sdk --bins --examples
python3 tests/plugins/drive.py "$target/debug"
