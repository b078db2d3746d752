from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from steelyard.api.problem import Problem
from steelyard.api.route import Answer, Call, Endpoint
from steelyard.api.session import (
    MAX_NONCES,
    MAX_SESSIONS,
    NONCE_TIME,
    SESSION_TIME,
    find_session,
    make_nonce,
    make_session,
    spend_nonce,
)
from steelyard.api.state import State
from steelyard.domain.abi import decode
from tests.unit.api.writing import NOW, World, account
from tests.unit.chain.fake import FakeTransport, RpcFailure


async def _who(call: Call) -> Answer:
    return Answer(value={"account": call.account})


WHO = Endpoint(method="GET", path="/v1/who", handler=_who, name="who", summary="", tag="", signed_in=True)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, (WHO,), transport=FakeTransport({"eth_getCode": lambda _: "0x"}))
    yield made
    made.close()


def test_signing_in_gives_a_session_that_names_the_account(world: World) -> None:
    who = account()
    token = world.sign_in(who)
    got = world.ask("GET", "/v1/who", token=token)
    assert got.status == 200
    assert bytes.fromhex(got.json["account"][2:]) == who.address


def test_without_a_session_nothing_private_is_shown(world: World) -> None:
    assert world.ask("GET", "/v1/who").code == "not-signed-in"


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Basic abc", "token", "Bearer " + "x" * 201])
def test_a_malformed_authorization_is_nobody(world: World, header: str) -> None:
    assert world.ask("GET", "/v1/who", headers={"authorization": header}).status == 401


def test_an_invented_token_is_of_no_session(world: World) -> None:
    assert world.ask("GET", "/v1/who", token="x" * 43).code == "session-ended"


def test_a_session_ends_after_its_time(world: World) -> None:
    token = world.sign_in(account())
    world.clock.now += SESSION_TIME - 1
    assert world.ask("GET", "/v1/who", token=token).status == 200
    world.clock.now += 1
    assert world.ask("GET", "/v1/who", token=token).code == "session-ended"


def test_a_session_ends_with_its_message(world: World) -> None:
    token = world.sign_in(account(), expiration_time=NOW + 100)
    world.clock.now += 100
    assert world.ask("GET", "/v1/who", token=token).code == "session-ended"


def test_a_session_can_be_ended(world: World) -> None:
    token = world.sign_in(account())
    assert world.ask("DELETE", "/v1/session", token=token).status == 204
    assert world.ask("GET", "/v1/who", token=token).code == "session-ended"


def test_a_nonce_serves_once(world: World) -> None:
    body = world.signed(account())
    assert world.ask("POST", "/v1/session", body).status == 201
    assert world.ask("POST", "/v1/session", body).code == "bad-message"


def test_a_nonce_is_used_up_by_a_false_signature(world: World) -> None:
    body = world.signed(account())
    other = world.signed(account())
    assert world.ask("POST", "/v1/session", {**body, "signature": other["signature"]}).code == "bad-signature"
    assert world.ask("POST", "/v1/session", body).code == "bad-message"


def test_a_nonce_of_another_service_is_refused(world: World) -> None:
    assert (
        world.ask("POST", "/v1/session", world.signed(account(), nonce="abcdefgh12345678")).code
        == "bad-message"
    )


def test_a_nonce_ends_after_ten_minutes(world: World) -> None:
    nonce = world.nonce()
    world.clock.now += NONCE_TIME + 1
    body = world.signed(account(), nonce=nonce)
    assert world.ask("POST", "/v1/session", body).code == "bad-message"


@pytest.mark.parametrize(
    "change",
    [
        {"domain": "evil.example"},
        {"uri": "https://evil.example"},
        {"chain_id": 1},
        {"issued_at": NOW - 601},
        {"issued_at": NOW + 61},
        {"expiration_time": NOW},
        {"not_before": NOW + 5},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_message_for_something_else_is_refused(world: World, change: dict[str, object]) -> None:
    assert world.ask("POST", "/v1/session", world.signed(account(), **change)).code == "bad-message"


def test_an_altered_message_is_signed_by_nobody_here(world: World) -> None:
    body = world.signed(account(), statement="Read")
    assert world.ask(
        "POST", "/v1/session", {**body, "message": body["message"].replace("Read", "Sell")}
    ).code == ("bad-signature")


def test_a_signature_must_be_hexadecimal(world: World) -> None:
    assert (
        world.ask("POST", "/v1/session", {**world.signed(account()), "signature": "zz"}).code
        == "bad-signature"
    )


def _contract(world: World, answer: str | None) -> list[list[object]]:
    """Make every account a contract that answers so to ``isValidSignature``, or reverts; returns the calls it got."""
    calls: list[list[object]] = []

    def call(params: list[object]) -> str:
        calls.append(params)
        if answer is None:
            raise RpcFailure(3, "execution reverted", "0x")
        return answer

    transport = world.market.context.rpc._transport
    assert isinstance(transport, FakeTransport)
    transport.handlers |= {"eth_getCode": lambda _: "0x6000", "eth_call": call}
    return calls


def test_a_contract_account_says_itself_what_it_signed(world: World) -> None:
    calls = _contract(world, "0x1626ba7e" + "00" * 28)
    body = world.signed(account())
    assert world.ask("POST", "/v1/session", {**body, "signature": "0x1234"}).status == 201
    transaction, block = calls[0]
    assert isinstance(transaction, dict) and block == "latest"
    data = bytes.fromhex(transaction["data"][2:])
    assert data[:4].hex() == "1626ba7e"
    assert decode(("bytes32", "bytes"), data[4:])[1] == b"\x12\x34"


@pytest.mark.parametrize(
    "answer",
    [None, "0x", "0x1626ba7e", "0xffffffff" + "00" * 28, "0x1626ba7e" + "00" * 27 + "01", "0x" + "00" * 32],
)
def test_a_contract_that_does_not_say_yes_says_no(world: World, answer: str | None) -> None:
    _contract(world, answer)
    assert (
        world.ask("POST", "/v1/session", {**world.signed(account()), "signature": "0x1234"}).code
        == "bad-signature"
    )


def test_tokens_are_kept_as_hashes_only(state: State) -> None:
    made = make_session(state, account().address, now=NOW, expires=NOW + 10)
    with state.read() as reader:
        (row,) = reader.rows("SELECT token FROM service_sessions")
    assert bytes(row[0]) == hashlib.sha256(made.token.encode()).digest()
    assert len(made.token) >= 43


def test_of_many_who_use_a_nonce_at_once_one_gets_through(state: State) -> None:
    nonce, _ = make_nonce(state, now=NOW)
    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(lambda _: spend_nonce(state, nonce, now=NOW), range(40))) == 1


def test_an_account_has_so_many_sessions_and_the_oldest_ends(state: State) -> None:
    who = account().address
    made = [
        make_session(state, who, now=NOW + place, expires=NOW + 9999) for place in range(MAX_SESSIONS + 1)
    ]
    found = [find_session(state, item.token, now=NOW) for item in made]
    assert found[0] is None
    assert found[1:] == [who] * MAX_SESSIONS


def test_there_are_so_many_nonces_and_no_more(state: State) -> None:
    many = (
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
        " INSERT INTO service_nonces (nonce, expires) SELECT CAST(i AS TEXT), ? FROM n"
    )
    with state.write() as writer:
        writer.execute(many, (MAX_NONCES, NOW))
    with pytest.raises(Problem, match="too-many-requests"):
        make_nonce(state, now=NOW)
    make_nonce(state, now=NOW + 1)  # the old ones have ended
