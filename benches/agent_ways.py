"""Ways of doing the same work: coffer alone, one volume after the other or several at once, and all volumes through one agent."""

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from agent_node import Node, bound
from measure import drop_from_cache, machine_cpu_s
from runner import TIMEOUT_S, Broken, read_document
from tools import Run

WAYS = ("direct", "agent")
TOGETHER = "together"
AT_ONCE = 4  # as many operations as an agent runs with 256 MiB on two processors


class Context:
    """What all cases have in common: options, folder for scratch files, log, store; and sums over all that was measured."""

    def __init__(self, options, work, log, store):
        self.options, self.work, self.log, self.store = options, work, log, store
        self.own_cpu_s = self.other_cpu_s = 0.0
        self.agent_peak = 0
        self.left_out = []

    def command(self, *words):
        """Returns a command of coffer."""
        return [self.options.coffer, *map(str, words)]

    def add(self, report):
        """Adds a report to the sums."""
        self.own_cpu_s += report["cpu_s"]
        self.other_cpu_s += report["other_cpu_s"]


class Caller:
    """A coffer that runs; its result goes to a file."""

    def __init__(self, context, command, output):
        self.command, self.output, self.log = command, output, context.log
        env = {**os.environ, **context.store.env()}
        with open(output, "wb") as out, open(self.log, "ab") as err:
            self.process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        self._deadline = threading.Timer(TIMEOUT_S, os.kill, (self.process.pid, signal.SIGKILL))
        self._deadline.daemon = True
        self._deadline.start()

    def wait(self):
        """Waits for its end; returns CPU seconds, peak RSS in bytes, status, and its JSON document."""
        _, status, usage = os.wait4(self.process.pid, 0)
        self._deadline.cancel()
        self.process.returncode = os.waitstatus_to_exitcode(status)
        return {"cpu_s": usage.ru_utime + usage.ru_stime, "rss_max": usage.ru_maxrss << 10, "rc": self.process.returncode,
                "result": read_document(self.output) or {}}  # fmt: skip

    def kill(self):
        """Ends it before its time; who waits for it is told."""
        if self.process.returncode is None:
            os.kill(self.process.pid, signal.SIGKILL)


class Subject:
    """Volumes with a fresh repository and one way of backing them up; repository and agent are gone at the end.

    `cpus` binds coffer and the agent to CPUs, as taskset takes them.
    """

    def __init__(self, context, name, way, images, cpus=None):
        self.context, self.way, self.images, self.cpus = context, way, images, cpus
        self.run = Run(os.path.join(context.work, f"{name}-{way}"), images, context.store)
        self.key = os.path.join(self.run.folder, "team.key")
        self.node = None

    def __enter__(self):
        os.makedirs(self.run.folder)
        try:
            self._call_all([self.context.command("init", "--repo", self._url(), "--key-out", self.key, "--json")], 1)
            if self.way == "agent":
                self.node = self._start_agent()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.node:
            self.node.stop()
        self.context.store.delete(self.run)
        shutil.rmtree(self.run.folder, ignore_errors=True)

    def backup(self, *options):
        """Backs every volume up under a plan of its own, dropped from the page cache first; returns the report.

        `rss_max` is the agent's, or of the largest coffer; `cpu_s` is of agent and callers together.
        """
        for image in self.images:
            drop_from_cache(image)
        if self.node:
            self.node.forget_peak()
        machine, before, began = machine_cpu_s(), self._agent_cpu_s(), time.monotonic()
        at_once = {"direct": 1, TOGETHER: AT_ONCE, "agent": len(self.images)}[self.way]
        reports = self._call_all(self._backups(options), at_once)
        ended = time.monotonic()
        callers, agent = sum(report["cpu_s"] for report in reports), self._agent_cpu_s() - before
        report = {
            "cpu_s": callers + agent, "callers_cpu_s": callers, "wall_s": ended - began,
            "other_cpu_s": max(0.0, machine_cpu_s() - machine - callers - agent), "rss_max": self._peak(reports),
            "requests": sum(sum(each["result"].get("requests", {}).values()) for each in reports),
            "types": sorted({each["result"].get("type", "?") for each in reports}),
        }  # fmt: skip
        self.context.add(report)
        return report

    def _url(self):
        return self.context.store.coffer(self.run)

    def _start_agent(self):
        options, store = self.context.options, self.context.store
        roots = sorted({os.path.dirname(image) for image in self.images})
        return Node(options.agent, os.path.join(self.context.work, "node"), self.context.log, options.memory,
                    store.allowed(self.run), roots, options.store == "s3", self.cpus)  # fmt: skip

    def _backups(self, options):
        more = self.node.options() if self.node else ["--memory", f"{self.context.options.memory >> 20}MiB"]
        words = ["--repo", self._url(), "--key", self.key, "--cluster", "bench", "--quiet", "--json", *options, *more]
        return [
            [*bound(self.cpus), *self.context.command("backup", *words, "--plan", f"p{number}", f"v={image}")]
            for number, image in enumerate(self.images)
        ]

    def _call_all(self, commands, at_once):
        """Runs commands, so many at once; returns their reports."""
        callers, over = [], threading.Event()

        def call(number, command):
            caller = Caller(self.context, command, os.path.join(self.run.folder, f"result-{number}"))
            callers.append(caller)
            if over.is_set():
                caller.kill()
            return self._ended(caller)

        pool = ThreadPoolExecutor(at_once)
        try:
            return [done.result() for done in [pool.submit(call, *each) for each in enumerate(commands)]]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            over.set()
            for caller in callers:
                caller.kill()
            pool.shutdown()

    def _ended(self, caller):
        report = caller.wait()
        if report["rc"]:
            said = json.dumps(report["result"].get("error", {}))
            raise Broken(f"{' '.join(caller.command)}: ended with {report['rc']}: {said}; see {self.context.log}")
        return report

    def _agent_cpu_s(self):
        return self.node.cpu_s() if self.node else 0.0

    def _peak(self, reports):
        if not self.node:
            return max(report["rss_max"] for report in reports)
        peak = self.node.memory_bytes("VmHWM")
        self.context.agent_peak = max(self.context.agent_peak, peak)
        return peak


def pair(number, one, ways=WAYS):
    """Returns {way: one(way)} of a round; who is first changes from round to round."""
    return {way: one(way) for way in (ways if number % 2 else ways[::-1])}
