"""The mutation operators of inline assembly."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from .mutant import Change
from .syntax import Node, walk

OPCODES = {
    "add": "sub",
    "sub": "add",
    "mul": "div",
    "div": "mul",
    "mod": "div",
    "lt": "gt",
    "gt": "lt",
    "slt": "sgt",
    "sgt": "slt",
    "and": "or",
    "or": "and",
    "xor": "and",
    "shl": "shr",
    "shr": "shl",
}
COMMUTES = {"add", "mul", "and", "or", "xor", "eq", "addmod", "mulmod"}


def yul_changes(block: Node, source: bytes) -> Iterator[Change]:
    """Yield the changes of a block of assembly: opcodes, numbers, statements left out, arguments exchanged."""
    for node, _, _ in walk(block):
        if node.kind == "YulFunctionCall":
            name = node.child("functionName")
            opcode = name.word("name")
            if opcode in OPCODES:
                yield Change("opcode", name.start, name.end, OPCODES[opcode])
            if opcode not in COMMUTES:
                yield from _exchanged(node.children("arguments"), source)
        elif node.kind == "YulLiteral" and node.word("kind") == "number":
            yield from _numbers(node, source)
        elif node.kind in ("YulExpressionStatement", "YulAssignment"):
            yield Change("assembly", node.start, node.end, "{}")


def _numbers(node: Node, source: bytes) -> Iterator[Change]:
    text = source[node.start : node.end].decode()
    value = int(text, 0)
    for new in sorted({value + 1, value - 1, 0} - {value, -1}):
        yield Change("literal", node.start, node.end, hex(new) if text.startswith("0x") else str(new))


def _exchanged(arguments: list[Node], source: bytes) -> Iterator[Change]:
    for a, b in pairwise(arguments):
        first, between = source[a.start : a.end], source[a.end : b.start]
        yield Change("arguments", a.start, b.end, (source[b.start : b.end] + between + first).decode())
