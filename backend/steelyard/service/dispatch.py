"""How keys leave the house, by hand or by the service: one outbox, one name and one call for each delivery.

A delivery is a function of the purchase or request: made again it is the same point and the same proof, so it
tells nothing new. Whether it may be made at all decides :mod:`steelyard.service.gate`, at the moment of
sending, whatever the outbox holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from steelyard.chain.calls import Call
from steelyard.chain.outbox import Outbox
from steelyard.chain.outbox_file import Entry, OutboxState
from steelyard.crypto.delivery import deliver, delivery_context, key_context
from steelyard.domain.records import AssetState, PurchaseState, RequestRecord
from steelyard.errors import UnsafeError
from steelyard.service.context import Context
from steelyard.service.gate import origin_of
from steelyard.service.keyring import Keyring

WATCHED_BLOCKS: Final = 64
"""Blocks on top of a mined transaction until a re-organisation is not looked for any more: two epochs."""
DELIVER: Final = "deliver"
KEY: Final = "key"
SETTLE: Final = "settle"

CommitPoint = Callable[[str], None]
"""Called with ``<kind>.<step>`` after each durable step; steps: :mod:`steelyard.chain.outbox`."""


def open_outbox(
    context: Context,
    *,
    stuck_after: float = 90.0,
    on_commit_point: CommitPoint | None = None,
    on_mined: Callable[[Entry], None] | None = None,
) -> Outbox:
    """Open the outbox of the account; nothing is sent.

    Raises:
        UnsafeError: another process has it, it is damaged, or belongs to another account or chain.
    """
    folder = context.home / "outbox"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def reached(name: str, step: str) -> None:
        if on_commit_point is not None:
            on_commit_point(f"{name.partition(':')[0]}.{step}")

    try:
        return Outbox(
            folder / f"{context.account.address.hex()}.sqlite",
            context.sender,
            depth=WATCHED_BLOCKS,
            stuck_after=stuck_after,
            on_step=reached,
            on_mined=on_mined,
        )
    except UnsafeError as exc:
        raise UnsafeError(
            f"{exc}; if `steelyard serve` runs for this account, it delivers by itself"
        ) from exc


def name_of(item: PurchaseState | RequestRecord, *, settle: bool = False) -> str:
    """Return the name of the operation: ``deliver:0x...``, ``key:0x...`` or ``settle:0x...``."""
    kind = KEY if isinstance(item, RequestRecord) else SETTLE if settle else DELIVER
    return f"{kind}:0x{item.id.hex()}"


def delivery_call(
    context: Context, keyring: Keyring, asset: AssetState, item: PurchaseState | RequestRecord
) -> Call:
    """Return the call that reveals the key of a purchase or key request.

    Raises:
        UnsafeError: the account does not have the version's key.
        NotFoundError: the store does not have the version's manifest.
        SealError: the key was imported, and its file is damaged.
    """
    market = context.deployment.market
    if isinstance(item, PurchaseState):
        order = asset.order(item)
        bound = delivery_context(context.chain_id, market=market, purchase=item.id)
        point, proof = deliver(keyring.kappa(order.version), blinded=item.key, context=bound)
        return context.calls.deliver(order, point, proof)
    version = asset.versions[item.request.version].commitments
    bound = key_context(context.chain_id, market=market, request=item.id)
    point, proof = deliver(keyring.kappa(version), blinded=item.request.key, context=bound)
    return context.calls.deliver_key(
        item.request, version, point, proof, origin=origin_of(context, asset, item)
    )


def go_on(context: Context, outbox: Outbox, name: str, make: Callable[[], Call]) -> Entry:
    """Send an operation that may be sent now, or go on with it; does not wait for its block.

    Args:
        context: market and account.
        outbox: of the account.
        name: of the operation.
        make: makes the call; asked only if it is not signed yet.

    Raises:
        RevertError: it would revert; nothing was signed.
        RefusedError: fees or funds do not allow it now.
        ChainError: the endpoint failed.
    """
    entry = outbox.find(name)
    if entry is not None and entry.state in (OutboxState.SIGNED, OutboxState.MINED):
        return outbox.push(name)
    call = make()
    if entry is not None and entry.state is OutboxState.FAILED:
        found = outbox.push(name)
        if found.state is not OutboxState.FAILED:
            return found
        context.sender.forget_nonce()
        outbox.retry(name)
    return outbox.submit(name, call)


def leave(outbox: Outbox, entry: Entry) -> None:
    """Deal with an open operation that nothing calls for now: what reveals a key is held, the rest goes on.

    Raises:
        RefusedError: fees or funds do not allow it now.
        ChainError: the endpoint failed.
    """
    if entry.name.partition(":")[0] in (DELIVER, KEY) or entry.state is OutboxState.PLANNED:
        outbox.hold(entry.name)
    else:
        outbox.push(entry.name)
