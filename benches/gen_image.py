#!/usr/bin/env python3
"""Makes a deterministic raw volume image with a mix of content classes.

Classes:
  text    source, log and prose like; compresses well (LZ4 about 3x)
  db      8 KiB database pages with random keys; compresses little (LZ4 about 1.3x)
  random  incompressible
  zero    zeros, written or, with --sparse, left as a hole

The image is a sequence of extents of one class each. Every text and db extent is a slice of a base pool
with its own byte substitution: matches inside the extent stay (so compression sees the real thing), while
no two extents are equal (so deduplication finds nothing). Same seed, same bytes, on every machine.
"""

import argparse
import hashlib
import json
import os
import time

from pools import PAGE_BYTES, make_db_pool, make_text_pool
from stream import Stream, shake
from units import parse_size

POOL_BYTES = 24 << 20
POOL_BYTES_SMALL = 3 << 20  # for images of less than 64 MiB
EXTENT_BYTES_MAX = 4 << 20  # and an image holds at least about 64 extents, if of 4 KiB
ALIGN_BYTES = 4096
DEFAULT_MIX = "text=35,db=30,random=20,zero=15"
CLASSES = ("text", "db", "random", "zero")


def parse_mix(text):
    """Returns {class: share} with shares that add up to 1."""
    shares = {}
    for part in text.split(","):
        name, _, share = part.partition("=")
        if name.strip() not in CLASSES:
            raise argparse.ArgumentTypeError(f"unknown class {name!r}; known: {', '.join(CLASSES)}")
        shares[name.strip()] = float(share)
    total = sum(shares.values())
    if total <= 0:
        raise argparse.ArgumentTypeError("the shares add up to nothing")
    return {name: share / total for name, share in shares.items()}


def plan_extents(size, shares, seed):
    """Yields (offset, length, class); classes are drawn so that the totals stay close to the shares."""
    stream = Stream(seed, "extents")
    written = dict.fromkeys(shares, 0)
    largest = max(1, min(EXTENT_BYTES_MAX, size // 32) // ALIGN_BYTES)
    smallest = max(1, largest // 64)
    offset = 0
    while offset < size:
        length = min(ALIGN_BYTES * stream.between(smallest, largest), size - offset)
        # A drawn class, except that a class that is already ahead of its share by an extent is passed over.
        while True:
            name = draw_class(stream, shares)
            if written[name] <= shares[name] * (offset + length) + largest * ALIGN_BYTES:
                break
        written[name] += length
        yield offset, length, name
        offset += length


def draw_class(stream, shares):
    """Returns one class, drawn in proportion to the shares."""
    draw_at, name = stream.unit(), ""
    for name, share in shares.items():
        draw_at -= share
        if draw_at < 0:
            break
    return name


def substitution(stream, keep_zero):
    """Returns a drawn byte substitution; `keep_zero` leaves byte 0 alone, so free space stays zero."""
    if keep_zero:
        return bytes([0]) + bytes(1 + value for value in stream.permutation(255))
    return bytes(stream.permutation(256))


class Content:
    """Makes the bytes of one extent."""

    def __init__(self, seed, shares, size):
        pool = POOL_BYTES if size >= 64 << 20 else POOL_BYTES_SMALL
        self._seed = seed
        self._text = make_text_pool(seed, pool) if shares.get("text") else b""
        self._db = make_db_pool(seed, pool) if shares.get("db") else b""

    def make(self, number, length, name):
        """Returns `length` bytes of class `name` for extent `number`."""
        if name == "zero":
            return bytes(length)
        if name == "random":
            return shake(self._seed, f"random/{number}", length)
        stream = Stream(self._seed, f"extent/{number}")
        pool = self._text if name == "text" else self._db
        start = ALIGN_BYTES * stream.below((len(pool) - length) // ALIGN_BYTES + 1)
        if name == "db":
            start -= start % PAGE_BYTES
        return pool[start : start + length].translate(substitution(stream, keep_zero=name == "db"))


def write_image(path, size, shares, seed, sparse=False):
    """Writes the image (file or existing block device) and returns the report that main prints."""
    content = Content(seed, shares, size)
    totals = dict.fromkeys(shares, 0)
    digest = hashlib.sha256()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        is_file = os.path.isfile(path)
        if is_file:
            os.ftruncate(handle, 0)
            os.ftruncate(handle, size)
        for number, (offset, length, name) in enumerate(plan_extents(size, shares, seed)):
            data = content.make(number, length, name)
            totals[name] += length
            digest.update(data)
            if not (name == "zero" and sparse and is_file):
                write_all(handle, data, offset)
        os.fsync(handle)
    finally:
        os.close(handle)
    return {"path": path, "size": size, "seed": seed, "bytes_by_class": totals, "sha256": digest.hexdigest()}


def write_all(handle, data, offset):
    """Writes all of `data` at `offset`."""
    view = memoryview(data)
    while view:
        done = os.pwrite(handle, view, offset)
        view, offset = view[done:], offset + done


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", help="file to make, or an existing block device to fill")
    parser.add_argument("--size", type=parse_size, required=True, help="2GiB, 65537, ... (any number of bytes)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mix", type=parse_mix, default=parse_mix(DEFAULT_MIX), help=f"default {DEFAULT_MIX}")
    parser.add_argument("--sparse", action="store_true", help="leave zero extents as holes")
    options = parser.parse_args()
    started = time.monotonic()
    report = write_image(options.image, options.size, options.mix, options.seed, options.sparse)
    report["seconds"] = round(time.monotonic() - started, 2)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
