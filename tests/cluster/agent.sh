# shellcheck shell=bash disable=SC2154
# The node-wide agent on the test cluster: deployed as deploy/agent says, reached from outside over mTLS. Sourced by cluster-smoke.sh.
# Every command that goes through the agent is in this file.

# Who calls: the URI in the client's certificate (deploy/README.md).
caller=spiffe://coffer.dev/coffer/controller
agent_namespace=coffer-system
agent_selector=app.kubernetes.io/name=coffer-agent

# Certificates of the agent and of one caller, in $state/agent-tls. Pods get their addresses in order, so the agent's certificate names the first
# hundred; a real one has the name that its clients ask for.
agent_certificates() {
  local addresses
  addresses=$(printf "IP:${pod_net%.*}.%s," $(seq 2 100))
  mkdir -p "$state/agent-tls"
  (
    cd "$state/agent-tls" || exit
    # shellcheck source=x509.sh
    . "$cluster/x509.sh"
    umask 077
    authority ca
    certificate ca tls /CN=coffer-agent "${addresses}IP:127.0.0.1,DNS:coffer-agent,DNS:coffer-agent.coffer-system.svc,URI:spiffe://coffer.dev/agent/node1"
    certificate ca client /CN=smoke "URI:$caller"
  )
}

agent_deploy() {
  on_node mkdir -p /var/lib/kubelet/seccomp/coffer
  on_node cp "$root/deploy/seccomp/coffer-agent.json" /var/lib/kubelet/seccomp/coffer/
  kube apply -f deploy/agent/namespace.yaml >/dev/null
  kube -n "$agent_namespace" create secret generic coffer-agent-tls --from-file="tls.crt=$state/agent-tls/tls.crt" \
    --from-file="tls.key=$state/agent-tls/tls.key" --from-file="ca.crt=$state/agent-tls/ca.crt" >/dev/null
  # As shipped, but with the test's server and cluster, and slow: what is killed in the middle has a middle.
  cp -r deploy/agent "$state/deploy"
  sed -i -e "s#^    repositories = .*#    repositories = [\"s3://?endpoint=${repository#*endpoint=}\"]#" -e 's|^    # cluster = .*|    cluster = "smoke"|' "$state/deploy/config.yaml"
  printf '\n    [limits]\n    upload_bytes_per_second = "8MiB"\n' >>"$state/deploy/config.yaml"
  kube apply -k "$state/deploy" >/dev/null
}

agent_ready() {
  kube -n "$agent_namespace" rollout status daemonset/coffer-agent --timeout=120s >/dev/null || {
    kube -n "$agent_namespace" describe pods -l "$agent_selector" >&2
    kube -n "$agent_namespace" logs daemonset/coffer-agent --tail=50 >&2
    die "the agent did not become ready"
  }
}

agent_pod() {
  kube -n "$agent_namespace" get pods -l "$agent_selector" --field-selector status.phase=Running -o "jsonpath={.items[0].$1}"
}

# agent COMMAND…: `coffer` from outside, through the agent.
agent() {
  outside "$coffer" --agent "https://$(agent_pod status.podIP):9443" --agent-ca "$state/agent-tls/ca.crt" \
    --agent-cert "$state/agent-tls/client.crt" --agent-key "$state/agent-tls/client.key" --agent-patience 10 "$@"
}

# agent_lists PV POD [OPTION…]: one volume of the node has both names.
agent_lists() {
  local pv=$1 pod=$2
  shift 2
  KUBECONFIG=$state/pki/admin.conf agent volumes --json "$@" >"$state/volumes.json"
  python3 - "$state/volumes.json" "$pv" "$pod" <<'END' || die "the volume $pv of the pod $pod is not listed: $(cat "$state/volumes.json")"
import json, sys
path, pv, pod = sys.argv[1:]
volumes = [volume for volume in json.load(open(path)) if volume["persistent_volume"] == pv]
sys.exit(not any(pod in [user["name"] for user in volume["pods"]] for volume in volumes))
END
  printf 'listed: %s of the pod %s%s\n' "$pv" "$pod" "${1:+ (volumes $*)}"
}

# agent_backup TYPE KEY [OPTION…] -- VOLUME…: prints the point's id.
agent_backup() {
  local type=$1 key=$2 options=()
  shift 2
  while [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  shift
  agent backup --repo "$repository" --key "$state/keys/writer.key" --cluster smoke --namespace shop --plan nightly --type "$type" \
    --idempotency-key "$key" "${options[@]}" --json "$@" | python3 -c 'import json, sys; print(json.load(sys.stdin)["point"])'
}

# agent_restore POINT NAME=TARGET…
agent_restore() {
  local point=$1 volumes=() volume
  shift
  for volume in "$@"; do
    volumes+=(--volume "$volume")
  done
  agent restore --repo "$repository" --key "$state/keys/recovery.key" "$point" "${volumes[@]}" --overwrite --json >/dev/null
}

# Whether an operation of this agent is at work and has read something.
agent_is_at_work() {
  agent operations list --json | grep -qi '"state": *"running"'
}

# The pod is gone at once, as with its node's power, and the DaemonSet makes another.
agent_kill() {
  local pod
  pod=$(agent_pod metadata.name)
  kube -n "$agent_namespace" delete pod "$pod" --grace-period=0 --force >/dev/null 2>&1
  wait_for 60 sh -c "! '$cluster/enter.sh' outside kubectl --kubeconfig '$state/pki/admin.conf' -n $agent_namespace get pod $pod"
  agent_ready
}
