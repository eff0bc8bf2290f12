#!/usr/bin/env python3
"""Compares coffer with its peers over the same image and the same changes, and says which targets are met.

Every tool runs once, then again, for as many rounds as asked: a noisy minute hits all of them alike. Peers that are
not installed are left out with a word. Results: results.json (every report of every run) and results.md.

Ends with 1 if coffer failed, a restored image differs, or memory passed its cap; a missed speed target is reported
and does not change the status.
"""

import argparse
import dataclasses
import json
import os
import platform
import shutil
import sys

import report
import targets
from gen_image import DEFAULT_MIX, parse_mix, write_image
from rounds import Bench
from runner import Broken
from stores import STORES
from tools import PEERS, coffers
from units import parse_size, show_size

SPACE_FACTOR = 6  # images 2, repositories 2, restored files 1, room


def make_images(folder, size):
    """Makes one image of `size` and four of a quarter; returns {"one": [path], "four": [path, ...]}."""
    os.makedirs(folder)
    quarter = max(1, size // 4)
    images = {
        "one": [os.path.join(folder, "volume.img")],
        "four": [os.path.join(folder, f"volume-{number}.img") for number in range(4)],
    }
    sizes = [(images["one"][0], size), *((path, quarter) for path in images["four"])]
    for seed, (path, length) in enumerate(sizes, start=1):
        say(f"making {os.path.basename(path)}, {show_size(length)}")
        write_image(path, length, parse_mix(DEFAULT_MIX), seed)
    return images


def pick_peers(names):
    """Returns (installed peers, words about the others)."""
    peers, left_out = [], []
    for name in names:
        peer = PEERS[name]()
        if peer.installed():
            peers.append(peer)
        else:
            left_out.append(f"{name} is not installed (scripts/setup-bench.sh installs it).")
    for program in ("fio", "lz4"):
        if names and not shutil.which(program):
            left_out.append(f"{program} is not installed (scripts/setup-bench.sh installs it).")
    return peers, left_out


def run_rounds(bench, tools, count, with_limits, failures):
    """Returns [{label: {phase: report}}]; failures are told at once and collected."""
    rounds = []
    for number in range(1, count + 1):
        results = {"fio": bench.limits(tools[0])} if with_limits else {}
        for tool in tools:
            say(f"round {number} of {count}: {tool.label}")
            try:
                results[tool.label] = bench.round(tool, number)
            except Broken as error:
                say(f"failed: {error}")
                failures.append((tool, str(error)))
        rounds.append(results)
    return rounds


def check_space(folder, size):
    """Refuses to start where the disk would fill up."""
    free = shutil.disk_usage(folder).free
    if free < SPACE_FACTOR * size:
        raise SystemExit(
            f"{folder}: {show_size(free)} free, {show_size(SPACE_FACTOR * size)} needed; try a smaller --size"
        )


def save(folder, outcome, cases):
    """Writes results.json and results.md; returns the Markdown."""
    text = report.markdown(outcome, cases)
    with open(os.path.join(folder, "results.md"), "w", encoding="utf-8") as out:
        out.write(text)
    listed = [{**dataclasses.asdict(case), "verdict": case.verdict} for case in cases]
    with open(os.path.join(folder, "results.json"), "w", encoding="utf-8") as out:
        json.dump({**outcome, "cases": listed}, out, indent=1)
    return text


def machine():
    """Returns a few words about this machine."""
    model = platform.machine()
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return f"{os.cpu_count()} CPUs ({model}), Linux {platform.release()}"


def say(text):
    print(text, file=sys.stderr, flush=True)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coffer", required=True, metavar="PROGRAM", help="the coffer to measure")
    parser.add_argument("--size", type=parse_size, default=parse_size("2GiB"), help="of the image (default 2GiB)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", default="target/bench", help="folder for results and scratch files")
    parser.add_argument("--store", choices=STORES, default="local", help="where repositories lie (default local)")
    parser.add_argument("--peers", default=",".join(PEERS), help="comma list (default: all); '' for none")
    parser.add_argument(
        "--memory", default="256MiB,96MiB", help="comma list of caps; the speed targets are about the first"
    )
    options = parser.parse_args()
    options.peers = [name for name in options.peers.split(",") if name]
    if unknown := [name for name in options.peers if name not in PEERS]:
        parser.error(f"unknown peers {', '.join(unknown)}; known: {', '.join(PEERS)}")
    options.memories = [parse_size(text) for text in options.memory.split(",")]
    options.coffer = os.path.abspath(options.coffer)
    return options


def main():
    options = parse_arguments()
    out = os.path.abspath(options.out)
    work, log = os.path.join(out, "work"), os.path.join(out, "output.log")
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    open(log, "wb").close()
    check_space(work, options.size)
    ours = coffers(options.coffer, options.memories)
    peers, left_out = pick_peers(options.peers)
    for word in left_out:
        say(word)
    failures = []
    store = STORES[options.store](work)
    try:
        bench = Bench(make_images(os.path.join(work, "images"), options.size), work, log, store)
        rounds = run_rounds(bench, [*ours, *peers], options.rounds, bool(options.peers), failures)
    finally:
        store.stop()
        shutil.rmtree(work, ignore_errors=True)
    outcome = {
        "size": options.size,
        "store": store.name,
        "machine": machine(),
        "versions": {tool.label: tool.version() for tool in [ours[0], *peers]},
        "left_out": left_out,
        "failures": [text for _, text in failures],
        "rounds": rounds,
    }
    cases = targets.judge(rounds, ours, options.store, options.size)
    print(save(out, outcome, cases))
    broken = [tool for tool, _ in failures if tool in ours]
    sys.exit(1 if broken or any(case.contract and case.met is not True for case in cases) else 0)


if __name__ == "__main__":
    main()
