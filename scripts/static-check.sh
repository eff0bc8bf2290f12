#!/usr/bin/env bash
# static-check.sh PROGRAM: makes sure that a program runs where nothing else is. It asks for no loader, and as root it is started in an empty root
# directory and resolves a name there. (The image has no shell and no library: what starts here starts there.)
set -euo pipefail
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"
program=$1

[ -f "$program" ] || die "there is no program $program"
if readelf --program-headers --wide "$program" | grep -q INTERP; then
  die "$program wants a loader and libraries, which the image does not have: build it with scripts/image.sh, or with -C target-feature=+crt-static and a named --target"
fi
[ "$(id -u)" -eq 0 ] || exit 0
empty=$(mktemp -d "${TMPDIR:-/tmp}/coffer-empty.XXXXXX")
trap 'rm -rf "$empty"' EXIT
cp "$program" "$empty/program"
chroot "$empty" /program --version
