#!/usr/bin/env bash
# Tries every order in which threads can meet at the lock of the buffer pool, with loom, in a target directory of its own: the
# pool is built with loom's locks instead of the standard library's.
set -euo pipefail
"$(dirname "$0")/setup.sh"
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"

RUSTFLAGS='--cfg loom' CARGO_TARGET_DIR=$target/loom \
  cargo test -p coffer-blockio --locked --test interleavings -- --nocapture "$@"
