#!/usr/bin/env bash
# The agent on a real Kubernetes: one node, the image and the manifests that are shipped, a workload with three kinds of volumes, a real S3 server.
# Everything is made for it and removed after it, whatever happens. Needs root, and the first time about 11 minutes of CPU to build Kubernetes.
#
#   IMAGE   an image archive to try instead of building one
#   STEPS   privileges, agent, or both [privileges agent]
#   KEEP    yes leaves the cluster up: look around with tests/cluster/enter.sh, end it with tests/cluster/down.sh
# shellcheck disable=SC2154 # root, target, state, cluster come from env.sh, repository from object_store.sh
set -euo pipefail
"$(dirname "$0")/setup-servers.sh"
# shellcheck source=../tests/cluster/env.sh
. "$(dirname "$0")/../tests/cluster/env.sh"
# shellcheck source=../tests/cluster/devices.sh
. "$cluster/devices.sh"
# shellcheck source=../tests/cluster/object_store.sh
. "$cluster/object_store.sh"
# shellcheck source=../tests/cluster/agent.sh
. "$cluster/agent.sh"
# shellcheck source=../tests/cluster/privileges.sh
. "$cluster/privileges.sh"
[ "$(id -u)" -eq 0 ] || die "a node needs root: mounts, namespaces, control groups"
export PYTHONDONTWRITEBYTECODE=1

finish() {
  local status=$?
  trap - EXIT
  set +e
  if [ "$status" -ne 0 ] && alive "$state/node1.pid"; then
    kube get pods -A -o wide >&2
    kube get events -A --sort-by=.lastTimestamp 2>/dev/null | tail -n 20 >&2
    kube -n coffer-system logs -l app.kubernetes.io/name=coffer-agent --tail=50 >&2
  fi
  if [ "${KEEP:-}" = yes ]; then
    printf 'the cluster stays; tests/cluster/down.sh ends it\n' >&2
  else
    s3_stop
    "$cluster/down.sh"
  fi
  exit "$status"
}

step() {
  printf '\n== %s (after %s s)\n' "$*" "$SECONDS"
}

build() {
  step 'build Kubernetes and the image'
  "$cluster/build.sh"
  if [ -z "${IMAGE:-}" ]; then
    scripts/image.sh
    IMAGE=$target/image/coffer-agent.tar
  fi
}

start() {
  step 'start the cluster and the object store'
  "$cluster/up.sh"
  on_node ctr -n k8s.io images import "$IMAGE"
  # What was built is what calls, too.
  coffer=$state/coffer
  scripts/oci_image.py extract "$IMAGE" /usr/bin/coffer "$coffer"
  s3_start
  mkdir "$state/keys"
  outside "$coffer" init --repo "$repository" --key-out "$state/keys/recovery.key" --writer-key-out "$state/keys/writer.key" >/dev/null
  agent_certificates
}

workload() {
  step 'a workload with a hostPath, a local and a local Block volume'
  block=$(new_device block 256) local=$(new_device local 256)
  mke2fs -q -t ext4 -E lazy_itable_init=0,lazy_journal_init=0 "$local"
  on_node mkdir -p /mnt/local
  on_node mount "$local" /mnt/local
  sed "s#BLOCK_DEVICE#$block#; s#LOCAL_DIRECTORY#/mnt/local#" "$cluster/workload.yaml" | kube apply -f - >/dev/null
  kube -n shop rollout status statefulset/app --timeout=120s
}

# app COMMANDS: what the workload does.
app() {
  kube -n shop exec app-0 -- sh -ec "$1"
}

# quiet NAME: holds the file system still and remembers what both devices hold; go_on lets it go.
quiet() {
  on_node fsfreeze --freeze /mnt/local
  keep_bytes "$block" "block-$1"
  keep_bytes "$local" "local-$1"
}

go_on() {
  on_node fsfreeze --unfreeze /mnt/local
}

through_the_agent() {
  step 'the agent lists the volumes by PV and pod'
  agent_ready
  for volume in pv-block pv-local; do
    agent_lists "$volume" app-0
  done
  # Kubelet keeps no directory for it: only Kubernetes has its name.
  agent_lists pv-hostpath app-0 --kubernetes
  agent_lists pv-hostpath app-0 --kubernetes --context test --namespace shop --pv pv-hostpath
  agent_lists pv-block app-0 --kubernetes --pv pv-block

  step 'full backup of the Block volume and of the local volume'"'"'s device'
  app 'head -c 100000000 /dev/urandom >/local/f; head -c 30000000 /dev/urandom | dd of=/dev/data bs=64k conv=fsync 2>/dev/null; echo x >/hostpath/f; sync'
  quiet 1
  first=$(agent_backup full smoke-1 -- "block=$block" "local=$local")
  go_on

  step 'the pod writes on; an incremental, in the middle of which the agent is killed'
  app 'head -c 40000000 /dev/urandom >/local/g; rm /local/f; head -c 40000000 /dev/urandom | dd of=/dev/data bs=64k seek=1600 conv=fsync 2>/dev/null; sync'
  quiet 2
  agent_backup incremental smoke-2 -- "block=$block" "local=$local" >"$state/killed.out" 2>&1 &
  local killed=$!
  wait_for 60 agent_is_at_work
  agent_kill
  if wait "$killed"; then
    die "the backup ended before the agent was killed, or did not notice: $(cat "$state/killed.out")"
  fi
  second=$(agent_backup incremental smoke-2 -- "block=$block" "local=$local")
  go_on
  # Asked again, it is the same backup and not another.
  [ "$(agent_backup incremental smoke-2 -- "block=$block" "local=$local")" = "$second" ] || die "the same key made another point"

  step 'both points come back to new devices'
  local point number block_target local_target
  for number in 1 2; do
    [ "$number" = 1 ] && point=$first || point=$second
    block_target=$(new_device "block-restored-$number" 256) local_target=$(new_device "local-restored-$number" 256)
    agent_restore "$point" "block=$block_target" "local=$local_target"
    same_bytes "$block_target" "block-$number"
    same_bytes "$local_target" "local-$number"
  done
  outside "$coffer" verify --repo "$repository" --key "$state/keys/recovery.key" --read-data >/dev/null
}

trap finish EXIT
trap 'exit 130' INT TERM HUP
build
start
workload
step 'deploy the agent'
agent_deploy
kube -n coffer-system create secret generic keys --from-file="$state/keys/" >/dev/null
for wanted in ${STEPS:-privileges agent}; do
  case $wanted in
  privileges) step 'what each privilege is for' && privileges ;;
  agent) through_the_agent ;;
  *) die "STEPS names $wanted; there are privileges and agent" ;;
  esac
done
step 'all passed'
