"""What the machine itself can do: fio for the disk, lz4 for the size of the changed blocks, and the plainest way to S3,
`dd | lz4 | rclone rcat`, which neither encrypts at rest nor hashes nor knows what changed.

Each is left out when its program is not installed.
"""

import json
import os
import shutil
import subprocess

from measure import drop_from_cache
from runner import run_measured
from units import GIB

COMMON = ["--bs=1M", "--direct=1", "--iodepth=16", "--output-format=json", "--name=limit"]
ENGINES = (["--ioengine=io_uring", "--fixedbufs=1", "--registerfiles=1"], ["--ioengine=libaio"])


def fio_read(image):
    """Returns the sequential O_DIRECT read of the image: {"wall_s", "gib_per_s", "engine"}, or None without fio."""
    drop_from_cache(image)
    return _fio("read", ["--rw=read", f"--filename={image}", "--readonly"])


def fio_write(path, size):
    """Returns the sequential O_DIRECT write of a new file of `size` bytes; the file is removed again."""
    try:
        return _fio("write", ["--rw=write", f"--filename={path}", f"--size={size}", "--fallocate=none", "--end_fsync=1"])
    finally:
        if os.path.exists(path):
            os.unlink(path)


def pipe_to_s3(image, store, scratch, log):
    """Returns the report of sending the image through lz4 to the store, or None without rclone or for a directory."""
    if not shutil.which("rclone") or not hasattr(store, "rclone"):
        return None
    drop_from_cache(image)
    target, env = store.rclone("limit")
    script = f"set -o pipefail; dd if='{image}' bs=1M iflag=direct status=none | lz4 -q -1 -B4 -c | rclone rcat {target}"
    report = run_measured(["bash", "-c", script], env, scratch, log)
    return {**report, "cpu_s_per_gib": report["cpu_s"] / (os.path.getsize(image) / GIB)}


def _fio(direction, job):
    """Runs one job with the first engine that this machine allows."""
    if not shutil.which("fio"):
        return None
    for engine in ENGINES:
        done = subprocess.run(
            ["fio", *COMMON, *engine, *job], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
        )
        if done.returncode == 0:
            text = done.stdout.decode()
            side = json.loads(text[text.index("{") :])["jobs"][0][direction]  # notes may stand before it
            wall_s = max(side["runtime"], 1) / 1000
            return {"wall_s": wall_s, "gib_per_s": side["io_bytes"] / GIB / wall_s, "engine": engine[0][11:]}
    return None


def lz4_ratio(image, ranges):
    """Returns compressed / plain size of the ranges in blocks of 64 KiB (`lz4 -1`), or None without lz4."""
    if not shutil.which("lz4"):
        return None
    done = subprocess.run(
        ["lz4", "-q", "-1", "-B4", "--no-frame-crc", "-c"], input=_read(image, ranges), stdout=subprocess.PIPE, check=True
    )
    return len(done.stdout) / sum(length for _, length in ranges)


def _read(image, ranges):
    with open(image, "rb") as source:
        parts = []
        for offset, length in ranges:
            source.seek(offset)
            parts.append(source.read(length))
        return b"".join(parts)
