"""From entries to rows: the state of :mod:`steelyard.domain.state`, kept in tables (docs/index.md, "Tables").

Pure but for what it knows of the past, which :meth:`Known.load` brought before. What the contracts would not do is refused, as there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from steelyard.domain.abi import decode
from steelyard.domain.hash import keccak256
from steelyard.domain.types import RequestState, Stage, State, name_of
from steelyard.errors import VerificationError
from steelyard.indexer import columns as at
from steelyard.indexer.batch import Batch
from steelyard.indexer.entries import KINDS, Entry
from steelyard.indexer.fields import account_in, account_of, amount_in, number, wide_amount_in
from steelyard.indexer.folding import (
    ACTOR,
    ANSWER,
    BOND,
    BUYER,
    CLAIM,
    DIRECT,
    ESCROW,
    FEE,
    GRANTEE,
    HOLDER,
    INCOME,
    LEFT,
    NATIVE,
    NONE,
    NOTHING,
    OWNER,
    PAYEE,
    PAYER,
    PUBLISHER,
    REFUND,
    RETURNED,
    SELLER,
    ZERO,
    About,
    wrong,
)
from steelyard.indexer.known import Known, Row
from steelyard.indexer.metered import Metered

_PAID, _DELIVERED, _SETTLED = int(State.PAID), int(State.DELIVERED), int(State.SETTLED)
_REFUNDED, _REVOKED = int(State.REFUNDED), int(State.REVOKED)
_OPEN, _ANSWERED, _GIVEN_BACK = (
    int(state) for state in (RequestState.OPEN, RequestState.ANSWERED, RequestState.RETURNED)
)

_MOST_POSITIONS: Final = 32


def fold(
    known: Known, entries: Iterable[Entry], *, batch: Batch | None = None, only_entities: bool = False
) -> Batch:
    """Fold entries onto what is known, which is changed, and return the rows that they make besides.

    Args:
        known: what :meth:`Known.load` brought for these entries.
        entries: all that the contracts recorded next, in the order of the chain.
        batch: rows to add to; a new one if None.
        only_entities: leave out what belongs to each entry alone, and the heads; for entries that are folded again.

    Raises:
        TrailError: the contracts would not have done that: an entry is missing, doubled or altered. ``known`` and ``batch`` are
            spoilt then.
    """
    made = Batch() if batch is None else batch
    _Folding(known, made).take(entries, only_entities)
    return made


class _Folding(Metered):
    """A fold under way."""

    def take(self, entries: Iterable[Entry], only_entities: bool) -> None:
        batch, addresses, heads = self._batch, self._known.addresses, self._known.heads
        add_event, party, new_heads = batch.events.append, batch.parties.append, batch.heads
        for entry in entries:
            pos, time, kind, subject, id_, actor, tx, tx_index, data, digest = entry
            handler, size = _HANDLERS[kind]
            if len(data) != size != _ANY:
                raise wrong(entry, f"it has {len(data)} bytes of data, not {size}")
            try:
                version, amount, currency = handler(self, entry)
            except (OverflowError, ValueError) as exc:  # a number that is out of the range of its type
                raise wrong(entry, str(exc)) from exc
            if only_entities:
                continue
            if actor not in self._nobody:
                party((pos, ACTOR, actor))
            contract = addresses[kind]
            asset = None if subject[0] & 0x80 else subject
            add_event(
                (
                    pos,
                    time,
                    kind,
                    contract,
                    subject,
                    id_,
                    actor,
                    tx,
                    tx_index,
                    data,
                    asset,
                    version,
                    amount,
                    currency,
                )
            )
            key = (contract, subject)
            head = keccak256(heads.get(key, NONE) + digest)
            heads[key] = head
            new_heads[key] = (head, pos)

    # -- assets ------------------------------------------------------------------------------------------------

    def registered(self, entry: Entry) -> About:
        pos, time, _, subject, id_, actor, _, _, data, _ = entry
        if subject in self._known.assets.rows:
            raise wrong(entry, "the asset exists already")
        kind, royalty = number(data, 0, 8), number(data, 1, 16)
        if kind > 1 or subject[0] & 0x80:
            raise wrong(entry, "there is no such kind of asset")
        self._known.assets.add([subject, name_of(id_), id_, kind, actor, actor, royalty, 0, time, pos])
        self._batch.parties.append((pos, OWNER, actor))
        return NOTHING

    def published(self, entry: Entry) -> About:
        pos, time, _, subject, id_, actor, _, _, data, _ = entry
        self._asset(entry)
        known = self._known
        count = known.count.get(subject, 0) + 1
        if (
            keccak256(data[32:]) != id_
            or data[32:64] != subject
            or number(data, 0, 32) != count
            or id_ in known.versions.rows
        ):
            raise wrong(entry, "the version is not what its id says, or not the next one")
        size, scheme, node = number(data, 4, 63), number(data, 5, 16), data[256:288]
        known.count[subject] = count
        known.versions.add(
            [id_, subject, count, data[64:96], data[96:128], size, scheme, data[192:256], node]
            + [actor, time, None, None, int(Stage.RELEASED), pos]
        )
        if node in known.node_assets:
            known.node_assets[node].add(subject)
        self._batch.parties.append((pos, PUBLISHER, actor))
        return id_, None, None

    def transferred(self, entry: Entry) -> About:
        asset = self._asset(entry)
        before, after, epoch = account_in(entry.data, 0), account_of(entry.id), number(entry.data, 1, 32)
        if before != asset[at.ASSET_OWNER] or epoch != asset[at.ASSET_EPOCH] + 1:
            raise wrong(entry, "not from the owner, or not the next transfer")
        asset[at.ASSET_OWNER], asset[at.ASSET_EPOCH] = after, epoch
        self._known.assets.touch(asset)
        batch = self._batch
        batch.cleared.add(entry.subject)
        batch.granted = {key: granted for key, granted in batch.granted.items() if key[0] != entry.subject}
        self._parties(entry, OWNER, before, after)
        return NOTHING

    def role_set(self, entry: Entry) -> About:
        asset = self._asset(entry)
        account, role, granted = account_of(entry.id), number(entry.data, 0, 8), number(entry.data, 1, 1)
        if role > 1:
            raise wrong(entry, "there is no such role")
        self._batch.granted[entry.subject, asset[at.ASSET_EPOCH], account, role] = bool(granted)
        self._batch.parties.append((entry.pos, GRANTEE, account))
        return NOTHING

    def flagged(self, entry: Entry) -> About:
        self._asset(entry)
        version = self._known.versions.rows.get(entry.id)
        purchase = self._known.purchases.rows.get(entry.data[:32])
        if version is None or version[at.VERSION_ASSET] != entry.subject:
            raise wrong(entry, "there is no such version")
        if purchase is None or purchase[at.P_VERSION] != entry.id:
            raise wrong(entry, "there is no such purchase of this version")
        if version[at.VERSION_FLAGGED_AT] is None:
            version[at.VERSION_FLAGGED_AT], version[at.VERSION_FLAGGED_BY] = entry.time, entry.data[:32]
            self._known.versions.touch(version)
        publisher, buyer = version[at.VERSION_PUBLISHER], purchase[at.P_BUYER]
        self._batch.parties += ((entry.pos, PUBLISHER, publisher), (entry.pos, BUYER, buyer))
        return entry.id, None, None

    def stage_moved(self, entry: Entry) -> About:
        version = self._known.versions.rows.get(entry.id)
        if version is None or version[at.VERSION_ASSET] != entry.subject:
            raise wrong(entry, "there is no such version")
        try:
            decode(KINDS[entry.kind].types, entry.data)
        except VerificationError as exc:
            raise wrong(entry, str(exc)) from exc
        start, to = Stage(number(entry.data, 0, 8)), Stage(number(entry.data, 1, 8))
        if start != version[at.VERSION_STAGE] or start is Stage.RETIRED or to in (Stage.NONE, start):
            raise wrong(entry, "not from the stage that the version is in, or no way out of it")
        version[at.VERSION_STAGE] = int(to)
        self._known.versions.touch(version)
        self._batch.parties.append((entry.pos, PUBLISHER, version[at.VERSION_PUBLISHER]))
        return entry.id, None, None

    # -- offers ------------------------------------------------------------------------------------------------

    def offered(self, entry: Entry) -> About:
        pos, time, _, subject, id_, _, _, _, data, _ = entry
        asset = self._asset(entry)
        if keccak256(subject + data) != id_ or id_ in self._known.offers.rows:
            raise wrong(entry, "the offer is not what its id says, or exists already")
        seller, currency = account_in(data, 0), account_in(data, 1)
        kind, scope = number(data, 4, 8), number(data, 5, 8)
        if kind > 1 or scope > 2:
            raise wrong(entry, "there is no such kind or scope")
        version = None if data[512:544] == NONE else data[512:544]
        row: Row = [id_, subject, seller, currency, amount_in(data, 2), amount_in(data, 3), kind, scope]
        row += [number(data, 6, 1), number(data, 7, 1), number(data, 8, 32), number(data, 9, 40)]
        row += [
            number(data, 10, 32),
            number(data, 11, 32),
            number(data, 12, 32),
            data[416:448],
            data[448:480],
        ]
        row += [number(data, 15, 64).to_bytes(8, "big"), version, asset[at.ASSET_EPOCH], time, None, pos]
        self._known.offers.add(row)
        self._batch.parties.append((pos, SELLER, seller))
        return version, None, None

    def closed(self, entry: Entry) -> About:
        offer = self._known.offers.rows.get(entry.id)
        if offer is None or offer[at.OFFER_ASSET] != entry.subject or offer[at.OFFER_CLOSED_AT] is not None:
            raise wrong(entry, "there is no such open offer")
        offer[at.OFFER_CLOSED_AT] = entry.time
        self._known.offers.touch(offer)
        self._batch.parties.append((entry.pos, SELLER, offer[at.OFFER_SELLER]))
        return offer[at.OFFER_VERSION], None, None

    # -- purchases ---------------------------------------------------------------------------------------------

    def purchased(self, entry: Entry) -> About:
        pos, time, _, subject, id_, actor, _, _, data, _ = entry
        known, version, offer_id = self._known, data[:32], data[32:64]
        offer, release = known.offers.rows.get(offer_id), known.versions.rows.get(version)
        if (
            offer is None
            or offer[at.OFFER_ASSET] != subject
            or release is None
            or release[at.VERSION_ASSET] != subject
            or id_ in known.purchases.rows
        ):
            raise wrong(entry, "no such offer or version, or the purchase exists already")
        price, due, currency = amount_in(data, 5), number(data, 6, 40), offer[at.OFFER_CURRENCY]
        known.purchases.add(
            [id_, subject, version, offer_id, actor, actor, data[64:96], data[96:160], price, currency, _PAID]
            + [time, due, 0, None, None, None, None, None, pos]
        )
        parties = self._batch.parties
        parties += ((pos, SELLER, offer[at.OFFER_SELLER]), (pos, BUYER, actor))
        if price == ZERO:
            return version, None, None
        parties.append((pos, PAYER, actor))
        self._batch.payments.append(
            (pos, 0, ESCROW, subject, version, id_, LEFT + actor, self._market_word, currency, price, time)
        )
        return version, price, currency

    def delivered(self, entry: Entry) -> About:
        pos, time, _, _, id_, _, tx, _, data, _ = entry
        purchase = self._purchase(entry, _PAID)
        until, settles_at = number(data, 2, 40), number(data, 3, 40)
        settled = settles_at == time
        purchase[at.P_STATE] = _SETTLED if settled else _DELIVERED
        purchase[at.P_DUE], purchase[at.P_UNTIL] = settles_at, until
        purchase[at.P_DELIVERED], purchase[at.P_DELIVERED_AT], purchase[at.P_DELIVERED_TX] = (
            data[:64],
            time,
            tx,
        )
        if settled:
            purchase[at.P_SETTLED_AT] = time
        buyer = purchase[at.P_BUYER]
        self._batch.holdings.setdefault(id_, []).append([id_, pos, buyer, time, None])
        self._sides(purchase, pos, buyer)
        return self._earned(entry, purchase) if settled else (purchase[at.P_VERSION], None, None)

    def settled(self, entry: Entry) -> About:
        purchase = self._purchase(entry, _DELIVERED)
        purchase[at.P_STATE], purchase[at.P_SETTLED_AT] = _SETTLED, entry.time
        self._sides(purchase, entry.pos, purchase[at.P_HOLDER])
        return self._earned(entry, purchase)

    def refunded(self, entry: Entry) -> About:
        purchase = self._purchase(entry, _PAID, _DELIVERED)
        pos, data = entry.pos, entry.data
        payer, price, bond = account_in(data, 0), amount_in(data, 1), amount_in(data, 2)
        if purchase[at.P_STATE] == _DELIVERED:
            self._end_holding(entry)
        purchase[at.P_STATE], purchase[at.P_ENDED_AT] = _REFUNDED, entry.time
        version, parties = purchase[at.P_VERSION], self._batch.parties
        self._sides(purchase, pos)
        money: list[tuple[int, bytes, bytes]] = []
        if price != ZERO:
            money.append((REFUND, purchase[at.P_CURRENCY], price))
        if bond != ZERO:
            money.append((BOND, NATIVE, bond))
        if not money:
            return version, None, None
        parties.append((pos, PAYEE, payer))
        for part, (kind, currency, amount) in enumerate(money):
            self._pay(entry, part, kind, version, entry.id, self._market_word, LEFT + payer, currency, amount)
        return version, money[0][2], money[0][1]

    def renewed(self, entry: Entry) -> About:
        purchase = self._purchase(entry, _SETTLED)
        price, until = amount_in(entry.data, 0), number(entry.data, 1, 40)
        if until <= purchase[at.P_UNTIL]:
            raise wrong(entry, "a renewal cannot shorten")
        purchase[at.P_UNTIL] = until
        self._sides(purchase, entry.pos, purchase[at.P_HOLDER])
        parties, version = self._batch.parties, purchase[at.P_VERSION]
        if price == ZERO:
            return version, None, None
        parties.append((entry.pos, PAYER, entry.actor))
        node, currency = self._known.versions.rows[version][at.VERSION_NODE], purchase[at.P_CURRENCY]
        self._pay(entry, 0, INCOME, version, entry.id, LEFT + entry.actor, node, currency, price)
        return version, price, currency

    def licence_transferred(self, entry: Entry) -> About:
        purchase = self._purchase(entry, _SETTLED)
        before, after = account_in(entry.data, 0), account_in(entry.data, 1)
        if before != purchase[at.P_HOLDER]:
            raise wrong(entry, "not from its holder")
        self._end_holding(entry)
        purchase[at.P_HOLDER] = after
        self._batch.holdings.setdefault(entry.id, []).append([entry.id, entry.pos, after, entry.time, None])
        self._sides(purchase, entry.pos, before)
        if after != before:
            self._batch.parties.append((entry.pos, HOLDER, after))
        return purchase[at.P_VERSION], None, None

    def licence_revoked(self, entry: Entry) -> About:
        purchase = self._purchase(entry, _SETTLED)
        self._end_holding(entry)
        purchase[at.P_STATE], purchase[at.P_ENDED_AT] = _REVOKED, entry.time
        self._sides(purchase, entry.pos, purchase[at.P_HOLDER])
        return purchase[at.P_VERSION], None, None

    # -- key requests ------------------------------------------------------------------------------------------

    def key_requested(self, entry: Entry) -> About:
        pos, time, _, subject, id_, actor, _, _, data, _ = entry
        known, licence, version = self._known, data[:32], data[32:64]
        purchase = known.purchases.rows.get(licence)
        if purchase is None or purchase[at.P_ASSET] != subject or id_ in known.requests.rows:
            raise wrong(entry, "the request exists already, or its licence does not")
        fee, due = amount_in(data, 4), number(data, 5, 40)
        known.requests.add(
            [id_, subject, licence, version, actor, data[64:128], fee, _OPEN, time, due, None, pos]
        )
        self._batch.parties.append((pos, HOLDER, actor))
        if fee == ZERO:
            return version, None, None
        self._batch.parties.append((pos, PAYER, actor))
        self._pay(entry, 0, FEE, version, licence, LEFT + actor, self._market_word, NATIVE, fee)
        return version, fee, NATIVE

    def key_delivered(self, entry: Entry) -> About:
        return self._answered(entry, _ANSWERED, ANSWER, entry.actor)

    def key_returned(self, entry: Entry) -> About:
        return self._answered(entry, _GIVEN_BACK, RETURNED, None)

    def _answered(self, entry: Entry, state: int, kind: int, payee: bytes | None) -> About:
        request = self._known.requests.rows.get(entry.id)
        if request is None or request[at.R_ASSET] != entry.subject or request[at.R_STATE] != _OPEN:
            raise wrong(entry, "there is no such open request")
        request[at.R_STATE] = state
        if state == _ANSWERED:
            request[at.R_ANSWERED_AT] = entry.time
        self._known.requests.touch(request)
        holder, version, fee = request[at.R_HOLDER], request[at.R_VERSION], request[at.R_FEE]
        to, parties = payee or holder, self._batch.parties
        parties.append((entry.pos, HOLDER, holder))
        if fee == ZERO:
            return version, None, None
        parties.append((entry.pos, PAYEE, to))
        self._pay(entry, 0, kind, version, request[at.R_LICENCE], self._market_word, LEFT + to, NATIVE, fee)
        return version, fee, NATIVE

    # -- nodes -------------------------------------------------------------------------------------------------

    def received(self, entry: Entry) -> About:
        source, currency, amount = entry.id, account_in(entry.data, 0), wide_amount_in(entry.data, 1)
        if amount == ZERO:
            return NOTHING
        # What market and channels pay in is the same money as an income, and what a node pays as a claim.
        if (source == NONE and entry.actor in self._nobody) or source[0] & 0x80:
            return None, amount, currency
        payer = LEFT + entry.actor if source == NONE else source
        self._batch.parties.append((entry.pos, PAYER, payer[12:]))
        self._pay(entry, 0, DIRECT, None, None, payer, entry.subject, currency, amount)
        return None, amount, currency

    def claimed(self, entry: Entry) -> About:
        index, currency, amount = (
            number(entry.data, 0, 256),
            account_in(entry.data, 1),
            wide_amount_in(entry.data, 2),
        )
        if index >= _MOST_POSITIONS:
            raise wrong(entry, "no node has so many positions")
        if not entry.id[0] & 0x80:
            self._batch.parties.append((entry.pos, PAYEE, account_of(entry.id)))
        self._pay(entry, 0, CLAIM, None, None, entry.subject, entry.id, currency, amount)
        return None, amount, currency

    def position_moved(self, entry: Entry) -> About:
        index, holder = number(entry.data, 0, 256), account_of(entry.id)
        if index >= _MOST_POSITIONS:
            raise wrong(entry, "no node has so many positions")
        self._batch.moves.append((entry.subject, index, entry.pos, holder))
        self._batch.parties.append((entry.pos, PAYEE, holder))
        return NOTHING

    def _purchase(self, entry: Entry, *allowed: int) -> Row:
        purchase = self._known.purchases.rows.get(entry.id)
        if purchase is None or purchase[at.P_ASSET] != entry.subject or purchase[at.P_STATE] not in allowed:
            raise wrong(entry, "there is no such purchase, or it is in another state")
        self._known.purchases.touch(purchase)
        return purchase

    def _sides(self, purchase: Row, pos: int, holder: bytes | None = None) -> None:
        seller = self._known.offers.rows[purchase[at.P_OFFER]][at.OFFER_SELLER]
        parties = self._batch.parties
        if holder is None:
            parties += ((pos, SELLER, seller), (pos, BUYER, purchase[at.P_BUYER]))
        else:
            parties += ((pos, SELLER, seller), (pos, BUYER, purchase[at.P_BUYER]), (pos, HOLDER, holder))

    def _earned(self, entry: Entry, purchase: Row) -> About:
        version, price, currency = purchase[at.P_VERSION], purchase[at.P_PRICE], purchase[at.P_CURRENCY]
        if price == ZERO:
            return version, None, None
        node = self._known.versions.rows[version][at.VERSION_NODE]
        self._pay(entry, 0, INCOME, version, entry.id, self._market_word, node, currency, price)
        return version, price, currency

    def _end_holding(self, entry: Entry) -> None:
        present = self._batch.holdings.get(entry.id)
        if present:
            present[-1][4] = entry.time
        else:
            self._batch.ended[entry.id] = entry.time


_ANY: Final = -32
"""Length of data that its handler looks at itself."""

_BY_NAME: Final[dict[str, tuple[Callable[[_Folding, Entry], About], int]]] = {
    "AssetRegistered": (_Folding.registered, 2),
    "VersionPublished": (_Folding.published, 9),
    "AssetTransferred": (_Folding.transferred, 2),
    "RoleSet": (_Folding.role_set, 2),
    "Offered": (_Folding.offered, 17),
    "OfferClosed": (_Folding.closed, 0),
    "Purchased": (_Folding.purchased, 7),
    "Delivered": (_Folding.delivered, 4),
    "Settled": (_Folding.settled, 0),
    "Refunded": (_Folding.refunded, 3),
    "Renewed": (_Folding.renewed, 2),
    "VersionFlagged": (_Folding.flagged, 2),
    "LicenceTransferred": (_Folding.licence_transferred, 2),
    "LicenceRevoked": (_Folding.licence_revoked, 1),
    "KeyRequested": (_Folding.key_requested, 6),
    "KeyDelivered": (_Folding.key_delivered, 2),
    "KeyReturned": (_Folding.key_returned, 0),
    "Received": (_Folding.received, 2),
    "Claimed": (_Folding.claimed, 3),
    "PositionMoved": (_Folding.position_moved, 1),
    "MeteredOffered": (_Folding.metered_offered, 11),
    "MeteredOfferClosed": (_Folding.metered_offer_closed, 0),
    "ChannelOpened": (_Folding.channel_opened, 4),
    "ChannelToppedUp": (_Folding.channel_topped_up, 2),
    "UsageClaimed": (_Folding.usage_claimed, -1),
    "ChannelClosing": (_Folding.channel_closing, 1),
    "ChannelClosed": (_Folding.channel_closed, 2),
    "StageMoved": (_Folding.stage_moved, -1),
}
"""Who takes an event, and how many words its data has; -1 for any number."""
_HANDLERS: Final = tuple((_BY_NAME[kind.name][0], 32 * _BY_NAME[kind.name][1]) for kind in KINDS)
