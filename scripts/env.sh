# shellcheck shell=bash
# Sourced by the other scripts: goes to the top of the checkout and finds cargo and the tools that we installed.
# Must not print or install anything.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1
if ! command -v cargo >/dev/null && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
  PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
fi
PATH=$PATH:$root/target/tools/bin:/usr/sbin:/sbin
# shellcheck disable=SC2034 # for those who source this
target=${CARGO_TARGET_DIR:-$root/target}

# Says what is wrong and what to do, and ends.
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# install_packages NAME...: installs Debian packages, as root or through sudo.
install_packages() {
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "these Debian packages are missing, and there is no sudo to install them: $*"
    as_root=(sudo)
  fi
  command -v apt-get >/dev/null || die "these are missing, and this is no Debian: $*"
  printf 'installing %s\n' "$*" >&2
  "${as_root[@]}" apt-get update -q >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >&2
}
