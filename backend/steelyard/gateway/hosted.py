"""The versions that a gateway serves: pulled, verified, and asked about again and again (docs/gateway.md, "Models")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steelyard.domain.metering import CALL, ROW, MeteredTerms
from steelyard.domain.records import AssetState, MeteredOfferState
from steelyard.domain.types import Address, AssetId, VersionId
from steelyard.errors import RefusedError, SteelyardError
from steelyard.gateway.engine import Model, Runner, find_model
from steelyard.market import Market
from steelyard.service.context import Context
from steelyard.service.keyring import Keyring
from steelyard.service.naming import asset_name, find_version


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A version that is to be served: what the processes of a gateway are told.

    Attributes:
        name: of the model on the wire.
        number: of the version.
        ref: the version, as people name it.
        asset: id of the asset.
        version: id of the version.
        path: the verified ONNX file.
        offers: metered offers of this version whose payee is the gateway's, newest last.
        trial: units without payment, of an address in a day.
        batch: whether calls may run together.
        own: whether the account has the key as the seller's, so that it needs no licence.
    """

    name: str
    number: int
    ref: str
    asset: AssetId
    version: VersionId
    path: Path
    offers: tuple[MeteredOfferState, ...]
    trial: int = 0
    batch: bool = True
    own: bool = True


@dataclass(kw_only=True)
class Hosted:
    """A version that is served by this process.

    Attributes:
        wanted: what it was told.
        runner: runs its calls.
        why: why it is not served now; empty if it is.
    """

    wanted: Wanted
    runner: Runner
    why: str = ""

    @property
    def model(self) -> Model:
        """The model."""
        return self.runner.model

    @property
    def terms(self) -> MeteredTerms:
        """Terms of the offer that new channels are opened under."""
        return self.wanted.offers[-1].terms

    def units(self, rows: int, terms: MeteredTerms) -> int:
        """Return what a call of so many rows counts under terms."""
        return rows if terms.unit_name == ROW else 1


def prepare(
    market: Market,
    ref: str,
    *,
    name: str | None = None,
    file: str | None = None,
    trial: int = 0,
    batch: bool = True,
) -> Wanted:
    """Pull and verify a version, and find the offer that it is served under.

    Args:
        market: open, with the account that is the offer's payee and may open the version.
        ref: the version; the newest if it names none.
        name: of the model on the wire; the asset's name if None.
        file: of the model in the version; its only ``.onnx`` file if None.
        trial: units without payment, of an address in a day.
        batch: whether calls may run together.

    Raises:
        RefusedError: the account has no key of it, there is no open metered offer with this payee, or it has no such file.
        VerificationError: it is not what the chain commits to.
    """
    context = market.context
    asset, version = find_version(context, ref)
    own = Keyring(context).opens(version.commitments)
    now, holder = context.now(context.follow(asset.id).head), None if own else context.account.address
    if why := not_served(asset, version.id, holder=holder, at=now):
        raise RefusedError(f"{asset_name(context, asset, version.number)} is not served: {why}")
    offers = offers_for(asset, version.id, payee=context.account.address, at=now)
    if not offers:
        raise RefusedError(
            f"{asset_name(context, asset, version.number)} has no open metered offer with the payee "
            f"0x{context.account.address.hex()}: make one with `steelyard offer --metered`"
        )
    folder = market.pull(asset_name(context, asset, version.number))
    return Wanted(
        name=name or asset_name(context, asset).rpartition("/")[2],
        number=version.number,
        ref=asset_name(context, asset, version.number),
        asset=asset.id,
        version=version.id,
        path=find_model(folder, file),
        offers=offers,
        trial=trial,
        batch=batch,
        own=own,
    )


def offers_for(
    asset: AssetState, version: VersionId, *, payee: Address, at: int
) -> tuple[MeteredOfferState, ...]:
    """Return the metered offers of a version for a payee, with units that a gateway counts; the open ones last.

    Args:
        asset: the asset.
        version: the version.
        payee: account of the gateway.
        at: Unix seconds; what has expired then is left out.
    """
    closed: list[MeteredOfferState] = []
    opened: list[MeteredOfferState] = []
    for offer in asset.metered.values():
        terms = offer.terms
        mine = terms.payee == payee and terms.version == version and at < terms.expiry
        if mine and terms.unit_name in (ROW, CALL):
            (opened if asset.is_open(offer) else closed).append(offer)
    return (*closed, *opened) if opened else ()


def not_served(asset: AssetState | None, version: VersionId, *, holder: Address | None, at: int) -> str:
    """Return why a version must not be served; empty if it may be.

    Args:
        asset: the asset; None if the chain has no such.
        version: the version.
        holder: who needs a licence of it that is valid; None where the key is that of the version's seller.
        at: Unix seconds.
    """
    found = None if asset is None else asset.versions.get(version)
    if asset is None or found is None:
        return "there is no such version"
    if found.flagged:
        return "it was proved false"
    if not found.stage.on_sale:
        return f"it is {found.stage.name.lower()}"
    if holder is None:
        return ""
    for licence in asset.purchases.values():
        if licence.holder == holder and asset.covers(licence, found, at=at):
            return ""
    return "the gateway's account has no valid licence of it"


def load(wanted: Wanted, threads: Any, bounds: Any, *, intra: int) -> Hosted:
    """Load a model into this process.

    Raises:
        VerificationError: ONNX Runtime cannot run it.
        ConfigError: ONNX Runtime is not installed.
    """
    model = Model(wanted.path, threads=intra, batch=wanted.batch)
    return Hosted(wanted=wanted, runner=Runner(model, threads, bounds))


def by_name(hosted: Sequence[Hosted]) -> Mapping[str, Mapping[str, Hosted]]:
    """Return what is hosted by name and version.

    Raises:
        RefusedError: two have the same name and version.
    """
    found: dict[str, dict[str, Hosted]] = {}
    for item in hosted:
        versions = found.setdefault(item.wanted.name, {})
        number = str(item.wanted.number)
        if number in versions:
            raise RefusedError(
                f"two models are called {item.wanted.name}, version {number}: name one otherwise"
            )
        versions[number] = item
    return found


def check_again(context: Context, hosted: Sequence[Hosted]) -> None:
    """Ask the chain again what may be served; while it does not answer, what was true stays."""
    follower = context.follow(*(item.wanted.asset for item in hosted))
    try:
        assets = follower.refresh().assets
    except SteelyardError:
        return
    now = context.now(follower.head)
    for item in hosted:
        wanted = item.wanted
        holder = None if wanted.own else context.account.address
        item.why = not_served(assets.get(wanted.asset), wanted.version, holder=holder, at=now)
