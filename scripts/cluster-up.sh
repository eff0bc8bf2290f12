#!/usr/bin/env bash
# Two empty test clusters for people: coffer-a of two nodes and coffer-b of one. cluster-down.sh ends them.
set -euo pipefail
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"
tests/cluster/build.sh
CLUSTER_NAME=coffer-a CLUSTER_NODES=2 tests/cluster/up.sh
CLUSTER_NAME=coffer-b CLUSTER_NODES=1 tests/cluster/up.sh
for one in coffer-a coffer-b; do
  printf 'CLUSTER_NAME=%s tests/cluster/enter.sh outside kubectl --kubeconfig %s get nodes\n' "$one" "$root/target/cluster/$one/pki/admin.conf"
done
