"""The targets, and whether the rounds of a bench meet them.

Figures are the least of the rounds; ratios compare two tools within one round, and the median of the rounds counts:
a noisy minute then hits both sides. Targets marked `contract` hold on every machine; missing one is a defect.
"""

import statistics
from dataclasses import dataclass

from units import GIB, MIB, show_size

RESTIC, RUSTIC, BORG, KOPIA = "restic", "rustic fixed 64 KiB", "borg fixed 64 KiB", "kopia fixed 128 KiB"

CPU_MAX = {
    "local": {"full": 1.5, "incremental": 0.32, "restore": 1.0},
    "s3": {"full": 1.9, "incremental": 0.32, "restore": 1.2},
}
# Against the sum of the steps (`coffer bench cpu`): the seconds above over the same sums of the machine that they come from, whose processor
# has AVX-512. These hold for any processor. That of a restore is stricter: its seconds there are an estimate that holds HTTP too.
STEPS_MAX = {
    "local": [("full", "full", 1.16), ("incremental", "incremental", 1.31)],
    "s3": [("full", "full_over_tls", 1.24), ("incremental", "incremental", 1.31), ("restore", "restore_over_tls", 1.87)],
}
RATIO_MAX = [
    ("full", RESTIC, 0.18),
    ("full", RUSTIC, 0.25),
    ("full", BORG, 0.30),
    ("full", KOPIA, 0.30),
    ("incremental", RUSTIC, 0.25),
    ("restore", RUSTIC, 0.35),
    ("restore", KOPIA, 0.35),
]
FIO_SHARE_MIN = [("full", "read", 0.65), ("incremental", "read", 0.9), ("restore", "write", 0.7)]
STORED_MAX = 1.05
PACK = 128 * MIB
REQUESTS_PER_PACK = 10
RESTORE_REQUESTS_PER_GIB = 75

PHASE_NAMES = {
    "full": "full backup",
    "incremental": "incremental",
    "restore": "restore",
}


@dataclass
class Case:
    """One line of the target table."""

    name: str
    figure: str
    target: str
    met: bool | None  # None: could not be measured; the figure says why
    contract: bool = False

    @property
    def verdict(self):
        return {True: "met", False: "missed", None: "not measured"}[self.met]


def judge(rounds, coffers, store="local", size=0):
    """Returns the cases.

    `rounds` is [{label: {phase: report}}], with fio's figures under "fio"; `coffers` are the forms of our own
    program, of which the first is the one that the CPU targets are about. `store` is a name of stores.py, `size` that of
    the image in bytes.
    """
    ours = coffers[0].label
    cases = [cpu_case(rounds, ours, phase, limit) for phase, limit in CPU_MAX[store].items()]
    cases += [steps_case(rounds, ours, *row) for row in STEPS_MAX[store]]
    cases += [ratio_case(rounds, ours, *row) for row in RATIO_MAX]
    cases.append(stored_case(rounds, ours, "incremental"))
    if store == "local":
        cases += [fio_case(rounds, ours, *row) for row in FIO_SHARE_MIN]
    else:
        cases += [requests_case(rounds, ours, phase, size) for phase in PHASE_NAMES]
    for tool in coffers:
        cases += [memory_case(rounds, tool, phase) for phase in PHASE_NAMES]
    cases += [verified_case(rounds, tool.label) for tool in coffers]
    return cases


def reports(rounds, label, phase):
    """Returns the reports of one phase of one tool, one for each round that has it."""
    return [each[label][phase] for each in rounds if phase in each.get(label, {})]


def least(rounds, label, phase, name="cpu_s_per_gib"):
    """Returns the least figure of the rounds, or None."""
    return min((report[name] for report in reports(rounds, label, phase)), default=None)


def cpu_case(rounds, label, phase, limit):
    figure = least(rounds, label, phase)
    name = f"{PHASE_NAMES[phase]}, CPU-s per GiB of volume"
    return bounded(name, figure, "{:.2f}", f"<= {limit:g}", lambda value: value <= limit)


def steps_case(rounds, label, phase, steps, limit):
    name = f"{PHASE_NAMES[phase]}, CPU against its steps alone"
    both = [each for each in rounds if phase in each.get(label, {}) and each.get("fio", {}).get("steps")]
    ratios = [each[label][phase]["cpu_s_per_gib"] / each["fio"]["steps"]["sums"][steps] for each in both]
    return middle(name, ratios, f"<= {limit:g} x", lambda value: value <= limit, "no limits were measured")


def ratio_case(rounds, label, phase, peer, limit):
    name = f"{PHASE_NAMES[phase]}, CPU against {peer}"
    both = [each for each in rounds if phase in each.get(label, {}) and phase in each.get(peer, {})]
    ratios = [each[label][phase]["cpu_s"] / each[peer][phase]["cpu_s"] for each in both]
    return middle(name, ratios, f"<= {limit:g} x", lambda value: value <= limit, f"{peer} did not run")


def fio_case(rounds, label, phase, direction, share):
    name = f"{PHASE_NAMES[phase]}, speed against fio {direction}"
    both = [each for each in rounds if phase in each.get(label, {}) and each.get("fio", {}).get(direction)]
    shares = [each["fio"][direction]["wall_s"] / each[label][phase]["wall_s"] for each in both]
    return middle(name, shares, f">= {share:g} x", lambda value: value >= share, "fio did not run")


def stored_case(rounds, label, phase):
    name = f"{PHASE_NAMES[phase]}, stored / (changed x LZ4 ratio of the changed blocks)"
    found = [report for report in reports(rounds, label, phase) if report["change"]["lz4_ratio"]]
    shares = [each["added_bytes"] / (each["change"]["changed_bytes"] * each["change"]["lz4_ratio"]) for each in found]
    reason = "lz4 is not installed, or nothing ran"
    return bounded(name, max(shares, default=None), "{:.3f}", f"<= {STORED_MAX}", lambda v: v <= STORED_MAX, reason)


def requests_case(rounds, label, phase, size):
    """Requests of all kinds, against the limits: by what was stored, and for restores by the size of the image."""
    counts, limit = [], None
    for report in reports(rounds, label, phase):
        result = report["result"] or {}
        counts.append(sum(result.get("requests", {}).values()))
        stored = result.get("bytes_written", 0)
        most = RESTORE_REQUESTS_PER_GIB * size / GIB if phase == "restore" else 20 + REQUESTS_PER_PACK * -(-stored // PACK)
        limit = min(limit or most, most)
    name = f"{PHASE_NAMES[phase]}, requests"
    target = f"<= {limit:.0f}" if limit else "?"
    return bounded(name, max(counts, default=None), "{:.0f}", target, lambda value: value <= limit)


def memory_case(rounds, tool, phase):
    name = f"{tool.label}: {PHASE_NAMES[phase]}, peak RSS"
    worst = max((report["rss_max"] for report in reports(rounds, tool.label, phase)), default=None)
    if worst is None:
        return Case(name, "did not run", f"<= {show_size(tool.memory)}", None, contract=True)
    return Case(name, show_size(worst), f"<= {show_size(tool.memory)}", worst <= tool.memory, contract=True)


def verified_case(rounds, label):
    checks = [report["verified"] for report in reports(rounds, label, "restore")]
    name = f"{label}: every restored image has the right SHA-256"
    figure = f"{sum(checks)} of {len(checks)}" if checks else "did not run"
    return Case(name, figure, "all", all(checks) if checks else None, contract=True)


def middle(name, ratios, target, holds, reason):
    """A case about the median of the rounds' ratios, with their range beside it."""
    if not ratios:
        return Case(name, reason, target, None)
    value = statistics.median(ratios)
    return Case(name, f"{value:.3f} ({min(ratios):.3f} to {max(ratios):.3f})", target, holds(value))


def bounded(name, value, shape, target, holds, reason="did not run"):
    """A case about one number."""
    if value is None:
        return Case(name, reason, target, None)
    return Case(name, shape.format(value), target, holds(value))
