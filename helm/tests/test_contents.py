"""What the chart carries: configuration, alert rules, Prometheus' rules, dashboards."""

import json
import os
import pathlib
import shutil
import tempfile
import tomllib
import unittest

import yaml

from chart import BINARIES, MATRIX, ROOT, RELEASE, CHART, files, find, render, run, values_of, workload


class Configuration(unittest.TestCase):
    def checked(self, path):
        """What `portsyncd check-config` makes of the files, with the container's environment."""
        manifests = render(*values_of(path))
        container = workload(manifests)["spec"]["template"]["spec"]["containers"][0]
        env = {"PATH": os.environ["PATH"]}
        for variable in container.get("env", []):
            env[variable["name"]] = variable.get("value", "192.0.2.1").replace("$(POD_IP)", "192.0.2.1")
        # Not the host's: what these name is not there.
        env.pop("SSL_CERT_FILE", None)
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            for name, contents in files(manifests).items():
                (folder / name).write_text(self.with_certificates(contents, folder))
            (folder / "rules").mkdir()
            for name in set(files(manifests)) - {"portsyncd.toml"}:
                (folder / name).rename(folder / "rules" / name)
            env["PORTSYNCD_ALERTS__RULES"] = f'["{folder}/rules/*.toml"]'
            return run(BINARIES / "portsyncd", "--config", folder / "portsyncd.toml", "check-config", env=env)

    def with_certificates(self, contents, folder):
        """check-config reads certificates; here they are made for it."""
        where = "/etc/portsyncd/tls/"
        if where in contents and not (folder / "tls.crt").exists():
            run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
                "/CN=switch", "-keyout", folder / "tls.key", "-out", folder / "tls.crt")
            (folder / "ca.crt").write_text((folder / "tls.crt").read_text())
        return contents.replace(where, f"{folder}/")

    def test_the_daemon_takes_every_rendered_configuration(self):
        for path in MATRIX:
            with self.subTest(path.name):
                self.assertIn("# effective:", self.checked(path))

    def test_what_was_set_is_what_holds(self):
        held = tomllib.loads(self.checked(ROOT / "helm" / "ci" / "lab-full.yaml"))
        self.assertEqual(16777216, held["netlink"]["receive_buffer"])
        self.assertEqual(["Ethernet", "Recirc"], held["ports"]["prefixes"])
        self.assertEqual("json", held["log"]["format"])
        self.assertEqual("0.0.0.0:9477", held["http"]["listen"])
        self.assertEqual(64, held["http"]["max_connections"])
        self.assertEqual(["noc", "rows"], [sink["name"] for sink in held["alerts"]["sink"]])
        listening = {"lab-flap": "[::]:9400", "node": "127.0.0.1:9477", "node-full": "192.0.2.1:9477"}
        for name, listen in listening.items():
            held = tomllib.loads(self.checked(ROOT / "helm" / "ci" / f"{name}.yaml"))
            self.assertEqual(listen, held["http"]["listen"], name)

    def test_strings_survive(self):
        odd = 'a "quote", a \\ backslash, <html> & é'
        values = {"config": {"alerts": {"sink": [{"name": "noc", "type": "webhook", "headers": {"X y": odd}}]}}}
        rendered = files(render("--set-json", f"config={json.dumps(values['config'])}"))["portsyncd.toml"]
        self.assertEqual(odd, tomllib.loads(rendered)["alerts"]["sink"][0]["headers"]["X y"])

    def test_alert_rules_are_in_force(self):
        with_rules = self.checked(ROOT / "helm" / "ci" / "lab-full.yaml")
        without = self.checked(ROOT / "helm" / "ci" / "lab.yaml")

        def count(said):
            return next(int(line.split()[2]) for line in said.splitlines() if line.endswith("on") and "alert rules" in line)

        self.assertEqual(count(without) + 1, count(with_rules))

    def test_a_wrong_rule_is_found(self):
        # The check would be worth nothing if check-config did not read the rules.
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as values:
            values.write('alertRules: {a.toml: "[[rule]]\\nname = 1\\n"}')
            values.flush()
            with self.assertRaises(AssertionError) as refused:
                self.checked(values.name)
            self.assertIn("a.toml", str(refused.exception))


class Monitoring(unittest.TestCase):
    def test_runbooks_are_where_the_values_say(self):
        values = ("--set", "prometheusRule.enabled=true", "--set", "prometheusRule.runbookBaseUrl=https://wiki.mine/p/")
        groups = find(render(*values), "PrometheusRule")["spec"]["groups"]
        urls = [rule["annotations"]["runbook_url"] for group in groups for rule in group["rules"] if "alert" in rule]
        self.assertTrue(urls)
        for url in urls:
            self.assertTrue(url.startswith("https://wiki.mine/p/monitoring/README.md#"), url)

    def test_rules_are_those_of_the_repository_and_promtool_takes_them(self):
        rules = find(render("--set", "prometheusRule.enabled=true"), "PrometheusRule")["spec"]
        ours = yaml.safe_load((ROOT / "docs/monitoring/rules/portsyncd.rules.yaml").read_text())
        self.assertEqual(ours, rules)
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump(rules, file)
            file.flush()
            said = run("promtool", "check", "rules", file.name)
        self.assertIn(f"{sum(len(group['rules']) for group in rules['groups'])} rules found", said)

    def test_dashboards_are_those_of_the_repository(self):
        found = {}
        for manifest in render("--set", "dashboards.enabled=true"):
            if manifest["kind"] == "ConfigMap" and "-dashboard-" in manifest["metadata"]["name"]:
                self.assertEqual("1", manifest["metadata"]["labels"]["grafana_dashboard"])
                ((name, contents),) = manifest["data"].items()
                found[name] = json.loads(contents)
        folder = ROOT / "docs" / "monitoring" / "dashboards"
        ours = {f"portsyncd-{path.name}": json.loads(path.read_text()) for path in folder.glob("*.json")}
        self.assertEqual(ours, found)


class Notes(unittest.TestCase):
    def setUp(self):
        # Helm prints them only to a cluster: a copy of the chart has them as a manifest.
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.chart = pathlib.Path(folder.name) / "portsyncd"
        shutil.copytree(CHART, self.chart)
        notes = (self.chart / "templates" / "NOTES.txt").read_text()
        (self.chart / "templates" / "_notes.tpl").write_text('{{ define "notes" }}' + notes + "{{ end }}")
        (self.chart / "templates" / "notes.yaml").write_text('kind: Notes\ntext: {{ include "notes" . | toJson }}\n')

    def test_notes_name_what_was_made(self):
        for path in MATRIX:
            manifests = render(*values_of(path), chart=self.chart)
            (notes,) = (m["text"] for m in manifests if m["kind"] == "Notes")
            made = workload(manifests)
            with self.subTest(path.name):
                self.assertIn(f"{made['kind'].lower()}/{made['metadata']['name']}", notes)
                self.assertEqual(any(m["kind"] == "Pod" for m in manifests), f"helm -n switches test {RELEASE}" in notes)
                self.assertNotRegex(notes, r"\n\n\n|[ \t]\n")


if __name__ == "__main__":
    unittest.main()
