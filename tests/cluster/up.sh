#!/usr/bin/env bash
# Starts the cluster that build.sh built, as root, and waits until its nodes are ready. Afterwards `kube` of env.sh is its kubectl.
set -euo pipefail
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"
[ "$(id -u)" -eq 0 ] || die "a node needs root: mounts, namespaces, control groups"
[ -x "$cluster_tools/bin/kubelet" ] || die "there is no Kubernetes in $cluster_tools: run tests/cluster/build.sh"
! alive "$state/control.pid" || die "the cluster $name is up already; tests/cluster/down.sh ends it"
"$cluster/down.sh" # what a killed run left
mkdir -p "$state/log"
"$cluster/certs.sh"

control=$name-control
count=${CLUSTER_NODES:-1}
ip netns add "$control"
ip -n "$control" link set lo up
ip -n "$control" link add br0 type bridge
ip -n "$control" addr add "$control_ip/24" dev br0
ip -n "$control" link set br0 up
for k in $(seq "$count"); do
  node=$name-node$k
  ip netns add "$node"
  ip -n "$control" link add "node$k" type veth peer name eth0 netns "$node"
  ip -n "$control" link set "node$k" master br0 up
  ip -n "$node" link set lo up
  ip -n "$node" addr add "$(node_address "$k")/24" dev eth0
  ip -n "$node" link set eth0 up
  ip -n "$node" route add default via "$control_ip"
  ip -n "$control" route add "$(node_pods "$k")" via "$(node_address "$k")"
  for other in $(seq "$count"); do
    [ "$other" = "$k" ] || ip -n "$node" route add "$(node_pods "$other")" via "$(node_address "$other")"
  done
done

boot "$control" "$state/control.pid" "$cluster/control.sh" "$state"
for k in $(seq "$count"); do
  boot_node "$k"
done
wait_for 180 kube get --raw /readyz
for k in $(seq "$count"); do
  wait_for 180 kube get node "node$k"
  kube wait --for=condition=Ready --timeout=180s "node/node$k" >/dev/null
done
wait_for 60 kube get serviceaccount default
printf 'the cluster %s of %s nodes is up after %s s: Kubernetes %s, %s\n' "$name" "$count" "$SECONDS" \
  "$(kube get node node1 -o jsonpath='{.status.nodeInfo.kubeletVersion}')" \
  "$(kube get node node1 -o jsonpath='{.status.nodeInfo.containerRuntimeVersion}')"
