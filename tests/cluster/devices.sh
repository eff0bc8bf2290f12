# shellcheck shell=bash disable=SC2154
# Loop devices over files of the cluster, which down.sh finds and detaches. Sourced after env.sh.

# new_device NAME MIB: makes an empty device and prints its path. It belongs to the group `disk`, as on every node with udev.
new_device() {
  local device
  mkdir -p "$state/volumes"
  truncate -s "$2M" "$state/volumes/$1.img"
  device=$(losetup --find --show "$state/volumes/$1.img")
  chown 0:6 "$device"
  chmod 660 "$device"
  printf '%s' "$device"
}

# keep_bytes DEVICE NAME: remembers what is on a device now, past every cache.
keep_bytes() {
  mkdir -p "$state/kept"
  dd if="$1" of="$state/kept/$2" bs=1M iflag=direct conv=sparse status=none
}

# same_bytes DEVICE NAME: whether a device holds what was remembered.
same_bytes() {
  dd if="$1" bs=1M iflag=direct status=none | cmp - "$state/kept/$2" || die "$1 is not what $2 was"
  printf '%s is byte by byte what %s was\n' "$1" "$2"
}
