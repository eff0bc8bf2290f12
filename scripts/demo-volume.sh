# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # work is the caller's; source_path is for the caller
# The demo's file system, in two ways. Sourced by demo.sh, which sets `work` (an empty folder).
#
#   loop    as root: ext4 on a loop device, mounted; frozen while it is backed up; changed through the kernel
#   image   otherwise: ext4 in a file, filled by `mke2fs -d`, changed and read out by debugfs
#
# After volume_make: `mode`, `tree` (folder with the files), `source_path` (what coffer backs up). Changes are made in
# `tree` and told with note_written, note_folder and note_removed, so that `image` mode can repeat them.

mode='' tree='' source_path='' device='' frozen='' mounted_restore=''
volume_bytes=$((512 << 20))

volume_make() {
  truncate -s "$volume_bytes" "$work/volume.img"
  tree=$work/tree
  mkdir "$tree"
  if [ "${DEMO_MODE:-loop}" = loop ] && attach_loop; then
    mode=loop source_path=$device
  else
    mode=image source_path=$work/volume.img
  fi
}

# Says whether a loop device could be made and mounted here.
attach_loop() {
  [ "$(id -u)" -eq 0 ] || return 1
  device=$(losetup --find --show "$work/volume.img" 2>/dev/null) || { device='' && return 1; }
  # Nothing is left for later, so that the kernel does not go on initialising tables between two backups.
  if mke2fs -q -t ext4 -E lazy_itable_init=0,lazy_journal_init=0 "$device" && mount -t ext4 "$device" "$tree" 2>/dev/null; then
    return 0
  fi
  losetup --detach "$device"
  device=''
  return 1
}

# To be called once the first files are in `tree`.
volume_filled() {
  [ "$mode" = loop ] || mke2fs -q -t ext4 -d "$tree" "$work/volume.img"
  : >"$work/debugfs.commands"
}

note_folder() {
  printf 'mkdir "%s"\n' "$1" >>"$work/debugfs.commands"
}

# note_written PATH: a file below `tree` that is new or was rewritten.
note_written() {
  printf 'rm "%s"\nwrite "%s" "%s"\n' "$1" "$tree/$1" "$1" >>"$work/debugfs.commands"
}

note_removed() {
  printf 'rm "%s"\n' "$1" >>"$work/debugfs.commands"
}

# Makes the volume consistent: nothing writes to it until volume_release.
volume_hold() {
  if [ "$mode" = loop ]; then
    sync -f "$tree"
    fsfreeze --freeze "$tree"
    frozen=yes
  else
    # `rm` of a file that is not there yet is the one complaint to expect; the comparison finds any other fault.
    debugfs -w -f "$work/debugfs.commands" "$work/volume.img" >"$work/debugfs.log" 2>&1
    : >"$work/debugfs.commands"
  fi
}

volume_release() {
  if [ -n "$frozen" ]; then
    fsfreeze --unfreeze "$tree"
    frozen=''
  fi
}

# restored_open IMAGE FOLDER: makes the files of a restored image visible in a folder.
restored_open() {
  mkdir "$2"
  if [ "$mode" = loop ]; then
    mount -t ext4 -o loop,ro "$1" "$2"
    mounted_restore=$2
  else
    debugfs -R "rdump / \"$2\"" "$1" >"$work/debugfs.log" 2>&1
  fi
}

restored_close() {
  if [ -n "$mounted_restore" ]; then
    umount "$mounted_restore"
    mounted_restore=''
  else
    rm -rf "$1"
  fi
}

# Undoes everything; safe at any moment and more than once.
volume_discard() {
  volume_release
  [ -z "$mounted_restore" ] || umount "$mounted_restore"
  if [ -n "$device" ]; then
    ! mountpoint -q "$tree" || umount "$tree"
    losetup --detach "$device"
  fi
  mounted_restore='' device=''
}
