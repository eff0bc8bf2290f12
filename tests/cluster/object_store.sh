# shellcheck shell=bash disable=SC2154,SC2034
# A real S3 server where pods and those outside reach it under one address. Sourced after env.sh.

access_key=coffertests
secret_key=not-a-secret-of-anyone
s3_pid=

# s3_start: versitygw over a directory of the cluster; sets `repository` to an address on it. It ends with the script, however that ends.
s3_start() {
  local address=$control_ip:7070
  mkdir -p "$state/s3/objects/bucket" "$state/s3/iam"
  # Not through `outside`: a function in the background is a shell of its own, and the server's parent has to be this one.
  ROOT_ACCESS_KEY=$access_key ROOT_SECRET_KEY=$secret_key nsenter --net="/run/netns/$name-control" -- setpriv --pdeathsig KILL \
    versitygw --port "$address" --region us-east-1 --keep-alive --quiet --iam-dir "$state/s3/iam" posix "$state/s3/objects" \
    >"$state/log/s3.log" 2>&1 &
  s3_pid=$!
  export AWS_ACCESS_KEY_ID=$access_key AWS_SECRET_ACCESS_KEY=$secret_key
  repository="s3://bucket/smoke?endpoint=http://$address"
  wait_for 30 outside bash -c "exec 3<>/dev/tcp/${address/:/\/}"
}

s3_stop() {
  [ -z "$s3_pid" ] || kill "$s3_pid" 2>/dev/null || true
  s3_pid=
}
