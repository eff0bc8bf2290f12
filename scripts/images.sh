#!/usr/bin/env bash
# Builds both images, the agent's and the controller's, of one build: target/image/coffer-agent.tar and target/image/coffer-controller.tar.
# Settings as of image.sh.
set -euo pipefail
"$(dirname "$0")/setup.sh"
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"
# shellcheck source=static.sh
. scripts/static.sh

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
profile=${IMAGE_PROFILE:-dist}
programs=(coffer-agent:coffer-agent coffer-cli:coffer coffer-controller:coffer-controller)
triple=$(static_target)
static_build "$triple" "$profile" "${programs[@]}"
built=$target/$triple/$([ "$profile" = dev ] && echo debug || echo "$profile")
IMAGE_BINARIES="$built/coffer-agent $built/coffer" scripts/image.sh
# Schedules are in time zones.
[ -e /usr/share/zoneinfo/UTC ] || install_packages tzdata
IMAGE_BINARIES=$built/coffer-controller IMAGE_FILES=/usr/share/zoneinfo=/usr/share/zoneinfo IMAGE_PROGRAMS=coffer-controller:coffer-controller \
  IMAGE_NAME=localhost/coffer-controller:$version IMAGE_OUTPUT=$target/image/coffer-controller.tar scripts/image.sh
