"""Dispute: find a leaf that does not decrypt to what was committed, and prove it to the contract."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from steelyard.chain.calls import Fraud
from steelyard.crypto.content import Witness, build_witness, split_leaf_list
from steelyard.crypto.delivery import dispute_context, open_dispute
from steelyard.crypto.stream import chunk_roots, open_stream
from steelyard.domain.records import AssetState, PurchaseState
from steelyard.domain.types import NATIVE, Order, State
from steelyard.errors import LeafError, RefusedError, UnavailableError, UnsafeError
from steelyard.service.context import Context, Mined
from steelyard.service.keys import Received, find_proof, from_purchase
from steelyard.service.naming import find_purchase
from steelyard.service.public import CIPHERTEXT, Counted, Progress, open_folder, read_lists
from steelyard.service.purchase import after
from steelyard.service.results import Purchase


@dataclass(frozen=True, kw_only=True)
class _Evidence:
    """The false leaf, as a dispute needs it."""

    witness: Witness
    item: Received


def dispute(context: Context, value: object, *, progress: Progress | None) -> Purchase:
    """Prove content false; see :meth:`steelyard.Market.dispute`."""
    asset, purchase = find_purchase(context, value)
    version = asset.versions[purchase.version].commitments
    if purchase.state is not State.DELIVERED:
        raise RefusedError(
            f"purchase 0x{purchase.id.hex()} is {purchase.state.name.lower()}: only a delivered one can be disputed"
        )
    if asset.versions[purchase.version].flagged:
        raise RefusedError(
            f"the version of purchase 0x{purchase.id.hex()} was proved false already: take the refund"
        )
    if context.now() > purchase.due:
        raise RefusedError(
            f"the content window of purchase 0x{purchase.id.hex()} ended at {purchase.due} (Unix seconds)"
        )
    evidence = _find(context, asset, purchase, progress=progress)
    item = evidence.item
    delivery = find_proof(context, item, version)
    if delivery is None:
        raise UnavailableError(
            "the endpoint does not show the proof of the delivered key, and a dispute repeats it: use another one"
        )
    bound = dispute_context(
        context.chain_id, market=context.deployment.market, purchase=purchase.id, version=purchase.version
    )
    opening, opened = open_dispute(item.b, commitment=version.key, blinded=item.blinded, context=bound)
    fraud = Fraud(
        delivered=item.delivered,
        delivery=delivery,
        opening=opening,
        opened=opened,
        index=evidence.witness.leaf,
        ciphertext=evidence.witness.ciphertext,
        plaintext_hash=evidence.witness.salted,
        path=evidence.witness.path,
    )
    order = asset.order(purchase)
    mined = [context.send(context.calls.dispute(order, fraud))]
    if order.terms.currency != NATIVE:
        mined += _refund(context, order, purchase)
    return after(context, purchase.id, *mined)


def _refund(context: Context, order: Order, purchase: PurchaseState) -> list[Mined]:
    """Take the money back where the dispute alone does not, so that no token holds up the flag."""
    if context.dry:
        return []
    try:
        return [context.send(context.calls.refund(order))]
    except RefusedError as exc:
        warnings.warn(
            f"the version is flagged as false, but the refund of purchase 0x{purchase.id.hex()} failed: {exc}. "
            "Nothing is lost: take the refund later",
            stacklevel=2,
        )
        return []


def _find(
    context: Context, asset: AssetState, purchase: PurchaseState, *, progress: Progress | None
) -> _Evidence:
    version = asset.versions[purchase.version].commitments
    item = from_purchase(context, asset, purchase)
    if item is None:
        raise UnsafeError(
            f"this account's seed does not open purchase 0x{purchase.id.hex()}: only its buyer's seed can dispute it"
        )
    folder = open_folder(context, version)
    tags, leaves = read_lists(context, folder, version)
    threads = context.settings.threads
    with context.store.open_file(folder.entries[CIPHERTEXT]) as file:
        reader = Counted(file, "check", version.size, progress)
        roots = chunk_roots(
            reader, leaves=leaves, size=version.size, root=version.content_root, threads=threads
        )
        file.seek(0)
        try:
            for _ in open_stream(
                Counted(file, "open", version.size, progress),
                key=item.content_key(version),
                tags=tags,
                leaves=leaves,
                size=version.size,
                root=version.content_root,
                roots=roots,
                threads=threads,
            ):
                pass
        except LeafError as exc:
            leaf = exc.leaf
        else:
            raise RefusedError("every leaf is what was committed: a dispute would fail, so nothing was sent")
        chunk = leaf // 256
        file.seek(chunk << 20)
        ciphertext = file.read(min(1 << 20, version.size - (chunk << 20)))
    salted = list(split_leaf_list(leaves, size=version.size))[chunk]
    witness = build_witness(leaf, size=version.size, ciphertext=ciphertext, salted=salted, chunk_roots=roots)
    return _Evidence(witness=witness, item=item)
