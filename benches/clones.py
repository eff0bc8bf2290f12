"""Volumes larger than the disk: one image, cloned over and over on an XFS with reflinks that lies in a sparse file.

Root is needed, and mkfs.xfs (Debian: xfsprogs). The loop device passes the page cache by, so that an image dropped from it is
read from the disk again.
"""

import fcntl
import os
import shutil
import struct
import subprocess

from images import make_image
from runner import Broken

FICLONERANGE = 0x4020940D
CLONE_RANGE = struct.Struct("=qQQQ")  # of linux/fs.h, file_clone_range: source, its offset, length, offset in the target
BLOCK_BYTES = 4096


class Clones:
    """A mounted XFS at `folder` with a base image of `base` bytes; unmounted and detached at the end.

    `room` is how many bytes clones may differ from the base by, all together.
    """

    def __init__(self, folder, base, room):
        self.folder, self.backing = folder, folder + ".xfs"
        self.base, self.base_bytes = os.path.join(folder, "base.img"), base
        self.backing_bytes = (1 << 30) + 2 * base + 2 * room
        self.device = None
        self.mounted = False

    def __enter__(self):
        if os.geteuid() or not shutil.which("mkfs.xfs"):
            raise Broken("volumes made of clones need root and mkfs.xfs (Debian: xfsprogs)")
        try:
            self._mount()
            make_image(self.base, self.base_bytes, 1)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        try:
            if self.mounted:
                call("umount", self.folder)
        finally:
            if self.device:
                call("losetup", "--detach", self.device)
            if os.path.exists(self.backing):
                os.unlink(self.backing)
            if os.path.isdir(self.folder):
                os.rmdir(self.folder)

    def volume(self, name, size):
        """Makes a volume of `size` bytes out of clones, as new; returns its path."""
        path = os.path.join(self.folder, name)
        with open(self.base, "rb") as source, open(path, "wb") as out:
            for offset, length in pieces(size, self.base_bytes):
                fcntl.ioctl(out, FICLONERANGE, CLONE_RANGE.pack(source.fileno(), 0, length, offset))
            os.fsync(out.fileno())
        return path

    def _mount(self):
        os.makedirs(self.folder)
        with open(self.backing, "wb") as out:
            out.truncate(self.backing_bytes)
        call("mkfs.xfs", "-q", "-m", "reflink=1", self.backing)
        self.device = call("losetup", "--find", "--show", "--direct-io=on", self.backing).strip()
        # What is deleted there leaves the disk here too.
        call("mount", "-t", "xfs", "-o", "noatime,discard", self.device, self.folder)
        self.mounted = True


def pieces(size, base):
    """Returns [(offset, length)]: clones of up to `base` bytes that make a volume of `size`."""
    return [(offset, min(base, size - offset)) for offset in range(0, size, base)]


def call(*command):
    """Runs a command and returns what it printed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise Broken(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
