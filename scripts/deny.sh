#!/usr/bin/env bash
# Checks dependencies against deny.toml: with cargo-deny where it is installed (`cargo install cargo-deny --locked`,
# about 4 CPU-minutes), else only licences and sources. Advisories are checked when their database can be fetched.
set -euo pipefail
"$(dirname "$0")/setup.sh"
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"

if ! command -v cargo-deny >/dev/null; then
  python3 scripts/licences.py
  echo 'cargo-deny is not installed: advisories and bans were not checked'
  exit
fi
cargo deny --locked check licenses bans sources
if timeout 120 cargo deny --locked fetch db 2>/dev/null; then
  cargo deny --locked check --disable-fetch advisories
else
  echo 'the advisory database could not be fetched: advisories were not checked'
fi
