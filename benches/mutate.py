#!/usr/bin/env python3
"""Changes part of a volume image and tells exactly what changed.

Modes (the amount is --amount or --fraction of the image; for hot it is what the page writes add up to):
  random-64k   whole 64 KiB blocks, drawn uniformly
  random-4k    whole 4 KiB blocks, drawn uniformly
  sequential   one contiguous run that starts at a drawn 4 KiB boundary
  unaligned    runs of 1 byte to 200,000 bytes at any byte offset
  hot          a database: 8 KiB pages of a hot set (a twentieth of the image, Zipf-like), each with a new
               page header and a few changed rows, plus a contiguous log that takes a fifth of the amount

Every byte of a changed range differs from what was there, so ranges and counts are the truth and not an upper
bound. New bytes compress like the old ones.

Prints one JSON object:
  ranges          [[offset, length], ...] merged, ascending
  changed_bytes   bytes that differ
  changed_64k_bytes
                  bytes of the 64 KiB blocks that hold a difference (the last block may be short)

--undo FILE keeps the old bytes; `mutate.py IMAGE --apply-undo FILE` puts them back.
"""

import argparse
import json
import os
import struct

from gen_image import write_all
from stream import Stream, shake
from units import parse_size

BLOCK_4K = 4 << 10
BLOCK_64K = 64 << 10
PAGE_BYTES = 8 << 10
HOT_FRACTION = 0.05
UNDO_MAGIC = b"IMGUNDO2"


# ---- ranges --------------------------------------------------------------------------------------------


def merge(ranges):
    """Returns the ranges as ascending, disjoint, non-touching [offset, length] lists."""
    merged = []
    for offset, length in sorted(ranges):
        if merged and offset <= sum(merged[-1]):
            merged[-1][1] = max(sum(merged[-1]), offset + length) - merged[-1][0]
        elif length:
            merged.append([offset, length])
    return merged


def block_bytes(ranges, block, size):
    """Returns the bytes of all blocks of `block` bytes that the merged ranges touch, in an image of `size`."""
    total, next_free = 0, 0
    for offset, length in ranges:
        first = max(offset // block, next_free)
        last = (offset + length - 1) // block
        if last >= first:
            total += min((last + 1) * block, size) - first * block
            next_free = last + 1
    return total


# ---- plans: each yields disjoint (offset, length) to overwrite with differing bytes ---------------------


def plan_blocks(size, amount, block, stream):
    """Yields whole blocks, drawn uniformly."""
    blocks = -(-size // block)
    for index in stream.sample(blocks, min(blocks, max(1, amount // block))):
        yield index * block, min(block, size - index * block)


def plan_sequential(size, amount, stream):
    """Yields one run."""
    length = min(size, max(1, amount))
    slots = (size - length) // BLOCK_4K + 1
    yield stream.below(slots) * BLOCK_4K, length


def plan_unaligned(size, amount, stream):
    """Yields runs of any length at any offset."""
    left, taken = min(amount, max(1, size // 2)), []
    while left > 0:
        length = min(left, size, stream.between(1, 200_000))
        offset = stream.below(size - length + 1)
        if all(offset >= at + run or at >= offset + length for at, run in taken):
            taken.append((offset, length))
            left -= length
    yield from sorted(taken)


def plan_hot(size, amount, stream):
    """Yields small pieces inside hot pages, then one log run."""
    pages = size // PAGE_BYTES
    if not pages:
        yield from plan_sequential(size, amount, stream)
        return
    log_length = min(size, amount // 5) // BLOCK_4K * BLOCK_4K
    log_start = stream.below((size - log_length) // BLOCK_4K + 1) * BLOCK_4K
    hot = stream.sample(pages, min(pages, max(1, int(pages * HOT_FRACTION))))
    order = stream.permutation(len(hot))
    touched = {}
    for _ in range(max(1, (amount - log_length) // PAGE_BYTES)):
        rank = int(len(hot) ** stream.unit())  # log-uniform rank: few pages take most of the writes
        page = hot[order[min(rank, len(hot)) - 1]]
        pieces = touched.setdefault(page, [(0, 8)])
        length = stream.between(8, 240)
        pieces.append((stream.between(64, PAGE_BYTES - length), length))
    for page in sorted(touched):
        for offset, length in merge(touched[page]):
            start = page * PAGE_BYTES + offset
            if start + length <= log_start or start >= log_start + log_length:
                yield start, length
    if log_length:
        yield log_start, log_length


PLANS = {
    "random-64k": lambda size, amount, stream: plan_blocks(size, amount, BLOCK_64K, stream),
    "random-4k": lambda size, amount, stream: plan_blocks(size, amount, BLOCK_4K, stream),
    "sequential": plan_sequential,
    "unaligned": plan_unaligned,
    "hot": plan_hot,
}


# ---- acting on the image ---------------------------------------------------------------------------------


def read_exactly(handle, offset, length):
    """Returns `length` bytes at `offset`; a shorter file is an error."""
    parts = []
    while length:
        part = os.pread(handle, length, offset)
        if not part:
            raise EOFError(f"image ends at {offset}")
        parts.append(part)
        offset, length = offset + len(part), length - len(part)
    return b"".join(parts)


def size_of(path):
    """Returns the size of a file or block device."""
    handle = os.open(path, os.O_RDONLY)
    try:
        return os.lseek(handle, 0, os.SEEK_END)
    finally:
        os.close(handle)


def differing(old, stream):
    """Returns bytes of the same length in which every byte differs from `old`."""
    if not any(old):
        fresh = shake(stream.word(), "over zeros", len(old))
        return fresh.translate(bytes([1]) + bytes(range(1, 256)))
    step = stream.between(1, 255)
    return old.translate(bytes((value + step) % 256 for value in range(256)))


def mutate(path, mode, amount, seed, undo_path=None):
    """Overwrites `amount` bytes of the image; returns the report described above."""
    stream = Stream(seed, f"mutate/{mode}")
    undo, written = [], []
    handle = os.open(path, os.O_RDWR)
    try:
        size = os.lseek(handle, 0, os.SEEK_END)
        for offset, length in list(PLANS[mode](size, max(1, amount), stream)) if size else []:
            old = read_exactly(handle, offset, length)
            undo.append((offset, old))
            written.append((offset, length))
        if undo_path:
            save_undo(undo_path, undo)  # before the first write, so that a run cut short can be undone
        for offset, old in undo:
            write_all(handle, differing(old, stream), offset)
        os.fsync(handle)
    finally:
        os.close(handle)
    ranges = merge(written)
    return {
        "mode": mode,
        "seed": seed,
        "changed_bytes": sum(length for _, length in ranges),
        "changed_64k_bytes": block_bytes(ranges, BLOCK_64K, size),
        "range_count": len(ranges),
        "ranges": ranges,
    }


def save_undo(path, records):
    """Writes the old bytes."""
    with open(path, "wb") as out:
        out.write(UNDO_MAGIC)
        for offset, old in records:
            out.write(struct.pack("<QQ", offset, len(old)) + old)


def apply_undo(path, undo_path):
    """Puts the old bytes back; returns how many."""
    total = 0
    handle = os.open(path, os.O_RDWR)
    try:
        with open(undo_path, "rb") as source:
            if source.read(8) != UNDO_MAGIC:
                raise SystemExit(f"{undo_path}: not an undo file")
            while head := source.read(16):
                offset, length = struct.unpack("<QQ", head)
                write_all(handle, source.read(length), offset)
                total += length
    finally:
        os.close(handle)
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image")
    parser.add_argument("--mode", choices=PLANS, default="random-64k")
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--amount", type=parse_size, help="such as 20.5MiB")
    amount.add_argument("--fraction", type=float, default=0.01, help="part of the image (default 0.01)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--ranges-file", metavar="FILE", help="write the ranges there instead of printing them")
    parser.add_argument("--undo", metavar="FILE", help="keep the old bytes in FILE")
    parser.add_argument("--apply-undo", metavar="FILE", help="put the old bytes of FILE back; no other change")
    options = parser.parse_args()
    if options.apply_undo:
        print(json.dumps({"restored_bytes": apply_undo(options.image, options.apply_undo)}))
        return
    wanted = options.amount
    if wanted is None:
        wanted = int(size_of(options.image) * options.fraction)
    report = mutate(options.image, options.mode, wanted, options.seed, options.undo)
    if options.ranges_file:
        with open(options.ranges_file, "w", encoding="ascii") as out:
            json.dump(report.pop("ranges"), out)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
