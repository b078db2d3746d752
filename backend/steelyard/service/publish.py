"""Publish: a new asset with its first version, or a further version of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from steelyard.chain.calls import Call, KeyProof
from steelyard.crypto.delivery import sign_key_ownership
from steelyard.domain.node import Node
from steelyard.domain.types import (
    BASIS,
    Address,
    AssetId,
    AssetKind,
    Position,
    Role,
    account_word,
    asset_id,
    name_of,
    name_word,
)
from steelyard.errors import InputError, RefusedError
from steelyard.service.context import NOTHING, Context, Mined, summary
from steelyard.service.naming import asset_name, canonical, find_asset
from steelyard.service.public import Progress
from steelyard.service.results import Published
from steelyard.service.sealing import SealedVersion, seal_folder

Positions = Sequence[tuple[Address | str, int]]
Upload = Callable[[Context, SealedVersion], None]
"""Brings a sealed folder to where buyers find it, before the version is on the chain."""

MAX_ROYALTY = 1000
"""Basis points."""
_INLINE = 4096


def publish(
    context: Context,
    folder: Path,
    *,
    name: str,
    kind: AssetKind,
    card: str | Path | None,
    positions: Positions | None,
    royalty: int,
    progress: Progress | None,
    via: Upload | None = None,
    allow_code: bool = False,
    preview: bool = False,
) -> Published:
    """Register an asset with its first version; see :meth:`steelyard.Market.publish`."""
    word = name_word(name)
    if not 0 <= royalty <= MAX_ROYALTY:
        raise InputError(f"the royalty is 0 to {MAX_ROYALTY} basis points, not {royalty}")
    creator = context.account.address
    asset = asset_id(
        chain_id=context.chain_id, registry=context.deployment.assets, creator=creator, name=word
    )
    node = _node(context, asset, positions)
    exists = context.views.owner_of(asset) is not None
    sealed = seal_folder(
        context,
        folder,
        asset=asset,
        label=name_of(word),
        node=node,
        card=_card(card),
        progress=progress,
        allow_code=allow_code,
        preview=preview,
        kind=kind,
    )
    done = _done(context, sealed)
    if done is not None:
        return done
    if exists:
        raise RefusedError(
            f"this account has an asset {name_of(word)!r} already: publish a new version of it, or take another name"
        )
    _upload(context, sealed, via)
    call = context.calls.register(word, kind, royalty, sealed.version, _proof(context, sealed))
    return _send(context, sealed, call, f"0x{creator.hex()}/{name_of(word)}", number=1)


def new_version(
    context: Context,
    text: str,
    folder: Path,
    *,
    card: str | Path | None,
    positions: Positions | None,
    progress: Progress | None,
    via: Upload | None = None,
    allow_code: bool = False,
    preview: bool = False,
) -> Published:
    """Publish a version of an asset; see :meth:`steelyard.Market.new_version`."""
    asset = find_asset(context, text)
    if not asset.may(context.account.address, Role.MAINTAINER):
        raise RefusedError(
            f"account 0x{context.account.address.hex()} neither owns nor maintains {asset.label}: its owner can lend the role"
        )
    node = _node(context, asset.id, positions)
    sealed = seal_folder(
        context,
        folder,
        asset=asset.id,
        label=asset.label,
        node=node,
        card=_card(card),
        progress=progress,
        allow_code=allow_code,
        preview=preview,
        kind=asset.kind,
    )
    done = _done(context, sealed)
    if done is not None:
        return done
    _upload(context, sealed, via)
    call = context.calls.publish(sealed.version, _proof(context, sealed))
    return _send(context, sealed, call, asset_name(context, asset), number=len(asset.versions) + 1)


def _upload(context: Context, sealed: SealedVersion, via: Upload | None) -> None:
    if via is not None and not context.dry:
        via(context, sealed)


def _node(context: Context, asset: AssetId, positions: Positions | None) -> Node:
    """Return the revenue node.

    Its salt is the asset, so versions with equal positions share one and are claimed together.
    """
    if positions is None:
        positions = [(context.account.address, BASIS)]
    items = tuple(Position(_payee(context, payee), weight) for payee, weight in positions)
    node = Node(salt=asset, positions=items)
    _ = node.id
    return node


def _payee(context: Context, payee: Address | str) -> bytes:
    if isinstance(payee, str) and len(payee) == 66:
        try:
            payee = Address(bytes.fromhex(payee.removeprefix("0x")))
        except ValueError as exc:
            raise InputError(f"{payee!r} is no payee: an account, or a revenue node") from exc
    if isinstance(payee, bytes) and len(payee) == 32:
        if not payee[0] & 0x80:
            raise InputError("a payee of 32 bytes must be a revenue node; an account has 20")
        return payee
    return account_word(context.address(payee))


def _card(card: str | Path | None) -> str | None:
    if isinstance(card, str):
        # A path has no line break and is no heading; anything longer is the card itself.
        looks_like_text = "\n" in card or len(card) > _INLINE or card.startswith("#")
        if looks_like_text or not Path(card).is_file():
            return card
        card = Path(card)
    if card is None:
        return None
    try:
        return card.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"cannot read the model card {card}: it must be a text file in UTF-8") from exc


def _proof(context: Context, sealed: SealedVersion) -> KeyProof:
    v, r, s = sign_key_ownership(
        sealed.kappa,
        chain_id=context.chain_id,
        registry=context.deployment.assets,
        version=sealed.version.id,
        account=context.account.address,
    )
    return KeyProof(v, r.to_bytes(32, "big"), s.to_bytes(32, "big"))


def _done(context: Context, sealed: SealedVersion) -> Published | None:
    """Return the result if the version is on the chain already: an earlier run got that far."""
    number = context.views.release(sealed.version.id).number
    if number == 0:
        return None
    sealed.record.unlink(missing_ok=True)
    asset = context.follow(sealed.version.asset).state()
    return _result(context, sealed, asset_name(context, asset), number, NOTHING)


def _send(context: Context, sealed: SealedVersion, call: Call, name: str, *, number: int) -> Published:
    mined = context.send(call)
    if not context.dry:
        number = context.views.release(sealed.version.id).number or number
        sealed.record.unlink(missing_ok=True)
    return _result(context, sealed, name, number, mined)


def _result(context: Context, sealed: SealedVersion, name: str, number: int, mined: Mined) -> Published:
    version = sealed.version
    return Published(
        ref=f"{name}@{number}",
        canonical=canonical(context, version.asset, version.id),
        asset=version.asset,
        version=version.id,
        number=number,
        cid=sealed.cid,
        size=version.size,
        files=sealed.files,
        node=version.node,
        **summary(mined),
    )
