"""Where the demonstration plays: a chain and a store of this machine, the people, and how it is told."""

from __future__ import annotations

import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from steelyard.chain.deployment import Deployment
from steelyard.chain.rpc import Rpc
from steelyard.crypto.secret import Secret
from steelyard.domain.types import Address
from steelyard.errors import VerificationError
from steelyard.market import Market
from steelyard.service import serve
from steelyard.service.account import Account
from steelyard.service.context import Settings
from steelyard.service.results import Sent
from steelyard.storage.embedded import EmbeddedStore

HOUR, DAY = 3_600, 86_400
ETH = 10**18
WIDTH = 79


@dataclass
class Stage:
    """A chain, a store, and one market client for each person."""

    url: str
    rpc: Rpc
    deployment: Deployment
    store: EmbeddedStore
    folder: Path
    started: float
    accounts: dict[str, Account]
    keys: list[bytes]
    people: dict[str, Market]
    exits: ExitStack

    def person(self, name: str) -> Market:
        """Return the client of a person, made at the first call."""
        if name not in self.people:
            self.people[name] = self.client(name, self.accounts[name])
        return self.people[name]

    def client(self, name: str, account: Account) -> Market:
        """Return a client of an account, with a home of this name."""
        market = Market(
            self.url,
            deployment=self.deployment,
            store=self.store,
            account=account,
            home=self.folder / name,
            aliases={name: account.address for name, account in self.accounts.items()},
            settings=Settings(poll=0.2),
        )
        return self.exits.enter_context(market)

    def pass_time(self, seconds: int) -> None:
        """Let the chain's clock jump."""
        self.rpc.call("evm_increaseTime", [seconds])
        self.rpc.call("evm_mine")

    def wealth(self, account: Address) -> int:
        """Return the wei in an account's wallet."""
        return self.rpc.get_balance(account)

    @contextmanager
    def serving(self, ref: str) -> Iterator[None]:
        """Run a key service in the background: the publisher's seed, and a key of its own to pay for gas."""
        name = ref.partition("/")[0]
        seed = self.person(name).context.account.seed
        market = self.client(f"{name}-service", Account.from_key(Secret(self.keys.pop(0)), seed=seed))
        stop = threading.Event()
        options = {"refs": (ref,), "stop": stop, "interval": 0.2, "on_event": lambda event: None}
        thread = threading.Thread(target=serve.run, args=(market,), kwargs=options)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(30)

    # -- telling ---------------------------------------------------------------------------------------------

    def scene(self, title: str) -> None:
        """Begin a part."""
        print(f"\n== {title}  [{time.monotonic() - self.started:.0f} s]", flush=True)

    @staticmethod
    def say(text: str) -> None:
        """Tell a sentence."""
        indent = " " * (len(text) - len(text.lstrip()))
        print(
            textwrap.fill(
                text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
            ),
            flush=True,
        )

    @staticmethod
    def fact(name: str, value: object) -> None:
        """Tell a figure."""
        print(f"   {name:<22} {value}", flush=True)

    def sent(self, what: str, result: Sent) -> None:
        """Tell of a transaction."""
        tx = "none" if result.tx is None else f"0x{result.tx.hex()[:8]}"
        self.fact(what, f"tx {tx}, {result.gas_used:,} gas, {eth(result.fee_wei)}")


def require(fact: bool, what: str) -> None:
    """Stop the demonstration if something is not as it was told.

    Raises:
        VerificationError: it is not.
    """
    if not fact:
        raise VerificationError(f"the demonstration failed: {what}")


def eth(wei: int) -> str:
    """Return an amount of wei as ETH, exact."""
    whole, rest = divmod(abs(wei), ETH)
    digits = f"{rest:018d}".rstrip("0")
    return f"{'-' if wei < 0 else ''}{whole}{'.' + digits if digits else ''} ETH"


def short(data: bytes) -> str:
    """Return the beginning and the end of an id."""
    return f"0x{data.hex()[:10]}...{data.hex()[-6:]}"
