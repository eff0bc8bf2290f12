# shellcheck shell=bash disable=SC2154
# Local volumes as an administrator makes them: a StorageClass without a provisioner, a PersistentVolume for each raw device. Sourced after devices.sh.

local_class() {
  kube apply -f - >/dev/null <<END
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: local-device}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
END
}

# local_volume NAME K MIB: a device on node K, and its PersistentVolume.
local_volume() {
  local device
  device=$(new_device "$1" "$3")
  kube apply -f - >/dev/null <<END
apiVersion: v1
kind: PersistentVolume
metadata: {name: $1}
spec:
  capacity: {storage: $3Mi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: local-device
  volumeMode: Block
  local: {path: $device}
  nodeAffinity:
    required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [node$2]}]}]}
END
}
