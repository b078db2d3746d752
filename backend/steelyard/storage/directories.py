"""UnixFS directories: one block, or, where that would be large, a trie of blocks by the hash of the name (HAMT).

A name's place in the trie is the first half of its MurmurHash3 (x64, 128 bits), a byte a level. A link's name is its byte in
hexadecimal, then the name of the entry, or nothing if several names begin with these bytes and stand one level below.

Source: specs.ipfs.tech/unixfs, "dag-pb HAMTDirectory"; when, IPIP-499, profile ``unixfs-v1-2025``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import mmh3

from steelyard.errors import InputError, VerificationError
from steelyard.storage.cid import CID
from steelyard.storage.dagpb import Kind, Link, Node, Unixfs, check_name, directory_node, encode_unixfs
from steelyard.storage.unixfs import Block, block_of

MAX_BLOCK: Final = 256 << 10
"""Bytes of the block of a directory above which it is a trie."""

LEVELS: Final = 8
"""Most levels of a trie; then the hash is used up."""

_WIDTH: Final = 256
_MURMUR3: Final = 0x22


def place(name: str) -> bytes:
    """Return where a name stands in a trie, 8 bytes: one for each level."""
    return mmh3.hash64(name.encode("utf-8"), signed=False)[0].to_bytes(8, "big")


def directory_blocks(links: Iterable[Link]) -> Iterator[Block]:
    """Build a directory.

    Args:
        links: its entries, in any order.

    Yields:
        Its blocks, children before parents; the **last** one is the root.

    Raises:
        InputError: a bad or repeated name.
    """
    node = directory_node(list(links))
    block = block_of(node, size=0)
    if len(block.data) <= MAX_BLOCK:
        yield block
    else:
        yield from _trie([(place(link.name), link) for link in node.links], 0)


def _trie(entries: Sequence[tuple[bytes, Link]], level: int) -> Iterator[Block]:
    if level == LEVELS:
        raise InputError(f"{entries[0][1].name!r} and {entries[1][1].name!r} have the same hash")
    slots: dict[int, list[tuple[bytes, Link]]] = {}
    for at, link in entries:
        slots.setdefault(at[level], []).append((at, link))
    links: list[Link] = []
    for slot in sorted(slots):
        inside = slots[slot]
        if len(inside) == 1:
            links.append(replace(inside[0][1], name=f"{slot:02X}{inside[0][1].name}"))
            continue
        for child in _trie(inside, level + 1):
            yield child
        links.append(child.link(f"{slot:02X}"))
    used = sum(1 << slot for slot in slots)
    bits = used.to_bytes((used.bit_length() + 7) // 8, "big")
    data = encode_unixfs(Unixfs(kind=Kind.SHARD, data=bits, hash_type=_MURMUR3, fanout=_WIDTH))
    yield block_of(Node(links=tuple(links), data=data), size=0)


def read_slots(cid: CID, node: Node, message: Unixfs, at: bytes) -> dict[int, Link]:
    """Check a node of a trie.

    Args:
        cid: of the node, for messages.
        node: its block.
        message: what is in it.
        at: the bytes of the hash that lead to it.

    Returns:
        Its links by the next byte of the hash; with the name of an entry, or none if it is a node below.

    Raises:
        VerificationError: it is none, or an entry stands where its name does not belong.
    """
    if (message.hash_type, message.fanout, message.size, message.sizes) != (_MURMUR3, _WIDTH, None, ()):
        raise VerificationError(f"directory {cid} is a trie of another kind than murmur3 with width 256")
    bits = message.data or b""
    used = int.from_bytes(bits[: _WIDTH // 8], "big")
    slots = [slot for slot in range(_WIDTH) if used >> slot & 1]
    if len(bits) > _WIDTH // 8 or [link.name[:2] for link in node.links] != [f"{slot:02X}" for slot in slots]:
        raise VerificationError(f"directory {cid} has other links than its bits say")
    if at and not slots:
        raise VerificationError(f"directory {cid} is an empty part of another")
    if len(at) == LEVELS:
        raise VerificationError(f"directory {cid} is deeper than {LEVELS} levels")
    found = {slot: replace(link, name=link.name[2:]) for slot, link in zip(slots, node.links, strict=True)}
    for slot, link in found.items():
        if link.name:
            _check_place(cid, link.name, at + bytes([slot]))
    return found


def _check_place(cid: CID, name: str, at: bytes) -> None:
    try:
        belongs = place(check_name(name)).startswith(at)
    except InputError as exc:
        raise VerificationError(f"directory {cid}: {exc}") from exc
    if not belongs:
        raise VerificationError(f"directory {cid} has {name!r} in another place than its hash says")
