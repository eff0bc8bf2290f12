#!/usr/bin/env bash
# Starts the cluster that build.sh built, as root, and waits until its node is ready. Afterwards `kube` of env.sh is its kubectl.
set -euo pipefail
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"
[ "$(id -u)" -eq 0 ] || die "a node needs root: mounts, namespaces, control groups"
[ -x "$cluster_tools/bin/kubelet" ] || die "there is no Kubernetes in $cluster_tools: run tests/cluster/build.sh"
! alive "$state/control.pid" || die "the cluster $name is up already; tests/cluster/down.sh ends it"
"$cluster/down.sh" # what a killed run left
mkdir -p "$state/log" "$state/node"
"$cluster/certs.sh"

control=$name-control node=$name-node
ip netns add "$control"
ip netns add "$node"
ip -n "$control" link set lo up
ip -n "$node" link set lo up
ip -n "$control" link add eth0 type veth peer name eth0 netns "$node"
ip -n "$control" addr add "$control_ip/24" dev eth0
ip -n "$node" addr add "$node_ip/24" dev eth0
ip -n "$control" link set eth0 up
ip -n "$node" link set eth0 up
ip -n "$control" route add "$pod_net" via "$node_ip"
ip -n "$node" route add default via "$control_ip"

boot "$control" "$state/control.pid" "$cluster/control.sh" "$state"
boot "$node" "$state/node.pid" "$cluster/node.sh" "$state"
wait_for 180 kube get --raw /readyz
wait_for 180 kube get node node1
kube wait --for=condition=Ready --timeout=180s node/node1 >/dev/null
wait_for 60 kube get serviceaccount default
printf 'the cluster %s is up after %s s: Kubernetes %s, %s\n' "$name" "$SECONDS" \
  "$(kube get node node1 -o jsonpath='{.status.nodeInfo.kubeletVersion}')" \
  "$(kube get node node1 -o jsonpath='{.status.nodeInfo.containerRuntimeVersion}')"
