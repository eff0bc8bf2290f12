"""Runs the tools over the images, phase by phase, and checks every restored byte.

  full          back up the images, dropped from the page cache first
  incremental   after 1 % of random 64 KiB blocks changed, with no word about where
  restore       to new files; SHA-256 compared with the images

The images are put back after each tool, so all tools see the same bytes.
"""

import hashlib
import os
import shutil

import limits
import repository
from measure import drop_from_cache
from mutate import apply_undo, mutate
from runner import run_measured
from stores import Local
from tools import Run
from units import GIB

BLOCK_BYTES = 64 << 10
CHANGE_SEED = 7


def sha256_of(path):
    """Returns the SHA-256 of a file."""
    with open(path, "rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def change_bytes(size):
    """Returns 1 % of `size` in whole blocks, rounded up: 20.5 MiB of 2 GiB."""
    return -(-size // 100 // BLOCK_BYTES) * BLOCK_BYTES


class Bench:
    """One bench: image sets {"one": [path], "four": [path, ...]}, a scratch folder, a log of the tools' words, a store."""

    def __init__(self, images, work, log, store):
        self.store = store
        self.images = images
        self.work = work
        self.log = log
        self._lz4_ratio = None

    def limits(self, coffer):
        """Returns what fio reaches on the first image and on a new file of its size, what the plainest pipe to S3 costs, and what
        the steps of a backup cost by themselves."""
        image = self.images["one"][0]
        return {
            "read": limits.fio_read(image),
            "write": limits.fio_write(os.path.join(self.work, "fio-write"), os.path.getsize(image)),
            "pipe": limits.pipe_to_s3(image, self.store, self.work, self.log),
            "steps": run_measured(coffer.steps(image), {}, self.work, self.log)["result"],
        }

    def round(self, tool, number):
        """Returns {phase: report} of one tool in one round."""
        folder = os.path.join(self.work, f"{tool.label.replace(' ', '-')}-{number}")
        run = Run(folder, self.images[tool.images], self.store if tool.speaks_s3 else Local())
        os.makedirs(run.folder)
        undone = []
        try:
            self._command(tool, run, tool.init(run))
            reports = {"full": self._phase(tool, run, tool.full)}
            change = self._change(run, undone)
            reports["incremental"] = {**self._phase(tool, run, tool.incremental), "change": change}
            reports["restore"] = self._restore(tool, run)
            return reports
        finally:
            for image, undo in reversed(undone):
                apply_undo(image, undo)
            shutil.rmtree(run.folder, ignore_errors=True)

    def _change(self, run, undone):
        """Changes 1 % of each image; how to undo it is added to `undone` before the first write."""
        total, ranges = 0, []
        for image in run.images:
            undo = os.path.join(run.folder, f"undo-{os.path.basename(image)}")
            undone.append((image, undo))
            report = mutate(image, "random-64k", change_bytes(os.path.getsize(image)), CHANGE_SEED, undo)
            total += report["changed_bytes"]
            ranges.append(report["ranges"])
        if self._lz4_ratio is None:  # the first tool has one image, the one that the targets are about
            self._lz4_ratio = limits.lz4_ratio(run.images[0], ranges[0])
        return {"changed_bytes": total, "lz4_ratio": self._lz4_ratio}

    def _restore(self, tool, run):
        os.makedirs(run.target)
        try:
            report = self._phase(tool, run, tool.restore)
            report["verified"] = all(self._equal(image, run) for image in run.images)
            return report
        finally:
            shutil.rmtree(run.target, ignore_errors=True)

    def _equal(self, image, run):
        """Says whether the restored file of that name equals the image as it is now."""
        path = run.restored.get(image) or find(run.target, os.path.basename(image))
        return path is not None and os.path.isfile(path) and sha256_of(path) == sha256_of(image)

    def _phase(self, tool, run, command):
        for path in (*run.images, *run.store.files(run)):
            drop_from_cache(path)
        before = run.store.size(run)
        report = self._command(tool, run, command(run))
        report["added_bytes"] = run.store.size(run) - before
        size = sum(os.path.getsize(image) for image in run.images)
        report["cpu_s_per_gib"] = report["cpu_s"] / (size / GIB)
        return report

    def _command(self, tool, run, command):
        return run_measured(command, tool.env(run), run.folder, self.log)


def find(folder, name):
    """Returns the path of the file of that name below `folder`, or None."""
    return next((path for path in repository.files(folder) if os.path.basename(path) == name), None)
