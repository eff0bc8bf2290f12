"""Writes the bench as Markdown for people; bench.py writes the same figures as JSON."""

from targets import PHASE_NAMES, least, reports
from units import MIB, show_size


def markdown(outcome, cases):
    """Returns the whole page; `outcome` is what bench.py saves."""
    parts = [
        "# Bench",
        f"Image {show_size(outcome['size'])}, 1 % of it changed in random 64 KiB blocks, {len(outcome['rounds'])} "
        f"interleaved rounds, {outcome['store']}, encryption on. {outcome['machine']}.",
        "Versions: " + "; ".join(f"{name}: {text}" for name, text in outcome["versions"].items()) + ".",
        *(f"Left out: {word}" for word in outcome["left_out"]),
        "## Targets",
        table(
            ["case", "figure", "target", "verdict"],
            [[case.name, case.figure, case.target, case.verdict] for case in cases],
        ),
        "Figures are the least of the rounds (stored bytes and memory: the most); ratios are the median of the ratios "
        "within each round, with their range. Compare CPU ratios across machines, not seconds.",
        "## All tools",
        table(*tools_table(outcome["rounds"])),
        "CPU is user + system time of the process tree per GiB of volume, in every phase. `added` is the growth of the "
        "repository, `amplification` its ratio to the bytes that changed (compression brings it below 1).",
        limits_text(outcome["rounds"]),
        f"Meanwhile the rest of the machine used {noise(outcome['rounds']):.0%} of the CPU that the tools used.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(head, rows):
    """Returns a Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def tools_table(rounds):
    """Returns head and rows: one row for each tool and phase."""
    head = ["tool", "phase", "CPU-s/GiB", "wall s", "peak RSS MiB", "added MiB", "amplification", "restored right"]
    labels = dict.fromkeys(label for each in rounds for label in each if label != "fio")
    rows = []
    for label in labels:
        for phase, name in PHASE_NAMES.items():
            if found := reports(rounds, label, phase):
                rows.append([label, name, *phase_cells(rounds, label, phase, found)])
    return head, rows


def phase_cells(rounds, label, phase, found):
    """Returns the figures of one row."""
    added = max(report["added_bytes"] for report in found)
    changed = found[0].get("change", {}).get("changed_bytes")
    checks = [report["verified"] for report in found if "verified" in report]
    return [
        f"{least(rounds, label, phase):.3f}",
        f"{least(rounds, label, phase, 'wall_s'):.2f}",
        f"{max(report['rss_tree_peak'] for report in found) / MIB:.0f}",
        f"{added / MIB:.1f}" if phase != "restore" else "",
        f"{added / changed:.2f} x" if changed else "",
        ("yes" if all(checks) else "NO") if checks else "",
    ]


def limits_text(rounds):
    """Returns a line about fio's best rounds, or nothing."""
    lines = []
    for direction in ("read", "write"):
        found = [each["fio"][direction] for each in rounds if each.get("fio", {}).get(direction)]
        if found:
            best = max(found, key=lambda side: side["gib_per_s"])
            lines.append(f"{direction} {best['gib_per_s']:.2f} GiB/s ({best['engine']})")
    text = f"fio, sequential, 1 MiB, O_DIRECT, queue depth 16: {', '.join(lines)}." if lines else ""
    pipes = [each["fio"]["pipe"] for each in rounds if each.get("fio", {}).get("pipe")]
    if pipes:
        least_cpu = min(pipe["cpu_s_per_gib"] for pipe in pipes)
        wall_s = min(pipe["wall_s"] for pipe in pipes)
        text += f" `dd | lz4 | rclone rcat` to the same server: {least_cpu:.2f} CPU-s/GiB, {wall_s:.2f} s."
    steps = [each["fio"]["steps"]["sums"] for each in rounds if each.get("fio", {}).get("steps")]
    if steps:
        sums = ", ".join(f"{name.replace('_', ' ')} {min(each[name] for each in steps):.2f}" for name in steps[0])
        text += f" The steps alone, CPU-s/GiB: {sums}."
    return text


def noise(rounds):
    """Returns the CPU that others used as a part of what the tools used."""
    all_reports = [
        report for each in rounds for label, phases in each.items() if label != "fio" for report in phases.values()
    ]
    own = sum(report["cpu_s"] for report in all_reports)
    return sum(report["other_cpu_s"] for report in all_reports) / own if own else 0.0
