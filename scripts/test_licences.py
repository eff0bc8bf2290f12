"""Tests of licences.py: what it lets through is what gets built in."""

import unittest

from licences import problems, satisfied

RULES = {
    "licenses": {"allow": ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"],
                 "exceptions": [{"crate": "special", "allow": ["MPL-2.0"]}]},
    "sources": {"allow-registry": ["https://registry.example/index"]},
}  # fmt: skip


class Expressions(unittest.TestCase):
    def test_and_or_with_and_brackets(self):
        allowed = set(RULES["licenses"]["allow"])
        for expression, expected in (
            ("MIT", True),
            ("GPL-3.0", False),
            ("GPL-3.0 OR MIT", True),
            ("MIT/Apache-2.0", True),
            ("GPL-3.0 AND MIT", False),
            ("ISC AND (GPL-3.0 OR MIT)", True),
            ("ISC AND MIT AND OpenSSL", False),
            ("MIT OR ISC AND GPL-3.0", True),
            ("Apache-2.0 WITH LLVM-exception", True),
            ("Apache-2.0", False),
        ):
            with self.subTest(expression):
                self.assertEqual(satisfied(expression, allowed), expected)

    def test_nonsense_is_an_error_and_no_yes(self):
        for expression in ("MIT MIT", "(MIT", "MIT OR", ""):
            with self.subTest(expression), self.assertRaises(ValueError):
                satisfied(expression, {"MIT"})


class Packages(unittest.TestCase):
    def check(self, **changes):
        package = {"name": "a", "version": "1.0.0", "license": "MIT",
                   "source": "registry+https://registry.example/index"} | changes  # fmt: skip
        return len(list(problems([package], RULES)))

    def test_each_fault_is_found(self):
        self.assertEqual(self.check(), 0)
        self.assertEqual(self.check(license="MPL-2.0"), 1)
        self.assertEqual(self.check(license="MPL-2.0", name="special"), 0)
        self.assertEqual(self.check(license=None), 1)
        self.assertEqual(self.check(source="git+https://elsewhere.example"), 1)
        self.assertEqual(self.check(source=None, license=None), 0)


if __name__ == "__main__":
    unittest.main()
