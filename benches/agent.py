#!/usr/bin/env python3
"""Measures the node agent beside the same work by `coffer backup`: CPU, memory, wall time.

  direct   `coffer backup`, one volume after the other
  agent    `coffer --agent`, all volumes at once: CPU of the agent and of its callers together
  together four `coffer backup`s at once, as many operations as the agent runs with 256 MiB on two processors: what doing several things at
           once costs by itself; each has all of --memory

Cases (--cases):
  volumes  1, 4, 16 volumes at once; after the most of them the agent's memory and wake-ups are watched for a minute
  size     one volume of 1, 4, 16, 64 GiB, made of clones of 1 GiB: a full and an incremental that compares; needs root and mkfs.xfs
  points   1,000 points of a volume of 64 MiB, of which 1 % changes before every second
  cores    four volumes at once, agent and callers bound to CPU 0, then to 0-1

Both ways run in every round, with fresh repositories over the same images. Locally the agent listens on a Unix socket; with
--store s3 repositories lie in MinIO over TLS, and the agent listens on loopback and asks callers for certificates. Prints
Markdown; the figures of every run are in --out. Ends with 1 if something fails or the agent passes its memory; a missed limit
of resident memory after the work is reported and does not change the status.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile

from agent_cases import CASES
from agent_report import markdown
from agent_ways import Context
from bench import machine, say
from runner import Broken
from stores import STORES
from units import parse_size

REACHED = {"local": "the agent on a Unix socket", "s3": "the agent on loopback with mTLS"}


def run_cases(context, outcome):
    """Runs the cases one after the other; what failed is told at once and collected."""
    for name in context.options.cases:
        found = outcome["cases"].setdefault(name, [])
        try:
            CASES[name](context, found)
        except Broken as error:
            say(f"{name} failed: {error}")
            outcome["failures"].append(str(error))
        outcome["agent_peak"] = context.agent_peak
        outcome["noise"] = context.other_cpu_s / context.own_cpu_s if context.own_cpu_s else 0.0
        save(context.options.out, outcome)


def settings(options):
    """Returns what was asked for, without the paths of this machine."""
    return {name: value for name, value in vars(options).items() if name not in ("coffer", "agent", "out")}


def save(path, outcome):
    with open(path, "w", encoding="utf-8") as out:
        json.dump(outcome, out, indent=1)


def comma_list(of):
    """Returns a parser of lists with commas."""
    return lambda text: [of(word) for word in text.split(",")]


def case_name(text):
    if text not in CASES:
        raise argparse.ArgumentTypeError(f"no case {text!r}; known: {', '.join(CASES)}")
    return text


def parse_arguments(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coffer", required=True, metavar="PROGRAM", type=os.path.abspath)
    parser.add_argument("--agent", required=True, metavar="PROGRAM", type=os.path.abspath)
    parser.add_argument("--cases", type=comma_list(case_name), default=["volumes"], help=f"of {','.join(CASES)} (default volumes)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--store", choices=STORES, default="local", help="where repositories lie (default local)")
    parser.add_argument("--size", type=parse_size, default="256MiB", help="of each volume in volumes and cores (default 256MiB)")
    parser.add_argument("--volumes", type=comma_list(int), default="1,4,16", help="how many at once (default 1,4,16)")
    parser.add_argument("--sizes", type=comma_list(parse_size), default="1GiB,4GiB,16GiB,64GiB", help="of the case size")
    parser.add_argument("--points", type=int, default=1000, help="of the case points (default 1000)")
    parser.add_argument("--wait", type=int, default=60, metavar="SECONDS", help="for which the idle agent is watched (default 60)")
    parser.add_argument("--memory", type=parse_size, default="256MiB", help="that agent and coffer are given (default 256MiB)")
    parser.add_argument("--out", default="target/bench/agent.json", type=os.path.abspath, help="file for the results")
    return parser.parse_args(words)


def main():
    options = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what is mounted does not stay
    folder = os.path.dirname(options.out)
    os.makedirs(folder, exist_ok=True)
    log = os.path.splitext(options.out)[0] + ".log"
    open(log, "wb").close()
    work = tempfile.mkdtemp(prefix="agent-", dir=folder)
    store = None
    try:
        store = STORES[options.store](work)
        outcome = {
            "store": store.name, "way": REACHED[options.store], "machine": machine(), "settings": settings(options),
            "cases": {}, "left_out": [], "failures": [],
        }  # fmt: skip
        context = Context(options, work, log, store)
        outcome["left_out"] = context.left_out
        run_cases(context, outcome)
    finally:
        if store:
            store.stop()
        shutil.rmtree(work, ignore_errors=True)
    print(markdown(outcome))
    sys.exit(1 if outcome["failures"] or context.agent_peak > options.memory else 0)


if __name__ == "__main__":
    main()
