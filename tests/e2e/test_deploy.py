"""One plan, whoever carries it out: brownie's deployment is the package's own, and what was tampered with is refused."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from steelyard.chain.artifacts import CONTRACTS, artifact
from steelyard.chain.calls import Call, call_data
from steelyard.chain.deploy import deploy, verify
from steelyard.chain.deployment import Deployment
from steelyard.chain.hexdata import to_hex
from steelyard.chain.node import Node, find_anvil
from steelyard.chain.rpc import Rpc
from steelyard.chain.sender import Sender
from steelyard.chain.views import Views
from steelyard.domain.hash import keccak256
from steelyard.domain.types import Address, account_word
from steelyard.errors import InputError, RevertError, VerificationError, WrongChainError

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 600
CHAIN_ID = 31_338
MIN_BOND = 10**16
CURATOR = Address(bytes.fromhex("c0ffee254729296a45a3885639ac7e10f9d54979"))
# All that only the curator of the directory may do.
CURATORS: dict[str, tuple[Address, ...]] = {
    "list(address)": (CURATOR,),
    "transferOwnership(address)": (CURATOR,),
    "renounceOwnership()": (),
    "acceptOwnership()": (),
}


@dataclass(frozen=True)
class Brownie:
    """Runs this checkout's scripts on a chain, as network `development` of a home of its own."""

    home: Path

    def __call__(self, *argv: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("STEELYARD_")}
        env = kept | {"STEELYARD_BROWNIE_HOME": str(self.home), "STEELYARD_MIN_BOND": str(MIN_BOND)}
        return subprocess.run(
            [str(ROOT / "tools" / "brownie"), *argv],
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )


@dataclass(frozen=True)
class Both:
    """The same account's first deployment on the same chain, by the package and by brownie; the latter's is there still."""

    ours: Deployment
    our_code: dict[str, bytes]
    theirs: Deployment
    record: Path


@pytest.fixture(scope="module")
def chain() -> Iterator[Node]:
    configured = os.environ.get("STEELYARD_ANVIL")
    try:
        anvil = find_anvil(configured=Path(configured) if configured else None, start=ROOT)
    except InputError as exc:
        pytest.skip(f"no anvil found: {exc}")
    # A chain id of its own, so that no record in deployments/ is overwritten; brownie wants free gas on development chains.
    with Node.start(anvil, chain_id=CHAIN_ID, options=("--base-fee", "0")) as node:
        yield node


@pytest.fixture(scope="module")
def rpc(chain: Node) -> Iterator[Rpc]:
    with Rpc(chain.url, chain_id=CHAIN_ID) as opened:
        yield opened


@pytest.fixture(scope="module")
def sender(chain: Node, rpc: Rpc) -> Sender:
    return Sender(rpc, lambda: chain.keys[0], poll=0.05)


@pytest.fixture(scope="module")
def brownie(chain: Node, tmp_path_factory: pytest.TempPathFactory) -> Brownie:
    if not (ROOT / ".venv-brownie" / "bin" / "brownie").exists():
        pytest.skip("no brownie found: make setup installs it into .venv-brownie")
    home = tmp_path_factory.mktemp("brownie")
    settings = {"port": chain.port, "gas_limit": 12_000_000, "accounts": 10, "base_fee": 0}
    network = {"name": "Anvil", "id": "development", "cmd": "anvil", "host": "http://127.0.0.1"}
    file = home / ".brownie" / "network-config.yaml"
    file.parent.mkdir()
    # JSON is YAML.
    file.write_text(json.dumps({"live": [], "development": [network | {"cmd_settings": settings}]}))
    return Brownie(home)


@pytest.fixture(scope="module")
def both(brownie: Brownie, rpc: Rpc, sender: Sender) -> Iterator[Both]:
    before = rpc.call("evm_snapshot")
    ours = deploy(sender, min_bond=MIN_BOND)
    our_code = code_of(rpc, ours)
    assert rpc.call("evm_revert", (before,))
    record = ROOT / "deployments" / f"{CHAIN_ID}.json"
    record.unlink(missing_ok=True)
    try:
        done = brownie("run", "deploy")
        assert done.returncode == 0, done.stdout + done.stderr
        yield Both(ours, our_code, Deployment.load(record), record)
    finally:
        record.unlink(missing_ok=True)


def code_of(rpc: Rpc, deployment: Deployment) -> dict[str, bytes]:
    return {name: rpc.get_code(item.address) for name, item in deployment.contracts.items()}


# -- brownie and the package -------------------------------------------------------------------------------------------


def test_brownie_records_what_the_package_would(both: Both) -> None:
    def known(deployment: Deployment) -> object:
        # A transaction's hash depends on the fees that its sender offers.
        contracts = {name: (item.address, item.arguments) for name, item in deployment.contracts.items()}
        return deployment.chain_id, deployment.start_block, deployment.min_bond, contracts

    assert known(both.theirs) == known(both.ours)


def test_brownie_and_the_package_leave_the_same_code(both: Both, rpc: Rpc) -> None:
    assert code_of(rpc, both.theirs) == both.our_code
    assert all(both.our_code.values())


def test_the_record_names_the_transactions_that_made_the_contracts(both: Both, rpc: Rpc) -> None:
    receipts = {name: rpc.get_receipt(item.tx_hash) for name, item in both.theirs.contracts.items()}
    made = {name: receipt.contract for name, receipt in receipts.items() if receipt is not None}
    assert made == {name: item.address for name, item in both.theirs.contracts.items()}


def test_check_deployment_accepts_it_and_refuses_another_record(both: Both, brownie: Brownie) -> None:
    done = brownie("run", "check_deployment")
    assert done.returncode == 0 and f"is what lies on chain {CHAIN_ID}" in done.stderr, (
        done.stdout + done.stderr
    )
    changed(both.theirs, Market=both.theirs.assets, Assets=both.theirs.market).save(both.record)
    try:
        done = brownie("run", "check_deployment")
    finally:
        both.theirs.save(both.record)
    assert done.returncode != 0 and "VerificationError" in done.stdout + done.stderr, (
        done.stdout + done.stderr
    )


# -- tampering ---------------------------------------------------------------------------------------------------------


def changed(deployment: Deployment, **addresses: Address) -> Deployment:
    """Return a deployment with other addresses."""
    others = {name: replace(deployment.contracts[name], address=at) for name, at in addresses.items()}
    return replace(deployment, contracts={**deployment.contracts, **others})


@pytest.fixture(scope="module")
def deployment(rpc: Rpc, sender: Sender) -> Deployment:
    """One more, by the package, on the same chain."""
    return deploy(sender, min_bond=MIN_BOND)


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_record_with_an_address_of_nothing_is_refused(rpc: Rpc, deployment: Deployment, name: str) -> None:
    with pytest.raises(VerificationError, match=f"{name}: there is no code"):
        verify(rpc, changed(deployment, **{name: Address(b"\x77" * 20)}))


def test_a_record_of_another_least_bond_is_refused(rpc: Rpc, deployment: Deployment) -> None:
    with pytest.raises(VerificationError, match="Market: there is other code"):
        verify(rpc, replace(deployment, min_bond=MIN_BOND + 1))


def test_a_record_that_mixes_two_deployments_is_refused(
    rpc: Rpc, sender: Sender, deployment: Deployment
) -> None:
    other = deploy(sender, min_bond=MIN_BOND)
    for name in CONTRACTS:
        with pytest.raises(VerificationError):
            verify(rpc, changed(deployment, **{name: other.contracts[name].address}))


@pytest.mark.parametrize("name", CONTRACTS)
def test_code_with_one_bit_flipped_is_refused(rpc: Rpc, deployment: Deployment, name: str) -> None:
    address = deployment.contracts[name].address
    code = rpc.get_code(address)
    false = bytearray(code)
    false[len(code) // 2] ^= 1
    rpc.call("anvil_setCode", (to_hex(address), to_hex(false)))
    try:
        with pytest.raises(VerificationError, match=f"{name}: there is other code"):
            verify(rpc, deployment)
    finally:
        rpc.call("anvil_setCode", (to_hex(address), to_hex(code)))
    verify(rpc, deployment)


def test_a_directory_with_a_forged_head_is_refused(rpc: Rpc, deployment: Deployment) -> None:
    views = Views(rpc, deployment)
    subject = account_word(deployment.directory)
    slot = keccak256(subject + bytes(32))
    place = (to_hex(deployment.directory), to_hex(slot))
    right = views.head("Directory", subject)
    rpc.call("anvil_setStorageAt", (*place, "0x" + "ab" * 32))
    try:
        with pytest.raises(VerificationError, match="head"):
            verify(rpc, deployment)
    finally:
        rpc.call("anvil_setStorageAt", (*place, to_hex(right)))
    verify(rpc, deployment)


def test_a_record_of_another_chain_is_not_used(chain: Node, deployment: Deployment) -> None:
    with Rpc(chain.url, chain_id=1) as elsewhere, pytest.raises(WrongChainError):
        verify(elsewhere, replace(deployment, chain_id=1))


# -- privileges --------------------------------------------------------------------------------------------------------


def test_the_deployer_keeps_nothing(rpc: Rpc, sender: Sender, deployment: Deployment) -> None:
    views = Views(rpc, deployment)
    assert views.curator() is None and views.pending_curator() is None
    for signature, arguments in CURATORS.items():
        with pytest.raises(RevertError, match="OwnableUnauthorizedAccount"):
            sender.send(Call(deployment.directory, call_data(signature, *arguments)))


def test_no_other_contract_knows_a_privileged_account(deployment: Deployment) -> None:
    names = {item.name for name in CONTRACTS if name != "Directory" for item in artifact(name).items}
    assert not names & {
        "owner",
        "pendingOwner",
        "transferOwnership",
        "grantRole",
        "pause",
        "paused",
        "upgradeToAndCall",
    }


def test_a_given_curator_has_the_directory_and_the_deployer_has_not(rpc: Rpc, sender: Sender) -> None:
    deployment = deploy(sender, min_bond=MIN_BOND, curator=CURATOR)
    verify(rpc, deployment, curator=CURATOR)
    for other in (None, sender.address):
        with pytest.raises(VerificationError, match="curator"):
            verify(rpc, deployment, curator=other)
    with pytest.raises(RevertError, match="OwnableUnauthorizedAccount"):
        sender.send(Call(deployment.directory, call_data("renounceOwnership()")))


def test_a_deployer_who_did_not_give_the_directory_up_is_refused(rpc: Rpc, sender: Sender) -> None:
    deployment = deploy(sender, min_bond=MIN_BOND, curator=sender.address)
    with pytest.raises(VerificationError, match="curator"):
        verify(rpc, deployment)
