"""The index at a block is the fold of the logs up to it, as the domain has it; undone to any depth, it is what it was there."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from steelyard.domain.abi import encode
from steelyard.domain.events import decode_event
from steelyard.domain.hash import keccak256
from steelyard.domain.metering import ChannelState
from steelyard.domain.records import Ledger
from steelyard.domain.state import fold as domain_fold
from steelyard.domain.types import Stage
from steelyard.errors import TrailError
from steelyard.indexer import columns, schema
from steelyard.indexer.database import Database, open_database
from steelyard.indexer.entries import KIND_OF, Entry
from steelyard.indexer.fold import fold
from steelyard.indexer.known import Known
from steelyard.indexer.schema import SHIFT, amount_bytes, amount_of
from steelyard.indexer.undo import entries_of, undo
from tests.support.history import CONTRACTS, MAX, Chain, Market
from tests.unit.indexer.following import MINE, follower, hash_of, rows

SEEDS = range(4)


def grown(seed: int, blocks: int = 40, each: int = 8) -> Chain:
    chain = Chain(Market(seed))
    for _ in range(blocks):
        chain.mine(count=each)
    return chain


def ledger(chain: Chain, last: int | None = None) -> Ledger:
    """Return the domain's fold of a chain's logs."""
    blocks = chain.blocks if last is None else chain.blocks[: last + 1]
    events = [
        decode_event(
            [bytes.fromhex(topic[2:]) for topic in log["topics"]],
            bytes.fromhex(log["data"][2:]),
            contract=CONTRACTS["Market"],
            block=int(log["blockNumber"], 16),
            time=int(log["blockTimestamp"], 16),
            log=int(log["logIndex"], 16),
            tx=bytes.fromhex(log["transactionHash"][2:]),
        )
        for block in blocks
        for log in block.logs
    ]
    return domain_fold(events, block=len(blocks) - 1)


def indexed(chain: Chain, folder: Path) -> Database:
    database = open_database(folder / f"{len(list(folder.iterdir()))}.sqlite")
    follower(database, chain).step()
    return database


def table(database: Database, name: str) -> list[dict[str, Any]]:
    """Return the rows of a table by column."""
    found = rows(database, f"SELECT {schema.column_list(name)} FROM {name}")
    return [dict(zip(schema.COLUMNS[name], row, strict=True)) for row in found]


@pytest.fixture(scope="module", params=SEEDS)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    chain = grown(request.param)
    database = indexed(chain, tmp_path_factory.mktemp("world"))
    yield chain, database, ledger(chain)
    database.close()


def test_every_kind_of_event_occurs_in_these_histories(tmp_path: Path) -> None:
    seen = set()
    for seed in SEEDS:
        for block in grown(seed).blocks:
            seen |= {log["topics"][0] for log in block.logs}
    assert len(seen) == len(KIND_OF)


def test_assets_are_those_of_the_domain(world: tuple[Chain, Database, Ledger]) -> None:
    _, database, known = world
    assets = table(database, "assets")
    assert len(assets) == len(known.assets)
    for row in assets:
        asset = known.assets[row["id"]]
        assert (row["name"], row["word"], row["kind"]) == (asset.label, asset.name, asset.kind)
        assert (row["creator"], row["owner"], row["royalty"]) == (asset.creator, asset.owner, asset.royalty)
        assert (row["epoch"], row["registered_at"]) == (asset.epoch, asset.registered_at)


def test_roles_are_those_of_the_domain(world: tuple[Chain, Database, Ledger]) -> None:
    _, database, known = world
    found = {(row["asset"], row["epoch"], row["account"], row["role"]) for row in table(database, "roles")}
    expected = {
        (asset.id, asset.epoch, account, role)
        for asset in known.assets.values()
        for account, role in asset.roles
    }
    assert found == expected


def test_versions_are_those_of_the_domain(world: tuple[Chain, Database, Ledger]) -> None:
    _, database, known = world
    versions = table(database, "versions")
    assert len(versions) == sum(len(asset.versions) for asset in known.assets.values())
    for row in versions:
        version = known.assets[row["asset"]].versions[row["id"]]
        said = version.commitments
        assert (row["number"], row["folder"], row["root"]) == (version.number, said.folder, said.content_root)
        assert (row["size"], row["scheme"], row["key"]) == (said.size, said.scheme, said.key.encode())
        assert (row["node"], row["publisher"]) == (said.node, version.publisher)
        assert (row["published_at"], row["flagged_by"]) == (version.published_at, version.flagged_by)
        assert (row["flagged_at"] is None) == (version.flagged_by is None)
        assert row["stage"] == version.stage
    assert {row["stage"] for row in versions} > {Stage.RELEASED}


def test_offers_are_those_of_the_domain(world: tuple[Chain, Database, Ledger]) -> None:
    _, database, known = world
    offers = table(database, "offers")
    assert len(offers) == sum(len(asset.offers) for asset in known.assets.values())
    for row in offers:
        offer = known.assets[row["asset"]].offers[row["id"]]
        terms = offer.terms
        assert (row["seller"], row["currency"]) == (terms.seller, terms.currency)
        assert (amount_of(row["price"]), amount_of(row["bond"])) == (terms.price, terms.bond)
        assert (row["kind"], row["scope"], row["period"]) == (terms.kind, terms.scope, terms.period)
        assert (row["transferable"], row["revocable"]) == (terms.transferable, terms.revocable)
        assert (row["renew_until"], row["supply"], row["window"]) == (
            terms.renew_until,
            terms.supply,
            terms.window,
        )
        assert (row["deliver_within"], row["allow_list"]) == (terms.deliver_within, terms.allow_list)
        assert (row["text"], int.from_bytes(row["salt"], "big")) == (terms.text, terms.salt)
        assert (row["version"] or bytes(32)) == terms.version
        assert (row["epoch"], row["opened_at"]) == (offer.epoch, offer.opened_at)
        assert (row["closed_at"] is not None) == offer.closed


def test_purchases_are_those_of_the_domain(world: tuple[Chain, Database, Ledger]) -> None:
    _, database, known = world
    purchases = table(database, "purchases")
    assert len(purchases) == sum(len(asset.purchases) for asset in known.assets.values())
    for row in purchases:
        asset = known.assets[row["asset"]]
        purchase = asset.purchases[row["id"]]
        assert (row["version"], row["offer"], row["salt"]) == (
            purchase.version,
            purchase.offer,
            purchase.salt,
        )
        assert (row["buyer"], row["holder"], row["key"]) == (
            purchase.buyer,
            purchase.holder,
            purchase.key.encode(),
        )
        assert (amount_of(row["price"]), row["state"]) == (purchase.price, purchase.state)
        assert row["currency"] == asset.offers[purchase.offer].terms.currency
        assert (row["paid_at"], row["due"], row["until"]) == (purchase.paid_at, purchase.due, purchase.until)
        assert (row["pos"] >> SHIFT, row["delivered_at"] or 0) == (purchase.block, purchase.delivered_at)
        assert row["delivered"] == (None if purchase.delivered is None else purchase.delivered.encode())
        assert (row["delivered_tx"] or b"") == purchase.delivered_tx


def test_metered_offers_are_those_of_the_domain(world: tuple[Chain, Database, Ledger]) -> None:
    _, database, known = world
    offers = table(database, "metered_offers")
    assert offers and len(offers) == sum(len(asset.metered) for asset in known.assets.values())
    for row in offers:
        offer = known.assets[row["asset"]].metered[row["id"]]
        terms = offer.terms
        assert (row["maker"], row["payee"], row["currency"]) == (offer.maker, terms.payee, terms.currency)
        assert (amount_of(row["price"]), row["unit"], row["version"]) == (
            terms.price,
            terms.unit,
            terms.version,
        )
        assert (row["node"], row["window"], row["in_flight"]) == (terms.node, terms.window, terms.in_flight)
        assert (row["expiry"], row["text"], int.from_bytes(row["salt"], "big")) == (
            terms.expiry,
            terms.text,
            terms.salt,
        )
        assert (row["epoch"], row["opened_at"]) == (offer.epoch, offer.made_at)
        assert (row["closed_at"] is not None) == offer.closed


def test_channels_are_those_of_the_domain(world: tuple[Chain, Database, Ledger]) -> None:
    _, database, known = world
    channels = table(database, "channels")
    assert channels and len(channels) == sum(len(asset.channels) for asset in known.assets.values())
    refunds = {
        row["licence"]: row["amount"]
        for row in table(database, "payments")
        if row["kind"] == schema.PAYMENTS.index("refund")
    }
    for row in channels:
        channel = known.assets[row["asset"]].channels[row["id"]]
        assert (row["offer"], row["payer"], row["signer"]) == (channel.offer, channel.payer, channel.signer)
        assert (int.from_bytes(row["nonce"], "big"), row["state"]) == (channel.nonce, channel.state)
        assert (amount_of(row["deposit"]), amount_of(row["claimed"])) == (channel.deposit, channel.claimed)
        assert (amount_of(row["units"]), int.from_bytes(row["sequence"], "big")) == (
            channel.units,
            channel.sequence,
        )
        assert (row["root"], row["opened_at"]) == (channel.receipts_root, channel.opened_at)
        assert (row["closes_at"] or 0, row["claimed_at"] is not None) == (
            channel.closes_at,
            channel.claimed > 0,
        )
        assert (row["closed_at"] is not None) == (channel.state == ChannelState.CLOSED)
        assert amount_of(refunds.get(row["id"], bytes(16))) == channel.refunded


def test_the_money_of_a_channel_is_in_the_payments(world: tuple[Chain, Database, Ledger]) -> None:
    _, database, _ = world
    moved: dict[tuple[bytes, str], int] = {}
    for row in table(database, "payments"):
        key = (row["licence"], schema.PAYMENTS[row["kind"]])
        moved[key] = moved.get(key, 0) + amount_of(row["amount"])
    for row in table(database, "channels"):
        assert moved.get((row["id"], "escrow"), 0) == amount_of(row["deposit"])
        assert moved.get((row["id"], "income"), 0) == amount_of(row["claimed"])


def test_a_claim_is_the_nodes_income_once(world: tuple[Chain, Database, Ledger]) -> None:
    _, database, _ = world
    kind = KIND_OF["UsageClaimed"]
    claims = rows(database, "SELECT pos, amount FROM events WHERE kind = ?", kind)
    assert claims
    for pos, amount in claims:
        parts = rows(database, "SELECT amount FROM payments WHERE pos = ?", pos)
        assert amount_of(amount) == sum(amount_of(part) for (part,) in parts)
        # What the treasury logs of it makes no payment of its own.
        following = rows(database, "SELECT kind, amount FROM events WHERE pos = ?", pos + 1)
        assert following == [(KIND_OF["Received"], amount)]
        assert not rows(database, "SELECT 1 FROM payments WHERE pos = ?", pos + 1)
        assert not rows(database, "SELECT 1 FROM parties WHERE account = ?", bytes(CONTRACTS["Channels"]))


def test_a_licence_is_held_by_one_at_a_time(world: tuple[Chain, Database, Ledger]) -> None:
    _, database, known = world
    held: dict[bytes, list[dict[str, Any]]] = {}
    for row in sorted(table(database, "holdings"), key=lambda row: row["since_pos"]):
        held.setdefault(row["licence"], []).append(row)
    for asset in known.assets.values():
        for id_, purchase in asset.purchases.items():
            periods = held.get(id_, [])
            assert bool(periods) == bool(purchase.delivered_at)
            if not periods:
                continue
            assert (periods[0]["since"], periods[0]["holder"]) == (purchase.delivered_at, purchase.buyer)
            assert [row["till"] for row in periods[:-1]] == [row["since"] for row in periods[1:]]
            assert periods[-1]["holder"] == purchase.holder
            assert (periods[-1]["till"] is None) == (purchase.state.name in ("DELIVERED", "SETTLED"))


def test_requests_are_those_of_the_domain(world: tuple[Chain, Database, Ledger]) -> None:
    _, database, known = world
    requests = table(database, "requests")
    assert len(requests) == sum(len(asset.requests) for asset in known.assets.values())
    for row in requests:
        record = known.assets[row["asset"]].requests[row["id"]]
        asked = record.request
        assert (row["licence"], row["version"], row["holder"]) == (asked.licence, asked.version, asked.holder)
        assert (row["key"], amount_of(row["fee"]), row["state"]) == (
            asked.key.encode(),
            record.fee,
            record.state,
        )
        assert (row["asked_at"], row["due"]) == (record.asked_at, record.due)
        assert (row["answered_at"] is not None) == (record.delivered is not None)


def test_nodes_are_those_of_the_domain(world: tuple[Chain, Database, Ledger]) -> None:
    _, database, known = world
    moved: dict[tuple[bytes, int], bytes] = {}
    for row in sorted(table(database, "moves"), key=lambda row: row["pos"]):
        moved[row["node"], row["index"]] = row["holder"]
    assert moved == {
        (node.id, index): holder for node in known.nodes.values() for index, holder in node.holders.items()
    }
    paid: dict[tuple[bytes, bytes], int] = {}
    for row in table(database, "payments"):
        if schema.PAYMENTS[row["kind"]] == "claim":
            key = (row["payer"], row["currency"])
            paid[key] = paid.get(key, 0) + amount_of(row["amount"])
    expected: dict[tuple[bytes, bytes], int] = {}
    for node in known.nodes.values():
        for (_, currency), amount in node.paid.items():
            expected[node.id, currency] = expected.get((node.id, currency), 0) + amount
    assert paid == expected


def test_income_of_a_node_is_what_it_received(world: tuple[Chain, Database, Ledger]) -> None:
    _, database, known = world
    received: dict[tuple[bytes, bytes], int] = {}
    for row in table(database, "payments"):
        if row["payee"][0] & 0x80:
            key = (row["payee"], row["currency"])
            received[key] = received.get(key, 0) + amount_of(row["amount"])
    expected = {
        (node.id, currency): amount
        for node in known.nodes.values()
        for currency, amount in node.received.items()
        if amount
    }
    assert received == expected


def test_heads_are_those_of_the_contracts(world: tuple[Chain, Database, Ledger]) -> None:
    chain, database, _ = world
    found = {(row["contract"], row["subject"]): row["head"] for row in table(database, "heads")}
    assert found == chain.blocks[-1].heads


def test_what_goes_into_escrow_comes_out_once(world: tuple[Chain, Database, Ledger]) -> None:
    _, database, _ = world
    market = bytes(12) + CONTRACTS["Market"]
    held: dict[bytes, int] = {}
    for row in table(database, "payments"):
        if schema.PAYMENTS[row["kind"]] in ("escrow", "income", "refund") and row["licence"] is not None:
            sign = (row["payee"] == market) - (row["payer"] == market)
            held[row["licence"]] = held.get(row["licence"], 0) + sign * amount_of(row["amount"])
    waiting = {
        row["id"]: amount_of(row["price"]) for row in table(database, "purchases") if row["state"] in (1, 2)
    }
    assert {id_: amount for id_, amount in held.items() if amount} == {
        id_: price for id_, price in waiting.items() if price
    }


def test_every_entry_concerns_who_made_it(world: tuple[Chain, Database, Ledger]) -> None:
    _, database, _ = world
    acted = {(row["pos"], row["account"]) for row in table(database, "parties") if row["role"] == 0}
    made = {
        (row["pos"], row["actor"])
        for row in table(database, "events")
        if row["actor"] not in (CONTRACTS["Market"], CONTRACTS["Channels"])
    }
    assert acted == made


@pytest.mark.parametrize("amount", [0, 1, 1 << 63, MAX])
def test_amounts_pass_through_every_layer(database: Database, amount: int) -> None:
    market = Market(7, amounts=(amount,))
    chain = Chain(market)
    for _ in range(30):
        chain.mine(count=6)
    follower(database, chain).step()
    assert {row["price"] for row in table(database, "purchases")} == {amount_bytes(amount)}
    assert {row["price"] for row in table(database, "offers")} == {amount_bytes(amount)}
    sold = {row["id"] for row in table(database, "purchases")}
    escrows = {
        row["amount"] for row in table(database, "payments") if row["kind"] == 0 and row["licence"] in sold
    }
    assert escrows == ({amount_bytes(amount)} if amount else set())


# -- undoing -----------------------------------------------------------------------------------------------


def test_undone_to_any_depth_it_is_what_it_was_there(database: Database) -> None:
    chain = Chain(Market(11))
    following, hashes = follower(database, chain), {}
    for number in range(1, 31):
        chain.mine(count=6)
        following.step()
        hashes[number] = hash_of(database)
    rnd, number = random.Random(5), 30
    while number > 1:
        number -= rnd.randrange(1, 6)
        number = max(1, number)
        with database.write() as writer:
            undo(writer, Known(MINE), number)
        assert hash_of(database) == hashes[number]


def test_undone_altogether_it_is_empty(database: Database) -> None:
    chain = grown(3, 10)
    empty = hash_of(database)
    follower(database, chain).step()
    with database.write() as writer:
        undo(writer, Known(MINE), -1)
    assert hash_of(database) == empty
    assert rows(database, "SELECT count(*) FROM blocks") == [(0,)]


def test_entries_can_be_read_back_with_their_digests(database: Database) -> None:
    chain = grown(3, 10)
    follower(database, chain).step()
    heads: dict[tuple[bytes, bytes], bytes] = {}
    known = Known(MINE)
    with database.read() as reader:
        for entry in entries_of(reader):
            key = (known.addresses[entry.kind], entry.subject)
            heads[key] = keccak256(heads.get(key, bytes(32)) + entry.digest)
    assert heads == chain.blocks[-1].heads


# -- refusals ----------------------------------------------------------------------------------------------


def test_without_any_one_entry_the_fold_refuses_or_a_head_differs(tmp_path: Path) -> None:
    chain = grown(1, 12)
    with indexed(chain, tmp_path).read() as reader:
        entries = list(entries_of(reader))
    for left_out in range(len(entries)):
        rest = entries[:left_out] + entries[left_out + 1 :]
        try:
            batch = fold(Known(MINE), rest)
        except TrailError:
            continue
        heads = {key: head for key, (head, _) in batch.heads.items()}
        assert heads != chain.blocks[-1].heads


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda entry: entry._replace(kind=KIND_OF["Settled"], data=b""), "in another state"),
        (lambda entry: entry._replace(data=entry.data[:-32]), "bytes of data"),
        (lambda entry: entry._replace(id=b"\x01" * 32), "no such purchase"),
        (lambda entry: entry._replace(data=b"\xff" * len(entry.data)), "out of range"),
        (lambda entry: entry._replace(subject=b"\x01" * 32), "no such purchase"),
    ],
)
def test_what_the_contracts_would_not_do_is_refused(tmp_path: Path, change: Any, why: str) -> None:
    with indexed(grown(1), tmp_path).read() as reader:
        entries = list(entries_of(reader))
    place = next(i for i, entry in enumerate(entries) if entry.kind == KIND_OF["Delivered"])
    entries[place] = change(entries[place])
    with pytest.raises(TrailError, match=f"cannot have happened: .*{why}"):
        fold(Known(MINE), entries[: place + 1])


def _moved(start: int, to: int, reason: bytes = encode(("string",), ("why",))[32:]) -> bytes:
    return b"".join(number.to_bytes(32, "big") for number in (start, to, 96)) + reason


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (_moved(2, 1), "not from the stage"),
        (_moved(3, 3), "no way out"),
        (_moved(3, 0), "no way out"),
        (_moved(3, 6), "6 is not a valid"),
        (_moved(3, 5, b"")[:64], "cut short"),
        (_moved(3, 5, (9).to_bytes(32, "big")), "too short"),
        (_moved(3 + (1 << 255), 5), "no uint8"),
    ],
)
def test_a_move_that_cannot_be_is_refused(tmp_path: Path, data: bytes, why: str) -> None:
    with indexed(grown(1), tmp_path).read() as reader:
        entries = list(entries_of(reader))
    born = next(entry for entry in entries if entry.kind == KIND_OF["VersionPublished"])
    before = entries[: entries.index(born) + 1]
    move = born._replace(pos=born.pos + 1, kind=KIND_OF["StageMoved"], data=_moved(3, 5))
    fold(Known(MINE), [*before, move])
    with pytest.raises(TrailError, match=f"cannot have happened: .*{why}"):
        fold(Known(MINE), [*before, move._replace(data=data)])
    with pytest.raises(TrailError, match="no such version"):
        fold(Known(MINE), [*before, move._replace(id=bytes(32))])
    with pytest.raises(TrailError, match="no way out"):
        fold(Known(MINE), [*before, move, move._replace(data=_moved(5, 3))])


def test_an_entry_twice_is_refused(tmp_path: Path) -> None:
    with indexed(grown(1), tmp_path).read() as reader:
        entries = list(entries_of(reader))
    seen: list[Entry] = []
    kinds = [
        KIND_OF[name] for name in ("AssetRegistered", "VersionPublished", "Offered", "Purchased", "Delivered")
    ]
    for entry in entries:
        seen.append(entry)
        if entry.kind in kinds:
            kinds.remove(entry.kind)
            with pytest.raises(TrailError):
                fold(Known(MINE), [*seen, entry])
    assert not kinds


def test_columns_are_where_the_schema_has_them() -> None:
    prefixes = {
        "ASSET": "assets",
        "VERSION": "versions",
        "OFFER": "offers",
        "P": "purchases",
        "R": "requests",
        "M": "metered_offers",
        "C": "channels",
    }
    names = [name for name in vars(columns) if name.isupper()]
    assert names
    for name in names:
        prefix, column = name.split("_", 1)
        assert schema.COLUMNS[prefixes[prefix]][getattr(columns, name)] == column.lower()
