from __future__ import annotations

import base64
import hashlib

import pytest

from steelyard.errors import InputError
from steelyard.storage.cid import (
    CID,
    Codec,
    cid_from_bytes,
    cid_of,
    cid_to_bytes,
    codec_of,
    decode_cid,
    digest_of,
    encode_cid,
    parse_cid,
)

EMPTY = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"


def test_known_identifier_of_the_empty_block() -> None:
    assert cid_of(b"") == EMPTY


@pytest.mark.parametrize("codec", list(Codec))
def test_digest_and_codec_come_back(codec: Codec) -> None:
    digest = hashlib.sha256(b"x").digest()
    cid = encode_cid(digest, codec=codec)
    assert decode_cid(cid) == (codec, digest)
    assert (codec_of(cid), digest_of(cid)) == (codec, digest)
    assert parse_cid(cid) == cid


def test_binary_form_comes_back() -> None:
    raw = cid_to_bytes(CID(EMPTY))
    assert raw[:4] == b"\x01\x55\x12\x20" and len(raw) == 36
    assert cid_from_bytes(raw) == EMPTY


def _text(raw: bytes) -> str:
    return "b" + base64.b32encode(raw).decode().rstrip("=").lower()


@pytest.mark.parametrize(
    "text",
    [
        "",
        EMPTY[1:],
        EMPTY.upper(),
        "B" + EMPTY[1:],
        EMPTY + "=",
        EMPTY + "\n",
        EMPTY[:-1],
        EMPTY + "a",
        # The last character carries three bits of the digest and two that must be zero.
        EMPTY[:-1] + "v",
        "ipfs://" + EMPTY,
        EMPTY + "/a",
        "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH",
        _text(b"\x01\x71\x12\x20" + bytes(32)),  # dag-cbor
        _text(b"\x01\x55\x00\x20" + bytes(32)),  # identity
        _text(b"\x01\x55\x16\x20" + bytes(32)),  # sha3-256
        _text(b"\x02\x55\x12\x20" + bytes(32)),  # version 2
        "b" + "é" * 58,
    ],
)
def test_every_other_spelling_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_cid(text)


@pytest.mark.parametrize(
    "raw", [b"", b"\x12\x20" + bytes(32), b"\x01\x55\x12\x20" + bytes(31), b"\x01\x55\x00\x00"]
)
def test_every_other_binary_form_is_refused(raw: bytes) -> None:
    with pytest.raises(InputError):
        cid_from_bytes(raw)


def test_a_short_digest_is_refused() -> None:
    with pytest.raises(InputError):
        encode_cid(bytes(31))
