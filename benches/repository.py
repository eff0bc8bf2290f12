"""Looks at a repository's files from outside: how many bytes, and what they are for.

Sizes are the files' lengths, which is what an object store would charge. The layout read here (pack footer, key
names) is the one of docs/format.md; nothing is decrypted.
"""

import os
import struct

FOOTER = struct.Struct("<8sIIQ24x16x")
FOOTER_MAGIC = b"COFPEND1"
PACK_HEADER_BYTES = 192
FRAME_EXTRA_BYTES = 24  # frame header 8, tag 16


def files(folder):
    """Returns the paths of all files below `folder`, sorted."""
    return sorted(os.path.join(where, name) for where, _, names in os.walk(folder) for name in names)


def size(folder):
    """Returns the length of all files below `folder`."""
    return sum(os.lstat(path).st_size for path in files(folder))


def kinds(folder):
    """Returns {kind: bytes}: payload (stored block content) and what is kept beside it."""
    totals = dict.fromkeys(("payload", "pack_overhead", "map", "manifest", "other"), 0)
    for path in files(folder):
        length = os.lstat(path).st_size
        parts = os.path.relpath(path, folder).split(os.sep)
        if "data" in parts and is_pack_name(parts[-1]):
            payload = pack_payload_bytes(path, length)
            totals["payload"] += payload
            totals["pack_overhead"] += length - payload
        elif "data" in parts and parts[-1] == "map":
            totals["map"] += length
        elif "points" in parts:
            totals["manifest"] += length
        else:
            totals["other"] += length
    return totals


def metadata_bytes(totals):
    """Returns what is not payload."""
    return sum(totals.values()) - totals["payload"]


def is_pack_name(name):
    """Says whether an object's last component names a pack: p and eight digits."""
    return len(name) == 9 and name[0] == "p" and name[1:].isdigit()


def pack_payload_bytes(path, length):
    """Returns the bytes of stored block content in a pack, read from its footer."""
    with open(path, "rb") as pack:
        pack.seek(length - FOOTER.size)
        magic, frames, _pages, trailer = FOOTER.unpack(pack.read(FOOTER.size))
    if magic != FOOTER_MAGIC:
        raise ValueError(f"{path}: no pack footer; has the format changed?")
    return trailer - PACK_HEADER_BYTES - frames * FRAME_EXTRA_BYTES
