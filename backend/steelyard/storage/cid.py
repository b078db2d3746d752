"""Content identifiers: CIDv1, codec raw or dag-pb, sha2-256, in lower-case base32.

Exactly one spelling of each identifier is accepted. Everything else that the CID specification allows
(version 0, other hashes, identity hashes, other bases, upper case) is refused, so that two texts never name
the same block and an identity hash never smuggles a block past a size limit.

Source: github.com/multiformats/cid, github.com/multiformats/multibase (base32, RFC 4648 without padding).
"""

from __future__ import annotations

import base64
import enum
import hashlib
import re
from typing import NewType

from steelyard.errors import InputError

CID = NewType("CID", str)
"""A checked CIDv1 text: ``b`` and 58 characters of lower-case base32, 59 in all."""

CID_BYTES = 36
"""Length of the binary form: version, codec, hash code, hash length, 32 bytes of digest."""

DIGEST_BYTES = 32
"""Length of a SHA-256 digest."""

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_TEXT = re.compile(r"b[a-z2-7]{58}", re.ASCII)


class Codec(enum.IntEnum):
    """What the bytes of a block are."""

    RAW = 0x55
    DAG_PB = 0x70


_PREFIX = {codec: bytes((1, codec, 0x12, DIGEST_BYTES)) for codec in Codec}
_CODEC = {prefix: codec for codec, prefix in _PREFIX.items()}


def parse_cid(text: str) -> CID:
    """Check a text and return it as a CID.

    Args:
        text: the identifier, without ``ipfs://`` or a path.

    Raises:
        InputError: it is not a CIDv1 of this kind, or not its one canonical spelling.
    """
    if _TEXT.fullmatch(text):
        raw = base64.b32decode(text[1:].upper() + "======")
        # 58 characters carry 290 bits for 288: comparing the re-encoded text refuses set trailing bits.
        if raw[:4] in _CODEC and _to_text(raw) == text:
            return CID(text)
    raise InputError(
        f"not a CIDv1 (raw or dag-pb, sha2-256, base32): {text[:80]!r}; "
        "a version 0 identifier (Qm...) names another block layout and cannot be converted"
    )


def encode_cid(digest: bytes, *, codec: Codec = Codec.RAW) -> CID:
    """Return the CID of a block from its digest.

    Args:
        digest: SHA-256 of the block, 32 bytes.
        codec: what the block is.

    Raises:
        InputError: the digest is not 32 bytes.
    """
    if len(digest) != DIGEST_BYTES:
        raise InputError(f"a SHA-256 digest has 32 bytes, not {len(digest)}")
    return CID(_to_text(_PREFIX[codec] + digest))


def decode_cid(cid: str) -> tuple[Codec, bytes]:
    """Return codec and digest (32 bytes) of a CID.

    Raises:
        InputError: it is not a CID of this kind.
    """
    raw = cid_to_bytes(cid)
    return _CODEC[raw[:4]], raw[4:]


def digest_of(cid: str) -> bytes:
    """Return the SHA-256 digest (32 bytes) that a CID commits to.

    Raises:
        InputError: it is not a CID of this kind.
    """
    return cid_to_bytes(cid)[4:]


def codec_of(cid: str) -> Codec:
    """Return what the block named by a CID is.

    Raises:
        InputError: it is not a CID of this kind.
    """
    return _CODEC[cid_to_bytes(cid)[:4]]


def cid_to_bytes(cid: str) -> bytes:
    """Return the binary form (36 bytes) of a CID.

    Raises:
        InputError: it is not a CID of this kind.
    """
    return base64.b32decode(parse_cid(cid)[1:].upper() + "======")


def cid_from_bytes(raw: bytes) -> CID:
    """Return the CID of a binary form.

    Args:
        raw: 36 bytes, as in a dag-pb link.

    Raises:
        InputError: another version, codec, hash, or length.
    """
    if len(raw) != CID_BYTES or raw[:4] not in _CODEC:
        raise InputError(f"not a binary CIDv1 (raw or dag-pb, sha2-256): {raw[:40].hex()}")
    return CID(_to_text(raw))


def cid_of(block: bytes | memoryview, *, codec: Codec = Codec.RAW) -> CID:
    """Hash a block and return its CID."""
    return encode_cid(hashlib.sha256(block).digest(), codec=codec)


def base58(raw: bytes) -> str:
    """Return bytes in base58 (Bitcoin's alphabet), in which peers of libp2p are named."""
    number = int.from_bytes(raw, "big")
    text = ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58[digit] + text
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + text


def _to_text(raw: bytes) -> str:
    return "b" + base64.b32encode(raw).decode("ascii").rstrip("=").lower()
