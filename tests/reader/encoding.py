"""Numbers, ids, names and JSON as docs/format.md writes them (conventions and section 1)."""

import json
import re
import urllib.parse
from datetime import datetime

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


class Refused(Exception):
    """What was read is not what the format allows, or not what it pretends to be."""


def require(condition, what):
    if not condition:
        raise Refused(what)


class Cursor:
    """Reads little endian fields; whoever is done calls `finish`."""

    def __init__(self, what, data):
        self.what, self.data, self.at = what, data, 0

    def take(self, count):
        require(self.at + count <= len(self.data), f"{self.what}: too short")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, size):
        return int.from_bytes(self.take(size), "little")

    def zeroes(self, size):
        require(not any(self.take(size)), f"{self.what}: reserved bytes are not zero")

    def varint(self, low=0, high=2**64 - 1):
        value = 0
        for index in range(10):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                require(byte or not index, f"{self.what}: a varint is not in its shortest form")
                require(low <= value <= high, f"{self.what}: {value} is not within {low} to {high}")
                return value
        raise Refused(f"{self.what}: a varint is too long")

    def finish(self):
        require(self.at == len(self.data), f"{self.what}: bytes follow its end")


def id_text(raw):
    number = int.from_bytes(raw, "big")
    return "".join(CROCKFORD[number >> 5 * index & 31] for index in reversed(range(26)))


def is_id(text):
    return isinstance(text, str) and re.fullmatch(f"[0-7][{CROCKFORD}]{{25}}", text) is not None


def is_label(text):
    return isinstance(text, str) and re.fullmatch("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", text) is not None


def encoded_name(name):
    """A volume's name as a component of a key. `quote` leaves `~` alone, which the format does not."""
    encoded = urllib.parse.quote(name, safe="").replace("~", "%7E")
    return "%2E" + encoded[1:] if encoded.startswith(".") else encoded


def is_name(text):
    if not isinstance(text, str) or "\0" in text:
        return False
    return 1 <= len(text.encode()) <= 128 and len(encoded_name(text)) <= 200


def is_time(text):
    if not isinstance(text, str) or not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text):
        return False
    try:
        return datetime.fromisoformat(text[:-1]).year >= 1970
    except ValueError:
        return False


def unix_ms(text):
    return (datetime.fromisoformat(text[:-1]) - datetime(1970, 1, 1)).total_seconds() * 1000


def from_json(what, line):
    """The value whose one encoding is `line`: fields in order, no spaces, no second way to write a thing."""
    try:
        value = json.loads(line.decode())
        same = to_json(value) == line
    except (ValueError, TypeError, RecursionError) as error:
        raise Refused(f"{what}: {error}") from error
    require(same, f"{what}: not the compact JSON that the format writes")
    return value


def to_json(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
