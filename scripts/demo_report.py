#!/usr/bin/env python3
"""Prints what the demo's backups and restores moved, stored and took, from the JSON that coffer gave.

Ends with an error if the points are not a full and two incrementals in one chain, or if an incremental stored half
as much as the full or more: the demo changes a small part of the files.
"""

import json
import os
import sys

COUNT = 3


def load(folder, name):
    """Returns one of the JSON documents."""
    with open(os.path.join(folder, f"{name}.json"), encoding="utf-8") as source:
        return json.load(source)


def mib(length):
    return f"{length / (1 << 20):.1f}"


def check(backups, points):
    """Ends the program if the points are not what the demo made."""
    listed = [(point["point"], point["type"], point["chain"], point["sequence"]) for point in points]
    made = [(backup["point"], backup["type"], backup["chain"], backup["sequence"]) for backup in backups]
    if listed != made:
        sys.exit(f"the points listed are not the backups made:\n{listed}\n{made}")
    if [backup["type"] for backup in backups] != ["full"] + ["incremental"] * (COUNT - 1):
        sys.exit(f"a full and incrementals were expected: {[backup['type'] for backup in backups]}")
    if len({backup["chain"] for backup in backups}) != 1:
        sys.exit("the points are not one chain")
    stored = [backup["volumes"][0]["stored"] for backup in backups]
    if any(2 * each >= stored[0] for each in stored[1:]):
        sys.exit(f"an incremental stored half as much as the full or more: {stored}")


def print_table(rows):
    """Prints rows of words in columns, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join([row[0].ljust(widths[0]), *(word.rjust(width) for word, width in zip(row[1:], widths[1:]))]))


def main():
    folder = sys.argv[1]
    backups = [load(folder, f"backup-{number}") for number in range(1, COUNT + 1)]
    restores = [load(folder, f"restore-{number}") for number in range(1, COUNT + 1)]
    check(backups, load(folder, "points"))
    rows = [["", "volume MiB", "read MiB", "changed MiB", "stored MiB", "seconds"]]
    for number, backup in enumerate(backups, start=1):
        volume = backup["volumes"][0]
        figures = [mib(volume[name]) for name in ("size", "read", "changed", "stored")]
        rows.append([f"point {number}, {backup['type']}", *figures, f"{backup['duration_ms'] / 1000:.2f}"])
    print_table(rows)
    print()
    rows = [["", "volume MiB", "fetched MiB", "written MiB", "seconds"]]
    for number, restore in enumerate(restores, start=1):
        volume = restore["volumes"][0]
        figures = [mib(volume[name]) for name in ("size", "fetched", "written")]
        rows.append([f"restore of point {number}", *figures, f"{restore['duration_ms'] / 1000:.2f}"])
    print_table(rows)


if __name__ == "__main__":
    main()
