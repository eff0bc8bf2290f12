#!/usr/bin/env bash
# Ends the clusters of cluster-up.sh, and removes all they had.
set -euo pipefail
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"
for one in coffer-a coffer-b; do
  CLUSTER_NAME=$one tests/cluster/down.sh
done
