#!/usr/bin/env bash
# node.sh STATE K: PID 1 of node K, started by up.sh in namespaces of its own (mount, pid, uts, ipc, net). Makes them look like a freshly booted
# machine, then runs containerd, the kubelet and kube-proxy. /dev is the machine's; /run, /var/lib, /var/log, /etc and /mnt are the node's.
set -euo pipefail
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"
# shellcheck source=supervise.sh
. "$cluster/supervise.sh"
k=$2 node=node$2 pki=$state/pki own=$state/node$2
log_directory=$own/log

hostname "$node"
# What the kubelet mounts is to reach pods that look on, and what pods mount the kubelet.
mount --make-rshared /
join_cgroup "$name-$node"
mount -t tmpfs -o mode=755 tmpfs /run
for path in etc mnt opt srv var/lib; do
  # An upper directory cannot lie below its lower one.
  case $state/ in "/$path/"*) continue ;; esac
  mkdir -p "$own/overlay/$path/upper" "$own/overlay/$path/work"
  mount -t overlay -o "lowerdir=/$path,upperdir=$own/overlay/$path/upper,workdir=$own/overlay/$path/work" overlay "/$path"
done
# containerd makes overlays of its own, which cannot lie on one; /var/log is large.
for path in lib/kubelet lib/containerd lib/cni log; do
  mkdir -p "$own/$path" "/var/$path"
  mount --bind "$own/$path" "/var/$path"
done
mount --make-rshared /

# The kubelet insists on these settings and would change them for the whole machine: it is shown files that hold what it wants.
mkdir -p /run/tunables
while read -r path value; do
  echo "$value" >"/run/tunables/${path##*/}"
  mount --bind "/run/tunables/${path##*/}" "/proc/sys/$path"
done <<END
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
END
echo 1 >/proc/sys/net/ipv4/ip_forward

mkdir -p /run/cni/net.d
cat >/run/cni/net.d/10-test.conflist <<END
{"cniVersion": "0.4.0", "name": "test", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$(node_pods "$k")"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
END
# restrict_oom_score_adj: runc may not lower the score without CAP_SYS_RESOURCE, which a container or virtual machine may lack.
cat >/run/containerd.toml <<END
version = 2
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.opt"]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  disable_apparmor = true
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/run/cni/net.d"
END
cat >/run/kubelet.yaml <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$name-$node
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: [pods]
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $pki/$node.crt
tlsPrivateKeyFile: $pki/$node.key
resolvConf: ""
makeIPTablesUtilChains: false
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: "100Mi", nodefs.available: "0%", imagefs.available: "0%"}
nodeStatusUpdateFrequency: 5s
syncFrequency: 10s
volumePluginDir: /var/lib/kubelet/volumeplugins
END

supervise containerd containerd --config /run/containerd.toml --log-level warn
until [ -S /run/containerd/containerd.sock ] && ctr version >/dev/null 2>&1; do sleep 0.1; done
for image in "$cluster_tools"/images/*.tar; do
  ctr -n k8s.io images import "$image" >>"$log_directory/images.log" 2>&1
done
cat >/run/proxy.yaml <<END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $pki/proxy.conf}
clusterCIDR: $pods_net
mode: nftables
hostnameOverride: $node
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
END
supervise kubelet kubelet --config /run/kubelet.yaml --kubeconfig "$pki/$node.conf" --hostname-override "$node" --node-ip "$(node_address "$k")"
supervise kube-proxy kube-proxy --config /run/proxy.yaml
wait
