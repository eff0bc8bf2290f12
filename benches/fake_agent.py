#!/usr/bin/env python3
"""Stands in for `coffer-agent` in the tests of the bench: listens, and wakes up now and then until it is told to end.

FAKE_AGENT=hungry uses 100 MiB; fail ends at once.
"""

import os
import signal
import socket
import sys
import tomllib


def main():
    if os.environ.get("FAKE_AGENT") == "fail":
        sys.exit("coffer-agent: told to fail")
    with open(sys.argv[sys.argv.index("--config") + 1], "rb") as source:
        settings = tomllib.load(source)
    hog = b"x" * (100 << 20) if os.environ.get("FAKE_AGENT") == "hungry" else b""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(settings["listen"].removeprefix("unix:"))
        listener.listen()
        while not signal.sigtimedwait({signal.SIGTERM}, 0.02):
            pass
    del hog


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    main()
