#!/usr/bin/env bash
# Shows, and checks, what coffer is for: a file system with real files is backed up, changed and backed up twice more;
# then each of the three points is restored to a new image and every file compared with what was there at the time.
# Works in a folder below target/, leaves nothing behind, and ends with an error if anything differs.
#
# As root it uses a mounted ext4 on a loop device; otherwise (or with DEMO_MODE=image) an ext4 image in a file.
# COFFER names a program to use instead of building one.
set -euo pipefail
"$(dirname "$0")/setup.sh"
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"
# shellcheck source=demo-volume.sh
. scripts/demo-volume.sh

if [ -z "${COFFER:-}" ]; then
  cargo build --release --locked -p coffer-cli --bin coffer
  COFFER=$target/release/coffer
fi

work=
finish() {
  local status=$?
  trap - EXIT
  set +e
  volume_discard
  [ -z "$work" ] || rm -rf --one-file-system "$work"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP
mkdir -p "$target"
work=$(mktemp -d "$target/demo.XXXXXX")
export PYTHONDONTWRITEBYTECODE=1

step() {
  printf '\n== %s\n' "$*"
}

# fresh PATH SIZE SEED [MIX]: makes a file of seeded content below the tree.
fresh() {
  python3 benches/gen_image.py "$tree/$1" --size "$2" --seed "$3" --mix "${4:-text=35,db=30,random=20,zero=15}" >/dev/null
  note_written "$1"
}

# About 100 MiB: large mixed files, 500 small ones, and what file systems have besides plain files.
fill() {
  local number
  mkdir -p "$tree/data" "$tree/small/by-line" "$tree/odd"
  for number in 1 2 3 4 5 6; do
    fresh "data/volume-$number.bin" 16MiB "$number"
  done
  fresh all.txt 2MiB 100 text=1
  split --bytes 4K --suffix-length 3 "$tree/all.txt" "$tree/small/by-line/part-"
  head -c 100000 "$tree/all.txt" >"$tree/data/events.log"
  [ ! -d /usr/share/common-licenses ] || cp -a /usr/share/common-licenses "$tree/small/licenses"
  : >"$tree/odd/empty"
  truncate -s 20M "$tree/odd/sparse" && printf end | dd of="$tree/odd/sparse" bs=1 seek=10000000 conv=notrunc status=none
  ln "$tree/all.txt" "$tree/odd/hard link"
  ln -s ../data/volume-1.bin "$tree/odd/symlink"
  ln -s nowhere "$tree/odd/dangling"
  printf 'x' >"$tree/odd/-rf"
  printf 'x' >"$tree/odd/"$'new\nline and \xff'
  chmod 4750 "$tree/odd/-rf"
  touch -d 1999-12-31T23:59:59Z "$tree/odd/empty"
}

# change NUMBER: adds, rewrites in place, appends, replaces and deletes.
change() {
  local path letter
  letter=$(printf abc | cut -c "$1")
  mkdir "$tree/added-$1" && note_folder "added-$1"
  fresh "added-$1/new.bin" 3MiB "20$1"
  python3 benches/gen_image.py "$work/patch" --size 64KiB --seed "40$1" --mix random=1 >/dev/null
  dd if="$work/patch" of="$tree/data/volume-$1.bin" bs=64K seek=100 conv=notrunc status=none
  note_written "data/volume-$1.bin"
  printf 'event of change %s\n' "$1" >>"$tree/data/events.log"
  note_written data/events.log
  fresh "data/volume-$(($1 + 2)).bin" 1MiB "30$1"
  for path in "$tree/small/by-line/part-a$letter"* "$tree/data/volume-$(($1 + 4)).bin"; do
    rm "$path"
    note_removed "${path#"$tree"/}"
  done
}

# remember NUMBER: keeps what is on the volume now, to compare a restore with.
remember() {
  mkdir "$work/kept-$1"
  cp -a "$tree/." "$work/kept-$1/"
  checksums "$tree" >"$work/checksums-$1"
  listing "$tree" >"$work/listing-$1"
}

# checksums FOLDER: SHA-256 and name of every regular file.
checksums() {
  (cd "$1" && find . -path ./lost+found -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
}

# listing FOLDER: type, mode, owner, size, time, links and link target of everything.
listing() {
  (cd "$1" && find . -printf '%P|%y|%m|%U:%G|%s|%T@|%n|%l\0' | LC_ALL=C sort -z)
}

# back_up NUMBER TYPE: holds the volume still, backs it up with the writer key, lets it go.
back_up() {
  remember "$1"
  volume_hold
  "$COFFER" backup --repo "$repo" --key "$work/writer.key" "${plan[@]}" --type "$2" --quiet --json \
    "vol=$source_path" >"$work/backup-$1.json"
  # A mounted device must be read around its cache: what the file system writes does not pass through there.
  dd if="$source_path" bs=1M iflag=direct status=none | sha256sum >"$work/volume-$1.sha256"
  volume_release
}

# check_point NUMBER INTENT: restores a point to a new image and compares the image and every file in it.
check_point() {
  local image=$work/restored-$1.img folder=$work/restored-$1
  "$COFFER" restore --repo "$repo" --key "$work/recovery.key" "${plan[@]}" --pick "$2" --quiet --json \
    --volume "vol=$image" >"$work/restore-$1.json"
  sha256sum <"$image" | cmp - "$work/volume-$1.sha256" || die "$2: the restored image is not the volume of point $1"
  restored_open "$image" "$folder"
  diff -rq --no-dereference --exclude lost+found "$work/kept-$1" "$folder" || die "$2: files differ from point $1"
  checksums "$folder" | cmp - "$work/checksums-$1" || die "$2: checksums differ from point $1"
  if [ "$mode" = loop ]; then # debugfs does not keep times and owners, so there is nothing to compare them with
    listing "$folder" | cmp - "$work/listing-$1" || die "$2: modes, owners, times or links differ from point $1"
  fi
  printf '%s: the image is equal, and so are all %s files\n' "$2" "$(wc -l <"$work/checksums-$1")"
  restored_close "$folder"
  rm "$image"
}

repo=file://$work/repository
plan=(--cluster demo --namespace demo --plan files)

step "a file system with files on it"
volume_make
fill
volume_filled
printf '%s, %s of files\n' "$([ "$mode" = loop ] && echo "ext4 mounted from $device" || echo 'ext4 in an image file')" \
  "$(du -sh "$tree" | cut -f 1)"

step "a repository; the writer key stays with the backups, the recovery key is for restores"
"$COFFER" init --repo "$repo" --key-out "$work/recovery.key" --writer-key-out "$work/writer.key"

step "a full backup, then two rounds of changes with an incremental backup after each"
back_up 1 auto
change 1
back_up 2 auto
change 2
back_up 3 auto
"$COFFER" points --repo "$repo" "${plan[@]}"
"$COFFER" points --repo "$repo" "${plan[@]}" --json >"$work/points.json"

step "every point, restored to a new image and compared"
check_point 1 oldest
check_point 2 previous
check_point 3 latest

step "what it took"
python3 scripts/demo_report.py "$work"
