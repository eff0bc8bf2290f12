"""Every golden repository is read whole, and damaged copies are refused."""

import json
import pathlib
import re
import unittest

from crypto import digest
from encoding import Refused
from repository import Repository, load

GOLDEN = pathlib.Path(__file__).parent.parent / "golden"
# Every kind of object; the pattern tells its keys.
KINDS = {
    "coffer.json": r"coffer\.json",
    "team statement": r"t/\w+/team\.json",
    "later team statement": r"t/\w+/team\.\d+\.json",
    "what a rotation found": r"t/\w+/team\.\d+\.points",
    "manifest": r"t/\w+/points/.*",
    "confirmed": r"t/\w+/confirmed/.*",
    "chain key": r".*/keys/\d+",
    "map": r".*/map",
    "pack": r".*/p\d{8}",
    "ending": r"t/\w+/ending/.*",
    "ended": r"t/\w+/ended/.*",
    "pin": r"t/\w+/pins/.*",
    "damaged": r"t/\w+/damaged/.*",
}
FLIPS = 12


def expected_of(directory):
    return json.loads((directory / "expected.json").read_text())


def every(_point):
    return True


def none(_point):
    return False


def outcome(objects, key_file, opened):
    """What reading everything gives: points with digests of their volumes, and the problems met."""
    repository = Repository(objects, key_file)
    points = []
    for point in repository.points:
        if point.void:
            continue
        volumes = []
        for record in (volume["record"] for volume in point.value["volumes"]):
            is_read = record["state"] == "available" and opened(point.value["point"])
            content = digest(repository.volume(point, record["name"])).hex() if is_read else None
            volumes.append({"name": record["name"], "size": record["size"], "blake3": content})
        value = {"point": point.value["point"], "state": point.value["state"], "confirmed": point.confirmed, "volumes": volumes}
        points.append(value)
    void = [point.value["point"] for point in repository.points if point.void]
    return points, void, repository.problems


class Golden(unittest.TestCase):
    def read(self, directory, name):
        """Reads a golden repository with one of its keys, and compares."""
        expected = expected_of(directory)
        key_file = (directory / name).read_bytes() if name else None
        opened_by = {point["point"]: not name or name in point["opened_by"] for point in expected["points"]}
        points, void, problems = outcome(load(directory / "repository"), key_file, opened_by.get)
        self.assertEqual([key for key, _ in problems], expected["strange"])
        self.assertEqual(sorted(void), sorted(expected["void"]))
        wanted = []
        for point in expected["points"]:
            is_opened = opened_by[point["point"]]
            volumes = [{**volume, "blake3": volume["blake3"] if is_opened else None} for volume in point["volumes"]]
            wanted.append({"point": point["point"], "state": point["state"], "confirmed": point["confirmed"], "volumes": volumes})
        self.assertEqual(sorted(points, key=lambda point: point["point"]), wanted)
        return sum(volume["blake3"] is not None for point in points for volume in point["volumes"])

    def test_every_volume_of_every_point_is_read(self):
        directories = sorted(path for path in GOLDEN.iterdir() if path.is_dir())
        self.assertGreaterEqual(len(directories), 5)
        for directory in directories:
            read = 0
            for name in expected_of(directory)["keys"] or [None]:
                with self.subTest(repository=directory.name, key=name):
                    read += self.read(directory, name)
            self.assertGreater(read, 0, directory.name)


class Damaged(unittest.TestCase):
    """A flipped bit anywhere in an object is refused: an error, a problem, or both, and never another content."""

    def sound(self, name, opened=every):
        directory = GOLDEN / name
        keys = expected_of(directory)["keys"]
        key_file = (directory / keys[-1]).read_bytes() if keys else None
        objects = load(directory / "repository")
        return objects, key_file, outcome(objects, key_file, opened)

    def refuses(self, objects, key_file, sound, opened=every):
        try:
            found = outcome(objects, key_file, opened)
        except Refused:
            return True
        contents = {(point["point"], volume["name"]): volume["blake3"] for point in sound[0] for volume in point["volumes"]}
        for point in found[0]:
            for volume in point["volumes"]:
                self.assertEqual(volume["blake3"], contents[point["point"], volume["name"]])
        return len(found[2]) > len(sound[2])

    def check_kinds(self, name, wanted, opened=every):
        objects, key_file, sound = self.sound(name, opened)
        for kind in wanted:
            keys = [key for key in objects if re.fullmatch(KINDS[kind], key)]
            self.assertTrue(keys, f"{name} has no {kind}")
            # The last one is named by the newest point, whose map refers to all of its pages.
            key = keys[-1]
            data = objects[key]
            for at in sorted({index * (len(data) - 1) // (FLIPS - 1) for index in range(FLIPS)}):
                damaged = {**objects, key: data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]}
                with self.subTest(repository=name, key=key, at=at):
                    self.assertTrue(self.refuses(damaged, key_file, sound, opened), "it was let pass")

    def test_flipped_bits_in_suite_1(self):
        self.check_kinds("pruned", ["coffer.json", "team statement", "manifest", "chain key", "map", "pack", "confirmed"])
        self.check_kinds("pruned", ["ending", "ended", "pin", "damaged"])

    def test_flipped_bits_after_a_rotation(self):
        self.check_kinds("rotated", ["later team statement", "what a rotation found", "chain key"])

    def test_flipped_bits_in_suite_0(self):
        # Its volumes are large; their objects are those of suite 1 but for the tags.
        self.check_kinds("suite0", ["coffer.json", "manifest", "confirmed"], none)
        self.check_kinds("suite0-small", ["map", "pack"])

    def test_flipped_bits_in_a_key_file(self):
        directory = GOLDEN / "suite1"
        for name in expected_of(directory)["keys"]:
            data = (directory / name).read_bytes()
            for at in range(0, len(data) - 1, len(data) // 40):
                with self.subTest(key=name, at=at), self.assertRaises(Refused):
                    Repository(load(directory / "repository"), data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])

    def test_an_object_at_another_key_is_refused(self):
        objects, key_file, sound = self.sound("suite1")
        for kind in ["manifest", "confirmed", "map", "pack"]:
            first, *_, other = [key for key in objects if re.fullmatch(KINDS[kind], key)]
            with self.subTest(kind=kind):
                copied = {**objects, other: objects[first]}
                self.assertTrue(self.refuses(copied, key_file, sound), "it was let pass")

    def test_a_chain_key_opens_under_its_number_alone(self):
        objects, key_file, sound = self.sound("suite1")
        [key] = [key for key in objects if re.fullmatch(KINDS["chain key"], key)]
        moved = {**objects, key + "0": objects[key]}
        del moved[key]
        self.assertTrue(self.refuses(moved, key_file, sound), "it was let pass")


if __name__ == "__main__":
    unittest.main()
