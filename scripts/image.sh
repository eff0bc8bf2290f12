#!/usr/bin/env bash
# Builds the image of the node agent without a container engine: target/image/coffer-agent.tar, for `ctr images import` and `docker load`.
#
#   IMAGE_NAME      name and tag [localhost/coffer-agent:VERSION]
#   IMAGE_PROGRAMS  what goes into /usr/bin, as PACKAGE:PROGRAM…; the first is the entry point [coffer-agent:coffer-agent coffer-cli:coffer]
#   IMAGE_BINARIES  the same programs, built already, as paths in the same order; nothing is compiled then
#   IMAGE_FILES     further files and directories, as SOURCE=DESTINATION…
#   IMAGE_PROFILE   cargo profile [dist]
#   IMAGE_OUTPUT    the archive
#   STATIC          musl, glibc or auto [auto]: see static.sh
#
# Besides the programs it holds the system's CA certificates and the licences; no shell, no library, no /etc/passwd.
set -euo pipefail
"$(dirname "$0")/setup.sh"
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"
# shellcheck source=static.sh
. scripts/static.sh

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
read -ra programs <<<"${IMAGE_PROGRAMS:-coffer-agent:coffer-agent coffer-cli:coffer}"
name=${IMAGE_NAME:-localhost/coffer-agent:$version}
profile=${IMAGE_PROFILE:-dist}
output=${IMAGE_OUTPUT:-$target/image/coffer-agent.tar}
certificates=/etc/ssl/certs/ca-certificates.crt
mkdir -p "$(dirname "$output")"

if [ -n "${IMAGE_BINARIES:-}" ]; then
  triple=$static_architecture-unknown-linux-gnu
  read -ra binaries <<<"$IMAGE_BINARIES"
  [ "${#binaries[@]}" -eq "${#programs[@]}" ] || die "IMAGE_BINARIES names ${#binaries[@]} files for the ${#programs[@]} programs ${programs[*]}"
else
  triple=$(static_target)
  static_build "$triple" "$profile" "${programs[@]}"
  binaries=()
  for program in "${programs[@]}"; do
    binaries+=("$target/$triple/$([ "$profile" = dev ] && echo debug || echo "$profile")/${program#*:}")
  done
fi

read -ra more <<<"${IMAGE_FILES:-}"
work=$(mktemp -d "$target/image.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/state"
scripts/third_party.py --target "$triple" "${programs[@]%%:*}" >"$work/THIRD-PARTY.txt"
files=()
for number in "${!programs[@]}"; do
  scripts/static-check.sh "${binaries[number]}"
  files+=("${binaries[number]}=/usr/bin/${programs[number]#*:}")
done
# What is linked in besides crates: the C library has its own terms.
case $triple in
*-musl) libc=/usr/share/doc/musl-dev/copyright ;;
*) libc=/usr/share/doc/libc6/copyright ;;
esac
[ ! -e "$libc" ] || files+=("$libc=/usr/share/licenses/coffer/LIBC.txt")

# The time of the last commit, so that one commit makes one image wherever it is built with the same tools.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH
scripts/oci_image.py build --output "$output" --name "$name" --entrypoint "/usr/bin/${programs[0]#*:}" \
  --label "org.opencontainers.image.title=coffer-agent" \
  --label "org.opencontainers.image.version=$version" \
  --label "org.opencontainers.image.revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
  --label "org.opencontainers.image.licenses=Apache-2.0" \
  "${files[@]}" "${more[@]}" \
  "$certificates=/etc/ssl/certs/ca-certificates.crt" \
  "LICENSE=/usr/share/licenses/coffer/LICENSE" \
  "$work/THIRD-PARTY.txt=/usr/share/licenses/coffer/THIRD-PARTY.txt"
printf '%s\n' "$output"
# What a debug build weighs says nothing of what is shipped.
[ "$profile" = dev ] || scripts/oci_image.py check "$output"
