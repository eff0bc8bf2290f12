"""Makes and changes images by programs of their own, so that the one that measures stays small."""

import os
import subprocess
import sys

from rounds import change_bytes
from runner import Broken

HERE = os.path.dirname(os.path.abspath(__file__))


def make_image(path, size, seed):
    """Makes an image of `size` bytes of the default mix."""
    run("gen_image.py", path, "--size", size, "--seed", seed)


def change_image(path, seed):
    """Changes 1 % of an image in random blocks of 64 KiB."""
    amount = change_bytes(os.path.getsize(path))
    run("mutate.py", path, "--mode", "random-64k", "--amount", amount, "--seed", seed, "--ranges-file", os.devnull)


def run(program, *words):
    """Runs a program of the kit."""
    command = [sys.executable, os.path.join(HERE, program), *map(str, words)]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise Broken(f"{' '.join(command)}: {done.stderr.strip()}")
