"""Suites, derived keys, HPKE and signatures (docs/format.md section 3)."""

import hmac

from blake3 import blake3
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from encoding import Refused, require

TAG = 16


def digest(data):
    return blake3(data).digest()


def derive(context, *material):
    return blake3(b"".join(material), derive_key_context=context).digest()


def context(repository, key):
    """C(key)."""
    return derive("coffer v1 object context", repository, key.encode())


class Aead:
    """AES-256-GCM in suite 1, a keyed hash beside plain bytes in suite 0."""

    def __init__(self, suite, key):
        self.suite, self.key = suite, key

    def open(self, what, nonce, aad, sealed, tag):
        if self.suite == 0:
            said = blake3(nonce + len(aad).to_bytes(8, "little") + aad + sealed, key=self.key).digest()[:TAG]
            require(hmac.compare_digest(said, tag), f"{what}: the tag does not fit")
            return sealed
        try:
            return AESGCM(self.key).decrypt(nonce, sealed + tag, aad)
        except InvalidTag:
            raise Refused(f"{what}: the tag does not fit") from None


# HPKE, RFC 9180: base mode, DHKEM(X25519, HKDF-SHA256) = 0x0020, HKDF-SHA256 = 1, AES-256-GCM = 2.

KEM_SUITE = b"KEM" + bytes.fromhex("0020")
HPKE_SUITE = b"HPKE" + bytes.fromhex("002000010002")


def _extract(salt, material):
    return hmac.digest(salt or bytes(32), material, "sha256")


def _expand(key, info, length):
    out, block, count = b"", b"", 1
    while len(out) < length:
        block = hmac.digest(key, block + info + bytes([count]), "sha256")
        out, count = out + block, count + 1
    return out[:length]


def _labeled_extract(suite, salt, label, material):
    return _extract(salt, b"HPKE-v1" + suite + label + material)


def _labeled_expand(suite, key, label, info, length):
    return _expand(key, length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info, length)


def hpke_open(private, sealed, info):
    """The 32 bytes that were sealed to the X25519 key `private`."""
    require(len(sealed) == 80, "sealed secret: not 80 bytes")
    key = X25519PrivateKey.from_private_bytes(private)
    encapsulated = sealed[:32]
    try:
        shared = key.exchange(X25519PublicKey.from_public_bytes(encapsulated))
    except ValueError as error:
        raise Refused(f"sealed secret: {error}") from error
    kem_context = encapsulated + key.public_key().public_bytes_raw()
    prk = _labeled_extract(KEM_SUITE, b"", b"eae_prk", shared)
    secret = _labeled_expand(KEM_SUITE, prk, b"shared_secret", kem_context, 32)
    schedule = b"\0" + _labeled_extract(HPKE_SUITE, b"", b"psk_id_hash", b"")
    schedule += _labeled_extract(HPKE_SUITE, b"", b"info_hash", info)
    prk = _labeled_extract(HPKE_SUITE, secret, b"secret", b"")
    aead_key = _labeled_expand(HPKE_SUITE, prk, b"key", schedule, 32)
    nonce = _labeled_expand(HPKE_SUITE, prk, b"base_nonce", schedule, 12)
    try:
        return AESGCM(aead_key).decrypt(nonce, sealed[32:], b"")
    except InvalidTag:
        raise Refused("sealed secret: it does not open with this key") from None


def x25519_public(private):
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def ed25519_public(seed):
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def check_signature(kind, public, payload, signature):
    message = b"coffer v1 " + kind.encode() + b"\n" + payload
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        raise Refused(f"{kind}: the signature is wrong") from None
