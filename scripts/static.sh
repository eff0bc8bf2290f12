# shellcheck shell=bash
# shellcheck disable=SC2154 # target comes from env.sh
# Builds programs that need nothing from the system they run on: no loader, no library, no /etc. Sourced by image.sh.
#
#   static_target          prints the target triple, and says on stderr how it will be linked and why
#   static_build TRIPLE PROFILE PACKAGE:PROGRAM…
#
# STATIC=musl|glibc|auto [auto]. musl is taken where it is installed: Rust's library for it (`rustup target add`) and musl-tools. Nothing is
# fetched from here: a script does not change somebody's toolchain. Otherwise glibc's own archive is linked: since 2.34 it reads /etc/hosts
# and asks DNS without loading anything at run time (older ones load libnss_*.so, which an image without libraries does not have).

static_architecture=$(uname -m)

musl_is_possible() {
  command -v musl-gcc >/dev/null && [ -d "$(rustc --print sysroot)/lib/rustlib/$static_architecture-unknown-linux-musl/lib" ]
}

glibc_is_possible() {
  local version
  version=$(getconf GNU_LIBC_VERSION 2>/dev/null) || return 1
  [ "$(printf '%s\n' "${version#glibc }" 2.34 | sort -V | head -n 1)" = 2.34 ] || return 1
  # gcc prints the full path of what it finds, and the bare name of what it does not.
  [ "$(gcc -print-file-name=libc.a)" != libc.a ]
}

static_target() {
  local how=${STATIC:-auto}
  case $how in
  musl | auto)
    if musl_is_possible; then
      printf 'linked statically with musl\n' >&2
      printf '%s-unknown-linux-musl' "$static_architecture"
      return
    fi
    [ "$how" = auto ] || die "musl is wanted, but Rust has no library for it or musl-gcc is missing: rustup target add $static_architecture-unknown-linux-musl; apt-get install musl-tools"
    ;;&
  glibc | auto)
    glibc_is_possible || die "a static program needs Rust's musl library (rustup target add $static_architecture-unknown-linux-musl, with musl-tools) or glibc 2.34 or later with libc.a (libc6-dev); neither is here"
    printf 'linked statically with glibc, as there is no Rust library for musl here (rustup target add %s-unknown-linux-musl brings it)\n' "$static_architecture" >&2
    printf '%s-unknown-linux-gnu' "$static_architecture"
    ;;
  *) die "STATIC is $how; it takes musl, glibc or auto" ;;
  esac
}

# Builds into $target/TRIPLE/PROFILE's directory. Paths of this machine do not get into the programs.
static_build() {
  local triple=$1 profile=$2 name=${1//-/_} flags words=() word
  shift 2
  for word in "$@"; do
    words+=(-p "${word%%:*}" --bin "${word#*:}")
  done
  flags="-C target-feature=+crt-static --remap-path-prefix=$root=/coffer --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
  # The target is named even where it is the machine's own: what runs while building (macros) cannot be static.
  env "CARGO_TARGET_${name^^}_RUSTFLAGS=$flags" \
    "CFLAGS_$name=-ffile-prefix-map=${CARGO_HOME:-$HOME/.cargo}=/cargo" \
    cargo build --locked --target "$triple" --profile "$profile" "${words[@]}"
}
