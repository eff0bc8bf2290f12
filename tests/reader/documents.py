"""The JSON documents of docs/format.md section 6: fields, order, values, and the key that each belongs under."""

import base64
import json
import re

from crypto import digest
from encoding import (
    Cursor,
    Refused,
    encoded_name,
    from_json,
    id_text,
    is_id,
    is_label,
    is_name,
    is_time,
    require,
    to_json,
    unix_ms,
)


def hexadecimal(size):
    return lambda value: isinstance(value, str) and re.fullmatch(f"[0-9a-f]{{{2 * size}}}", value) is not None


def number(high=2**64 - 1, low=0):
    return lambda value: type(value) is int and low <= value <= high


def one_of(*values):
    return lambda value: value in values


def either(*checks):
    return lambda value: any(check(value) for check in checks)


def many(check, low=0, high=2**32):
    return lambda value: isinstance(value, list) and low <= len(value) <= high and all(map(check, value))


def fields(spec):
    """An object with these fields in this order. A name that ends in `?` may be missing."""

    def check(value):
        if not isinstance(value, dict):
            return False
        wanted = [name for name in spec if not name.endswith("?") or name[:-1] in value]
        same = [name.rstrip("?") for name in wanted] == list(value)
        return same and all(spec[name](value[name.rstrip("?")]) for name in wanted)

    return check


def text(value):
    return isinstance(value, str)


def null(value):
    return value is None


def texts_by_name(value):
    return isinstance(value, dict) and all(map(text, value.values())) and list(value) == sorted(value)


def attributes(value):
    size = sum(len(name) + len(content.encode()) for name, content in value.items()) if texts_by_name(value) else 1 << 20
    return size <= 64 << 10 and all(re.fullmatch("[a-z0-9.-]{1,64}", name) for name in value)


def pack_ranges(value):
    """Ranges, first and last, ascending and not adjacent."""
    if not many(many(number(2**24 - 1), 2, 2))(value):
        return False
    ends = [end for pair in value for end in pair]
    apart = all(ends[at] + 1 < ends[at + 1] for at in range(1, len(ends) - 1, 2))
    return apart and all(first <= last for first, last in value)


u32, u64, key32, is_digest = number(2**32 - 1), number(), hexadecimal(32), hexadecimal(32)
generation = number(2**32 - 1, 1)
HEAD = {"format": one_of(1), "repository": hexadecimal(16), "team": is_label}
PLAN = {"cluster": is_label, "namespace": is_label, "plan": is_label}
RUN = {"point": is_id, "run": is_id}

CERTIFICATE = fields({
    "serial": is_id, "repository": hexadecimal(16), "team": is_label, "generation": generation, "public": key32,
    "signature": hexadecimal(64),
})
SEAL = fields({"digest": is_digest, "certificate": either(null, CERTIFICATE), "signature": either(null, hexadecimal(64))})
LINEAGE = fields({"point": is_id, "packs": number(2**24), "bytes": u64, "taken?": pack_ranges})
ROOT = fields({"offset": number(2**63 - 1, 64), "length": number(4 << 20, 17), "digest": is_digest})
RECIPIENT = fields({"generation": generation, "x25519": key32, "sealed": hexadecimal(80)})
ENDED_VOLUME = fields({"name": is_name, "map": one_of(True, False), "packs": pack_ranges})
RECORD = {
    **HEAD, **PLAN, "chain": is_id, "point": is_id, "name": is_name,
    "kind": one_of("device", "image", "directory", "resources"), "state": one_of("available", "failed"),
    "type": one_of("full", "incremental"), "type_reason": text, "size": u64,
    "block_size": one_of(*(1 << bits for bits in range(14, 21))), "lineage": many(LINEAGE, 0, 256),
    "root": either(null, ROOT), "read": u64, "changed": u64, "blocks_changed": u64, "stored": u64, "metadata": u64,
    "changes": lambda value: text(value) and re.fullmatch("[a-z0-9-]{1,32}", value) is not None,
    "sampled_blocks": u64, "sample_mismatches": u64, "error": either(null, text),
    "warnings": many(lambda value: text(value) and 1 <= len(value.encode()) <= 512, 0, 16), "attributes": attributes,
}
NAME_OF_RESOURCE = fields({
    "type": lambda value: text(value) and re.fullmatch("[A-Za-z0-9:._-]{1,128}", value) is not None,
    "id": lambda value: text(value) and re.fullmatch("[ -~]{1,256}", value) is not None,
})


def object_text(high):
    """A JSON object as text."""

    def check(value):
        if not text(value) or not 2 <= len(value.encode()) <= high:
            return False
        try:
            return isinstance(json.loads(value), dict)
        except ValueError:
            return False

    return check


def sized(high, low=1):
    return lambda value: text(value) and low <= len(value.encode()) <= high


RESOURCE = fields({
    "ref": NAME_OF_RESOURCE, "name": sized(256, 0), "plugin": is_label, "schema": sized(32), "options": object_text(64 << 10),
    "state": one_of("available", "failed"), "key": sized(128),
    "artefact": either(null, fields({"id": lambda value: text(value) and re.fullmatch("[ -~]{1,256}", value) is not None, "details": object_text(16 << 10)})),
    "volume": either(null, is_name), "error": either(null, sized(1024)), "warnings": many(sized(512), 0, 16),
})
DOCUMENTS = {
    "team": {**HEAD, "generation": generation, "signed_by": generation, "secrets": generation, "x25519": key32, "ed25519": key32},
    "points": {**HEAD, "generation": number(2**32 - 1, 2), "points": many(fields({"point": is_id, "manifest": is_digest}))},
    "chain key": {**HEAD, **PLAN, "chain": is_id, "secrets": generation, "public": key32, "recipients": many(RECIPIENT, 1, 256)},
    "volume record": RECORD,
    "manifest": {
        **HEAD, **PLAN, "chain": is_id, "point": is_id, "sequence": u64, "parent": either(null, is_id),
        "state": one_of("available", "partial"), "type": one_of("full", "incremental"),
        "reason": fields({"code": number(6), "argument": u64}), "time": is_time, "started": is_time, "completed": is_time,
        "size": u64, "changed": u64, "stored": u64, "taken_over": many(is_id), "idempotency_key": either(null, text),
        "description": text, "tags": texts_by_name, "writer": text, "attributes": attributes,
        "volumes": many(fields({"record": fields(RECORD), "seal": SEAL}), 0, 256), "resources?": many(RESOURCE, 1, 16384),
    },
    "ending": {**HEAD, **PLAN, **RUN, "time": is_time},
    "ended": {
        **HEAD, **PLAN, "chain": is_id, **RUN, "time": is_time,
        "objects": fields({"keys": many(number(2**32 - 1, 1)), "volumes": many(ENDED_VOLUME)}),
    },
    "pin": {**HEAD, **RUN, "kind": one_of("hold", "restore"), "time": is_time, "note": text},
    "damaged": {
        **HEAD, "point": is_id, "volume": is_name, "pack": number(2**24 - 1), "run": is_id, "time": is_time,
        "ordinals": either(one_of("all"), many(number(32767), 1)), "detail": text,
    },
    "artefacts": {**HEAD, **PLAN, **RUN, "resources": many(RESOURCE, 1, 16384)},
    "confirmed": {**HEAD, **PLAN, "point": is_id, "summary": text, "manifest": is_digest},
}


def ascends(values):
    return all(before < after for before, after in zip(values, values[1:]))


def volume_key(record, point, name):
    return "t/{team}/data/{cluster}/{namespace}/{plan}/{chain}".format(**record) + f"/{point}/{encoded_name(record['name'])}/{name}"


def own_key(kind, value, key):
    """The key that a document belongs under. `key` tells the number of a chain key, which the document does not."""
    team = f"t/{value['team']}"
    plan = "{cluster}/{namespace}/{plan}".format(**value) if "plan" in value else ""
    if kind == "team":
        return f"{team}/team.json" if value["generation"] == 1 else f"{team}/team.{value['generation']}.json"
    if kind == "chain key":
        name = key.rpartition("/")[2]
        require(re.fullmatch("[1-9][0-9]{0,9}", name), "chain key: its name is no number")
        return f"{team}/data/{plan}/{value['chain']}/keys/{name}"
    return {
        "points": lambda: f"{team}/team.{value['generation']}.points",
        "manifest": lambda: f"{team}/points/{plan}/{value['point']}",
        "confirmed": lambda: f"{team}/confirmed/{plan}/{value['point']}.{value['summary']}",
        "ending": lambda: f"{team}/ending/{value['point']}",
        "ended": lambda: f"{team}/ended/{value['chain']}/{value['point']}/{value['run']}",
        "pin": lambda: f"{team}/pins/{value['point']}/{value['run']}",
        "damaged": lambda: f"{team}/damaged/{value['point']}/{encoded_name(value['volume'])}/p{value['pack']:08}/{value['run']}",
    }[kind]()


class Signed:
    """A document and its seal; `line` is what is signed."""

    def __init__(self, kind, value, seal, line):
        self.kind, self.value, self.seal, self.line = kind, value, seal, line
        require(fields(DOCUMENTS[kind])(value), f"{kind}: a field is missing, too much, out of order or out of range")
        require(SEAL(seal), f"{kind}: its seal has other fields")
        require(seal["digest"] == digest(line).hex(), f"{kind}: its digest is of other bytes")
        CHECKS.get(kind, lambda value: None)(value)

    def records(self):
        """The volume records of a manifest, each with a seal of its own over its compact JSON."""
        nested = self.value["volumes"] if self.kind == "manifest" else []
        return [Signed("volume record", volume["record"], volume["seal"], to_json(volume["record"])) for volume in nested]


def read(kind, key, data):
    """The document of `kind` in the object `key`."""
    lines = data.split(b"\n")
    require(len(lines) == 3 and not lines[2], f"{kind}: not two lines")
    require(len(data) <= (64 if kind == "manifest" else 16) << 20, f"{kind}: too large")
    signed = Signed(kind, from_json(kind, lines[0]), from_json("seal", lines[1]), lines[0])
    require(own_key(kind, signed.value, key) == key, f"{kind}: belongs under another key")
    return signed


def read_config(data):
    """`coffer.json`: its second line holds only the digest."""
    lines = data.split(b"\n")
    require(len(lines) == 3 and not lines[2], "coffer.json: not two lines")
    config, said = from_json("coffer.json", lines[0]), from_json("coffer.json", lines[1])
    require(said == {"digest": digest(lines[0]).hex()}, "coffer.json: its digest is of other bytes")
    spec = {"format": one_of(1), "repository": hexadecimal(16), "encrypted": one_of(True, False)}
    require(fields(spec)(config), "coffer.json: other fields")
    return config


def check_record(record):
    lineage = record["lineage"]
    if record["state"] == "failed":
        require(not lineage and record["root"] is None and record["error"] is not None, "volume record: failed, and yet there")
        return
    require(record["root"] is not None and record["error"] is None and lineage, "volume record: available, and not there")
    require(-(-record["size"] // record["block_size"]) < 2**32, "volume record: too many blocks")
    require(lineage[-1]["point"] == record["point"] and "taken" not in lineage[-1], "volume record: its own point is not the last")
    require(len({entry["point"] for entry in lineage}) == len(lineage), "volume record: a point is twice in the lineage")
    for entry in lineage:
        if "taken" in entry:
            end = entry["taken"][-1][1] + 1 if entry["taken"] else 0
            require(entry["packs"] == end, "volume record: packs and packs taken over disagree")


REASONS = ["full", "full", "full", "full", "incremental", "incremental", "full"]


def check_manifest(manifest):
    records = [volume["record"] for volume in manifest["volumes"]]
    reason = manifest["reason"]
    require(REASONS[reason["code"]] == manifest["type"], "manifest: type and reason disagree")
    require(reason["code"] in (1, 4, 5) or reason["argument"] == 0, "manifest: a reason's argument is not 0")
    require(manifest["parent"] or manifest["type"] == "full", "manifest: an incremental without a parent")
    require(manifest["point"] not in [manifest["parent"], *manifest["taken_over"]], "manifest: it names itself")
    require(len(set(manifest["taken_over"])) == len(manifest["taken_over"]), "manifest: a run is taken over twice")
    require(len({record["name"] for record in records}) == len(records), "manifest: two volumes have one name")
    for record in records:
        same = all(record[name] == manifest[name] for name in [*HEAD, *PLAN, "chain", "point"])
        require(same, "manifest: a volume record is of another point")
    resources = manifest.get("resources", [])
    names = {(resource["ref"]["type"], resource["ref"]["id"]) for resource in resources}
    require(len(names) == len(resources), "manifest: a resource stands twice in it")
    data = [resource["volume"] for resource in resources if resource["volume"] is not None]
    require(len(set(data)) == len(data) and set(data) <= {record["name"] for record in records}, "manifest: a resource's data are in no volume of its own")
    failed = any(record["state"] == "failed" for record in [*records, *resources])
    require(failed == (manifest["state"] == "partial"), "manifest: its state is not that of its volumes and resources")


def check_ended(record):
    keys, volumes = record["objects"]["keys"], record["objects"]["volumes"]
    require(ascends(keys) and ascends([volume["name"].encode() for volume in volumes]), "ended: does not ascend")
    require(keys or volumes, "ended: names nothing")
    require(all(volume["map"] or volume["packs"] for volume in volumes), "ended: a volume names nothing")


def check_damaged(record):
    require(record["ordinals"] == "all" or ascends(record["ordinals"]), "damaged: ordinals do not ascend")


def check_team(statement):
    before = max(statement["generation"] - 1, 1)
    require(statement["signed_by"] <= before, "team: signed by a later generation")
    require(statement["secrets"] <= statement["generation"], "team: secrets of a later generation")


def check_points(found):
    entries = [(entry["point"], entry["manifest"]) for entry in found["points"]]
    require(ascends(entries), "points: they do not ascend")


def check_chain_key(document):
    require(ascends([one["generation"] for one in document["recipients"]]), "chain key: recipients do not ascend")


CHECKS = {
    "volume record": check_record, "manifest": check_manifest, "ended": check_ended, "damaged": check_damaged,
    "team": check_team, "points": check_points, "chain key": check_chain_key,
    "confirmed": lambda record: read_summary(record["summary"]) and None,
}


def read_summary(encoded):
    """A summary (section 2) as the fields of its manifest that it repeats."""
    require(len(encoded) <= 224, "summary: too long")
    try:
        raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), b"-_", validate=True)
    except ValueError as error:
        raise Refused(f"summary: {error}") from error
    require(base64.b64encode(raw, b"-_").rstrip(b"=") == encoded.encode(), "summary: not in canonical form")
    cursor = Cursor("summary", raw)
    require(cursor.number(1) == 1, "summary: unknown version")
    flags = cursor.number(1)
    require(flags < 16, "summary: unknown flags")
    summary = {
        "type": "incremental" if flags & 1 else "full", "state": "partial" if flags & 2 else "available",
        "reason": {"code": cursor.number(1), "argument": cursor.varint()},
    }
    summary |= {name: cursor.varint() for name in ["time", "completed", "sequence", "size", "changed", "stored"]}
    summary["chain"] = id_text(cursor.take(16))
    summary["parent"] = id_text(cursor.take(16)) if flags & 8 else None
    if flags & 4:
        try:
            names = [cursor.take(cursor.varint(1, 168)).decode() for _ in range(cursor.varint(0, 256))]
        except UnicodeDecodeError as error:
            raise Refused(f"summary: {error}") from error
        summary["names"] = names
    cursor.finish()
    return summary


def summary_fits(summary, manifest):
    same = ["type", "state", "reason", "sequence", "size", "changed", "stored", "chain", "parent"]
    names = [volume["record"]["name"] for volume in manifest["volumes"]]
    return (
        all(summary[name] == manifest[name] for name in same)
        and all(summary[name] == unix_ms(manifest[name]) for name in ["time", "completed"])
        and summary.get("names", names) == names
    )
