#!/usr/bin/env python3
"""Packs files into an OCI image archive, without a container engine, and checks one.

    oci_image.py build --output IMAGE.tar --name NAME:TAG --entrypoint /usr/bin/coffer-agent FILE=/path/in/image…
    oci_image.py check IMAGE.tar [--max-mib 25]
    oci_image.py extract IMAGE.tar /path/in/image OUTPUT

The archive is an OCI layout with Docker's `manifest.json` beside it: `ctr images import` and `docker load` both take it. It has one layer,
gzip-compressed. Same files, same bytes: names are sorted, owners are 0, times are SOURCE_DATE_EPOCH (default 0), and nothing of this
machine gets in. A source that is a directory is taken with everything below it, links as links.

The image runs as a number (65532 unless told otherwise) that needs no /etc/passwd, and holds nothing that was not named.
"""

import argparse
import datetime
import gzip
import hashlib
import io
import json
import os
import pathlib
import platform
import sys
import tarfile

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"


class ImageError(Exception):
    """What is wrong with an input or an image, for a person."""


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def canonical_json(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def layer_entries(pairs):
    """Returns {path in the image: source, or None for a directory}, with all parents, for `SOURCE=/path` words."""
    entries = {}
    for pair in pairs:
        source, separator, path = pair.partition("=")
        source = pathlib.Path(source)
        if not separator or not path.startswith("/") or ".." in path.split("/"):
            raise ImageError(f"{pair!r} is not of the form FILE=/path/in/image")
        if not source.exists():
            raise ImageError(f"there is no {source} to put at {path} of the image")
        found = [source, *sorted(source.rglob("*"))] if source.is_dir() else [source]
        for file in found:
            inside = pathlib.PurePosixPath(path) / file.relative_to(source)
            entries[str(inside)] = None if file.is_dir() and not file.is_symlink() else file
    for path in list(entries):
        for parent in pathlib.PurePosixPath(path).parents:
            entries.setdefault(str(parent), None)
    entries.pop("/", None)
    return entries


def member(path, source, epoch):
    """Returns the tar member for one entry and its content."""
    info = tarfile.TarInfo(path.lstrip("/"))
    info.mtime, content = epoch, b""
    if source is None:
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    elif source.is_symlink():
        info.type, info.mode, info.linkname = tarfile.SYMTYPE, 0o777, os.readlink(source)
    else:
        content = source.read_bytes()
        info.size, info.mode = len(content), 0o755 if os.access(source, os.X_OK) else 0o644
    return info, content


def write_tar(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def build(pairs, name, entrypoint, user, epoch, architecture, labels):
    """Returns the bytes of the archive."""
    entries = layer_entries(pairs)
    if entrypoint not in entries:
        raise ImageError(f"the entry point {entrypoint} is not in the image")
    layer_tar = write_tar(member(path, entries[path], epoch) for path in sorted(entries))
    layer = gzip.compress(layer_tar, compresslevel=9, mtime=0)
    created = datetime.datetime.fromtimestamp(epoch, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    config = canonical_json({
        "architecture": architecture,
        "os": "linux",
        "created": created,
        "config": {
            "User": user,
            "Entrypoint": [entrypoint],
            "Env": ["PATH=/usr/bin"],
            "WorkingDir": "/",
            "Labels": labels,
        },
        "rootfs": {"type": "layers", "diff_ids": [digest(layer_tar)]},
        "history": [{"created": created, "created_by": "scripts/image.sh"}],
    })
    manifest = canonical_json({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": descriptor(CONFIG_TYPE, config),
        "layers": [descriptor(LAYER_TYPE, layer)],
    })
    annotations = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
    index = canonical_json({"schemaVersion": 2, "manifests": [descriptor(MANIFEST_TYPE, manifest) | {"annotations": annotations}]})
    docker = canonical_json([{"Config": blob_path(config), "RepoTags": [name], "Layers": [blob_path(layer)]}])
    files = {blob_path(data): data for data in (config, layer, manifest)}
    files |= {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index, "manifest.json": docker}
    return write_tar(archive_members(files, epoch))


def archive_members(files, epoch):
    for directory in ("blobs", "blobs/sha256"):
        info = tarfile.TarInfo(directory)
        info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o755, epoch
        yield info, b""
    for path in sorted(files):
        info = tarfile.TarInfo(path)
        info.size, info.mode, info.mtime = len(files[path]), 0o644, epoch
        yield info, files[path]


def blob_path(data):
    return "blobs/" + digest(data).replace(":", "/")


def descriptor(media_type, data):
    return {"mediaType": media_type, "digest": digest(data), "size": len(data)}


def check(archive_bytes):
    """Follows every digest from index.json down and returns what the image is; ImageError at the first thing that is wrong."""
    with tarfile.open(fileobj=io.BytesIO(archive_bytes)) as archive:
        files = {item.name: archive.extractfile(item).read() for item in archive if item.isfile()}

    def follow(what, found):
        path = "blobs/" + found["digest"].replace(":", "/")
        data = files.get(path)
        if data is None:
            raise ImageError(f"{what}: there is no {path}")
        if digest(data) != found["digest"] or len(data) != found["size"]:
            raise ImageError(f"{what}: {path} is not what its descriptor says")
        return data

    if json.loads(files["oci-layout"]) != {"imageLayoutVersion": "1.0.0"}:
        raise ImageError("oci-layout is not of version 1.0.0")
    (first,) = json.loads(files["index.json"])["manifests"]
    manifest = json.loads(follow("index.json", first))
    config = json.loads(follow("config", manifest["config"]))
    layers = [follow("layer", layer) for layer in manifest["layers"]]
    tars = [gzip.decompress(layer) for layer in layers]
    if [digest(data) for data in tars] != config["rootfs"]["diff_ids"]:
        raise ImageError("diff_ids of the config are not the digests of the unpacked layers")
    (docker,) = json.loads(files["manifest.json"])
    expected = {"Config": blob_path(follow("config", manifest["config"])), "Layers": [blob_path(layer) for layer in layers],
                "RepoTags": [first["annotations"]["io.containerd.image.name"]]}  # fmt: skip
    if docker != expected:
        raise ImageError("manifest.json names other blobs than index.json")
    content = {}
    for data in tars:
        with tarfile.open(fileobj=io.BytesIO(data)) as layer:
            content |= {"/" + item.name: item for item in layer}
    return {"name": expected["RepoTags"][0], "config": config, "content": content, "layers": tars,
            "digest": first["digest"], "compressed_bytes": sum(map(len, layers)),
            "unpacked_bytes": sum(item.size for item in content.values())}  # fmt: skip


def command_build(options):
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    labels = dict(word.split("=", 1) for word in options.label)
    data = build(options.files, options.name, options.entrypoint, options.user, epoch, options.architecture, labels)
    # Whole or not at all: a name that stands is an image that can be imported.
    unfinished = options.output + ".unfinished"
    pathlib.Path(unfinished).write_bytes(data)
    os.replace(unfinished, options.output)


def command_check(options):
    found = check(pathlib.Path(options.image).read_bytes())
    user = found["config"]["config"]["User"]
    if user.split(":")[0] in ("", "0", "root"):
        raise ImageError(f"the image runs as {user or 'root'} unless told otherwise")
    mib = found["compressed_bytes"] / 2**20
    print(f"{found['name']} {found['digest']}")
    print(f"user {user}, {mib:.1f} MiB compressed, {found['unpacked_bytes'] / 2**20:.1f} MiB unpacked, {len(found['content'])} entries")
    if mib > options.max_mib:
        raise ImageError(f"{mib:.1f} MiB compressed is more than the {options.max_mib} MiB that an image may have")


def command_extract(options):
    for data in reversed(check(pathlib.Path(options.image).read_bytes())["layers"]):
        with tarfile.open(fileobj=io.BytesIO(data)) as layer:
            if options.path.lstrip("/") in layer.getnames():
                item = layer.getmember(options.path.lstrip("/"))
                output = pathlib.Path(options.output)
                output.write_bytes(layer.extractfile(item).read())
                output.chmod(item.mode)
                return
    raise ImageError(f"there is no {options.path} in {options.image}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    commands = parser.add_subparsers(required=True)
    builder = commands.add_parser("build")
    builder.set_defaults(run=command_build)
    builder.add_argument("--output", required=True)
    builder.add_argument("--name", required=True)
    builder.add_argument("--entrypoint", required=True)
    builder.add_argument("--user", default="65532:65532")
    builder.add_argument("--architecture", default=ARCHITECTURES.get(platform.machine(), platform.machine()))
    builder.add_argument("--label", action="append", default=[])
    builder.add_argument("files", nargs="+")
    checker = commands.add_parser("check")
    checker.set_defaults(run=command_check)
    checker.add_argument("image")
    checker.add_argument("--max-mib", type=float, default=25)
    extractor = commands.add_parser("extract")
    extractor.set_defaults(run=command_extract)
    extractor.add_argument("image")
    extractor.add_argument("path")
    extractor.add_argument("output")
    options = parser.parse_args()
    try:
        options.run(options)
    except ImageError as error:
        sys.exit(f"oci_image.py: {error}")


if __name__ == "__main__":
    main()
