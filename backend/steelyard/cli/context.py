"""What every command shares: settings, output, market, account, and the question before money moves."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from steelyard import config as settings
from steelyard.cli.output import Output, clean
from steelyard.config import Config
from steelyard.domain.money import format_native, format_token
from steelyard.errors import InputError, NotFoundError, SteelyardError

if TYPE_CHECKING:
    from steelyard.cli.accounts import Accounts
    from steelyard.cli.progress import Progress
    from steelyard.crypto.secret import Secret
    from steelyard.market import Market
    from steelyard.service.results import Sent

Opener = Callable[["Session", bool], "Market"]
"""Opens the market of a session, with its account unlocked if the second argument is true."""


class Session:
    """One run of the command line. Everything expensive is made when it is first asked for."""

    def __init__(self, opener: Opener | None = None) -> None:
        """Start with no flags.

        Args:
            opener: how to open the market; by the settings if None.
        """
        self.seed: Secret | None = None
        """Another seed than the account's own, for a key service."""
        self._flags: dict[str, object] = {}
        self._opener = opener
        self._market: Market | None = None
        self._signing = False

    # -- settings and output ---------------------------------------------------------------------------------

    def take(self, flags: Mapping[str, object]) -> None:
        """Add flags; what was given later on the line wins."""
        self._flags.update({name: value for name, value in flags.items() if value not in (None, False)})

    @cached_property
    def config(self) -> Config:
        """The settings.

        Raises:
            ConfigError: one is malformed.
        """
        names = {item.name for item in settings.SETTINGS}
        return settings.load({name: value for name, value in self._flags.items() if name in names})

    @property
    def as_json(self) -> bool:
        """Whether the result is to be JSON."""
        return bool(self._flags.get("json"))

    @cached_property
    def out(self) -> Output:
        """Where results and talk go."""
        return Output(as_json=self.as_json, quiet=bool(self._flags.get("quiet")), color=self.config.color)

    def progress(self, what: str = "") -> Progress:
        """Return a progress bar, silent where there is no terminal."""
        from steelyard.cli.progress import Progress

        return Progress(self.out, what)

    # -- market ----------------------------------------------------------------------------------------------

    @cached_property
    def accounts(self) -> Accounts:
        """The keystores below home."""
        from steelyard.cli.accounts import Accounts

        return Accounts(self.config)

    @property
    def reader(self) -> Market:
        """The market, for reading; with no account."""
        return self._open(signing=False)

    @property
    def market(self) -> Market:
        """The market, with the account unlocked.

        Raises:
            InputError: no account is chosen, or there is no way to ask for its password.
        """
        return self._open(signing=True)

    def _open(self, *, signing: bool) -> Market:
        if self._market is None or (signing and not self._signing):
            self.close()
            opener = self._opener or _open_market
            self._market, self._signing = opener(self, signing), signing
        return self._market

    def close(self) -> None:
        """Let go of the market."""
        market, self._market = self._market, None
        if market is not None:
            market.close()

    # -- amounts ---------------------------------------------------------------------------------------------

    def token(self, currency: bytes) -> tuple[str, int]:
        """Return symbol and decimals of a currency. The symbol is whatever the token says of itself."""
        if not any(currency):
            return "ETH", 18
        from steelyard.chain.erc20 import Token
        from steelyard.domain.types import Address

        token = Token(self.reader.context.rpc, Address(currency))
        return clean(token.symbol())[:12], token.decimals()

    def money(self, amount: int, currency: bytes) -> str:
        """Return an amount for people; of a token also its address, since anybody can name a token."""
        if not any(currency):
            return format_native(amount)
        from steelyard.chain.hexdata import checksum_address

        address = checksum_address(currency)
        try:
            symbol, decimals = self.token(currency)
        except SteelyardError:  # what the token does not answer must not hide the price
            return f"{amount} units of token {address}"
        return f"{format_token(amount, decimals=decimals, symbol=symbol)} (token {address})"

    # -- sending ---------------------------------------------------------------------------------------------

    def confirm(self, question: str, facts: list[str], *, yes: bool) -> None:
        """Show what is about to be paid, and ask once.

        Raises:
            InputError: there is no terminal to ask on, and no ``--yes``.
            click.Abort: the answer was no.
        """
        for fact in facts:
            self.out.say(fact)
        if yes:
            return
        if not sys.stdin.isatty():
            raise InputError(f"{question} needs an answer, and there is no terminal to ask on: add --yes")
        if self.out.quiet:  # nobody should agree to what was not shown
            for fact in facts:
                print(clean(fact), file=self.out.err)
        if not click.confirm(self.out.bold(question), default=False, err=True):
            raise click.Abort

    def act(
        self,
        question: str,
        what: Callable[[Market], Any],
        *,
        dry_run: bool,
        yes: bool,
        facts: Callable[[Any], list[str]] | None = None,
    ) -> Any:
        """Do something that sends transactions: estimate, ask, send; or only estimate.

        Args:
            question: asked before sending; empty for acts that move nothing but gas.
            what: the act, on the market given.
            dry_run: send nothing.
            yes: do not ask.
            facts: further lines to show, from the estimate.
        """
        market = self.market
        if not dry_run and not question:
            return what(market)
        estimate = what(market.dry_run())
        lines = [*(facts(estimate) if facts else []), f"gas    about {gas_text(estimate)}"]
        if dry_run:
            for line in lines:
                self.out.say(line)
            self.out.say("dry run: nothing was sent")
            return estimate
        self.confirm(question, lines, yes=yes)
        return what(market)


def _open_market(session: Session, signing: bool) -> Market:
    """Return the market that the settings name, with the chosen account unlocked if ``signing``."""
    from steelyard.market import Market

    account = session.accounts.unlock(session.accounts.chosen()) if signing else None
    if account is not None and session.seed is not None:
        account = replace(account, seed=session.seed)
    return Market.open(session.config, account=account, aliases=session.accounts.aliases())


def gas_text(sent: Sent | tuple[Sent, ...]) -> str:
    """Return gas and fee of one or several results, for people."""
    several = sent if isinstance(sent, tuple) else (sent,)
    gas, fee = sum(item.gas_used for item in several), sum(item.fee_wei for item in several)
    return f"{gas:,} gas, {format_native(fee)}"


def sent_lines(sent: Sent) -> list[tuple[str, str]]:
    """Return what to tell of a transaction, as names and values."""
    if sent.tx is None:
        return [("transaction", "none sent")]
    return [("transaction", "0x" + sent.tx.hex()), ("cost", gas_text(sent))]


def pick(text: str, ids: Mapping[bytes, object], *, what: str) -> bytes:
    """Return the one id that begins with the digits typed.

    Args:
        text: ``0x`` and 8 to 64 hexadecimal digits.
        ids: what there is to choose from.
        what: what they are, for messages.

    Raises:
        InputError: malformed, or several begin so.
        NotFoundError: none begins so.
    """
    digits = text.lower().removeprefix("0x")
    if not 8 <= len(digits) <= 64 or not set(digits) <= set("0123456789abcdef"):
        raise InputError(f"{text!r} is no id of {what}: 0x and at least 8 hexadecimal digits")
    found = [item for item in ids if item.hex().startswith(digits)]
    if not found:
        raise NotFoundError(f"no {what} begins with {text}")
    if len(found) > 1:
        raise InputError(f"several {what}s begin with {text}; give more digits")
    return found[0]
