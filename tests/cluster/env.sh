# shellcheck shell=bash disable=SC2034
# Settings and functions of the test cluster; the other scripts source it. Must not start anything.
#
#   CLUSTER_NAME    distinguishes clusters on one machine: namespaces, control groups, state [coffer]
#   CLUSTER_NODES   how many nodes up.sh gives a new cluster, 1 to 9 [1]
#
# A cluster has a network namespace for its control plane and one for each node, joined by a bridge, and no way out: its addresses (RFC 2544, never
# routed) meet nobody's, and every cluster has the same ones:
#   CLUSTER_NAME-control   198.18.0.1       the API at :6443; also "outside": clients and object stores run here
#   CLUSTER_NAME-nodeK     198.18.0.(10+K)  kubelet at :10250; pods have 198.19.K.0/24
#   services               198.18.128.0/20  forwarded by kube-proxy on each node

cluster=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../../scripts/env.sh
. "$cluster/../../scripts/env.sh"
name=${CLUSTER_NAME:-coffer}
cluster_tools=$root/target/tools/cluster
state=$root/target/cluster/$name
PATH=$cluster_tools/bin:$PATH
control_ip=198.18.0.1
pods_net=198.19.0.0/16
pod_net=198.19.1.0/24 # of node 1
service_net=198.18.128.0/20
service_ip=198.18.128.1
cgroup=/sys/fs/cgroup

# Whether this machine has the unified hierarchy only.
cgroup_v2() {
  [ -e "$cgroup/cgroup.controllers" ]
}

# The version 1 controllers that a node needs, as they are mounted here.
cgroup_controllers() {
  local controller
  for controller in cpu cpuacct cpuset memory devices freezer blkio pids systemd; do
    [ ! -d "$cgroup/$controller" ] || echo "$controller"
  done
}

# join_cgroup GROUP: moves the calling process to GROUP/system; pods of a node go to GROUP/kubepods.
join_cgroup() {
  local controller group
  if cgroup_v2; then
    mkdir -p "$cgroup/$1/system"
    echo $$ >"$cgroup/$1/system/cgroup.procs"
    for controller in cpu cpuset io memory pids; do
      for group in "$cgroup" "$cgroup/$1"; do
        echo "+$controller" >"$group/cgroup.subtree_control" 2>/dev/null || true # what is missing the kubelet names
      done
    done
    return
  fi
  for controller in $(cgroup_controllers); do
    mkdir -p "$cgroup/$controller/$1/system"
    if [ "$controller" = cpuset ]; then
      for group in "$1" "$1/system"; do
        cat "$cgroup/cpuset/cpuset.cpus" >"$cgroup/cpuset/$group/cpuset.cpus"
        cat "$cgroup/cpuset/cpuset.mems" >"$cgroup/cpuset/$group/cpuset.mems"
      done
    fi
    echo $$ >"$cgroup/$controller/$1/system/cgroup.procs"
  done
}

# remove_cgroups GROUP…: a group goes once its tasks are reaped, hence the patience.
remove_cgroups() {
  local group left parent
  for _ in $(seq 50); do
    left=
    # With version 2 `cgroup` itself holds the groups; runc makes one in the hybrid hierarchy, too.
    for parent in "$cgroup" $(cgroup_controllers | sed "s#^#$cgroup/#") "$cgroup/unified"; do
      for group in "$@"; do
        [ -d "$parent/$group" ] || continue
        find "$parent/$group" -depth -type d -exec rmdir {} + 2>/dev/null
        [ ! -d "$parent/$group" ] || left=yes
      done
    done
    [ -n "$left" ] || return 0
    sleep 0.2
  done
}

# boot NETWORK_NAMESPACE PIDFILE COMMAND…: COMMAND becomes PID 1 of new namespaces; killing that process ends all inside.
boot() {
  local namespace=$1 pidfile=$2 log=$2.log outer child=
  shift 2
  setsid nsenter --net="/run/netns/$namespace" unshare --mount --pid --fork --kill-child --uts --ipc --mount-proc \
    "$@" </dev/null >"$log" 2>&1 &
  outer=$!
  while [ -z "$child" ]; do
    child=$(cat "/proc/$outer/task/$outer/children" 2>/dev/null || true)
    [ -d "/proc/$outer" ] || die "$* did not start: $(cat "$log")"
  done
  echo "${child%% *}" >"$pidfile"
}

# alive PIDFILE: whether that process still runs. An old file may name somebody else's process by now.
alive() {
  [ -e "$1" ] && grep -qa "$state" "/proc/$(cat "$1")/cmdline" 2>/dev/null
}

# halt PIDFILE: ends what boot started, as abruptly as a power cut.
halt() {
  while alive "$1"; do
    kill -9 "$(cat "$1")" 2>/dev/null || true
    sleep 0.1
  done
  rm -f "$1"
}

# outside COMMAND…: runs it where the cluster's addresses are reachable, but on no node.
outside() {
  nsenter --net="/run/netns/$name-control" -- "$@"
}

# node_address K, node_pods K: the address of node K, and those of its pods.
node_address() {
  printf '198.18.0.%s' $((10 + $1))
}
node_pods() {
  printf '198.19.%s.0/24' "$1"
}

# boot_node K: starts node K.
boot_node() {
  mkdir -p "$state/node$1/log"
  boot "$name-node$1" "$state/node$1.pid" "$cluster/node.sh" "$state" "$1"
}

# on_node COMMAND…: runs it on node 1, with the node's mounts. on_node_of K COMMAND…: on node K.
on_node() {
  on_node_of 1 "$@"
}
on_node_of() {
  local pid
  pid=$(cat "$state/node$1.pid")
  shift
  nsenter --target "$pid" --mount --uts --ipc --net --pid -- "$@"
}

# kubectl of this cluster.
kube() {
  outside kubectl --kubeconfig "$state/pki/admin.conf" "$@"
}

# wait_for SECONDS COMMAND…: until it succeeds.
wait_for() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || die "gave up waiting for: $*"
    sleep 0.2
  done
}
