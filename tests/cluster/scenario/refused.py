#!/usr/bin/env python3
"""refused.py KUBECTL…: wrong intents are refused when they are written, with a message that says what to write. Each is tried, and the right form beside it."""
import json
import subprocess
import sys

PLAN = {"location": "main", "select": {"claims": {}}, "schedule": {"cron": "0 * * * *"}}
TEAM = {"namespaces": ["shop"], "keys": {"writer": {"name": "w"}}}
LOCATION = {"s3": {"bucket": "backups"}}
RESTORE = {"source": {"backup": "b"}}

# Kind, name, spec, and what the refusal says; None where it is right.
CASES = [
    ("ContinuityPlan", "ok", PLAN, None),
    ("ContinuityPlan", "a.b", PLAN, "DNS label"),
    ("ContinuityPlan", "x" * 41, PLAN, "at most 40"),
    ("ContinuityPlan", "p", {**PLAN, "select": {}}, "a plan protects something"),
    ("ContinuityPlan", "p", {**PLAN, "schedule": {"cron": "0 * * *"}}, "five fields"),
    ("ContinuityPlan", "p", {**PLAN, "chain": {"fullEvery": 0}}, "fullEvery"),
    ("ContinuityPlan", "p", {**PLAN, "chain": {"fullEvery": 257}}, "fullEvery"),
    ("ContinuityPlan", "p", {**PLAN, "retention": {}}, "has a rule at least"),
    ("ContinuityPlan", "p", {**PLAN, "retention": {"keepDays": 0}}, "keepDays"),
    ("ContinuityPlan", "p", {**PLAN, "retention": {"keepDays": 3}}, None),
    ("ContinuityPlan", "p", {**PLAN, "retain": 3}, "unknown field"),
    ("ContinuityPlan", "p", {**PLAN, "objectives": {"recoveryPointSeconds": 5}}, "recoveryPointSeconds"),
    ("ContinuityPlan", "p", {**PLAN, "select": {"workloads": [{"kind": "Pod", "name": "x"}]}}, "Unsupported value"),
    ("ContinuityPlan", "p", {**PLAN, "select": {"hostPaths": [{"name": "x", "node": "n", "path": "relative"}]}}, "path"),
    ("ContinuityPlan", "p", {**PLAN, "select": {"claims": {"matchExpressions": [{"key": "a", "operator": "In"}]}}}, "In and NotIn need values"),
    ("Team", "ok", TEAM, None),
    ("Team", "a.b", TEAM, "DNS label"),
    ("Team", "t", {**TEAM, "namespaces": []}, "namespaces"),
    ("Team", "t", {**TEAM, "hostPaths": ["/srv/../etc"]}, "no . or .."),
    ("Team", "t", {**TEAM, "hostPaths": ["srv"]}, "hostPaths"),
    ("BackupLocation", "ok", LOCATION, None),
    ("BackupLocation", "l", {"s3": {"bucket": "B"}}, "bucket"),
    ("BackupLocation", "l", {"s3": {"bucket": "backups", "endpoint": "minio:9000"}}, "endpoint"),
    ("BackupLocation", "l", {**LOCATION, "accessMode": "Write"}, "Unsupported value"),
    ("BackupLocation", "l", {**LOCATION, "syncPeriodSeconds": 1}, "syncPeriodSeconds"),
    ("Backup", "ok", {"plan": "p"}, None),
    ("Backup", "b", {}, "names a plan"),
    ("Backup", "b", {"plan": "p", "type": "Differential"}, "Unsupported value"),
    ("Restore", "ok", RESTORE, None),
    ("Restore", "r", {"source": {}}, "one source"),
    ("Restore", "r", {"source": {"backup": "b", "plan": {"name": "p", "location": "l", "pick": "latest"}}}, "one source"),
    ("Restore", "r", {"source": {"plan": {"name": "p", "location": "l", "pick": "newest"}}}, "pick"),
    ("Restore", "r", {"source": {"plan": {"name": "p", "location": "l", "pick": "day=-1:first"}}}, None),
    ("Restore", "r", {**RESTORE, "target": {"suffix": "copy"}}, "suffix"),
    ("Restore", "r", {**RESTORE, "target": {"suffix": "-copy", "mode": "ExistingVolumes"}}, "a suffix makes names"),
]


def apply(kubectl, kind, name, spec):
    item = {"apiVersion": "coffer.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    if kind not in ("Team", "BackupLocation"):
        item["metadata"]["namespace"] = "default"
    command = [*kubectl, "create", "--dry-run=server", "--validate=strict", "-f", "-"]
    return subprocess.run(command, input=json.dumps(item), capture_output=True, text=True)


def main(kubectl):
    wrong = []
    for kind, name, spec, expected in CASES:
        done = apply(kubectl, kind, name, spec)
        fits = done.returncode == 0 if expected is None else done.returncode != 0 and expected in done.stderr
        if not fits:
            wrong.append(f"{kind} {json.dumps(spec)}: expected {expected or 'no refusal'}, got {done.stderr.strip() or 'none'}")
    print("\n".join(wrong) or f"{len(CASES)} intents: {sum(case[3] is not None for case in CASES)} refused with their message, the others taken")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
