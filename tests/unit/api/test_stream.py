"""Live changes: what comes, what is taken back, what is resumed, and who may listen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from steelyard.api import feed
from steelyard.api.service import Limits, Options
from steelyard.domain.plain import plain
from steelyard.indexer.database import Database, open_database
from steelyard.indexer.undo import undo
from steelyard.query.model import EventQuery
from tests.support.postgres import postgres
from tests.unit.api.reading import Got, Reader, ask
from tests.unit.query.world import ALICE, World, block_hash

SHIFT = 20


@dataclass
class Frame:
    id: str
    event: str
    data: Any


def frames(body: bytes) -> list[Frame]:
    found = []
    for text in body.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
        if "event" in fields:
            found.append(Frame(fields["id"], fields["event"], json.loads(fields["data"])))
    return found


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path / "index.sqlite" if request.param == "sqlite" else postgres().database())
    yield opened
    opened.close()


@pytest.fixture
def reader(database: Database, tmp_path: Path) -> Iterator[Reader]:
    with Reader(database, tmp_path, inline=False) as opened:
        yield opened


def grow(world: World, database: Database, *names: str) -> None:
    """Register assets, each in a block of its own."""
    for name in names:
        world.tick()
        world.asset(name)
    world.feed(database)


def take_back(world: World, database: Database, above: int) -> None:
    """Undo the index above a block, and forget what happened there."""
    with database.write() as writer:
        undo(writer, world.known, above)
    world.entries = [entry for entry in world.entries if entry.pos >> SHIFT <= above]
    world.events = [event for event in world.events if event.block <= above]
    world.fed = len(world.entries)
    world.block = above


@dataclass
class Stream:
    """An open stream. ``until`` waits for so many frames."""

    got: Got
    gone: asyncio.Event
    task: asyncio.Task[Got]

    async def until(self, right: Callable[[list[Frame]], bool]) -> list[Frame]:
        while not right(frames(self.got.body)):
            assert not self.task.done(), self.got
            await asyncio.sleep(0.005)
        return frames(self.got.body)

    async def count(self, number: int) -> list[Frame]:
        return await self.until(lambda found: len(found) >= number)


@asynccontextmanager
async def stream(
    reader: Reader, path: str = "", headers: dict[str, str] | None = None
) -> AsyncIterator[Stream]:
    """Open a stream, and close it as a caller who goes away."""
    gone, got = asyncio.Event(), Got()
    task = asyncio.create_task(
        ask(reader.app, "GET", f"/v1/events/stream{path}", headers, gone=gone, got=got)
    )
    opened = Stream(got, gone, task)
    async with asyncio.timeout(30):
        while not got.status:
            await asyncio.sleep(0.005)
        if got.status == 200:
            service_feed = reader.service.feed
            assert service_feed is not None
            service_feed._interval = 0.01
        yield opened
        gone.set()
        await task


def names(found: list[Frame]) -> list[str]:
    return [frame.data["fields"]["name"] if "fields" in frame.data else frame.event for frame in found]


def places(world: World) -> list[str]:
    return [f"{entry.pos}-{block_hash(entry.pos >> SHIFT)[:8].hex()}" for entry in world.entries]


def held(found: list[Frame]) -> list[str]:
    """Return the ids of what a reader of the stream has at its end."""
    kept: list[str] = []
    for frame in found:
        if frame.event == "undone":
            kept = [id_ for id_ in kept if int(id_.partition("-")[0]) >> SHIFT <= frame.data["above"]]
        else:
            kept.append(frame.id)
    return kept


def test_entries_come_as_they_are_written(reader: Reader, database: Database) -> None:
    world = World()
    grow(world, database, "before")

    async def run() -> None:
        async with stream(reader) as opened:
            await opened.until(lambda _: len(reader.service.feed or ()) == 1 and _told(reader))
            grow(world, database, "one", "two")
            found = await opened.count(2)
            assert [frame.event for frame in found] == ["entry", "entry"]
            assert [frame.id for frame in found] == places(world)[1:]
            expected = reader.service.audit.events(EventQuery(limit=2, newest_first=False)).items
            assert found[0].data == plain(reader.service.audit.event(expected[1].block, expected[1].log))

    asyncio.run(run())


def _told(reader: Reader) -> bool:
    assert reader.service.feed is not None
    return all(listener.told is not None for listener in reader.service.feed._listeners)


def test_it_goes_on_after_a_place(reader: Reader, database: Database) -> None:
    world = World()
    grow(world, database, "one", "two", "three")

    async def run() -> None:
        async with stream(reader, "?after=0") as opened:
            assert [frame.id for frame in await opened.count(3)] == places(world)
        async with stream(reader, headers={"last-event-id": places(world)[0]}) as opened:
            assert [frame.id for frame in await opened.count(2)] == places(world)[1:]

    asyncio.run(run())


def test_more_than_a_page_comes_in_order_and_once(reader: Reader, database: Database) -> None:
    world = World()
    world.tick()
    for number in range(3 * feed.PAGE + 7):
        world.asset(f"n{number}")
    world.feed(database)

    async def run() -> None:
        async with stream(reader, "?after=0") as opened:
            found = await opened.count(len(world.entries))
            assert [frame.id for frame in found] == places(world)

    asyncio.run(run())


def test_filters_are_those_of_the_list(reader: Reader, database: Database) -> None:
    world = World()
    grow(world, database, "one")
    asset = world.entries[0].subject
    version = world.publish(asset)  # type: ignore[arg-type]
    world.income(version, replace(world.offer(asset), price=3))  # type: ignore[arg-type]
    grow(world, database, "two")

    async def run() -> None:
        # The node's income is about the asset too, which only the database knows.
        async with stream(reader, f"?after=0&asset=0x{asset.hex()}") as opened:
            found = await opened.count(4)
            assert [frame.data["name"] for frame in found] == [
                *("AssetRegistered", "VersionPublished", "Offered", "Received")
            ]
        async with stream(reader, f"?after=0&account=0x{ALICE.hex()}&kinds=Offered") as opened:
            assert [frame.data["name"] for frame in await opened.count(1)] == ["Offered"]

    asyncio.run(run())


def test_what_a_reorganisation_took_is_taken_back_and_comes_anew(reader: Reader, database: Database) -> None:
    world = World()
    grow(world, database, "one", "two")

    async def run() -> None:
        async with stream(reader, "?after=0") as opened:
            await opened.count(2)
            stays = world.entries[0].pos >> SHIFT
            await asyncio.to_thread(take_back, world, database, stays)
            world.tick(seconds=24, blocks=2)  # another height, so another hash
            world.asset("instead")
            await asyncio.to_thread(world.feed, database)
            found = await opened.until(lambda seen: seen[-1].id == places(world)[-1])
            assert [frame.event for frame in found] == ["entry", "entry", "undone", "entry"]
            assert found[2].data["above"] == stays
            assert held(found) == places(world)

    asyncio.run(run())


def test_a_listener_that_was_told_nothing_above_hears_nothing_of_it(
    reader: Reader, database: Database
) -> None:
    world = World()
    grow(world, database, "one", "two")

    async def run() -> None:
        async with stream(reader, "?after=0&kinds=Settled") as opened:
            await opened.until(lambda _: _told(reader))
            await asyncio.to_thread(take_back, world, database, world.entries[0].pos >> SHIFT)
            world.tick(seconds=24, blocks=2)
            await asyncio.to_thread(world.feed, database)
            end = world.block
            assert reader.service.feed is not None
            while not any(number == end for number, _ in reader.service.feed._known):
                await asyncio.sleep(0.005)
            assert frames(opened.got.body) == []

    asyncio.run(run())


def test_who_resumes_after_a_block_that_is_gone_is_told_so(reader: Reader, database: Database) -> None:
    world = World()
    grow(world, database, "one", "two")
    gone = f"{world.entries[1].pos}-{'00' * 8}"

    async def run() -> None:
        async with stream(reader, headers={"last-event-id": gone}) as opened:
            found = await opened.count(3)
            assert [frame.event for frame in found] == ["undone", "entry", "entry"]
            assert [frame.id for frame in found[1:]] == places(world)
            assert found[0].data["above"] < world.entries[0].pos >> SHIFT

    asyncio.run(run())


def test_streams_end_when_the_service_does(reader: Reader, database: Database) -> None:
    async def run() -> None:
        async with stream(reader) as opened:
            reader.service.stopping.set()
            got = await opened.task
            assert got.done

    asyncio.run(run())


def test_a_caller_has_so_many_streams_and_gets_them_back(database: Database, tmp_path: Path) -> None:
    options = Options(limits=Limits(per_minute=0, streams=1))
    with Reader(database, tmp_path, options=options) as reader:

        async def run() -> None:
            async with stream(reader):
                refused = await ask(reader.app, "GET", "/v1/events/stream")
                assert (refused.status, refused.json["code"]) == (429, "too-many-requests")
            async with stream(reader) as again:
                assert again.got.status == 200

        asyncio.run(run())


@pytest.mark.parametrize(
    ("query", "headers", "parameter"),
    [
        ("?party=buyer", {}, "party"),
        ("?kinds=Nothing", {}, None),
        ("", {"last-event-id": "x"}, "Last-Event-ID"),
        ("", {"last-event-id": "5-zz"}, "Last-Event-ID"),
        ("", {"last-event-id": "5-00"}, "Last-Event-ID"),
        ("?limit=3", {}, "limit"),
    ],
)
def test_a_stream_that_cannot_be_is_refused(
    reader: Reader, query: str, headers: dict[str, str], parameter: str | None
) -> None:
    got = reader.get(f"/v1/events/stream{query}", headers)
    assert (got.status, got.json["code"], got.json.get("parameter")) == (400, "bad-parameter", parameter)


def test_a_slow_listener_takes_no_more_room_than_some_pages(database: Database, tmp_path: Path) -> None:
    world = World()
    world.tick()
    for number in range(feed.PAGE * (feed.AHEAD + 4)):
        world.asset(f"n{number}")
    world.feed(database)
    with Reader(database, tmp_path) as reader:

        async def run() -> None:
            listener = feed.Listener(query=EventQuery(newest_first=False), told=0)
            live = feed.Feed(reader.service, interval=0.001)
            live.add(listener)
            while len(listener.ready) < feed.AHEAD:
                await asyncio.sleep(0.005)
            for _ in range(20):
                live.pull()
                await asyncio.sleep(0.005)
            assert len(listener.ready) == feed.AHEAD
            live.remove(listener)
            await live._task  # type: ignore[misc]

        asyncio.run(run())
