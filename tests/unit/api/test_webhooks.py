from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from steelyard.api import webhooks
from steelyard.api.filters import EventFilter, pack_filter, query_of, unpack_filter
from steelyard.api.hooks import (
    ACTIVE,
    GIVE_UP,
    LONGEST_WAIT,
    PAUSED,
    Hook,
    Hooks,
    read_hooks,
    signature_headers,
    wait_after,
)
from steelyard.api.outgoing import Outgoing
from steelyard.api.service import Limits, Options
from steelyard.api.state import State
from steelyard.domain.types import Address, AssetId
from steelyard.errors import NotFoundError
from steelyard.query import cursor
from steelyard.query.model import At, Event, EventQuery, Page, Party
from tests.unit.api.writing import NOW, ORIGIN, Clock, World, account

WHO = Address(b"\x01" * 20)
SECRET = bytes(range(32))


class Receiver(http.server.ThreadingHTTPServer):
    """Takes messages, and answers with the statuses it is given, then with 204."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        super().__init__(("127.0.0.1", 0), _Take)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook"

    def places(self) -> list[int]:
        return [json.loads(body)["data"]["pos"] for _, body in self.got]


class _Take(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 204)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


class Index:
    """A simulator of the index: some entries, up to a block."""

    def __init__(self) -> None:
        self.entries: list[Event] = []
        self.block = 10
        self.proved = 10
        self.asked = 0

    def add(self, block: int, log: int = 0, name: str = "Settled") -> Event:
        made = Event(
            pos=block << 20 | log,
            block=block,
            log=log,
            time=NOW,
            tx=bytes([block]) * 32,
            name=name,
            contract="Market",
            subject=bytes(32),
            id=bytes(32),
            actor=WHO,
            asset=None,
            version=None,
            amount=2**60,
            currency=None,
            fields={},
        )
        self.entries.append(made)
        return made

    def at(self) -> At:
        if self.block < 0:
            raise NotFoundError("empty")
        return At(block=self.block, hash=bytes(32), time=NOW, proved=self.proved)

    def events(self, query: EventQuery | None = None) -> Page[Event]:
        assert query is not None and query.cursor is not None and not query.newest_first
        self.asked += 1
        (after,) = cursor.read(query, query.cursor, (int,))
        assert isinstance(after, int) and query.last_block is not None
        found = [
            item
            for item in self.entries
            if item.pos > after
            and item.block <= query.last_block
            and (not query.kinds or item.name in query.kinds)
        ]
        return Page(items=tuple(found[: query.limit]), next=None, at=self.at())


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def index() -> Index:
    return Index()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _hooks(index: Index, state: State, clock: Clock, **options: Any) -> Hooks:
    return Hooks(index, state, Outgoing(allow_private=True), clock=clock, **options)


def _add(state: State, url: str, *, name: str = "h", pos: int = 0, filter: EventFilter | None = None) -> Hook:
    hook = Hook(
        id=name,
        account=WHO,
        url=url,
        filter=pack_filter(filter or EventFilter()),
        secret=SECRET,
        pos=pos,
        state=ACTIVE,
        attempt=0,
        failing=None,
        due=0,
        said=None,
        created=NOW,
    )
    with state.write() as writer:
        hook.insert(writer)
    return hook


def _row(state: State) -> Hook:
    (found,) = read_hooks(state)
    return found


def test_entries_come_in_order_and_once(state: State, index: Index, receiver: Receiver, clock: Clock) -> None:
    _add(state, receiver.url)
    made = [index.add(block, log) for block in (1, 2, 2 + 3) for log in (0, 1)]
    hooks = _hooks(index, state, clock)
    assert hooks.step() == 6
    assert hooks.step() == 0
    assert receiver.places() == [item.pos for item in made]
    assert _row(state).pos == made[-1].pos


def test_more_than_a_page_is_delivered(state: State, index: Index, receiver: Receiver, clock: Clock) -> None:
    _add(state, receiver.url)
    for log in range(120):
        index.add(3, log)
    assert _hooks(index, state, clock).step() == 120


def test_a_message_is_signed_as_standard_webhooks_says(
    state: State, index: Index, receiver: Receiver, clock: Clock
) -> None:
    _add(state, receiver.url)
    entry = index.add(5, 7)
    _hooks(index, state, clock).step()
    ((headers, body),) = receiver.got
    assert headers["webhook-id"] == f"{entry.pos}-{entry.tx[:8].hex()}"
    assert headers["webhook-timestamp"] == str(NOW)
    signed = f"{headers['webhook-id']}.{NOW}.".encode() + body
    expected = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["content-type"] == "application/json"
    told = json.loads(body)
    assert (told["type"], told["hook"], told["timestamp"]) == ("entry", "h", "2027-01-15T08:00:00Z")
    assert told["data"]["amount"] == str(2**60)
    assert told["data"]["name"] == "Settled"


def test_the_signature_is_the_one_of_the_specification() -> None:
    # From the verification example of the specification of Standard Webhooks.
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    headers = signature_headers(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", body, now=1614265330)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_an_entry_is_told_of_when_it_is_deep_enough(
    state: State, index: Index, receiver: Receiver, clock: Clock
) -> None:
    _add(state, receiver.url)
    index.add(8)
    index.add(9)
    hooks = _hooks(index, state, clock, confirmations=3)
    assert hooks.step() == 1
    index.block = index.proved = 11
    assert hooks.step() == 1
    assert receiver.places() == [8 << 20, 9 << 20]


def test_an_entry_is_not_told_of_before_it_is_proved(
    state: State, index: Index, receiver: Receiver, clock: Clock
) -> None:
    _add(state, receiver.url)
    index.add(9)
    index.proved = 8
    hooks = _hooks(index, state, clock)
    assert hooks.step() == 0
    index.proved = 9
    assert hooks.step() == 1


def test_only_what_matches_is_told(state: State, index: Index, receiver: Receiver, clock: Clock) -> None:
    _add(state, receiver.url, filter=EventFilter(kinds=("Purchased",)))
    index.add(1, name="Settled")
    wanted = index.add(2, name="Purchased")
    _hooks(index, state, clock).step()
    assert receiver.places() == [wanted.pos]


def test_an_index_that_has_not_moved_is_not_asked_again(
    state: State, index: Index, receiver: Receiver, clock: Clock
) -> None:
    _add(state, receiver.url)
    hooks = _hooks(index, state, clock)
    for _ in range(3):
        hooks.step()
    assert index.asked == 1


def test_after_many_blocks_without_entries_the_place_moves_on(
    state: State, index: Index, receiver: Receiver, clock: Clock
) -> None:
    _add(state, receiver.url)
    index.block = index.proved = 5000
    _hooks(index, state, clock).step()
    assert _row(state).pos >> 20 == 5000


def test_an_empty_index_is_no_error(state: State, index: Index, receiver: Receiver, clock: Clock) -> None:
    _add(state, receiver.url)
    index.block = -1
    assert _hooks(index, state, clock).step() == 0


@pytest.mark.parametrize("status", [199 + 1 + 100, 301, 400, 404, 410, 429, 500, 503])
def test_anything_but_2xx_is_tried_again_later_and_holds_up_the_rest(
    state: State, index: Index, receiver: Receiver, clock: Clock, status: int
) -> None:
    _add(state, receiver.url)
    index.add(1)
    index.add(2)
    receiver.statuses = [status, status]
    hooks = _hooks(index, state, clock)
    assert hooks.step() == 0
    assert hooks.step() == 0
    clock.now += 5
    assert hooks.step() == 0
    clock.now += 9
    assert hooks.step() == 0
    clock.now += 1
    assert hooks.step() == 2
    assert receiver.places() == [1 << 20] * 3 + [2 << 20]
    assert (_row(state).attempt, _row(state).failing) == (0, None)


def test_an_attempt_again_has_the_same_name_and_a_new_time(
    state: State, index: Index, receiver: Receiver, clock: Clock
) -> None:
    _add(state, receiver.url)
    index.add(1)
    receiver.statuses = [500]
    hooks = _hooks(index, state, clock)
    hooks.step()
    clock.now += 5
    hooks.step()
    first, second = (headers for headers, _ in receiver.got)
    assert first["webhook-id"] == second["webhook-id"]
    assert int(second["webhook-timestamp"]) == int(first["webhook-timestamp"]) + 5


def test_waits_double_up_to_six_hours() -> None:
    waits = [wait_after(attempt) for attempt in range(1, 40)]
    assert waits[:4] == [5, 10, 20, 40]
    assert waits[-1] == LONGEST_WAIT == max(waits)


def test_after_three_days_of_failure_a_hook_is_paused(
    state: State, index: Index, receiver: Receiver, clock: Clock
) -> None:
    _add(state, receiver.url)
    index.add(1)
    receiver.statuses = [500] * 1000
    hooks = _hooks(index, state, clock)
    while _row(state).state == ACTIVE:
        assert clock.now <= NOW + GIVE_UP + LONGEST_WAIT
        hooks.step()
        clock.now = max(clock.now + 1, _row(state).due)
    assert clock.now >= NOW + GIVE_UP
    count = len(receiver.got)
    clock.now += LONGEST_WAIT
    hooks.step()
    assert (_row(state).state, len(receiver.got)) == (PAUSED, count)


def test_a_hook_that_fails_does_not_hold_up_others(
    state: State, index: Index, receiver: Receiver, clock: Clock
) -> None:
    _add(state, "http://127.0.0.1:9/closed", name="a")
    _add(state, receiver.url, name="b")
    index.add(1)
    assert _hooks(index, state, clock).step() == 1


def test_a_url_that_became_private_is_not_reached(
    state: State, index: Index, receiver: Receiver, clock: Clock
) -> None:
    _add(state, receiver.url)
    index.add(1)
    Hooks(index, state, Outgoing(), clock=clock).step()
    assert receiver.got == []
    assert _row(state).attempt == 1


class Killed(BaseException):
    """Stands for the end of the process."""


def test_who_is_killed_between_sending_and_writing_sends_again(
    state: State, index: Index, receiver: Receiver, clock: Clock
) -> None:
    def kill(hook: Hook) -> None:
        raise Killed

    _add(state, receiver.url)
    index.add(1)
    index.add(2)
    with pytest.raises(Killed):
        _hooks(index, state, clock, on_delivered=kill).step()
    assert _hooks(index, state, clock).step() == 2
    assert receiver.places() == [1 << 20, 1 << 20, 2 << 20]


def test_two_processes_at_once_lose_nothing(
    state: State, index: Index, receiver: Receiver, clock: Clock
) -> None:
    _add(state, receiver.url)
    made = [index.add(1, log).pos for log in range(30)]
    threads = [threading.Thread(target=_hooks(index, state, clock).step) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _hooks(index, state, clock).step()
    assert sorted(set(receiver.places())) == made
    assert _row(state).pos == made[-1]


FILTER = EventFilter(
    asset=AssetId(b"\x02" * 32), account=WHO, party=Party.BUYER, kinds=("Purchased",), at_least=2**60, currency=Address(bytes(20))
)  # fmt: skip


@pytest.mark.parametrize("value", [EventFilter(), FILTER], ids=["all", "some"])
def test_a_filter_is_kept_as_it_was(value: EventFilter) -> None:
    assert unpack_filter(pack_filter(value)) == value


def test_a_filter_asks_a_question_oldest_first() -> None:
    assert query_of(pack_filter(FILTER)) == EventQuery(
        asset=FILTER.asset,
        account=WHO,
        party=Party.BUYER,
        kinds=("Purchased",),
        at_least=2**60,
        currency=Address(bytes(20)),
        newest_first=False,
    )


# -- over HTTP -----------------------------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    options = Options(public_url=ORIGIN, limits=Limits(per_minute=0), allow_private_webhooks=True)
    made = World(tmp_path, webhooks.ENDPOINTS, options=options)
    with made.audit.database.write() as writer:
        writer.insert("blocks", [(7, bytes(32), bytes(32), NOW, 1)])
    yield made
    made.close()


def test_a_webhook_is_made_with_a_secret_that_is_said_once(world: World, receiver: Receiver) -> None:
    token = world.sign_in(account())
    got = world.ask(
        "POST", "/v1/webhooks", {"url": receiver.url, "filter": {"kinds": ["Purchased"]}}, token=token
    )
    assert got.status == 201, got.body
    assert len(base64.b64decode(got.json["secret"].removeprefix("whsec_"))) == 32
    assert got.headers["location"] == f"/v1/webhooks/{got.json['id']}"
    again = world.ask("GET", f"/v1/webhooks/{got.json['id']}", token=token).json
    assert again["secret"] is None
    assert again["filter"] == {"kinds": ["Purchased"]}
    # It begins after the newest block.
    assert again["pos"] == (7 << 20) + (1 << 20) - 1


def test_webhooks_are_seen_by_their_account_alone(world: World, receiver: Receiver) -> None:
    token, other = world.sign_in(account()), world.sign_in(account())
    made = world.ask("POST", "/v1/webhooks", {"url": receiver.url}, token=token).json
    place = f"/v1/webhooks/{made['id']}"
    assert [item["id"] for item in world.ask("GET", "/v1/webhooks", token=token).json["items"]] == [
        made["id"]
    ]
    assert world.ask("GET", "/v1/webhooks", token=other).json["items"] == []
    assert world.ask("GET", place, token=other).code == "not-found"
    assert world.ask("DELETE", place, token=other).code == "not-found"
    assert world.ask("POST", f"{place}/test", token=other).code == "not-found"
    assert world.ask("GET", place).code == "not-signed-in"
    assert receiver.got == []


def test_a_deleted_webhook_is_gone(world: World, receiver: Receiver) -> None:
    token = world.sign_in(account())
    made = world.ask("POST", "/v1/webhooks", {"url": receiver.url}, token=token).json
    assert world.ask("DELETE", f"/v1/webhooks/{made['id']}", token=token).status == 204
    assert world.ask("GET", f"/v1/webhooks/{made['id']}", token=token).code == "not-found"


@pytest.mark.parametrize("url", ["http://u:p@127.0.0.1/", "ftp://127.0.0.1/", "http://2130706433/", "x", ""])
def test_a_url_that_may_not_be_reached_makes_no_webhook(world: World, url: str) -> None:
    got = world.ask("POST", "/v1/webhooks", {"url": url}, token=world.sign_in(account()))
    assert (got.code, got.json["parameter"]) == ("bad-body", "url")


@pytest.mark.parametrize(
    "filter",
    [{"kinds": ["Nothing"]}, {"party": "buyer"}, {"limit": 3}, {"at_least": "-1"}, {"party": "king"}],
)
def test_a_filter_that_cannot_be_asked_makes_no_webhook(
    world: World, receiver: Receiver, filter: dict[str, object]
) -> None:
    got = world.ask(
        "POST", "/v1/webhooks", {"url": receiver.url, "filter": filter}, token=world.sign_in(account())
    )
    assert got.status == 400


def test_an_account_has_so_many_webhooks(world: World, receiver: Receiver) -> None:
    token = world.sign_in(account())
    for _ in range(webhooks.MAX_HOOKS):
        assert world.ask("POST", "/v1/webhooks", {"url": receiver.url}, token=token).status == 201
    assert world.ask("POST", "/v1/webhooks", {"url": receiver.url}, token=token).code == "conflict"


def test_a_test_is_sent_at_once_and_wakes_a_paused_webhook(world: World, receiver: Receiver) -> None:
    token = world.sign_in(account())
    made = world.ask("POST", "/v1/webhooks", {"url": receiver.url}, token=token).json
    with world.state.write() as writer:
        writer.execute("UPDATE service_webhooks SET state = ?", (PAUSED,))
    place = f"/v1/webhooks/{made['id']}"
    receiver.statuses = [500]
    assert world.ask("POST", f"{place}/test", token=token).json == {"status": 500, "said": "status 500"}
    assert world.ask("GET", place, token=token).json["state"] == PAUSED
    assert world.ask("POST", f"{place}/test", token=token).json["status"] == 204
    assert world.ask("GET", place, token=token).json["state"] == ACTIVE
    assert json.loads(receiver.got[0][1])["type"] == "test"
    assert receiver.got[0][0]["webhook-id"] != receiver.got[1][0]["webhook-id"]


def test_by_default_ones_own_network_is_not_reached(world: World, receiver: Receiver) -> None:
    world.service.options = replace(world.service.options, allow_private_webhooks=False)
    got = world.ask("POST", "/v1/webhooks", {"url": receiver.url}, token=world.sign_in(account()))
    assert (got.code, receiver.got) == ("bad-body", [])
