#!/usr/bin/env bash
# Stops the cluster and removes everything it had: processes, mounts, loop devices, namespaces, control groups, files. Safe to run at any time.
set -uo pipefail
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"
[ -d "$state" ] || [ -e "/run/netns/$name-control" ] || exit 0
mkdir -p "$state"
# A frozen file system outlives its mounts and keeps its device: what a run that died held still is let go first.
! alive "$state/node1.pid" || on_node fsfreeze --unfreeze /mnt/local 2>/dev/null || true
for pid in "$state"/node?.pid; do
  halt "$pid"
done
namespaces=("$name-control")
for k in 1 2 3 4 5 6 7 8 9; do
  namespaces+=("$name-node$k")
done
halt "$state/control.pid"
# What was run outside, and lost its parent. Whoever is in these namespaces came through us.
for namespace in "${namespaces[@]}"; do
  [ ! -e "/run/netns/$namespace" ] || ip netns pids "$namespace" | xargs -r kill -9 2>/dev/null
done

# Loop devices outlive the node: those over a file of the cluster, and those that the kubelet puts over such a device for a local Block volume.
# They are known by device and inode numbers, as names were seen from another mount namespace.
files=$(stat -c '%Hd:%Ld' "$state") devices=$(stat -c '%Hd:%Ld' /dev)
losetup -l -n -O NAME,BACK-MAJ:MIN,BACK-INO | while read -r device held inode; do
  [ "$held" = "$files" ] || continue
  [ -n "$(find "$state" -type f -inum "$inode" -print -quit)" ] || continue
  losetup -l -n -O NAME,BACK-MAJ:MIN,BACK-INO | while read -r above held_above inode_above; do
    [ "$held_above" != "$devices" ] || [ "$inode_above" != "$(stat -c %i "$device")" ] || losetup -d "$above"
  done
  losetup -d "$device"
done
for namespace in "${namespaces[@]}"; do
  [ ! -e "/run/netns/$namespace" ] || ip netns del "$namespace"
done
remove_cgroups "${namespaces[@]}"
rm -rf --one-file-system "$state"
