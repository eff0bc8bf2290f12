#!/usr/bin/env bash
# Builds what the test cluster runs into target/tools/cluster: Kubernetes and etcd as one program from Go modules (the first time about 11 minutes of
# CPU and 3 GiB of cache), and two images: pause, and busybox for the workload. containerd, runc, CNI plugins and busybox come from Debian.
set -euo pipefail
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"
# shellcheck source=../../scripts/go.sh
. scripts/go.sh

packages=()
while read -r program package; do
  command -v "$program" >/dev/null || packages+=("$package")
done <<END
containerd containerd
runc runc
/usr/lib/cni/bridge containernetworking-plugins
ip iproute2
busybox busybox-static
nft nftables
openssl openssl
losetup util-linux
nsenter util-linux
setpriv util-linux
mke2fs e2fsprogs
END
[ ${#packages[@]} -eq 0 ] || install_packages "${packages[@]}"

go=$(find_go)
mkdir -p "$cluster_tools/bin" "$cluster_tools/images"
export CGO_ENABLED=0 GOFLAGS=-modcacherw
cd "$cluster"
version=$("$go" list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=${version#v*.}
is=k8s.io/component-base/version
"$go" build -trimpath \
  -ldflags "-s -w -X $is.gitVersion=$version -X $is.gitMajor=1 -X $is.gitMinor=${minor%%.*} -X $is.gitTreeState=clean" \
  -o "$cluster_tools/bin/" ./kube ./pause
for program in etcd kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl; do
  ln -sf kube "$cluster_tools/bin/$program"
done

cd "$root"
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
cp "$(command -v busybox)" "$box/busybox"
for applet in $(busybox --list | grep -vx busybox); do
  ln -s busybox "$box/$applet"
done
scripts/oci_image.py build --output "$cluster_tools/images/pause.tar" --name localhost/pause:1 --entrypoint /pause "$cluster_tools/bin/pause=/pause"
scripts/oci_image.py build --output "$cluster_tools/images/busybox.tar" --name localhost/busybox:1 --entrypoint /usr/bin/sh "$box=/usr/bin"
