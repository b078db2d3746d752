from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from steelyard.api.idempotency import ABANDONED, MAX_KEPT, MAX_KEYS, begin, finish, forget
from steelyard.api.problem import Problem
from steelyard.api.route import Answer, Call, Endpoint
from steelyard.api.service import Reply
from steelyard.api.state import ANSWER_TIME, State
from tests.unit.api.writing import NOW, World, account

CALLER = hashlib.sha256(b"caller").digest()
NAME = hashlib.sha256(b"name").digest()
DIGEST = hashlib.sha256(b"request").digest()
REPLY = Reply(status=201, headers={"location": "/x"}, body=b"done")


def _begin(state: State, *, holder: bytes = b"a", digest: bytes = DIGEST, now: int = NOW) -> Reply | None:
    return begin(state, NAME, caller=CALLER, digest=digest, holder=holder, now=now)


def test_the_first_request_is_done(state: State) -> None:
    assert _begin(state) is None


def test_a_second_one_meanwhile_is_told_to_wait(state: State) -> None:
    _begin(state)
    with pytest.raises(Problem, match="idempotency-busy"):
        _begin(state, holder=b"b")


def test_of_many_at_once_one_is_done(state: State) -> None:
    def attempt(place: int) -> bool:
        try:
            return _begin(state, holder=bytes([place])) is None
        except Problem as exc:
            assert exc.code == "idempotency-busy"
            return False

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(attempt, range(30))) == 1


def test_a_later_one_gets_the_first_answer(state: State) -> None:
    _begin(state)
    finish(state, NAME, holder=b"a", reply=REPLY)
    assert _begin(state, holder=b"b", now=NOW + ANSWER_TIME) == REPLY


def test_another_request_with_the_key_is_refused(state: State) -> None:
    _begin(state)
    for _ in range(2):
        with pytest.raises(Problem, match="idempotency-mismatch"):
            _begin(state, holder=b"b", digest=bytes(32))
        finish(state, NAME, holder=b"a", reply=REPLY)


def test_after_a_day_the_key_is_new(state: State) -> None:
    _begin(state)
    finish(state, NAME, holder=b"a", reply=REPLY)
    assert _begin(state, holder=b"b", digest=bytes(32), now=NOW + ANSWER_TIME + 1) is None


def test_a_key_whose_process_died_becomes_free(state: State) -> None:
    _begin(state)
    assert _begin(state, holder=b"b", now=NOW + ABANDONED) is None
    with pytest.raises(Problem, match="idempotency-busy"):
        _begin(state, holder=b"c", now=NOW + ABANDONED)


def test_a_late_answer_of_the_one_taken_over_is_not_kept(state: State) -> None:
    _begin(state)
    _begin(state, holder=b"b", now=NOW + ABANDONED)
    finish(state, NAME, holder=b"a", reply=REPLY)
    forget(state, NAME, holder=b"a")
    with pytest.raises(Problem, match="idempotency-busy"):
        _begin(state, holder=b"c", now=NOW + ABANDONED + 1)


def test_a_forgotten_key_is_free(state: State) -> None:
    _begin(state)
    forget(state, NAME, holder=b"a")
    assert _begin(state, holder=b"b") is None


def test_a_kept_answer_is_not_forgotten(state: State) -> None:
    _begin(state)
    finish(state, NAME, holder=b"a", reply=REPLY)
    forget(state, NAME, holder=b"a")
    assert _begin(state, holder=b"b") == REPLY


def test_a_caller_has_so_many_keys_and_others_keep_theirs(state: State) -> None:
    other = hashlib.sha256(b"other").digest()
    begin(state, bytes(32), caller=other, digest=DIGEST, holder=b"o", now=NOW)
    fill = "INSERT INTO service_answers (key, caller, digest, holder, started) VALUES (?, ?, ?, ?, ?)"
    with state.write() as writer:
        for place in range(1, MAX_KEYS + 1):
            writer.execute(fill, (str(place).encode(), CALLER, DIGEST, b"h", NOW + place))
    _begin(state, now=NOW + MAX_KEYS + 5)
    with state.read() as reader:
        counts = reader.rows("SELECT caller, count(*) FROM service_answers GROUP BY caller")
        (oldest,) = reader.rows("SELECT min(started) FROM service_answers WHERE caller = ?", (CALLER,))[0]
    assert {bytes(key): value for key, value in counts} == {CALLER: MAX_KEYS, other: 1}
    assert oldest == NOW + 2


# -- through the dispatcher --------------------------------------------------------------------------------------


class Counter:
    """An endpoint that counts, and answers as told."""

    def __init__(self) -> None:
        self.count = 0
        self.status = 201
        self.size = 0
        self.fail: Exception | None = None

    async def __call__(self, call: Call) -> Answer:
        self.count += 1
        await asyncio.sleep(0)
        if self.fail is not None:
            raise self.fail
        return Answer(value={"count": self.count, "pad": "x" * self.size}, status=self.status)


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def world(tmp_path: Path, counter: Counter) -> Iterator[World]:
    endpoint = Endpoint(
        method="POST",
        path="/v1/count",
        handler=counter,
        name="count",
        summary="",
        tag="",
        body=None,
        idempotent=True,
    )
    made = World(tmp_path, (endpoint,))
    yield made
    made.close()


KEY = {"idempotency-key": "k1"}


def test_the_same_request_is_done_once_and_answered_twice(world: World, counter: Counter) -> None:
    first = world.ask("POST", "/v1/count", headers=KEY)
    second = world.ask("POST", "/v1/count", headers=KEY)
    assert (first.status, first.body) == (second.status, second.body) == (201, b'{"count":1,"pad":""}')
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert counter.count == 1


def test_without_a_key_each_is_done(world: World, counter: Counter) -> None:
    world.ask("POST", "/v1/count")
    world.ask("POST", "/v1/count")
    assert counter.count == 2


def test_keys_belong_to_their_caller(world: World, counter: Counter) -> None:
    world.ask("POST", "/v1/count", headers=KEY)
    world.ask("POST", "/v1/count", headers=KEY, client="127.0.0.2")
    world.ask("POST", "/v1/count", headers=KEY, token=world.sign_in(account()))
    world.ask("POST", "/v1/count", headers=KEY, token=world.sign_in(account()))
    assert counter.count == 4


def test_a_problem_is_an_answer_and_kept(world: World, counter: Counter) -> None:
    counter.fail = Problem("conflict", "no")
    assert world.ask("POST", "/v1/count", headers=KEY).code == "conflict"
    counter.fail = None
    again = world.ask("POST", "/v1/count", headers=KEY)
    assert (again.code, again.headers["idempotent-replayed"], counter.count) == ("conflict", "true", 1)


@pytest.mark.parametrize("code", ["chain-unavailable", "internal", "too-many-requests"])
def test_an_answer_that_says_try_again_is_not_kept(world: World, counter: Counter, code: str) -> None:
    counter.fail = Problem(code)
    assert world.ask("POST", "/v1/count", headers=KEY).code == code
    counter.fail = None
    assert world.ask("POST", "/v1/count", headers=KEY).status == 201


def test_a_very_long_answer_is_not_kept(world: World, counter: Counter) -> None:
    counter.size = MAX_KEPT
    world.ask("POST", "/v1/count", headers=KEY)
    world.ask("POST", "/v1/count", headers=KEY)
    assert counter.count == 2
