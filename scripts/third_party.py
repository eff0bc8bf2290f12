#!/usr/bin/env python3
"""Writes the notices of everything that is linked into our programs: each crate's licence texts, each text once.

    third_party.py --target TRIPLE PACKAGE… >THIRD-PARTY.txt

Reads what cargo has downloaded, never the network. A crate that ships no text is named with its licence alone. Build-time and test crates are
not linked and not named.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys

NOTICE = re.compile(r"^(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)
RULE = "=" * 100


def linked(metadata, packages):
    """Returns the packages that are linked into `packages`, without our own, by name and version."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    by_id = {package["id"]: package for package in metadata["packages"]}
    waiting = [package["id"] for package in metadata["packages"] if package["name"] in packages and package["source"] is None]
    missing = set(packages) - {by_id[found]["name"] for found in waiting}
    if missing:
        sys.exit(f"the workspace has no package {', '.join(sorted(missing))}")
    seen = set()
    while waiting:
        identity = waiting.pop()
        if identity not in seen:
            seen.add(identity)
            waiting += [dependency["pkg"] for dependency in nodes[identity]["deps"]
                        if any(kind["kind"] is None for kind in dependency["dep_kinds"])]  # fmt: skip
    found = [by_id[identity] for identity in seen if by_id[identity]["source"] is not None]
    return sorted(found, key=lambda package: (package["name"], package["version"]))


def texts_of(directory):
    """Returns the licence texts at the top of a crate, by file name."""
    found = sorted(file for file in directory.iterdir() if NOTICE.match(file.name) and file.is_file())
    return [file.read_text(encoding="utf-8", errors="replace").strip() for file in found]


def notices(packages):
    """Yields the paragraphs of the file."""
    users, silent = {}, []
    for package in packages:
        name = f"{package['name']} {package['version']} ({package['license']})"
        texts = texts_of(pathlib.Path(package["manifest_path"]).parent)
        for text in texts:
            users.setdefault(text, []).append(name)
        if not texts:
            silent.append(name)
    yield "Coffer is licensed under the Apache License 2.0 (the file LICENSE). Its programs contain the following software."
    if silent:
        yield "Without a text of their own, under the licence that they name:\n\n" + "\n".join(silent)
    for text, names in users.items():
        yield f"{RULE}\n" + "\n".join(names) + f"\n\n{text}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--target", required=True)
    parser.add_argument("packages", nargs="+")
    options = parser.parse_args()
    command = ["cargo", "metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform", options.target]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit("cargo metadata failed; its own words stand above")
    print("\n\n".join(notices(linked(json.loads(done.stdout), options.packages))))


if __name__ == "__main__":
    main()
