"""What every use case works on: the chain, the store, the account, the settings. Threads share it."""

from __future__ import annotations

import copy
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TypedDict

from steelyard.chain.calls import Call, Calls
from steelyard.chain.deployment import Deployment
from steelyard.chain.hexdata import parse_address, quantity, read_quantity, to_hex
from steelyard.chain.rpc import Rpc, raise_revert
from steelyard.chain.sender import Sender
from steelyard.chain.views import Views
from steelyard.chain.wire import Block, Log
from steelyard.domain import ref as refs
from steelyard.domain.types import Address, AssetId
from steelyard.errors import ConfigError, InputError, RpcError
from steelyard.service.account import Account
from steelyard.service.ledger import Follower, LedgerReader
from steelyard.service.results import Sent, Verified
from steelyard.storage.base import Store

DEVELOPMENT_CHAINS = frozenset({1337, 31337})
"""Chain ids of anvil, hardhat, brownie and ``geth --dev``: never final, and nothing on them is worth
anything."""
FINALIZED = "finalized"
LEAST_MARGIN = 600
"""Seconds before a deadline in which no key is revealed on a real chain, whatever the setting."""


MOST_THREADS = 8
"""Each thread has about 3 MiB of chunks at hand, and memory is to stay below 100 MiB."""


def cores() -> int:
    """Return how many cores this process may use, at most MOST_THREADS."""
    affinity = getattr(os, "sched_getaffinity", None)
    return min(MOST_THREADS, len(affinity(0)) if affinity else os.cpu_count() or 1)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How careful to be.

    Attributes:
        depth: blocks, its own included, that a payment must be under before its key is revealed, or
            ``"finalized"``. None: 1 on development chains, ``"finalized"`` elsewhere.
        margin: seconds before a deadline in which no key is revealed. At least 600 but on development chains.
            None: 600, or 60.
        threads: cores that seal, check and open chunks.
        offline: ask nobody: only what was pulled before can be had.
        poll: seconds between two looks at the chain while waiting, at most.
        timeout: seconds for one answer of the chain.
        pause: seconds before a call to the chain is tried again; doubled for each further try.
        mined_within: seconds to wait until what was sent is in a block; after them it may still come.
        max_fee: wei per gas that is never exceeded; None for the sender's own limit.
        clock: Unix seconds, for tests.
    """

    depth: int | str | None = None
    margin: int | None = None
    threads: int = field(default_factory=cores)
    offline: bool = False
    poll: float = 2.0
    timeout: float = 20.0
    pause: float = 0.25
    mined_within: float = 180.0
    max_fee: int | None = None
    clock: Callable[[], float] = field(default=time.time, repr=False)

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ConfigError: one is out of range.
        """
        if isinstance(self.depth, str) and self.depth != FINALIZED:
            raise ConfigError(f"depth is a number of blocks or {FINALIZED!r}, not {self.depth!r}")
        if isinstance(self.depth, int) and self.depth < 0:
            raise ConfigError("depth cannot be negative")
        if (self.margin or 0) < 0 or self.threads < 1:
            raise ConfigError("margin cannot be negative, and at least one thread is needed")

    def depth_on(self, chain_id: int) -> int | str:
        """Return the depth that holds on a chain."""
        if self.depth is not None:
            return self.depth
        return 1 if chain_id in DEVELOPMENT_CHAINS else FINALIZED

    def margin_on(self, chain_id: int) -> int:
        """Return the margin that holds on a chain, in seconds."""
        if chain_id in DEVELOPMENT_CHAINS:
            return 60 if self.margin is None else self.margin
        return max(LEAST_MARGIN, self.margin or 0)


@dataclass(frozen=True, kw_only=True)
class Mined(Sent):
    """A transaction that was mined, or estimated; ``logs`` are its own, in order."""

    logs: tuple[Log, ...] = ()


class Context:
    """One market for one account, or for none."""

    def __init__(
        self,
        *,
        rpc: Rpc,
        deployment: Deployment,
        store: Store,
        account: Account | None,
        home: Path | None,
        aliases: Mapping[str, Address],
        settings: Settings,
        dry: bool = False,
    ) -> None:
        """Remember it all; nothing is asked."""
        self.rpc = rpc
        self.deployment = deployment
        self.store = store
        self.settings = settings
        self.aliases = aliases
        self.dry = dry
        self._account = account
        self._home = home
        self.views = Views(rpc, deployment)
        self.calls = Calls(deployment)
        self.ledger = LedgerReader(rpc, deployment)
        self.checked: dict[bytes, tuple[float, Verified]] = {}
        self.spending = threading.Lock()

    def dry_run(self) -> Context:
        """Return the same context, which estimates instead of sending."""
        other = copy.copy(self)
        other.dry = True
        return other

    # -- who and where ---------------------------------------------------------------------------------------

    @property
    def chain_id(self) -> int:
        """EIP-155 chain id."""
        return self.deployment.chain_id

    @property
    def has_account(self) -> bool:
        """Whether there is an account to act for."""
        return self._account is not None

    @property
    def account(self) -> Account:
        """The account.

        Raises:
            ConfigError: the market was opened for reading only.
        """
        if self._account is None:
            raise ConfigError("this needs an account: open the market with one")
        return self._account

    @cached_property
    def sender(self) -> Sender:
        """Sends for the account.

        Raises:
            ConfigError: there is no account.
        """
        settings = self.settings
        make = partial(
            Sender,
            self.rpc,
            self.account.key.reveal,
            poll=min(0.5, settings.poll),
            timeout=settings.mined_within,
        )
        return make() if settings.max_fee is None else make(max_fee=settings.max_fee)

    @property
    def has_home(self) -> bool:
        """Whether what is written below home outlives this object."""
        return self._home is not None

    @cached_property
    def home(self) -> Path:
        """The folder of journals; made, for its owner alone, when it is first asked for."""
        if self._home is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="steelyard-")
            return Path(self._temporary.name)
        for folder in (*reversed(self._home.parents), self._home):
            folder.mkdir(mode=0o700, exist_ok=True)
        return self._home

    def close(self) -> None:
        """Let go of connections and the temporary home."""
        self.rpc.close()
        temporary = self.__dict__.pop("_temporary", None)
        if temporary is not None:
            temporary.cleanup()

    # -- names -----------------------------------------------------------------------------------------------

    def address(self, value: Address | str) -> Address:
        """Return an address from its bytes, its hexadecimal form, or an alias.

        Raises:
            InputError: it is none of these.
        """
        if isinstance(value, bytes):
            if len(value) != 20:
                raise InputError(f"an address has 20 bytes, not {len(value)}")
            return Address(value)
        if value in self.aliases:
            return self.aliases[value]
        return parse_address(value)

    def parse(self, text: str) -> refs.Ref:
        """Return a parsed reference."""
        return refs.parse(text, aliases=self.aliases)

    def asset_id(self, text: str) -> AssetId:
        """Return the asset that a reference names; whether it exists is not asked."""
        return self.parse(text).asset_id(chain_id=self.chain_id, registry=self.deployment.assets)

    def follow(self, *assets: AssetId) -> Follower:
        """Return the reader of one asset's trail, or of several together."""
        return self.ledger.of(*assets)

    # -- time ------------------------------------------------------------------------------------------------

    def now(self, head: Block | None = None) -> int:
        """Return the later of a block's time and the clock, Unix seconds: no deadline is missed.

        Args:
            head: the newest block; asked for if None.
        """
        return max((head or self.rpc.get_block("latest")).timestamp, int(self.settings.clock()))

    # -- sending ---------------------------------------------------------------------------------------------

    def send(self, call: Call) -> Mined:
        """Send a call and wait for its block, or estimate it in a dry run.

        Raises:
            RevertError: a contract refuses it.
            RefusedError: the account cannot pay for it.
            PendingError: it was sent, and is in no block yet.
            ChainError: the endpoint failed.
        """
        if self.dry:
            gas, fee = self.estimate(call)
            return Mined(tx=None, gas_used=gas, fee_wei=fee)
        receipt = self.sender.send(call)
        return Mined(
            tx=receipt.tx_hash,
            gas_used=receipt.gas_used,
            fee_wei=receipt.fee,
            block=receipt.block_number,
            logs=receipt.logs,
        )

    def estimate(self, call: Call) -> tuple[int, int]:
        """Return gas and wei for gas of a call as it looks now, without signing anything (so without web3).

        Raises:
            RevertError: a contract refuses it.
            ChainError: the endpoint failed.
        """
        transaction = {"from": to_hex(self.account.address), "data": to_hex(call.data)}
        if call.to is not None:
            transaction["to"] = to_hex(call.to)
        if call.value:
            transaction["value"] = quantity(call.value)
        try:
            gas = read_quantity(self.rpc.call("eth_estimateGas", (transaction,)), "gas estimate")
        except RpcError as exc:
            raise_revert(exc)
            raise
        try:
            tip = read_quantity(self.rpc.call("eth_maxPriorityFeePerGas"), "priority fee")
        except RpcError:
            tip = 10**9
        return gas, gas * ((self.rpc.get_block("latest").base_fee or 0) + tip)


class SentFields(TypedDict):
    """The fields of :class:`Sent`."""

    tx: bytes | None
    gas_used: int
    fee_wei: int
    block: int | None


NOTHING = Mined(tx=None, gas_used=0, fee_wei=0)
"""Nothing was sent, for nothing was to be done."""


def summary(*parts: Mined) -> SentFields:
    """Return the fields for one or several transactions: the last one's hash and block, and the sums."""
    return {
        "tx": parts[-1].tx if parts else None,
        "gas_used": sum(part.gas_used for part in parts),
        "fee_wei": sum(part.fee_wei for part in parts),
        "block": parts[-1].block if parts else None,
    }
