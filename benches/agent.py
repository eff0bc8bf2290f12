#!/usr/bin/env python3
"""Measures the node agent beside the same work by `coffer backup`: CPU, memory, several volumes at once.

  direct   `coffer backup`, one after the other
  agent    `coffer --agent`, all at once: CPU of the agent and of its callers together

Volumes are images of random text and noise on the local disk, repositories directories. The agent listens on a Unix socket.
Prints Markdown. Ends with 1 if something fails or the agent passes its memory.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from gen_image import DEFAULT_MIX, parse_mix, write_image
from measure import drop_from_cache
from report import table
from units import GIB, MIB, parse_size, show_size

TICKS = os.sysconf("SC_CLK_TCK")
START_S = 30


class Agent:
    """A running agent."""

    def __init__(self, program, folder, memory):
        os.makedirs(folder)
        self.socket = os.path.join(folder, "agent.sock")
        settings = os.path.join(folder, "agent.toml")
        with open(settings, "w", encoding="utf-8") as out:
            out.write(
                f'cluster = "bench"\nlisten = "unix:{self.socket}"\nstate_dir = "{folder}/state"\nmemory = "{memory >> 20}MiB"\n'
                f'repositories = ["file://{os.path.dirname(folder)}"]\nroots = ["{os.path.dirname(folder)}/images"]\nlog_level = "warn"\n'
            )
        os.makedirs(os.path.join(folder, "state"))
        self.process = subprocess.Popen([program, "--config", settings])
        end = time.monotonic() + START_S
        while not os.path.exists(self.socket):
            if time.monotonic() > end or self.process.poll() is not None:
                raise SystemExit("the agent does not start")
            time.sleep(0.05)

    def cpu_s(self):
        """User and system time so far."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as source:
            fields = source.read().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory_bytes(self, name):
        """VmHWM, VmRSS or RssAnon."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as source:
            return next(int(line.split()[1]) << 10 for line in source if line.startswith(name + ":"))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


class Bench:
    """Images, and both ways of backing them up."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        os.makedirs(os.path.join(folder, "images"))
        self.images = []
        for number in range(max(options.volumes)):
            self.images.append(os.path.join(folder, "images", f"v{number}.img"))
            write_image(self.images[-1], options.size, parse_mix(DEFAULT_MIX), number)

    def commands(self, repo, count, more):
        key = os.path.join(self.folder, f"{repo}.key")
        url = f"file://{self.folder}/{repo}"
        subprocess.run([self.options.coffer, "init", "--repo", url, "--key-out", key, "--quiet"], check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
        words = [self.options.coffer, "backup", "--repo", url, "--key", key, "--cluster", "bench", "--quiet", *more]
        return [[*words, "--plan", f"p{number}", f"v={self.images[number]}"] for number in range(count)]

    def run(self, commands, at_once):
        """Runs them; returns CPU seconds of the callers and wall seconds."""
        for image in self.images:
            drop_from_cache(image)
        before, began = os.times(), time.monotonic()
        running = []
        for command in commands:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            running.append(process)
            if not at_once and process.wait():
                raise SystemExit(f"{' '.join(command)}: ended with {process.returncode}")
        if any([process.wait() for process in running]):
            raise SystemExit("a backup through the agent failed")
        after = os.times()
        cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
        return cpu_s, time.monotonic() - began

    def rows(self):
        """One row for each number of volumes."""
        for count in self.options.volumes:
            gib = count * self.options.size / GIB
            direct_cpu, direct_wall = self.run(self.commands(f"direct-{count}", count, []), False)
            agent = Agent(self.options.agent, os.path.join(self.folder, f"agent-{count}"), self.options.memory)
            try:
                commands = self.commands(f"through-{count}", count, ["--agent", f"unix:{agent.socket}"])
                before = agent.cpu_s()
                cpu, wall = self.run(commands, True)
                cpu += agent.cpu_s() - before
                peak = agent.memory_bytes("VmHWM")
                time.sleep(1)
                idle = agent.memory_bytes("VmRSS")
            finally:
                agent.stop()
            yield [str(count), f"{direct_cpu / gib:.2f}", f"{cpu / gib:.2f}", f"{cpu / direct_cpu:.2f}", f"{direct_wall:.1f}",
                   f"{wall:.1f}", f"{peak / MIB:.0f}", f"{idle / MIB:.0f}"], peak  # fmt: skip
            shutil.rmtree(os.path.join(self.folder, f"direct-{count}"))
            shutil.rmtree(os.path.join(self.folder, f"through-{count}"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coffer", required=True, metavar="PROGRAM", type=os.path.abspath)
    parser.add_argument("--agent", required=True, metavar="PROGRAM", type=os.path.abspath)
    parser.add_argument("--size", type=parse_size, default=parse_size("256MiB"), help="of each volume (default 256MiB)")
    parser.add_argument("--volumes", type=lambda text: [int(word) for word in text.split(",")], default=[1, 4, 16])
    parser.add_argument("--memory", type=parse_size, default=parse_size("256MiB"))
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="coffer-agent-bench-")
    try:
        found = list(Bench(options, folder).rows())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"Volumes of {show_size(options.size)}, full backups, --memory {show_size(options.memory)}.\n")
    head = ["volumes", "direct CPU-s/GiB", "agent CPU-s/GiB", "ratio", "direct wall s", "agent wall s", "peak RSS MiB", "1 s later"]
    print(table(head, [row for row, _ in found]))
    sys.exit(any(peak > options.memory for _, peak in found))


if __name__ == "__main__":
    main()
