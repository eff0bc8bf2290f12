"""The worked example of docs/format.md is a whole repository: its volume is read from the page."""

import pathlib
import re
import unittest

from encoding import Refused
from repository import Repository

PAGE = pathlib.Path(__file__).parent.parent.parent / "docs" / "format.md"


def code_blocks():
    section = PAGE.read_text().split("## 10. A worked example\n")[1]
    return section.split("```\n")[1::2]


def unhex(text):
    """The bytes of the dumps in a part of the page."""
    lines = re.findall(r"^ +\d+  ((?:[0-9a-f]{2,8} ?)+)$", text, re.MULTILINE)
    return bytes.fromhex("".join(lines))


def lines(text):
    """The lines of the texts in a part of the page; what is longer than the page is wide goes on further right."""
    found = []
    for line in text.splitlines():
        if line.startswith("    {"):
            found.append(line[4:])
        elif re.match(" {6}[^ ]", line) and found:
            found[-1] += line[6:]
    return "".join(line + "\n" for line in found).encode()


def example():
    """Objects by key, and key files by their title."""
    objects, keys = {}, {}
    for part in re.split(r"\n(?=[a-z])", code_blocks()[0]):
        title = part.split("\n")[0]
        key = re.search(r"^  key +(.*)$", part, re.MULTILINE)
        if title.startswith(("pack", "map")):
            objects[key[1]] = unhex(part.split("  object:\n")[-1])
        elif key:
            objects[key[1]] = lines(part)
        else:
            keys[title.split(" ")[0]] = lines(part)
    return objects, keys


class Example(unittest.TestCase):
    def test_the_volume_is_read_from_the_page(self):
        objects, keys = example()
        repository = Repository(objects, keys["recovery"])
        self.assertEqual(repository.problems, [])
        [point] = repository.points
        self.assertTrue(point.confirmed)
        self.assertEqual(repository.volume(point, "db"), bytes(16384) + b"abc")

    def test_a_writer_key_lists_and_opens_nothing(self):
        objects, keys = example()
        repository = Repository(objects, keys["writer"])
        self.assertEqual(repository.problems, [])
        with self.assertRaises(Refused):
            repository.volume(repository.points[0], "db")

    def test_a_bit_of_the_page_changed_is_refused(self):
        objects, keys = example()
        for key, data in objects.items():
            for at in range(0, len(data), max(1, len(data) // 100)):
                damaged = {**objects, key: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]}
                with self.subTest(key=key, at=at):
                    self.assertTrue(refused(damaged, keys["recovery"]), "it was let pass")


def refused(objects, key_file):
    try:
        repository = Repository(objects, key_file)
        for point in repository.points:
            repository.volume(point, "db")
    except Refused:
        return True
    return bool(repository.problems)


if __name__ == "__main__":
    unittest.main()
