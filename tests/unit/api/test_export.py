"""Exports over HTTP: the same text, whole, from one snapshot, and never too many at once."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from steelyard.api import export
from steelyard.indexer.database import Database, open_database
from steelyard.query.export import export_list
from steelyard.query.model import AssetQuery, EventQuery, ObligationQuery, PaymentQuery
from tests.unit.api.reading import Got, Reader, ask
from tests.unit.query.world import busy

LISTS = {
    "events": EventQuery(),
    "payments": PaymentQuery(),
    "assets": AssetQuery(),
    "obligations": ObligationQuery(),
}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    opened = open_database(tmp_path_factory.mktemp("export") / "index.sqlite")
    busy(3).feed(opened)
    yield opened
    opened.close()


@pytest.fixture
def reader(database: Database, tmp_path: Path) -> Iterator[Reader]:
    with Reader(database, tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("form", ["jsonl", "csv"])
@pytest.mark.parametrize("name", LISTS)
def test_an_export_is_that_of_python(reader: Reader, name: str, form: str) -> None:
    got = reader.get(f"/v1/export/{name}.{form}")
    expected = "".join(export_list(reader.service.audit, LISTS[name], format=form))  # type: ignore[arg-type]
    assert (got.status, got.body.decode(), got.done) == (200, expected, True)
    assert got.headers["content-disposition"] == f'attachment; filename="{name}.{form}"'
    assert got.headers["content-type"] == export.TYPES[form]


def test_filters_narrow_it(reader: Reader) -> None:
    lines = reader.get("/v1/export/events.jsonl?kinds=Settled").body.splitlines()
    assert json.loads(lines[0])["question"]["kinds"] == ["Settled"]
    assert {json.loads(line)["name"] for line in lines[1:]} == {"Settled"}


def test_it_is_compressed_for_who_takes_it(reader: Reader) -> None:
    got = reader.get("/v1/export/events.jsonl", {"accept-encoding": "gzip"})
    assert got.headers["content-encoding"] == "gzip"
    whole = reader.get("/v1/export/events.jsonl").body
    assert gzip.decompress(got.body) == whole
    assert len(got.body) < len(whole) / 2


@pytest.mark.parametrize("query", ["?limit=3", "?cursor=x", "?party=buyer", "?kinds=Nothing"])
def test_what_cannot_be_asked_is_a_problem_and_no_broken_file(reader: Reader, query: str) -> None:
    got = reader.get(f"/v1/export/events.jsonl{query}")
    assert (got.status, got.json["code"]) == (400, "bad-parameter")


def test_a_caller_has_so_many_at_a_time_and_gets_them_back(reader: Reader) -> None:
    async def run() -> None:
        waiting = [asyncio.Event() for _ in range(export.EACH)]
        gots = [Got() for _ in waiting]

        async def slow(got: Got, event: asyncio.Event) -> None:
            async def app(scope: object, receive: object, send: object) -> None:
                async def hold(message: object) -> None:
                    await send(message)  # type: ignore[operator]
                    await event.wait()

                await reader.app(scope, receive, hold)  # type: ignore[arg-type]

            await ask(app, "GET", "/v1/export/events.jsonl", got=got)

        tasks = [asyncio.create_task(slow(got, event)) for got, event in zip(gots, waiting, strict=True)]
        while not all(got.status for got in gots):
            await asyncio.sleep(0.005)
        refused = await ask(reader.app, "GET", "/v1/export/events.jsonl")
        assert (refused.status, refused.json["code"]) == (429, "too-many-requests")
        for event in waiting:
            event.set()
        await asyncio.gather(*tasks)
        assert (await ask(reader.app, "GET", "/v1/export/events.jsonl")).status == 200

    asyncio.run(run())


def test_a_caller_who_goes_away_ends_it_and_frees_the_snapshot(reader: Reader) -> None:
    async def run() -> None:
        gone = asyncio.Event()
        gone.set()
        got = await ask(reader.app, "GET", "/v1/export/events.jsonl", gone=gone)
        assert got.status == 200
        assert reader.service.exports is not None
        assert reader.service.exports.total == 0

    asyncio.run(run())


def test_a_failed_beginning_gives_its_place_back(reader: Reader) -> None:
    for _ in range(export.EACH + 1):
        assert reader.get("/v1/export/events.jsonl?party=buyer").status == 400
    assert reader.get("/v1/export/events.jsonl").status == 200
