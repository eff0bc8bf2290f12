"""What the agent's memory does while it works and afterwards, and how often it wakes up when there is nothing to do."""

import threading
import time

from agent_node import wakeups

IDLE_RSS_MAX = 20 << 20
IDLE_AFTER_S = 60  # when that holds
WINDOW_S = 10  # at the end of the wait: over which wake-ups are counted


class Recorder(threading.Thread):
    """Notes VmRSS of an agent each second until it is stopped."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.node, self.samples, self._halt = node, [], threading.Event()

    def run(self):
        while not self._halt.wait(1):
            self.note()

    def note(self):
        self.samples.append((time.monotonic(), self.node.memory_bytes("VmRSS")))

    def stop(self):
        """Returns when no more is noted."""
        self._halt.set()
        self.join()


def backup_and_wait(subject, seconds, *options):
    """Backs up through the agent and watches it for `seconds` after the last operation; returns the report.

    Its "memory" has the series [[seconds since the last operation ended, RSS in bytes]], and, after a wait that is long enough,
    wake-ups and CPU of the last 10 seconds.
    """
    recorder = Recorder(subject.node)
    recorder.start()
    try:
        report = subject.backup(*options)
    finally:
        recorder.stop()
    ended = time.monotonic()
    recorder.note()
    idle = {}
    for second in range(1, seconds + 1):
        time.sleep(max(0.0, ended + second - time.monotonic()))
        recorder.note()
        if second == seconds - WINDOW_S:
            before = look(subject.node)
        if second == seconds > WINDOW_S:
            idle = compare(before, look(subject.node))
    series = [[round(at - ended, 1), size] for at, size in recorder.samples]
    report["memory"] = {"peak": max(report["rss_max"], *(size for _, size in series)), "series": series, **idle}
    return report


def look(node):
    """Returns the moment, the switches of each thread and the CPU seconds so far."""
    return time.monotonic(), node.switches(), node.cpu_s()


def compare(before, after):
    """Returns what happened between two looks."""
    seconds = after[0] - before[0]
    woken = wakeups(before[1], after[1])
    return {"wakeups_per_s": woken / seconds, "idle_cpu_s": after[2] - before[2], "idle_s": seconds, "threads": len(after[1])}


def rss_after(series, seconds):
    """Returns the RSS in bytes `seconds` after the last operation, or None where it was not looked at."""
    at, size = min(series, key=lambda sample: abs(sample[0] - seconds), default=(None, None))
    return size if at is not None and abs(at - seconds) <= 0.5 else None
