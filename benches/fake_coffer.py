#!/usr/bin/env python3
"""Stands in for `coffer` in the tests of the bench: stores whole copies, and fails in the ways it is told to.

FAKE_COFFER=wrong-restore changes one byte of what it restores; hungry uses 200 MiB; fail refuses every backup;
wordy writes 1 MiB beside the data of each point.
"""

import json
import os
import struct
import sys
import urllib.parse

BEHAVIOUR = os.environ.get("FAKE_COFFER", "")
BLOCK_BYTES = 64 << 10
HEADER_BYTES = 192


def value(name, default=None):
    """Returns the argument after `name`; one without a default must be there."""
    return sys.argv[sys.argv.index(name) + 1] if default is None or name in sys.argv else default


def init(repo):
    os.makedirs(f"{repo}/data")
    with open(value("--key-out"), "x", encoding="ascii") as key:
        key.write("key")


def backup(repo):
    if BEHAVIOUR == "fail":
        sys.exit("coffer: told to fail")
    number = newest(repo) + 1
    made = "full" if number == 1 else "incremental"
    if value("--type", made) != made:
        sys.exit("coffer: the first must be full, and only the first")
    if number > 1 and value("--changes", "auto") not in ("hash", "auto"):
        sys.exit("coffer: no such source of changes")
    volumes = []
    for name, path in (word.split("=", 1) for word in sys.argv if "=/" in word):
        content = read(path)
        parent = read(pack(repo, number - 1, name))[HEADER_BYTES:] if number > 1 else b""
        write_pack(pack(repo, number, name), content)
        volumes.append({"name": name, "changed": changed_bytes(parent, content)})
    if BEHAVIOUR == "wordy":
        with open(f"{repo}/words{number}", "wb") as out:
            out.write(bytes(1 << 20))
    print(json.dumps({"point": f"point{number}", "type": made, "volumes": volumes, "requests": {"put": 3, "get": 1}}))


def restore(repo):
    for at, word in enumerate(sys.argv):
        if word == "--volume":
            name, target = sys.argv[at + 1].split("=", 1)
            with open(target, "wb") as out:
                out.write(read(pack(repo, newest(repo), name))[HEADER_BYTES:-64])
            if BEHAVIOUR == "wrong-restore":
                spoil(target)
    print(json.dumps({"point": f"point{newest(repo)}"}))


def newest(repo):
    """Returns the number of the plan's newest point, 0 if there is none."""
    plan = f"{repo}/data/{value('--plan')}"
    return max(map(int, os.listdir(plan)), default=0) if os.path.isdir(plan) else 0


def pack(repo, number, name):
    """Returns the path of what a point holds of a volume; the name is one that repository.py takes for a pack's."""
    return f"{repo}/data/{value('--plan')}/{number}/{name}/p00000000"


def write_pack(path, content):
    """Writes a whole copy with the outline of a pack: 192 bytes, content, 64 bytes that tell where content ends."""
    os.makedirs(os.path.dirname(path))
    with open(path, "wb") as out:
        out.write(bytes(HEADER_BYTES) + content)
        out.write(struct.pack("<8sIIQ40x", b"COFPEND1", 0, 0, HEADER_BYTES + len(content)))


def changed_bytes(before, after):
    """Returns the bytes of the blocks of `after` that differ from `before`."""
    starts = range(0, len(after), BLOCK_BYTES)
    blocks = ((before[at : at + BLOCK_BYTES], after[at : at + BLOCK_BYTES]) for at in starts)
    return sum(len(new) for old, new in blocks if old[: len(new)] != new)


def read(path):
    """Returns the content of a file."""
    with open(path, "rb") as source:
        return source.read()


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
