"""The outbox against a chain in memory. Crashes by kill -9 on a real one: test_live.py."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from steelyard.chain.calls import Call
from steelyard.chain.outbox import Outbox
from steelyard.chain.outbox_file import Entry, OutboxState
from steelyard.chain.sender import Sender
from steelyard.chain.transaction import GWEI
from steelyard.domain.types import Address
from steelyard.errors import (
    ConfigError,
    InputError,
    NotFoundError,
    PendingError,
    RefusedError,
    RevertError,
    UnsafeError,
)

from .fake import RpcFailure, rpc_of
from .fakechain import KEY, Chain, nonce_of, sender_of

CALL = Call(Address(b"\x22" * 20), b"\x01\x02", 5, "Test.call")
OTHER = Call(Address(b"\x22" * 20), b"\x03", 0, "Test.other")
TIMEOUT = 5.0


class Crash(BaseException):
    """The process ends here."""


@pytest.fixture
def chain() -> Chain:
    return Chain()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


@pytest.fixture
def now() -> list[float]:
    return [1_000.0]


@pytest.fixture
def outbox(chain: Chain, path: Path, now: list[float]) -> Iterator[Outbox]:
    with closing(reopened(chain, path, now)) as opened:
        yield opened


def reopened(chain: Chain, path: Path, now: list[float], **options: Any) -> Outbox:
    """A new process: nothing is remembered but the file."""
    return Outbox(path, sender_of(chain, timeout=TIMEOUT), clock=lambda: now[0], stuck_after=60, **options)


def crash(_: object) -> object:
    raise Crash


def resume(outbox: Outbox) -> list[Entry]:
    """Go on with all that is open, as one does who finds that all of it may be sent."""
    return [outbox.push(entry.name) for entry in outbox.open_entries()]


# -- once --------------------------------------------------------------------------------------------------------


def test_an_operation_is_sent_once(outbox: Outbox, chain: Chain) -> None:
    first = outbox.send("deliver:1", CALL)
    assert outbox.send("deliver:1", CALL) == first
    assert list(chain.known.values()) == [7]
    entry = outbox.entry("deliver:1")
    assert (entry.state, entry.nonce, entry.tx_hash, entry.mined_in) == (
        OutboxState.MINED,
        7,
        first.tx_hash,
        1,
    )


def test_operations_have_nonces_of_their_own(outbox: Outbox, chain: Chain) -> None:
    for place in range(5):
        outbox.send(f"deliver:{place}", CALL)
    assert list(chain.known.values()) == [7, 8, 9, 10, 11]
    assert [entry.nonce for entry in outbox.entries()] == [7, 8, 9, 10, 11]


def test_a_name_stands_for_one_call(outbox: Outbox, chain: Chain) -> None:
    outbox.plan("deliver:1", CALL)
    with pytest.raises(InputError):
        outbox.send("deliver:1", OTHER)
    assert chain.raws == []


def test_an_unknown_name_is_not_found(outbox: Outbox) -> None:
    with pytest.raises(NotFoundError):
        outbox.entry("deliver:1")


def test_a_signed_transaction_is_on_the_disk_before_it_is_sent(
    outbox: Outbox, chain: Chain, path: Path
) -> None:
    seen = []

    def look(params: list[str]) -> object:
        with closing(sqlite3.connect(path)) as db:
            seen.extend(db.execute("SELECT raw, nonce FROM attempts").fetchall())
        return chain.take(params)

    chain.handlers["eth_sendRawTransaction"] = look
    outbox.send("deliver:1", CALL)
    assert [("0x" + raw.hex(), nonce) for raw, nonce in seen] == [(chain.raws[0], 7)]


# -- crashes -----------------------------------------------------------------------------------------------------


def test_after_a_crash_before_sending_the_same_bytes_are_sent(
    chain: Chain, path: Path, now: list[float]
) -> None:
    chain.handlers["eth_sendRawTransaction"] = crash
    with closing(reopened(chain, path, now)) as outbox, pytest.raises(Crash):
        outbox.send("deliver:1", CALL)
    chain.handlers["eth_sendRawTransaction"] = chain.take
    with closing(sqlite3.connect(path)) as db:
        ((raw,),) = db.execute("SELECT raw FROM attempts").fetchall()
    with closing(reopened(chain, path, now)) as outbox:
        resume(outbox)
        assert [entry.state for entry in resume(outbox)] == [OutboxState.MINED]
        assert resume(outbox) == []
    assert chain.raws == ["0x" + raw.hex()]


def test_after_a_crash_after_sending_nothing_is_sent(chain: Chain, path: Path, now: list[float]) -> None:
    def take_and_crash(params: list[str]) -> object:
        chain.take(params)
        raise Crash

    chain.handlers["eth_sendRawTransaction"] = take_and_crash
    with closing(reopened(chain, path, now)) as outbox, pytest.raises(Crash):
        outbox.send("deliver:1", CALL)
    chain.handlers["eth_sendRawTransaction"] = chain.take
    with closing(reopened(chain, path, now)) as outbox:
        assert outbox.send("deliver:1", CALL).status
    assert len(chain.raws) == 1


def test_a_crash_while_signing_leaves_it_planned(chain: Chain, path: Path, now: list[float]) -> None:
    chain.handlers["eth_estimateGas"] = crash
    with closing(reopened(chain, path, now)) as outbox, pytest.raises(Crash):
        outbox.send("deliver:1", CALL)
    chain.handlers["eth_estimateGas"] = lambda _: hex(21_000)
    with closing(reopened(chain, path, now)) as outbox:
        assert outbox.entry("deliver:1").state is OutboxState.PLANNED
        resume(outbox)
        resume(outbox)
        assert outbox.entry("deliver:1").state is OutboxState.MINED


def test_nonces_of_stored_transactions_are_not_given_to_others(
    chain: Chain, path: Path, now: list[float]
) -> None:
    chain.handlers["eth_sendRawTransaction"] = crash
    with closing(reopened(chain, path, now)) as outbox, pytest.raises(Crash):
        outbox.send("deliver:1", CALL)
    chain.handlers["eth_sendRawTransaction"] = chain.take
    with closing(reopened(chain, path, now)) as outbox:
        # The chain does not know of nonce 7 yet.
        assert outbox.submit("deliver:2", OTHER).nonce == 8
        resume(outbox)
    assert sorted(chain.known.values()) == [7, 8]


# -- what may not be sent any more -------------------------------------------------------------------------------


def signed_only(chain: Chain, path: Path, now: list[float]) -> Outbox:
    """An outbox whose process ended between signing and sending."""
    chain.handlers["eth_sendRawTransaction"] = crash
    with closing(reopened(chain, path, now)) as outbox, pytest.raises(Crash):
        outbox.send("deliver:1", CALL)
    chain.handlers["eth_sendRawTransaction"] = chain.take
    return reopened(chain, path, now)


def test_opening_sends_nothing(chain: Chain, path: Path, now: list[float]) -> None:
    with closing(signed_only(chain, path, now)) as outbox:
        assert [entry.state for entry in outbox.open_entries()] == [OutboxState.SIGNED]
    assert chain.raws == []


def test_what_was_never_sent_is_held_and_its_nonce_used_up(
    chain: Chain, path: Path, now: list[float]
) -> None:
    with closing(signed_only(chain, path, now)) as outbox:
        (signed,) = outbox.attempts(outbox.entry("deliver:1"))
        outbox.hold("deliver:1")
        held = outbox.hold("deliver:1")
        assert held is not None and held.state is OutboxState.FAILED and "held back" in held.note
    assert "0x" + signed.raw.hex() not in chain.raws
    assert sorted(chain.known.values()) == [7]


def test_what_was_sent_once_is_pushed_on_though_it_is_held(
    outbox: Outbox, chain: Chain, now: list[float]
) -> None:
    chain.mining = False
    with pytest.raises(PendingError):
        outbox.send("deliver:1", CALL)
    chain.known.clear()  # the endpoint forgets; the file does not
    outbox.hold("deliver:1")
    assert len(set(chain.raws)) == 1 and sorted(chain.known.values()) == [7]


def test_what_was_only_planned_is_forgotten(outbox: Outbox, chain: Chain) -> None:
    outbox.plan("deliver:1", CALL)
    assert outbox.hold("deliver:1") is None
    assert outbox.find("deliver:1") is None
    assert chain.raws == []


def test_what_is_planned_anew_after_a_failure_can_be_held(outbox: Outbox, chain: Chain) -> None:
    chain.status = 0
    with pytest.raises(RevertError):
        outbox.send("deliver:1", CALL)
    chain.mined.clear()
    outbox.retry("deliver:1")
    assert outbox.hold("deliver:1") is None
    assert outbox.entry("deliver:1").state is OutboxState.PLANNED
    assert len(chain.raws) == 1


# -- stuck -------------------------------------------------------------------------------------------------------


def test_what_is_stuck_is_replaced_under_its_nonce_with_higher_fees(
    outbox: Outbox, chain: Chain, now: list[float], path: Path
) -> None:
    chain.mining = False
    with pytest.raises(PendingError):
        outbox.send("deliver:1", CALL)
    resume(outbox)
    assert len(set(chain.raws)) == 1
    now[0] += 61
    chain.known.clear()
    resume(outbox)
    assert len(set(chain.raws)) == 2 and [nonce_of(raw) for raw in dict.fromkeys(chain.raws)] == [7, 7]
    with closing(sqlite3.connect(path)) as db:
        (old, new) = db.execute("SELECT max_fee, priority FROM attempts ORDER BY rowid").fetchall()
    assert int(new[0]) > 1.1 * int(old[0]) and int(new[1]) > 1.1 * int(old[1])


def test_whichever_attempt_is_mined_the_operation_is_done(
    outbox: Outbox, chain: Chain, now: list[float]
) -> None:
    chain.mining = False
    with pytest.raises(PendingError) as first:
        outbox.send("deliver:1", CALL)
    now[0] += 61
    # The endpoint refuses the replacement: the first is about to be mined.
    resume(outbox)
    chain.mining = True
    chain.mine()
    assert [entry.state for entry in resume(outbox)] == [OutboxState.MINED]
    assert outbox.entry("deliver:1").tx_hash == first.value.tx_hash
    assert outbox.send("deliver:1", CALL).tx_hash == first.value.tx_hash


def test_a_replacement_keeps_to_the_limit_of_fees(chain: Chain, path: Path, now: list[float]) -> None:
    chain.mining = False
    with closing(
        Outbox(path, sender_of(chain, timeout=1, max_fee=3 * GWEI), clock=lambda: now[0], stuck_after=60)
    ) as outbox:
        with pytest.raises(PendingError):
            outbox.send("deliver:1", CALL)
        now[0] += 61
        (entry,) = resume(outbox)
        assert "above the limit" in entry.note and entry.state is OutboxState.SIGNED
    assert len(set(chain.raws)) == 1


# -- failures ----------------------------------------------------------------------------------------------------


def reverting(_: object) -> object:
    raise RpcFailure(3, "execution reverted", "0x4e487b71" + f"{0x11:064x}")


def test_what_would_revert_is_not_signed_and_can_be_tried_again(outbox: Outbox, chain: Chain) -> None:
    chain.handlers["eth_estimateGas"] = reverting
    with pytest.raises(RevertError):
        outbox.send("deliver:1", CALL)
    with pytest.raises(RevertError, match="overflow"):
        outbox.push("deliver:1")
    entry = outbox.entry("deliver:1")
    assert (entry.state, entry.nonce) == (OutboxState.PLANNED, None)
    chain.handlers["eth_estimateGas"] = lambda _: hex(21_000)
    assert outbox.send("deliver:1", CALL).status
    assert len(chain.raws) == 1


def test_what_reverted_has_failed_until_somebody_retries(outbox: Outbox, chain: Chain) -> None:
    chain.status = 0
    for _ in range(2):
        with pytest.raises(RevertError):
            outbox.send("deliver:1", CALL)
    assert len(chain.raws) == 1
    assert outbox.entry("deliver:1").state is OutboxState.FAILED
    chain.status = 1
    chain.mined.clear()
    assert outbox.retry("deliver:1").state is OutboxState.PLANNED
    assert outbox.send("deliver:1", CALL).status
    assert sorted(chain.known.values()) == [7, 8]


def test_what_was_mined_is_not_retried(outbox: Outbox) -> None:
    outbox.send("deliver:1", CALL)
    with pytest.raises(RefusedError):
        outbox.retry("deliver:1")


def test_a_nonce_taken_by_a_stranger_fails_the_operation(outbox: Outbox, chain: Chain) -> None:
    chain.mining = False
    with pytest.raises(PendingError):
        outbox.send("deliver:1", CALL)
    chain.known.clear()
    chain.nonce, chain.mining = 8, True
    (entry,) = resume(outbox)
    assert entry.state is OutboxState.FAILED and "used by another transaction" in entry.note
    with pytest.raises(RefusedError):
        outbox.send("deliver:1", CALL)
    outbox.retry("deliver:1")
    assert outbox.send("deliver:1", CALL).status
    assert list(chain.known.values()) == [8]


def test_what_is_mined_between_two_questions_has_not_failed(outbox: Outbox, chain: Chain) -> None:
    outbox.submit("deliver:1", CALL)
    # The first look at the receipt is too early, and the node that is asked for the transaction has not heard of it.
    answer, looks = chain.handlers["eth_getTransactionReceipt"], []
    chain.handlers["eth_getTransactionReceipt"] = lambda params: (
        answer(params) if looks else looks.append(1)  # type: ignore[func-returns-value]
    )
    chain.known.clear()
    assert [entry.state for entry in resume(outbox)] == [OutboxState.MINED]


def test_an_endpoint_that_is_away_leaves_it_signed(outbox: Outbox, chain: Chain) -> None:
    take = chain.handlers["eth_sendRawTransaction"]
    chain.handlers["eth_sendRawTransaction"] = reverting
    known = chain.handlers["eth_getTransactionByHash"]
    chain.handlers["eth_getTransactionByHash"] = lambda _: (_ for _ in ()).throw(RpcFailure(-32000, "busy"))
    with pytest.raises(PendingError):
        outbox.send("deliver:1", CALL)
    assert outbox.entry("deliver:1").state is OutboxState.SIGNED
    chain.handlers["eth_sendRawTransaction"], chain.handlers["eth_getTransactionByHash"] = take, known
    resume(outbox)
    assert outbox.send("deliver:1", CALL).status
    assert list(chain.known.values()) == [7]


# -- re-organisations --------------------------------------------------------------------------------------------


def test_a_lost_block_brings_the_same_transaction_back(chain: Chain, path: Path, now: list[float]) -> None:
    with closing(reopened(chain, path, now, depth=200)) as outbox:
        outbox.send("deliver:1", CALL)
        chain.mined.clear()
        chain.known.clear()
        chain.nonce, chain.mining = 7, False
        (entry,) = resume(outbox)
        assert (entry.state, entry.mined_in) == (OutboxState.SIGNED, None)
        chain.mining = True
        chain.mine()
        (entry,) = resume(outbox)
        assert entry.state is OutboxState.MINED
    assert len(set(chain.raws)) == 1


def test_a_deep_transaction_is_not_looked_at_again(chain: Chain, path: Path, now: list[float]) -> None:
    with closing(reopened(chain, path, now, depth=99)) as outbox:
        outbox.send("deliver:1", CALL)
        assert resume(outbox) == []


# -- the file ----------------------------------------------------------------------------------------------------


def test_a_second_user_is_kept_out_until_the_first_ends(chain: Chain, path: Path, now: list[float]) -> None:
    with closing(reopened(chain, path, now)), pytest.raises(UnsafeError, match="another process"):
        reopened(chain, path, now)
    reopened(chain, path, now).close()


def test_another_account_is_kept_out(chain: Chain, path: Path, now: list[float]) -> None:
    reopened(chain, path, now).close()
    with pytest.raises(UnsafeError, match="another account"):
        Outbox(path, Sender(rpc_of(chain), lambda: b"\x01" * 32))
    assert KEY != b"\x01" * 32


def test_a_damaged_file_is_refused(chain: Chain, path: Path, now: list[float]) -> None:
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(UnsafeError, match="damaged"):
        reopened(chain, path, now)


def test_a_file_that_cannot_be_made_is_a_matter_of_configuration(
    chain: Chain, tmp_path: Path, now: list[float]
) -> None:
    with pytest.raises(ConfigError):
        reopened(chain, tmp_path / "missing" / "outbox", now)


def test_only_its_owner_can_read_it(outbox: Outbox, path: Path) -> None:
    assert os.stat(path).st_mode & 0o077 == 0
    assert os.stat(path.with_name("outbox.sqlite.lock")).st_mode & 0o077 == 0


def test_every_write_waits_for_the_disk(outbox: Outbox) -> None:
    assert outbox._file._db.execute("PRAGMA synchronous").fetchone() == (2,)
