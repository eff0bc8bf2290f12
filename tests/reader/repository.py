"""Points and volumes of a repository in a local directory (docs/format.md sections 2, 6 and 7.4). Nothing is written."""

import pathlib
import sys

import documents
from crypto import context, hpke_open, x25519_public
from encoding import Refused, encoded_name, require
from maps import VolumeMap
from packs import Keys, Pack
from team import Team, Unencrypted, read_key_file

RECORDS = {"ending": "ending", "ended": "ended", "pins": "pin", "damaged": "damaged"}


def load(directory):
    """The objects of a `file://` repository by key."""
    root, objects = pathlib.Path(directory), {}
    for path in sorted(root.rglob("*")):
        key = path.relative_to(root).as_posix()
        if path.is_file() and not path.is_symlink() and key.split("/")[0] not in (".tmp", "lost+found"):
            objects[key] = path.read_bytes()
    return objects


class Point:
    def __init__(self, key, manifest):
        self.key, self.manifest, self.value = key, manifest, manifest.value
        self.confirmed = self.void = False

    def order(self):
        return self.value["sequence"], self.value["point"]

    def record(self, name):
        for signed in self.manifest.records():
            if signed.value["name"] == name:
                return signed.value
        raise Refused(f"point {self.value['point']} has no volume {name}")

    def named(self, record):
        """What a volume names: owner, whether its map, and its packs."""
        for entry in record["lineage"]:
            taken = entry.get("taken", [[0, entry["packs"] - 1]] if entry["packs"] else [])
            yield entry["point"], "taken" not in entry, taken


class Repository:
    """`problems` is what is wrong with objects that do not end the reading: pairs of key and reason."""

    def __init__(self, objects, key_file=None):
        self.objects, self.problems, self.packs, self.chains = objects, [], {}, {}
        self.config = documents.read_config(self.get("coffer.json"))
        self.suite = int(self.config["encrypted"])
        require((key_file is not None) == self.config["encrypted"], "give a key file to an encrypted repository, and to no other")
        if key_file is None:
            self.trust = Unencrypted(self.config["repository"])
        else:
            key = read_key_file(key_file)
            require(key["repository"] == self.config["repository"], "the key file is of another repository")
            self.trust = Team(key, objects, self.problem)
        self.points = self.read_points()

    def problem(self, key, reason):
        self.problems.append((key, str(reason)))

    def get(self, key):
        require(key in self.objects, f"{key}: the object is missing")
        return self.objects[key]

    def below(self, *parts):
        """Keys at these first components, of the team whose key this is or of all. `None` stands for any team."""
        team = getattr(self.trust, "name", None)
        for key in self.objects:
            found = key.split("/")
            if found[0] == "t" and found[2 : 2 + len(parts)] == list(parts) and team in (None, found[1]):
                yield key

    def read_all(self, directory, kind):
        """The documents of one kind that are whole, signed and at their key; of others a problem is noted, and they have no effect."""
        found = []
        for key in self.below(directory):
            if directory == "ending" and key.endswith(".unsigned"):
                continue  # Only a prune looks at it.
            try:
                signed = documents.read(kind, key, self.objects[key])
                self.trust.verify(signed)
                found.append((key, signed))
            except Refused as error:
                self.problem(key, error)
        return found

    def read_points(self):
        points = [Point(key, signed) for key, signed in self.read_all("points", "manifest")]
        by_id = {point.value["point"]: point for point in points}
        records = {kind: self.read_all(directory, kind) for directory, kind in RECORDS.items()}
        for point in points:
            point.void = any(voids(signed.value, point) for _, signed in records["ended"])
        for key, signed in self.read_all("confirmed", "confirmed"):
            point = by_id.get(signed.value["point"])
            if point is None:
                self.problem(key, "confirmed: its manifest is missing")
            elif signed.value["manifest"] != point.manifest.seal["digest"]:
                self.problem(key, "confirmed: names another manifest")
            elif not documents.summary_fits(documents.read_summary(signed.value["summary"]), point.value):
                self.problem(key, "confirmed: its summary is not that of the manifest")
            else:
                point.confirmed = True
        return sorted(points, key=Point.order)

    def chain(self, record):
        """What opens the objects of a record's chain: any whole key document that is sealed to the own key."""
        origin = bytes.fromhex(record["repository"])
        if self.suite == 0:
            return Keys(0, origin, self.trust.secrets(1), None)
        prefix = documents.volume_key(record, record["point"], "").rsplit("/", 3)[0] + "/keys/"
        if prefix not in self.chains:
            self.chains[prefix] = self.open_chain(prefix, origin)
        return self.chains[prefix]

    def open_chain(self, prefix, origin):
        """By number: the secrets of the first genuine document, the private key of the first one that is sealed to the key at hand."""
        secrets, private = None, None
        names = [key[len(prefix) :] for key in self.objects if key.startswith(prefix)]
        for number in sorted(int(name) for name in names if name.isdigit()):
            key = f"{prefix}{number}"
            try:
                document = documents.read("chain key", key, self.get(key))
                self.trust.verify(document)
                secrets = secrets or document.value["secrets"]
                private = private or self.open_chain_key(key, document.value, origin)
            except Refused as error:
                self.problem(key, error)
        require(private is not None, f"{prefix}: no key of this chain is sealed to the key at hand")
        return Keys(1, origin, self.trust.secrets(secrets), private)

    def open_chain_key(self, key, document, origin):
        own = [one for one in document["recipients"] if one["x25519"] == self.trust.key["x25519_public"]]
        if self.trust.recovery is None or not own:
            return None
        info = b"coffer v1 chain key" + context(origin, key)
        private = hpke_open(self.trust.recovery, bytes.fromhex(own[0]["sealed"]), info)
        require(x25519_public(private).hex() == document["public"], "chain key: its halves do not fit")
        return private

    def volume(self, point, name):
        """The bytes of a volume at a point; all that the point names for it is checked on the way."""
        record = point.record(name)
        require(record["state"] == "available", f"volume {name} failed at this point: {record['error']}")
        musts = [name for name in {**point.value["attributes"], **record["attributes"]} if name.startswith("must.")]
        require(not musts, f"volume {name} has attributes that this reader does not know: {musts}")
        keys = self.chain(record)
        volume_map = VolumeMap(keys, record, self.get, lambda owner, object_name: documents.volume_key(record, owner, object_name))
        packs = {}
        for lineage, entry in enumerate(record["lineage"]):
            for number, info in volume_map.pack_infos(lineage).items():
                packs[lineage, number] = self.pack(keys, record, entry["point"], number, info)
            self.check_bytes(record, entry)
        return fill(volume_map, packs)

    def pack(self, keys, record, owner, number, info):
        key = documents.volume_key(record, owner, f"p{number:08}")
        if key not in self.packs:
            self.packs[key] = Pack(keys, key, number, record["block_size"], info, self.get(key))
        require(self.packs[key].info == info, f"{key}: two pack tables do not agree")
        return self.packs[key]

    def check_bytes(self, record, entry):
        numbers = range(entry["packs"])
        if "taken" in entry:
            numbers = [number for first, last in entry["taken"] for number in range(first, last + 1)]
        names = [f"p{number:08}" for number in numbers] + ([] if "taken" in entry else ["map"])
        total = sum(len(self.get(documents.volume_key(record, entry["point"], name))) for name in names)
        require(total == entry["bytes"], f"point {entry['point']}: its objects have another length than the record says")


def fill(volume_map, packs):
    """The volume, put together from frames."""
    out, block, size = bytearray(volume_map.size), 0, volume_map.block_size
    frames = {place: {frame[0]: (index, *frame) for index, frame in enumerate(pack.frames)} for place, pack in packs.items()}
    for count, place in volume_map.extents():
        if place is None:
            block += count
            continue
        lineage, number, ordinal, at, length = place
        require((lineage, number) in frames, "leaf: a pack that the point does not name")
        end = at + length
        for step in range(count):
            frame = frames[lineage, number].get(at)
            require(frame is not None and frame[0] == ordinal + step, "leaf: no such frame in its pack")
            _, _, frame_length, of_block, plain = frame
            require(of_block == block and len(plain) == min(size, volume_map.size - block * size), "leaf: a frame of another block")
            out[block * size : block * size + len(plain)] = plain
            at, block = at + frame_length, block + 1
        require(at == end, "leaf: an extent is not as long as its frames")
    require(block == volume_map.blocks, "map: does not cover the volume")
    return bytes(out)


def voids(ended, point):
    """Whether a point names an object on an `ended` list."""
    if ended["chain"] != point.value["chain"]:
        return False
    if ended["objects"]["keys"]:
        return True
    gone = {volume["name"]: volume for volume in ended["objects"]["volumes"]}
    for record in (volume["record"] for volume in point.value["volumes"]):
        for owner, has_map, packs in point.named(record):
            volume = gone.get(record["name"])
            if volume is None or owner != ended["point"]:
                continue
            overlap = any(a[0] <= b[1] and b[0] <= a[1] for a in packs for b in volume["packs"])
            if overlap or (has_map and volume["map"]):
                return True
    return False


def main(arguments):
    verb, directory, *rest = arguments
    if verb == "points":
        key, words = rest, None
    else:
        words, key = rest[:3], rest[3:]
    repository = Repository(load(directory), pathlib.Path(key[0]).read_bytes() if key else None)
    for problem in repository.problems:
        print("problem:", *problem, file=sys.stderr)
    if verb == "points":
        for point in repository.points:
            state = "void" if point.void else "confirmed" if point.confirmed else "not confirmed"
            names = ", ".join(volume["record"]["name"] for volume in point.value["volumes"])
            print(point.value["point"], point.value["time"], point.value["type"], point.value["state"], state, names)
        return
    identity, name, target = words
    point = next((point for point in repository.points if point.value["point"] == identity), None)
    require(point is not None, f"there is no point {identity}")
    pathlib.Path(target).write_bytes(repository.volume(point, name))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (Refused, ValueError, OSError) as error:
        sys.exit(f"reader: {error}")
