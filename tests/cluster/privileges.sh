# shellcheck shell=bash disable=SC2154
# Tries each privilege of deploy/agent on a real node, with the image's `coffer` under the rights of the agent: what is asked for suffices, and
# less does not. Sourced by cluster-smoke.sh, which has made `repository`, keys and the image.

# one_shot MANIFEST NAME [OPTION…] -- COMMAND…: runs a pod to its end; its words are then in $state/NAME.log. Fails as the command does.
one_shot() {
  local manifest=$1 pod=$2 exit_code
  shift 2
  kube create --dry-run=client -o json -f "deploy/agent/$manifest" >"$state/manifest.json"
  "$cluster/one_shot.py" "$state/manifest.json" --name "$pod" --env "AWS_ACCESS_KEY_ID=$access_key" --env "AWS_SECRET_ACCESS_KEY=$secret_key" \
    --host "store.test=$control_ip" "$@" |
    kube apply -f - >/dev/null
  if ! kube -n coffer-system wait "pod/$pod" --timeout=120s --for=jsonpath='{.status.containerStatuses[0].state.terminated}' >/dev/null; then
    kube -n coffer-system describe "pod/$pod" >&2
    die "the pod $pod did not end"
  fi
  kube -n coffer-system logs "$pod" >"$state/$pod.log" 2>&1
  exit_code=$(kube -n coffer-system get pod "$pod" -o jsonpath='{.status.containerStatuses[0].state.terminated.exitCode}')
  kube -n coffer-system delete pod "$pod" --now >/dev/null
  [ "$exit_code" = 0 ]
}

succeeds() { # MANIFEST NAME …
  one_shot "$@" || die "$2 failed: $(cat "$state/$2.log")"
  printf '%s: works\n' "$2"
}

# refused NAME-OF-WHAT-IS-SAID MANIFEST NAME …: it must fail, and for that reason.
refused() {
  local reason=$1
  shift
  ! one_shot "$@" || die "$2 succeeded, which means that the manifests ask for more than is needed: $(cat "$state/$2.log")"
  grep -qi "$reason" "$state/$2.log" || die "$2 failed, but not with '$reason': $(cat "$state/$2.log")"
  printf '%s: refused, as expected (%s)\n' "$2" "$reason"
}

claim() { # CLAIM DEVICE
  sed "s#CLAIM#$1#g; s#NAMESPACE#coffer-system#; s#DEVICE#$2#" "$cluster/block-claim.yaml" | kube apply -f - >/dev/null
}

privileges() {
  local source target other named backup restore all='{"add":["ALL"]}'
  source=$(new_device raw-source 64) target=$(new_device raw-target 64) other=$(new_device raw-other 64)
  head -c 48M /dev/urandom | dd of="$source" bs=1M oflag=direct iflag=fullblock status=none
  head -c 64M /dev/urandom | dd of="$target" bs=1M oflag=direct iflag=fullblock status=none
  keep_bytes "$source" raw
  claim raw-source "$source"
  claim raw-target "$target"
  # By name, not by address: what is linked statically has to find it in /etc/hosts.
  named=${repository/$control_ip/store.test}
  backup=(coffer backup --repo "$named" --key /keys/writer.key --cluster smoke --namespace raw --json --plan)
  restore=(coffer restore --repo "$named" --key /keys/recovery.key --cluster smoke --namespace raw --pick latest --overwrite --plan)

  local handed=(--block raw-source=/dev/volumes/source --block raw-target=/dev/volumes/target)
  succeeds raw-volumes.yaml raw-backup-pread "${handed[@]}" -- "${backup[@]}" pread --io pread source=/dev/volumes/source
  succeeds raw-volumes.yaml raw-backup-uring "${handed[@]}" -- "${backup[@]}" uring --io uring source=/dev/volumes/source
  succeeds raw-volumes.yaml raw-restore "${handed[@]}" -- "${restore[@]}" uring --volume source=/dev/volumes/target
  same_bytes "$target" raw
  refused 'permission denied' raw-volumes.yaml raw-without-disk-group "${handed[@]}" --change 'pod.supplementalGroups=[]' -- "${backup[@]}" group source=/dev/volumes/source

  succeeds daemonset.yaml node-backup -- "${backup[@]}" node "source=$source"
  succeeds daemonset.yaml node-restore -- "${restore[@]}" node --volume "source=$other"
  same_bytes "$other" raw
  # Every capability there is, and root, but not `privileged`: the devices control group says no.
  refused 'not permitted' daemonset.yaml node-unprivileged --change privileged=false --change "capabilities=$all" -- "${backup[@]}" unprivileged "source=$source"
}
