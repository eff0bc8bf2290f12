"""Packs (docs/format.md section 4): every byte of one is checked."""

import lz4.block
import zstandard
from blake3 import blake3

from crypto import TAG, Aead, context, derive, digest, hpke_open
from encoding import Cursor, Refused, require

HEADER, FOOTER, ENTRY, PAGE_ENTRIES = 192, 64, 56, 1024


class Keys:
    """What opens the objects of one chain: repository id, suite, metadata key M, hash secret H, and the chain's private key."""

    def __init__(self, suite, repository, secrets, chain_private):
        self.suite, self.repository, self.chain_private = suite, repository, chain_private
        self.metadata_key, hash_secret = secrets
        self.hash_key = derive("coffer v1 block hash", hash_secret, repository)

    def context(self, key):
        return context(self.repository, key)

    def metadata(self, key):
        """The cipher of a map's pages or a pack's trailer."""
        return Aead(self.suite, derive("coffer v1 metadata object", self.metadata_key, self.context(key)))

    def pack(self, key, sealed):
        """The cipher of a pack's frames."""
        if self.suite == 0:
            return Aead(0, derive("coffer v1 no encryption pack", self.context(key)))
        require(self.chain_private is not None, "no key at hand opens this chain")
        return Aead(1, hpke_open(self.chain_private, sealed, b"coffer v1 pack key" + self.context(key)))


def open_page(cipher, c_key, kind, offset, stored):
    """The payload of a sealed page: of a map by its kind, of a trailer by `T`."""
    nonce = offset.to_bytes(8, "little") + bytes(4)
    return cipher.open(f"page {kind} at {offset}", nonce, bytes([kind]) + c_key, stored[:-TAG], stored[-TAG:])


def decompress(codec, stored, most):
    """The plain bytes of a block, which has at most `most`."""
    try:
        if codec == 0:
            return stored
        if codec == 1:
            return lz4.block.decompress(stored, uncompressed_size=most)
        require(codec == 2, f"frame: codec {codec} is not known")
        return zstandard.ZstdDecompressor().decompress(stored, max_output_size=most, allow_extra_data=False)
    except (lz4.block.LZ4BlockError, zstandard.ZstdError) as error:
        raise Refused(f"frame: {error}") from error


def split_word(word):
    length, codec = word & 0xFFFFFF, word >> 24
    require(1 <= length <= 1 << 20 and codec <= 2, "frame: length or codec")
    return length, codec


class Pack:
    """A pack as `info`, its entry in the pack table, describes it."""

    def __init__(self, keys, key, number, block_size, info, data):
        self.keys, self.key, self.block_size, self.info, self.data = keys, key, block_size, info, data
        self.c_key = keys.context(key)
        require(len(data) == info["length"], f"{key}: not as long as the pack table says")
        self.read_header(number)
        metadata = keys.metadata(key)
        self.read_footer(metadata)
        self.entries = self.read_trailer(metadata)
        self.frames = self.read_frames(keys.pack(key, info["sealed"]))

    def read_header(self, number):
        cursor = Cursor("pack header", self.data[:HEADER])
        require(cursor.take(8) == b"COFPACK1" and cursor.number(1) == self.keys.suite, "pack header: magic or suite")
        cursor.zeroes(3)
        require(cursor.number(4) == self.block_size and cursor.number(4) == number, "pack header: block size or number")
        cursor.zeroes(4)
        require(cursor.take(16) == self.keys.repository, "pack header: of another repository")
        require(cursor.take(32) == self.c_key, "pack header: belongs under another key")
        require(cursor.take(80) == (self.info["sealed"] or bytes(80)), "pack header: another key than in the pack table")
        cursor.zeroes(24)
        require(cursor.take(16) == digest(self.data[: HEADER - 16])[:16], "pack header: its checksum is wrong")

    def read_footer(self, metadata):
        at = len(self.data) - FOOTER
        footer = self.data[at:]
        cursor = Cursor("pack footer", footer)
        pages = -(-self.info["frames"] // PAGE_ENTRIES)
        require(cursor.take(8) == b"COFPEND1", "pack footer: magic")
        require(cursor.number(4) == self.info["frames"] and cursor.number(4) == pages, "pack footer: frames or pages")
        require(cursor.number(8) == self.info["trailer"], "pack footer: offset of the trailer")
        cursor.zeroes(24)
        aad = b"F" + self.c_key + self.data[:HEADER] + footer[:48]
        metadata.open("pack footer", at.to_bytes(8, "little") + bytes(4), aad, b"", footer[48:])

    def read_trailer(self, metadata):
        entries, at, left = [], self.info["trailer"], self.info["frames"]
        for said in self.info["pages"]:
            count = min(left, PAGE_ENTRIES)
            stored = self.data[at : at + count * ENTRY + TAG]
            require(digest(stored) == said, f"trailer page at {at}: not what the pack table says")
            page = Cursor("trailer page", open_page(metadata, self.c_key, ord("T"), at, stored))
            for _ in range(count):
                entries.append((page.number(4), *split_word(page.number(4)), page.take(32), page.take(16)))
            page.finish()
            at, left = at + len(stored), left - count
        require(left == 0 and at + FOOTER == len(self.data), "pack: its trailer has another length")
        blocks = [entry[0] for entry in entries]
        require(all(a < b for a, b in zip(blocks, blocks[1:])), "trailer: blocks do not ascend")
        require([blocks[0], blocks[-1]] == self.info["blocks"], "trailer: first and last block")
        return entries

    def read_frames(self, cipher):
        """Offset, length, block and plain bytes of each frame."""
        frames, at = [], HEADER
        for ordinal, (block, length, codec, said, tag) in enumerate(self.entries):
            head, sealed = self.data[at : at + 8], self.data[at + 8 : at + 8 + length]
            require(head == ordinal.to_bytes(4, "little") + (length | codec << 24).to_bytes(4, "little"), "frame: header")
            require(self.data[at + 8 + length : at + 24 + length] == tag, "frame: another tag than in the trailer")
            plain = cipher.open(f"frame {ordinal}", head[:4] + bytes(8), self.c_key + head, sealed, tag)
            plain = decompress(codec, plain, self.block_size)
            require(0 < len(plain) <= self.block_size and (codec == 0 or length < len(plain)), "frame: length of the block")
            require(blake3(plain, key=self.keys.hash_key).digest() == said and any(plain), "frame: content")
            frames.append((at, length + 24, block, plain))
            at += length + 24
        require(at == self.info["trailer"], "pack: frames do not end where the trailer begins")
        return frames
