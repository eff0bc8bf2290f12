"""Tests of the programs that make, change and measure: python3 -m unittest discover -s benches."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))


def run(program, *arguments, status=0):
    """Runs one program of the kit and returns what it printed."""
    result = subprocess.run(
        [sys.executable, os.path.join(HERE, program), *map(str, arguments)], stdout=subprocess.PIPE, check=False
    )
    if result.returncode != status:
        raise AssertionError(f"{program} ended with {result.returncode}, not {status}: {result.stdout[-2000:]!r}")
    return result.stdout.decode()


def read(path):
    """Returns the content of a file."""
    with open(path, "rb") as source:
        return source.read()


class Scratch(unittest.TestCase):
    """A test with a folder of its own."""

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)


class GenImage(Scratch):
    def test_is_deterministic_and_of_the_size_asked_for(self):
        for size in (0, 1, 65537, 3_000_001):
            digests = set()
            for name in ("a", "b"):
                report = json.loads(run("gen_image.py", self.path(name), "--size", size, "--seed", 3))
                data = read(self.path(name))
                self.assertEqual(len(data), size)
                self.assertEqual(report["sha256"], hashlib.sha256(data).hexdigest())
                digests.add(report["sha256"])
            self.assertEqual(len(digests), 1)

    def test_another_seed_gives_another_image(self):
        digests = {json.loads(run("gen_image.py", self.path("a"), "--size", 65537, "--seed", s))["sha256"] for s in (1, 2)}
        self.assertEqual(len(digests), 2)

    def test_known_bytes(self):
        report = json.loads(run("gen_image.py", self.path("a"), "--size", "1MiB", "--seed", 1))
        self.assertEqual(report["sha256"], "379bbf38bb40375fd6ef068bdf3b673a04d5ea0b1ab0eb2f3a29ca911b1c3d40")

    def test_sparse_has_the_same_content_and_takes_less_room(self):
        for name, extra in (("a", []), ("b", ["--sparse"])):
            run("gen_image.py", self.path(name), "--size", "4MiB", "--mix", "zero=80,random=20", *extra)
        self.assertEqual(read(self.path("a")), read(self.path("b")))
        self.assertLess(os.stat(self.path("b")).st_blocks, os.stat(self.path("a")).st_blocks)


class Mutate(Scratch):
    def check(self, size, mode):
        image = self.path("image")
        run("gen_image.py", image, "--size", size)
        before = read(image)
        report = json.loads(run("mutate.py", image, "--mode", mode, "--fraction", 0.04, "--undo", self.path("undo")))
        after = read(image)
        self.assertEqual(len(after), size)
        differs = bytes(a != b for a, b in zip(before, after))
        self.assertGreater(report["changed_bytes"], 0)
        self.assertEqual(report["changed_bytes"], sum(differs))
        pieces = (differs[at : at + 65536] for at in range(0, size, 65536))
        self.assertEqual(report["changed_64k_bytes"], sum(len(piece) for piece in pieces if any(piece)))
        self.assertTrue(all(all(differs[at : at + length]) for at, length in report["ranges"]))
        run("mutate.py", image, "--apply-undo", self.path("undo"))
        self.assertEqual(read(image), before)

    def test_reports_the_truth_and_can_undo_it(self):
        for mode in ("random-64k", "random-4k", "sequential", "unaligned", "hot"):
            for size in (1, 65537, 3_000_001):
                with self.subTest(mode=mode, size=size):
                    self.check(size, mode)


class Measure(Scratch):
    def test_counts_the_whole_tree(self):
        burn = (
            f"{sys.executable} -c 'x = bytearray(120 << 20); import time; s = sum(range(4_000_000)); time.sleep(0.4)'"
        )
        one = json.loads(run("measure.py", "--", "sh", "-c", burn))
        three = json.loads(run("measure.py", "--", "sh", "-c", f"{burn} & {burn} & setsid {burn} & wait"))
        self.assertGreater(three["cpu_s"], 1.5 * one["cpu_s"])
        self.assertGreater(three["rss_tree_peak"], 2 * one["rss_tree_peak"])
        self.assertGreaterEqual(one["rss_max"], 120 << 20)
        self.assertLess(three["rss_max"], 2 * one["rss_max"])

    def test_io_and_status(self):
        target = self.path("out")
        report = json.loads(run("measure.py", "--", "dd", "if=/dev/zero", f"of={target}", "bs=1M", "count=8"))
        self.assertGreaterEqual(report["wchar"], 8 << 20)
        self.assertEqual(json.loads(run("measure.py", "--", "sh", "-c", "exit 7", status=7))["rc"], 7)

    def test_keeps_output_and_errors_apart(self):
        run("measure.py", "--stdout", self.path("o"), "--stderr", self.path("e"), "--", "sh", "-c", "echo a; echo b >&2")
        self.assertEqual((read(self.path("o")), read(self.path("e"))), (b"a\n", b"b\n"))

    def test_time_out_ends_the_whole_tree(self):
        report = json.loads(run("measure.py", "--timeout", 0.3, "--", "sh", "-c", "sleep 600 & sleep 600", status=9))
        self.assertTrue(report["timed_out"])
        self.assertEqual(report["left_running"], [])


if __name__ == "__main__":
    unittest.main()
