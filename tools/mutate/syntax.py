"""The compiler's syntax tree, as far as mutation needs it. Positions count bytes of UTF-8, as the compiler's do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class Node:
    """A node of the tree, of Solidity or of the assembly inside it."""

    def __init__(self, raw: Mapping[str, Any], /) -> None:
        """Wrap what the compiler printed."""
        self._raw = raw
        start, length, _ = str(raw["src"]).split(":")
        self.kind = str(raw["nodeType"])
        self.start = int(start)
        self.end = self.start + int(length)

    def word(self, name: str) -> str:
        """Return a field that is a word or a number, empty if there is none."""
        value = self._raw.get(name)
        return "" if value is None else str(value)

    def child(self, name: str) -> Node:
        """Return a field that is a node.

        Raises:
            KeyError: There is no such field, or it is empty.
        """
        value = self._raw[name]
        if value is None:
            raise KeyError(name)
        return Node(value)

    def has(self, name: str) -> bool:
        """Tell whether a field is there and not empty."""
        return bool(self._raw.get(name))

    def children(self, name: str) -> list[Node]:
        """Return a field that is a list of nodes; places left out in a tuple are passed over."""
        return [Node(value) for value in self._raw.get(name) or () if value is not None]

    def type(self) -> str:
        """Return the type of an expression as Solidity writes it, empty for what has none."""
        described = self._raw.get("typeDescriptions") or {}
        return str(described.get("typeString") or "")

    def parts(self) -> Iterator[tuple[str, Node]]:
        """Yield the nodes directly below, each with the name of the field it is in."""
        for name, value in self._raw.items():
            for item in value if isinstance(value, list) else (value,):
                if isinstance(item, dict) and "nodeType" in item and "src" in item:
                    yield name, Node(item)


def walk(
    node: Node, above: tuple[Node, ...] = (), field: str = ""
) -> Iterator[tuple[Node, tuple[Node, ...], str]]:
    """Yield every node of a tree, outer before inner, with those it is in, and the field of its parent that it is in."""
    yield node, above, field
    for name, part in node.parts():
        yield from walk(part, (*above, node), name)


def next_members(trees: Mapping[str, Node]) -> dict[str, str]:
    """Return, by the number the compiler gave to a member of an enum, the name of the member that follows it."""
    following: dict[str, str] = {}
    for tree in trees.values():
        for node, _, _ in walk(tree):
            if node.kind == "EnumDefinition":
                members = node.children("members")
                for i, member in enumerate(members):
                    following[member.word("id")] = members[(i + 1) % len(members)].word("name")
    return following
