"""The part of the fold that the contract Channels records: metered offers, channels, and what was paid for use (docs/metering.md).

As in :mod:`steelyard.domain.metered`, what the contract would not do is refused.
"""

from __future__ import annotations

from steelyard.domain.hash import keccak256
from steelyard.domain.metering import ChannelState
from steelyard.indexer import columns as at
from steelyard.indexer.entries import Entry
from steelyard.indexer.fields import account_in, amount_in, number
from steelyard.indexer.folding import (
    ESCROW,
    INCOME,
    LEFT,
    NONE,
    NOTHING,
    PAYEE,
    PAYER,
    REFUND,
    SELLER,
    ZERO,
    About,
    Folding,
    wrong,
)
from steelyard.indexer.known import USE_SIZE, Row
from steelyard.indexer.schema import amount_bytes, amount_of

_OPEN, _CLOSING, _CLOSED = (
    int(state) for state in (ChannelState.OPEN, ChannelState.CLOSING, ChannelState.CLOSED)
)


class Metered(Folding):
    """Handlers of the events of Channels."""

    def metered_offered(self, entry: Entry) -> About:
        """Take a new metered offer."""
        pos, time, _, subject, id_, actor, _, _, data, _ = entry
        asset = self._asset(entry)
        version, node = data[128:160], data[160:192]
        release = self._known.versions.rows.get(version)
        if keccak256(subject + keccak256(data)) != id_ or id_ in self._known.metered.rows:
            raise wrong(entry, "the offer is not what its id says, or exists already")
        if release is None or release[at.VERSION_ASSET] != subject or release[at.VERSION_NODE] != node:
            raise wrong(entry, "there is no such version of that node")
        row: Row = [id_, subject, actor, account_in(data, 0), account_in(data, 1), amount_in(data, 2)]
        row += [data[96:128], version, node, number(data, 6, 32), number(data, 7, 16), number(data, 8, 40)]
        row += [
            data[288:320],
            number(data, 10, 64).to_bytes(8, "big"),
            asset[at.ASSET_EPOCH],
            time,
            None,
            pos,
        ]
        self._known.metered.add(row)
        self._batch.parties.append((pos, SELLER, actor))
        return version, None, None

    def metered_offer_closed(self, entry: Entry) -> About:
        """Take the end of a metered offer."""
        offer = self._metered(entry, entry.id)
        if offer[at.M_CLOSED_AT] is not None:
            raise wrong(entry, "the offer is closed already")
        offer[at.M_CLOSED_AT] = entry.time
        self._known.metered.touch(offer)
        self._batch.parties.append((entry.pos, SELLER, offer[at.M_MAKER]))
        return offer[at.M_VERSION], None, None

    def channel_opened(self, entry: Entry) -> About:
        """Take a new channel, and its deposit."""
        pos, time, _, subject, id_, actor, _, _, data, _ = entry
        offer, asset = self._metered(entry, data[:32]), self._asset(entry)
        if (
            offer[at.M_CLOSED_AT] is not None
            or offer[at.M_EPOCH] != asset[at.ASSET_EPOCH]
            or id_ in self._known.channels.rows
        ):
            raise wrong(entry, "the offer is not open, or the channel exists already")
        version, currency, deposit = offer[at.M_VERSION], offer[at.M_CURRENCY], amount_in(data, 3)
        nonce = number(data, 2, 64).to_bytes(8, "big")
        self._known.channels.add(
            [id_, subject, version, data[:32], actor, account_in(data, 1), nonce, currency, deposit, ZERO]
            + [ZERO, bytes(8), NONE, _OPEN, time, None, None, None, pos]
        )
        self._batch.parties += ((pos, SELLER, offer[at.M_MAKER]), (pos, PAYER, actor))
        return self._put_in(entry, version, currency, deposit)

    def channel_topped_up(self, entry: Entry) -> About:
        """Take an addition to a deposit, whoever paid it."""
        channel = self._channel(entry, entry.id, _OPEN)
        amount, deposit = amount_in(entry.data, 0), amount_in(entry.data, 1)
        if amount_of(channel[at.C_DEPOSIT]) + amount_of(amount) != amount_of(deposit):
            raise wrong(entry, "the deposit is another")
        channel[at.C_DEPOSIT] = deposit
        self._parties(entry, PAYER, channel[at.C_PAYER], entry.actor)
        return self._put_in(entry, channel[at.C_VERSION], channel[at.C_CURRENCY], amount)

    def usage_claimed(self, entry: Entry) -> About:
        """Take a claim: income of the version's node, a payment for each channel; the amount of the entry is their sum."""
        data, offer = entry.data, self._metered(entry, entry.id)
        count, rest = divmod(len(data) - 64, USE_SIZE)
        if rest or count < 1 or number(data, 0, 256) != 32 or number(data, 1, 256) != count:
            raise wrong(entry, "it is no list of channels")
        version, node, currency = offer[at.M_VERSION], offer[at.M_NODE], offer[at.M_CURRENCY]
        payers, total = [], 0
        for part in range(count):
            channel, amount = self._used(entry, offer, 2 + 5 * part)
            payers.append(channel[at.C_PAYER])
            total += amount_of(amount)
            id_ = channel[0]
            self._pay(entry, part, INCOME, version, id_, self._channels_word, node, currency, amount)
        self._batch.parties.append((entry.pos, SELLER, offer[at.M_MAKER]))
        self._parties(entry, PAYER, *payers)
        return version, amount_bytes(total), currency

    def _used(self, entry: Entry, offer: Row, word: int) -> tuple[Row, bytes]:
        """Take one channel of a claim, which begins at a word of the data."""
        data = entry.data
        channel = self._channel(entry, data[32 * word : 32 * word + 32], _OPEN, _CLOSING)
        amount, units = amount_in(data, word + 1), amount_in(data, word + 2)
        claimed = amount_of(channel[at.C_CLAIMED]) + amount_of(amount)
        worth = amount_of(offer[at.M_PRICE]) * amount_of(units)
        if channel[at.C_OFFER] != entry.id or claimed != min(worth, amount_of(channel[at.C_DEPOSIT])):
            raise wrong(entry, "a channel has another offer, or was paid something else")
        channel[at.C_CLAIMED], channel[at.C_UNITS] = amount_bytes(claimed), units
        channel[at.C_SEQUENCE] = number(data, word + 3, 64).to_bytes(8, "big")
        channel[at.C_ROOT], channel[at.C_CLAIMED_AT] = data[32 * word + 128 : 32 * word + 160], entry.time
        return channel, amount

    def channel_closing(self, entry: Entry) -> About:
        """Take the payer's wish to close."""
        channel = self._channel(entry, entry.id, _OPEN)
        channel[at.C_STATE], channel[at.C_CLOSES_AT] = _CLOSING, number(entry.data, 0, 40)
        self._batch.parties.append((entry.pos, PAYER, channel[at.C_PAYER]))
        return channel[at.C_VERSION], None, None

    def channel_closed(self, entry: Entry) -> About:
        """Take the end of a channel, and what went back to the payer."""
        channel = self._channel(entry, entry.id, _OPEN, _CLOSING)
        payer, refunded = account_in(entry.data, 0), amount_in(entry.data, 1)
        rest = amount_of(channel[at.C_DEPOSIT]) - amount_of(channel[at.C_CLAIMED])
        if payer != channel[at.C_PAYER] or amount_of(refunded) != rest:
            raise wrong(entry, "another payer, or another rest")
        channel[at.C_STATE], channel[at.C_CLOSED_AT] = _CLOSED, entry.time
        version, currency = channel[at.C_VERSION], channel[at.C_CURRENCY]
        self._batch.parties.append((entry.pos, PAYER, payer))
        if refunded == ZERO:
            return version, None, None
        self._batch.parties.append((entry.pos, PAYEE, payer))
        self._pay(entry, 0, REFUND, version, entry.id, self._channels_word, LEFT + payer, currency, refunded)
        return version, refunded, currency

    def _put_in(self, entry: Entry, version: bytes, currency: bytes, amount: bytes) -> About:
        if amount == ZERO:
            return NOTHING
        payer = LEFT + entry.actor
        self._pay(entry, 0, ESCROW, version, entry.id, payer, self._channels_word, currency, amount)
        return version, amount, currency

    def _metered(self, entry: Entry, id_: bytes) -> Row:
        offer = self._known.metered.rows.get(id_)
        if offer is None or offer[at.M_ASSET] != entry.subject:
            raise wrong(entry, "there is no such metered offer")
        return offer

    def _channel(self, entry: Entry, id_: bytes, *allowed: int) -> Row:
        channel = self._known.channels.rows.get(id_)
        if channel is None or channel[at.C_ASSET] != entry.subject or channel[at.C_STATE] not in allowed:
            raise wrong(entry, "there is no such channel, or it is in another state")
        self._known.channels.touch(channel)
        return channel
