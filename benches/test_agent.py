"""Tests of the agent bench, with fake_coffer.py and fake_agent.py in place of the programs, and of its arithmetic."""

import json
import os
import shutil
import subprocess
import sys
import tomllib

import agent
import agent_report
from agent_cases import ROOM_BYTES, lacks_room
from agent_memory import compare, rss_after
from agent_node import DOMAIN, bound, make_certificates, settings, status_value, wakeups, without_secrets
from agent_ways import pair
from clones import Clones, call, pieces
from runner import Broken
from test_kit import HERE, Scratch, read
from units import GIB, KIB, MIB


class WholeAgent(Scratch):
    """agent.py from end to end over small volumes."""

    def bench(self, status, *words, **env):
        out = self.path("out/agent.json")
        done = subprocess.run(
            [sys.executable, os.path.join(HERE, "agent.py"), "--coffer", os.path.join(HERE, "fake_coffer.py"),
             "--agent", os.path.join(HERE, "fake_agent.py"), "--size", "1MiB", "--volumes", "1,3", "--rounds", "2", "--wait", "1",
             "--out", out, *words],
            env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual(sorted(os.listdir(self.path("out"))), ["agent.json", "agent.log"])
        return json.loads(read(out)), done.stdout

    def test_both_ways_run_in_every_round(self):
        outcome, text = self.bench(0)
        cases = outcome["cases"]["volumes"]
        self.assertEqual([case["volumes"] for case in cases], [1, 3])
        ways = [[sorted(each) for each in case["rounds"]] for case in cases]
        self.assertEqual(ways, [[["agent", "direct"]] * 2, [["agent", "direct", "together"]] * 2])
        full = cases[1]["rounds"][0]["agent"]["full"]
        self.assertEqual((full["requests"], full["types"]), (3 * 4, ["full"]))
        self.assertGreater(full["cpu_s"], full["callers_cpu_s"])
        self.assertGreaterEqual(full["memory"]["series"][-1][0], 1.0)
        self.assertIn("\n| 3 | ", text)
        self.assertNotIn("|  |", next(line for line in text.splitlines() if line.startswith("| 3 | ")))
        self.assertIn("RSS <= 20 MiB: not measured.", text)

    def test_memory_past_the_cap_is_a_failure(self):
        outcome, _ = self.bench(1, "--volumes", "1", "--memory", "64MiB", FAKE_AGENT="hungry")
        self.assertGreater(outcome["agent_peak"], 100 * MIB)
        self.assertEqual(outcome["failures"], [])

    def test_what_does_not_run_is_a_failure(self):
        for env in ({"FAKE_COFFER": "fail"}, {"FAKE_AGENT": "fail"}):
            outcome, text = self.bench(1, **env)
            self.assertEqual(len(outcome["failures"]), 1)
            self.assertIn("Failed: ", text)

    def test_points_are_made_one_after_the_other(self):
        outcome, text = self.bench(0, "--cases", "points", "--points", "3")
        points = outcome["cases"]["points"]
        self.assertEqual([point["types"] for point in points], [["full"], ["incremental"], ["incremental"]])
        self.assertEqual([point["changed"] for point in points], [False, True, False])
        self.assertIn("\n| 3 | 1 to 3 | ", text)


class Arithmetic(Scratch):
    """The tables' figures."""

    def one(self, cpu_s, wall_s, rss=10 * MIB):
        return {"full": {"cpu_s": cpu_s, "wall_s": wall_s, "rss_max": rss}}

    def test_seconds_are_the_least_and_ratios_the_median_within_rounds(self):
        rounds = [
            {"direct": self.one(2, 1), "agent": self.one(2.2, 2)},
            {"direct": self.one(4, 3), "agent": self.one(4, 3)},
            {"direct": self.one(8, 2), "agent": self.one(16, 1, 30 * MIB)},
        ]
        cells = agent_report.compared(rounds, "full", 2 * GIB)
        self.assertEqual(cells, ["1.00", "1.10", "1.10 (1.00 to 2.00)", "1.0", "1.0", "1.00 (0.50 to 2.00)", "10", "30"])

    def test_a_single_ratio_has_no_range(self):
        self.assertEqual(agent_report.spread([1.25]), "1.25")

    def test_who_is_first_changes_from_round_to_round(self):
        order = []
        self.assertEqual(pair(1, lambda way: order.append(way) or way), {"direct": "direct", "agent": "agent"})
        pair(2, order.append)
        self.assertEqual(order, ["direct", "agent", "agent", "direct"])

    def memory(self, last, **idle):
        series = [[-1.0, 90 * MIB], [0.0, 80 * MIB], [1.0, 30 * MIB], [10.0, 25 * MIB], [60.0, last]]
        full = {"memory": {"peak": 100 * MIB, "series": series, **idle}}
        return "\n".join(agent_report.memory_parts({"volumes": 16, "rounds": [{"agent": {"full": full}}]}))

    def test_the_limit_of_idle_memory_is_judged(self):
        text = self.memory(20 * MIB, wakeups_per_s=0.25, idle_cpu_s=0.0021, idle_s=10.0, threads=4)
        self.assertIn("| peak | 100.0 |\n| 1 s after | 30.0 |\n| 10 s after | 25.0 |\n| 60 s after | 20.0 |", text)
        self.assertIn("RSS <= 20 MiB: met.", text)
        self.assertIn("The last 10 s of the wait: 0.2 wake-ups per second of 4 threads, 2.1 ms of CPU.", text)
        self.assertIn("RSS <= 20 MiB: missed.", self.memory(20 * MIB + 1))

    def test_memory_is_known_only_where_it_was_looked_at(self):
        self.assertEqual(rss_after([[0.0, 1], [9.6, 2], [11.0, 3]], 10), 2)
        self.assertIsNone(rss_after([[0.0, 1], [9.4, 2]], 10))
        self.assertIsNone(rss_after([], 1))

    def point(self, number):
        full = number % 24 == 1
        return {"number": number, "types": ["full" if full else "incremental"], "cpu_s": 9 if full else number / 1000, "wall_s": 1,
                "requests": 40 if full else 10 + number // 100}  # fmt: skip

    def test_points_are_means_of_incrementals_around_them(self):
        found = [self.point(number) for number in range(1, 1001)]
        around = [agent_report.near(found, mark) for mark in (1, 10, 100, 1000)]
        self.assertEqual([(each[0]["number"], each[-1]["number"]) for each in around], [(1, 10), (5, 14), (95, 104), (991, 1000)])
        table = list(agent_report.points_section(found))[1].splitlines()
        self.assertEqual(table[2], "| 1 | 1 to 10 | 0.006 | 1.000 | 10.0 | 1 | 9.000 | 1.000 | 40.0 |")
        self.assertEqual(table[4], "| 100 | 95 to 104 | 0.100 | 1.000 | 10.6 | 97 | 9.000 | 1.000 | 40.0 |")
        self.assertEqual(len(table), 6)

    def test_fewer_points_than_marks(self):
        table = list(agent_report.points_section([self.point(number) for number in range(1, 4)]))[1].splitlines()
        self.assertEqual([line.split("|")[1].strip() for line in table[2:]], ["1", "3"])

    def test_two_cpus_are_compared_with_one_in_the_same_round(self):
        rounds = [{"0": self.one(4, 4), "0-1": self.one(5, 2)}, {"0": self.one(4, 6), "0-1": self.one(4, 4)}]
        rows = list(agent_report.cores_section(rounds))[1].splitlines()[2:]
        self.assertEqual(rows, ["| 0 | 4.0 | 4.0 | 1.00 (1.00 to 1.00) | 10 |", "| 0-1 | 2.0 | 4.0 | 1.75 (1.50 to 2.00) | 10 |"])


class Kernel(Scratch):
    """What is read from /proc."""

    def test_figures_of_status_files(self):
        text = "Name:\tVmRSS: 7\nVmHWM:\t   14336 kB\nVmRSS:\t    8192 kB\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n"
        self.assertEqual(status_value(text, "VmRSS") * KIB, 8 * MIB)
        self.assertEqual(status_value(text, "voluntary_ctxt_switches"), 12)

    def test_threads_that_come_and_go_count(self):
        self.assertEqual(wakeups({"1": 5, "2": 7}, {"1": 8, "3": 2}), 3 + 2 + 1)
        self.assertEqual(wakeups({"1": 5}, {"1": 5}), 0)
        idle = compare((100.0, {"1": 5}, 1.5), (110.0, {"1": 25}, 1.75))
        self.assertEqual(idle, {"wakeups_per_s": 2.0, "idle_cpu_s": 0.25, "idle_s": 10.0, "threads": 1})


class Settings(Scratch):
    """What the agent and its callers are told."""

    def test_settings_are_toml(self):
        for tls in (False, True):
            text = settings('/tmp/a "b" ü', "127.0.0.1:9", 96 * MIB, "s3://?endpoint=https://localhost:1", ["/x", "/y"], tls)
            found = tomllib.loads(text)
            self.assertEqual((found["memory"], found["roots"], found["state_dir"]), ("96MiB", ["/x", "/y"], '/tmp/a "b" ü/state'))
            self.assertEqual(found.get("tls", {}).get("trust_domain"), DOMAIN if tls else None)

    def test_credentials_travel_with_the_callers_only(self):
        self.assertEqual(without_secrets({"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "x"}), {"PATH": "/bin"})

    def test_binding(self):
        self.assertEqual((bound(None), bound("0-1")), ([], ["taskset", "-c", "0-1"]))

    def test_certificates_say_who_is_who(self):
        make_certificates(self.folder)
        verify = ["openssl", "verify", "-CAfile", self.path("ca.crt"), "-purpose"]
        for name, purpose, names in (("agent", "sslserver", "DNS:localhost, IP Address:127.0.0.1"),
                                     ("controller", "sslclient", f"URI:spiffe://{DOMAIN}/coffer/controller")):  # fmt: skip
            call(*verify, purpose, self.path(f"{name}.crt"))
            self.assertIn(names, call("openssl", "x509", "-noout", "-ext", "subjectAltName", "-in", self.path(f"{name}.crt")))
        with self.assertRaises(Broken):
            call(*verify, "sslclient", self.path("agent.crt"))

    def test_arguments(self):
        options = agent.parse_arguments(["--coffer", "c", "--agent", "a", "--cases", "size,points", "--sizes", "1GiB,64GiB"])
        self.assertEqual((options.cases, options.sizes), (["size", "points"], [GIB, 64 * GIB]))
        self.assertEqual((options.volumes, options.size, options.rounds), ([1, 4, 16], 256 * MIB, 3))
        self.assertFalse({"coffer", "agent", "out"} & set(agent.settings(options)))


class Large(Scratch):
    """Volumes made of clones."""

    def test_clones_cover_the_volume_once(self):
        self.assertEqual(pieces(2 * GIB, GIB), [(0, GIB), (GIB, GIB)])
        self.assertEqual(pieces(5 * MIB, 2 * MIB), [(0, 2 * MIB), (2 * MIB, 2 * MIB), (4 * MIB, MIB)])
        self.assertEqual(pieces(MIB, GIB), [(0, MIB)])

    def test_a_size_that_does_not_fit_is_told(self):
        self.assertIsNone(lacks_room(4 * GIB, GIB))
        self.assertIsNone(lacks_room(44 * GIB, 64 * GIB))
        self.assertIn("64 GiB: needs", lacks_room(38 * GIB, 64 * GIB))
        self.assertIsNotNone(lacks_room(ROOM_BYTES, 65536))

    def test_a_volume_of_clones_has_the_images_bytes(self):
        if os.geteuid() or not shutil.which("mkfs.xfs"):
            self.skipTest("needs root and mkfs.xfs")
        with Clones(self.path("clones"), 2 * MIB, MIB) as clones:
            base = read(clones.base)
            self.assertEqual(read(clones.volume("volume.img", 5 * MIB)), (base * 3)[: 5 * MIB])
        self.assertEqual(os.listdir(self.folder), [])
