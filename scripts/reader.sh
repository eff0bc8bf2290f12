#!/usr/bin/env bash
# The reader of tests/reader, with the Python packages that it needs in target/reader. Without arguments it runs its tests: it reads every golden
# repository and refuses damaged copies. With arguments (points, restore) it reads a repository; see tests/reader/README.md.
set -euo pipefail
callers=$PWD
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"

venv=$target/reader
if ! cmp -s tests/reader/requirements.txt "$venv/installed.txt"; then
  command -v python3 >/dev/null || install_packages python3
  python3 -c 'import ensurepip, venv' 2>/dev/null || install_packages python3-venv
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --disable-pip-version-check --quiet --requirement tests/reader/requirements.txt >&2
  cp tests/reader/requirements.txt "$venv/installed.txt"
fi

export PYTHONDONTWRITEBYTECODE=1
if [ $# -eq 0 ]; then
  exec "$venv/bin/python" -m unittest discover -s tests/reader -t tests/reader
fi
cd "$callers"
exec "$venv/bin/python" "$root/tests/reader/repository.py" "$@"
