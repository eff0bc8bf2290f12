#!/usr/bin/env python3
"""Stands in for `coffer` in the tests of the bench: stores whole copies, and fails in the ways it is told to.

FAKE_COFFER=wrong-restore changes one byte of what it restores; hungry uses 200 MiB; fail refuses every backup.
"""

import json
import os
import shutil
import sys
import urllib.parse

BEHAVIOUR = os.environ.get("FAKE_COFFER", "")


def value(name):
    """Returns the argument after `name`."""
    return sys.argv[sys.argv.index(name) + 1]


def init(repo):
    os.makedirs(repo)
    with open(value("--key-out"), "x", encoding="ascii") as key:
        key.write("key")


def backup(repo):
    if BEHAVIOUR == "fail":
        sys.exit("coffer: told to fail")
    number = len(os.listdir(repo)) + 1
    if (number == 1) != (value("--type") == "full"):
        sys.exit("coffer: the first must be full, and only the first")
    if "--list-base" in sys.argv:
        if value("--list-base") != f"point{number - 1}":
            sys.exit("coffer: the base is not the parent")
        with open(value("--changes").removeprefix("list:"), encoding="ascii") as ranges:
            assert json.load(ranges)
    os.mkdir(f"{repo}/{number}")
    for volume in (word for word in sys.argv if "=/" in word):
        name, path = volume.split("=", 1)
        shutil.copy(path, f"{repo}/{number}/{name}")
    print(json.dumps({"point": f"point{number}", "volumes": []}))


def restore(repo):
    newest = max(os.listdir(repo), key=int)
    for at, word in enumerate(sys.argv):
        if word == "--volume":
            name, target = sys.argv[at + 1].split("=", 1)
            shutil.copy(f"{repo}/{newest}/{name}", target)
            if BEHAVIOUR == "wrong-restore":
                spoil(target)
    print(json.dumps({"point": f"point{newest}"}))


def spoil(path):
    """Changes the first byte of a file."""
    with open(path, "r+b") as out:
        first = out.read(1)[0]
        out.seek(0)
        out.write(bytes([first ^ 1]))


def main():
    if sys.argv[1] == "version":
        print("coffer 0.0.0 fake")
        return
    hog = b"x" * (200 << 20) if BEHAVIOUR == "hungry" else b""
    repo = urllib.parse.urlsplit(value("--repo")).path
    {"init": init, "backup": backup, "restore": restore}[sys.argv[1]](repo)
    del hog


if __name__ == "__main__":
    main()
