"""What is rendered: valid for Kubernetes, hardened, and each part behind its switch."""

import collections
import json
import unittest

import jsonschema
import kubernetes_validate

from chart import CHART, MATRIX, NAME, find, render, run, values_of, workload

# The oldest that the mode needs and kubernetes-validate has (SONiC's own, 1.22, it has not), the newest, and one between.
VERSIONS = {"lab": ("1.29", "1.33", "1.37"), "node": ("1.25", "1.31", "1.37")}

# Shapes of the Prometheus operator's kinds, of which Kubernetes has no schema: what of them the chart may use.
STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}


def closed(properties, required=()):
    return {"type": "object", "additionalProperties": False, "properties": properties, "required": list(required)}


def listed(items):
    return {"type": "array", "items": items, "minItems": 1}


def text(pattern=".+"):
    return {"type": "string", "pattern": pattern}


RULE = closed(
    {"record": text("^[a-z][a-z0-9_:]*$"), "alert": text(), "expr": text(), "for": text(), "keep_firing_for": text(),
     "labels": STRINGS, "annotations": STRINGS},
    ["expr"],
)
RELABELING = closed(
    {"sourceLabels": listed(text()), "separator": text(), "targetLabel": text(), "replacement": text()}, ["targetLabel"]
)
OPERATOR = {
    "PrometheusRule": closed(
        {"groups": listed(closed({"name": text(), "interval": text(), "rules": listed(RULE)}, ["name", "rules"]))}, ["groups"]
    ),
    "PodMonitor": closed(
        {
            "selector": closed({"matchLabels": STRINGS}, ["matchLabels"]),
            "podMetricsEndpoints": listed(
                closed(
                    {"port": text(), "path": text(), "interval": text(), "scrapeTimeout": text(),
                     "scheme": {"enum": ["http", "https"]}, "tlsConfig": {"type": "object"}, "relabelings": listed(RELABELING)},
                    ["port", "path"],
                )
            ),
        },
        ["selector", "podMetricsEndpoints"],
    ),
}

SWITCHES = {
    "podMonitor.enabled": {"PodMonitor": 1},
    "prometheusRule.enabled": {"PrometheusRule": 1},
    "dashboards.enabled": {"ConfigMap": 4},
    "networkPolicy.enabled": {"NetworkPolicy": 1},
    "podDisruptionBudget.enabled": {"PodDisruptionBudget": 1},
}


def kinds(manifests):
    return collections.Counter(m["kind"] for m in manifests)


def mode_of(manifests):
    return "lab" if workload(manifests)["kind"] == "StatefulSet" else "node"


def pods(manifests):
    """Every pod's specification: the workload's and the test's."""
    yield workload(manifests)["spec"]["template"]["spec"]
    for manifest in manifests:
        if manifest["kind"] == "Pod":
            yield manifest["spec"]


def daemon(manifests):
    containers = workload(manifests)["spec"]["template"]["spec"]["containers"]
    return next(c for c in containers if c["name"] == "portsyncd")


class Schemas(unittest.TestCase):
    def test_helm_lints_every_file_of_values(self):
        for path in MATRIX:
            with self.subTest(path.name):
                run("helm", "lint", "--strict", CHART, *values_of(path))

    def test_kubernetes_takes_every_manifest(self):
        seen = set()
        for path in MATRIX:
            manifests = render(*values_of(path))
            for manifest in manifests:
                written = json.dumps(manifest, sort_keys=True)
                if manifest["kind"] in OPERATOR or written in seen:
                    continue
                seen.add(written)
                for version in VERSIONS[mode_of(manifests)]:
                    with self.subTest(f"{path.name} {manifest['kind']} {version}"):
                        # A kind without a schema is an error here, and so is a version that is not had.
                        self.assertEqual(version, kubernetes_validate.validate(manifest, version, strict=True))
        self.assertGreater(len(seen), 20)

    def test_kinds_of_the_prometheus_operator_have_its_shape(self):
        seen = set()
        for path in MATRIX:
            for manifest in render(*values_of(path)):
                if manifest["kind"] in OPERATOR:
                    seen.add(manifest["kind"])
                    self.assertEqual("monitoring.coreos.com/v1", manifest["apiVersion"])
                    jsonschema.validate(manifest["spec"], OPERATOR[manifest["kind"]])
        self.assertEqual(set(OPERATOR), seen)


class Switches(unittest.TestCase):
    def test_each_part_is_there_only_when_it_is_asked_for(self):
        plain = kinds(render())
        self.assertEqual({"ConfigMap": 1, "Service": 1, "StatefulSet": 1, "Pod": 1}, dict(plain))
        for switch, more in SWITCHES.items():
            with self.subTest(switch):
                self.assertEqual(collections.Counter(more), kinds(render("--set", f"{switch}=true")) - plain)

    def test_node_mode_has_a_daemonset_and_no_service(self):
        self.assertEqual({"ConfigMap": 1, "DaemonSet": 1, "Pod": 1}, dict(kinds(render("--set", "mode=node"))))


class Pods(unittest.TestCase):
    def test_containers_are_hardened(self):
        for path in MATRIX:
            manifests = render(*values_of(path))
            mode = mode_of(manifests)
            for pod in pods(manifests):
                self.assertIs(False, pod["automountServiceAccountToken"])
                self.assertEqual("RuntimeDefault", pod["securityContext"]["seccompProfile"]["type"])
                for container in [*pod.get("initContainers", []), *pod["containers"]]:
                    with self.subTest(f"{path.name} {container['name']}"):
                        context = container["securityContext"]
                        self.assertIs(False, context["allowPrivilegeEscalation"])
                        self.assertIs(False, context["privileged"])
                        self.assertIs(True, context["readOnlyRootFilesystem"])
                        self.assertEqual(["ALL"], context["capabilities"]["drop"])
                        self.assertLessEqual(set(context["capabilities"].get("add", [])), self.allowed(mode, container))
                        # An added capability is in effect for root alone.
                        user = context.get("runAsUser", pod["securityContext"].get("runAsUser"))
                        if "add" in context["capabilities"]:
                            self.assertEqual(0, user)
                        self.assertIn("memory", container["resources"]["limits"])

    def allowed(self, mode, container):
        by_name = {"portsyncd": {"NET_ADMIN", "DAC_OVERRIDE"} if mode == "node" else {"NET_ADMIN"}, "switch": {"NET_ADMIN"}}
        return by_name.get(container["name"], set())

    def test_probes_ask_the_daemon_by_its_own_socket(self):
        for path in MATRIX:
            container = daemon(render(*values_of(path)))
            with self.subTest(path.name):
                live, ready = container.get("livenessProbe"), container.get("readinessProbe")
                if path.name == "node-observe.yaml":
                    self.assertEqual((None, None), (live, ready))
                else:
                    self.assertEqual(["/usr/bin/portsyncd", "healthcheck"], live["exec"]["command"])
                    self.assertEqual(["/usr/bin/portsyncd", "healthcheck", "--ready"], ready["exec"]["command"])

    def test_a_node_listens_on_loopback_unless_told_otherwise(self):
        opened = daemon(render("--set", "mode=node", "--set", "http.address=podIP"))
        self.assertIn({"name": "PORTSYNCD_HTTP__LISTEN", "value": "$(POD_IP):9477"}, opened["env"])
        closed = daemon(render("--set", "mode=node"))
        self.assertNotIn("PORTSYNCD_HTTP__LISTEN", [entry["name"] for entry in closed.get("env", [])])

    def test_new_files_make_new_pods(self):
        def checksum(*options):
            return workload(render(*options))["spec"]["template"]["metadata"]["annotations"]["checksum/config"]

        plain = checksum()
        self.assertNotEqual(plain, checksum("--set", "config.log.level=debug"))
        self.assertNotEqual(plain, checksum("--set-json", 'alertRules={"a.toml": ""}'))
        self.assertEqual(plain, checksum("--set", "podMonitor.enabled=true"))

    def test_pods_are_found_by_whoever_selects_them(self):
        for mode in ("lab", "node"):
            manifests = render("--set", f"mode={mode},podMonitor.enabled=true,http.address=podIP")
            labels = workload(manifests)["spec"]["template"]["metadata"]["labels"].items()
            selectors = [workload(manifests)["spec"]["selector"], find(manifests, "PodMonitor")["spec"]["selector"]]
            for selector in selectors:
                self.assertLessEqual(selector["matchLabels"].items(), labels)
            test = find(manifests, "Pod")["metadata"]["labels"].items()
            self.assertFalse(selectors[0]["matchLabels"].items() <= test, "the test's pod is taken for a switch")

    def test_the_networks_policy_lets_only_the_test_and_named_peers_in(self):
        manifests = render("--set", "networkPolicy.enabled=true")
        policy = find(manifests, "NetworkPolicy")["spec"]
        self.assertEqual(["Ingress", "Egress"], policy["policyTypes"])
        self.assertEqual([], policy["egress"])
        (rule,) = policy["ingress"]
        self.assertEqual([{"port": "http", "protocol": "TCP"}], rule["ports"])
        (peer,) = rule["from"]
        test = find(manifests, "Pod")["metadata"]["labels"].items()
        self.assertLessEqual(peer["podSelector"]["matchLabels"].items(), test)

    def test_scraped_series_have_the_job_that_the_rules_need(self):
        monitor = find(render("--set", "podMonitor.enabled=true"), "PodMonitor")
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        self.assertIn({"targetLabel": "job", "replacement": "portsyncd"}, endpoint["relabelings"])
        self.assertIn("instance", [r["targetLabel"] for r in endpoint["relabelings"]])
        ports = {p["name"] for p in daemon(render())["ports"]}
        self.assertIn(endpoint["port"], ports)

    def test_names_stay_within_their_limits(self):
        long = ("--set", "fullnameOverride=" + "n" * 63 + ",dashboards.enabled=true")
        name = workload(render(*long))["metadata"]["name"]
        # A pod's revision label is the name, a dash and ten characters.
        self.assertLessEqual(len(name) + 11, 63)
        self.assertEqual(NAME, workload(render())["metadata"]["name"])


if __name__ == "__main__":
    unittest.main()
