#!/usr/bin/env python3
"""Writes down every request that a full, an incremental, a restore and a prune make of an S3 server.

The server is MinIO over TLS on loopback (scripts/setup-servers.sh builds it). Ids in keys are shortened to `<id>`, numbers to `<n>`,
and equal lines are counted. Prints Markdown.
"""

import argparse
import collections
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

from gen_image import DEFAULT_MIX, parse_mix, write_image
from mutate import mutate
from report import table
from rounds import change_bytes
from stores import Minio
from tools import Run
from units import parse_size, show_size

LINE = re.compile(r'request operation=(.+?) key="([^"]*)"')
ID = re.compile(r"\b[0-9a-hjkmnp-tv-z]{26}\b")


def requests_of(log):
    """Returns {(operation, pattern of the key): count}, in the order of the first of each."""
    found = collections.Counter()
    for operation, key in LINE.findall(re.sub(r"\x1b\[[0-9;]*m", "", log)):
        pattern = re.sub(r"/(p)\d{8}", r"/\1<n>", ID.sub("<id>", key))
        found[operation, re.sub(r"(confirmed/.*<id>)\..*", r"\1.<summary>", pattern)] += 1
    return found


class Phases:
    """Runs coffer against one repository and collects its requests."""

    def __init__(self, program, folder, store, image):
        self.program, self.folder, self.store, self.image = program, folder, store, image
        self.url = store.coffer(Run(os.path.join(folder, "bench"), [image], store))
        self.key = os.path.join(folder, "team.key")
        self.command("init", "--key-out", self.key)

    def command(self, verb, *words):
        command = [self.program, verb, "--repo", self.url, *words, "--json"]
        env = {**os.environ, **self.store.env()}
        if verb != "init":
            command += ["--log-level", "debug"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}: ended with {done.returncode}\n{done.stderr}")
        return json.loads(done.stdout), requests_of(done.stderr)

    def backup(self, *words):
        return self.command("backup", "--key", self.key, "--plan", "p", *words, f"vol={self.image}")

    def all(self):
        yield "full", self.backup("--type", "full")
        mutate(self.image, "random-64k", change_bytes(os.path.getsize(self.image)), 7, None)
        yield "incremental", self.backup("--changes", "hash")
        out = os.path.join(self.folder, "out.img")
        yield (
            "restore",
            self.command("restore", "--key", self.key, "--plan", "p", "--pick", "latest", "--volume", f"vol={out}"),
        )
        second, _ = self.backup("--type", "full")
        self.command("forget", "--key", self.key, "--plan", "p", "--keep-last", "1")
        yield f"prune, all before point {second['sequence']} forgotten", self.command("prune", "--key", self.key)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coffer", required=True, metavar="PROGRAM", type=os.path.abspath)
    parser.add_argument("--size", type=parse_size, default=parse_size("1GiB"))
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="coffer-requests-")
    store = None
    try:
        store = Minio(folder)
        image = os.path.join(folder, "vol.img")
        write_image(image, options.size, parse_mix(DEFAULT_MIX), 1)
        print(f"A volume of {show_size(options.size)}, 1 % changed in blocks of 64 KiB before the incremental.\n")
        for name, (document, found) in Phases(options.coffer, folder, store, image).all():
            counted = ", ".join(f"{kind} {count}" for kind, count in document["requests"].items())
            print(f"### {name}: {sum(found.values())} requests ({counted})\n")
            print(table(["", "operation", "key"], [[str(count), *what] for what, count in found.items()]) + "\n")
    finally:
        if store:
            store.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
