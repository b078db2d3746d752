"""Paths."""

from __future__ import annotations

import pytest

from steelyard.api.route import Answer, Call, Endpoint
from steelyard.api.tree import Tree


async def handler(call: Call) -> Answer:
    raise AssertionError


def endpoint(path: str, method: str = "GET") -> Endpoint:
    return Endpoint(
        method=method, path=path, handler=handler, name=f"{method} {path}", summary="", tag="test"
    )


TREE = Tree(
    endpoint(path)
    for path in (
        "/v1",
        "/v1/events",
        "/v1/events/stream",
        "/v1/events/{pos}",
        "/v1/a/{asset}/b/{name}",
        "/v1/export/events.csv",
        "/v1/export/{asset}.json",
        "/v1/export/{asset}.prov.json",
    )
)


@pytest.mark.parametrize(
    ("path", "template", "values"),
    [
        ("/v1", "/v1", []),
        ("/v1/events", "/v1/events", []),
        ("/v1/events/stream", "/v1/events/stream", []),
        ("/v1/events/7", "/v1/events/{pos}", [("pos", b"7")]),
        ("/v1/a/0x%2Fb/b/c.d", "/v1/a/{asset}/b/{name}", [("asset", b"0x%2Fb"), ("name", b"c.d")]),
        ("/v1/export/events.csv", "/v1/export/events.csv", []),
        ("/v1/export/x.json", "/v1/export/{asset}.json", [("asset", b"x")]),
        ("/v1/export/x.prov.json", "/v1/export/{asset}.prov.json", [("asset", b"x")]),
    ],
)
def test_a_path_leads_to_its_endpoint(path: str, template: str, values: list[tuple[str, bytes]]) -> None:
    found = TREE.find(path.encode())
    assert found is not None
    assert (found[0].template, found[1]) == (template, values)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/v2",
        "/v1/",
        "/v1/events/",
        "/v1/events/7/8",
        "//v1",
        "/v1/a/x/b",
        "/v1/export/.json",
        "/v1/a//b/c",
    ],
)
def test_other_paths_lead_nowhere(path: str) -> None:
    assert TREE.find(path.encode()) is None


def test_nothing_is_there_twice() -> None:
    with pytest.raises(ValueError, match="twice"):
        Tree([endpoint("/a"), endpoint("/a")])
