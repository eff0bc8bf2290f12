"""ARCHITECTURE.md names files that exist, and one block's way stays short.

A path in backticks stands from the top of the repository or from `crates/`; one without a known start stands in the folder, or in the `src`, of
the path before it.
"""
import re
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "ARCHITECTURE.md").read_text()


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


if __name__ == "__main__":
    unittest.main()
