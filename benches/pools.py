"""Pools of content that compress as real data does: text (source, prose, logs) and database pages.

A pool is made once per image from its seed; gen_image.py cuts extents out of it.
"""

import struct
import sys
from array import array

from stream import Stream, shake

PAGE_BYTES = 8192


def make_text_pool(seed, length):
    """Returns prose (a quarter), source-like lines (half) and log lines (a quarter)."""
    words = [word.encode() for word in make_words(seed)]
    stream = Stream(seed, "phrases")
    stock = [b" ".join(words[stream.below(1 + stream.below(6000))] for _ in range(5)) for _ in range(2500)]
    prose = b" ".join(draw(zipf_table(words[:400] + stock), seed, "prose", length // 70))
    source = make_source(seed, stream, words, length)
    log = make_log(seed, stream, words, length)
    return fit(interleave(prose, source, log), length)


def make_source(seed, stream, words, length):
    """Returns lines that look like a program, drawn from a stock of 1,800."""
    shapes = (
        b"    let %s = self.%s.%s(%s)?;\n",
        b"    if %s.%s() > %s {\n        return Err(Error::%s);\n    }\n",
        b"        %s: %s::%s::new(&%s),\n",
        b"/// Returns the %s of a %s, or `%s` when the %s is gone.\n",
        b"pub fn %s(%s: &%s) -> Result<%s> {\n",
        b'{"%s": "%s", "%s": {"%s": true, "count": 0}},\n',
        b'    assert_eq!(%s.%s(), %s, "%s");\n}\n\n',
    )
    lines = []
    for _ in range(1800):
        shape = shapes[stream.below(len(shapes))]
        lines.append(shape % tuple(words[min(stream.below(6000), stream.below(6000))] for _ in range(4)))
    average = sum(map(len, lines)) // len(lines)
    return b"".join(draw(zipf_table(lines), seed, "source", int(length * 0.7 / average)))


def make_log(seed, stream, words, length):
    """Returns log lines with rising times and drawn durations."""
    events = [b" INFO %s::%s: %s %s done in " % tuple(words[stream.below(900)] for _ in range(4)) for _ in range(400)]
    picks = draw(zipf_table(events), seed, "logs", length // 160)
    numbers = array("I", shake(seed, "log numbers", 4 * (length // 160)))
    return b"".join(
        b"2026-03-11T%02d:%02d:%02d.%03dZ%s%dms\n"
        % (at // 180_000 % 24, at // 3000 % 60, at // 50 % 60, n % 1000, event, n >> 22)
        for at, (event, n) in enumerate(zip(picks, numbers))
    )


def make_db_pool(seed, length):
    """Returns slotted pages: header, slot array, free space, rows with integers, dates, words and tokens."""
    words = [word.encode() for word in make_words(seed)]
    stream = Stream(seed, "db")
    pages = []
    row_id = 1000
    for number in range(length // PAGE_BYTES):
        token_bytes = shake(seed, f"db/{number}", PAGE_BYTES)
        fill = PAGE_BYTES - stream.between(200, 1800)
        body, slots, used = [], [], 24
        while True:
            row_id += 1
            row = make_row(row_id, stream.word(), stream.word(), token_bytes[used % 4096 :][:24], words)
            if used + len(row) + 4 > fill:
                break
            used += len(row) + 4
            body.append(row)
            slots.append(struct.pack("<HH", PAGE_BYTES - used, len(row)))
        header = struct.pack("<QIHHIHH", stream.word() >> 20, stream.word() & 0xFFFFFFFF, 4, len(slots), number, 0, 0)
        head = header + b"".join(slots)
        rows = b"".join(reversed(body))
        pages.append(head + bytes(PAGE_BYTES - len(head) - len(rows)) + rows)
    return fit(b"".join(pages), length)


def make_row(row_id, draw_1, draw_2, token, words):
    """Returns one table row: fixed columns, a random token and a note of a few words."""
    note = b" ".join(words[(draw_2 >> shift) % 6000] for shift in range(0, 8 + draw_1 % 40, 8))
    when = 1_700_000_000_000_000 + draw_1 % (1 << 44)
    fixed = struct.pack(
        "<IHHQIId", row_id, 7, 0x0902, when, draw_2 % 200_000, draw_1 % 5, (draw_1 % 100_000) / 100
    )
    return fixed + token + note


def make_words(seed, count=6000):
    """Returns pronounceable words, short ones first."""
    stream = Stream(seed, "words")
    consonants, vowels = "bcdfghklmnprstvwz", "aeiou"
    words = set()
    while len(words) < count:
        syllables = 1 + stream.below(4)
        words.add("".join(consonants[stream.below(17)] + vowels[stream.below(5)] for _ in range(syllables)))
    return sorted(words, key=lambda word: (len(word), word))


def zipf_table(items, slots=1 << 16):
    """Returns `slots` entries in which item i appears in proportion to 1/(i+2)."""
    weights = [1.0 / (rank + 2) for rank in range(len(items))]
    scale = slots / sum(weights)
    table = []
    for item, weight in zip(items, weights):
        table.extend([item] * max(1, round(weight * scale)))
    return (table * 2)[:slots]


def draw(table, seed, label, count):
    """Returns `count` entries of a table of 2^16 entries, drawn independently."""
    picks = array("H", shake(seed, label, 2 * count))
    if sys.byteorder == "big":
        picks.byteswap()
    return map(table.__getitem__, picks)


def interleave(*parts):
    """Returns the parts mixed in runs of about 40 KB, as files on a volume would lie."""
    run = 40_000
    rounds = max(len(part) for part in parts) // run + 1
    return b"".join(part[i * run : (i + 1) * run] for i in range(rounds) for part in parts)


def fit(data, length):
    """Returns `data` cut or repeated to exactly `length` bytes."""
    return (data * (length // len(data) + 1))[:length]
