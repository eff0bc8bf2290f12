"""Tests of import_circles.py on small crates that they make."""
import tempfile
import unittest
from pathlib import Path

from import_circles import Crate, circles


class Circles(unittest.TestCase):
    def check(self, files, expected):
        """Files of a crate by name, and the circle that must be found: file names, or nothing."""
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                file = Path(folder, "src", name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
            crate = Crate(Path(folder))
            found = [[crate.files[module].name for module in circle] for circle, _ in circles(crate.arrows())]
        self.assertEqual(found, expected)

    def test_two_files_that_use_each_other(self):
        self.check({"lib.rs": "mod a;\nmod b;", "a.rs": "use crate::b::B;\npub struct A(B);", "b.rs": "use super::a::A;\npub struct B(Box<A>);"},
                   [["a.rs", "b.rs"]])

    def test_a_reexport_is_followed_to_where_the_item_stands(self):
        files = {"lib.rs": "mod a;\nmod b;\npub use a::A;\npub use b::{B, C};", "a.rs": "use crate::{C,\n B};\npub struct A;"}
        self.check({**files, "b.rs": "pub struct B;\npub struct C;"}, [])
        self.check({**files, "b.rs": "pub struct B(crate::A);\npub struct C;"}, [["a.rs", "b.rs"]])

    def test_a_parent_that_only_reexports_is_in_no_circle(self):
        child = "use super::Part;\npub struct Child(Part);"
        self.check({"lib.rs": "mod p;", "p.rs": "mod child;\npub use child::Child;\npub struct Part;", "p/child.rs": child}, [])
        self.check({"lib.rs": "mod p;", "p.rs": "mod child;\npub use child::Child;\npub struct Part(Child);", "p/child.rs": child}, [["p.rs", "child.rs"]])

    def test_tests_comments_and_strings_do_not_count(self):
        quiet = "// use crate::b::B;\n#[cfg(test)]\nmod tests { use crate::b::B; }\nconst TEXT: &str = \"; use crate::b::B;\";\npub struct A;"
        self.check({"lib.rs": "mod a;\nmod b;", "a.rs": quiet, "b.rs": "use crate::a::A;\npub struct B(A);"}, [])


if __name__ == "__main__":
    unittest.main()
