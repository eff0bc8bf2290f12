#!/usr/bin/env bash
# Brings a Debian 12 (or later) that has git and make to where the project builds, tests and demonstrates itself.
# Installs only what is missing, and prints nothing when nothing is. --lint adds rustfmt and clippy.
set -euo pipefail
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"

needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)

# at_least VERSION MINIMUM
at_least() {
  [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# candidate PACKAGE: the version that apt would install, or nothing.
candidate() {
  apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: \([0-9].*\)/\1/p'
}

missing_packages() {
  command -v gcc >/dev/null || printf 'gcc libc6-dev '
  command -v python3 >/dev/null || printf 'python3 '
  command -v mke2fs >/dev/null || printf 'e2fsprogs '
  command -v losetup >/dev/null || printf 'mount util-linux '
  command -v fincore >/dev/null || printf 'util-linux-extra '
  [ -e /etc/ssl/certs/ca-certificates.crt ] || printf 'ca-certificates '
}

# Prints the Debian packages that bring a new enough Rust, or nothing. Debian 12 carries current compilers as *-web.
rust_packages() {
  local suffix
  for suffix in '' -web; do
    if at_least "$(candidate "cargo$suffix" || true)" "$needed"; then
      printf '%s' "cargo$suffix rustc$suffix"
      return
    fi
  done
  [ -z "$(candidate rustup)" ] || printf rustup
}

install_rust() {
  local packages
  # Without package lists apt knows no candidates; install_packages reads them, whatever it installs.
  [ -n "$(candidate cargo)" ] || install_packages ca-certificates
  packages=$(rust_packages)
  [ -n "$packages" ] || die "Rust $needed or later is needed and Debian offers none here: install it from https://rustup.rs, then run this again"
  # shellcheck disable=SC2086 # a list of names
  install_packages $packages
}

packages=$(missing_packages)
# shellcheck disable=SC2086 # a list of names
[ -z "$packages" ] || install_packages $packages
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "Python 3.11 or later is needed; $(python3 --version) found"

command -v cargo >/dev/null || install_rust
# With rustup this also installs the toolchain that rust-toolchain.toml names.
found=$(rustc --version 2>/dev/null | cut -d ' ' -f 2) || true
if [ -z "$found" ] && command -v rustup >/dev/null; then
  rustup toolchain install "$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)" --profile minimal >&2
  found=$(rustc --version | cut -d ' ' -f 2)
fi
at_least "$found" "$needed" || die "Rust $needed or later is needed, $found found: update it (with rustup: rustup update; on Debian 12: apt-get install cargo-web rustc-web), or install it from https://rustup.rs"

if [ "${1:-}" = --lint ] && ! { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1; then
  if command -v rustup >/dev/null; then
    rustup component add rustfmt clippy >&2
  elif dpkg-query -W cargo-web >/dev/null 2>&1; then
    install_packages rustfmt-web rust-web-clippy
  else
    install_packages rustfmt rust-clippy
  fi
fi
