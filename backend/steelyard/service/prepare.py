"""Transactions that somebody else signs: what a use case would send is collected, simulated and priced, and nothing is sent.

The use cases run as they are, for an account of which only the address is known, so whoever asks gets the same checks and the same
words as the client that sends itself.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Final

from steelyard.chain.calls import Call
from steelyard.chain.erc20 import Token, approve
from steelyard.chain.hexdata import quantity, read_quantity, to_hex
from steelyard.chain.refusals import raise_if_poor
from steelyard.chain.reverts import decode_revert
from steelyard.chain.rpc import raise_revert
from steelyard.chain.transaction import GWEI, Fees, gas_limit_of
from steelyard.chain.wire import read_list
from steelyard.crypto.secret import Secret
from steelyard.domain.types import NATIVE, Address, Terms
from steelyard.errors import (
    ChainError,
    ConfigError,
    RefusedError,
    RevertError,
    RpcError,
    VerificationError,
)
from steelyard.service.account import Account
from steelyard.service.context import NOTHING, Context, Mined

MAX_FEE: Final = 500 * GWEI
"""Wei per gas above which nothing is prepared, unless the settings say otherwise."""
MAX_PRIORITY: Final = 100 * GWEI
PERMIT_TIME: Final = 3600
"""Seconds in which a permit can be used."""
UNSIMULATED_GAS: Final = 300_000
"""Gas limit of a call whose approval is not mined yet, where the endpoint cannot simulate both. Measured: buy takes about 110,000."""


class Keyless(Account):
    """An account of which only the address is known here."""

    def __init__(self, address: Address) -> None:
        """Remember the address."""
        object.__setattr__(self, "address", address)

    @property
    def key(self) -> Secret:
        """Refuse: there is no key.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("only the address of this account is known here")

    @property
    def seed(self) -> Secret:
        """Refuse: there is no seed.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("only the address of this account is known here")


class Preparing(Context):
    """A market as one account sees it, whose :meth:`send` collects. For one use, by one thread."""

    def __init__(self, base: Context, account: Address, *, keep: bool = False) -> None:
        """Look at the same market, for another account.

        Args:
            base: the service's own context; chain, store and what it knows are shared.
            account: who will sign.
            keep: whether texts and lists that belong to what is prepared are kept in the store.
        """
        if not base.has_home:
            _ = base.home  # a temporary one belongs to who closes it
        self.__dict__.update(base.__dict__)
        self.__dict__.pop("sender", None)  # the service's own key has no business here
        self._account = Keyless(account)
        # The aliases of this machine are its owner's address book, and would mean something else to who asks.
        self.aliases = {}
        self.dry = not keep
        self.spending = threading.Lock()
        self.collected: list[Call] = []

    def send(self, call: Call) -> Mined:
        """Collect a call."""
        self.collected.append(call)
        return NOTHING


@dataclass(frozen=True, kw_only=True)
class Unsigned:
    """A transaction of type 2 (EIP-1559) that somebody may sign.

    Attributes:
        sender: who must sign it.
        call: what it does.
        nonce: its place among the account's transactions.
        gas: most gas that it may use.
        fees: wei per gas.
        simulated: whether it succeeded in a simulation; a call after an approval cannot be simulated by every endpoint.
    """

    sender: Address
    call: Call
    nonce: int
    gas: int
    fees: Fees
    simulated: bool = True


@dataclass(frozen=True, kw_only=True)
class PermitRequest:
    """An ERC-2612 permit that somebody may sign.

    Attributes:
        token: the ERC-20.
        name: of its EIP-712 domain.
        version: of its EIP-712 domain.
        owner: who signs.
        spender: who may take.
        value: smallest units.
        nonce: of the permit.
        deadline: Unix seconds.
        digest: what is signed, 32 bytes.
    """

    token: Address
    name: str
    version: str
    owner: Address
    spender: Address
    value: int
    nonce: int
    deadline: int
    digest: bytes = field(repr=False)


def finish(context: Preparing) -> tuple[Unsigned, ...]:
    """Simulate what was collected at the newest block, and give it nonces and fees.

    Raises:
        RevertError: a contract refuses it; decoded.
        RefusedError: the account cannot pay for it, or gas costs more than the settings allow.
        ChainError: the endpoint failed.
    """
    calls = context.collected
    sender = context.account.address
    fees, _ = ask_fees(context)
    nonce = context.rpc.get_nonce(sender, block="pending")
    used = [_gas(context, calls[0])] if calls else []
    simulated = [True] * len(calls)
    if len(calls) > 1:
        together = _gas_together(context, calls)
        for place, call in enumerate(calls[1:], 1):
            if together is not None:
                used.append(together[place])
            elif call.to == calls[0].to:  # several of one kind do not depend on each other
                used.append(_gas(context, call))
            else:
                used.append(UNSIMULATED_GAS)
                simulated[place] = False
    return tuple(
        Unsigned(
            sender=sender,
            call=call,
            nonce=nonce + place,
            gas=gas_limit_of(used[place], call),
            fees=fees,
            simulated=simulated[place],
        )
        for place, call in enumerate(calls)
    )


def ask_fees(context: Context) -> tuple[Fees, int]:
    """Return fees for a transaction now, and the base fee (wei per gas) that they start from.

    Raises:
        RefusedError: gas costs more than the settings allow.
        ChainError: the endpoint failed, or serves a chain without EIP-1559.
    """
    most = context.settings.max_fee or MAX_FEE
    base_fee = context.rpc.get_block("latest").base_fee
    if base_fee is None:
        raise ChainError("the chain has no EIP-1559 fees, which this service does not know")
    try:
        asked = read_quantity(context.rpc.call("eth_maxPriorityFeePerGas"), "priority fee")
    except RpcError:
        asked = GWEI
    priority = min(asked, MAX_PRIORITY, most)
    if base_fee + priority > most:
        raise RefusedError(f"gas costs {base_fee} wei now, above the limit of {most}: try again later")
    # Twice the base fee stays valid for six full blocks (each raises it by 1/8 at most).
    return Fees(max_fee=min(2 * base_fee + priority, most), priority=priority), base_fee


def collect_paid(context: Preparing, terms: Terms, call: Call, *, permitted: bool) -> PermitRequest | None:
    """Collect a call that takes the price of an offer, after an approval where one is needed.

    Args:
        context: market and account.
        terms: price and currency.
        call: what takes the price.
        permitted: whether the call brings a permit along.

    Returns:
        The permit that could be signed in place of the approval, if one is needed and the token has permits.

    Raises:
        RefusedError: the account has too little of the currency.
        RevertError: the token is none.
    """
    if terms.currency != NATIVE and terms.price:
        token = Token(context.rpc, terms.currency)
        own, market = context.account.address, context.deployment.market
        balance = token.balance_of(own)
        if balance < terms.price:
            raise RefusedError(
                f"the account has {balance} units of token 0x{terms.currency.hex()}, and the price is {terms.price}"
            )
        if not permitted and token.allowance(own, market) < terms.price:
            # Exactly the price, so nothing is left to take.
            context.send(approve(terms.currency, market, terms.price))
            context.send(call)
            return ask_permit(context, token, terms.price)
    context.send(call)
    return None


def ask_permit(context: Context, token: Token, value: int) -> PermitRequest | None:
    """Return a permit for the market to take ``value``, or None if the token has none that is safe to sign."""
    own, market = context.account.address, context.deployment.market
    deadline = context.now() + PERMIT_TIME
    try:
        # It compares the token's own domain with the one that is shown, so a wallet signs what it displays.
        digest = token.permit_digest(owner=own, spender=market, value=value, deadline=deadline)
        name, version = token.domain()
        nonce = token.permit_nonce(own)
    except (RevertError, VerificationError):
        return None
    return PermitRequest(
        token=token.address,
        name=name,
        version=version,
        owner=own,
        spender=market,
        value=value,
        nonce=nonce,
        deadline=deadline,
        digest=digest,
    )


def _fields(call: Call, sender: Address) -> dict[str, str]:
    transaction = {"from": to_hex(sender), "data": to_hex(call.data)}
    if call.to is not None:
        transaction["to"] = to_hex(call.to)
    if call.value:
        transaction["value"] = quantity(call.value)
    return transaction


def _gas(context: Context, call: Call) -> int:
    """Return the gas of a call at the newest block; the simulation is the endpoint's."""
    sender = context.account.address
    try:
        answer = context.rpc.call("eth_estimateGas", (_fields(call, sender), "latest"))
    except RpcError as exc:
        raise_if_poor(exc, sender)
        # Some endpoints give the reason of a revert only for eth_call.
        context.rpc.eth_call(call.to, call.data, sender=sender, value=call.value)
        raise_revert(exc)
        raise
    return read_quantity(answer, "gas estimate")


def _gas_together(context: Context, calls: list[Call]) -> list[int] | None:
    """Return the gas of calls one after the other, or None if the endpoint cannot simulate that (``eth_simulateV1``)."""
    steps = [_fields(call, context.account.address) for call in calls]
    try:
        answer = context.rpc.call("eth_simulateV1", ({"blockStateCalls": [{"calls": steps}]}, "latest"))
    except RpcError as exc:
        raise_if_poor(exc, context.account.address)
        return None
    blocks = read_list(answer, "simulation")
    results = blocks[0].get("calls") if len(blocks) == 1 and isinstance(blocks[0], dict) else None
    if not isinstance(results, list) or len(results) != len(calls):
        raise ChainError("the endpoint simulated something else")
    used = []
    for result in results:
        if result.get("status") != "0x1":
            error = result.get("error") or {}
            data = error.get("data") or result.get("returnData") or "0x"
            raise decode_revert(bytes.fromhex(data.removeprefix("0x")), reason=str(error.get("message", "")))
        used.append(read_quantity(result.get("gasUsed"), "gas of a simulation"))
    # A simulation tells what was used, not what a call needs to have on the way (63/64 rule, refunds): a quarter more.
    return [gas + gas // 4 for gas in used]
