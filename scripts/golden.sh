#!/usr/bin/env bash
# Makes all golden bytes and the worked example of docs/format.md anew, after a change of the format. Only until the first release: from then on
# golden bytes are added and never replaced.
set -euo pipefail
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"

# What does not compile must not leave the checkout without its golden bytes.
cargo test --locked --no-run -p coffer-format --test it
cargo test --locked --no-run -p coffer-engine --test engine
rm -rf tests/golden crates/format/tests/golden
export COFFER_WRITE_GOLDEN=1
cargo test --locked -p coffer-format --test it golden
COFFER_WRITE_EXAMPLE=1 cargo test --locked -p coffer-format --test it example
cargo test --locked -p coffer-engine --test engine golden
unset COFFER_WRITE_GOLDEN
scripts/reader.sh
printf '%s files differ from those that are committed\n' "$(git status --short -- tests/golden crates/format/tests/golden docs/format.md | wc -l)"
