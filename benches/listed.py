#!/usr/bin/env python3
"""Measures an incremental that is told what changed, and a restore in place of what differs.

  listed     1 % of a volume changed in random blocks of 64 KiB; `--changes list:` with samples, to a local
             repository and, with --s3, to MinIO over TLS
  in place   the volume as it was at first is brought to the newest point: everything is read, 1 % is written

Results: listed.json and listed.md. Ends with 1 if coffer fails or the restored volume differs; a missed target is
reported and does not change the status.
"""

import argparse
import json
import os
import shutil
import sys

from gen_image import DEFAULT_MIX, parse_mix, write_image
from measure import drop_from_cache
from mutate import apply_undo, mutate
from report import table
from rounds import change_bytes, sha256_of
from runner import Broken, run_measured
from stores import Local, Minio
from tools import Coffer, Run
from units import GIB, parse_size, show_size

CPU_MAX = {"local": 0.03, "s3": 0.04, "in place": 0.35}
# The same over what the steps alone come to on the machine that these come from (targets.py says why): 1 % of a full and 1 % of samples, or all of
# an incremental and 1 % of a restore.
STEPS_MAX = {"local": 1.95, "s3": 2.25, "in place": 1.41}
BLOCK_BYTES = 64 << 10
SEED = 7


class Case:
    """One store with a repository of the volume."""

    def __init__(self, options, name, store, volume):
        self.tool = Coffer(options.coffer, options.memory)
        self.run = Run(os.path.join(options.out, "work", name), [volume], store)
        self.log = os.path.join(options.out, "listed.log")
        os.makedirs(self.run.folder)
        self.measured(self.tool.init(self.run))
        self.full = self.measured(self.tool.full(self.run))

    def measured(self, command):
        for path in self.run.images:
            drop_from_cache(path)
        return run_measured(command, self.tool.env(self.run), self.run.folder, self.log)

    def listed(self, ranges):
        path = os.path.join(self.run.folder, "changed.json")
        with open(path, "w", encoding="ascii") as out:
            json.dump(ranges, out)
        command = self.tool.incremental(self.run)
        at = command.index("--changes")
        command[at : at + 2] = ["--changes", f"list:{path}", "--list-base", self.full["result"]["point"]]
        return self.measured(command)

    def steps(self):
        command = self.tool.steps(self.run.images[0])
        return run_measured(command, {}, self.run.folder, self.log)["result"]["sums"]

    def in_place(self, target):
        command = self.tool.restore(self.run)
        at = command.index("--volume")
        command[at + 1] = f"{os.path.basename(self.run.images[0])}={target}"
        return self.measured([*command, "--in-place"])


def measure_all(options, work):
    """Returns {case: report} and the sums of the steps alone; the volume changes once, after every repository holds it, and is changed back to be restored onto."""
    volume, undo = os.path.join(work, "volume.img"), os.path.join(work, "volume.undo")
    say(f"making {show_size(options.size)}")
    write_image(volume, options.size, parse_mix(DEFAULT_MIX), 1)
    stores = {"local": Local()}
    if options.s3:
        stores["s3"] = Minio(work)
    try:
        cases = {name: Case(options, name, store, volume) for name, store in stores.items()}
        change = mutate(volume, "random-64k", change_bytes(options.size), SEED, undo)
        outcome = {name: case.listed(change["ranges"]) for name, case in cases.items()}
        sums = cases["local"].steps()
        newest = sha256_of(volume)
        apply_undo(volume, undo)
        drop_from_cache(volume)
        outcome["in place"] = cases["local"].in_place(volume)
        outcome["in place"]["verified"] = sha256_of(volume) == newest
        return outcome, sums
    finally:
        for store in stores.values():
            store.stop()


def steps_alone(name, volume, sums):
    """Returns the CPU seconds of the work by itself: `sums` are those of `coffer bench cpu`."""
    if name == "in place":
        return (volume["size"] * sums["incremental"] + volume["written"] * sums["restore"]) / GIB
    full = sums["full" if name == "local" else "full_over_tls"]
    return (volume["changed"] * full + volume["sampled_blocks"] * BLOCK_BYTES * sums["incremental"]) / GIB


def markdown(options, outcome, sums):
    """Returns the page for people."""
    rows = []
    for name, report in outcome.items():
        volume = report["result"]["volumes"][0]
        limit = CPU_MAX[name]
        cpu = report["cpu_s"] / (options.size / GIB)
        part, most = report["cpu_s"] / steps_alone(name, volume, sums), STEPS_MAX[name]
        moved = f"{volume.get('read', volume.get('skipped'))} / {volume.get('changed', volume.get('written'))}"
        rows.append([
            name, f"{cpu:.3f}", f"<= {limit}", "met" if cpu <= limit else "missed",
            f"{part:.2f} x", f"<= {most} x", "met" if part <= most else "missed", f"{report['wall_s']:.2f}",
            str(report["rss_max"] >> 20), str(sum(report["result"]["requests"].values())), moved,
            str(volume.get("sampled_blocks", "")),
        ])  # fmt: skip
    head = ["case", "CPU-s/GiB", "target", "", "against its steps", "target", "", "wall s", "RSS MiB", "requests", "read/changed or skipped/written", "sampled"]
    title = f"# Listed changes and in-place restores\n\nVolume {show_size(options.size)}, 1 % changed in 64 KiB blocks.\n\n"
    return title + table(head, rows) + "\n"


def say(text):
    print(text, file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coffer", required=True, metavar="PROGRAM", type=os.path.abspath)
    parser.add_argument("--size", type=parse_size, default=parse_size("16GiB"))
    parser.add_argument("--memory", type=parse_size, default=parse_size("256MiB"))
    parser.add_argument("--s3", action="store_true", help="also to MinIO over TLS (scripts/setup-servers.sh)")
    parser.add_argument("--out", default="target/bench", type=os.path.abspath)
    options = parser.parse_args()
    work = os.path.join(options.out, "work")
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    try:
        outcome, sums = measure_all(options, work)
    except Broken as error:
        raise SystemExit(str(error)) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    text = markdown(options, outcome, sums)
    figures = json.dumps({**outcome, "steps": sums}, indent=1)
    for name, content in (("listed.md", text), ("listed.json", figures)):
        with open(os.path.join(options.out, name), "w", encoding="utf-8") as out:
            out.write(content)
    print(text)
    sys.exit(0 if outcome["in place"]["verified"] else 1)


if __name__ == "__main__":
    main()
