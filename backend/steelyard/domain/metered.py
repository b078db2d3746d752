"""Metered offers and channels of an asset, folded from its trail: what :mod:`steelyard.domain.state` makes of the contract Channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from steelyard.domain.events import TrailEvent
from steelyard.domain.metering import ChannelId, ChannelState, MeteredTerms
from steelyard.domain.records import AssetState, ChannelRecord, MeteredOfferState, VersionState
from steelyard.domain.types import Address, AssetId, NodeId, OfferId, VersionId
from steelyard.errors import TrailError


@dataclass
class Meter:
    """Metered offers and channels under way."""

    offers: dict[OfferId, MeteredOfferState]
    channels: dict[ChannelId, ChannelRecord]

    def take(self, event: TrailEvent, asset: AssetState, versions: Mapping[VersionId, VersionState]) -> None:
        """Take an event of the contract Channels.

        Args:
            event: one of :data:`EVENTS`.
            asset: what it is about; its own tables are not looked at.
            versions: the asset's, so far.

        Raises:
            TrailError: the contract would not have done that.
        """
        _HANDLERS[event.name](self, event, asset, versions)

    def _offered(
        self, event: TrailEvent, asset: AssetState, versions: Mapping[VersionId, VersionState]
    ) -> None:
        terms, offer = terms_of(event.fields["terms"]), OfferId(event.id)
        version = versions.get(terms.version)
        if terms.id(AssetId(event.subject)) != offer or offer in self.offers:
            raise _wrong(event, "the offer is not what its id says, or exists already")
        if version is None or version.commitments.node != terms.node:
            raise _wrong(event, "there is no such version of that node")
        self.offers[offer] = MeteredOfferState(
            id=offer, asset=asset.id, terms=terms, maker=event.actor, made_at=event.time, epoch=asset.epoch
        )

    def _offer_closed(self, event: TrailEvent, *_: object) -> None:
        offer = self._offer(event, event.id)
        if offer.closed:
            raise _wrong(event, "the offer is closed already")
        self.offers[offer.id] = replace(offer, closed=True)

    def _opened(self, event: TrailEvent, asset: AssetState, _: object) -> None:
        fields: Mapping[str, Any] = event.fields
        offer, channel = self._offer(event, fields["offer"]), ChannelId(event.id)
        if offer.closed or offer.epoch != asset.epoch or channel in self.channels:
            raise _wrong(event, "the offer is not open, or the channel exists already")
        self.channels[channel] = ChannelRecord(
            id=channel,
            offer=offer.id,
            payer=event.actor,
            signer=Address(fields["signer"]),
            nonce=fields["nonce"],
            opened_at=event.time,
            deposit=fields["deposit"],
        )

    def _topped_up(self, event: TrailEvent, *_: object) -> None:
        fields: Mapping[str, Any] = event.fields
        channel = self._channel(event, event.id, ChannelState.OPEN)
        if channel.deposit + fields["amount"] != fields["deposit"]:
            raise _wrong(event, "the deposit is another")
        self._put(replace(channel, deposit=fields["deposit"]))

    def _claimed(self, event: TrailEvent, *_: object) -> None:
        uses: Any = event.fields["uses"]
        offer = self._offer(event, event.id)
        for id_, amount, units, sequence, root in uses:
            channel = self._channel(event, id_, ChannelState.OPEN, ChannelState.CLOSING)
            claimed = channel.claimed + amount
            if channel.offer != offer.id or claimed != min(offer.terms.price * units, channel.deposit):
                raise _wrong(event, "the channel has another offer, or was paid something else")
            self._put(replace(channel, claimed=claimed, units=units, sequence=sequence, receipts_root=root))

    def _closing(self, event: TrailEvent, *_: object) -> None:
        closes_at: Any = event.fields["closesAt"]
        channel = self._channel(event, event.id, ChannelState.OPEN)
        self._put(replace(channel, state=ChannelState.CLOSING, closes_at=closes_at))

    def _closed(self, event: TrailEvent, *_: object) -> None:
        refunded: Any = event.fields["refunded"]
        channel = self._channel(event, event.id, ChannelState.OPEN, ChannelState.CLOSING)
        if event.fields["payer"] != channel.payer or refunded != channel.deposit - channel.claimed:
            raise _wrong(event, "another payer, or another rest")
        self._put(replace(channel, state=ChannelState.CLOSED, refunded=refunded))

    def _offer(self, event: TrailEvent, id_: bytes) -> MeteredOfferState:
        offer = self.offers.get(OfferId(id_))
        if offer is None:
            raise _wrong(event, "there is no such metered offer")
        return offer

    def _channel(self, event: TrailEvent, id_: bytes, *allowed: ChannelState) -> ChannelRecord:
        channel = self.channels.get(ChannelId(id_))
        if channel is None or channel.state not in allowed:
            raise _wrong(event, "there is no such channel, or it is in another state")
        return channel

    def _put(self, channel: ChannelRecord) -> None:
        self.channels[channel.id] = channel


_HANDLERS: Final[Mapping[str, Callable[..., None]]] = {
    "MeteredOffered": Meter._offered,
    "MeteredOfferClosed": Meter._offer_closed,
    "ChannelOpened": Meter._opened,
    "ChannelToppedUp": Meter._topped_up,
    "UsageClaimed": Meter._claimed,
    "ChannelClosing": Meter._closing,
    "ChannelClosed": Meter._closed,
}
EVENTS: Final = tuple(_HANDLERS)
"""Names of the events."""


def terms_of(value: object) -> MeteredTerms:
    """Return terms from their decoded ABI value (type :data:`~steelyard.domain.metering.METERED_TERMS`)."""
    fields: Any = value
    payee, currency, price, unit, version, node, window, in_flight, expiry, text, salt = fields
    return MeteredTerms(
        payee=Address(payee),
        currency=Address(currency),
        price=price,
        unit=unit,
        version=VersionId(version),
        node=NodeId(node),
        window=window,
        in_flight=in_flight,
        expiry=expiry,
        text=text,
        salt=salt,
    )


def _wrong(event: TrailEvent, why: str) -> TrailError:
    return TrailError(
        f"{event.name} of 0x{event.id.hex()} in block {event.block} cannot have happened: {why}; the history is incomplete"
    )
