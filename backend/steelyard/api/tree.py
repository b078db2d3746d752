"""Finds the endpoint of a path. Paths are matched as they were sent: a reference in them is one segment, percent-encoded."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from steelyard.api.route import Endpoint

_SEGMENT: Final = re.compile(r"\{([a-z_]+)\}(.*)", re.ASCII)


@dataclass(slots=True)
class Place:
    """What a path leads to.

    Attributes:
        template: the path with the names of its parameters.
        methods: endpoints by method.
    """

    template: str = ""
    methods: dict[str, Endpoint] = field(default_factory=dict)


@dataclass(slots=True)
class _Node:
    place: Place = field(default_factory=Place)
    children: dict[bytes, _Node] = field(default_factory=dict)
    # Parameters, each with the text that the segment must end in; the longest one first.
    parameters: list[tuple[str, bytes, _Node]] = field(default_factory=list)


class Tree:
    """All paths of the service."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        """Take the endpoints.

        Raises:
            ValueError: two have the same path and method, or the same name.
        """
        self._root = _Node()
        self._static: dict[bytes, Place] = {}
        names: set[str] = set()
        for endpoint in endpoints:
            place = self._place(endpoint.path)
            if endpoint.method in place.methods or endpoint.name in names:
                raise ValueError(f"{endpoint.method} {endpoint.path} ({endpoint.name}) is there twice")
            names.add(endpoint.name)
            place.methods[endpoint.method] = endpoint

    def find(self, raw_path: bytes) -> tuple[Place, list[tuple[str, bytes]]] | None:
        """Return what a path leads to, and its parameters, still percent-encoded; None if there is nothing."""
        place = self._static.get(raw_path)
        if place is not None:
            return place, []
        node, values = self._root, []
        for segment in raw_path.split(b"/")[1:]:
            child = node.children.get(segment)
            if child is None:
                for name, suffix, candidate in node.parameters:
                    if len(segment) > len(suffix) and segment.endswith(suffix):
                        values.append((name, segment[: len(segment) - len(suffix)]))
                        child = candidate
                        break
                else:
                    return None
            node = child
        return (node.place, values) if node.place.methods else None

    def _place(self, path: str) -> Place:
        node = self._root
        for segment in path.split("/")[1:]:
            match = _SEGMENT.fullmatch(segment)
            if match is None:
                node = node.children.setdefault(segment.encode(), _Node())
                continue
            name, suffix = match[1], match[2].encode()
            found = [child for old, end, child in node.parameters if (old, end) == (name, suffix)]
            if not found:
                found = [_Node()]
                node.parameters.append((name, suffix, found[0]))
                node.parameters.sort(key=lambda item: -len(item[1]))
            node = found[0]
        node.place.template = path
        if "{" not in path:
            self._static[path.encode()] = node.place
        return node.place
