from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from steelyard.domain.types import account_word
from steelyard.errors import ChainError, LeaseError, TrailError
from steelyard.indexer.database import Database, open_database
from steelyard.indexer.lease import Lease
from steelyard.indexer.report import Fault, Progress, Proved, Report, Undone
from tests.support.history import CONTRACTS, Chain, Market, account
from tests.unit.indexer.following import follower, hash_of, rows


def grown(blocks: int = 30, each: int = 6, seed: int = 1, **options: Any) -> Chain:
    chain = Chain(Market(seed), **options)
    for _ in range(blocks):
        chain.mine(count=each)
    return chain


def fresh(chain: Chain, folder: Path) -> bytes:
    """Return the content hash of a new index of a chain."""
    database = open_database(folder / f"fresh-{len(list(folder.iterdir()))}.sqlite")
    follower(database, chain).step()
    found = hash_of(database)
    database.close()
    return found


class Hiding(Chain):
    """An endpoint of another's chain that leaves logs out of ranges, and of single blocks if ``always``."""

    def __init__(
        self, chain: Chain, hides: Callable[[dict[str, Any]], bool], *, always: bool = False
    ) -> None:
        self.__dict__.update(chain.__dict__)
        self.name, self.calls = "liar", []
        self.hides, self.always = hides, always

    def logs(self, query: dict[str, Any]) -> Any:
        if "blockHash" in query and not self.always:
            return super().logs(query)
        return [log for log in super().logs(query) if not self.hides(log)]


def nth(chain: Chain, number: int) -> Callable[[dict[str, Any]], bool]:
    """Name one log of a chain."""
    logs = [log for block in chain.blocks for log in block.logs]
    wanted = (logs[number]["blockNumber"], logs[number]["logIndex"])
    return lambda log: (log["blockNumber"], log["logIndex"]) == wanted


def of_subject(subject: str) -> Callable[[dict[str, Any]], bool]:
    return lambda log: log["topics"][1] == subject


# -- reading -----------------------------------------------------------------------------------------------


def test_a_step_reads_and_proves_everything(database: Database, tmp_path: Path) -> None:
    chain, told = grown(), list[Report]()
    step = follower(database, chain, tell=told.append).step()
    total = sum(len(block.logs) for block in chain.blocks)
    assert (step.block, step.moved, step.entries) == (30, True, total)
    assert rows(database, "SELECT count(*) FROM events") == [(total,)]
    assert rows(database, "SELECT number, proved FROM blocks ORDER BY number DESC LIMIT 1") == [(30, 1)]
    assert told[-1] == Proved(block=30, subjects=len(chain.blocks[-1].heads))
    assert hash_of(database) == fresh(chain, tmp_path)


def test_nothing_new_changes_nothing(database: Database) -> None:
    chain = grown(5)
    following = follower(database, chain)
    following.step()
    chain.calls.clear()
    assert not following.step().moved
    assert "eth_getLogs" not in chain.calls


def test_step_by_step_is_the_same_as_at_once(database: Database, tmp_path: Path) -> None:
    chain = Chain(Market(2))
    following = follower(database, chain)
    for _ in range(15):
        chain.mine(count=5)
        following.step()
    assert hash_of(database) == fresh(chain, tmp_path)


def test_times_come_from_headers_where_logs_have_none(database: Database, tmp_path: Path) -> None:
    chain = grown(times=False)
    follower(database, chain).step()
    assert hash_of(database) == fresh(grown(), tmp_path)


@pytest.mark.parametrize("time", [1 << 63, (1 << 64) - 1, 1 << 64, (1 << 256) - 1])
def test_a_time_that_no_chain_has_is_refused(database: Database, time: int) -> None:
    chain = grown(3)
    chain.mine([], time=time)
    with pytest.raises(ChainError):
        follower(database, chain).step()
    assert rows(database, "SELECT count(*) FROM events") == [(0,)]


def test_a_time_of_a_log_that_no_chain_has_is_refused(database: Database) -> None:
    chain = grown(3)
    chain.blocks[-1].logs[0]["blockTimestamp"] = hex(1 << 63)
    with pytest.raises(ChainError):
        follower(database, chain).step()


def test_ranges_that_are_refused_become_smaller(database: Database, tmp_path: Path) -> None:
    chain = grown(40)
    chain.most = 7
    follower(database, chain).step()
    assert max(last - first for first, last in chain.asked[-5:]) < 7
    chain.most = None
    assert hash_of(database) == fresh(chain, tmp_path)


def test_progress_ends_at_the_target(database: Database) -> None:
    told = list[Report]()
    follower(database, grown(), tell=told.append).step()
    last = [report for report in told if isinstance(report, Progress)][-1]
    assert (last.block, last.target, last.left) == (30, 30, 0)


def test_a_block_without_logs_moves_the_cursor(database: Database) -> None:
    chain = grown(3)
    following = follower(database, chain)
    following.step()
    chain.mine([])
    assert following.step().block == 4
    assert rows(database, "SELECT max(number) FROM blocks") == [(4,)]


def test_what_an_account_receives_is_no_entry(database: Database) -> None:
    """The treasury logs it with the same topic, and keeps no head of it."""
    chain = Chain(Market(1))
    received = chain.market._log("Received", account_word(account(1)), bytes(32), account(2), bytes(20), 5)
    chain.mine([received])
    chain.blocks[-1].heads.clear()
    assert follower(database, chain).step().entries == 0
    assert rows(database, "SELECT count(*) FROM heads") == [(0,)]


def test_a_chain_younger_than_the_market_is_an_empty_index(database: Database) -> None:
    assert follower(database, Chain()).step().block == 0


# -- re-organisations --------------------------------------------------------------------------------------


def test_a_reorganisation_leaves_no_trace(database: Database, tmp_path: Path) -> None:
    chain, told = grown(40, 5, seed=3), list[Report]()
    following = follower(database, chain, tell=told.append)
    for depth in (1, 2, 7, 30, 39, 40):
        following.step()
        top = len(chain.blocks) - 1
        chain.rewind(max(0, top - depth))
        for _ in range(depth + 1):
            chain.mine(count=4)
        step = following.step()
        assert step.undone is not None and step.undone <= top - depth
        assert hash_of(database) == fresh(chain, tmp_path)
    assert sum(isinstance(report, Undone) for report in told) == 6


def test_a_reorganisation_while_nobody_looked_is_found(
    databases: Callable[[], Database], tmp_path: Path
) -> None:
    chain = grown(12)
    follower(databases(), chain).step()
    chain.rewind(4)
    for _ in range(20):
        chain.mine(count=3)
    database = databases()
    follower(database, chain, lease=_after(database)).step()
    assert hash_of(database) == fresh(chain, tmp_path)


def _after(database: Database) -> Lease:
    """Return a lease as a process has it that starts when the last one is gone."""
    with database.write() as writer:
        writer.execute("DELETE FROM lease")
    return Lease()


def test_an_endpoint_that_is_behind_undoes_nothing_at_first(database: Database) -> None:
    chain = grown(10)
    following = follower(database, chain)
    following.step()
    chain.shown = 7
    step = following.step()
    assert step.behind and step.block == 10
    assert rows(database, "SELECT max(number) FROM blocks") == [(10,)]
    chain.shown = None
    assert not following.step().behind


def test_a_chain_that_stays_shorter_is_followed(database: Database, tmp_path: Path) -> None:
    chain = grown(10)
    following = follower(database, chain)
    following.step()
    chain.rewind(6)
    for _ in range(4):
        step = following.step()
    assert step.block == 6 and not step.behind
    assert hash_of(database) == fresh(chain, tmp_path)


def test_a_replaced_block_at_the_same_height_is_found(database: Database, tmp_path: Path) -> None:
    chain = grown(10)
    following = follower(database, chain)
    following.step()
    chain.rewind(9)
    chain.mine(count=9)
    assert following.step().undone == 9
    assert hash_of(database) == fresh(chain, tmp_path)


# -- lies --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1, 20, -1])
def test_a_hidden_log_is_found_and_nothing_of_it_stays(database: Database, number: int) -> None:
    chain = grown()
    told = list[Report]()
    liar = Hiding(chain, nth(chain, number), always=True)
    with pytest.raises(TrailError):
        follower(database, liar, tell=told.append).step()
    assert rows(database, "SELECT count(*) FROM events") == [(0,)]
    assert isinstance(told[-1], Fault) and told[-1].endpoint == "liar"


def test_the_error_names_subject_contract_and_endpoint(database: Database) -> None:
    chain = grown(2)
    asset = chain.blocks[-1].logs[0]["topics"][1]
    made = [log for block in chain.blocks for log in block.logs if log["topics"][1] == asset]
    last = made[-1]
    liar = Hiding(chain, lambda log: log == last, always=True)
    with pytest.raises(TrailError, match=f"{asset}.*(Assets|Market|Treasury|Channels).*liar"):
        follower(database, liar).step()


def test_only_what_is_not_proved_is_undone(database: Database) -> None:
    chain = grown(10)
    following = follower(database, chain)
    following.step()
    proved = hash_of(database)
    chain.mine(count=8)
    liar = Hiding(chain, nth(chain, -1), always=True)
    with pytest.raises(TrailError):
        follower(database, liar, lease=_after(database)).step()
    assert hash_of(database) == proved
    assert rows(database, "SELECT max(number) FROM blocks") == [(10,)]


def test_an_empty_answer_does_not_move_the_cursor(database: Database) -> None:
    chain = grown(6)
    liar = Hiding(chain, lambda log: True)
    with pytest.raises(TrailError, match="by its hash: it hides some"):
        follower(database, liar).step()
    assert rows(database, "SELECT count(*) FROM blocks") == [(0,)]


def test_a_false_header_is_refused(database: Database) -> None:
    chain = grown(3)
    chain.blocks[-1].header["gasUsed"] = "0x1"
    with pytest.raises(ChainError, match="does not hash to"):
        follower(database, chain).step()


def test_another_endpoint_is_asked_when_one_lies(database: Database, tmp_path: Path) -> None:
    chain, told = grown(), list[Report]()
    liar = Hiding(chain, nth(chain, 30), always=True)
    step = follower(database, liar, chain, confirm=False, tell=told.append).step()
    assert step.block == 30
    assert [report.endpoint for report in told if isinstance(report, Fault)] == ["liar"]
    assert hash_of(database) == fresh(chain, tmp_path)


@pytest.mark.parametrize("honest_first", [False, True])
def test_an_asset_hidden_from_its_first_entry_on_is_found_by_two(
    database: Database, tmp_path: Path, honest_first: bool
) -> None:
    chain, told = grown(), list[Report]()
    (asset,) = {
        log["topics"][1] for block in chain.blocks[:2] for log in block.logs if log["topics"][1] < "0x8"
    } or {""}
    liar = Hiding(chain, of_subject(asset), always=True)
    order = (chain, liar) if honest_first else (liar, chain)
    follower(database, *order, tell=told.append).step()
    faults = [report for report in told if isinstance(report, Fault)]
    assert faults and faults[0].endpoint == "liar" and asset in str(faults[0].error)
    assert hash_of(database) == fresh(chain, tmp_path)


def test_an_endpoint_that_fails_is_left_for_another(database: Database) -> None:
    chain, told = grown(5), list[Report]()
    broken = grown(5)
    broken.name = "broken"
    broken.answer = lambda method, params: {"code": -32000, "message": "no"}  # type: ignore[method-assign]
    follower(database, broken, chain, confirm=False, tell=told.append).step()
    assert [report.endpoint for report in told if isinstance(report, Fault)] == ["broken"]


@pytest.mark.parametrize(
    "what", ["doubled", "shuffled", "of another contract", "of another range", "removed", "cut"]
)
def test_answers_that_are_not_what_was_asked_for_are_refused(database: Database, what: str) -> None:
    chain = grown(6)

    def lies(query: dict[str, Any]) -> Any:
        logs = Chain.logs(chain, query)
        if what == "doubled":
            return [*logs, logs[-1]]
        if what == "shuffled":
            return logs[::-1]
        changes: dict[str, dict[str, object]] = {
            "of another contract": {"address": "0x" + CONTRACTS["Directory"].hex()},
            "of another range": {"blockNumber": hex(77)},
            "removed": {"removed": True},
            "cut": {"data": logs[-1]["data"][:-1]},
        }
        return [*logs[:-1], {**logs[-1], **changes[what]}]

    chain.logs = lies  # type: ignore[method-assign]
    with pytest.raises(ChainError):
        follower(database, chain).step()
    assert rows(database, "SELECT count(*) FROM events") == [(0,)]


# -- one writer --------------------------------------------------------------------------------------------


def test_who_does_not_hold_the_lease_writes_nothing(databases: Callable[[], Database]) -> None:
    chain = grown(3)
    first, second = databases(), databases()
    follower(first, chain).step()
    before = hash_of(second)
    chain.mine(count=3)
    with pytest.raises(LeaseError):
        follower(second, chain).step()
    assert hash_of(second) == before


def test_who_takes_over_goes_on_where_the_other_one_was(
    databases: Callable[[], Database], tmp_path: Path
) -> None:
    chain = grown(6)
    first, second = databases(), databases()
    one, other = follower(first, chain), follower(second, chain)
    for turn in range(6):
        chain.mine(count=4)
        with first.write() as writer:
            writer.execute("UPDATE lease SET until = 0")
        (one, other)[turn % 2].step()
    assert hash_of(first) == fresh(chain, tmp_path)


def test_what_was_hidden_before_the_last_proof_is_read_again(database: Database, tmp_path: Path) -> None:
    """An asset's first entry was hidden, and proved blocks lie above it: the next entry about it cannot be folded."""
    chain = grown(3)
    chain.mine(chain.market.register(0))
    asset = chain.blocks[-1].logs[0]["topics"][1]
    liar = Hiding(chain, of_subject(asset), always=True)
    following = follower(database, liar)
    following.step()
    assert rows(database, "SELECT max(number) FROM blocks WHERE proved = 1") == [(4,)]
    chain.mine(chain.market._version(bytes.fromhex(asset[2:])))
    liar.hides = lambda log: False
    for _ in range(2):
        with pytest.raises(TrailError, match="never registered"):
            following.step()
    assert following.step().block == 5
    assert hash_of(database) == fresh(chain, tmp_path)
