"""What both sides of metered use do, as methods of the client."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from steelyard.domain.types import NATIVE, Address

if TYPE_CHECKING:
    from steelyard.domain.metering import ChannelId
    from steelyard.domain.records import MeteredOfferState
    from steelyard.service.budget import Budget
    from steelyard.service.context import Context
    from steelyard.service.results import ChannelInfo, MeteredOffered, Sent
    from steelyard.service.usage import Usage


class MeteredMethods:
    """Mixed into :class:`steelyard.Market`."""

    _context: Context

    def offer_metered(
        self,
        ref: str,
        *,
        price: int,
        payee: Address | str | None = None,
        unit: str = "row",
        currency: Address | str = NATIVE,
        window: int = 86_400,
        in_flight: int = 16,
        expires_in: int = 365 * 86_400,
        text: str | bytes | Path | None = None,
        salt: int | None = None,
    ) -> MeteredOffered:
        """Offer one version by the unit, served by a gateway whose key is named.

        Args:
            ref: the version; the newest if it names none.
            price: of one unit, smallest units of the currency.
            payee: the gateway's account: signs receipts and claims, and receives no money. The caller if None.
            unit: ``row`` (of the batch axis) or ``call``.
            currency: ERC-20, or the native coin.
            window: seconds that the payee has to claim after a payer began to close; 24 hours to 30 days.
            in_flight: most answered calls that are not co-signed yet: what either side can lose.
            expires_in: seconds until the offer and all its channels end.
            text: the licence, as text or file; a plain one if None.
            salt: tells offers of equal terms apart; random if None.

        Raises:
            RefusedError: the account may not sell it, or this market has no metered use.
        """
        from steelyard.service.metered import offer_metered

        return offer_metered(
            self._context,
            ref,
            price=price,
            payee=payee,
            unit=unit,
            currency=currency,
            window=window,
            in_flight=in_flight,
            expires_in=expires_in,
            text=text,
            salt=salt,
        )

    def metered_offers(self, ref: str) -> tuple[MeteredOfferState, ...]:
        """Return the open metered offers of an asset or version, cheapest first."""
        from steelyard.service.metered import metered_offers

        return metered_offers(self._context, ref)

    def use(
        self,
        ref: str,
        *,
        url: str,
        budget: Budget,
        model: str | None = None,
        trust_gateway: bool = False,
    ) -> Usage:
        """Return a hosted model whose calls look like a local one's: numpy in, numpy out; docs/gateway.md.

        Args:
            ref: the version; the newest if it names none.
            url: of the gateway.
            budget: what may be paid in and spent; a channel is opened and topped up within it.
            model: its name on the wire; the asset's name if None.
            trust_gateway: believe receipts of calls that are not in this account's books, because the books were lost; at most
                the calls in flight.

        Raises:
            VerificationError: the gateway's offer is not what the chain says.
            RefusedError: it costs more than the budget allows.
            UnsafeError: the version was proved false.
            UnavailableError: the gateway does not answer.
        """
        from steelyard.service.usage import Usage

        return Usage(self._context, ref, url=url, budget=budget, model=model, trust_gateway=trust_gateway)

    def channels(self) -> tuple[ChannelInfo, ...]:
        """Return the channels that the account opened, oldest first."""
        from steelyard.service.metered import channels

        return channels(self._context)

    def channel(self, channel: ChannelId | str) -> ChannelInfo:
        """Return a channel of whoever, as it stands now."""
        from steelyard.service.metered import find_channel

        return find_channel(self._context, channel)

    def start_closing(self, channel: ChannelId | str) -> Sent:
        """Begin to close a channel of the account: its payee may claim for the offer's window still."""
        from steelyard.service.metered import find_channel, start_closing

        return start_closing(self._context, find_channel(self._context, channel).agreement)

    def finish_channel(self, channel: ChannelId | str) -> Sent:
        """Close a channel: what is left goes to the payer's account in the treasury. The payee at any time, anybody after its end."""
        from steelyard.service.metered import find_channel, finish

        return finish(self._context, find_channel(self._context, channel).agreement)
