#!/usr/bin/sh
# ledger.sh write N | check: an application that checks itself. The raw device holds numbered transactions of 512 bytes, each with a checksum over
# itself and the one before: what was lost, torn or swapped is seen. `check` prints how many there are.
set -euo pipefail
device=/ledger
digest() { # NUMBER PREVIOUS
  printf '%s %s' "$1" "$2" | sha256sum | cut -d ' ' -f 1
}
record() { # NUMBER: "NUMBER:DIGEST", or nothing
  dd if="$device" bs=512 skip="$1" count=1 status=none | tr -d '\0 '
}
count=0 last=start
while :; do
  line=$(record "$((count + 1))")
  [ -n "$line" ] || break
  number=${line%%:*} found=${line##*:}
  [ "$number" -eq $((count + 1)) ] || { echo "transaction $((count + 1)) says that it is $number" >&2; exit 1; }
  [ "$found" = "$(digest "$number" "$last")" ] || { echo "transaction $number is damaged" >&2; exit 1; }
  count=$number last=$found
done
case $1 in
check) echo "$count" ;;
write)
  end=$((count + $2))
  while [ "$count" -lt "$end" ]; do
    count=$((count + 1))
    last=$(digest "$count" "$last")
    printf '%-512s' "$count:$last" | dd of="$device" bs=512 seek="$count" count=1 conv=notrunc status=none
  done
  sync "$device" 2>/dev/null || sync
  echo "$count"
  ;;
esac
