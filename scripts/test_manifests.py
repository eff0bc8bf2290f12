"""What can be said of the chart and its plain manifests without Helm; `scripts/manifests.sh --check` holds their content together."""
import json
import re
import unittest
from pathlib import Path

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
CHART = DEPLOY / "chart/coffer"
TEMPLATES = sorted(CHART.glob("templates/*/*.yaml"))


class Manifests(unittest.TestCase):
    def test_each_template_is_rendered_and_each_rendered_one_has_a_template(self):
        templates = {str(path.relative_to(CHART / "templates")) for path in TEMPLATES}
        rendered = {
            str(path.relative_to(DEPLOY))
            for path in DEPLOY.glob("*/*.yaml")
            if path.read_text().startswith("# Rendered from ")
        }
        self.assertTrue(templates)
        self.assertEqual(templates, rendered)

    def test_the_chart_has_every_definition(self):
        ours = {path.name for path in DEPLOY.glob("crds/*.yaml")} - {"kustomization.yaml"}
        self.assertTrue(ours)
        self.assertEqual({path.name for path in CHART.glob("crds/*.yaml")}, ours)
        for name in ours:
            self.assertEqual((CHART / "crds" / name).resolve(), DEPLOY / "crds" / name)

    def test_no_rule_has_a_wildcard(self):
        rules = [line for path in TEMPLATES for line in path.read_text().splitlines() if re.search(r"\b(apiGroups|resources|verbs):", line)]
        self.assertTrue(rules)
        self.assertEqual([line for line in rules if "*" in line], [])

    def test_every_setting_that_a_template_names_is_in_the_schema(self):
        schema = json.loads((CHART / "values.schema.json").read_text())["properties"]
        named = {match for path in TEMPLATES for match in re.findall(r"\.Values\.([\w.]+)", path.read_text())}
        self.assertTrue(named)
        for name in named:
            first, *rest = name.split(".")
            self.assertIn(first, schema, name)
            if rest:
                self.assertIn(rest[0], schema[first]["properties"], name)


if __name__ == "__main__":
    unittest.main()
