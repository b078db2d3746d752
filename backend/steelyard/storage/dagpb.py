"""The two encodings inside a UnixFS block: dag-pb (links and data) and the UnixFS message in its data.

One value has one encoding. A decoder here reads, writes the result again, and refuses the block if the bytes
differ; that one comparison covers field order, repeated fields, padded varints, unknown fields and trailing
bytes.

Sources: ipld.io/specs/codecs/dag-pb/spec, github.com/ipfs/specs UNIXFS.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from steelyard.errors import InputError, VerificationError
from steelyard.storage.cid import CID, cid_from_bytes, cid_to_bytes

MAX_BLOCK = 2 << 20
"""Largest block in bytes that is stored or fetched. Kubo and the trustless gateways carry no larger one."""

MAX_NAME = 255
"""Longest name of a directory entry in bytes of UTF-8, the limit of the common file systems."""

_VARINT, _BYTES = 0, 2
_MAX_VARINT_BYTES = 9


class Kind(enum.IntEnum):
    """Type of a UnixFS node; of a directory that is a trie, of each of its nodes. Symbolic links and metadata are refused."""

    RAW = 0
    DIRECTORY = 1
    FILE = 2
    SHARD = 5


@dataclass(frozen=True)
class Link:
    """One dag-pb link.

    Attributes:
        cid: the block it points to.
        name: name of a directory entry; empty inside a file.
        tsize: bytes of all blocks below it, itself included, each counted as often as it is linked.
    """

    cid: CID
    name: str
    tsize: int


@dataclass(frozen=True)
class Node:
    """A dag-pb node.

    Attributes:
        links: in the order of the block.
        data: the UnixFS message.
    """

    links: tuple[Link, ...]
    data: bytes


@dataclass(frozen=True)
class Unixfs:
    """A UnixFS message.

    Attributes:
        kind: file, directory, node of a directory that is a trie, or raw leaf.
        data: bytes held in this very node, or None; of a trie which places are taken.
        size: bytes of the file from this node on; None for a directory.
        sizes: bytes of the file under each link, in order.
        hash_type: of a trie, the hash of its names, as multihash numbers it.
        fanout: of a trie, the places of a node.
    """

    kind: Kind
    data: bytes | None = None
    size: int | None = None
    sizes: tuple[int, ...] = ()
    hash_type: int | None = None
    fanout: int | None = None


def check_name(name: str) -> str:
    """Return the name of a directory entry, or refuse it.

    Raises:
        InputError: empty, ``.``, ``..``, with a slash or NUL, not encodable, or longer than MAX_NAME bytes.
    """
    try:
        length = len(name.encode("utf-8"))
    except UnicodeEncodeError as exc:
        raise InputError(f"name is not valid Unicode: {name[:80]!r}") from exc
    if name in ("", ".", "..") or "/" in name or "\0" in name or length > MAX_NAME:
        raise InputError(f"not a name for a directory entry: {name[:80]!r}")
    return name


def encode_node(node: Node) -> bytes:
    """Return the block of a node, links first, as every implementation writes it."""
    out = bytearray()
    for link in node.links:
        name = link.name.encode("utf-8")
        body = b"\x0a\x24" + cid_to_bytes(link.cid) + b"\x12" + _varint(len(name)) + name
        body += b"\x18" + _varint(link.tsize)
        out += b"\x12" + _varint(len(body)) + body
    return bytes(out + b"\x0a" + _varint(len(node.data)) + node.data)


def decode_node(block: bytes) -> Node:
    """Read a dag-pb block.

    Raises:
        VerificationError: not dag-pb, not in canonical form, or above MAX_BLOCK.
    """
    if len(block) > MAX_BLOCK:
        raise VerificationError(f"dag-pb block of {len(block)} bytes is above the limit of {MAX_BLOCK}")
    links: list[Link] = []
    data = b""
    for field, value in _fields(block):
        if field == 2 and isinstance(value, bytes):
            links.append(_decode_link(value))
        elif field == 1 and isinstance(value, bytes):
            data = value
        else:
            raise VerificationError(f"dag-pb block has an unknown field {field}")
    node = Node(links=tuple(links), data=data)
    if encode_node(node) != block:
        raise VerificationError("dag-pb block is not in canonical form")
    return node


def encode_unixfs(value: Unixfs) -> bytes:
    """Return the UnixFS message of a node."""
    out = bytearray(b"\x08" + _varint(value.kind))
    if value.data is not None:
        out += b"\x12" + _varint(len(value.data)) + value.data
    if value.size is not None:
        out += b"\x18" + _varint(value.size)
    for size in value.sizes:
        out += b"\x20" + _varint(size)
    if value.hash_type is not None:
        out += b"\x28" + _varint(value.hash_type)
    if value.fanout is not None:
        out += b"\x30" + _varint(value.fanout)
    return bytes(out)


def decode_unixfs(data: bytes) -> Unixfs:
    """Read a UnixFS message.

    Raises:
        VerificationError: not UnixFS, not in canonical form, or of a kind or with a field that is not
            supported.
    """
    kind: Kind | None = None
    content: bytes | None = None
    size = hash_type = fanout = None
    sizes: list[int] = []
    for field, value in _fields(data):
        if field == 1 and value in (Kind.RAW, Kind.DIRECTORY, Kind.FILE, Kind.SHARD):
            kind = Kind(int(value))
        elif field == 2 and isinstance(value, bytes):
            content = value
        elif field == 3 and isinstance(value, int):
            size = value
        elif field == 4 and isinstance(value, int):
            sizes.append(value)
        elif field == 5 and isinstance(value, int):
            hash_type = value
        elif field == 6 and isinstance(value, int):
            fanout = value
        else:
            raise VerificationError(f"UnixFS field {field} is not supported (links, modes and times are not)")
    if kind is None:
        raise VerificationError("UnixFS message without a type")
    result = Unixfs(
        kind=kind, data=content, size=size, sizes=tuple(sizes), hash_type=hash_type, fanout=fanout
    )
    if encode_unixfs(result) != data:
        raise VerificationError("UnixFS message is not in canonical form")
    return result


def directory_node(links: Sequence[Link]) -> Node:
    """Return the node of a directory, its entries in the order of their names' bytes.

    Raises:
        InputError: a bad name, or two entries with one name.
    """
    ordered = sorted(links, key=lambda link: check_name(link.name).encode("utf-8"))
    for before, after in pairwise(ordered):
        if before.name == after.name:
            raise InputError(f"two entries have the name {after.name!r}")
    return Node(links=tuple(ordered), data=encode_unixfs(Unixfs(kind=Kind.DIRECTORY)))


def _decode_link(block: bytes) -> Link:
    cid: CID | None = None
    name = ""
    tsize = 0
    for field, value in _fields(block):
        try:
            if field == 1 and isinstance(value, bytes):
                cid = cid_from_bytes(value)
            elif field == 2 and isinstance(value, bytes):
                name = value.decode("utf-8")
            elif field == 3 and isinstance(value, int):
                tsize = value
            else:
                raise VerificationError(f"dag-pb link has an unknown field {field}")
        except (InputError, UnicodeDecodeError) as exc:
            raise VerificationError(f"dag-pb link with a bad identifier or name: {exc}") from exc
    if cid is None:
        raise VerificationError("dag-pb link without an identifier")
    return Link(cid=cid, name=name, tsize=tsize)


def _fields(block: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (field number, value) of a protobuf message that uses varints and byte strings only."""
    at = 0
    while at < len(block):
        key, at = _read_varint(block, at)
        value, at = _read_varint(block, at)
        if key & 7 == _VARINT:
            yield key >> 3, value
        elif key & 7 == _BYTES:
            # A length beyond the block gives a shorter value, and so another encoding than that of the block.
            yield key >> 3, block[at : at + value]
            at += value
        else:
            raise VerificationError(f"protobuf wire type {key & 7} is not used by dag-pb or UnixFS")


def _read_varint(block: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for byte in block[at : at + _MAX_VARINT_BYTES]:
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    raise VerificationError("protobuf varint is cut off or above 63 bits")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
