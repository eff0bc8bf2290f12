#!/usr/bin/env bash
# The scenario on two real clusters: a plan's schedule driven through days, points found by a cluster that never met the first one, restored there.
# Everything is made for it and removed after it. Needs root, and the first time about 11 minutes of CPU to build Kubernetes.
#
#   ITERATIONS  runs of the plan [26]
#   IMAGES      directory with coffer-agent.tar and coffer-controller.tar to try instead of building them
#   IMAGE_PROFILE  cargo profile of the images [dist]
#   KEEP        yes leaves the clusters up: CLUSTER_NAME=coffer-a tests/cluster/enter.sh … looks around, down.sh ends them
# shellcheck disable=SC2154 # root, target, cluster, state, name come from env.sh
set -euo pipefail
"$(dirname "$0")/setup-servers.sh"
export CLUSTER_NAME=coffer-a
# shellcheck source=../tests/cluster/env.sh
. "$(dirname "$0")/../tests/cluster/env.sh"
# shellcheck source=../tests/cluster/devices.sh
. "$cluster/devices.sh"
# shellcheck source=helm.sh
. scripts/helm.sh
# shellcheck source=../tests/cluster/scenario/storage.sh
. "$cluster/scenario/storage.sh"
[ "$(id -u)" -eq 0 ] || die "a node needs root: mounts, namespaces, control groups"
export PYTHONDONTWRITEBYTECODE=1
scenario=$cluster/scenario
iterations=${ITERATIONS:-26}
work=$target/cluster-test
endpoint=http://$control_ip:7070
first_slot=2027-01-04T00:00:00Z
servers=()

# at CLUSTER COMMAND…: the command for that cluster: `at b kube get nodes`.
at() {
  local name=coffer-$1 state=$root/target/cluster/coffer-$1
  shift
  "$@"
}

finish() {
  local status=$?
  trap - EXIT
  set +e
  if [ "$status" -ne 0 ]; then
    for one in a b; do
      printf '\n-- cluster %s\n' "$one" >&2
      at "$one" kube get pods,backups,restores,continuityplans,backuplocations,teams -A -o wide >&2
      at "$one" kube -n coffer-system logs deployment/coffer-controller --tail=60 >&2
      at "$one" kube -n coffer-system logs daemonset/coffer-agent --tail=20 >&2
    done
  fi
  if [ "${KEEP:-}" = yes ]; then
    printf 'the clusters stay; CLUSTER_NAME=coffer-a tests/cluster/down.sh and CLUSTER_NAME=coffer-b … end them\n' >&2
  else
    [ ${#servers[@]} -eq 0 ] || kill "${servers[@]}" 2>/dev/null
    CLUSTER_NAME=coffer-a "$cluster/down.sh"
    CLUSTER_NAME=coffer-b "$cluster/down.sh"
    rm -rf "$work"
  fi
  exit "$status"
}

step() {
  printf '\n== %s (after %s s)\n' "$*" "$SECONDS"
}

build() {
  step 'build Kubernetes and the images'
  "$cluster/build.sh"
  if [ -z "${IMAGES:-}" ]; then
    IMAGES=$target/image
    scripts/images.sh
  fi
}

# One directory, one server for each cluster: the address is the same in both, and neither reaches the other.
object_store() {
  export AWS_ACCESS_KEY_ID=coffertests AWS_SECRET_ACCESS_KEY=not-a-secret-of-anyone
  mkdir -p "$work/s3/objects/bucket" "$work/s3/iam"
  for one in a b; do
    ROOT_ACCESS_KEY=$AWS_ACCESS_KEY_ID ROOT_SECRET_KEY=$AWS_SECRET_ACCESS_KEY nsenter --net="/run/netns/coffer-$one-control" -- \
      setpriv --pdeathsig KILL versitygw --port "$control_ip:7070" --region us-east-1 --keep-alive --quiet --iam-dir "$work/s3/iam" \
      posix "$work/s3/objects" >"$work/s3-$one.log" 2>&1 &
    servers+=($!)
    at "$one" wait_for 30 outside bash -c "exec 3<>/dev/tcp/$control_ip/7070"
  done
  repository="s3://bucket/coffer?endpoint=$endpoint"
  coffer=$work/coffer
  scripts/oci_image.py extract "$IMAGES/coffer-agent.tar" /usr/bin/coffer "$coffer"
  outside "$coffer" init --repo "$repository" --key-out "$work/default.key" >/dev/null
  outside "$coffer" key team --repo "$repository" --team shop --key-out "$work/recovery.key" --writer-key-out "$work/writer.key" >/dev/null
}

start() {
  step 'start two clusters, the first of two nodes'
  mkdir -p "$work"
  CLUSTER_NAME=coffer-a CLUSTER_NODES=2 "$cluster/up.sh"
  CLUSTER_NAME=coffer-b CLUSTER_NODES=1 "$cluster/up.sh"
  for node in a.1 a.2 b.1; do
    for image in coffer-agent coffer-controller; do
      at "${node%.*}" on_node_of "${node#*.}" ctr -n k8s.io images import "$IMAGES/$image.tar" >/dev/null
    done
  done
}

# chart CLUSTER: the chart as shipped, with the test's server, clock and pause image.
chart() {
  local rendered=$work/rendered-$1
  cat >"$work/values.json" <<END
{
  "namespace": {"create": true},
  "networkPolicies": {"storePorts": [7070]},
  "agent": {"repositories": ["s3://bucket?endpoint=$endpoint"]},
  "controller": {"settings": "placeholder_image = \"localhost/pause:1\"\n[clock]\nconfig_map = \"coffer-clock\""}
}
END
  render_chart deploy/chart/coffer coffer-system "$rendered" "$work/values.json"
  at "$1" kube apply -k deploy/crds >/dev/null
  at "$1" kube apply -f "$rendered/agent/namespace.yaml" >/dev/null
  at "$1" kube apply --recursive -f "$rendered" >/dev/null
}

# install CLUSTER MODE: with the chart, and what a team and a location need.
install() {
  chart "$1"
  at "$1" kube -n coffer-system create secret generic bucket --from-literal=accessKeyId="$AWS_ACCESS_KEY_ID" --from-literal=secretAccessKey="$AWS_SECRET_ACCESS_KEY" >/dev/null
  at "$1" kube -n coffer-system create secret generic shop-writer --from-file=key="$work/writer.key" >/dev/null
  at "$1" kube -n coffer-system create secret generic shop-recovery --from-file=key="$work/recovery.key" >/dev/null
  at "$1" kube create namespace shop --dry-run=client -o yaml | at "$1" kube apply -f - >/dev/null
  at "$1" kube wait --for=condition=Established crd --all --timeout=60s >/dev/null
  at "$1" kube apply -f - >/dev/null <<END
apiVersion: coffer.dev/v1alpha1
kind: Team
metadata: {name: shop}
spec:
  namespaces: [shop, staging]
  keys: {writer: {name: shop-writer}, recovery: {name: shop-recovery}}
---
apiVersion: coffer.dev/v1alpha1
kind: BackupLocation
metadata: {name: main}
spec:
  s3: {bucket: bucket, prefix: coffer, endpoint: "$endpoint", region: us-east-1}
  credentials: {name: bucket}
  accessMode: $2
  syncPeriodSeconds: 5
  prune: {schedule: "30 3 * * *"}
END
  at "$1" kube -n coffer-system rollout status deployment/coffer-controller --timeout=120s >/dev/null
  at "$1" kube -n coffer-system rollout status daemonset/coffer-agent --timeout=180s >/dev/null
  at "$1" kube wait --for=condition=Ready team/shop backuplocation/main --timeout=120s
}

# set_clock CLUSTER TIME: what the controller takes for the time now.
set_clock() {
  local offset
  offset=$(($(date -d "$2" +%s) - $(date +%s)))
  at "$1" kube -n coffer-system create configmap coffer-clock --from-literal=offsetSeconds="$offset" --dry-run=client -o yaml |
    at "$1" kube apply -f - >/dev/null
}

# ledger CLUSTER NAMESPACE POD COMMAND…
ledger() {
  at "$1" kube -n "$2" exec "$3" -- sh /app/ledger.sh "${@:4}"
}

backups() {
  at "$1" kube -n shop get backups -o json
}

completed_is() {
  [ "$(backups a | "$scenario/points.py" count Completed)" -ge "$1" ]
}

application() {
  step 'an application that checks itself, on raw local volumes of two nodes'
  local_class
  local_volume ledger-1 1 16
  local_volume ledger-2 2 16
  kube -n shop create configmap ledger --from-file="$scenario/ledger.sh" >/dev/null
  kube apply -f "$scenario/application.yaml" >/dev/null
  kube -n shop rollout status statefulset/ledger --timeout=120s
}

plan() {
  step "a plan: every hour, full and 23 incremental, 3 days; $iterations runs"
  set_clock a "$(date -u -d "$first_slot - 30 min" +%FT%TZ)"
  kube apply -f - >/dev/null <<END
apiVersion: coffer.dev/v1alpha1
kind: ContinuityPlan
metadata: {name: ledger, namespace: shop}
spec:
  location: main
  select: {workloads: [{kind: StatefulSet, name: ledger}]}
  schedule: {cron: "0 * * * *"}
  chain: {fullEvery: 24}
  retention: {keepDays: 3}
  objectives: {recoveryPointSeconds: 7200}
END
  kube -n shop wait --for=condition=Ready continuityplan/ledger --timeout=60s
  [ "$(kube -n shop get backups -o name | wc -l)" -eq 0 ] || die 'a run began when the plan was made'
  : >"$work/expected"
  local number slot count killer
  for number in $(seq "$iterations"); do
    slot=$(date -u -d "$first_slot + $((number - 1)) hour" +%FT%TZ)
    count=$(ledger a shop ledger-0 write 3)
    [ "$(ledger a shop ledger-1 write 3)" = "$count" ] || die 'the two volumes are not alike'
    printf '%s %s\n' "$slot" "$count" >>"$work/expected"
    killer=
    if [ "$number" -eq "${FAULT_AT:-7}" ]; then
      faults &
      killer=$!
    fi
    set_clock a "$slot"
    wait_for 120 run_is_done "ledger-$(date -u -d "$slot" +%Y%m%d-%H%M%S)"
    [ -z "$killer" ] || wait "$killer"
  done
  backups a | "$scenario/points.py" table
}

run_is_done() {
  local phase
  phase=$(kube -n shop get backup "$1" -o jsonpath='{.status.phase}')
  case $phase in
  Completed) return 0 ;;
  Failed | PartiallyFailed) die "the run $1 ended as $phase: $(kube -n shop get backup "$1" -o jsonpath='{.status.message}')" ;;
  *) return 1 ;;
  esac
}

# An agent and the controller are killed while a run is at work.
faults() {
  sleep 0.3
  kube -n coffer-system delete pod -l app.kubernetes.io/name=coffer-controller --grace-period=0 --force >/dev/null 2>&1
  kube -n coffer-system delete pod -l app.kubernetes.io/name=coffer-agent --field-selector spec.nodeName=node1 --grace-period=0 --force >/dev/null 2>&1
  printf 'killed the controller and the agent of node1 in run %s\n' "${FAULT_AT:-7}"
}

check_points() {
  step 'each point has the type that the plan asks for, and three days are kept'
  local types expected='' number
  types=$(backups a | "$scenario/points.py" types)
  for number in $(seq 0 $((iterations - 1))); do
    if [ $((number % 24)) -eq 0 ]; then expected+=F; else expected+=I; fi
  done
  # Of an hourly plan the last 72 hours hold 72 points or 73, by fractions of a second.
  if [ "$iterations" -gt 73 ]; then
    case ${#types} in
    72 | 73) ;;
    *) die "${#types} points are kept, and 72 or 73 are of the last three days" ;;
    esac
    expected=${expected: -${#types}}
  fi
  [ "$types" = "$expected" ] || die "types are $types, expected $expected"
  backups a | "$scenario/points.py" volumes data-ledger-0,data-ledger-1,resources || die 'a point lacks a volume'
  printf '%s\n' "$types"
  kube -n shop get continuityplan ledger
  outside "$coffer" verify --repo "$repository" --key "$work/recovery.key" --read-data >/dev/null
  printf 'coffer verify --read-data: no problem\n'
}

# Every day at 03:30, once points were given up: a Job of the controller's.
pruned() {
  local jobs
  jobs=$(kube -n coffer-system get jobs -o name | wc -l)
  printf '%s Jobs gave back space\n' "$jobs"
  [ "$jobs" -eq 0 ] || kube -n coffer-system wait --for=condition=Complete job --all --timeout=120s >/dev/null || die 'a prune failed'
  [ "$jobs" -gt 0 ] || [ "$iterations" -lt 5 ] || die 'nothing was pruned'
}

discover() {
  step 'a cluster that never met the first one finds all points'
  install b ReadOnly
  set_clock b "$(date -u -d "$first_slot + $iterations hour" +%FT%TZ)"
  local wanted
  wanted=$(backups a | "$scenario/points.py" types)
  wait_for 60 discovered_is "$wanted"
  at b kube -n shop get backups | tail -n 4
}

discovered_is() {
  [ "$(backups b | "$scenario/points.py" types)" = "$1" ]
}

# restored NAME NAMESPACE INTENT SUFFIX: restores on cluster b and checks the content of exactly that point.
restored() {
  local name=$1 namespace=$2 intent=$3 suffix=$4 time count slot
  at b local_volume "$name-1" 1 16
  at b local_volume "$name-2" 1 16
  at b kube create namespace "$namespace" --dry-run=client -o yaml | at b kube apply -f - >/dev/null
  at b kube apply -f - >/dev/null <<END
apiVersion: coffer.dev/v1alpha1
kind: Restore
metadata: {name: $name, namespace: $namespace}
spec:
  source: {plan: {name: ledger, namespace: shop, location: main, pick: "$intent"}}
  target: {${suffix:+suffix: "$suffix"}}
END
  at b kube -n "$namespace" wait --for=condition=Ready "restore/$name" --timeout=300s >/dev/null ||
    die "the restore $name did not become ready: $(at b kube -n "$namespace" get restore "$name" -o jsonpath='{.status.message}')"
  time=$(backups a | "$scenario/points.py" time "$intent")
  slot=$(date -u -d "${time%%:*}:00Z" +%FT%TZ)
  count=$(sed -n "s/^$slot //p" "$work/expected")
  for pod in 0 1; do
    [ "$(ledger b "$namespace" "ledger$suffix-$pod" check)" = "$count" ] || die "$name: ledger$suffix-$pod has not $count transactions"
  done
  printf '%-11s -> %s: %s transactions on both volumes, as at %s\n' "$intent" "$namespace/ledger$suffix" "$count" "$time"
}

restores() {
  step 'there: the application from the oldest day, new ones from the day before and the latest'
  at b local_class
  restored oldest shop oldest-day ''
  restored yesterday shop day=-1 -yesterday
  restored latest staging latest ''
  at b kube get restores -A
}

in_place() {
  step 'on the first cluster: damage, and a restore in place that writes only what differs'
  local count
  count=$(ledger a shop ledger-0 write 5)
  kube apply -f - >/dev/null <<END
apiVersion: coffer.dev/v1alpha1
kind: Restore
metadata: {name: repair, namespace: shop}
spec:
  source: {plan: {name: ledger, location: main, pick: latest}}
  target: {mode: ExistingVolumes}
END
  kube -n shop wait --for=condition=Ready restore/repair --timeout=300s >/dev/null || die "the restore in place did not become ready"
  [ "$(ledger a shop ledger-0 check)" = $((count - 5)) ] || die 'the volume is not what it was at the latest point'
  kube -n shop get restore repair -o jsonpath='{range .status.volumes[*]}{.name}: {.writtenBytes} bytes written, {.skippedBytes} were there{"\n"}{end}'
}

trap finish EXIT
build
start
object_store
step 'install on the first cluster'
install a ReadWrite
application
plan
check_points
pruned
discover
restores
in_place
step 'kubectl get coffer -A on both'
for one in a b; do
  at "$one" kube get coffer -A | grep -v '^backup' || true
done
printf '\nthe scenario passed after %s s\n' "$SECONDS"
