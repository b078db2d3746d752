from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from steelyard.api import drafts
from steelyard.api.service import Limits, Options
from steelyard.service.account import Account
from tests.unit.api.writing import ORIGIN, Got, World, account

FILE = "application/octet-stream"


@pytest.fixture
def who() -> Account:
    return account()


@pytest.fixture
def single(tmp_path: Path, who: Account) -> Iterator[World]:
    options = Options(public_url=ORIGIN, limits=Limits(per_minute=0), accept_plaintext=True, quota=10_000)
    made = World(tmp_path, drafts.ENDPOINTS, options=options, owner=who)
    yield made
    made.close()


@pytest.fixture
def own(single: World, who: Account) -> str:
    return single.sign_in(who)


def _file(world: World, token: str, path: str, data: bytes, content_range: str | None = None) -> Got:
    headers = {} if content_range is None else {"content-range": content_range}
    place = f"/v1/drafts/digits/files/{path}"
    return world.ask("PUT", place, raw=data, media=FILE, token=token, headers=headers)


def test_a_shared_service_takes_no_plaintext(tmp_path: Path, who: Account) -> None:
    world = World(tmp_path, drafts.ENDPOINTS, owner=who)
    try:
        token = world.sign_in(who)
        assert _file(world, token, "a.txt", b"x").code == "plaintext-refused"
        assert world.ask("GET", "/v1/drafts/digits", token=token).code == "plaintext-refused"
        assert world.ask("POST", "/v1/drafts/digits/publish", {}, token=token).code == "plaintext-refused"
        assert not (world.market.context.home / "drafts").exists()
    finally:
        world.close()


def test_a_service_without_an_account_takes_no_plaintext(tmp_path: Path, who: Account) -> None:
    options = Options(public_url=ORIGIN, limits=Limits(per_minute=0), accept_plaintext=True)
    world = World(tmp_path, drafts.ENDPOINTS, options=options)
    try:
        assert _file(world, world.sign_in(who), "a.txt", b"x").code == "plaintext-refused"
    finally:
        world.close()


def test_plaintext_is_taken_of_the_services_own_account_only(single: World) -> None:
    assert _file(single, single.sign_in(account()), "a.txt", b"x").code == "plaintext-refused"


def test_a_file_is_taken_whole(single: World, own: str) -> None:
    assert _file(single, own, "extra%2Fa.txt", b"hello").status == 201
    shown = single.ask("GET", "/v1/drafts/digits", token=own).json
    assert shown["files"] == [{"path": "extra/a.txt", "stored": 5, "total": 5}]
    assert (single.market.context.home / "drafts/digits/files/extra/a.txt").read_bytes() == b"hello"


def test_a_file_is_taken_in_parts_and_appears_when_it_is_whole(single: World, own: str) -> None:
    assert _file(single, own, "a.bin", b"hel", "bytes 0-2/5").status == 202
    assert single.ask("GET", "/v1/drafts/digits", token=own).json["files"] == [
        {"path": "a.bin", "stored": 3, "total": 5}
    ]
    place = single.market.context.home / "drafts/digits/files/a.bin"
    assert not place.exists()
    assert _file(single, own, "a.bin", b"lo", "bytes 3-4/5").status == 201
    assert place.read_bytes() == b"hello"


@pytest.mark.parametrize("content_range", ["bytes 4-4/5", "bytes 2-3/5", "bytes 3-4/6"])
def test_a_part_that_does_not_fit_is_refused_and_says_how_far_it_is(
    single: World, own: str, content_range: str
) -> None:
    _file(single, own, "a.bin", b"hel", "bytes 0-2/5")
    got = _file(single, own, "a.bin", b"x" * (1 if "4-4" in content_range else 2), content_range)
    assert (got.code, got.headers["content-range"]) == ("range-not-satisfiable", "bytes */3")


def test_a_part_from_the_beginning_begins_anew(single: World, own: str) -> None:
    _file(single, own, "a.bin", b"hel", "bytes 0-2/5")
    assert _file(single, own, "a.bin", b"xy", "bytes 0-1/2").status == 201
    assert (single.market.context.home / "drafts/digits/files/a.bin").read_bytes() == b"xy"


def test_a_body_of_another_length_than_its_range_is_refused(single: World, own: str) -> None:
    for data in (b"h", b"hello"):
        assert _file(single, own, "a.bin", data, "bytes 0-2/9").code == "bad-parameter"


@pytest.mark.parametrize(
    "content_range", ["bytes=0-1/2", "bytes 1-0/2", "bytes 0-2/2", "bytes 0-1/*", "items 0-1/2", ""]
)
def test_a_malformed_range_is_refused(single: World, own: str, content_range: str) -> None:
    assert _file(single, own, "a.bin", b"xy", content_range).code == "bad-parameter"


@pytest.mark.parametrize(
    "path", ["..%2Fa", "%2Fetc%2Fpasswd", "a%2F..%2Fb", "a%5Cb", "C:%5Ca", "con", "a.", "a%2F%2Fb", "%E2%80%AEa", "a%2F", "."]
)  # fmt: skip
def test_a_path_that_could_leave_the_draft_is_refused(single: World, own: str, path: str) -> None:
    assert _file(single, own, path, b"x").status in (400, 404)
    assert not (single.market.context.home / "drafts/digits/files").exists()


def test_names_that_meet_on_some_system_are_refused(single: World, own: str) -> None:
    _file(single, own, "a%2Fb", b"x")
    for path in ("A%2Fb", "a%2FB", "a", "a%2Fb%2Fc"):
        assert _file(single, own, path, b"x").code == "bad-parameter"


def test_a_draft_has_so_many_bytes(single: World, own: str) -> None:
    _file(single, own, "a", b"x" * 6000)
    assert _file(single, own, "b", b"x", "bytes 0-0/4001").code == "too-large"


def test_a_name_that_no_asset_can_have_is_refused(single: World, own: str) -> None:
    for name in ("..", "a%2Fb", ".hidden", "a b"):
        assert single.ask("GET", f"/v1/drafts/{name}", token=own).status in (400, 404)


def test_a_draft_is_published_only_when_it_is_whole(single: World, own: str) -> None:
    assert single.ask("POST", "/v1/drafts/digits/publish", {}, token=own).code == "not-found"
    _file(single, own, "a", b"x")
    _file(single, own, "b", b"x", "bytes 0-0/2")
    assert single.ask("POST", "/v1/drafts/digits/publish", {}, token=own).code == "conflict"


def test_a_deleted_draft_is_gone(single: World, own: str) -> None:
    _file(single, own, "a", b"x")
    assert single.ask("DELETE", "/v1/drafts/digits", token=own).status == 204
    assert single.ask("GET", "/v1/drafts/digits", token=own).code == "not-found"
    assert not (single.market.context.home / "drafts/digits").exists()
