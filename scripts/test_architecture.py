"""ARCHITECTURE.md names files that exist, and one block's way stays short. The crates know each other as it draws them, and no library speaks the command line.

A path in backticks stands from the top of the repository or from `crates/`; one without a known start stands in the folder, or in the `src`, of
the path before it.
"""
import re
import tomllib
import unittest
from pathlib import Path

from import_circles import crates, without_tests

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "ARCHITECTURE.md").read_text()
# An option of a program within a text, with the word before it if that is a program's name.
FOREIGN_OR_FLAG = re.compile(r"(?:\bcp |[\"`( ])--[a-z][a-z-]+")


def known_crates():
    """Each crate of the workspace that is shipped or a model, and those that it depends on (tests of it left out)."""
    known = {}
    for folder in crates(ROOT):
        manifest = tomllib.loads((folder / "Cargo.toml").read_text())
        name = manifest["package"]["name"].removeprefix("coffer-")
        if name != "tests":
            known[name] = {other.removeprefix("coffer-") for other in manifest.get("dependencies", {}) if other.startswith("coffer-")}
    return known


def section(title):
    """What stands under a heading."""
    return re.search(rf"^## {re.escape(title)}.*?\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S)[1]


def files(text):
    """Every Rust file or folder that `text` names, as (name, path or None)."""
    before = ROOT
    for name in re.findall(r"`([\w./-]+(?:\.rs|/))`", text):
        src = next((folder for folder in [before, *before.parents] if folder.name == "src"), before)
        starts = [ROOT, ROOT / "crates", before, src]
        path = next((start / name for start in starts if (start / name).exists()), None)
        if path is not None:
            before = path.parent if path.is_file() else path
        yield name, path


class Architecture(unittest.TestCase):
    def test_every_file_exists(self):
        missing = [name for name, path in files(TEXT) if path is None]
        self.assertEqual(missing, [])

    def test_a_wrong_name_is_seen(self):
        self.assertEqual([name for name, path in files("`engine/src/backup/no_such.rs`") if path is None], ["engine/src/backup/no_such.rs"])

    def test_one_blocks_way_is_short(self):
        paths = {path for _, path in files(section("One block's way"))}
        self.assertGreater(len(paths), 5)
        self.assertLessEqual(len(paths), 10)
        self.assertLessEqual(len({path.parent for path in paths}), 6)


def code(folder):
    """The Rust files of a crate without tests, as (path, text without comments)."""
    for file in sorted((folder / "src").rglob("*.rs")):
        if "tests" not in file.stem and "tests" not in file.parts:
            yield file, re.sub(r"^\s*//.*$", "", without_tests(file.read_text()), flags=re.M)


class Words(unittest.TestCase):
    # Programs that are called: a copy, `coffer` itself in Jobs of the controller, PostgreSQL's own.
    FOREIGN = {"cp --reflink"}
    CALLS = {"controller/src/location/prune.rs", "plugins/postgres/src/programs.rs"}

    def test_no_message_below_the_command_line_names_one_of_its_flags(self):
        folders = [folder for folder in crates(ROOT) if folder.relative_to(ROOT).parts[0] != "cli" and folder.name not in ("sim", "tests")]
        self.assertGreater(len(folders), 6)
        found = []
        for folder in folders:
            for file, text in code(folder):
                for word in FOREIGN_OR_FLAG.findall(text):
                    place = str(file.relative_to(ROOT))
                    if word.strip('`"( ') not in self.FOREIGN and place not in self.CALLS:
                        found.append(f"{file.relative_to(ROOT)}: {word}")
        self.assertEqual(found, [])

    def test_a_flag_is_seen(self):
        self.assertTrue(FOREIGN_OR_FLAG.search('"give a larger --memory"'))
        self.assertFalse(FOREIGN_OR_FLAG.search("let a = b - --c;"))


class Crates(unittest.TestCase):
    def test_the_picture_is_what_the_manifests_say(self):
        drawn = {}
        for line in section("Who may know whom").split("```")[1].strip().splitlines():
            name, _, known = line.partition(":")
            drawn[name.strip()] = set() if known.strip() == "nobody" else set(known.replace(",", " ").split())
        self.assertEqual(drawn, known_crates())

    def test_the_crates_form_no_circle(self):
        known, order = known_crates(), []
        while known:
            free = sorted(name for name, used in known.items() if not used & known.keys())
            self.assertNotEqual(free, [], f"a circle among {sorted(known)}")
            order += free
            known = {name: used for name, used in known.items() if name not in free}
        self.assertLess(order.index("format"), order.index("engine"))


if __name__ == "__main__":
    unittest.main()
