"""Several endpoints: who leads, who confirms, and whom nobody can prove right. With receipts and proofs: tests/faults/test_liars.py."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from steelyard.chain.transport import Answer, TransportFault
from steelyard.domain.hash import keccak256
from steelyard.domain.header import encode_fields
from steelyard.errors import ChainError, NotFoundError
from steelyard.indexer.database import Database, open_database
from steelyard.indexer.report import Fault, Report, Undone
from tests.support.history import Chain, Market
from tests.unit.indexer.following import follower, hash_of, rows

LOOKS = 22
"""More than an endpoint may stand still."""


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return open_database(tmp_path / "index.sqlite")


class View(Chain):
    """An endpoint of another's chain, under a name of its own."""

    def __init__(self, chain: Chain, name: str) -> None:
        self.__dict__.update(chain.__dict__)
        self.name, self.calls, self.asked = name, [], []
        self.hides: Callable[[dict[str, Any]], bool] = lambda log: False
        self.forged: dict[int, dict[str, Any]] = {}
        """False headers by number; their hashes stand in logs too."""
        self.is_dead = False

    def exchange(self, body: bytes) -> Answer:
        if self.is_dead:
            self.calls.append("nothing")
            raise TransportFault(f"no answer from {self.name}")
        return super().exchange(body)

    def answer(self, method: str, params: list[Any]) -> Any:
        found = super().answer(method, params)
        if method == "eth_getBlockByNumber" and params[0] == "latest" and self.forged:
            found = self.forged.get(max(self.forged), found) if max(self.forged) >= self.newest else found
        if method == "eth_getBlockByNumber" and params[0] != "latest":
            found = self.forged.get(int(params[0], 16), found)
        return found

    def logs(self, query: dict[str, Any]) -> Any:
        if "blockHash" in query:
            number = next((n for n, h in self.forged.items() if h["hash"] == query["blockHash"]), None)
            if number is not None and number < len(self.blocks):
                query = {"blockHash": self.blocks[number].header["hash"]}
        logs = super().logs(query)
        if not isinstance(logs, list):
            return logs
        return [self._told(log) for log in logs if not self.hides(log)]

    def head(self, call: dict[str, str], at: dict[str, str]) -> Any:
        number = next((n for n, h in self.forged.items() if h["hash"] == at["blockHash"]), None)
        if number is not None:
            at = {"blockHash": self.blocks[min(number, self.newest)].header["hash"]}
        return super().head(call, at)

    def _told(self, log: dict[str, Any]) -> dict[str, Any]:
        header = self.forged.get(int(log["blockNumber"], 16))
        return log if header is None else {**log, "blockHash": header["hash"]}

    def forge(self, number: int, **fields: str) -> None:
        """Have a header of its own at a number, whose hash fits."""
        header = {**self.blocks[min(number, len(self.blocks) - 1)].header, "number": hex(number), **fields}
        header["hash"] = "0x" + keccak256(encode_fields(header)).hex()
        self.forged[number] = header


def grown(blocks: int = 12, each: int = 3) -> Chain:
    chain = Chain(Market(5), name="real")
    for _ in range(blocks):
        chain.mine(count=each)
    return chain


def fresh(chain: Chain, folder: Path) -> bytes:
    database = open_database(folder / f"fresh-{len(list(folder.iterdir()))}.sqlite")
    follower(database, View(chain, "fresh")).step()
    found = hash_of(database)
    database.close()
    return found


def fork(chain: Chain, name: str, depth: int, blocks: int) -> View:
    """Return an endpoint of another history since some blocks ago."""
    other = Chain(chain.market)
    other.__dict__.update(copy.deepcopy({k: v for k, v in chain.__dict__.items() if k != "market"}))
    other.market = copy.deepcopy(chain.market)
    other.rewind(chain.newest - depth)
    for _ in range(blocks):
        other.mine(count=2)
    return View(other, name)


def named(told: list[Report]) -> list[str]:
    return [report.endpoint for report in told if isinstance(report, Fault)]


def newest_row(database: Database) -> tuple[int, int]:
    """Return number and ``proved`` of the newest block."""
    return rows(database, "SELECT number, proved FROM blocks ORDER BY number DESC LIMIT 1")[0]


def unconfirmed(database: Database) -> list[str]:
    return [row[0] for row in rows(database, "SELECT value FROM meta WHERE name = 'unconfirmed'")]


def catch_up(step: Callable[[], object], looks: int = LOOKS) -> None:
    for _ in range(looks):
        step()


# -- behind ------------------------------------------------------------------------------------------------


def test_who_stands_still_is_left_for_who_is_further_and_that_is_not_proved(
    database: Database, tmp_path: Path
) -> None:
    chain, told = grown(), list[Report]()
    slow, other = View(chain, "slow"), View(chain, "other")
    slow.shown = 9
    following = follower(database, slow, other, tell=told.append)
    assert following.step().block == 9
    catch_up(following.step)
    assert newest_row(database) == (12, 0) and "slow" in named(told)
    assert hash_of(database) == fresh(chain, tmp_path)
    slow.shown = None
    following.step()
    assert newest_row(database) == (12, 1)


def test_who_moves_on_is_not_left(database: Database) -> None:
    chain, told = grown(60, 0), list[Report]()
    slow, other = View(chain, "slow"), View(chain, "other")
    following = follower(database, slow, other, tell=told.append)
    for number in range(10, 50):
        slow.shown = number
        assert following.step().block == number
    assert named(told) == []


def test_blocks_that_do_not_link_do_not_lead(database: Database) -> None:
    chain, told = grown(), list[Report]()
    honest, liar = View(chain, "honest"), View(chain, "liar")
    liar.forge(12 + 256)
    liar.forge(5_000_000)
    following = follower(database, honest, liar, tell=told.append)
    catch_up(following.step, 2 * LOOKS)
    assert newest_row(database) == (12, 1)
    assert set(named(told)) == {"liar"}


def test_a_chain_that_is_invented_is_followed_a_little_way_and_given_up(
    database: Database, tmp_path: Path
) -> None:
    """On a chain that stands still, the second endpoint goes on with blocks of its own, and claims to be millions further."""
    chain = grown()
    honest, liar = View(chain, "honest"), View(chain, "liar")
    empty = {"logsBloom": "0x" + "00" * 256}
    parent = chain.blocks[12].header["hash"]
    for number in (*range(13, 12 + 257), *range(5_000_000 - 256, 5_000_001)):
        liar.forge(number, parentHash=parent, **empty)
        parent = liar.forged[number]["hash"]
    following = follower(database, honest, liar)
    for _ in range(2 * LOOKS):
        with contextlib.suppress(ChainError, NotFoundError):
            following.step()
    assert newest_row(database) == (12 + 256, 0)
    assert rows(database, "SELECT max(number) FROM blocks WHERE proved = 1") == [(12,)]
    chain.mine(count=2)
    following.step()
    assert newest_row(database) == (13, 0)
    assert hash_of(database) == fresh(chain, tmp_path)


def test_a_second_endpoint_that_is_one_block_behind_delays_the_proof_only(
    databases: Callable[[], Database],
) -> None:
    database, chain = databases(), grown()
    one, other = View(chain, "one"), View(chain, "other")
    other.shown = 11
    following = follower(database, one, other)
    assert following.step().block == 12
    assert newest_row(database) == (12, 0) and unconfirmed(database) == ["12"]
    other.shown = None
    following.step()
    assert newest_row(database) == (12, 1) and unconfirmed(database) == []


@pytest.mark.parametrize("third", [False, True])
def test_a_second_endpoint_that_is_stuck_holds_the_proof_and_not_the_index(
    database: Database, third: bool
) -> None:
    chain, told = grown(), list[Report]()
    one, stuck = View(chain, "one"), View(chain, "stuck")
    stuck.shown = 7
    others = [View(chain, "third")] if third else []
    following = follower(database, one, stuck, *others, tell=told.append)
    catch_up(following.step)
    assert newest_row(database) == (12, int(third))
    assert unconfirmed(database) == ([] if third else ["8"])
    assert set(named(told)) == {"stuck"}


def test_what_a_stuck_endpoint_did_not_confirm_a_preferred_liar_cannot_have_proved(
    database: Database,
) -> None:
    """On a chain that stands still, blocks that the preferred endpoint invents are not proved, however long nobody contradicts."""
    chain = grown()
    liar, honest = View(chain, "liar"), View(chain, "honest")
    parent = chain.blocks[12].header["hash"]
    for number in range(13, 15):
        liar.forge(number, parentHash=parent, logsBloom="0x" + "00" * 256)
        parent = liar.forged[number]["hash"]
    following = follower(database, liar, honest)
    catch_up(following.step, 3 * LOOKS)
    assert newest_row(database) == (14, 0)
    assert rows(database, "SELECT count(*) FROM blocks WHERE proved = 1 AND number > 12") == [(0,)]


def test_a_leader_behind_the_index_undoes_nothing_that_another_one_has(database: Database) -> None:
    chain = grown()
    one, other = View(chain, "one"), View(chain, "other")
    following = follower(database, one, other)
    following.step()
    one.shown = 5
    catch_up(following.step, 6)
    assert newest_row(database) == (12, 1)


# -- confirmed late ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("silent", [False, True])
def test_what_one_told_alone_is_undone_when_another_one_knows_better(
    tmp_path: Path, restarted: bool, silent: bool
) -> None:
    database = open_database(tmp_path / "index.sqlite")
    chain, told = grown(), list[Report]()
    liar, honest = View(chain, "liar"), View(chain, "honest")
    following = follower(database, liar, honest, tell=told.append)
    following.step()
    honest.shown, honest.is_dead = 12, silent
    chain.mine(chain.market.register(0))
    asset = chain.blocks[-1].logs[0]["topics"][1]
    liar.hides = lambda log: bool(log["topics"][1] == asset)
    following.step()
    assert rows(database, "SELECT 1 FROM assets WHERE id = ?", bytes.fromhex(asset[2:])) == []
    assert unconfirmed(database) == ["13"]
    if restarted:
        database.close()
        database = open_database(tmp_path / "index.sqlite")
        with database.write() as writer:
            writer.execute("DELETE FROM lease")
        following = follower(database, liar, honest, tell=told.append)
    honest.shown, honest.is_dead = None, False
    catch_up(following.step, 3)
    assert newest_row(database) == (13, 1) and unconfirmed(database) == []
    assert hash_of(database) == fresh(chain, tmp_path)
    assert any(isinstance(report, Undone) and report.block == 12 for report in told)
    assert "liar" in named(told)


def test_who_does_not_answer_is_left_alone_for_longer_and_longer(database: Database) -> None:
    chain = grown()
    one, dead = View(chain, "one"), View(chain, "dead")
    dead.is_dead = True
    following = follower(database, one, dead)
    for _ in range(40):
        chain.mine(count=1)
        following.step()
    assert len(dead.calls) <= 6
    assert newest_row(database) == (52, 1)


def test_a_second_endpoint_may_take_shorter_ranges_only(database: Database) -> None:
    chain, told = grown(40), list[Report]()
    one, other = View(chain, "one"), View(chain, "other")
    other.most = 7
    follower(database, one, other, tell=told.append).step()
    assert newest_row(database) == (40, 1) and named(told) == [] and unconfirmed(database) == []


# -- other headers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("honest_first", [False, True])
@pytest.mark.parametrize("most", [None, 40])
def test_a_forged_header_far_below_is_found_by_its_children(
    database: Database, tmp_path: Path, honest_first: bool, most: int | None
) -> None:
    """``most``: so that a range ends in a forged block."""
    chain, told = grown(400, 1), list[Report]()
    honest, liar = View(chain, "honest"), View(chain, "liar")
    honest.most = liar.most = most
    for number in range(20, 70):
        liar.forge(number, receiptsRoot="0x" + "11" * 32)
    order = (honest, liar) if honest_first else (liar, honest)
    following = follower(database, *order, tell=told.append)
    following.step()
    assert newest_row(database) == (400, 1)
    assert set(named(told)) == {"liar"}
    assert any("forges the header of block 69" in str(one.error) for one in told if isinstance(one, Fault))
    assert hash_of(database) == fresh(chain, tmp_path)
    real = [bytes.fromhex(block.header["hash"][2:]) for block in chain.blocks]
    assert all(real[number] == value for number, value in rows(database, "SELECT number, hash FROM blocks"))


def test_of_two_histories_the_preferred_one_is_followed_and_not_proved(
    database: Database, tmp_path: Path
) -> None:
    chain, told = grown(), list[Report]()
    one, other = View(chain, "one"), fork(chain, "other", 3, 3)
    following = follower(database, one, other, tell=told.append)
    following.step()
    assert newest_row(database) == (12, 0) and unconfirmed(database) == ["1"]
    assert named(told) == ["other"]
    assert hash_of(database) == fresh(chain, tmp_path)


def test_the_preferred_history_is_followed_again_when_its_endpoint_is_back(
    database: Database, tmp_path: Path
) -> None:
    chain = grown()
    one, other = View(chain, "one"), fork(chain, "other", 3, 4)
    one.is_dead = True
    following = follower(database, one, other)
    following.step()
    assert newest_row(database)[0] == 13
    one.is_dead = False
    catch_up(following.step, 4)
    assert newest_row(database) == (12, 0)
    assert hash_of(database) == fresh(chain, tmp_path)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_of_three_the_majority_is_followed_and_proved(database: Database, tmp_path: Path, place: int) -> None:
    chain, told = grown(), list[Report]()
    order: list[Chain] = [View(chain, "one"), View(chain, "other")]
    order.insert(place, fork(chain, "liar", 3, 3))
    following = follower(database, *order, tell=told.append)
    catch_up(following.step, 2)
    assert newest_row(database) == (12, 1)
    assert set(named(told)) <= {"liar"}
    assert hash_of(database) == fresh(chain, tmp_path)


@pytest.mark.parametrize("honest", [1, 2])
def test_a_block_that_there_is_not_is_never_proved_and_goes(
    database: Database, tmp_path: Path, honest: int
) -> None:
    """The preferred endpoint invents a child of the newest block, until there is one and most others have it."""
    chain = grown()
    liar = View(chain, "liar")
    liar.forge(13, parentHash=chain.blocks[12].header["hash"], logsBloom="0x" + "00" * 256)
    following = follower(database, liar, *(View(chain, f"honest {n}") for n in range(honest)))
    following.step()
    assert newest_row(database) == (13, 0)
    chain.mine(count=2)
    chain.mine(count=2)
    liar.shown = 12
    catch_up(following.step, 4)
    if honest == 2:
        assert newest_row(database) == (14, 1)
        assert hash_of(database) == fresh(chain, tmp_path)
    else:  # which of the two is the chain, nobody can prove
        assert newest_row(database) == (13, 0)


@pytest.mark.parametrize("how", ["no heads", "not linked", "silent"])
def test_who_cannot_show_what_he_says_has_no_voice(database: Database, tmp_path: Path, how: str) -> None:
    """The preferred endpoint has another newest block, and nothing that goes with it: the other one leads."""
    chain, told = grown(), list[Report]()
    liar, honest = View(chain, "liar"), View(chain, "honest")
    following = follower(database, liar, honest, tell=told.append)
    following.step()
    answer = liar.answer

    def poor(method: str, params: list[Any]) -> Any:
        if method in {"no heads": ("eth_call",), "silent": ("eth_getLogs", "eth_call")}.get(how, ()):
            if how == "silent":
                raise TransportFault("no answer from liar")
            return {"code": -32000, "message": "no such block"}
        return answer(method, params)

    liar.answer = poor  # type: ignore[method-assign]
    for _ in range(6):
        chain.mine(count=2)
        last = chain.blocks[-1].header
        parent = "0x" + "77" * 32 if how == "not linked" else last["parentHash"]
        liar.forge(chain.newest, stateRoot="0x" + "22" * 32, parentHash=parent)
        following.step()
        assert newest_row(database)[0] == chain.newest
        assert hash_of(database) == fresh(chain, tmp_path)
    assert "liar" in named(told)
    real = [bytes.fromhex(block.header["hash"][2:]) for block in chain.blocks]
    assert all(real[number] == value for number, value in rows(database, "SELECT number, hash FROM blocks"))
    assert newest_row(database)[1] == 0


def test_nothing_is_undone_for_headers_that_do_not_hash(database: Database) -> None:
    chain = grown()
    liar = View(chain, "liar")
    following = follower(database, liar)
    following.step()
    chain.mine(count=2)
    chain.mine(count=2)
    for number in range(13):
        liar.forge(number)
        liar.forged[number]["hash"] = "0x" + "77" * 32
    with pytest.raises(ChainError):
        following.step()
    assert newest_row(database) == (12, 1)


# -- liars -------------------------------------------------------------------------------------------------


def test_who_was_honest_first_and_lies_then_is_found(database: Database, tmp_path: Path) -> None:
    chain, told = grown(), list[Report]()
    liar, honest = View(chain, "liar"), View(chain, "honest")
    following = follower(database, liar, honest, tell=told.append)
    following.step()
    assert named(told) == []
    for _ in range(5):
        chain.mine(count=4)
        last = chain.blocks[-1].logs[-1]
        liar.hides = lambda log, last=last: bool(log == last)  # type: ignore[misc]
        following.step()
    assert newest_row(database) == (17, 1)
    assert set(named(told)) == {"liar"}
    assert hash_of(database) == fresh(chain, tmp_path)


def test_a_liar_leads_no_longer_and_has_no_voice(database: Database, tmp_path: Path) -> None:
    chain = grown(400, 1)
    liar, honest = View(chain, "liar"), View(chain, "honest")
    for number in range(20, 70):
        liar.forge(number, receiptsRoot="0x" + "11" * 32)
    following = follower(database, liar, honest)
    following.step()
    assert following._endpoints.leader.name == "honest"
    # Now it has another newest block, and is the preferred one; but it was convicted.
    liar.forge(400, stateRoot="0x" + "22" * 32)
    chain.mine(count=1)
    liar.shown = 400
    following.step()
    assert newest_row(database) == (401, 1)
    assert hash_of(database) == fresh(chain, tmp_path)
