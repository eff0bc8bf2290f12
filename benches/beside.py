#!/usr/bin/env python3
"""Measures what a workload keeps of its IOPS while the node agent, with its default settings, backs a volume of the same disk up.

The workload is fio: random reads of 4 KiB, O_DIRECT, on a file beside the image. Every round runs each case alone, beside
full backups, beside incrementals that read and compare everything (`--changes hash`), and alone again.

  depth 1, depth 16  as fast as the disk allows
  steady             queue depth 16, held at half of what depth 16 reached alone before the first round

Backups follow each other without a pause as long as fio runs; nothing changes between the incrementals. Repositories are
directories, on the same disk unless --repo-dir says otherwise. Prints Markdown; all figures lie in --out as JSON. Ends
with 1 if something fails; a missed target is reported and does not change the status.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from backup_load import Load, PlainAgent, Repositories, parse_setting
from beside_report import KINDS, markdown, progress, summarize
from block_device import device_of, scheduler_of, switched_scheduler
from gen_image import DEFAULT_MIX, parse_mix, write_image
from limits import ENGINES, fio_read
from measure import drop_from_cache, machine_cpu_s
from runner import Broken
from units import GIB, MIB, parse_size, show_size

STEADY_SHARE = 0.5  # of the IOPS at depth 16: the rate of the steady case
STEADY_RUNS = 3  # whose median counts
SETTLE_S = 1  # between deleting repositories and fio
BEGIN_S = 60  # how long a backup may take to begin to read
IDLE_BYTES_MAX = 1 * MIB  # what the agent may read while fio is meant to be alone


class Fio:
    """Random reads of one file; takes the first engine that this machine allows."""

    def __init__(self, path, seconds):
        self.path, self.seconds = path, seconds
        self.seed = 0
        for engine in ENGINES:
            self.engine = engine
            try:
                self.run(1, seconds=1)
                return
            except Broken as error:
                self.error = error
        raise self.error

    def run(self, depth, rate=None, seconds=None):
        """Returns what fio reached: see reached(). `rate` is in reads per second; no two runs read the same places in order."""
        self.seed += 1
        done = subprocess.run(
            ["fio", "--name=beside", f"--filename={self.path}", "--readonly", "--rw=randread", "--bs=4k", "--direct=1",
             *self.engine, f"--iodepth={depth}", "--norandommap", f"--randseed={self.seed}", "--time_based",
             f"--runtime={seconds or self.seconds}", *([f"--rate_iops={rate}"] if rate else []), "--lat_percentiles=1",
             "--output-format=json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
        if done.returncode:
            raise Broken(f"fio ended with {done.returncode}: {done.stderr.decode(errors='replace').strip()}")
        return reached(done.stdout.decode())


def reached(text):
    """Returns {"iops", "p50_us", "p99_us"} of fio's JSON; times are from before the submission to completion."""
    side = json.loads(text[text.index("{") :])["jobs"][0]["read"]  # notes may stand before it
    if not side["total_ios"]:
        raise Broken("fio read nothing")
    times = side["lat_ns"]["percentile"]
    return {"iops": side["iops"], "p50_us": times["50.000000"] / 1000, "p99_us": times["99.000000"] / 1000}


class Bench:
    """One disk, one agent, one fio."""

    def __init__(self, agent, repositories, fio, scratch):
        self.agent, self.repositories, self.fio, self.scratch = agent, repositories, fio, scratch

    def steady_rate(self):
        """Returns the rate of the steady case in reads per second; the file was read whole before, for caches below this machine."""
        fio_read(self.fio.path)
        reached_iops = [self.fio.run(16)["iops"] for _ in range(STEADY_RUNS)]
        return max(1, int(STEADY_SHARE * statistics.median(reached_iops)))

    def round(self, cases):
        """Returns {"case", "alone": [before, after], "full", "incremental"} for each of the cases (name, depth, rate)."""
        self.repositories.make_base()
        for name, depth, rate in cases:
            before = self.alone(depth, rate)
            beside = {kind: self.beside(kind, depth, rate) for kind in KINDS}
            yield {"case": name, "rate": rate, "alone": [before, self.alone(depth, rate)], **beside}

    def alone(self, depth, rate):
        """Returns the figures of fio without a backup."""
        self.settle()
        window = self.window(depth, rate)
        if window["read_bytes"] > IDLE_BYTES_MAX:
            raise Broken(f"the agent read {window['read_bytes']} bytes while fio was meant to be alone")
        return window

    def beside(self, kind, depth, rate):
        """Returns the figures of fio while backups of one kind run."""
        self.settle()
        next_command = {"full": self.repositories.full, "incremental": self.repositories.incremental}[kind]
        load = Load(kind, next_command, self.repositories.image, self.scratch)
        load.start()
        try:
            self.wait_until_reading(load)
            return self.window(depth, rate, load)
        finally:
            load.stop()

    def settle(self):
        """Removes the repositories of the run before; returns when the disk has forgotten them too."""
        self.repositories.clear()
        os.sync()
        time.sleep(SETTLE_S)

    def wait_until_reading(self, load):
        """Returns once the agent reads the image."""
        before = self.agent.io()["read_bytes"]
        end = time.monotonic() + BEGIN_S
        while self.agent.io()["read_bytes"] - before < MIB:
            if not load.is_alive():
                return  # stop() tells why
            if time.monotonic() > end:
                raise Broken(f"no backup began to read within {BEGIN_S} s")
            time.sleep(0.01)

    def window(self, depth, rate, load=None):
        """Runs fio once; returns what it reached and what the machine and the agent did meanwhile."""
        counts, begin = self.counts(), time.monotonic()
        found = self.fio.run(depth, rate)
        end = time.monotonic()
        moved = {name: after - counts[name] for name, after in self.counts().items()}
        wall_s = end - begin
        return {
            **found, **moved, "wall_s": wall_s,
            "backup_gib_per_s": moved["read_bytes"] / GIB / wall_s,
            "cpu_share": moved["machine_cpu_s"] / wall_s / os.cpu_count(),
            "agent_share": moved["agent_cpu_s"] / wall_s / os.cpu_count(),
            "busy_share": load.busy(begin, end) if load else 0.0,
            "backups": sum(1 for _, ended in load.spans if ended > begin) if load else 0,
        }  # fmt: skip

    def counts(self):
        """Returns the counters whose growth during a window counts."""
        moved = {name: self.agent.io()[name] for name in ("read_bytes", "write_bytes")}
        return {**moved, "agent_cpu_s": self.agent.cpu_s(), "machine_cpu_s": machine_cpu_s()}


def measure_all(options, work, outcome):
    """Fills `outcome` while it measures; raises Broken if something fails."""
    image, noise = os.path.join(work, "images", "volume.img"), os.path.join(work, "noise.img")
    os.makedirs(os.path.dirname(image))
    say(f"making {show_size(options.size)} and {show_size(options.fio_size)}")
    write_image(image, options.size, parse_mix(DEFAULT_MIX), 1)
    write_image(noise, options.fio_size, parse_mix("random=1"), 2)
    for path in (image, noise):
        drop_from_cache(path)
    fio = Fio(noise, options.seconds)
    outcome["engine"] = fio.engine[0].partition("=")[2]
    repositories = tempfile.mkdtemp(prefix="coffer-beside-", dir=options.repo_dir or work)
    agent = None
    try:
        settings = agent_settings(repositories, os.path.dirname(image), options.agent_setting)
        agent = PlainAgent(options.agent, os.path.join(work, "node"), options.log, settings)
        bench = Bench(agent, Repositories(options.coffer, agent, repositories, image), fio, work)
        rate = bench.steady_rate()
        for number in range(1, options.rounds + 1):
            for result in bench.round([("depth 1", 1, None), ("depth 16", 16, None), ("steady", 16, rate)]):
                outcome["results"].append({"round": number, **result})
                say(f"round {number}, {result['case']}: " + progress(result))
    finally:
        if agent:
            agent.stop()
        shutil.rmtree(repositories, ignore_errors=True)


def agent_settings(repositories, roots, more):
    """Returns what the agent may use, as {key: TOML}, and what the command line adds."""
    return {"repositories": json.dumps([f"file://{repositories}"]), "roots": json.dumps([roots]), **dict(more)}


def disks(options, work):
    """Returns the disk of the volume and that of the repositories."""
    return {"disk": disk_at(work), "repo_disk": disk_at(options.repo_dir or work)}


def disk_at(folder):
    """Returns {"name", "scheduler", "offered"} of the disk below a folder, or None."""
    name = device_of(folder)
    if name is None:
        return None
    chosen, offered = scheduler_of(name)
    return {"name": name, "scheduler": chosen, "offered": offered}


def measured(options, work):
    """Returns the outcome, with what failed in it."""
    outcome = {
        "size": options.size, "fio_size": options.fio_size, "seconds": options.seconds, "settings": options.agent_setting,
        "cpus": os.cpu_count(), "kernel": os.uname().release, "results": [], "failures": [],
        **disks(options, work),
    }  # fmt: skip
    try:
        with switched_scheduler(device_of(work), options.scheduler):
            outcome.update(disks(options, work))
            measure_all(options, work, outcome)
    except Broken as error:
        outcome["failures"].append(str(error))
    outcome["summaries"] = summarize(outcome["results"])
    return outcome


def say(text):
    print(text, file=sys.stderr, flush=True)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coffer", required=True, metavar="PROGRAM", type=os.path.abspath)
    parser.add_argument("--agent", required=True, metavar="PROGRAM", type=os.path.abspath)
    parser.add_argument("--size", type=parse_size, default=parse_size("4GiB"), help="of the image (default 4GiB)")
    parser.add_argument("--fio-size", type=parse_size, default=parse_size("2GiB"), help="of the file that fio reads (default 2GiB)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10, help="of each run of fio (default 10)")
    parser.add_argument("--scheduler", metavar="NAME", help="switch the disk to this one meanwhile (root): none, mq-deadline, bfq")
    parser.add_argument("--agent-setting", metavar="KEY=VALUE", type=parse_setting, action="append", default=[],
                        help="a setting of the agent that is not to have its default, such as nice=0; repeatable")  # fmt: skip
    parser.add_argument("--repo-dir", metavar="DIR", type=os.path.abspath, help="where repositories lie, if not on the same disk")
    parser.add_argument("--out", metavar="FILE", default="target/bench/beside.json", type=os.path.abspath, help="JSON of all figures")
    options = parser.parse_args()
    options.log = f"{os.path.splitext(options.out)[0]}-agent.log"
    return options


def main():
    options = parse_arguments()
    if not shutil.which("fio"):
        raise SystemExit("fio is not installed")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that scheduler and files are put back
    os.makedirs(os.path.dirname(options.out), exist_ok=True)
    work = tempfile.mkdtemp(prefix="beside-", dir=os.path.dirname(options.out))
    try:
        outcome = measured(options, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    with open(options.out, "w", encoding="utf-8") as out:
        json.dump(outcome, out, indent=1)
    print(markdown(outcome))
    sys.exit(1 if outcome["failures"] else 0)


if __name__ == "__main__":
    main()
