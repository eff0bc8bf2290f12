#!/usr/bin/env python3
"""Checks every dependency's licence and source against deny.toml, for machines without cargo-deny.

Knows `licenses.allow`, `licenses.exceptions` and `sources.allow-registry`; nothing about advisories. It never reads
the network: cargo metadata says all of it. Ends with 1 and the list of what is not allowed.
"""

import json
import re
import subprocess
import sys
import tomllib

TOKEN = re.compile(r"[()]|[^\s()]+")


def satisfied(expression, allowed):
    """Says whether an SPDX expression can be satisfied with the allowed licences."""
    tokens = TOKEN.findall(expression.replace("/", " OR "))  # the old notation MIT/Apache-2.0
    value, rest = any_of(tokens, allowed)
    if rest:
        raise ValueError(f"cannot read the licence {expression!r}")
    return value


def any_of(tokens, allowed):
    value, tokens = all_of(tokens, allowed)
    while tokens[:1] == ["OR"]:
        other, tokens = all_of(tokens[1:], allowed)
        value = value or other
    return value, tokens


def all_of(tokens, allowed):
    value, tokens = one(tokens, allowed)
    while tokens[:1] == ["AND"]:
        other, tokens = one(tokens[1:], allowed)
        value = value and other
    return value, tokens


def one(tokens, allowed):
    if not tokens:
        raise ValueError("a licence expression ends too early")
    if tokens[0] == "(":
        value, rest = any_of(tokens[1:], allowed)
        if rest[:1] != [")"]:
            raise ValueError("a licence expression lacks a closing bracket")
        return value, rest[1:]
    if tokens[1:2] == ["WITH"]:
        return " ".join(tokens[:3]) in allowed, tokens[3:]
    return tokens[0] in allowed, tokens[1:]


def problems(packages, rules):
    """Yields a line for each package that the rules do not allow."""
    allowed = set(rules["licenses"]["allow"])
    exceptions = {entry["crate"]: set(entry["allow"]) for entry in rules["licenses"].get("exceptions", [])}
    registries = {f"registry+{url}" for url in rules["sources"]["allow-registry"]}
    for package in packages:
        name, source = f"{package['name']} {package['version']}", package["source"]
        if source is None:
            continue  # our own
        if source not in registries:
            yield f"{name}: comes from {source}"
        if not package["license"]:
            yield f"{name}: states no licence"
        elif not satisfied(package["license"], allowed | exceptions.get(package["name"], set())):
            yield f"{name}: licence {package['license']}"


def dependencies(targets):
    """Returns the packages of the workspace for the given targets."""
    filters = [word for target in targets for word in ("--filter-platform", target)]
    command = ["cargo", "metadata", "--locked", "--format-version", "1", *filters]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit("cargo metadata failed; its own words stand above")
    return json.loads(done.stdout)["packages"]


def main():
    with open("deny.toml", "rb") as source:
        rules = tomllib.load(source)
    packages = dependencies(rules["graph"]["targets"])
    found = list(problems(packages, rules))
    for line in found:
        print(f"not allowed by deny.toml: {line}", file=sys.stderr)
    print(f"{len(packages)} packages, {len(found)} problems with licences or sources")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
