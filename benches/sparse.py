"""Sparse volumes: made, changed and compared by the places that hold data, whatever their nominal size."""

import errno
import os

from gen_image import write_all
from mutate import read_exactly
from stream import Stream, shake

BLOCK_BYTES = 64 << 10
WRITTEN_BYTES = 16 << 10  # of each changed block: a large volume stays small on disk, and yet the frames are long
#                            enough (16 KiB and more) that their lengths and offsets take the room they take in life
COMPARE_BYTES = 1 << 20


def make(path, size):
    """Makes an empty volume; returns False where the file system holds no file of that size."""
    with open(path, "wb") as out:
        try:
            out.truncate(size)
        except OSError as error:
            if error.errno not in (errno.EFBIG, errno.EINVAL):
                raise
            os.unlink(path)
            return False
    return True


def change_blocks(path, fraction, seed):
    """Writes new content into a part of the volume's blocks; returns how many.

    The first 16 KiB of each drawn block get random bytes that no other block and no other seed has.
    """
    handle = os.open(path, os.O_RDWR)
    try:
        blocks = os.lseek(handle, 0, os.SEEK_END) // BLOCK_BYTES
        drawn = Stream(seed, "sparse").sample(blocks, max(1, round(blocks * fraction)))
        for index in drawn:
            write_all(handle, shake(seed, f"block/{index}", WRITTEN_BYTES), index * BLOCK_BYTES)
        os.fsync(handle)
    finally:
        os.close(handle)
    return len(drawn)


def scatter(path, amount, seed, run_bytes=1 << 20):
    """Writes `amount` bytes of random data in runs scattered over the volume."""
    handle = os.open(path, os.O_RDWR)
    try:
        slots = os.lseek(handle, 0, os.SEEK_END) // run_bytes
        for index in Stream(seed, "scatter").sample(slots, amount // run_bytes):
            write_all(handle, shake(seed, f"run/{index}", run_bytes), index * run_bytes)
        os.fsync(handle)
    finally:
        os.close(handle)


def data_ranges(handle):
    """Yields (start, end) of the places that may hold data."""
    at = 0
    while True:
        try:
            start = os.lseek(handle, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        at = os.lseek(handle, start, os.SEEK_HOLE)
        yield start, at


def equal(one, other):
    """Says whether two files have the same bytes; only places where either holds data are read."""
    handles = [os.open(path, os.O_RDONLY) for path in (one, other)]
    try:
        if os.fstat(handles[0]).st_size != os.fstat(handles[1]).st_size:
            return False
        return all(
            same(handles, start, end) for handle in handles for start, end in data_ranges(handle)
        )
    finally:
        for handle in handles:
            os.close(handle)


def same(handles, start, end):
    """Says whether two open files agree from `start` to `end`."""
    for at in range(start, end, COMPARE_BYTES):
        length = min(COMPARE_BYTES, end - at)
        if read_exactly(handles[0], at, length) != read_exactly(handles[1], at, length):
            return False
    return True
