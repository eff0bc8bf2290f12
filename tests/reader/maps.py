"""Maps (docs/format.md section 5): where each block of a volume lies."""

from crypto import TAG, digest
from encoding import Cursor, id_text, require
from packs import HEADER as PACK_HEADER
from packs import PAGE_ENTRIES, open_page

LEAF, NODE, ROOT, TABLE, INDEX = range(1, 6)
HEADER, FOOTER, LEAF_BLOCKS, FANOUT = 64, 72, 4096, 256


def page_reference(cursor):
    return {
        "lineage": cursor.varint(0, 255), "offset": cursor.varint(HEADER, 2**63 - 1),
        "length": cursor.varint(TAG + 1, 4 << 20), "digest": cursor.take(32),
    }


def children(cursor, count):
    """A page reference, or None for what is zero, for each of `count` children."""
    found, after_zeroes = [], False
    while len(found) < count:
        if cursor.varint(0, 1):
            found.append(page_reference(cursor))
            after_zeroes = False
        else:
            require(not after_zeroes, f"{cursor.what}: runs of zeroes are not joined")
            found += [None] * cursor.varint(1, count - len(found))
            after_zeroes = True
    return found


class VolumeMap:
    """The map of a checked volume record. `read(key)` gives an object's bytes, `key_of(point, name)` its key."""

    def __init__(self, keys, record, read, key_of):
        self.keys, self.record, self.read, self.key_of = keys, record, read, key_of
        self.maps = {}
        self.block_size, self.size = record["block_size"], record["size"]
        self.blocks = -(-self.size // self.block_size)
        root = record["root"]
        own = {"lineage": len(record["lineage"]) - 1, "offset": root["offset"], "length": root["length"], "digest": bytes.fromhex(root["digest"])}
        self.tables, self.nodes = self.read_root(Cursor("root", self.page(own, ROOT)))
        self.check_footer(own)

    def map_object(self, lineage):
        """Key, bytes and cipher of the map object of a lineage entry."""
        entry = self.record["lineage"][lineage]
        require("taken" not in entry, "map: an unfinished run has no map object")
        if lineage not in self.maps:
            key = self.key_of(entry["point"], "map")
            data = self.read(key)
            cursor = Cursor("map header", data[:HEADER])
            require(cursor.take(8) == b"COFMAP_1" and cursor.number(1) == self.keys.suite, "map header: magic or suite")
            cursor.zeroes(3)
            require(cursor.number(4) == self.block_size, "map header: block size")
            require(cursor.take(16) == self.keys.repository and cursor.take(32) == self.keys.context(key), "map header: of another object")
            self.maps[lineage] = (key, data, self.keys.metadata(key))
        return self.maps[lineage]

    def page(self, reference, kind):
        require(reference["lineage"] < len(self.record["lineage"]), "page: past the end of the lineage")
        key, data, cipher = self.map_object(reference["lineage"])
        stored = data[reference["offset"] : reference["offset"] + reference["length"]]
        require(digest(stored) == reference["digest"], f"{key}: the page at {reference['offset']} is not what is said of it")
        return open_page(cipher, self.keys.context(key), kind, reference["offset"], stored)

    def check_footer(self, root):
        key, data, cipher = self.map_object(root["lineage"])
        at = len(data) - FOOTER
        cursor = Cursor("map footer", data[at:])
        require(cursor.take(8) == b"COFMAPE1", "map footer: magic")
        require((cursor.number(8), cursor.number(4)) == (root["offset"], root["length"]), "map footer: another root")
        cursor.zeroes(4)
        require(cursor.take(32) == root["digest"] and at == root["offset"] + root["length"], "map footer: another root")
        aad = b"M" + self.keys.context(key) + data[:HEADER] + data[at : at + 56]
        cipher.open("map footer", at.to_bytes(8, "little") + bytes(4), aad, b"", data[at + 56 :])

    def read_root(self, cursor):
        require(cursor.varint() == self.size and cursor.varint() == self.block_size, "root: another volume")
        lineage = self.record["lineage"]
        require(cursor.varint(1, 256) == len(lineage), "root: another lineage")
        tables = []
        for index, entry in enumerate(lineage):
            require(id_text(cursor.take(16)) == entry["point"] and cursor.varint() == entry["packs"], "root: another lineage")
            reference = None
            if entry["packs"]:
                require(cursor.varint(0, 1) == (entry["packs"] > FANOUT), "root: depth of a pack table")
                reference = page_reference(cursor)
                holder = reference["lineage"]
                require(holder > index if "taken" in entry else holder == index, "root: a pack table lies elsewhere")
            tables.append(reference)
        leaves = -(-self.blocks // LEAF_BLOCKS)
        nodes = children(cursor, -(-leaves // FANOUT))
        cursor.finish()
        return tables, nodes

    def pack_infos(self, lineage):
        """What the pack table says of each pack that the record names, by number."""
        entry, reference = self.record["lineage"][lineage], self.tables[lineage]
        if reference is None:
            return {}
        pages = [reference]
        if entry["packs"] > FANOUT:
            cursor = Cursor("pack table index", self.page(reference, INDEX))
            count = cursor.varint()
            require(count == -(-entry["packs"] // FANOUT), "pack table index: number of pages")
            pages = [page_reference(cursor) for _ in range(count)]
            cursor.finish()
            require(all(page["lineage"] == reference["lineage"] for page in pages), "pack table index: in another map")
        infos = {}
        for number, page in enumerate(pages):
            cursor = Cursor("pack table", self.page(page, TABLE))
            for pack in range(FANOUT * number, min(FANOUT * (number + 1), entry["packs"])):
                infos[pack] = self.pack_info(cursor, "taken" in entry)
            cursor.finish()
        named = {pack for first, last in entry["taken"] for pack in range(first, last + 1)} if "taken" in entry else set(infos)
        require(all(infos[pack] for pack in named), "pack table: does not describe a pack that the record names")
        return {pack: infos[pack] for pack in sorted(named)}

    def pack_info(self, cursor, may_be_absent):
        length = cursor.varint(0 if may_be_absent else 1)
        if length == 0:
            return None
        frames, first, last = cursor.varint(1, 32768), cursor.varint(0, 2**32 - 1), cursor.varint(0, 2**32 - 1)
        return {
            "length": length, "frames": frames, "blocks": [first, last], "trailer": cursor.varint(),
            "pages": [cursor.take(32) for _ in range(-(-frames // PAGE_ENTRIES))],
            "sealed": cursor.take(80) if self.keys.suite else None,
        }

    def extents(self):
        """Count of blocks, and lineage index, pack, ordinal, offset and length of their frames or None, in the volume's order."""
        leaves = -(-self.blocks // LEAF_BLOCKS)
        for number, node in enumerate(self.nodes):
            count = min(FANOUT, leaves - FANOUT * number)
            found = self.read_node(number, node, count) if node else [None] * count
            for at, leaf in enumerate(found):
                index = FANOUT * number + at
                covered = min(LEAF_BLOCKS, self.blocks - LEAF_BLOCKS * index)
                yield from self.read_leaf(index, leaf, covered) if leaf else [(covered, None)]

    def read_node(self, number, reference, count):
        cursor = Cursor("node", self.page(reference, NODE))
        require(cursor.varint() == number, "node: another one")
        found = children(cursor, count)
        cursor.finish()
        require(any(found), "node: holds zeroes only")
        return found

    def read_leaf(self, index, reference, covered):
        cursor = Cursor("leaf", self.page(reference, LEAF))
        require(cursor.varint() == index, "leaf: another one")
        packs = [(cursor.varint(0, 255), cursor.varint(0, 2**24 - 1)) for _ in range(cursor.varint(0, LEAF_BLOCKS))]
        expected, used, found = [(0, PACK_HEADER)] * len(packs), 0, []
        while covered:
            head = cursor.varint(2)
            count, place = head >> 1, None
            require(count <= covered, "leaf: an extent passes its end")
            if head & 1:
                slot = cursor.varint(0, min(used, len(packs) - 1))
                used = max(used, slot + 1)
                ordinal, offset = expected[slot][0] + cursor.varint(), expected[slot][1] + cursor.varint()
                length = cursor.varint(25 * count, 8 << 20)
                expected[slot] = (ordinal + count, offset + length)
                place = (*packs[slot], ordinal, offset, length)
            require(not (found and joins(found[-1], count, place)), "leaf: extents that could be one are two")
            found.append((count, place))
            covered -= count
        cursor.finish()
        require(used == len(packs) and len(set(packs)) == len(packs), "leaf: its packs are not those of its extents")
        require(any(place for _, place in found), "leaf: holds zeroes only")
        return found


def joins(before, count, place):
    """Whether an extent goes on where the one before ends, within the limit of one."""
    first, last = before[1], place
    if first is None or last is None:
        return first is last
    follows = first[:2] == last[:2] and first[2] + before[0] == last[2] and first[3] + first[4] == last[3]
    return follows and first[4] + last[4] <= 8 << 20
