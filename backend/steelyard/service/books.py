"""Money: balances, what revenue nodes owe, claims, withdrawals, bonds."""

from __future__ import annotations

from steelyard.chain.erc20 import Token
from steelyard.domain.node import Node
from steelyard.domain.records import AssetState
from steelyard.domain.types import BASIS, NATIVE, Address, Role, account_word, checked_amount
from steelyard.errors import InputError, NotFoundError, RefusedError, StoreError, VerificationError
from steelyard.service.context import Context, Mined, summary
from steelyard.service.naming import asset_name, find_asset
from steelyard.service.public import read_node
from steelyard.service.results import Balance, Income, Sent, Withdrawn


def balance(context: Context, currency: Address | str, *, account: Address | str | None) -> Balance:
    """Return what an account has; see :meth:`steelyard.Market.balance`."""
    money = context.address(currency)
    who = context.account.address if account is None else context.address(account)
    owed = sum(item.owed for item in income(context, None, account=who) if item.currency == money)
    wallet = context.rpc.get_balance(who) if money == NATIVE else Token(context.rpc, money).balance_of(who)
    return Balance(
        account=who,
        currency=money,
        wallet=wallet,
        treasury=context.views.balance(account_word(who), money),
        claimable=owed,
        bond=context.views.free_bond(who) if money == NATIVE else 0,
    )


def income(context: Context, text: str | None, *, account: Address | str | None) -> tuple[Income, ...]:
    """Return what nodes owe to an account; see :meth:`steelyard.Market.income`."""
    who = None
    if account is not None:
        who = context.address(account)
    elif text is None:
        who = context.account.address
    found = []
    for node, (currencies, refs) in _nodes(context, text, who).items():
        for index, position in enumerate(node.positions):
            holder = context.views.holder(node.id, index)
            payee = position.payee if holder is None else account_word(holder)
            if who is not None and payee != account_word(who):
                continue
            for currency in currencies:
                received = context.views.balance(node.id, currency)
                paid = context.views.paid(node.id, index, currency)
                found.append(
                    Income(
                        node=node.id,
                        salt=node.salt,
                        positions=node.positions,
                        index=index,
                        currency=currency,
                        received=received,
                        paid=paid,
                        owed=received * position.weight // BASIS - paid,
                        refs=refs,
                    )
                )
    return tuple(found)


def claim(context: Context, text: str | None, *, currency: Address | None = None) -> tuple[Sent, ...]:
    """Claim what nodes owe to the account; see :meth:`steelyard.Market.claim`."""
    return tuple(mined for mined, _ in _claim(context, text, currency))


def _claim(context: Context, text: str | None, currency: Address | None) -> list[tuple[Mined, int]]:
    done = []
    for item in income(context, text, account=context.account.address):
        if item.owed and currency in (None, item.currency):
            call = context.calls.claim(item.salt, item.positions, item.index, item.currency)
            done.append((context.send(call), item.owed))
    return done


def withdraw(
    context: Context,
    amount: int | None,
    *,
    currency: Address | str,
    to: Address | str | None,
    claim_first: bool,
    text: str | None,
) -> Withdrawn:
    """Take money out of the books; see :meth:`steelyard.Market.withdraw`."""
    money = context.address(currency)
    own = context.account.address
    target = own if to is None else context.address(to)
    if target == bytes(20):
        raise InputError("money sent to the zero address is lost: name another")
    claims = _claim(context, text, money) if claim_first else []
    claimed = sum(owed for _, owed in claims)
    available = context.views.balance(account_word(own), money) + (claimed if context.dry else 0)
    if amount is None:
        amount = available
    if amount <= 0:
        raise RefusedError("there is nothing to withdraw in this currency")
    if amount > available:
        raise RefusedError(
            f"the account has {available} in the books, and {checked_amount(amount)} was asked for"
        )
    if context.dry and claimed:
        # The claims were not sent, so the withdrawal cannot be simulated in full.
        last = Mined(tx=None, gas_used=60_000, fee_wei=60_000 * _gas_price(claims))
    else:
        last = context.send(context.calls.withdraw(target, money, amount))
    parts = [mined for mined, _ in claims]
    return Withdrawn(to=target, currency=money, amount=amount, claimed=claimed, **summary(*parts, last))


def fund_bond(context: Context, amount: int, *, seller: Address | str | None) -> Sent:
    """Set bond aside; see :meth:`steelyard.Market.fund_bond`."""
    whose = context.account.address if seller is None else context.address(seller)
    return context.send(context.calls.fund_bond(whose, _positive(amount)))


def take_bond(context: Context, amount: int) -> Sent:
    """Take free bond back; see :meth:`steelyard.Market.take_bond`."""
    free = context.views.free_bond(context.account.address)
    if _positive(amount) > free:
        raise RefusedError(
            f"{free} wei of the bond are free, and {amount} were asked for: open purchases hold the rest"
        )
    return context.send(context.calls.take_bond(amount))


def _positive(amount: int) -> int:
    if amount <= 0:
        raise InputError(f"{amount} is no amount to move")
    return checked_amount(amount)


def _gas_price(claims: list[tuple[Mined, int]]) -> int:
    return claims[-1][0].fee_wei // max(1, claims[-1][0].gas_used)


def _nodes(
    context: Context, text: str | None, who: Address | None
) -> dict[Node, tuple[tuple[Address, ...], tuple[str, ...]]]:
    """Return the nodes of one asset, or of all of an account, with their currencies and assets."""
    if text is not None:
        assets = [find_asset(context, text)]
    else:
        everything = context.ledger.everything().refresh().assets.values()
        assets = [asset for asset in everything if who is None or _concerns(context, asset, who)]
    found: dict[Node, tuple[tuple[Address, ...], tuple[str, ...]]] = {}
    for asset in assets:
        terms = (offer.terms for offers in (asset.offers, asset.metered) for offer in offers.values())
        currencies = {NATIVE, *(item.currency for item in terms)}
        for node in _nodes_of(context, asset):
            before = found.get(node, ((), ()))
            found[node] = (
                tuple(sorted({*before[0], *currencies})),
                tuple(dict.fromkeys((*before[1], asset_name(context, asset)))),
            )
    return found


def _concerns(context: Context, asset: AssetState, who: Address) -> bool:
    """Whether an asset may pay an account: by a hand in it, or a position of a node that the store has."""
    if who in (asset.creator, asset.owner) or any(asset.may(who, role) for role in Role):
        return True
    word = account_word(who)
    return any(position.payee == word for node in _nodes_of(context, asset) for position in node.positions)


def _nodes_of(context: Context, asset: AssetState) -> list[Node]:
    found: dict[bytes, Node] = {}
    for version in asset.versions.values():
        if version.commitments.node in found:
            continue
        try:
            found[version.commitments.node] = read_node(context, version.commitments)
        except (NotFoundError, StoreError, VerificationError, InputError):
            continue  # a version of another maker, or one whose folder is not here: nothing can be claimed without it
    return list(found.values())
