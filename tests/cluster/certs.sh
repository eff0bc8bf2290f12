#!/usr/bin/env bash
# Makes the cluster's authority, certificates and kubeconfigs in target/cluster/NAME/pki. Needs openssl 3 only.
set -euo pipefail
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"
# shellcheck source=x509.sh
. "$cluster/x509.sh"
mkdir -p "$state/pki"
cd "$state/pki"
umask 077

kubeconfig() { # NAME
  cat >"$1.conf" <<END
apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "https://$control_ip:6443", certificate-authority-data: $(base64 -w0 <ca.crt)}}]
users: [{name: $1, user: {client-certificate-data: $(base64 -w0 <"$1.crt"), client-key-data: $(base64 -w0 <"$1.key")}}]
contexts: [{name: test, context: {cluster: test, user: $1}}]
current-context: test
END
}

authority ca
authority front-proxy-ca
new_key sa
openssl ec -in sa.key -pubout -out sa.pub 2>/dev/null
certificate ca apiserver /CN=kube-apiserver "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:$control_ip,IP:$service_ip"
certificate ca kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client
certificate front-proxy-ca front-proxy /CN=front-proxy
certificate ca admin /O=system:masters/CN=admin
certificate ca controller-manager /CN=system:kube-controller-manager
certificate ca scheduler /CN=system:kube-scheduler
certificate ca proxy /CN=system:kube-proxy
nodes=()
for k in $(seq "${CLUSTER_NODES:-1}"); do
  certificate ca "node$k" "/O=system:nodes/CN=system:node:node$k" "DNS:node$k,IP:$(node_address "$k")"
  nodes+=("node$k")
done
for user in admin controller-manager scheduler proxy "${nodes[@]}"; do
  kubeconfig "$user"
done
