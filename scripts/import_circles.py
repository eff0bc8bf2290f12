#!/usr/bin/env python3
"""Finds circles among the files of each crate, by their `use` lines and the paths in their code.

    scripts/import_circles.py [CRATE ...]      # all crates of the workspace by default; exit 1 and the circles if there are any

A file uses another one if it names an item that the other defines. A re-export is followed to where the item stands, so `use crate::Error` is
an arrow to `error.rs` and none to `lib.rs`. Test modules are left out: they may look at everything.
"""
import re
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATH = re.compile(r"\b((?:crate|super|self)(?:::\w+)+)")


def crates(root):
    """Folders of the workspace that hold a crate."""
    return sorted(manifest.parent for manifest in root.glob("**/Cargo.toml")
                  if (manifest.parent / "src").is_dir() and "target" not in manifest.relative_to(root).parts and "fuzz" not in manifest.relative_to(root).parts)


def code_only(text):
    """Without comments and what stands in string literals."""
    token = r'r(#*)".*?"\1|"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/'
    return re.sub(token, lambda found: '""' if '"' == found[0][0] or found[0][0] == "r" else "", text, flags=re.S)


def without_tests(text):
    """Cuts each item behind `#[cfg(test)]`: up to its `;`, or to the end of its braces."""
    while (start := re.search(r"#\[cfg\((?:test|all\(test[^\]]*)\)\]", text)):
        at, depth = start.end(), 0
        while at < len(text):
            char = text[at]
            depth += (char == "{") - (char == "}")
            at += 1
            if depth == 0 and char in ";}":
                break
        text = text[:start.start()] + text[at:]
    return text


def expand(tree):
    """`a::{b, c::{d, self}}` to its paths, each a list of words; `as` names are dropped from the path and kept as second value."""
    tree = tree.strip()
    brace = tree.find("{")
    if brace < 0:
        path, _, name = tree.partition(" as ")
        words = [word.strip() for word in path.split("::") if word.strip()]
        return [(words, name.strip() or (words[-1] if words else ""))]
    head = [word.strip() for word in tree[:brace].split("::") if word.strip()]
    inner, parts, depth, begin = tree[brace + 1:tree.rindex("}")], [], 0, 0
    for at, char in enumerate(inner + ","):
        depth += (char == "{") - (char == "}")
        if char == "," and depth == 0:
            parts.append(inner[begin:at])
            begin = at + 1
    found = []
    for part in filter(str.strip, parts):
        for words, name in expand(part):
            if words == ["self"]:
                words, name = [], head[-1] if name == "self" else name
            found.append((head + words, name))
    return found


class Crate:
    """The modules of one crate: files, what they re-export, and what they use."""

    def __init__(self, folder):
        self.source = folder / "src"
        self.files = {}
        for file in sorted(self.source.rglob("*.rs")):
            words = list(file.relative_to(self.source).with_suffix("").parts)
            if words[-1] == "tests" or "tests" in words or words[-1].endswith("_tests"):
                continue
            self.files[() if words in (["lib"], ["main"]) else tuple(words)] = file
        self.text = {module: without_tests(code_only(file.read_text())) for module, file in self.files.items()}
        self.inline = {module: set(re.findall(r"\bmod (\w+) \{", text)) for module, text in self.text.items()}
        self.exports = {module: self.uses(module, public=True) for module in self.files}

    def uses(self, module, public):
        """The `use` lines of a module: name to absolute path. Public ones are re-exports."""
        found = {}
        for line in re.finditer(r"(?<!\w)(pub(?:\([^)]*\))?\s+)?\buse\s+([^;]+);", self.text[module]):
            if bool(line.group(1)) == public:
                for words, name in expand(re.sub(r"\s+", " ", line.group(2))):
                    if (path := self.absolute(module, words)) is not None:
                        found[name if name != "_" else f"_{len(found)}"] = path
        return found

    def absolute(self, module, words):
        """A path from the root of the crate, or nothing for paths of other crates."""
        if not words:
            return None
        if words[0] == "crate":
            return words[1:]
        base = list(module)
        if words[0] in ("self", "super"):
            while words and words[0] in ("self", "super"):
                base = base[:-1] if words[0] == "super" else base
                words = words[1:]
            return base + words
        return base + words if tuple(base + words[:1]) in self.files or words[0] in self.inline.get(module, ()) else None

    def target(self, path, seen=()):
        """The module whose file defines what `path` names."""
        module = ()
        rest = list(path)
        while rest and module + (rest[0],) in self.files:
            module += (rest.pop(0),)
        if rest and rest[0] in self.exports.get(module, {}) and (module, rest[0]) not in seen:
            return self.target(self.exports[module][rest[0]] + rest[1:], seen + ((module, rest[0]),))
        return module

    def arrows(self):
        """Module to the modules that it uses."""
        arrows = defaultdict(set)
        for module, text in self.text.items():
            paths = list(self.uses(module, public=False).values())
            body = re.sub(r"(?:pub(?:\([^)]*\))?\s+)?\buse\s+[^;]+;", "", text)
            paths += [path for path in (self.absolute(module, words.split("::")) for words in PATH.findall(body)) if path]
            # What a file re-exports and names in its own code, too, it uses.
            paths += [path for name, path in self.exports[module].items() if re.search(rf"(?<![:\w.]){name}\b", body)]
            # `child::item` without `self::`.
            for child in (other for other in self.files if other and other[:-1] == module):
                paths += [list(child) + words.split("::")[1:] for words in re.findall(rf"(?<![:\w])({child[-1]}(?:::\w+)+)", body)]
            for path in paths:
                if (used := self.target(path)) != module and used in self.files:
                    arrows[module].add(used)
        return arrows


def circles(arrows):
    """Strongly connected groups of more than one module (Tarjan), each with a shortest circle through it."""
    order, low, stack, groups, count = {}, {}, [], [], iter(range(1 << 30))

    def visit(node):
        order[node] = low[node] = next(count)
        stack.append(node)
        for other in sorted(arrows.get(node, ())):
            if other not in order:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == order[node]:
            group = set(stack[stack.index(node):])
            del stack[stack.index(node):]
            if len(group) > 1:
                groups.append(group)

    sys.setrecursionlimit(10_000)
    for node in sorted(set(arrows) | {other for used in arrows.values() for other in used}):
        if node not in order:
            visit(node)
    return [shortest(arrows, group) for group in groups]


def shortest(arrows, group):
    best = None
    for start in sorted(group):
        ways = [[start]]
        while ways and (best is None or len(ways[0]) < len(best)):
            way = ways.pop(0)
            for other in sorted(arrows.get(way[-1], set()) & group):
                if other == start:
                    best = way if best is None or len(way) < len(best) else best
                elif other not in way:
                    ways.append(way + [other])
    return best, len(group)


def main(names):
    failed = False
    for folder in crates(ROOT):
        if names and folder.name not in names:
            continue
        crate = Crate(folder)
        name = lambda module: str(crate.files[module].relative_to(ROOT))
        for circle, size in circles(crate.arrows()):
            failed = True
            print(f"{folder.relative_to(ROOT)}: {' -> '.join(name(module) for module in circle + circle[:1])} (in a group of {size} files)")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
