"""The archive: of this version, the same when made twice, and Helm takes it."""

import hashlib
import os
import pathlib
import shutil
import tempfile
import unittest

import yaml

from chart import CHART, ROOT, cargo_version, render, run, text


class Package(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def package(self, out, version="1.2.3", helm=ROOT / "helm", env=None):
        run(helm / "package", "--version", version, "--out", out, env={**os.environ, **(env or {})})
        return out / f"portsyncd-{version}.tgz"

    def test_the_charts_version_is_the_programs(self):
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        self.assertEqual((cargo_version(), cargo_version()), (chart["version"], chart["appVersion"]))

    def test_helm_takes_the_archive(self):
        archive = self.package(self.folder)
        shown = yaml.safe_load(run("helm", "show", "chart", archive))
        self.assertEqual(("1.2.3", "1.2.3"), (shown["version"], shown["appVersion"]))
        run("helm", "lint", "--strict", archive)

    def test_the_archive_renders_what_the_folder_renders(self):
        archive = self.package(self.folder, cargo_version())
        everything = ("--values", str(ROOT / "helm" / "ci" / "lab-full.yaml"))
        self.assertEqual(text(*everything), text(*everything, chart=archive))
        self.assertEqual(5, sum(m["kind"] == "ConfigMap" for m in render(*everything, chart=archive)))

    def test_made_twice_it_is_the_same(self):
        """In another folder, at another time, by another umask."""
        first = self.package(self.folder / "a", env={"SOURCE_DATE_EPOCH": "1700000000"})
        copy = self.folder / "copy"
        copy.mkdir()
        shutil.copytree(ROOT / "helm", copy / "helm", symlinks=True)
        shutil.copytree(ROOT / "docs" / "monitoring", copy / "docs" / "monitoring")
        before = os.umask(0o077)
        self.addCleanup(os.umask, before)
        for path in copy.rglob("*"):
            if path.is_file() and not path.is_symlink():
                os.utime(path, (1, 1))
        second = self.package(self.folder / "b", helm=copy / "helm", env={"SOURCE_DATE_EPOCH": "1700000000"})
        digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (first, second)]
        self.assertEqual(digests[0], digests[1])


if __name__ == "__main__":
    unittest.main()
