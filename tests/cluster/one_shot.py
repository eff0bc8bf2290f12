#!/usr/bin/env python3
"""Makes a pod that runs one command with the rights of an agent, out of the agent's own manifest, so that what is tried is what is shipped.
The manifest's ConfigMaps come with it.

    one_shot.py MANIFEST.json --name NAME [--change KEY=JSON…] [--env NAME=VALUE…] [--host NAME=ADDRESS…] [--block CLAIM=/dev/path…] -- COMMAND…

MANIFEST.json is the list that `kubectl create --dry-run=client -o json` prints. `--change` replaces a field of the container's or (with `pod.`) the
pod's security context: what the manifests claim to need is shown by taking it away. The secret `keys` appears in /keys. `--host` puts a name
into the pod's /etc/hosts, so that a name is resolved by a program that is linked statically.
"""

import argparse
import json
import sys


def documents(text):
    """Yields what stands one after the other in `text`."""
    decoder, position = json.JSONDecoder(), 0
    while position < len(text):
        value, position = decoder.raw_decode(text, position)
        yield from value["items"] if value["kind"] == "List" else [value]
        while position < len(text) and text[position].isspace():
            position += 1


def pod(workload, options):
    spec = workload["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe", "ports"):
        container.pop(probe, None)
    container |= {"command": options.command[:1], "args": options.command[1:]}
    container.setdefault("env", []).extend(dict(zip(("name", "value"), word.split("=", 1), strict=True)) for word in options.env)
    spec["volumes"].append({"name": "keys", "secret": {"secretName": "keys", "defaultMode": 0o440}})
    container["volumeMounts"].append({"name": "keys", "mountPath": "/keys", "readOnly": True})
    if options.block:
        # Instead of the claim that the manifest names as an example.
        examples = {device["name"] for device in container.get("volumeDevices", [])}
        spec["volumes"] = [volume for volume in spec["volumes"] if volume["name"] not in examples]
        container["volumeDevices"] = []
    for word in options.block:
        claim, path = word.split("=", 1)
        spec["volumes"].append({"name": claim, "persistentVolumeClaim": {"claimName": claim}})
        container["volumeDevices"].append({"name": claim, "devicePath": path})
    spec["hostAliases"] = [{"hostnames": [name], "ip": ip} for name, ip in (word.split("=", 1) for word in options.host)]
    for word in options.change:
        key, value = word.split("=", 1)
        where = spec.setdefault("securityContext", {}) if key.startswith("pod.") else container["securityContext"]
        where[key.removeprefix("pod.")] = json.loads(value)
    metadata = {"name": options.name, "namespace": workload["metadata"]["namespace"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec | {"restartPolicy": "Never"}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("manifest", type=argparse.FileType())
    parser.add_argument("--name", required=True)
    parser.add_argument("--change", action="append", default=[])
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("--host", action="append", default=[])
    parser.add_argument("--block", action="append", default=[])
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    found = list(documents(options.manifest.read()))
    workloads = [one for one in found if one["kind"] in ("DaemonSet", "Deployment")]
    if len(workloads) != 1:
        sys.exit(f"one_shot.py: one DaemonSet or Deployment is expected in the manifest, {len(workloads)} found")
    items = [one for one in found if one["kind"] == "ConfigMap"] + [pod(workloads[0], options)]
    json.dump({"apiVersion": "v1", "kind": "List", "items": items}, sys.stdout)


if __name__ == "__main__":
    main()
