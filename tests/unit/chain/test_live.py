"""Against a chain of this machine: what the package computes and sends is what the contracts compute and do."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import steelyard
from steelyard.chain import deploy as deployment_plan
from steelyard.chain.calls import Call, Calls, call_data
from steelyard.chain.deploy import deploy, verify
from steelyard.chain.deployment import Deployed, Deployment
from steelyard.chain.hexdata import checksum_address, quantity, to_hex
from steelyard.chain.node import Node
from steelyard.chain.outbox import Outbox
from steelyard.chain.outbox_file import OutboxState
from steelyard.chain.rpc import Rpc
from steelyard.chain.sender import Sender
from steelyard.chain.views import Views
from steelyard.domain.hash import keccak256
from steelyard.domain.types import (
    NATIVE,
    Address,
    NodeId,
    OfferId,
    PurchaseId,
    RequestState,
    Role,
    State,
    VersionId,
    account_word,
    asset_id,
    name_word,
    node_id,
)
from steelyard.errors import (
    ChainError,
    InputError,
    NotFoundError,
    RefusedError,
    RevertError,
    VerificationError,
    WrongChainError,
)

from . import values as v
from .conftest import MIN_BOND


@pytest.fixture(scope="module")
def views(rpc: Rpc, market: Deployment) -> Views:
    return Views(rpc, market)


@pytest.fixture
def fresh(node: Node, rpc: Rpc) -> Sender:
    """An account that nothing else uses, with 10 coins."""
    key = os.urandom(32)
    sender = Sender(rpc, lambda: key, poll=0.02)
    rpc.call("anvil_setBalance", (checksum_address(sender.address), quantity(10**19)))
    return sender


# -- ids ---------------------------------------------------------------------------------------------------------


def test_ids_are_those_of_the_contracts(views: Views, market: Deployment) -> None:
    name = name_word("digits")
    at = {"chain_id": market.chain_id, "market": market.market}
    assert views.asset_of(v.ACCOUNT, name) == asset_id(
        chain_id=market.chain_id, registry=market.assets, creator=v.ACCOUNT, name=name
    )
    assert views.version_of(v.VERSION) == v.VERSION.id
    assert views.offer_of(v.ASSET, v.TERMS) == v.TERMS.id(v.ASSET)
    assert views.ids_of(v.ORDER) == (v.VERSION.id, v.ORDER.offer, v.ORDER.id(**at))
    assert views.request_of(v.REQUEST) == v.REQUEST.id(**at)
    assert views.node_of(b"\x05" * 32, v.POSITIONS) == node_id(b"\x05" * 32, v.POSITIONS)


# -- views -------------------------------------------------------------------------------------------------------


def test_what_does_not_exist_reads_as_absent(views: Views, market: Deployment) -> None:
    licence, node = PurchaseId(b"\x01" * 32), NodeId(b"\x80" * 32)
    assert views.owner_of(v.ASSET) is None
    assert views.licence_owner(licence) is None
    assert views.release(VersionId(b"\x01" * 32)).published_at == 0
    assert views.sale_state(v.ASSET, v.VERSION.id) == (0, 0)
    assert views.offer(OfferId(b"\x01" * 32)).opened_at == 0
    assert views.licence(licence).state is State.NONE
    assert views.request(views.request_of(v.REQUEST)).state is RequestState.NONE
    assert not views.is_valid(licence) and not views.flagged(v.VERSION_ID) and not views.key_used(3)
    assert not views.covers(licence, asset=v.ASSET, version=v.VERSION_ID, published_at=1)
    assert views.licences_held(v.ACCOUNT) == 0
    assert views.balance(account_word(v.ACCOUNT)) == views.paid(node, 0) == 0
    assert views.holder(node, 0) is None
    assert views.head("Market", v.ASSET) == bytes(32)
    with pytest.raises(RevertError) as caught:
        views.info(v.ASSET)
    assert caught.value.name == "Assets_NoAsset"
    with pytest.raises(RevertError) as caught:
        views.may(v.ASSET, v.ACCOUNT, Role.SELLER)
    assert caught.value.name == "ERC721NonexistentToken"


def test_a_view_reads_its_block(views: Views, market: Deployment, fresh: Sender) -> None:
    receipt = fresh.send(Calls(market).fund_bond(v.ACCOUNT, 5))
    later = views.at(receipt.block_number).free_bond(v.ACCOUNT)
    assert views.at(receipt.block_number - 1).free_bond(v.ACCOUNT) == later - 5
    assert views.at(receipt.block_hash).free_bond(v.ACCOUNT) == later


def test_a_contract_that_is_not_there_is_noticed(rpc: Rpc, market: Deployment) -> None:
    elsewhere = replace(market.contracts["Market"], address=Address(b"\x99" * 20))
    wrong = replace(market, contracts={**market.contracts, "Market": elsewhere})
    with pytest.raises(VerificationError, match="no contract"):
        Views(rpc, wrong).min_bond()


def test_a_deployment_on_another_chain_is_refused(rpc: Rpc, market: Deployment) -> None:
    with pytest.raises(ChainError):
        Views(rpc, replace(market, chain_id=5))


def test_another_chain_is_noticed(node: Node) -> None:
    with Rpc(node.url, chain_id=5) as other, pytest.raises(WrongChainError):
        other.block_number()


def test_nobody_listening_is_a_chain_error() -> None:
    rpc = Rpc("http://127.0.0.1:9", chain_id=1, sleep=lambda _: None)
    with pytest.raises(ChainError, match=r"http://127\.0\.0\.1:9"):
        rpc.block_number()


def test_blocks_proofs_and_code_are_read(rpc: Rpc, market: Deployment) -> None:
    block = rpc.get_block("latest")
    assert rpc.get_block(block.hash) == block == rpc.get_block(block.number)
    slot = bytes(32)
    proof = rpc.get_proof(market.directory, [slot, (5).to_bytes(32, "big")], block=block.number)
    assert proof.nonce == 1 and proof.proof and len(proof.storage) == 2
    assert rpc.get_code(market.directory) and rpc.get_code(v.ACCOUNT) == b""
    with pytest.raises(NotFoundError):
        rpc.get_block(10**9)


# -- sending -----------------------------------------------------------------------------------------------------


def test_money_goes_round(views: Views, market: Deployment, fresh: Sender) -> None:
    calls, account = Calls(market), account_word(fresh.address)
    fresh.send(calls.fund_bond(fresh.address, 100))
    fresh.send(calls.take_bond(60))
    fresh.send(calls.withdraw(v.ACCOUNT, NATIVE, 50))
    assert (views.free_bond(fresh.address), views.balance(account)) == (40, 10)


def test_a_revert_is_told_before_anything_is_sent(rpc: Rpc, market: Deployment, fresh: Sender) -> None:
    with pytest.raises(RevertError) as caught:
        fresh.send(Calls(market).take_bond(1))
    assert (caught.value.name, caught.value.args_) == ("Escrow_BondTooLow", (0, 1))
    assert rpc.get_nonce(fresh.address) == 0


def test_a_revert_in_its_block_says_why(market: Deployment, fresh: Sender) -> None:
    # The one is simulated before the other is mined.
    calls = Calls(market)
    fresh.send(calls.fund_bond(fresh.address, 10))
    estimate = fresh.estimate(calls.take_bond(10))
    fresh.send(calls.take_bond(10))
    with fresh.nonce() as nonce:
        signed = fresh.sign(
            calls.take_bond(10), nonce=nonce, gas_limit=estimate.gas_limit, fees=estimate.fees
        )
    fresh.broadcast(signed)
    receipt = fresh.wait(signed)
    assert not receipt.status
    with pytest.raises(RevertError) as caught:
        fresh.finish(calls.take_bond(10), receipt)
    assert caught.value.name == "Escrow_BondTooLow"


def test_an_empty_account_cannot_pay(rpc: Rpc, market: Deployment) -> None:
    with pytest.raises(RefusedError, match="cannot pay"):
        Sender(rpc, lambda: os.urandom(32)).send(Calls(market).fund_bond(v.ACCOUNT, 10**20))


def test_eight_threads_lose_and_double_nothing(
    rpc: Rpc, views: Views, market: Deployment, fresh: Sender
) -> None:
    call = Calls(market).fund_bond(fresh.address, 1)
    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(lambda _: fresh.send(call, gas=100_000), range(400)))
    assert len({receipt.tx_hash for receipt in receipts}) == 400
    assert views.free_bond(fresh.address) == rpc.get_nonce(fresh.address) == 400


def test_many_are_sent_at_once(views: Views, market: Deployment, fresh: Sender) -> None:
    receipts = fresh.send_many([Calls(market).fund_bond(fresh.address, 1)] * 200, gas=100_000)
    assert all(receipt.status for receipt in receipts)
    assert views.free_bond(fresh.address) == 200


def test_two_senders_of_one_account_get_by(market: Deployment, views: Views, rpc: Rpc, fresh: Sender) -> None:
    other = Sender(rpc, fresh._key, poll=0.02)
    call = Calls(market).fund_bond(fresh.address, 1)
    for sender in (fresh, other, fresh, other, other, fresh):
        sender.send(call)
    assert views.free_bond(fresh.address) == 6


# -- outbox ------------------------------------------------------------------------------------------------------

# Importing web3 takes longer than everything else here, so one process imports it and its children are killed.
WORKER = """
import os, signal, sys, time
from pathlib import Path
import web3
from steelyard.chain.calls import Calls
from steelyard.chain.deployment import Deployed, Deployment
from steelyard.chain.outbox import Outbox
from steelyard.chain.rpc import Rpc
from steelyard.chain.sender import Sender

url, deployment, path, key, count, kills = sys.argv[1:]
market = Deployment.load(Path(deployment))

def work(ready):
    sender = Sender(Rpc(url, chain_id=31337), lambda: bytes.fromhex(key), poll=0.02)
    outbox = Outbox(Path(path), sender)
    os.write(ready, b"!")
    while waiting := [entry for entry in outbox.open_entries() if entry.state in ("planned", "signed")]:
        for entry in waiting:
            outbox.push(entry.name)
    for number in range(int(count)):
        seller = number.to_bytes(20, "big") if number else b"\\1" * 20
        outbox.send(f"bond:{number}", Calls(market).fund_bond(seller, 1))

killed = 0
while True:
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            work(writing)
            os._exit(0)
        except BaseException as exc:
            os.write(2, repr(exc).encode())
            os._exit(1)
    os.close(writing)
    os.read(reading, 1)
    if killed < int(kills):
        time.sleep(0.01 + 0.017 * killed)
        os.kill(child, signal.SIGKILL)
    how = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if how != -signal.SIGKILL:
        sys.exit(how if killed else 2)
    killed += 1
"""


def test_kills_lose_and_double_no_operation(
    node: Node, rpc: Rpc, market: Deployment, views: Views, fresh: Sender, tmp_path: Path
) -> None:
    market.save(tmp_path / "market.json")
    count, kills = 120, 12
    files = [str(tmp_path / "market.json"), str(tmp_path / "outbox")]
    done = subprocess.run(
        [sys.executable, "-c", WORKER, node.url, *files, fresh._key().hex(), str(count), str(kills)],
        env={**os.environ, "PYTHONPATH": str(Path(steelyard.__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    sellers = [Address(number.to_bytes(20, "big") if number else b"\x01" * 20) for number in range(count)]
    assert [views.free_bond(seller) for seller in sellers] == [1] * count
    assert rpc.get_nonce(fresh.address) == count
    with closing(Outbox(tmp_path / "outbox", fresh)) as outbox:
        assert {entry.state for entry in outbox.entries()} == {OutboxState.MINED}


def test_a_stuck_transaction_is_replaced(
    rpc: Rpc, views: Views, market: Deployment, fresh: Sender, tmp_path: Path
) -> None:
    now = [0.0]
    call = Calls(market).fund_bond(fresh.address, 3)
    with closing(Outbox(tmp_path / "outbox", fresh, stuck_after=60, clock=lambda: now[0])) as outbox:
        rpc.call("evm_setAutomine", (False,))
        try:
            outbox.submit("bond", call)
            now[0] = 61
            outbox.push("bond")
            rpc.call("evm_mine")
            entry = outbox.push("bond")
        finally:
            rpc.call("evm_setAutomine", (True,))
        assert entry.state is OutboxState.MINED
        assert entry.tx_hash == outbox.attempts(entry)[-1].tx_hash != outbox.attempts(entry)[0].tx_hash
    assert (views.free_bond(fresh.address), rpc.get_nonce(fresh.address)) == (3, 1)


# -- deployment --------------------------------------------------------------------------------------------------


def test_a_deployment_lists_the_contracts_and_leaves_nobody_in_charge(
    views: Views, market: Deployment
) -> None:
    assert views.listed() == market.listed
    assert views.curator() is None and views.pending_curator() is None
    assert views.min_bond() == market.min_bond == MIN_BOND


def test_a_curator_has_the_directory_and_the_deployer_has_not(rpc: Rpc, owner: Sender, fresh: Sender) -> None:
    market = deploy(owner, min_bond=0, curator=fresh.address)
    calls = Calls(market)
    with pytest.raises(RevertError) as caught:
        owner.send(calls.list_contract(market.fraud_checker))
    assert caught.value.name == "OwnableUnauthorizedAccount"
    receipt = fresh.send(calls.list_contract(market.fraud_checker))
    verify(rpc, market, curator=fresh.address)
    (log,) = receipt.logs
    assert log.topics[2][12:] == market.fraud_checker
    assert int.from_bytes(log.data[:32], "big") == len(market.listed) == 4
    with pytest.raises(VerificationError, match="curator"):
        verify(rpc, market)
    fresh.send(Call(market.directory, call_data("transferOwnership(address)", owner.address)))
    with pytest.raises(VerificationError, match="about to change"):
        verify(rpc, market, curator=fresh.address)


def test_a_market_may_have_no_channels_and_get_them_later(rpc: Rpc, owner: Sender) -> None:
    """A market of before there were channels; its curator lists some; nobody else's pass for them."""
    old = without_channels(owner, curator=owner.address)
    verify(rpc, old, curator=owner.address)
    assert old.channels is None and len(old.listed) == 3
    step = deployment_plan.Plan(min_bond=0).step("Channels", at=places(old), deployer=owner.address)
    address = owner.send(step.call()).contract
    assert address is not None
    made = Deployed(address=address, tx_hash=bytes(32), arguments=step.encoded())
    new = replace(old, contracts={**old.contracts, "Channels": made})
    with pytest.raises(VerificationError, match="leaves the channels out"):
        verify(rpc, new, curator=owner.address)
    owner.send(Calls(new).list_contract(address))
    verify(rpc, new, curator=owner.address)
    verify(rpc, old, curator=owner.address)
    elsewhere = {**new.contracts, "Channels": replace(made, address=Address(b"\x99" * 20))}
    with pytest.raises(VerificationError, match="Channels: there is no code"):
        verify(rpc, replace(new, contracts=elsewhere), curator=owner.address)


def without_channels(owner: Sender, *, curator: Address) -> Deployment:
    """Create a market as it was before there were channels."""
    plan = deployment_plan.Plan(min_bond=0, curator=curator)
    made: dict[str, Deployed] = {}
    for name in ("Treasury", "FraudChecker", "Assets", "Market", "Directory"):
        at = {key: item.address for key, item in made.items()}
        step = plan.step(name, at=at, deployer=owner.address)
        receipt = owner.send(step.call())
        assert receipt.contract is not None
        made[name] = Deployed(address=receipt.contract, tx_hash=receipt.tx_hash, arguments=step.encoded())
    first = owner.rpc.block_number() - 4
    return Deployment(chain_id=owner.rpc.chain_id, start_block=first, min_bond=0, contracts=made)


def places(market: Deployment) -> dict[str, Address]:
    """Return where the contracts lie."""
    return {name: item.address for name, item in market.contracts.items()}


def test_other_code_is_noticed(rpc: Rpc, market: Deployment) -> None:
    with pytest.raises(VerificationError, match="Market: there is other code"):
        verify(rpc, replace(market, min_bond=MIN_BOND + 1))
    swapped = {
        **market.contracts,
        "Treasury": market.contracts["Assets"],
        "Assets": market.contracts["Treasury"],
    }
    with pytest.raises(VerificationError, match="Treasury: there is other code"):
        verify(rpc, replace(market, contracts=swapped))
    away = replace(market.contracts["Directory"], address=Address(b"\x99" * 20))
    with pytest.raises(VerificationError, match="Directory: there is no code"):
        verify(rpc, replace(market, contracts={**market.contracts, "Directory": away}))


def test_another_list_is_noticed(rpc: Rpc, owner: Sender, market: Deployment) -> None:
    plan = deployment_plan.Plan(min_bond=0, curator=v.ACCOUNT)
    at = {name: item.address for name, item in market.contracts.items()}
    at["Treasury"], at["Assets"] = at["Assets"], at["Treasury"]
    receipt = owner.send(plan.step("Directory", at=at, deployer=owner.address).call())
    assert receipt.contract is not None
    other = replace(market.contracts["Directory"], address=receipt.contract)
    with pytest.raises(VerificationError, match="does not list"):
        verify(rpc, replace(market, contracts={**market.contracts, "Directory": other}), curator=v.ACCOUNT)


def test_a_head_that_is_not_the_fold_of_the_log_is_noticed(rpc: Rpc, owner: Sender) -> None:
    market = deploy(owner, min_bond=0)
    slot = keccak256(account_word(market.directory) + bytes(32))
    rpc.call("anvil_setStorageAt", (checksum_address(market.directory), to_hex(slot), "0x" + "01" * 32))
    with pytest.raises(VerificationError, match="not the fold"):
        verify(rpc, market)


def test_a_start_block_that_hides_entries_is_noticed(rpc: Rpc, market: Deployment) -> None:
    with pytest.raises(VerificationError, match="directory"):
        verify(rpc, replace(market, start_block=rpc.block_number() + 1))


def test_a_bond_that_is_no_amount_is_refused_before_the_market_is_created(owner: Sender) -> None:
    with pytest.raises(InputError):
        deploy(owner, min_bond=1 << 128)
