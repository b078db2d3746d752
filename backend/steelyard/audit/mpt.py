"""Proofs of inclusion and of absence in a Merkle-Patricia trie, and the root of a list.

Source: Ethereum Yellow Paper, appendix D. The root is trusted and the nodes are not; each node is hashed
before it is read, so what a hostile prover can still choose is which true nodes to show, and in how many.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from steelyard.domain import rlp
from steelyard.domain.hash import keccak256
from steelyard.errors import ProofError

EMPTY_ROOT: Final = keccak256(b"\x80")
"""Root of a trie without entries."""


def prove(root: bytes, key: bytes, nodes: Sequence[bytes]) -> bytes | None:
    """Return what a trie holds under a key, or None if the nodes prove that it holds nothing.

    Args:
        root: Hash of the root node, 32 bytes, trusted.
        key: The key as the trie uses it (already hashed where the trie is a secure one).
        nodes: RLP of the nodes on the way, from the root down, without those that stand inside their parents.

    Raises:
        ProofError: a node is missing, superfluous, malformed, or not the one its parent names.
    """
    unread = list(reversed(nodes))
    value = None if root == EMPTY_ROOT else _walk(root, _nibbles(key), unread)
    if unread:
        raise ProofError(f"{len(unread)} of {len(nodes)} proof nodes are superfluous")
    return value


def outer(nodes: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the nodes of an ``eth_getProof`` as :func:`prove` takes them.

    Without the root of an empty trie, and without nodes that stand inside their parents, which some clients list besides.
    """
    return tuple(
        node for index, node in enumerate(nodes) if len(node) >= 32 or (index == 0 and node != b"\x80")
    )


def root_of(values: Sequence[bytes]) -> bytes:
    """Return the root of the trie of a list: values by the RLP of their index, as a block has its receipts and transactions.

    Source: Yellow Paper 4.3.2 and appendix D. No key begins with another one, so no branch has a value.
    """
    pairs = sorted((_nibbles(rlp.encode(rlp.encode_int(index))), value) for index, value in enumerate(values))
    return keccak256(rlp.encode(_built(pairs, 0))) if pairs else EMPTY_ROOT


def _built(pairs: Sequence[tuple[bytes, bytes]], depth: int) -> rlp.Item:
    """Return the node over sorted pairs of path and value whose paths are alike up to ``depth``."""
    first, last = pairs[0][0], pairs[-1][0]
    if len(pairs) == 1:
        return _prefixed(first[depth:], is_leaf=True), pairs[0][1]
    fork = depth
    while first[fork] == last[fork]:
        fork += 1
    if fork > depth:
        return _prefixed(first[depth:fork], is_leaf=False), _reference(_built(pairs, fork))
    children: list[rlp.Item] = []
    for nibble in range(16):
        part = [pair for pair in pairs if pair[0][depth] == nibble]
        children.append(_reference(_built(part, depth + 1)) if part else b"")
    return (*children, b"")


def _reference(node: rlp.Item) -> rlp.Item:
    raw = rlp.encode(node)
    return node if len(raw) < 32 else keccak256(raw)


def _prefixed(path: bytes, *, is_leaf: bool) -> bytes:
    """Return the hex-prefix encoding of a path of nibbles."""
    odd = len(path) & 1
    nibbles = bytes([2 * is_leaf + odd]) + (b"" if odd else b"\0") + path
    return bytes(high << 4 | low for high, low in zip(nibbles[::2], nibbles[1::2], strict=True))


def _walk(root: bytes, path: bytes, unread: list[bytes]) -> bytes | None:
    child: rlp.Item = root
    while True:
        node = _open(child, unread)
        if len(node) == 17:
            if not path:
                return rlp.string(node[16]) or None
            child, path = node[path[0]], path[1:]
            if child == b"":
                return None
        elif len(node) == 2:
            is_leaf, part = _compact(rlp.string(node[0]))
            if is_leaf:
                value = rlp.string(node[1])
                if not value:
                    raise ProofError("a leaf of the proof is empty")
                return value if part == path else None
            if not part:
                raise ProofError("an extension of the proof is empty")
            if path[: len(part)] != part:
                return None
            child, path = node[1], path[len(part) :]
        else:
            raise ProofError(f"a proof node has {len(node)} items, not 2 or 17")


def _open(child: rlp.Item, unread: list[bytes]) -> tuple[rlp.Item, ...]:
    """Return the node that a reference names: itself if it stands in its parent, else the proof's next."""
    if isinstance(child, tuple):
        if len(rlp.encode(child)) >= 32:
            raise ProofError("a proof node of 32 bytes or more stands inside its parent")
        return child
    if len(child) != 32:
        raise ProofError("a proof node names a child by neither hash nor node")
    if not unread:
        raise ProofError("the proof is cut short")
    raw = unread.pop()
    if keccak256(raw) != child:
        raise ProofError("a proof node is not the one that its parent, or the root, names")
    return rlp.decode_list(raw)


def _nibbles(data: bytes) -> bytes:
    return bytes(half for byte in data for half in (byte >> 4, byte & 15))


def _compact(data: bytes) -> tuple[bool, bytes]:
    """Return whether a hex-prefix encoding is a leaf's, and its nibbles."""
    nibbles = _nibbles(data)
    if not nibbles or nibbles[0] > 3:
        raise ProofError("a path in the proof has no valid prefix")
    is_odd = nibbles[0] & 1
    if not is_odd and nibbles[1]:
        raise ProofError("a path in the proof has dirty padding")
    return nibbles[0] >= 2, nibbles[2 - is_odd :]
