"""What somebody wrote who lacks the right key: every digest fits, and it is refused or has no effect."""

import json
import re
import unittest

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from crypto import digest
from encoding import Refused, to_json
from repository import Repository, load
from test_golden import GOLDEN, KINDS

SIGNED = {
    "team statement": "team", "later team statement": "team", "what a rotation found": "points", "manifest": "manifest",
    "confirmed": "confirmed", "chain key": "chain key", "ending": "ending", "ended": "ended", "pin": "pin", "damaged": "damaged",
}
STRANGER = bytes(range(32))


def sign(kind, value, seed, certificate):
    payload = to_json(value)
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(b"coffer v1 " + kind.encode() + b"\n" + payload)
    seal = {"digest": digest(payload).hex(), "certificate": certificate, "signature": signature.hex()}
    return payload + b"\n" + to_json(seal) + b"\n"


def value_and_seal(data):
    payload, seal, _ = data.split(b"\n")
    return json.loads(payload), json.loads(seal)


class Forged(unittest.TestCase):
    def setUp(self):
        self.repositories = {name: load(GOLDEN / name / "repository") for name in ["pruned", "rotated"]}

    def key(self, name, file):
        return (GOLDEN / name / file).read_bytes()

    def read(self, name, file, **changed):
        """The repository with some objects changed; `None` takes one away."""
        objects = {**self.repositories[name], **changed.get("objects", {})}
        return Repository({key: data for key, data in objects.items() if data is not None}, self.key(name, file))

    def newest_point(self, objects):
        keys = [key for key in objects if re.fullmatch(KINDS["manifest"], key)]
        return max(keys, key=lambda key: value_and_seal(objects[key])[0]["sequence"])

    def test_a_stranger_signs_nothing(self):
        for name, file in [("pruned", "recovery.1.key"), ("rotated", "recovery.3.key")]:
            objects = self.repositories[name]
            for kind, signed in SIGNED.items():
                # The last ones: of the lists that rotations left, only the newest is read.
                for key in [key for key in objects if re.fullmatch(KINDS[kind], key)][-1:]:
                    value, seal = value_and_seal(objects[key])
                    with self.subTest(repository=name, key=key):
                        self.assertTrue(self.is_refused(name, file, key, sign(signed, value, STRANGER, seal["certificate"])))

    def is_refused(self, name, file, key, data):
        sound = self.read(name, file)
        found = self.read(name, file, objects={key: data})
        if "/keys/" in key:
            try:
                for point in found.points:
                    if not point.void:
                        found.volume(point, "db")
            except Refused:
                return True
        return len(found.problems) > len(sound.problems)

    def test_a_record_of_a_stranger_makes_nothing_void(self):
        key = next(key for key in self.repositories["pruned"] if re.fullmatch(KINDS["ended"], key))
        value, seal = value_and_seal(self.repositories["pruned"][key])
        self.assertEqual([point.void for point in self.read("pruned", "recovery.1.key").points].count(True), 1)
        forged = self.read("pruned", "recovery.1.key", objects={key: sign("ended", value, STRANGER, seal["certificate"])})
        self.assertEqual([point.void for point in forged.points].count(True), 0)

    def forged_by_the_replaced_key(self):
        """The newest point, written anew by a writer whose key was replaced."""
        old = json.loads(self.key("rotated", "recovery.1.key"))
        objects = self.repositories["rotated"]
        key = self.newest_point(objects)
        value, _ = value_and_seal(objects[key])
        seed = bytes.fromhex(old["writer_private"])
        for volume in value["volumes"]:
            _, seal = value_and_seal(sign("volume record", volume["record"], seed, old["certificate"]))
            volume["seal"] = seal
        return key, sign("manifest", value, seed, old["certificate"])

    def test_a_replaced_key_makes_no_more_points(self):
        key, data = self.forged_by_the_replaced_key()
        found = self.read("rotated", "recovery.3.key", objects={key: data})
        self.assertIn(key, [problem[0] for problem in found.problems])
        self.assertNotIn(key, [point.key for point in found.points])

    def test_while_no_list_can_tell_what_a_replaced_key_signed_counts_and_that_is_said(self):
        key, data = self.forged_by_the_replaced_key()
        lists = {name: None for name in self.repositories["rotated"] if name.endswith(".points")}
        found = self.read("rotated", "recovery.3.key", objects={key: data, **lists})
        self.assertIn(key, [point.key for point in found.points])
        self.assertTrue(all(name in [problem[0] for problem in found.problems] for name in lists))

    def test_a_replaced_key_brings_up_no_successor(self):
        old = json.loads(self.key("rotated", "recovery.1.key"))
        key = "t/default/team.4.json"
        value, _ = value_and_seal(self.repositories["rotated"]["t/default/team.2.json"])
        seed = bytes.fromhex(old["ed25519_private"])
        for signed_by in (1, 3):
            data = sign("team", {**value, "generation": 4, "signed_by": signed_by}, seed, None)
            found = self.read("rotated", "recovery.1.key", objects={key: data})
            self.assertEqual(found.trust.newest, 3)
            self.assertIn(key, [problem[0] for problem in found.problems])
        copied = self.read("rotated", "recovery.1.key", objects={key: self.repositories["rotated"]["t/default/team.2.json"]})
        self.assertEqual(copied.trust.newest, 3)


if __name__ == "__main__":
    unittest.main()
