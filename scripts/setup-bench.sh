#!/usr/bin/env bash
# Installs what `make bench` compares with: fio, lz4, restic, borg and rclone from Debian, rustic from crates.io and
# kopia from Go modules into target/tools (about 14 and 4 CPU-minutes, once). Prints nothing when everything is there.
set -euo pipefail
"$(dirname "$0")/setup.sh"
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"
# shellcheck source=go.sh
. scripts/go.sh

packages=
for pair in fio:fio lz4:lz4 restic:restic borg:borgbackup rclone:rclone; do
  command -v "${pair%%:*}" >/dev/null || packages="$packages ${pair##*:}"
done
# shellcheck disable=SC2086 # a list of names
[ -z "$packages" ] || install_packages $packages

if ! command -v rustic >/dev/null; then
  echo 'building rustic (about 14 CPU-minutes, once)' >&2
  # The comparison stands without it: a build that fails leaves it out with a word.
  CARGO_TARGET_DIR=$target/tools-build cargo install rustic-rs --locked --no-default-features --root "$root/target/tools" >&2 ||
    echo 'rustic could not be built; it will be left out' >&2
  rm -rf "$target/tools-build"
fi

if ! command -v kopia >/dev/null; then
  echo 'building kopia (about 4 CPU-minutes, once)' >&2
  go=$(find_go)
  (cd benches/kopia && CGO_ENABLED=0 "$go" build -o "$root/target/tools/bin/kopia" github.com/kopia/kopia >&2) ||
    echo 'kopia could not be built; it will be left out' >&2
fi
