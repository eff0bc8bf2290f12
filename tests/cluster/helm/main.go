// Command helm renders a chart with Helm's own engine, the part of Helm that needs no cluster. Each template becomes a document of its own.
//
//	helm CHART NAMESPACE OUTPUT [VALUES.json…]
//
// OUTPUT/TEMPLATE is written for every template that is not empty, TEMPLATE as below CHART/templates. Values are held to values.schema.json.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
)

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: helm CHART NAMESPACE OUTPUT [VALUES.json…]")
		os.Exit(2)
	}
	if err := render(os.Args[1], os.Args[2], os.Args[3], os.Args[4:]); err != nil {
		fmt.Fprintln(os.Stderr, "helm:", err)
		os.Exit(1)
	}
}

func render(directory, namespace, output string, files []string) error {
	chart, err := loader.Load(directory)
	if err != nil {
		return err
	}
	given, err := readValues(files)
	if err != nil {
		return err
	}
	release := common.ReleaseOptions{Name: chart.Name(), Namespace: namespace, Revision: 1, IsInstall: true}
	// Holds the values to the chart's schema, too.
	values, err := util.ToRenderValues(chart, given, release, common.DefaultCapabilities)
	if err != nil {
		return err
	}
	rendered, err := engine.Render(chart, values)
	if err != nil {
		return err
	}
	for name, text := range rendered {
		if strings.TrimSpace(text) == "" {
			continue
		}
		path := filepath.Join(output, strings.TrimPrefix(name, chart.Name()+"/templates/"))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(strings.TrimRight(text, "\n")+"\n"), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// readValues merges the files; what stands in a later one wins.
func readValues(files []string) (map[string]any, error) {
	merged := map[string]any{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var values map[string]any
		if err := json.Unmarshal(data, &values); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		merged = loader.MergeMaps(merged, values)
	}
	return merged, nil
}
