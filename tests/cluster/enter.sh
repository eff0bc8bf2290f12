#!/usr/bin/env bash
# enter.sh COMMAND…: runs COMMAND on the node, to look around; `enter.sh outside COMMAND…` in the control plane's network.
set -euo pipefail
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"
if [ "$1" = outside ]; then
  shift
  outside "$@"
else
  on_node "$@"
fi
