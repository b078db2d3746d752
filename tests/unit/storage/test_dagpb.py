from __future__ import annotations

import pytest

from steelyard.errors import InputError, VerificationError
from steelyard.storage.cid import cid_of, cid_to_bytes
from steelyard.storage.dagpb import (
    MAX_BLOCK,
    Kind,
    Link,
    Node,
    Unixfs,
    check_name,
    decode_node,
    decode_unixfs,
    directory_node,
    encode_node,
    encode_unixfs,
)

LEAF = cid_of(b"leaf")
LINK = Link(cid=LEAF, name="a", tsize=300)
NODE = Node(links=(LINK, Link(cid=LEAF, name="b", tsize=0)), data=b"\x08\x01")
HASH = b"\x0a\x24" + cid_to_bytes(LEAF)


def _link(body: bytes) -> bytes:
    return b"\x12" + bytes([len(body)]) + body


def test_a_node_comes_back() -> None:
    assert decode_node(encode_node(NODE)) == NODE


def test_the_encoding_is_the_one_of_the_specification() -> None:
    assert encode_node(Node(links=(LINK,), data=b"\x08\x01")) == (
        _link(HASH + b"\x12\x01a\x18\xac\x02") + b"\x0a\x02\x08\x01"
    )


@pytest.mark.parametrize(
    ("why", "block"),
    [
        ("data before links", b"\x0a\x02\x08\x01" + _link(HASH + b"\x12\x01a\x18\x00")),
        ("two data fields", b"\x0a\x02\x08\x01\x0a\x02\x08\x01"),
        ("no data", b""),
        ("padded length", b"\x0a\x82\x00\x08\x01"),
        ("unknown field", b"\x0a\x02\x08\x01\x1a\x00"),
        ("wrong wire type", b"\x0d\x00\x00\x00\x00"),
        ("length beyond the block", b"\x0a\x7f\x08\x01"),
        ("length of 63 bits", b"\x0a" + b"\xff" * 8 + b"\x7f"),
        ("endless varint", b"\x0a" + b"\xff" * 40),
        ("cut varint", b"\x0a\x80"),
        ("trailing bytes", b"\x0a\x02\x08\x01\x00"),
        ("link without hash", _link(b"\x12\x01a\x18\x00") + b"\x0a\x02\x08\x01"),
        ("link without size", _link(HASH + b"\x12\x01a") + b"\x0a\x02\x08\x01"),
        ("link fields out of order", _link(b"\x12\x01a" + HASH + b"\x18\x00") + b"\x0a\x02\x08\x01"),
        ("link with an unknown field", _link(HASH + b"\x12\x01a\x18\x00\x20\x00") + b"\x0a\x02\x08\x01"),
        ("name not UTF-8", _link(HASH + b"\x12\x01\xff\x18\x00") + b"\x0a\x02\x08\x01"),
        (
            "version 0 link",
            _link(b"\x0a\x22\x12\x20" + bytes(32) + b"\x12\x01a\x18\x00") + b"\x0a\x02\x08\x01",
        ),
        ("identity link", _link(b"\x0a\x05\x01\x55\x00\x01x\x12\x00\x18\x00") + b"\x0a\x02\x08\x01"),
        ("noise", b"\xde\xad\xbe\xef"),
    ],
)
def test_other_encodings_are_refused(why: str, block: bytes) -> None:
    with pytest.raises(VerificationError):
        decode_node(block)


def test_a_block_above_the_limit_is_refused() -> None:
    block = encode_node(Node(links=(), data=bytes(MAX_BLOCK)))
    with pytest.raises(VerificationError, match="limit"):
        decode_node(block)


@pytest.mark.parametrize(
    "message",
    [
        Unixfs(kind=Kind.DIRECTORY),
        Unixfs(kind=Kind.FILE, size=0),
        Unixfs(kind=Kind.FILE, data=b"ab", size=2),
        Unixfs(kind=Kind.FILE, size=1 << 62, sizes=(1, 1 << 20)),
        Unixfs(kind=Kind.SHARD, data=b"\x01", hash_type=0x22, fanout=256),
    ],
)
def test_a_unixfs_message_comes_back(message: Unixfs) -> None:
    assert decode_unixfs(encode_unixfs(message)) == message


@pytest.mark.parametrize(
    ("why", "data"),
    [
        ("empty", b""),
        ("no type", b"\x18\x00"),
        ("metadata", b"\x08\x03"),
        ("symbolic link", b"\x08\x04\x12\x04/etc"),
        ("fanout before hash", b"\x08\x05\x30\x80\x02\x28\x22"),
        ("hash twice", b"\x08\x05\x28\x22\x28\x22"),
        ("unknown type", b"\x08\x07"),
        ("mode", b"\x08\x01\x38\xa4\x03"),
        ("mtime", b"\x08\x01\x42\x02\x08\x01"),
        ("type twice", b"\x08\x01\x08\x02"),
        ("size before type", b"\x18\x00\x08\x02"),
        ("packed sizes", b"\x08\x02\x18\x02\x22\x02\x01\x01"),
        ("padded size", b"\x08\x02\x18\x81\x00"),
    ],
)
def test_other_unixfs_messages_are_refused(why: str, data: bytes) -> None:
    with pytest.raises(VerificationError):
        decode_unixfs(data)


def test_entries_are_sorted_by_bytes() -> None:
    names = ["é", "z", "Z", "a.b", "a"]
    node = directory_node([Link(cid=LEAF, name=name, tsize=4) for name in names])
    assert [link.name for link in node.links] == ["Z", "a", "a.b", "z", "é"]


def test_two_entries_with_one_name_are_refused() -> None:
    with pytest.raises(InputError, match="'a'"):
        directory_node([LINK, LINK])


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", "a\0", "x" * 256, "é" * 128, "\ud800"])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(InputError):
        check_name(name)


@pytest.mark.parametrize("name", ["a", "...", "x" * 255, "a b", "é"])
def test_good_names_pass(name: str) -> None:
    assert check_name(name) == name
