"""The agent bench as Markdown; agent.py writes the same figures as JSON.

Seconds are the least of the rounds, memory the most; a ratio compares two reports of one round, and the median of the rounds
counts, with its range.
"""

import statistics

from agent_memory import IDLE_AFTER_S, IDLE_RSS_MAX, rss_after
from agent_ways import AT_ONCE, TOGETHER
from report import table
from units import GIB, MIB, show_size

AFTER_S = (1, 10, 60)
MARKS = (1, 10, 100, 1000)
NEAR_POINTS = 10
PHASES = {"full": "full", "incremental": "incremental, compares"}
COMPARED = ["direct CPU-s/GiB", "agent CPU-s/GiB", "CPU ratio", "direct wall s", "agent wall s", "wall ratio", "direct peak RSS MiB",
            "agent peak RSS MiB"]  # fmt: skip


def markdown(outcome):
    """Returns the page; `outcome` is what agent.py saves."""
    settings = outcome["settings"]
    sections = {"volumes": volumes_section, "size": size_section, "points": points_section, "cores": cores_section}
    parts = [
        "# The agent beside the same work without it",
        f"{outcome['store']}, {outcome['way']}, `--memory {show_size(settings['memory'])}`, rounds: {settings['rounds']}. "
        f"{outcome['machine']}.",
        *(part for name, section in sections.items() if outcome["cases"].get(name) for part in section(outcome["cases"][name])),
        *(f"Left out: {word}." for word in outcome["left_out"]),
        *(f"Failed: {text}" for text in outcome["failures"]),
        f"The agent's highest peak RSS is {show_size(outcome['agent_peak'])} of {show_size(settings['memory'])}. "
        f"Meanwhile the rest of the machine used {outcome['noise']:.0%} of the CPU that coffer used.",
    ]
    return "\n\n".join(parts) + "\n"


def volumes_section(cases):
    """Returns the parts about several volumes at once."""
    whole = [case for case in cases if case["rounds"]]
    rows = []
    for case in whole:
        later = [rss_after(each["agent"]["full"]["memory"]["series"], 1) for each in case["rounds"]]
        rows.append([str(case["volumes"]), *compared(case["rounds"], "full", case["bytes"]), mib(most(later)), *beside_together(case)])
    size = f" of {show_size(whole[0]['bytes'] // whole[0]['volumes'])}" if whole else ""
    yield f"## Full backups, several volumes{size} at once"
    yield table(["volumes", *COMPARED, "1 s later", f"{AT_ONCE} coffers at once CPU-s/GiB", "agent's CPU over theirs"], rows)
    if whole:
        yield from memory_parts(whole[-1])


def beside_together(case):
    """Returns the cells about several coffers at once, empty where there was one volume."""
    reports = [(each[TOGETHER]["full"]["cpu_s"], each["agent"]["full"]["cpu_s"]) for each in case["rounds"] if TOGETHER in each]
    if not reports:
        return ["", ""]
    least = min(together for together, _ in reports) / (case["bytes"] / GIB)
    return [f"{least:.2f}", spread([agent / together for together, agent in reports])]


def memory_parts(case):
    """Returns the parts about the agent's memory after its work."""
    found = [each["agent"]["full"]["memory"] for each in case["rounds"]]
    rows = [["peak", mib(most(each["peak"] for each in found), 1)]]
    after = {seconds: most(rss_after(each["series"], seconds) for each in found) for seconds in AFTER_S}
    rows += [[f"{seconds} s after", mib(size, 1)] for seconds, size in after.items() if size is not None]
    yield f"### Memory after {case['volumes']} volumes"
    yield table(["t", "agent RSS MiB"], rows)
    last = after[IDLE_AFTER_S]
    verdict = "not measured" if last is None else "met" if last <= IDLE_RSS_MAX else "missed"
    yield f"{IDLE_AFTER_S} s after the last operation RSS <= {show_size(IDLE_RSS_MAX)}: {verdict}."
    if idle := [each for each in found if "wakeups_per_s" in each]:
        worst = max(idle, key=lambda each: each["wakeups_per_s"])
        yield (
            f"The last {worst['idle_s']:.0f} s of the wait: {worst['wakeups_per_s']:.1f} wake-ups per second of {worst['threads']} "
            f"threads, {worst['idle_cpu_s'] * 1000:.1f} ms of CPU."
        )


def size_section(cases):
    """Returns the parts about one volume of several sizes."""
    rows = [
        [show_size(case["bytes"]), name, *compared(case["rounds"], phase, case["bytes"])]
        for case in cases if case["rounds"] for phase, name in PHASES.items()
    ]  # fmt: skip
    yield "## One volume"
    yield table(["size", "phase", *COMPARED], rows)


def compared(rounds, phase, size):
    """Returns the cells of both ways in one phase; `size` is that of all volumes in bytes."""
    gib, cells = size / GIB, []
    for name, divisor, shape in (("cpu_s", gib, "{:.2f}"), ("wall_s", 1, "{:.1f}")):
        figures = {way: [each[way][phase][name] for each in rounds] for way in ("direct", "agent")}
        cells += [shape.format(min(figures[way]) / divisor) for way in figures]
        cells.append(spread([agent / direct for agent, direct in zip(figures["agent"], figures["direct"])]))
    return cells + [mib(most(each[way][phase]["rss_max"] for each in rounds)) for way in ("direct", "agent")]


def points_section(found):
    """Returns the parts about many points of a small volume."""
    rows = []
    for mark in sorted({mark for mark in MARKS if mark <= len(found)} | {len(found)}):
        around = near(found, mark)
        small = [report for report in around if "full" not in report["types"]]
        full = min((report for report in found if "full" in report["types"]), key=lambda each: abs(each["number"] - mark), default=None)
        rows.append([str(mark), f"{around[0]['number']} to {around[-1]['number']}", *mean_cells(small),
                     str(full["number"]) if full else "", *mean_cells([full] if full else [])])  # fmt: skip
    yield f"## {len(found)} points of one small volume, through the agent"
    yield table(["point", "incrementals of", "CPU s", "wall s", "requests", "nearest full", "CPU s", "wall s", "requests"], rows)
    yield "CPU s, wall s and requests are means of the incrementals among the ten points; the full beside them is one."


def near(found, mark):
    """Returns the 10 points around point `mark`, fewer where there are not as many."""
    first = max(0, min(mark - NEAR_POINTS // 2 - 1, len(found) - NEAR_POINTS))
    return found[first : first + NEAR_POINTS]


def mean_cells(reports):
    """Returns the cells of means: CPU s, wall s, requests."""
    if not reports:
        return ["", "", ""]
    shapes = {"cpu_s": "{:.3f}", "wall_s": "{:.3f}", "requests": "{:.1f}"}
    return [shape.format(statistics.mean(report[name] for report in reports)) for name, shape in shapes.items()]


def cores_section(rounds):
    """Returns the parts about one CPU and two."""
    first, rows = next(iter(sorted(rounds[0]))), []
    for cpus in sorted(rounds[0]):
        reports = [each[cpus]["full"] for each in rounds]
        speedups = [each[first]["full"]["wall_s"] / each[cpus]["full"]["wall_s"] for each in rounds]
        rows.append([cpus, f"{min(r['wall_s'] for r in reports):.1f}", f"{min(r['cpu_s'] for r in reports):.1f}", spread(speedups),
                     mib(most(r["rss_max"] for r in reports))])  # fmt: skip
    yield "## Four volumes at once, agent and callers on these CPUs"
    yield table(["CPUs", "wall s", "CPU s", f"as fast as on CPU {first}", "agent peak RSS MiB"], rows)


def spread(ratios):
    """Returns the median with the range."""
    middle = f"{statistics.median(ratios):.2f}"
    return f"{middle} ({min(ratios):.2f} to {max(ratios):.2f})" if len(ratios) > 1 else middle


def most(values):
    """Returns the greatest of those that are known, or None."""
    return max((value for value in values if value is not None), default=None)


def mib(size, decimals=0):
    return "" if size is None else f"{size / MIB:.{decimals}f}"
