"""The figures of beside.py: medians of the rounds, verdicts, the table."""

import statistics

from report import table
from units import show_size

KEPT_MIN = 0.8  # of the IOPS that fio reaches alone
KINDS = {"full": "full", "incremental": "compare incremental"}
LEGEND = (
    "`a -> b` is alone -> beside. Figures are medians of the rounds. Kept is IOPS beside a backup as a part of the mean of alone "
    "before and alone after; *alone again* is the range of after / before: how far a difference can be noise. Times are from "
    "before the submission to completion: fio's lat, of which clat is a part. *Backup* is what the agent read from the disk "
    "meanwhile; *CPU* is that of the whole machine, all processors together, the *agent's* likewise; *backing up* is the part of "
    "the time in which a backup was running."
)


def alone(result, name):
    """Returns a figure of fio alone: the mean of before and after."""
    return statistics.mean(window[name] for window in result["alone"])


def kept_share(result, kind):
    """Returns the part of its IOPS that fio kept beside one kind of backup."""
    return result[kind]["iops"] / alone(result, "iops")


def progress(result):
    """Returns a line about one case of one round."""
    kept = ", ".join(f"{kept_share(result, kind):.0%} beside a {name}" for kind, name in KINDS.items())
    return f"{alone(result, 'iops'):.0f} IOPS alone, {kept}"


def summarize(results):
    """Returns one summary per case and kind of backup; figures are medians of the rounds."""
    summaries = []
    for case in dict.fromkeys(result["case"] for result in results):
        found = [result for result in results if result["case"] == case]
        summaries += [summary(case, kind, found) for kind in KINDS]
    return summaries


def summary(case, kind, found):
    """Returns the figures of one row of the report."""
    kept = [kept_share(result, kind) for result in found]
    drift = [after["iops"] / before["iops"] for before, after in (result["alone"] for result in found)]
    row = {
        "case": case, "kind": kind, "rate": found[0]["rate"],
        "kept": statistics.median(kept), "kept_range": [min(kept), max(kept)], "drift_range": [min(drift), max(drift)],
        "verdict": "met" if statistics.median(kept) >= KEPT_MIN else "missed",
        "p99_ratio": statistics.median(result[kind]["p99_us"] / alone(result, "p99_us") for result in found),
    }  # fmt: skip
    for name in ("iops", "p50_us", "p99_us", "cpu_share"):
        row[f"alone_{name}"] = statistics.median(alone(result, name) for result in found)
    for name in ("iops", "p50_us", "p99_us", "cpu_share", "backup_gib_per_s", "agent_share", "busy_share"):
        row[name] = statistics.median(result[kind][name] for result in found)
    return row


def markdown(outcome):
    """Returns the page for people; `outcome` is what is saved."""
    parts = ["# A workload beside a backup", conditions(outcome)]
    if rows := summarize(outcome["results"]):
        head = [
            "fio", "beside", "IOPS alone", "IOPS beside", "kept (range)", f">= {KEPT_MIN:.0%}", "alone again", "p50 us", "p99 us",
            "p99 ratio", "backup GiB/s", "CPU", "agent's CPU", "backing up",
        ]  # fmt: skip
        parts += [table(head, [cells(row) for row in rows]), LEGEND]
    parts += [f"Failed: {text}" for text in outcome["failures"]]
    return "\n\n".join(parts) + "\n"


def conditions(outcome):
    """Returns what was measured, where, and with which settings."""
    count = len({result["round"] for result in outcome["results"]})
    rounds = "1 round" if count == 1 else f"{count} rounds"
    settings = ", ".join(f"{key} = {value}" for key, value in outcome["settings"]) or "all defaults"
    return (
        f"Image {show_size(outcome['size'])} and fio's file of {show_size(outcome['fio_size'])} on {place(outcome['disk'])}, "
        f"repository on {place(outcome['repo_disk'])}; {outcome['cpus']} CPUs, Linux {outcome['kernel']}. fio: random reads of 4 KiB, "
        f"O_DIRECT, {outcome.get('engine', 'no engine')}, {outcome['seconds']} s each, {rounds}. "
        f"Settings of the agent: {settings}."
    )


def place(disk):
    """Returns a disk and its scheduler as words."""
    return f"{disk['name']} ({disk['scheduler']})" if disk else "no known disk"


def cells(row):
    """Returns one row of the table."""
    low, high = row["kept_range"]
    least, most = row["drift_range"]
    return [
        f"{row['case']}, {row['rate']}/s" if row["rate"] else row["case"], KINDS[row["kind"]], f"{row['alone_iops']:.0f}",
        f"{row['iops']:.0f}", f"{row['kept']:.0%} ({low:.0%}-{high:.0%})", row["verdict"], f"{least:.0%}-{most:.0%}",
        f"{row['alone_p50_us']:.0f} -> {row['p50_us']:.0f}", f"{row['alone_p99_us']:.0f} -> {row['p99_us']:.0f}",
        f"{row['p99_ratio']:.1f} x", f"{row['backup_gib_per_s']:.2f}", f"{row['alone_cpu_share']:.0%} -> {row['cpu_share']:.0%}",
        f"{row['agent_share']:.0%}", f"{row['busy_share']:.0%}",
    ]  # fmt: skip
