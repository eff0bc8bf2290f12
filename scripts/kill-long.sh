#!/usr/bin/env bash
# Kills backups, forgets, prunes and restores at any moment, thousands of times. KILL_ROUNDS (5000) says how often; KILL_SEED
# repeats the decisions of an earlier run. Built for release, so that kills meet the program as users run it.
set -euo pipefail
"$(dirname "$0")/setup.sh"
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"

export KILL_ROUNDS=${KILL_ROUNDS:-5000}
export KILL_SEED=${KILL_SEED:-$(od -An -N6 -tu8 /dev/urandom | tr -d ' ')}
echo "KILL_SEED=$KILL_SEED KILL_ROUNDS=$KILL_ROUNDS scripts/kill-long.sh"
cargo test -p coffer-tests --release --locked --test kill -- --nocapture
