"""The deployment of a market, as a plan that anything can carry out which can send a transaction.

Order: Treasury, FraudChecker, Assets, Market (which knows the three), Channels (which knows treasury and assets), Directory (which
lists the four with a trail). Nobody keeps a privilege but the curator of the directory, who may list further contracts and nothing
else; by default there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from steelyard.chain.artifacts import CONTRACTS, artifact
from steelyard.chain.calls import Call, call_data
from steelyard.chain.deployment import Deployed, Deployment
from steelyard.chain.hexdata import checksum_address
from steelyard.chain.rpc import BlockId, Rpc
from steelyard.chain.views import Views
from steelyard.chain.wire import Log, Receipt
from steelyard.domain.abi import Value, decode, encode, topic
from steelyard.domain.hash import keccak256
from steelyard.domain.types import Address, account_word, checked_amount
from steelyard.errors import ChainError, VerificationError

DISPUTE_GAS = 3_000_000
"""Gas that the least bond pays for at the gas price stated for a chain: a dispute of a whole leaf takes 1.86
million."""

_LISTED = topic("Listed(bytes32,bytes32,address,uint256,bytes32)")


class Deployer(Protocol):
    """Who carries the plan out: :class:`steelyard.chain.sender.Sender`, or an account of brownie."""

    @property
    def rpc(self) -> Rpc:
        """Endpoint."""
        ...

    @property
    def address(self) -> Address:
        """The account that sends."""
        ...

    def send(self, call: Call) -> Receipt:
        """Send a call and wait for its receipt."""
        ...


@dataclass(frozen=True, kw_only=True)
class Step:
    """One contract to create.

    Attributes:
        name: of the contract.
        arguments: of its constructor, ABI values.
    """

    name: str
    arguments: tuple[Value, ...]

    def encoded(self) -> bytes:
        """Return the arguments as the constructor takes them.

        Raises:
            InputError: they do not fit.
        """
        return encode([field.kind for field in artifact(self.name).constructor], self.arguments)

    def call(self) -> Call:
        """Return the creation of the contract."""
        return Call(None, artifact(self.name).creation + self.encoded(), name=f"create {self.name}")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is decided before anything is sent.

    Attributes:
        min_bond: wei, least bond of an offer with a content window.
        curator: who may list further contracts; None for nobody.
    """

    min_bond: int
    curator: Address | None = None

    def step(self, name: str, *, at: Mapping[str, Address], deployer: Address) -> Step:
        """Return how one contract is created.

        Args:
            name: of the contract.
            at: where the contracts before it lie.
            deployer: who sends the transactions.
        """
        arguments: tuple[Value, ...] = ()
        if name == "Market":
            checked_amount(self.min_bond)
            arguments = (at["Assets"], at["Treasury"], at["FraudChecker"], self.min_bond)
        elif name == "Channels":
            arguments = (at["Assets"], at["Treasury"])
        elif name == "Directory":
            listed = tuple(at[name] for name in ("Treasury", "Assets", "Market", "Channels") if name in at)
            # A given curator is it from the start: with a handover in two steps the deployer would stay it
            # until the second.
            arguments = (listed, self.curator or deployer)
        return Step(name=name, arguments=arguments)


def deploy(
    deployer: Deployer,
    *,
    min_bond: int,
    curator: Address | None = None,
    told: Callable[[str, Address], None] | None = None,
) -> Deployment:
    """Create the contracts of a market, give up what the deployer may, and verify the outcome.

    Args:
        deployer: who sends the transactions and pays for them.
        min_bond: wei: what a dispute costs at the gas price stated for this chain.
        curator: who may list further contracts; None for nobody, for ever.
        told: called with name and address of each contract as it is created.

    Raises:
        RefusedError: a transaction was not possible.
        ChainError: the endpoint failed; contracts created until then are worth nothing.
        VerificationError: what lies on the chain is not what was to be created.
    """
    plan = Plan(min_bond=min_bond, curator=curator)
    made: dict[str, Deployed] = {}
    blocks: list[int] = []
    for name in CONTRACTS:
        at = {key: item.address for key, item in made.items()}
        step = plan.step(name, at=at, deployer=deployer.address)
        receipt = deployer.send(step.call())
        if receipt.contract is None:
            raise ChainError(f"the creation of {name} has no contract in its receipt")
        made[name] = Deployed(address=receipt.contract, tx_hash=receipt.tx_hash, arguments=step.encoded())
        blocks.append(receipt.block_number)
        if told is not None:
            told(name, receipt.contract)
    deployment = Deployment(
        chain_id=deployer.rpc.chain_id, start_block=min(blocks), min_bond=min_bond, contracts=made
    )
    if curator is None:
        deployer.send(
            Call(deployment.directory, call_data("renounceOwnership()"), name="Directory.renounceOwnership")
        )
    verify(deployer.rpc, deployment, curator=curator)
    return deployment


def immutables(deployment: Deployment, name: str) -> dict[str, bytes]:
    """Return the immutables of one contract of a deployment: 32-byte word by name."""
    if name == "Channels":
        return {"assets": account_word(deployment.assets), "treasury": account_word(deployment.treasury)}
    if name != "Market":
        return {}
    return {
        "assets": account_word(deployment.assets),
        "treasury": account_word(deployment.treasury),
        "fraudChecker": account_word(deployment.fraud_checker),
        "minBond": deployment.min_bond.to_bytes(32, "big"),
    }


def verify(
    rpc: Rpc, deployment: Deployment, *, curator: Address | None = None, block: BlockId = "latest"
) -> None:
    """Check that a deployment is what this package would have created, on the state of one block.

    1. The code of each contract is the package's, with the immutables filled in.
    2. The directory lists exactly treasury, assets and market first, with these codes, from its creation on; and the
       channels, if there are any, at any place behind them.
    3. The head of the directory's trail, as called and in its storage slot, is the fold of what it logged.
    4. The directory has the given curator, or none, and nobody is about to become it.

    Args:
        rpc: endpoint of its chain.
        deployment: what to check.
        curator: who may list further contracts; None for nobody.
        block: state to check.

    Raises:
        VerificationError: something is different; says what.
        ChainError: the endpoint failed.
    """
    height = rpc.get_block(block).number
    views = Views(rpc, deployment, block=height)
    # Check 1
    for name, item in deployment.contracts.items():
        address = item.address
        code = rpc.get_code(address, block=height)
        if code != artifact(name).filled(immutables(deployment, name)):
            what = "other code than this package's" if code else "no code"
            raise VerificationError(f"{name}: there is {what} at {checksum_address(address)}")
    # Check 2
    listings = _listings(rpc, deployment, height)
    listed = views.listed()
    logged = tuple(Address(log.topics[2][12:]) for log in listings)
    if listed[:3] != deployment.listed[:3] or not set(deployment.listed) <= set(listed) or logged != listed:
        raise VerificationError(
            "the directory does not list treasury, assets and market first, leaves the channels out, or logged another list"
        )
    for place, (log, member) in enumerate(zip(listings, listed, strict=True)):
        code_hash = keccak256(rpc.get_code(member, block=height))
        if decode(("uint256", "bytes32"), log.data) != (place, code_hash):
            raise VerificationError(f"entry {place} of the directory was recorded with another place or code")
    # Check 3
    subject = account_word(deployment.directory)
    head = fold_head(rpc, listings)
    slot = rpc.get_storage(deployment.directory, keccak256(subject + bytes(32)), block=height)
    if not head == views.head("Directory", subject) == slot:
        raise VerificationError("the head of the directory's trail is not the fold of its log")
    # Check 4
    found, coming = views.curator(), views.pending_curator()
    if found != curator or coming is not None:
        shown = "nobody" if found is None else checksum_address(found)
        raise VerificationError(f"the curator of the directory is {shown}, or is about to change")


def fold_head(rpc: Rpc, logs: list[Log]) -> bytes:
    """Return the head that a trail of these logs has; docs/trail.md."""
    head = bytes(32)
    times: dict[int, int] = {}
    for log in logs:
        number = log.block_number
        if number not in times:
            times[number] = rpc.get_block(number).timestamp
        place = number.to_bytes(32, "big") + times[number].to_bytes(32, "big")
        head = keccak256(head + keccak256(place + b"".join(log.topics) + log.data))
    return head


def _listings(rpc: Rpc, deployment: Deployment, height: int) -> list[Log]:
    return rpc.get_logs([deployment.directory], [_LISTED], first=deployment.start_block, last=height)
