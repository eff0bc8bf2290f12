#!/usr/bin/env bash
# The plain manifests of deploy/agent and deploy/controller, rendered from the chart deploy/chart/coffer.
#
#   manifests.sh           writes them
#   manifests.sh --check   fails where one is not what the chart says, and changes nothing
set -euo pipefail
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"
# shellcheck source=helm.sh
. scripts/helm.sh

chart=deploy/chart/coffer
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '{"namespace": {"create": true}}\n' >"$work/values.json"
render_chart "$chart" coffer-system "$work/rendered" "$work/values.json"

for template in "$chart"/templates/*/*.yaml; do
  name=${template#"$chart/templates/"}
  [ -e "$work/rendered/$name" ] || die "the chart renders nothing from $template"
  {
    printf '# Rendered from %s by scripts/manifests.sh: change it there.\n' "$template"
    cat "$work/rendered/$name"
  } >"$work/manifest"
  if [ "${1:-}" != --check ]; then
    cp "$work/manifest" "deploy/$name"
  elif ! diff -u "deploy/$name" "$work/manifest"; then
    die "deploy/$name is not what the chart says: change the chart, then run make manifests"
  fi
done
