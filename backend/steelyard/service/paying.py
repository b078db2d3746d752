"""How a price is paid: with the call in the native coin, by permit or approval in an ERC-20."""

from __future__ import annotations

from collections.abc import Callable

from steelyard.chain.calls import Call, Permit
from steelyard.chain.erc20 import Token, approve
from steelyard.domain.types import NATIVE, Order, Terms
from steelyard.errors import RefusedError, RevertError, VerificationError
from steelyard.service.context import Context, Mined

_PERMIT_TIME = 3600
_GAS_IN_DRY_RUN = 250_000
"""Gas taken for a call that cannot be simulated because its approval was not sent. Measured: buy takes about
110,000."""


def pay(
    context: Context, terms: Terms, call: Call, *, with_permit: Callable[[Permit], Call] | None
) -> list[Mined]:
    """Send a call that takes an offer's price, after an approval for the market where one is needed.

    Args:
        context: market and account.
        terms: price and currency.
        call: what takes the price.
        with_permit: the same with a permit, if there is such a call.

    Raises:
        RefusedError: the account has too little of the currency.
        RevertError: a contract refuses it.
    """
    if terms.currency == NATIVE or terms.price == 0:
        return [context.send(call)]
    token = Token(context.rpc, terms.currency)
    own, market = context.account.address, context.deployment.market
    # Two threads that pay in one token would take each other's allowance, or sign one permit nonce twice.
    with context.spending:
        balance = token.balance_of(own)
        if balance < terms.price:
            raise RefusedError(
                f"the account has {balance} units of token 0x{terms.currency.hex()}, and the price is {terms.price}"
            )
        if token.allowance(own, market) >= terms.price:
            return [context.send(call)]
        if with_permit is not None and (permit := _permit(context, token, terms.price)) is not None:
            try:
                return [context.send(with_permit(permit))]
            except RevertError:
                pass  # simulated, so nothing was sent: the token has permits of another kind
        # Exactly the price, so nothing is left to take.
        approved = context.send(approve(terms.currency, market, terms.price))
        if context.dry:
            price = approved.fee_wei // max(1, approved.gas_used)
            return [approved, Mined(tx=None, gas_used=_GAS_IN_DRY_RUN, fee_wei=_GAS_IN_DRY_RUN * price)]
        return [approved, context.send(call)]


def buy_call(
    context: Context, order: Order, proof: tuple[bytes, ...]
) -> tuple[Call, Callable[[Permit], Call]]:
    """Return the call that buys, and the one that buys with a permit."""

    def with_permit(permit: Permit) -> Call:
        return context.calls.buy_with_permit(order, permit, proof)

    return context.calls.buy(order, proof), with_permit


def _permit(context: Context, token: Token, value: int) -> Permit | None:
    """Return a signed ERC-2612 permit for the market, or None if the token has none that is safe to sign."""
    deadline = context.now() + _PERMIT_TIME
    try:
        digest = token.permit_digest(
            owner=context.account.address, spender=context.deployment.market, value=value, deadline=deadline
        )
    except (RevertError, VerificationError):
        return None
    v, r, s = context.account.sign_digest(digest)
    return Permit(value, deadline, v, r, s)
