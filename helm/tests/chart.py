"""What the checks share: where things are, and Helm."""

import functools
import os
import pathlib
import re
import subprocess

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "portsyncd"
MATRIX = sorted((ROOT / "helm" / "ci").glob("*.yaml"))
BINARIES = pathlib.Path(os.environ["BINARIES"])
RELEASE = "r"
NAME = "r-portsyncd"


def run(*command, stdin=None, env=None, cwd=None):
    """Standard output; fails with what the program said."""
    done = subprocess.run(
        [str(word) for word in command], input=stdin, env=env, cwd=cwd, text=True, capture_output=True, check=False
    )
    if done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


@functools.cache
def text(*options, chart=CHART):
    """What `helm template` prints."""
    return run("helm", "template", RELEASE, chart, "--namespace", "switches", *options)


def render(*options, chart=CHART):
    """The manifests as objects."""
    return [document for document in yaml.safe_load_all(text(*options, chart=chart)) if document]


def values_of(path):
    """Options that have Helm use this file."""
    return ("--values", str(path))


def find(manifests, kind, name=None):
    """The one object of this kind."""
    found = [m for m in manifests if m["kind"] == kind and name in (None, m["metadata"]["name"])]
    if len(found) != 1:
        raise AssertionError(f"{len(found)} objects of kind {kind}, wanted is one")
    return found[0]


def workload(manifests):
    """The StatefulSet or DaemonSet."""
    found = [m for m in manifests if m["kind"] in ("StatefulSet", "DaemonSet")]
    if len(found) != 1:
        raise AssertionError(f"{len(found)} workloads, wanted is one")
    return found[0]


def files(manifests):
    """The ConfigMap with portsyncd.toml."""
    found = [m for m in manifests if m["kind"] == "ConfigMap" and "portsyncd.toml" in m["data"]]
    if len(found) != 1:
        raise AssertionError(f"{len(found)} ConfigMaps with portsyncd.toml, wanted is one")
    return found[0]["data"]


def refusal(*options):
    """What Helm says when it refuses these values."""
    command = ["helm", "template", RELEASE, str(CHART), *options]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    if done.returncode == 0:
        raise AssertionError(f"helm took {options}")
    return "\n".join(line for line in done.stderr.splitlines() if "symbolic link" not in line)


def cargo_version():
    """The version in Cargo.toml."""
    cargo = (ROOT / "Cargo.toml").read_text()
    return re.search(r'^version = "(.+)"$', cargo, re.MULTILINE).group(1)
