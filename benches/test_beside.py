"""Tests of the pure parts of beside.py and of what it is made of."""

import argparse
import json
import os
import tomllib
import unittest

from backup_load import check_backup, overlap, parse_setting, settings_text
from beside import reached
from beside_report import markdown, summarize
from block_device import device_of, disk_below, parse_schedulers, scheduler_of, switched_scheduler
from runner import Broken
from test_kit import Scratch, read


def window(iops, p99_us=200.0, gib_per_s=0.0):
    """Returns what beside.py tells about one run of fio."""
    return {
        "iops": iops, "p50_us": 80.0, "p99_us": p99_us, "backup_gib_per_s": gib_per_s, "cpu_share": 0.5, "agent_share": 0.1,
        "busy_share": 0.97,
    }  # fmt: skip


def result(number, case, alone, full, incremental, rate=None, p99_us=200.0):
    """Returns one case of one round."""
    beside = {"full": window(full, p99_us, 0.5), "incremental": window(incremental, p99_us, 0.5)}
    return {"round": number, "case": case, "rate": rate, "alone": [window(iops) for iops in alone], **beside}


class Figures(unittest.TestCase):
    def test_kept_is_the_median_of_the_rounds_against_both_runs_alone(self):
        results = [
            result(1, "depth 1", (900, 1100), 790, 900),
            result(2, "depth 1", (2000, 2000), 1700, 1000),
            result(3, "depth 1", (1000, 1000), 100, 800),
        ]
        full, incremental = summarize(results)
        self.assertEqual((full["kept"], full["kept_range"], full["verdict"]), (0.79, [0.1, 0.85], "missed"))
        self.assertEqual((incremental["kept"], incremental["verdict"]), (0.8, "met"))
        self.assertEqual((full["alone_iops"], full["iops"]), (1000, 790))
        self.assertEqual(full["drift_range"], [1.0, 1100 / 900])

    def test_the_steady_case_tells_its_rate_and_how_p99_grew(self):
        (row, _) = summarize([result(1, "steady", (500, 500), 500, 500, rate=500, p99_us=500.0)])
        self.assertEqual((row["rate"], row["p99_ratio"], row["alone_p99_us"], row["p99_us"]), (500, 2.5, 200.0, 500.0))

    def test_the_page_tells_conditions_verdicts_and_failures(self):
        disk = {"name": "vda", "scheduler": "bfq", "offered": ["none", "bfq"]}
        outcome = {
            "size": 4 << 30, "fio_size": 2 << 30, "seconds": 10, "settings": [("nice", "0")], "cpus": 2, "kernel": "6.1",
            "disk": disk, "repo_disk": None, "engine": "libaio", "failures": ["it broke"],
            "results": [result(1, "steady", (500, 500), 500, 300, rate=500)],
        }  # fmt: skip
        text = markdown(outcome)
        for part in (
            "Image 4 GiB and fio's file of 2 GiB on vda (bfq), repository on no known disk; 2 CPUs, Linux 6.1.", "1 round.", "nice = 0",
            "| steady, 500/s | full | 500 | 500 | 100% (100%-100%) | met |", "| 60% (60%-60%) | missed |", "Failed: it broke",
        ):  # fmt: skip
            self.assertIn(part, text)
        self.assertNotIn("|", markdown({**outcome, "results": []}))


class Fio(unittest.TestCase):
    def test_reads_its_document_past_notes(self):
        side = {"total_ios": 7, "iops": 3.5, "lat_ns": {"percentile": {"50.000000": 81_000, "99.000000": 250_000}}}
        text = "note: all is well\n" + json.dumps({"jobs": [{"read": side}]})
        self.assertEqual(reached(text), {"iops": 3.5, "p50_us": 81.0, "p99_us": 250.0})

    def test_nothing_read_is_a_failure(self):
        with self.assertRaises(Broken):
            reached(json.dumps({"jobs": [{"read": {"total_ios": 0}}]}))


class Settings(unittest.TestCase):
    def test_words_become_strings_and_dots_name_tables(self):
        texts = ["nice=0", "io_class=best-effort", 'memory="64MiB"', "limits.read_bytes_per_second = 100MiB", "threads = 1"]
        settings = tomllib.loads(settings_text(dict(map(parse_setting, texts))))
        self.assertEqual(
            settings,
            {"nice": 0, "io_class": "best-effort", "memory": "64MiB", "limits": {"read_bytes_per_second": "100MiB"}, "threads": 1},
        )

    def test_what_names_no_key_or_value_is_refused(self):
        for text in ("nice", "=3", "nice=", ""):
            with self.subTest(text=text), self.assertRaises(argparse.ArgumentTypeError):
                parse_setting(text)


class Backups(Scratch):
    def test_overlap_counts_only_what_lies_within(self):
        self.assertEqual(overlap([(0, 2), (3, 5), (9, 12), (20, 30)], 1, 10), 1 + 2 + 1)
        self.assertEqual(overlap([], 1, 10), 0)

    def check(self, code, document):
        for name, text in (("out", document), ("out.err", "no room")):
            with open(self.path(name), "w", encoding="utf-8") as out:
                out.write(text)
        check_backup("incremental", ["coffer"], code, self.path("out"))

    def test_a_backup_must_make_what_it_was_to_make(self):
        self.check(0, '{"type": "incremental"}')
        for code, document, said in ((1, "", "no room"), (0, '{"type": "full", "type_reason": "why"}', "why"), (0, "", "None")):
            with self.subTest(document=document), self.assertRaisesRegex(Broken, said):
                self.check(code, document)


class Devices(Scratch):
    """A tree like /sys with a disk, its partition and a volume of LVM upon that."""

    def setUp(self):
        super().setUp()
        self.disk = self.path("devices/vda")
        self.partition, self.volume = os.path.join(self.disk, "vda1"), self.path("devices/dm-0")
        for folder in (self.partition, os.path.join(self.volume, "slaves"), self.path("dev/block"), os.path.join(self.disk, "slaves")):
            os.makedirs(folder)
        self.write(os.path.join(self.partition, "partition"), "1\n")
        os.symlink(self.partition, os.path.join(self.volume, "slaves", "vda1"))
        os.makedirs(self.path("block/vda/queue"))
        self.write(self.path("block/vda/queue/scheduler"), "none [mq-deadline] bfq\n")

    def write(self, path, text):
        with open(path, "w", encoding="ascii") as out:
            out.write(text)

    def test_finds_the_disk_below(self):
        for place in (self.disk, self.partition, self.volume):
            self.assertEqual(disk_below(place), "vda")
        os.symlink(self.disk, os.path.join(self.volume, "slaves", "vda"))
        self.assertIsNone(disk_below(self.volume))

    def test_finds_the_device_of_a_file(self):
        self.assertIsNone(device_of(self.folder, self.folder))
        number = os.stat(self.folder).st_dev
        os.symlink(self.partition, self.path(f"dev/block/{os.major(number)}:{os.minor(number)}"))
        self.assertEqual(device_of(self.folder, self.folder), "vda")

    def test_reads_schedulers(self):
        self.assertEqual(scheduler_of("vda", self.folder), ("mq-deadline", ["none", "mq-deadline", "bfq"]))
        self.assertEqual(parse_schedulers("none\n"), ("none", ["none"]))

    def test_a_scheduler_is_put_back_whatever_happens(self):
        path = self.path("block/vda/queue/scheduler")
        with self.assertRaises(KeyError), switched_scheduler("vda", "bfq", self.folder):
            self.assertEqual(read(path), b"bfq")
            self.write(path, "none mq-deadline [bfq]\n")
            raise KeyError
        self.assertEqual(read(path), b"mq-deadline")


if __name__ == "__main__":
    unittest.main()
