"""Sizes as people write them: 65537, 64K, 20.5MiB, 2GiB (1024-based)."""

import argparse
import re

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
_FACTORS = {"": 1, "k": KIB, "m": MIB, "g": GIB, "t": TIB}
_PATTERN = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(?:i?b)?\s*$", re.IGNORECASE)


def parse_size(text):
    """Returns the number of bytes that `text` names."""
    match = _PATTERN.match(text)
    if not match:
        raise argparse.ArgumentTypeError(f"not a size: {text!r} (try 65537, 64K, 20.5MiB, 2GiB)")
    return int(float(match.group(1)) * _FACTORS[match.group(2).lower()])


def show_size(length_bytes):
    """Returns `length_bytes` as a person would write it: 64 KiB, 20.5 MiB, 2 GiB."""
    for factor, name in ((TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if length_bytes >= factor:
            return f"{length_bytes / factor:.2f}".rstrip("0").rstrip(".") + f" {name}"
    return f"{length_bytes} B"
