# shellcheck shell=bash disable=SC2154
# supervise NAME COMMAND…: runs COMMAND in the background with its log in $log_directory, and again whenever it ends. Sourced by control.sh and node.sh.
supervise() {
  local component=$1
  shift
  (
    while :; do
      "$@" >>"$log_directory/$component.log" 2>&1 || true
      echo "--- $component ended, starting it again" >>"$log_directory/$component.log"
      sleep 0.5
    done
  ) &
}
