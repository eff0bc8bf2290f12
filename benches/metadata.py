#!/usr/bin/env python3
"""Measures what coffer keeps beside the data, and whether the size of a volume costs anything by itself.

  metadata   a volume of 64 GiB, all holes, of which 1 % of the blocks, drawn anew, become data before each of 24
             points: bytes of metadata written by each point; those of points 2 and 24 are the ones to look at
  huge       a sparse volume of 64 TiB with 1 GiB of data: wall time and peak memory of a full backup and a restore

Metadata is everything that is not stored block content: frame headers, pack trailers, maps, manifests, keys. Both
cases restore at the end and compare. Results: metadata.json and metadata.md. Ends with 1 if a case fails, an
incremental writes more metadata than 1 % of the changed bytes plus 64 KiB, a restored volume differs, or memory
passed its cap; a missed wall time is reported and does not change the status.
"""

import argparse
import json
import os
import shutil
import sys

import repository
import sparse
from report import table
from runner import Broken, run_measured
from tools import Coffer, Run
from units import KIB, MIB, parse_size, show_size

SEED = 20
METADATA_SHARE_MAX = 0.01  # of the changed bytes
METADATA_CONSTANT_MAX = 64 * KIB  # manifest, root, marks of the run: what a point costs in which nothing changed
HUGE_WALL_S_MAX = 60


class Subject:
    """One volume, one repository, one coffer."""

    def __init__(self, options, name, volume):
        self.tool = Coffer(options.coffer, options.memory)
        beside = os.path.join(os.path.dirname(volume), "restored")
        self.run = Run(os.path.join(options.out, "work", name), [volume], target_folder=beside)
        self.log = os.path.join(options.out, "metadata.log")
        self.timeout_s = options.timeout
        os.makedirs(self.run.folder)
        self._measured(self.tool.init(self.run))

    def _measured(self, command):
        return run_measured(command, {}, self.run.folder, self.log, self.timeout_s)

    def full(self):
        """Backs up everything."""
        return self._measured(self.tool.full(self.run))

    def incremental(self):
        """Backs up what changed; coffer is not told where."""
        return self._measured(self.tool.incremental_skipping_holes(self.run))

    def restore(self):
        """Restores beside the volume, compares, removes what was restored."""
        (volume,) = self.run.images
        os.makedirs(self.run.target)
        try:
            report = self._measured(self.tool.restore(self.run))
            report["verified"] = sparse.equal(volume, self.run.restored[volume])
            return report
        finally:
            shutil.rmtree(self.run.target, ignore_errors=True)


def metadata_case(options, work):
    """Returns {"points": [...], "restore": report}."""
    volume = os.path.join(work, "volume.img")
    sparse.make(volume, options.size)
    if options.full_at_first:
        sparse.change_blocks(volume, 1, SEED)
    subject = Subject(options, "metadata", volume)
    points, before = [], repository.kinds(subject.run.repo)
    for number in range(1, options.points + 1):
        blocks = sparse.change_blocks(volume, 0.01, SEED + number)
        report = subject.full() if number == 1 else subject.incremental()
        after = repository.kinds(subject.run.repo)
        written = {kind: after[kind] - before[kind] for kind in after}
        metadata = repository.metadata_bytes(written)
        changed = sum(volume["changed"] for volume in report["result"]["volumes"])
        counts = {"number": number, "blocks": blocks, "changed": changed, "metadata": metadata, "written": written}
        points.append({**counts, **report})
        say(f"point {number}: {blocks} blocks, {metadata} bytes of metadata, {report['wall_s']:.2f} s")
        before = after
    return {"points": points, "restore": subject.restore()}


def huge_case(options, work):
    """Returns {"full": report, "restore": report}, or None where no file can be that large."""
    for folder in filter(None, (options.huge_dir, work, "/dev/shm")):
        place = os.path.join(folder, f"coffer-bench-{os.getpid()}")
        os.makedirs(place)
        try:
            volume = os.path.join(place, "huge.img")
            if not sparse.make(volume, options.huge):
                continue
            say(f"huge volume in {folder}")
            sparse.scatter(volume, options.huge_data, SEED)
            subject = Subject(options, "huge", volume)
            return {"full": subject.full(), "restore": subject.restore()}
        finally:
            shutil.rmtree(place, ignore_errors=True)
    say(f"huge: left out, no file system here holds a file of {show_size(options.huge)} (see --huge-dir)")
    return None


def markdown(options, outcome):
    """Returns the page for people."""
    parts = ["# Metadata and size"]
    if points := outcome.get("metadata", {}).get("points"):
        head = [
            "point", "blocks changed", "changed MiB", "metadata bytes", "of which maps", "of changed bytes",
            f"<= {METADATA_SHARE_MAX:.0%} + {show_size(METADATA_CONSTANT_MAX)}", "wall s", "peak RSS MiB",
        ]  # fmt: skip
        rows = [metadata_row(point) for point in points if point["number"] in (1, 2, options.points)]
        parts += [f"## Volume of {show_size(options.size)}, 1 % of the blocks changed per point", table(head, rows)]
        kept = sum(metadata_kept(point) for point in points[1:])
        parts.append(
            f"Incrementals within the limit: {kept} of {len(points) - 1}. "
            f"Restored right: {yes_no(outcome['metadata']['restore'])}."
        )
    if huge := outcome.get("huge"):
        rows = [[phase, *huge_row(report, options)] for phase, report in huge.items()]
        head = ["phase", "wall s", f"<= {HUGE_WALL_S_MAX} s", "CPU-s", "peak RSS MiB", "within the cap"]
        parts += [f"## {show_size(options.huge)} with {show_size(options.huge_data)} of data", table(head, rows)]
        parts.append(f"Restored right: {yes_no(huge['restore'])}. Cap: {show_size(options.memory)}.")
    parts += [f"Failed: {text}" for text in outcome["failures"]]
    return "\n\n".join(parts) + "\n"


def contract_kept(outcome, memory):
    """Says whether everything ran, came back right and stayed below the limits of memory and metadata."""
    cases = [outcome[name] for name in ("metadata", "huge") if outcome.get(name)]
    reports = [case["restore"] for case in cases]
    reports += [report for case in cases for report in (*case.get("points", ()), case.get("full")) if report]
    restored = all(case["restore"]["verified"] for case in cases)
    metadata = all(metadata_kept(point) for point in outcome.get("metadata", {}).get("points", [])[1:])
    return not outcome["failures"] and restored and metadata and all(report["rss_max"] <= memory for report in reports)


def metadata_kept(point):
    """Says whether a point wrote no more metadata than its changes allow."""
    return point["metadata"] <= METADATA_SHARE_MAX * point["changed"] + METADATA_CONSTANT_MAX


def metadata_row(point):
    return [
        str(point["number"]), str(point["blocks"]), f"{point['changed'] / MIB:.1f}", str(point["metadata"]),
        str(point["written"]["map"]), f"{point['metadata'] / max(1, point['changed']):.3%}",
        verdict(metadata_kept(point)), f"{point['wall_s']:.2f}", f"{point['rss_max'] / MIB:.0f}",
    ]  # fmt: skip


def huge_row(report, options):
    return [
        f"{report['wall_s']:.2f}", verdict(report["wall_s"] <= HUGE_WALL_S_MAX), f"{report['cpu_s']:.2f}",
        f"{report['rss_max'] / MIB:.0f}", verdict(report["rss_max"] <= options.memory),
    ]  # fmt: skip


def verdict(held):
    return "met" if held else "missed"


def yes_no(report):
    return "yes" if report["verified"] else "NO"


def say(text):
    print(text, file=sys.stderr, flush=True)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coffer", required=True, metavar="PROGRAM")
    parser.add_argument("--size", type=parse_size, default=parse_size("64GiB"), help="of the metadata case's volume")
    parser.add_argument("--points", type=int, default=24)
    parser.add_argument("--full-at-first", action="store_true", help="every block of that volume holds data at point 1")
    parser.add_argument("--huge", type=parse_size, default=parse_size("64TiB"))
    parser.add_argument("--huge-data", type=parse_size, default=parse_size("1GiB"))
    parser.add_argument("--huge-dir", help="folder on a file system for large files, such as XFS; else tmpfs is used")
    parser.add_argument("--memory", type=parse_size, default=parse_size("256MiB"))
    parser.add_argument("--timeout", type=float, default=1800, help="seconds for one command")
    parser.add_argument("--out", default="target/bench")
    options = parser.parse_args()
    options.out, options.coffer = os.path.abspath(options.out), os.path.abspath(options.coffer)
    return options


def main():
    options = parse_arguments()
    work = os.path.join(options.out, "work")
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    open(os.path.join(options.out, "metadata.log"), "wb").close()
    outcome = {"failures": []}
    try:
        for name, case in (("metadata", metadata_case), ("huge", huge_case)):
            try:
                outcome[name] = case(options, work)
            except Broken as error:
                say(f"{name} failed: {error}")
                outcome["failures"].append(str(error))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    with open(os.path.join(options.out, "metadata.json"), "w", encoding="utf-8") as out:
        json.dump(outcome, out, indent=1)
    with open(os.path.join(options.out, "metadata.md"), "w", encoding="utf-8") as out:
        out.write(markdown(options, outcome))
    print(markdown(options, outcome))
    sys.exit(0 if contract_kept(outcome, options.memory) else 1)


if __name__ == "__main__":
    main()
