"""A node agent with its default settings, and backups through it that follow each other for as long as they are wanted."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import threading
import time
import tomllib

from agent_node import STOP_S, Node, without_secrets
from measure import drop_from_cache, io_counters
from runner import Broken, read_document


class PlainAgent(Node):
    """A running agent that is told nothing but what it must be told, and what the caller adds; `settings` is {key: TOML}."""

    def __init__(self, program, folder, log, settings):
        self.folder, self.listen, self.tls = folder, f"unix:{folder}/agent.sock", False
        os.makedirs(os.path.join(folder, "state"))
        config = os.path.join(folder, "agent.toml")
        needed = {"cluster": "bench", "listen": self.listen, "state_dir": f"{folder}/state"}
        with open(config, "w", encoding="utf-8") as out:
            out.write(settings_text({**{key: json.dumps(value) for key, value in needed.items()}, **settings}))
        with open(log, "wb") as err:
            self.process = subprocess.Popen([program, "--config", config], env=without_secrets(os.environ), stdout=err, stderr=err)
        try:
            self._await(log)
        except BaseException:
            self.stop()
            raise

    def io(self):
        """Returns its counters of /proc so far, bytes: read_bytes and write_bytes are those of disks."""
        return io_counters(self.process.pid)


class Repositories:
    """Directories with a repository each, and the commands that make points there through the agent."""

    def __init__(self, coffer, agent, folder, image):
        self.coffer, self.agent, self.folder, self.image = coffer, agent, folder, image
        self.number = 0
        self.base = None

    def full(self):
        """Returns the command that makes a full in a new repository."""
        if shutil.disk_usage(self.folder).free < 2 * os.path.getsize(self.image):
            self.clear()
        return self._backup(self._new(), "--type", "full")

    def incremental(self):
        """Returns the command that compares the image with the base, which must exist."""
        return self._backup(self.base, "--type", "incremental", "--changes", "hash")

    def make_base(self):
        """Makes the full that incrementals build on, in a repository of its own."""
        self.base = None
        self.clear()
        self.base = self._new()
        run_quietly(self._backup(self.base, "--type", "full"))

    def clear(self):
        """Removes all repositories but the base."""
        for name in os.listdir(self.folder):
            if name != self.base:
                path = os.path.join(self.folder, name)
                shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)

    def _new(self):
        self.number += 1
        name = f"r{self.number}"
        words = ["--key-out", os.path.join(self.folder, name, "team.key"), "--quiet"]
        os.makedirs(os.path.join(self.folder, name))
        run_quietly([self.coffer, "init", "--repo", self._url(name), *words])
        return name

    def _url(self, name):
        return f"file://{self.folder}/{name}/repo"

    def _backup(self, name, *words):
        key = os.path.join(self.folder, name, "team.key")
        return [
            self.coffer, "backup", *self.agent.options(), "--repo", self._url(name), "--key", key,
            "--cluster", "bench", "--plan", "bench", *words, "--quiet", "--json", f"v={self.image}",
        ]  # fmt: skip


class Load(threading.Thread):
    """Runs one backup after the other until it is stopped; `next_command` makes each command."""

    def __init__(self, kind, next_command, image, scratch):
        super().__init__(daemon=True)
        self.kind, self.next_command, self.image = kind, next_command, image
        self.output = os.path.join(scratch, "backup.out")
        self.error = None
        self.spans = []  # (began, ended) of every backup
        self._began = self._process = None
        self._halted = False
        self._lock = threading.Lock()

    def run(self):
        try:
            while self._one():
                pass
        except Exception as error:  # told by stop()
            self.error = error

    def _one(self):
        """Makes one point; says whether to go on."""
        command = self.next_command()
        drop_from_cache(self.image)
        with self._lock, open(self.output, "wb") as out, open(f"{self.output}.err", "wb") as errors:
            if self._halted:
                return False
            self._began = time.monotonic()
            self._process = subprocess.Popen(command, stdout=out, stderr=errors, start_new_session=True)
        code = self._process.wait()
        with self._lock:
            self.spans.append((self._began, time.monotonic()))
            self._began = None
            if self._halted:
                return False
        check_backup(self.kind, command, code, self.output)
        return True

    def busy(self, begin, end):
        """Returns the share of the time from `begin` to `end` in which a backup was running."""
        with self._lock:
            spans = self.spans + ([(self._began, end)] if self._began else [])
        return overlap(spans, begin, end) / (end - begin)

    def stop(self):
        """Interrupts the backup that runs, which stops the agent's operation too; raises what went wrong before."""
        with self._lock:
            self._halted = True
            if self._process and self._process.poll() is None:
                self._process.send_signal(signal.SIGINT)
        self.join(STOP_S)
        if self.is_alive():
            self._process.kill()
            raise Broken(f"a backup went on {STOP_S} s after its interruption")
        if self.error:
            raise Broken(str(self.error)) from self.error


def check_backup(kind, command, code, output):
    """Raises Broken unless a backup made the kind of point that it was to make."""
    with open(f"{output}.err", encoding="utf-8", errors="replace") as source:
        said = source.read().strip()
    if code:
        raise Broken(f"{' '.join(command)}: ended with {code}: {said}")
    document = read_document(output) or {}
    if document.get("type") != kind:
        raise Broken(f"{' '.join(command)}: made a point of type {document.get('type')}: {document.get('type_reason')}")


def run_quietly(command):
    """Runs a command; raises Broken with its words if it fails."""
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise Broken(f"{' '.join(command)}: ended with {done.returncode}: {done.stderr.decode(errors='replace').strip()}")


def parse_setting(text):
    """Returns (key, value as TOML) of `key=value`; what is no TOML, such as a word, becomes a string."""
    key, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not key or not value:
        raise argparse.ArgumentTypeError(f"not a setting: {text!r} (try nice=0, io_class=best-effort)")
    try:
        tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        value = json.dumps(value)
    return key, value


def settings_text(settings):
    """Returns the TOML file of {key: value as TOML}; dots in keys name tables."""
    return "".join(f"{key} = {value}\n" for key, value in settings.items())


def overlap(spans, begin, end):
    """Returns how much of the time from `begin` to `end` the spans cover; spans do not touch each other."""
    return sum(max(0.0, min(end, until) - max(begin, since)) for since, until in spans)
