"""Tests of the comparison itself, with fake_coffer.py in place of coffer: it must not call a bad run good."""

import json
import os
import struct
import subprocess
import sys

import repository
import targets
from rounds import change_bytes
from test_kit import HERE, Scratch, read
from tools import coffers

MIB = 1 << 20
PACK_EXTRA_BYTES = 256  # header and footer of fake_coffer's packs


class WholeBench(Scratch):
    """bench.py from end to end over a small image."""

    def bench(self, behaviour, status):
        out = self.path("out")
        done = subprocess.run(
            [sys.executable, os.path.join(HERE, "bench.py"), "--coffer", os.path.join(HERE, "fake_coffer.py"),
             "--size", "2MiB", "--rounds", "2", "--peers", "", "--memory", "96MiB", "--out", out],
            env={**os.environ, "FAKE_COFFER": behaviour}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
        self.assertEqual(done.returncode, status, done.stderr.decode())
        self.assertEqual(sorted(os.listdir(out)), ["output.log", "results.json", "results.md"])
        results = json.loads(read(os.path.join(out, "results.json")))
        self.assertEqual(read(os.path.join(out, "results.md")).strip(), done.stdout.strip())
        return results

    def verdicts(self, results, part):
        return {case["verdict"] for case in results["cases"] if part in case["name"]}

    def test_a_right_program_passes_and_its_growth_is_seen(self):
        results = self.bench("", 0)
        self.assertEqual(self.verdicts(results, "SHA-256"), {"met"})
        self.assertEqual(self.verdicts(results, "peak RSS"), {"met"})
        self.assertEqual(len(results["rounds"]), 2)
        phases = results["rounds"][0]["coffer 96 MiB"]
        self.assertEqual(phases["full"]["added_bytes"], PACK_EXTRA_BYTES + 2 * MIB)
        self.assertEqual(phases["incremental"]["result"]["point"], "point2")
        self.assertEqual(phases["incremental"]["change"]["changed_bytes"], 65536)
        self.assertEqual(self.verdicts(results, "against restic"), {"not measured"})

    def test_a_wrong_restore_is_a_failure(self):
        self.assertEqual(self.verdicts(self.bench("wrong-restore", 1), "SHA-256"), {"missed"})

    def test_memory_past_the_cap_is_a_failure(self):
        self.assertEqual(self.verdicts(self.bench("hungry", 1), "peak RSS"), {"missed"})

    def test_a_program_that_fails_is_a_failure(self):
        results = self.bench("fail", 1)
        self.assertEqual(self.verdicts(results, "SHA-256"), {"not measured"})
        self.assertEqual(len(results["failures"]), 4)


class WholeMetadata(Scratch):
    """metadata.py from end to end over small volumes."""

    def metadata(self, behaviour, status, memory="256MiB"):
        out = self.path("out")
        done = subprocess.run(
            [sys.executable, os.path.join(HERE, "metadata.py"), "--coffer", os.path.join(HERE, "fake_coffer.py"),
             "--size", "8MiB", "--points", "3", "--huge", "32MiB", "--huge-data", "2MiB", "--memory", memory, "--out", out],
            env={**os.environ, "FAKE_COFFER": behaviour}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
        self.assertEqual(done.returncode, status, done.stderr.decode())
        return json.loads(read(os.path.join(out, "metadata.json")))

    def test_growth_is_counted_point_by_point(self):
        outcome = self.metadata("", 0)
        points = outcome["metadata"]["points"]
        self.assertEqual([point["metadata"] for point in points], [PACK_EXTRA_BYTES] * 3)
        self.assertEqual([point["written"]["payload"] for point in points], [8 * MIB] * 3)
        self.assertEqual([point["changed"] for point in points[1:]], [65536] * 2)
        self.assertTrue(outcome["metadata"]["restore"]["verified"])
        self.assertTrue(outcome["huge"]["restore"]["verified"])

    def test_a_wrong_restore_is_a_failure(self):
        self.assertFalse(self.metadata("wrong-restore", 1)["huge"]["restore"]["verified"])

    def test_metadata_past_its_limit_is_a_failure(self):
        points = self.metadata("wordy", 1)["metadata"]["points"]
        self.assertEqual(points[1]["metadata"], PACK_EXTRA_BYTES + MIB)

    def test_memory_past_the_cap_is_a_failure(self):
        self.assertIn("restore", self.metadata("hungry", 1, memory="96MiB")["huge"])

    def test_a_program_that_fails_is_a_failure(self):
        self.assertEqual(len(self.metadata("fail", 1)["failures"]), 2)


class Judge(Scratch):
    """The arithmetic of the targets."""

    OURS = coffers("coffer", [256 * MIB])

    def rounds(self, cpu_s, peer_cpu_s, added=1040, rss=200 * MIB):
        change = {"changed_bytes": 2000, "lz4_ratio": 0.5}

        def one(cpu):
            return {"cpu_s": cpu, "cpu_s_per_gib": cpu, "wall_s": 2.0, "rss_max": rss, "added_bytes": added,
                    "change": change, "verified": True}  # fmt: skip

        each = {targets.PHASE_NAMES[p]: p for p in targets.PHASE_NAMES}.values()
        return [
            {
                "coffer 256 MiB": {phase: one(cpu) for phase in each},
                targets.RUSTIC: {phase: one(peer) for phase in each},
                "fio": {"read": {"wall_s": 1.4}, "write": None, "steps": {"sums": {"full": 2.0, "incremental": 0.5}}},
            }
            for cpu, peer in zip(cpu_s, peer_cpu_s)
        ]

    def verdict(self, rounds, name):
        found = [case.verdict for case in targets.judge(rounds, self.OURS) if name in case.name]
        self.assertTrue(found, name)
        return found[0]

    def test_the_least_of_the_rounds_counts_for_seconds(self):
        self.assertEqual(self.verdict(self.rounds([9, 1.5, 9], [9, 9, 9]), "full backup, CPU-s"), "met")
        self.assertEqual(self.verdict(self.rounds([9, 1.6, 9], [9, 9, 9]), "full backup, CPU-s"), "missed")

    def test_the_median_within_rounds_counts_for_ratios(self):
        name = "full backup, CPU against rustic"
        self.assertEqual(self.verdict(self.rounds([1, 1, 9], [4, 5, 9]), name), "met")
        self.assertEqual(self.verdict(self.rounds([1, 3, 3], [9, 9, 9]), name), "missed")

    def test_the_steps_alone_are_a_measure_of_the_machine(self):
        name = "full backup, CPU against its steps"
        self.assertEqual(self.verdict(self.rounds([2.3, 2.3, 9], [9, 9, 9]), name), "met")
        self.assertEqual(self.verdict(self.rounds([2.4, 2.4, 1], [9, 9, 9]), name), "missed")
        rounds = self.rounds([1], [9])
        rounds[0]["fio"]["steps"] = None
        self.assertEqual(self.verdict(rounds, name), "not measured")

    def test_a_missing_peer_is_not_a_met_target(self):
        self.assertEqual(self.verdict(self.rounds([1], [9]), "full backup, CPU against restic"), "not measured")
        self.assertEqual(self.verdict(self.rounds([1], [9]), "speed against fio write"), "not measured")

    def test_speed_stored_bytes_and_memory_have_their_limits(self):
        self.assertEqual(self.verdict(self.rounds([1], [9]), "full backup, speed against fio"), "met")
        self.assertEqual(self.verdict(self.rounds([1], [9]), "incremental, speed against fio"), "missed")
        self.assertEqual(self.verdict(self.rounds([1], [9]), "incremental, stored"), "met")
        self.assertEqual(self.verdict(self.rounds([1], [9], added=1060), "incremental, stored"), "missed")
        self.assertEqual(self.verdict(self.rounds([1], [9], rss=257 * MIB), "peak RSS"), "missed")

    def test_one_percent_is_whole_blocks_rounded_up(self):
        self.assertEqual(change_bytes(2 << 30), 328 * 65536)
        self.assertEqual(change_bytes(1), 65536)


class Repository(Scratch):
    """Telling payload from what is kept beside it."""

    def put(self, key, data):
        path = self.path(key)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as out:
            out.write(data)

    def test_kinds_add_up_to_the_size(self):
        frames = 2 * (24 + 1000)
        footer = struct.pack("<8sIIQ", b"COFPEND1", 2, 1, 192 + frames).ljust(64, b"\0")
        self.put("t/team/data/c/n/p/chain/point/vol/p00000000", bytes(192 + frames + 128) + footer)
        self.put("t/team/data/c/n/p/chain/point/vol/map", bytes(300))
        self.put("t/team/points/c/n/p/point.summary", bytes(50))
        self.put("coffer.json", bytes(7))
        kinds = repository.kinds(self.folder)
        self.assertEqual(kinds, {"payload": 2000, "pack_overhead": 192 + 48 + 128 + 64, "map": 300, "manifest": 50, "other": 7})
        self.assertEqual(sum(kinds.values()), repository.size(self.folder))

    def test_a_pack_without_a_footer_is_an_error(self):
        self.put("t/team/data/c/n/p/chain/point/vol/p00000000", bytes(500))
        with self.assertRaises(ValueError):
            repository.kinds(self.folder)
