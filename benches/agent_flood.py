#!/usr/bin/env python3
"""How soon the controller is served while others reconnect to, hold and try the agent's port: attackers in processes of their own, real mTLS.

    benches/agent_flood.py --coffer target/debug/coffer --agent target/debug/coffer-agent
"""

import argparse
import os
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time

from agent_node import DOMAIN, Node, issue

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
HELD = 300  # connections that one attacker holds
TEAM, NOBODY = ("127.0.0.2", True), ("127.0.0.3", False)  # source address, whether with the team's certificate
CASES = {
    "alone": [],
    "a team reconnects (2)": [(*TEAM, "close")] * 2,
    "a team holds 300, and reconnects (1)": [(*TEAM, "hold"), (*TEAM, "close")],
    "no certificate, reconnects (2)": [(*NOBODY, "close")] * 2,
    "300 connections without a handshake (2)": [(*NOBODY, "silent")] * 2,
    "all of them (6)": [(*TEAM, "close")] * 2 + [(*TEAM, "hold"), (*NOBODY, "close"), (*NOBODY, "silent"), ("127.0.0.4", True, "close")],
    "a team reconnects from the controller's address (2)": [("127.0.0.1", True, "close")] * 2,
}


def attack(folder, port, source, with_certificate, way):
    """Connects as fast as it can until it is ended."""
    context = ssl.create_default_context(cafile=f"{folder}/ca.crt")
    context.check_hostname = False
    if with_certificate:
        context.load_cert_chain(f"{folder}/flood.crt", f"{folder}/flood.key")
    held = []
    while True:
        try:
            stream = socket.create_connection(("127.0.0.1", port), timeout=5, source_address=(source, 0))
            if way != "silent":
                stream = context.wrap_socket(stream)
                stream.sendall(PREFACE)
            if way == "close":
                stream.close()
            else:
                held.append(stream)
        except OSError:
            pass
        if len(held) > HELD:
            held.pop(0).close()


def start(*arguments):
    """Runs an attacker in a process of its own; returns its id."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        attack(*arguments)
    return child


def ask(coffer, node):
    """Returns seconds and success of one call of the controller, the start of a process and a handshake among them."""
    began = time.monotonic()
    done = subprocess.run([coffer, *node.options(), "operations", "list"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - began, done.returncode == 0


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--coffer", required=True)
    arguments.add_argument("--agent", required=True)
    arguments.add_argument("--calls", type=int, default=15, help="calls of the controller in each case [15]")
    options = arguments.parse_args()
    top = tempfile.mkdtemp(prefix="coffer-flood-")
    folder = os.path.join(top, "agent")
    node = Node(options.agent, folder, os.path.join(top, "log"), 256 << 20, "s3://bench-bucket", [], tls=True)
    issue(folder, "flood", "clientAuth", f"URI:spiffe://{DOMAIN}/coffer/team/flood")
    port, children = int(node.listen.rpartition(":")[2]), []
    try:
        for name, attackers in CASES.items():
            children = [start(folder, port, *attacker) for attacker in attackers]
            time.sleep(2 if children else 0)
            calls = [ask(options.coffer, node) for _ in range(options.calls)]
            while children:
                os.kill(children[-1], signal.SIGTERM)
                os.waitpid(children.pop(), 0)
            times = [seconds for seconds, _ in calls]
            print(f"{name}: median {statistics.median(times):.2f} s, most {max(times):.2f} s, {sum(not ok for _, ok in calls)} of {len(calls)} failed,"
                  f" peak {node.memory_bytes('VmHWM') >> 20} MiB", flush=True)  # fmt: skip
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        node.stop()
        shutil.rmtree(top, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
