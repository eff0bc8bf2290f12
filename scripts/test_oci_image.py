"""Tests of oci_image.py: the same files make the same bytes, and what is damaged or forgotten is found."""

import io
import os
import pathlib
import tarfile
import tempfile
import unittest

from oci_image import ImageError, build, check


class Images(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.files = pathlib.Path(holder.name)
        (self.files / "program").write_bytes(b"\x7fELF a program")
        (self.files / "program").chmod(0o755)
        (self.files / "tree/below").mkdir(parents=True)
        (self.files / "tree/below/text").write_text("a licence")
        (self.files / "tree/link").symlink_to("below/text")

    def build(self, name="localhost/coffer:1", entrypoint="/usr/bin/program", user="65532:65532", epoch=86400, more=()):
        pairs = [f"{self.files}/program=/usr/bin/program", f"{self.files}/tree=/usr/share/tree", *more]
        return build(pairs, name, entrypoint, user, epoch, "amd64", {"a": "b"})

    def test_the_same_files_make_the_same_bytes_whatever_their_times(self):
        first = self.build()
        os.utime(self.files / "program", (1, 1))
        os.utime(self.files / "tree/below", (2, 2))
        self.assertEqual(first, self.build())
        (self.files / "program").write_bytes(b"\x7fELF b program")
        self.assertNotEqual(first, self.build())

    def test_what_was_put_in_is_there_with_its_parents_and_belongs_to_root(self):
        content = check(self.build())["content"]
        self.assertEqual(
            {path: (item.mode, item.type) for path, item in content.items()},
            {
                "/usr": (0o755, tarfile.DIRTYPE),
                "/usr/bin": (0o755, tarfile.DIRTYPE),
                "/usr/bin/program": (0o755, tarfile.REGTYPE),
                "/usr/share": (0o755, tarfile.DIRTYPE),
                "/usr/share/tree": (0o755, tarfile.DIRTYPE),
                "/usr/share/tree/below": (0o755, tarfile.DIRTYPE),
                "/usr/share/tree/below/text": (0o644, tarfile.REGTYPE),
                "/usr/share/tree/link": (0o777, tarfile.SYMTYPE),
            },
        )
        self.assertEqual({(item.uid, item.gid, item.mtime, item.uname) for item in content.values()}, {(0, 0, 86400, "")})

    def test_the_config_says_how_to_run_it(self):
        found = check(self.build())
        config = found["config"]
        self.assertEqual(found["name"], "localhost/coffer:1")
        self.assertEqual((config["os"], config["architecture"], config["created"]), ("linux", "amd64", "1970-01-02T00:00:00Z"))
        self.assertEqual(config["config"]["User"], "65532:65532")
        self.assertEqual(config["config"]["Entrypoint"], ["/usr/bin/program"])

    def test_what_cannot_run_is_refused(self):
        for wrong in ({"entrypoint": "/usr/bin/other"}, {"more": ["/nowhere/at/all=/x"]}, {"more": ["no-path"]},
                      {"more": [f"{self.files}/program=/a/../../b"]}):  # fmt: skip
            with self.subTest(wrong), self.assertRaises(ImageError):
                self.build(**wrong)

    def test_a_damaged_blob_is_found(self):
        with tarfile.open(fileobj=io.BytesIO(self.build())) as archive:
            items = [(item, archive.extractfile(item).read() if item.isfile() else b"") for item in archive]
        blobs = [item.name for item, _ in items if item.name.startswith("blobs/sha256/")]
        self.assertEqual(len(blobs), 3)
        for damaged in blobs:
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w") as archive:
                for item, data in items:
                    archive.addfile(item, io.BytesIO(data[:-1] + b"?" if item.name == damaged else data))
            with self.subTest(damaged), self.assertRaises(ImageError):
                check(buffer.getvalue())


if __name__ == "__main__":
    unittest.main()
