"""Key files (section 9), and whom to believe: team statements, rotation, certificates (section 7.7)."""

import re

import documents
from crypto import check_signature, derive, digest, ed25519_public, x25519_public
from documents import CERTIFICATE, ascends, either, fields, generation, hexadecimal, key32, many, null, one_of
from encoding import Refused, from_json, is_label, require, to_json

SECRETS = fields({"generation": generation, "metadata_key": key32, "hash_secret": key32})
KEY_FILE = fields({
    "format": one_of("coffer recovery key 1", "coffer writer key 1"), "repository": hexadecimal(16), "team": is_label,
    "generation": generation, "pinned": many(fields({"generation": generation, "ed25519": key32}), 1, 1024),
    "x25519_public": key32, "secrets": many(SECRETS, 1, 1024), "writer_private": key32, "certificate": CERTIFICATE,
    "x25519_private": either(null, key32), "ed25519_private": either(null, key32), "check": hexadecimal(8),
})
STATEMENTS_MAX = 1024


def read_key_file(data):
    key = from_json("key file", data.rstrip())
    require(KEY_FILE(key), "key file: a field is missing, too much, out of order or out of range")
    said = digest(to_json({**key, "check": ""}))[:8].hex()
    require(said == key["check"], "key file: it is torn or mistyped")
    for name in ["pinned", "secrets"]:
        numbers = [one["generation"] for one in key[name]]
        require(ascends(numbers) and numbers[0] == 1, f"key file: generations in {name}")
    require(key["pinned"][-1]["generation"] == key["generation"], "key file: the last pinned key is not its own")
    certificate, is_recovery = key["certificate"], key["format"] == "coffer recovery key 1"
    require(certificate["public"] == ed25519_public(bytes.fromhex(key["writer_private"])).hex(), "key file: certificate of another key")
    require(is_recovery == (key["x25519_private"] is not None) == (key["ed25519_private"] is not None), "key file: private keys")
    if is_recovery:
        require(x25519_public(bytes.fromhex(key["x25519_private"])).hex() == key["x25519_public"], "key file: X25519 halves")
        require(ed25519_public(bytes.fromhex(key["ed25519_private"])).hex() == key["pinned"][-1]["ed25519"], "key file: Ed25519 halves")
    return key


class Unencrypted:
    """Suite 0: digests only, and nothing may pretend to be signed."""

    recovery = None

    def __init__(self, repository):
        self.repository = bytes.fromhex(repository)

    def verify(self, signed):
        require(signed.value["repository"] == self.repository.hex(), f"{signed.kind}: of another repository")
        require(signed.seal["certificate"] is None and signed.seal["signature"] is None, f"{signed.kind}: signed in suite 0")
        for record in signed.records():
            self.verify(record)

    def secrets(self, _generation):
        secret = derive("coffer v1 no encryption", self.repository)
        return secret, secret


class Team:
    """A team as a key file pins it, and what its later statements add."""

    def __init__(self, key, objects, problem):
        self.key, self.name = key, key["team"]
        self.recovery = bytes.fromhex(key["x25519_private"]) if key["x25519_private"] else None
        self.known = {one["generation"]: one["ed25519"] for one in key["pinned"]}
        self.check_certificate(key["certificate"])
        self.follow(objects, problem)
        self.standing = self.newest_list(objects, problem)

    @property
    def newest(self):
        return max(self.known)

    def follow(self, objects, problem):
        """Believes each later statement that the newest generation before it signed; anything else blocks nobody."""
        prefix = f"t/{self.name}/team."
        names = [name[len(prefix) :].split(".") for name in objects if name.startswith(prefix)]
        numbers = [int(name[0]) for name in names if name[1:] == ["json"] and re.fullmatch("[2-9]|[1-9][0-9]{1,9}", name[0])]
        for number in sorted({*self.known, *numbers})[: len(self.known) + STATEMENTS_MAX]:
            key = prefix + ("json" if number == 1 else f"{number}.json")
            try:
                require(key in objects, "team: the statement of a pinned generation is missing")
                self.believe(documents.read("team", key, objects[key]))
            except Refused as error:
                problem(key, error)

    def believe(self, statement):
        number, public = statement.value["generation"], statement.value["ed25519"]
        self.verify(statement)
        if number not in self.known:
            require(number > self.newest, "team: of a generation that was passed over")
            require(statement.value["signed_by"] == self.newest, "team: signed by a generation that was replaced")
        require(self.known.setdefault(number, public) == public, "team: another key than the one that is pinned")

    def newest_list(self, objects, problem):
        """Generation and digests of the newest list of what a rotation found."""
        for number in sorted(self.known, reverse=True)[:-1]:
            key = f"t/{self.name}/team.{number}.points"
            try:
                require(key in objects, "points: the list is missing, the rotation was not finished")
                found = documents.read("points", key, objects[key])
                self.verify(found)
                return number, {one["manifest"] for one in found.value["points"]}
            except Refused as error:
                problem(key, error)
        return 0, set()

    def check_certificate(self, certificate):
        require(certificate["repository"] == self.key["repository"], "certificate: of another repository")
        require(certificate["team"] == self.name, "certificate: of another team")
        self.check_by(certificate["generation"], "certificate", to_json({**certificate, "signature": ""}), certificate["signature"])

    def check_by(self, number, kind, payload, signature):
        require(number in self.known, f"{kind}: generation {number} is not known")
        check_signature(kind, self.known[number], payload, signature)

    def stood(self, certificate, manifest):
        """Whether what a replaced key signed counts: it stood when the key was replaced, or no list can tell yet."""
        number, digests = self.standing
        return number <= certificate["generation"] or manifest in digests

    def verify(self, signed, stood=False):
        kind, value, seal = signed.kind, signed.value, signed.seal
        require(value["repository"] == self.key["repository"], f"{kind}: of another repository")
        require(value["team"] == self.name, f"{kind}: of another team")
        require(seal["signature"] is not None, f"{kind}: not signed")
        certificate = seal["certificate"]
        if kind in ("team", "points"):
            require(certificate is None, f"{kind}: has a certificate")
            self.check_by(value["signed_by" if kind == "team" else "generation"], kind, signed.line, seal["signature"])
            return
        require(certificate is not None, f"{kind}: has no certificate")
        self.check_certificate(certificate)
        check_signature(kind, certificate["public"], signed.line, seal["signature"])
        if kind in ("manifest", "volume record") and certificate["generation"] < self.newest:
            stood = stood or kind == "manifest" and self.stood(certificate, seal["digest"])
            require(stood, f"{kind}: signed by a key that was replaced before, and on no list")
        for record in signed.records():
            self.verify(record, stood)

    def secrets(self, number):
        """Metadata key and hash secret of a generation."""
        for one in self.key["secrets"]:
            if one["generation"] == number:
                return bytes.fromhex(one["metadata_key"]), bytes.fromhex(one["hash_secret"])
        raise Refused(f"the key file has no secrets of generation {number}")
