#!/usr/bin/env bash
# control.sh STATE: PID 1 of the control plane, started by up.sh in namespaces of its own. Ending it ends everything it started.
set -euo pipefail
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"
# shellcheck source=supervise.sh
. "$cluster/supervise.sh"
pki=$state/pki
log_directory=$state/log
join_cgroup "$name-control"

supervise etcd etcd --name test --data-dir "$state/etcd" --unsafe-no-fsync \
  --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
  --listen-peer-urls http://127.0.0.1:2380 --log-level warn

supervise kube-apiserver kube-apiserver \
  --etcd-servers http://127.0.0.1:2379 \
  --bind-address 0.0.0.0 --secure-port 6443 --advertise-address "$control_ip" \
  --service-cluster-ip-range "$service_net" \
  --allow-privileged --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
  --client-ca-file "$pki/ca.crt" --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" \
  --kubelet-client-certificate "$pki/kubelet-client.crt" --kubelet-client-key "$pki/kubelet-client.key" \
  --kubelet-preferred-address-types InternalIP \
  --service-account-issuer https://kubernetes.default.svc \
  --service-account-key-file "$pki/sa.pub" --service-account-signing-key-file "$pki/sa.key" \
  --requestheader-client-ca-file "$pki/front-proxy-ca.crt" --requestheader-allowed-names front-proxy \
  --requestheader-extra-headers-prefix X-Remote-Extra- --requestheader-group-headers X-Remote-Group \
  --requestheader-username-headers X-Remote-User \
  --proxy-client-cert-file "$pki/front-proxy.crt" --proxy-client-key-file "$pki/front-proxy.key" \
  --profiling=false

# Started any earlier, these two find no permissions, end, and lose seconds.
until kubectl --kubeconfig "$pki/admin.conf" get --raw /readyz >/dev/null 2>&1; do sleep 0.1; done

# With its usual 20 requests a second the first ServiceAccount takes four seconds.
supervise kube-controller-manager kube-controller-manager \
  --kubeconfig "$pki/controller-manager.conf" \
  --authentication-kubeconfig "$pki/controller-manager.conf" --authorization-kubeconfig "$pki/controller-manager.conf" \
  --root-ca-file "$pki/ca.crt" --service-account-private-key-file "$pki/sa.key" --use-service-account-credentials \
  --kube-api-qps 500 --kube-api-burst 1000 \
  --flex-volume-plugin-dir "$state/volumeplugins" --leader-elect=false --profiling=false

supervise kube-scheduler kube-scheduler --kubeconfig "$pki/scheduler.conf" \
  --authentication-kubeconfig "$pki/scheduler.conf" --authorization-kubeconfig "$pki/scheduler.conf" \
  --leader-elect=false --profiling=false

wait
