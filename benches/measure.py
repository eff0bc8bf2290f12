#!/usr/bin/env python3
"""Runs a command and reports what its whole process tree used, as JSON.

  wall_s            elapsed time
  user_s, sys_s, cpu_s
                    CPU of the command and of every descendant, exact: children are counted by the kernel when
                    their parent reaps them, and daemons that outlive their parent are inherited and counted here
  rss_tree_peak     largest sum of resident memory over the tree, sampled; shared pages count once per process
  rss_max           largest resident memory of any single process: ru_maxrss, or the largest sample where
                    ru_maxrss only shows the memory of this program, which a child inherits until it execs
  read_bytes, write_bytes
                    bytes that reached the block layer (page-cache hits do not count)
  rchar, wchar      bytes passed through read- and write-like calls (files, pipes and sockets)
  other_cpu_s       CPU that the rest of the machine used meanwhile: how noisy the run was
  timed_out, rc

Example:
  measure.py --gib 2 --drop vol.img -- sh -c 'lz4 -c vol.img > /dev/null'

Needs Linux. Sampling costs about 0.1 % of a core at the default 20 ms. Run it as a program of its own: it counts
every child that it reaps, and a small parent keeps the floor under rss_max low.
"""

import argparse
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time

PR_SET_CHILD_SUBREAPER = 36
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
IO_FIELDS = ("rchar", "wchar", "read_bytes", "write_bytes")
LINGER_S = 5.0  # how long daemons may outlive the command before they are left running and named


# ---- /proc ---------------------------------------------------------------------------------------------


def children_of(pid):
    """Returns the pids of all descendants of `pid`."""
    found, queue = [], [pid]
    while queue:
        current = queue.pop()
        try:
            for task in os.listdir(f"/proc/{current}/task"):
                with open(f"/proc/{current}/task/{task}/children", "rb") as listing:
                    below = [int(word) for word in listing.read().split()]
                found.extend(below)
                queue.extend(below)
        except OSError:
            continue  # it ended while we looked
    return found


def resident_bytes(pid):
    """Returns the resident memory of a process, 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as statm:
            return int(statm.read().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def io_counters(pid):
    """Returns the I/O counters of a process and of the children it has reaped; zeros if unreadable."""
    counters = dict.fromkeys(IO_FIELDS, 0)
    try:
        with open(f"/proc/{pid}/io", "rb") as listing:
            for line in listing:
                name, _, value = line.decode().partition(":")
                if name in counters:
                    counters[name] = int(value)
    except OSError:
        pass
    return counters


def machine_cpu_s():
    """Returns the CPU seconds that the machine has spent on anything."""
    with open("/proc/stat", "rb") as stat:
        fields = [int(value) for value in stat.readline().split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields[:8]
    return (user + nice + system + irq + softirq + steal) / TICKS


# ---- running -------------------------------------------------------------------------------------------


class Sampler(threading.Thread):
    """Samples the memory of the tree below this process."""

    def __init__(self, interval_s):
        super().__init__(daemon=True)
        self._interval_s = interval_s
        self._halt = threading.Event()
        self.peak = 0
        self.peak_single = 0

    def run(self):
        own = os.getpid()
        while not self._halt.wait(self._interval_s):
            sizes = [resident_bytes(pid) for pid in children_of(own)]
            self.peak = max(self.peak, sum(sizes))
            self.peak_single = max(self.peak_single, max(sizes, default=0))

    def stop(self):
        self._halt.set()
        self.join()


class Deadline:
    """Kills everything below this process when its time is up."""

    def __init__(self, timeout_s):
        self.passed = False
        self._timer = threading.Timer(timeout_s, self._strike) if timeout_s else None
        if self._timer:
            self._timer.daemon = True
            self._timer.start()

    def _strike(self):
        self.passed = True
        for pid in children_of(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def cancel(self):
        if self._timer:
            self._timer.cancel()


class Reaped:
    """What the kernel says about the processes that ended."""

    def __init__(self):
        self.user_s = self.sys_s = 0.0
        self.rss_max = 0
        self.io = dict.fromkeys(IO_FIELDS, 0)

    def take(self, pid):
        """Reaps `pid`, adds its figures, returns its exit code."""
        for name, value in io_counters(pid).items():
            self.io[name] += value  # read while it is a zombie: the counters go with it
        _, status, usage = os.wait4(pid, 0)
        self.user_s += usage.ru_utime
        self.sys_s += usage.ru_stime
        self.rss_max = max(self.rss_max, usage.ru_maxrss * 1024)
        return os.waitstatus_to_exitcode(status)


def reap_all(child, reaped):
    """Waits for `child` and, for a while, for what it left running; returns (exit code, moment it ended)."""
    code, ended = None, None
    while True:
        try:
            event = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT | (os.WNOHANG if ended else 0))
        except ChildProcessError:
            return code, ended
        if event is None:
            if time.monotonic() - ended > LINGER_S:
                return code, ended
            time.sleep(0.01)
            continue
        one = reaped.take(event.si_pid)
        if event.si_pid == child.pid:
            code, ended = one, time.monotonic()
            child.returncode = one


def measure(command, stdout=None, stderr=None, interval_s=0.02, timeout_s=None):
    """Runs `command` (a list) to its end and returns the report.

    The caller must have no other children: everything this process reaps is counted.
    """
    become_subreaper()
    other_before = machine_cpu_s()
    sampler, reaped = Sampler(interval_s), Reaped()
    started = time.monotonic()
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
    deadline = Deadline(timeout_s)
    sampler.start()
    code, ended = reap_all(child, reaped)
    deadline.cancel()
    sampler.stop()
    inherited = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    rss_max = reaped.rss_max
    if rss_max <= inherited and sampler.peak_single:
        rss_max = sampler.peak_single
    cpu_s = reaped.user_s + reaped.sys_s
    return {
        "rc": code,
        "timed_out": deadline.passed,
        "wall_s": round(ended - started, 4),
        "user_s": round(reaped.user_s, 4),
        "sys_s": round(reaped.sys_s, 4),
        "cpu_s": round(cpu_s, 4),
        "rss_tree_peak": max(sampler.peak, rss_max),
        "rss_max": rss_max,
        **reaped.io,
        "left_running": children_of(os.getpid()),
        "other_cpu_s": round(max(0.0, machine_cpu_s() - other_before - cpu_s), 2),
    }


def become_subreaper():
    """Makes orphaned descendants ours to reap."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def drop_from_cache(path):
    """Writes the file back and asks the kernel to forget its pages."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gib", type=float, help="volume size: adds cpu_s_per_gib and gib_per_s")
    parser.add_argument("--drop", metavar="FILE", action="append", default=[], help="drop FILE from the page cache first")
    parser.add_argument("--stdout", metavar="FILE", default=os.devnull, help="where the command's output goes")
    parser.add_argument("--stderr", metavar="FILE", default=os.devnull, help="where its error output is appended")
    parser.add_argument("--interval-ms", type=float, default=20)
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="kill the command after this long")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- command and arguments")
    options = parser.parse_args()
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser.error("no command")
    for path in options.drop:
        drop_from_cache(path)
    with open(options.stdout, "wb") as out, open(options.stderr, "ab") as err:
        report = measure(command, out, err, options.interval_ms / 1000, options.timeout)
    if options.gib:
        report["cpu_s_per_gib"] = round(report["cpu_s"] / options.gib, 4)
        report["gib_per_s"] = round(options.gib / report["wall_s"], 4) if report["wall_s"] else None
    print(json.dumps({"command": command, **report}))
    sys.exit(abs(report["rc"]) & 0xFF)


if __name__ == "__main__":
    main()
