"""Runs one command of a tool under measure.py and returns what it used and what it printed."""

import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TIMEOUT_S = 3600


class Broken(Exception):
    """A tool failed; the message names the command and where its output is."""


def run_measured(command, env, scratch, log, timeout_s=TIMEOUT_S):
    """Returns the report of measure.py, with the command's JSON document, if it printed one, under "result".

    The command's output goes through a file in `scratch`; its error output is appended to `log`.
    """
    output = os.path.join(scratch, "stdout")
    done = subprocess.run(
        [sys.executable, os.path.join(HERE, "measure.py"), "--stdout", output, "--stderr", log,
         "--timeout", str(timeout_s), "--", *command],
        env={**os.environ, **env}, stdout=subprocess.PIPE, check=False,
    )  # fmt: skip
    report = json.loads(done.stdout or "{}")
    if report.get("rc") != 0:
        why = f"did not end within {timeout_s} s" if report.get("timed_out") else f"ended with {report.get('rc')}"
        raise Broken(f"{' '.join(command)}: {why}; see {log}")
    report["result"] = read_document(output)
    return report


def read_document(path):
    """Returns the JSON object that a file holds, or None."""
    try:
        with open(path, encoding="utf-8") as source:
            document = json.load(source)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None
