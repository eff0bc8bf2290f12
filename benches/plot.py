#!/usr/bin/env python3
"""Draws the CPU-seconds per GiB of a bench as an SVG: plot.py target/bench-s3/results.json > docs/performance-s3.svg"""

import json
import sys

from report import tools_table
from targets import PHASE_NAMES, least

BAR, GAP, LEFT, WIDTH = 16, 22, 190, 420
COLOURS = {"full": "#33658a", "incremental": "#86bbd8", "restore": "#f6ae2d"}


def draw(rounds):
    """Returns the SVG: for each tool a bar for each phase, all on one scale."""
    labels = list(dict.fromkeys(row[0] for row in tools_table(rounds)[1]))
    values = {(label, phase): least(rounds, label, phase) for label in labels for phase in PHASE_NAMES}
    most = max(values.values())
    parts, top = [], 40
    for number, phase in enumerate(PHASE_NAMES):
        left = LEFT + number * 150
        parts.append(f'<rect x="{left}" y="12" width="12" height="12" fill="{COLOURS[phase]}"/>')
        parts.append(f'<text x="{left + 18}" y="23">{PHASE_NAMES[phase]}</text>')
    for label in labels:
        parts.append(f'<text x="{LEFT - 8}" y="{top + 30}" text-anchor="end">{label}</text>')
        for phase in PHASE_NAMES:
            value = values[label, phase]
            width = max(value / most * WIDTH, 1)
            parts.append(f'<rect x="{LEFT}" y="{top}" width="{width:.1f}" height="{BAR - 2}" fill="{COLOURS[phase]}"/>')
            parts.append(f'<text x="{LEFT + width + 6:.1f}" y="{top + 12}">{value:.2f}</text>')
            top += BAR
        top += GAP
    size = f'width="{LEFT + WIDTH + 70}" height="{top}"'
    style = 'font-family="sans-serif" font-size="13"'
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n<rect {size} fill="#ffffff"/>\n'
        f"<title>CPU-seconds per GiB of volume, least of the rounds</title>\n{body}\n</svg>\n"
    )


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as source:
        print(draw(json.load(source)["rounds"]), end="")


if __name__ == "__main__":
    main()
