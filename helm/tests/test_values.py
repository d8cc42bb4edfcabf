"""Values, their schema and their documentation say the same, and wrong values are refused by name."""

import json
import re
import unittest

import yaml

from chart import CHART, ROOT, refusal, render, values_of, workload

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())

# What the chart decides itself.
DECIDED = {"http.listen", "http.tls_cert", "http.tls_key", "http.client_ca", "control.socket", "state.dir", "alerts.rules"}


def leaves(value, path=""):
    """Paths of values: everything that is no mapping, and mappings that are empty or the user's own."""
    own = {"resources", "labels", "annotations", "nodeSelector"}
    if isinstance(value, dict) and value and path.rsplit(".", 1)[-1] not in own:
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    else:
        yield path


def resolved(schema):
    while "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rsplit("/", 1)[-1]]
    return schema


def schema_leaves(schema, path=""):
    schema = resolved(schema)
    if "properties" in schema and path != "config":
        for key, inner in schema["properties"].items():
            yield from schema_leaves(inner, f"{path}.{key}" if path else key)
    else:
        yield path


class Documentation(unittest.TestCase):
    def test_readme_lists_every_value_and_no_other(self):
        rows = re.findall(r"^\| `([A-Za-z.]+)` \|", (CHART / "README.md").read_text(), re.MULTILINE)
        self.assertEqual(sorted(set(rows)), sorted(rows), "a value stands in the README twice")
        self.assertEqual(sorted(leaves(VALUES)), sorted(rows))

    def test_readme_says_the_defaults(self):
        rows = re.findall(r"^\| `([A-Za-z.]+)` \| (.*?) \|", (CHART / "README.md").read_text(), re.MULTILINE)
        for path, said in rows:
            value = VALUES
            for key in path.split("."):
                value = value[key]
            with self.subTest(path):
                self.assertEqual(yaml.safe_load(said.strip("`")), value)

    def test_schema_knows_every_value_and_no_other(self):
        self.assertEqual(sorted(leaves(VALUES)), sorted(set(schema_leaves(SCHEMA)) - {"global"}))

    def test_schema_of_config_has_the_keys_of_the_daemon(self):
        keys = re.findall(r"^\| `([a-z_]+\.[a-z_0-9]+)` \|", (ROOT / "docs" / "configuration.md").read_text(), re.MULTILINE)
        self.assertGreater(len(keys), 30)
        config = SCHEMA["properties"]["config"]["properties"]
        ours = {f"{section}.{key}" for section in config for key in config[section]["properties"]}
        self.assertEqual(sorted(set(keys) - DECIDED), sorted(ours))


class Refused(unittest.TestCase):
    """Each with the name of the value, and what would be right where a schema can say it."""

    def refused(self, name, *settings, also=""):
        with self.subTest(name):
            words = [word for setting in settings for word in ("--set-json", setting)]
            said = refusal(*words)
            self.assertIn(name, said)
            self.assertIn(also, said)

    def test_by_the_schema(self):
        self.refused("mode", 'mode="switch"', also='"lab", "node"')
        self.refused("replicaCount", "replicaCount=3", also="not allowed")
        self.refused("lab.replicas", 'lab.replicas="many"')
        self.refused("lab.ports", "lab.ports=0")
        self.refused("lab.flap", 'lab.flap="sometimes"')
        self.refused("lab.flapRate", "lab.flapRate=-1")
        self.refused("lab.redis.user", "lab.redis.user=0")
        self.refused("http.port", "http.port=70000")
        self.refused("http.address", 'http.address="localhost"')
        self.refused("http.address", 'http.address="127.0.0.1:9477"')
        self.refused("image.pullPolicy", 'image.pullPolicy="Sometimes"')
        self.refused("image.digest", 'image.digest="latest"')
        self.refused("node.redisDir", 'node.redisDir="run/redis"')
        self.refused("node.redisGroup", 'node.redisGroup="redis"')
        self.refused("podMonitor.interval", 'podMonitor.interval="often"')
        self.refused("podDisruptionBudget.maxUnavailable", 'podDisruptionBudget.maxUnavailable="half"')
        self.refused("alertRules", 'alertRules={"rules.yaml": ""}')
        self.refused("networkPolicy.from", "networkPolicy.from={}")

    def test_keys_of_config_that_the_daemon_does_not_know_or_the_chart_decides(self):
        self.refused("config", "config.redsi={}", also="redsi")
        self.refused("config.netlink", "config.netlink.recieve_buffer=1", also="recieve_buffer")
        self.refused("config.http", 'config.http.listen="0.0.0.0:80"', also="listen")
        self.refused("config.log.level", 'config.log.level="loud"')
        self.refused("config.health.window", "config.health.window=5")

    def test_what_does_not_go_together(self):
        self.refused("http.address", 'http.address="127.0.0.1"')
        self.refused("config.redis.url", 'config.redis.url="redis://elsewhere"')
        self.refused("http.tls.clientCA", "http.tls.clientCA=true")
        self.refused("networkPolicy.enabled", 'mode="node"', "networkPolicy.enabled=true")
        self.refused("podDisruptionBudget.enabled", 'mode="node"', "podDisruptionBudget.enabled=true")
        self.refused("node.nodeSelector", 'mode="node"', "node.nodeSelector.portsyncd=null")
        self.refused("podMonitor.enabled", 'mode="node"', "podMonitor.enabled=true", also="127.0.0.1")
        self.refused("node.observe", 'mode="node"', "node.observe=true", "podMonitor.enabled=true")
        self.refused("podMonitor.tlsConfig", "podMonitor.enabled=true", 'http.tls.secretName="t"')

    def test_kubernetes_that_is_too_old(self):
        self.assertIn("1.22", refusal("--kube-version", "1.21.0"))
        self.assertIn("mode", refusal("--kube-version", "1.28.3"))
        self.assertEqual("StatefulSet", workload(render("--kube-version", "1.29.0"))["kind"])
        node = CHART.parent / "ci" / "node.yaml"
        self.assertEqual("DaemonSet", workload(render("--kube-version", "1.22.2", *values_of(node)))["kind"])


if __name__ == "__main__":
    unittest.main()
