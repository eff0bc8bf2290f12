"""The node agent as a process: its settings and certificates, and what the kernel tells about it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time

from runner import Broken
from stores import free_port

DOMAIN = "bench.example"
START_S, STOP_S = 30, 60
CPUCLOCK_SCHED = 2  # of clock_getcpuclockid(3): all that the process has run, ended threads too, in nanoseconds
CLEAR_PEAK = "5"  # of proc_pid_clear_refs(5): VmHWM begins anew at VmRSS
EC_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


class Node:
    """A running agent. It listens on a Unix socket; with `tls` on loopback, and callers need a certificate.

    `memory` is in bytes, `repository` an address that it may use, `roots` are directories whose files it may read; `cpus` is
    what taskset takes, None for all.
    """

    def __init__(self, program, folder, log, memory, repository, roots, tls=False, cpus=None):
        self.folder, self.tls = folder, tls
        os.makedirs(os.path.join(folder, "state"))
        if tls:
            make_certificates(folder)
        self.listen = f"127.0.0.1:{free_port()}" if tls else f"unix:{folder}/agent.sock"
        config = os.path.join(folder, "agent.toml")
        with open(config, "w", encoding="utf-8") as out:
            out.write(settings(folder, self.listen, memory, repository, roots, tls))
        with open(log, "ab") as err:
            command = [*bound(cpus), program, "--config", config]
            self.process = subprocess.Popen(command, env=without_secrets(os.environ), stdout=err, stderr=err)
        try:
            self._await(log)
        except BaseException:
            self.stop()
            raise

    def options(self):
        """Returns what callers add to their commands."""
        if not self.tls:
            return ["--agent", self.listen]
        file = {name: os.path.join(self.folder, name) for name in ("ca.crt", "controller.crt", "controller.key")}
        return ["--agent", f"https://{self.listen}", "--agent-ca", file["ca.crt"], "--agent-cert", file["controller.crt"],
                "--agent-key", file["controller.key"]]  # fmt: skip

    def cpu_s(self):
        """Returns its CPU seconds so far, user and system."""
        return time.clock_gettime(~self.process.pid << 3 | CPUCLOCK_SCHED)

    def memory_bytes(self, name):
        """Returns VmHWM or VmRSS in bytes."""
        return status_value(read(f"/proc/{self.process.pid}/status"), name) << 10

    def forget_peak(self):
        """Lets VmHWM begin anew."""
        with open(f"/proc/{self.process.pid}/clear_refs", "w", encoding="ascii") as out:
            out.write(CLEAR_PEAK)

    def switches(self):
        """Returns {thread: how often it went to sleep by itself}."""
        tasks, found = f"/proc/{self.process.pid}/task", {}
        for thread in os.listdir(tasks):
            try:
                found[thread] = status_value(read(f"{tasks}/{thread}/status"), "voluntary_ctxt_switches")
            except OSError:
                continue  # it ended while we looked
        return found

    def stop(self):
        """Ends it and removes its folder."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _await(self, log):
        end = time.monotonic() + START_S
        while not self._answers():
            if time.monotonic() > end or self.process.poll() is not None:
                raise Broken(f"the agent does not start; see {log}")
            time.sleep(0.05)

    def _answers(self):
        kind, address = socket.AF_UNIX, self.listen.removeprefix("unix:")
        if self.tls:
            kind, address = socket.AF_INET, ("127.0.0.1", int(self.listen.rpartition(":")[2]))
        with socket.socket(kind) as probe:
            return probe.connect_ex(address) == 0


def bound(cpus):
    """Returns what binds a command to CPUs."""
    return ["taskset", "-c", cpus] if cpus else []


def without_secrets(env):
    """Returns an environment without credentials: they travel with the callers."""
    return {name: value for name, value in env.items() if not name.startswith("AWS_")}


def settings(folder, listen, memory, repository, roots, tls):
    """Returns the agent's settings: JSON's texts and lists are TOML's too."""
    keys = {"node": "bench", "cluster": "bench", "listen": listen, "state_dir": f"{folder}/state", "memory": f"{memory >> 20}MiB",
            "roots": roots, "log_level": "warn"}  # fmt: skip
    text = "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in keys.items())
    text += f"repositories = [{rule(repository)}]\n"
    if tls:
        files = {"cert": f"{folder}/agent.crt", "key": f"{folder}/agent.key", "client_ca": f"{folder}/ca.crt", "trust_domain": DOMAIN}
        text += "\n[tls]\n" + "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in files.items())
    return text


def rule(repository):
    """Returns the entry that allows a repository. Callers name no files, so its authority stands here."""
    address, _, authority = repository.partition("&ca=")
    entry = json.dumps(address, ensure_ascii=False)
    return f"{{ address = {entry}, ca = {json.dumps(authority, ensure_ascii=False)} }}" if authority else entry


def make_certificates(folder):
    """Makes ca, agent and controller, each .crt and .key, as docs/agent.md does by hand."""
    openssl(folder, "req", "-x509", *EC_KEY, "-days", "30", "-subj", "/CN=bench", "-keyout", "ca.key", "-out", "ca.crt",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip
    issue(folder, "agent", "serverAuth", "DNS:localhost,IP:127.0.0.1")
    issue(folder, "controller", "clientAuth", f"URI:spiffe://{DOMAIN}/coffer/controller")


def issue(folder, name, usage, names):
    """Makes one certificate of the authority in `folder`."""
    with open(os.path.join(folder, f"{name}.ext"), "w", encoding="ascii") as out:
        out.write(f"basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage={usage}\nsubjectAltName={names}\n")
    openssl(folder, "req", "-new", *EC_KEY, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30",
            "-extfile", f"{name}.ext", "-out", f"{name}.crt")  # fmt: skip


def openssl(folder, *words):
    subprocess.run(["openssl", *words], cwd=folder, check=True, stderr=subprocess.DEVNULL)


def status_value(text, name):
    """Returns the number of one line of a status file of /proc; for memory it is in KiB."""
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(name + ":"))


def wakeups(before, after):
    """Returns how often all threads woke up between two looks: of those that came all, of those that went the last time."""
    went = sum(thread not in after for thread in before)
    return went + sum(count - before.get(thread, 0) for thread, count in after.items())


def read(path):
    with open(path, encoding="utf-8") as source:
        return source.read()
