"""The pods' commands run: with the rendered arguments, files, users and capabilities, against real links and a real Redis."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

from chart import BINARIES, MATRIX, files, render, run, values_of, workload

HERE = pathlib.Path(__file__).parent


def certificates():
    """What a Secret of kind kubernetes.io/tls has."""
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = pathlib.Path(folder) / "key", pathlib.Path(folder) / "crt"
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
            "/CN=switch", "-keyout", key, "-out", certificate)
        return {"tls.key": key.read_text(), "tls.crt": certificate.read_text(), "ca.crt": certificate.read_text()}


class Pods(unittest.TestCase):
    def runs(self, *options, **more):
        manifests = render(*options)
        made = workload(manifests)
        spec = made["spec"]["template"]["spec"]
        tests = [m["spec"] for m in manifests if m["kind"] == "Pod"]
        given = {
            "binaries": str(BINARIES),
            "mode": "lab" if made["kind"] == "StatefulSet" else "node",
            "name": made["metadata"]["name"],
            "replicas": made["spec"].get("replicas", 0),
            "pod": spec,
            "data": files(manifests),
            "secrets": certificates(),
            "test": tests[0] if tests else None,
            "ports": 4,
            "flapping": False,
            "loopback": False,
            "client_ca": False,
            "observe": False,
            "denied": False,
            "reversed": False,
            **more,
        }
        command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "pods.py"]
        done = subprocess.run(
            command, cwd=HERE, input=json.dumps(given), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        self.assertEqual(0, done.returncode, done.stdout)
        return done.stdout

    def test_a_fake_switch(self):
        self.runs("--set", "lab.ports=4")

    def test_a_fake_switch_whose_containers_start_in_another_order(self):
        self.runs("--set", "lab.ports=4", reversed=True)

    def test_a_fake_switch_with_everything(self):
        full = next(path for path in MATRIX if path.name == "lab-full.yaml")
        self.runs(*values_of(full), "--set", "lab.ports=4,extraEnv=null,secretName=")

    def test_a_fake_switch_whose_ports_flap_and_whose_http_is_tls(self):
        flapping = next(path for path in MATRIX if path.name == "lab-flap.yaml")
        self.runs(*values_of(flapping), flapping=True)

    def test_a_node(self):
        self.runs("--set", "mode=node", loopback=True)

    def test_a_node_on_its_address_whose_portsyncd_is_in_the_group_of_redis(self):
        full = next(path for path in MATRIX if path.name == "node-full.yaml")
        self.runs(*values_of(full))

    def test_a_node_whose_clients_need_a_certificate(self):
        """The kubelet has none: the probes run in the container."""
        clients = next(path for path in MATRIX if path.name == "node-client-ca.yaml")
        self.runs(*values_of(clients), client_ca=True)

    def test_a_node_that_observes_beside_another_portsyncd(self):
        observe = next(path for path in MATRIX if path.name == "node-observe.yaml")
        self.runs(*values_of(observe), observe=True)

    def test_a_node_whose_portsyncd_is_in_no_group_does_not_reach_redis(self):
        """What DAC_OVERRIDE and node.redisGroup are for: another group than the socket's will not do."""
        self.runs("--set", "mode=node,node.redisGroup=4242", denied=True)


if __name__ == "__main__":
    unittest.main()
