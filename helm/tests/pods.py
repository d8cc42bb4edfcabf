"""Runs a rendered pod without Kubernetes: its containers' commands, as their users, with their capabilities and volumes.

Started by test_pods.py inside network, mount and process namespaces of its own, with the manifests on standard input. What the
images would have is the host's: redis-server, curl, a shell, and the binaries under test. The root file system is read-only to everyone.
"""

import json
import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request

POD_IP = "192.0.2.1"
# Of the emulated SONiC host.
REDIS_GROUP = 995
LIMIT = 90.0  # seconds; nothing is expected to take as long
PROGRAMS = pathlib.Path("/run/programs")
VOLUMES = pathlib.Path("/run/volumes")


def run(*command):
    return subprocess.run([str(word) for word in command], check=True, text=True, capture_output=True).stdout


def wait_until(what, condition):
    """Waits for a condition; says what was awaited, and what was there instead, when it does not come."""
    end = time.monotonic() + LIMIT
    last = None
    while time.monotonic() < end:
        last = condition()
        if last is True:
            print(f"  {what}", flush=True)
            return
        time.sleep(0.05)
    raise AssertionError(f"did not come: {what}; last: {last}")


def prepare(binaries):
    """Places to write to in memory, everything else read-only."""
    run("mount", "--make-rprivate", "/")
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    if not os.path.islink("/var/run"):
        run("mount", "--bind", "/run", "/var/run")
    shutil.copytree("/etc", "/run/etc", symlinks=True)
    run("mount", "--bind", "/run/etc", "/etc")
    run("mount", "-t", "tmpfs", "tmpfs", "/var/lib")
    PROGRAMS.mkdir()
    for name in ("portsyncd", "portsyncd-lab"):
        shutil.copy(pathlib.Path(binaries) / name, PROGRAMS / name)
    for name in ("redis-server", "redis-cli", "curl"):
        (PROGRAMS / name).symlink_to(shutil.which(name))
    for applet in ("sh", "grep", "sleep", "echo"):
        (PROGRAMS / applet).symlink_to(shutil.which("busybox"))
    run("ip", "link", "set", "lo", "up")
    run("ip", "address", "add", f"{POD_IP}/32", "dev", "lo")


class Pod:
    """A pod's specification, at work."""

    def __init__(self, spec, data, secrets):
        self.spec = spec
        self.data = data
        self.secrets = secrets
        self.running = {}
        self.group = spec["securityContext"].get("fsGroup")
        for volume in spec.get("volumes", []):
            self.make_volume(volume)
        self.containers = [*spec.get("initContainers", []), *spec["containers"]]
        mounts = {m["mountPath"]: m for c in self.containers for m in c.get("volumeMounts", [])}
        for path in sorted(mounts):
            pathlib.Path(path).mkdir(parents=True, exist_ok=True)
            run("mount", "--bind", VOLUMES / mounts[path]["name"], path)
            if mounts[path].get("readOnly"):
                run("mount", "-o", "remount,bind,ro", path)

    def make_volume(self, volume):
        folder = VOLUMES / volume["name"]
        folder.mkdir(parents=True, exist_ok=True)
        if "configMap" in volume:
            for item in volume["configMap"]["items"]:
                file = folder / item["path"]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(self.data[item["key"]])
        elif "secret" in volume:
            for name, contents in self.secrets.items():
                (folder / name).write_text(contents)
                (folder / name).chmod(volume["secret"]["defaultMode"])
        elif "emptyDir" in volume:
            folder.chmod(0o777)
            if self.group is not None:
                os.chown(folder, 0, self.group)
                folder.chmod(0o2777)
        # A hostPath is what the caller has put there.

    def as_container(self, container, command):
        """The command as the container's user, in its groups, with its capabilities and no way to others."""
        context = {**self.spec["securityContext"], **container["securityContext"]}
        groups = [g for g in [self.group, *context.get("supplementalGroups", [])] if g is not None]
        added = "".join(f",+{name.lower()}" for name in context["capabilities"].get("add", []))
        words = [shutil.which("setpriv"), f"--reuid={context['runAsUser']}", f"--regid={context['runAsGroup']}"]
        words += [f"--groups={','.join(map(str, groups))}"] if groups else ["--clear-groups"]
        words += [f"--bounding-set=-all{added}", "--inh-caps=-all", "--no-new-privs", "--"]
        program = pathlib.Path(command[0]).name
        return [*words, str(PROGRAMS / program), *command[1:]]

    def environment(self, container):
        env = {"PATH": str(PROGRAMS)}
        for variable in container.get("env", []):
            env[variable["name"]] = self.expand(variable.get("value", POD_IP), env)
        return env

    @staticmethod
    def expand(word, env):
        for name, value in env.items():
            word = word.replace(f"$({name})", value)
        return word

    def container(self, name):
        return next(c for c in self.containers if c["name"] == name)

    def start(self, name, **more):
        container = self.container(name)
        env = self.environment(container)
        command = [self.expand(word, env) for word in [*container["command"], *container.get("args", [])]]
        self.running[name] = subprocess.Popen(self.as_container(container, command), env=env, **more)

    def run_to_end(self, name):
        self.start(name)
        return self.running.pop(name).wait(LIMIT)

    def execute(self, name, command):
        container = self.container(name)
        done = subprocess.run(
            self.as_container(container, command), env=self.environment(container), text=True, capture_output=True, check=False
        )
        return done.returncode, done.stdout.strip(), done.stderr.strip()

    def probe(self, name, kind):
        """True, or why not, as the kubelet sees it."""
        container = self.container(name)
        probe = container[kind]
        code, out, err = self.execute(name, probe["exec"]["command"])
        return True if code == 0 else f"{code} {out} {err}"

    def all_run(self):
        for name, process in self.running.items():
            if process.poll() is not None:
                raise AssertionError(f"{name} has ended with {process.returncode}")


def fetch(url):
    # As the kubelet: no certificate is verified.
    context = ssl._create_unverified_context()
    try:
        with urllib.request.urlopen(url, timeout=5, context=context) as answer:
            return True if answer.status == 200 else f"{answer.status}"
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode()}"
    except OSError as error:
        return str(error)


def asked(database, query):
    """What Redis answers the host's root."""
    command = ["redis-cli", "-s", "/var/run/redis/redis.sock", "-n", str(database), *query]
    return subprocess.run(command, text=True, capture_output=True, check=False).stdout.strip()


def state(query):
    return asked(6, query)


def rows_follow(ports):
    def all_up():
        keys = state(["KEYS", "PORT_TABLE|Ethernet*"]).split()
        up = [key for key in keys if state(["HGET", key, "netdev_oper_status"]) == "up"]
        return True if len(up) == ports else f"{len(up)} of {len(keys)} rows are up"

    wait_until(f"{ports} rows of STATE_DB are up", all_up)
    for admin in ("down", "up"):
        run("ip", "link", "set", "Ethernet0", admin)
        wait_until(f"Ethernet0's row follows the link: {admin}",
                   lambda: state(["HGET", "PORT_TABLE|Ethernet0", "admin_status"]) == admin or "it does not")


def started(pod, name):
    pod.start(name)
    wait_until(f"{name} has started", lambda: pod.all_run() or pod.probe(name, "startupProbe"))


def probes_answer(pod):
    wait_until("portsyncd is ready", lambda: pod.all_run() or pod.probe("portsyncd", "readinessProbe"))
    for container in pod.containers:
        if "livenessProbe" in container:
            wait_until(f"{container['name']} lives", lambda: pod.probe(container["name"], "livenessProbe"))


def ends(pod, name):
    process = pod.running.pop(name)
    process.send_signal(signal.SIGTERM)
    code = process.wait(pod.spec["terminationGracePeriodSeconds"])
    assert code == 0, f"{name} ended with {code}"
    print(f"  {name} ends when it is told", flush=True)


def read_only(pod):
    code, _, said = pod.execute("portsyncd", ["sh", "-c", "echo x > /etc/sonic/x || echo x > /run/x || echo x > /root/x"])
    assert code != 0 and "Read-only" in said, f"the root file system can be written to: {said}"


def host_folders():
    """What a SONiC host has: a folder of Redis', and one for portsyncd's state."""
    (VOLUMES / "redis").mkdir(parents=True)
    os.chown(VOLUMES / "redis", 999, REDIS_GROUP)
    (VOLUMES / "state").mkdir()


def host():
    """What a SONiC host has: Redis with a socket of 0760 and the group redis, and ports in CONFIG_DB and the kernel."""
    folder = pathlib.Path("/var/run/redis")
    socket = folder / "redis.sock"
    server = ["redis-server", "--port", "0", "--unixsocket", socket, "--unixsocketperm", "760", "--save", "", "--dir", folder]
    redis = subprocess.Popen(
        ["setpriv", "--reuid=999", f"--regid={REDIS_GROUP}", "--clear-groups", "--", *server], stdout=subprocess.DEVNULL
    )
    switch = [PROGRAMS / "portsyncd-lab", "switch", f"--redis-socket={socket}", "--ports=4"]
    run(*switch, "--seed-only")
    return redis, subprocess.Popen(switch)


def observes(pod):
    """Beside a portsyncd of the host's own."""
    own = {**os.environ, "PORTSYNCD_HTTP__LISTEN": "", "PORTSYNCD_CONTROL__SOCKET": "", "PORTSYNCD_STATE__DIR": ""}
    daemon = subprocess.Popen([PROGRAMS / "portsyncd", "run"], env=own)
    wait_until("the host's portsyncd has said PortInitDone",
               lambda: "PortInitDone" in asked(0, ["KEYS", "*PortInitDone"]) or "it has not")
    pod.start("portsyncd", stdout=subprocess.PIPE, text=True)
    # Ends this process if the line does not come.
    signal.alarm(int(LIMIT))
    observer = pod.running["portsyncd"]
    said = next((line for line in observer.stdout if line.endswith("as portsyncd would have it: 4 ports in CONFIG_DB, "
                                                                   "4 links, 4 rows due, 0 links not in APPL_DB\n")), None)
    assert said, f"it observed no agreement, and ended with {observer.wait()}"
    signal.alarm(0)
    print(f"  {said.strip()}", flush=True)
    daemon.terminate()
    daemon.wait()
    ends(pod, "portsyncd")


def denied(pod):
    """Not allowed to connect to Redis, it says so, and lives."""
    pod.start("portsyncd")

    def told():
        answer = pod.all_run() or pod.probe("portsyncd", "readinessProbe")
        return "Permission denied" in str(answer) or answer

    wait_until("portsyncd is not ready, for it is not allowed to reach Redis", told)
    wait_until("portsyncd lives", lambda: pod.probe("portsyncd", "livenessProbe"))
    ends(pod, "portsyncd")


def main():
    given = json.load(sys.stdin)
    prepare(given["binaries"])
    lab = given["mode"] == "lab"
    if not lab:
        host_folders()
    pod = Pod(given["pod"], given["data"], given["secrets"])
    # How the test's pod finds the switches: all of them are this one.
    names = " ".join(f"{given['name']}-{i}.{given['name']}" for i in range(given["replicas"]))
    with open("/etc/hosts", "a") as hosts:
        hosts.write(f"{POD_IP} {names}\n")
    for path in ("/run", "/etc", "/var/lib", "/"):
        run("mount", "-o", "remount,bind,ro", path)
    read_only(pod)

    on_host = () if lab else host()
    if given["observe"]:
        observes(pod)
    elif given["denied"]:
        denied(pod)
    else:
        works(pod, given)
    for process in on_host:
        process.terminate()
        process.wait()


def works(pod, given):
    lab = given["mode"] == "lab"
    for container in pod.spec.get("initContainers", []):
        if container.get("restartPolicy") == "Always":
            started(pod, container["name"])
        else:
            code = pod.run_to_end(container["name"])
            assert code == 0, f"{container['name']} ended with {code}"
    for container in reversed(pod.spec["containers"]) if given["reversed"] else pod.spec["containers"]:
        pod.start(container["name"])
    probes_answer(pod)
    if not given["flapping"]:
        rows_follow(given["ports"])
    if lab:
        pod.running["redis"].kill()
        pod.running.pop("redis").wait()
        wait_until("portsyncd is not ready without Redis", lambda: pod.probe("portsyncd", "readinessProbe") is not True)
        started(pod, "redis")
        probes_answer(pod)
        if not given["flapping"]:
            rows_follow(given["ports"])
    if given["loopback"]:
        refused = fetch(f"http://{POD_IP}:9477/livez")
        assert "refused" in str(refused), f"the node's address answers: {refused}"
    if given["client_ca"]:
        refused = fetch(f"https://{POD_IP}:9477/livez")
        assert "CERTIFICATE_REQUIRED" in str(refused).upper().replace(" ", "_"), f"no certificate was asked for: {refused}"
    if given["test"]:
        code = Pod(given["test"], {}, {}).run_to_end("ready")
        assert code == 0, f"helm test's pod ended with {code}"
    pod.all_run()
    ends(pod, "portsyncd")
    if lab:
        ends(pod, "switch")
        ends(pod, "redis")


main()
