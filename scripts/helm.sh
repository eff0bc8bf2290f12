# shellcheck shell=bash
# shellcheck disable=SC2154 # root comes from env.sh
# render_chart renders a chart with Helm's own engine, built from its Go module (tests/cluster/helm). Sourced after env.sh.

# shellcheck source=go.sh
. "$root/scripts/go.sh"

# render_chart CHART NAMESPACE OUTPUT [VALUES.json…]: one file in OUTPUT for each template.
render_chart() {
  local go renderer=$root/target/tools/helm
  go=$(find_go)
  (cd "$root/tests/cluster/helm" && CGO_ENABLED=0 GOFLAGS=-modcacherw "$go" build -trimpath -ldflags '-s -w' -o "$renderer" .) >&2
  "$renderer" "$@"
}
