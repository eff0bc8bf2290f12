#!/usr/bin/env bash
# Fetches Debian's packages of Keystone and Trove with all that they need into target/tools/trove, unpacked; nothing is installed. About 40 MB.
set -euo pipefail
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"

packages=$target/tools/trove
[ -x "$packages/usr/bin/keystone-manage" ] && exit 0
command -v apt-get >/dev/null || die 'apt-get is missing: the real Keystone and Trove come from Debian'
[ -x /usr/bin/python3 ] || install_packages python3
fetched=$(mktemp -d)
trap 'rm -rf "$fetched"' EXIT
chmod 755 "$fetched"
(
  cd "$fetched"
  apt-get -s install --no-install-recommends python3-trove python3-keystone trove-common | awk '/^Inst/{print $2}' >names
  printf '%s\n' python3-trove python3-keystone trove-common >>names
  sort -u names | grep -E '^(python3-|trove-common$)' | xargs apt-get download -q
)
mkdir -p "$packages.new"
for package in "$fetched"/*.deb; do
  dpkg-deb -x "$package" "$packages.new"
done
rm -rf "$packages"
mv "$packages.new" "$packages"
