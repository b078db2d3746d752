"""Questions of an auditor on a real chain: sales are made, the index is built, and commands answer."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from steelyard.chain.deployment import Deployment
from steelyard.chain.node import Node
from steelyard.chain.rpc import Rpc
from steelyard.cli.main import run
from steelyard.domain.plain import plain
from steelyard.errors import DatabaseError
from steelyard.indexer.database import open_database
from steelyard.indexer.run import Indexer
from steelyard.market import Market
from steelyard.metering.agreement import Agreement
from steelyard.query.model import (
    ChannelQuery,
    EarningsQuery,
    EventQuery,
    HolderQuery,
    MeteredOfferQuery,
    ObligationQuery,
    PaymentKind,
    PaymentQuery,
    PurchaseQuery,
)
from steelyard.service.cards import CardKeeper
from steelyard.service.metered import open_channel
from steelyard.service.results import Published, Purchase
from steelyard.storage.embedded import EmbeddedStore
from tests.e2e.support import DAY, HOUR, PRICE, Travel

CARD = """---
title: Digits for auditors
library_name: onnx
pipeline_tag: image-classification
license: apache-2.0
tags: [audited]
---
# Digits

Reads digits.
"""
FREE = 7


@dataclass(frozen=True)
class Shop:
    """What happened, and who asks about it."""

    seller: Market
    buyer: Market
    published: Published
    second: Published
    sold: Purchase
    rented: Purchase
    late: Purchase
    claimed_at: int
    used: Agreement

    @property
    def asset(self) -> Any:
        return self.published.asset


@pytest.fixture
def shop(seller: Market, buyer: Market, folder: Path, travel: Travel, rpc: Rpc) -> Shop:
    """A sale and a claim, a rental that is renewed, a sale that nobody delivers, and a second version, used by the row."""
    (folder / "README.md").write_text(CARD)
    published = seller.publish(folder, name="digits")
    seller.offer(published.ref, price=PRICE)
    seller.offer(
        published.ref,
        price=FREE,
        rental_period=DAY,
        renew_until=seller.context.now() + 30 * DAY,
        scope="until-end",
    )
    sold = buyer.buy(published.ref, wait=False)
    seller.deliver(sold)
    seller.claim(published.ref)
    claimed_at = rpc.get_block("latest").timestamp
    travel(10)
    rented = buyer.rent(published.ref, wait=False)
    seller.deliver(rented)
    travel(HOUR)
    buyer.renew(rented)
    (folder / "model.onnx").write_bytes(b"better" * 1000)
    second = seller.new_version(published.ref, folder)
    late = buyer.buy(published.ref, wait=False)
    metered = seller.offer_metered(second.ref, price=FREE)
    used, _ = open_channel(buyer.context, second.asset, metered.terms, amount=PRICE)
    buyer.start_closing(used.channel)
    return Shop(seller, buyer, published, second, sold, rented, late, claimed_at, used)


@pytest.fixture
def index(tmp_path: Path, rpc: Rpc, deployment: Deployment, store: EmbeddedStore) -> Callable[[], Path]:
    """Brings the index to the newest block, cards too, and returns where it is."""
    where = tmp_path / "index.sqlite"

    def build() -> Path:
        database = open_database(where)
        indexer = Indexer(database, [rpc], deployment)
        indexer.catch_up()
        CardKeeper(database, store).step()
        indexer.release()
        database.close()
        return where

    return build


@pytest.fixture
def auditor(
    shop: Shop, index: Callable[[], Path], node: Node, deployment: Deployment, store: EmbeddedStore
) -> Any:
    """A market without account, on the index."""
    market = Market(node.url, deployment=deployment, store=store, database=index())
    yield market
    market.close()


Command = Callable[..., str]


@pytest.fixture
def command(
    shop: Shop,
    index: Callable[[], Path],
    node: Node,
    deployment: Deployment,
    store: EmbeddedStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    record = tmp_path / "deployment.json"
    deployment.save(record)
    (tmp_path / "home").mkdir(mode=0o700)
    values = {
        "HOME": tmp_path / "home",
        "RPC": node.url,
        "DEPLOYMENT": record,
        "STORE": store.path,
        "DATABASE": index(),
        "CONFIG": tmp_path / "none.toml",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"STEELYARD_{name}", str(value))
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()

    def call(*argv: str, code: int = 0) -> str:
        found = int(run(argv))
        captured = capsys.readouterr()
        assert found == code, captured.err
        call.err = captured.err  # type: ignore[attr-defined]
        return captured.out

    return call


def shown(value: bytes) -> str:
    return str(plain(value))


def test_python_answers_what_the_chain_says(shop: Shop, auditor: Market) -> None:
    audit, buyer = auditor.audit, shop.buyer.context.account.address
    trail = shop.seller.trail(shop.published.ref)
    events = [
        item for page in audit.walk(EventQuery(asset=shop.asset, newest_first=False)) for item in page.items
    ]
    assert [(e.name, e.id, e.block, e.log, e.tx) for e in events] == [
        (e.name, e.id, e.block, e.log, e.tx) for e in trail
    ]
    holders = audit.holders(HolderQuery(asset=shop.asset)).items
    assert {(item.licence, item.holder) for item in holders} == {
        (shop.sold.id, buyer),
        (shop.rented.id, buyer),
    }
    rental = next(item for item in holders if item.licence == shop.rented.id)
    assert rental.until == shop.rented.refresh().until
    covering = audit.holders(HolderQuery(asset=shop.asset, version=shop.second.version)).items
    assert [item.licence for item in covering] == [shop.rented.id]
    assert audit.version_at(shop.asset).version.version == shop.second.version  # type: ignore[union-attr]
    assert audit.version_at(shop.asset, shop.claimed_at).version.number == 1  # type: ignore[union-attr]
    bought = audit.purchases(PurchaseQuery(asset=shop.asset, buyer=buyer)).items
    assert {item.purchase: item.state for item in bought} == {
        item.id: item.refresh().state for item in (shop.sold, shop.rented, shop.late)
    }


def test_channels_are_what_the_contract_says(shop: Shop, auditor: Market) -> None:
    (offer,) = auditor.audit.metered_offers(MeteredOfferQuery(asset=shop.asset)).items
    assert (offer.offer, offer.open, offer.unit) == (shop.used.terms.id(shop.asset), True, "row")
    (found,) = auditor.audit.channels(ChannelQuery(payer=shop.buyer.context.account.address)).items
    stored = shop.buyer.channel(shop.used.channel)
    assert (found.channel, found.offer, found.signer) == (stored.channel, offer.offer, shop.used.signer)
    assert (found.deposit, found.claimed, found.closes_at, found.state) == (
        stored.deposit,
        stored.claimed,
        stored.closes_at,
        stored.state,
    )


def test_money_is_what_the_treasury_says(shop: Shop, auditor: Market) -> None:
    audit, seller = auditor.audit, shop.seller.context.account.address
    found = audit.earnings(EarningsQuery(account=seller))
    assert [(item.name, item.kind, item.amount) for item in found.items] == [
        ("digits", PaymentKind.CLAIM, PRICE)
    ]
    assert sum(item.amount for item in found.due) == shop.seller.balance().claimable == 2 * FREE
    incomes = audit.payments(PaymentQuery(share=seller, kinds=(PaymentKind.INCOME,))).items
    assert [item.amount for item in incomes] == [FREE, FREE, PRICE]
    assert all([part.amount for part in item.parts] == [item.amount] for item in incomes)


def test_what_is_open_changes_with_time(shop: Shop, auditor: Market) -> None:
    query = ObligationQuery(asset=shop.asset)
    now = {item.kind.value: item.id for item in auditor.audit.obligations(query).items}
    assert now == {"delivery": shop.late.id, "renewal": shop.rented.id}
    later = ObligationQuery(asset=shop.asset, now=shop.late.due + 1)
    assert "refund" in {item.kind.value for item in auditor.audit.obligations(later).items}


def test_search_finds_cards(shop: Shop, command: Command) -> None:
    out = command(
        "search", "digits", "auditors", "--framework", "onnx", "--tag", "audited", "--at-most", "1eth"
    )
    line = next(line for line in out.splitlines() if "Digits for auditors" in line)
    assert "/digits" in line and "model" in line and "code" not in line
    assert command("search", "digits", "auditors", "--no-code").count("Digits for auditors")
    document = json.loads(command("--json", "search", "audit", "--facets", "--all"))
    assert shown(shop.asset) in {item["asset"] for item in document["items"]}
    assert document["facets"]["licence"]["apache-2.0"] >= 1
    command("search", "nothing like this")
    assert "Nothing found" in command.err  # type: ignore[attr-defined]


def test_every_question_is_a_command(shop: Shop, command: Command, tmp_path: Path) -> None:
    ref, buyer = shown(shop.asset), shown(shop.buyer.context.account.address)
    seller = shown(shop.seller.context.account.address)
    out = command("audit", "events", "--ref", ref, "--event", "Purchased", "--who", buyer, "--as", "buyer")
    assert out.count("Purchased") == 3 and max(map(len, out.splitlines())) <= 80
    assert "Complete to block" in command.err and "proved to" in command.err  # type: ignore[attr-defined]
    rows = json.loads(command("audit", "events", "--ref", ref, "--format", "json", "--limit", "2"))
    again = command("audit", "events", "--ref", ref, "--format", "json", "--cursor", rows["next"])
    assert len(rows["items"]) == 2 and json.loads(again)["items"][0]["pos"] < rows["items"][1]["pos"]
    holders = json.loads(command("--json", "audit", "holders", ref, "--at", str(shop.claimed_at)))
    assert [item["licence"] for item in holders["items"]] == [shown(shop.sold.id)]
    held = command("audit", "holders", ref, "--covers", f"{ref}@2")
    assert held.count("0x") == 2 and max(map(len, held.splitlines())) <= 80
    version = json.loads(command("--json", "audit", "version", ref))
    assert version["version"]["number"] == 2
    assert "released" in command("audit", "version", ref, "--at", "2100-01-01")
    paid = command("audit", "payments", "--to", seller, "--kind", "claim")
    assert "0.05 ETH" in paid and max(map(len, paid.splitlines())) <= 80
    earned = command("audit", "earnings", seller)
    assert "digits" in earned and "due" in earned and "0.05 ETH" in earned
    duties = command("audit", "obligations", "--who", buyer, "--within", "2d")
    assert "delivery" in duties and max(map(len, duties.splitlines())) <= 80
    channels = command("audit", "channels", "--ref", ref, "--payer", buyer, "--state", "closing")
    assert shown(shop.used.channel)[:6] in channels and max(map(len, channels.splitlines())) <= 80
    assert "Nothing found" not in command.err  # type: ignore[attr-defined]
    assert command("audit", "channels", "--version", f"{ref}@1") == ""
    metered = command(
        "audit", "metered-offers", "--version", f"{ref}@2", "--payee", seller, "--state", "open"
    )
    assert "row" in metered and max(map(len, metered.splitlines())) <= 80
    assert command("audit", "metered-offers", "--ref", ref, "--state", "closed") == ""
    (offer,) = json.loads(command("--json", "audit", "metered-offers", "--ref", ref))["items"]
    (used,) = json.loads(command("--json", "audit", "channels", "--offer", offer["offer"]))["items"]
    assert used["channel"] == shown(shop.used.channel)
    listed = command("audit", "export", "--list", "channels", "--format", "csv", "-o", "c.csv").strip()
    assert shown(shop.used.channel) in Path(listed).read_text()
    lines = command("audit", "payments", "--ref", ref, "--all", "--format", "jsonl").splitlines()
    head = json.loads(lines[0])
    assert head["complete"]["block"] >= json.loads(lines[1])["block"] and head["list"] == "payments"
    table = list(csv.DictReader(io.StringIO(command("audit", "events", "--ref", ref, "--format", "csv"))))
    assert table[0]["record"] == "complete" and int(table[0]["complete_block"]) > 0
    assert [row["name"] for row in table[1:3]] == ["ChannelClosing", "ChannelOpened"]


def test_usage_errors(shop: Shop, command: Command) -> None:
    for argv in (
        ("audit", "events", "--since", "yesterday"),
        ("audit", "events", "--as", "buyer"),
        ("audit", "events", "--event", "Sold"),
        ("audit", "events", "--cursor", "x"),
        ("audit", "events", "--at-least", "5"),
        ("search", "?"),
        ("audit", "export", "--list", "holders"),
        ("audit", "export"),
    ):
        command(*argv, code=2)
    command("audit", "version", "0x" + "01" * 32, code=3)


def test_an_export_with_proofs_names_the_edited_row(
    shop: Shop, command: Command, rpc: Rpc, tmp_path: Path
) -> None:
    ref = shown(shop.asset)
    path = Path(command("audit", "export", ref, "--format", "csv", "--proofs", "-o", "d.csv").strip())
    bundle = Path(str(path) + ".bundle.json")
    block = json.loads(command("--json", "audit", "verify", str(path)))
    assert block["records"] == block["entries"] + 1
    offline = ("--rpc", "http://127.0.0.1:9", "--block-hash", block["block_hash"])
    command("audit", "verify", str(path), *offline)
    text = path.read_text()
    buyer = "0x" + shop.buyer.context.account.address.hex()
    place = text.index(buyer)
    path.write_text(text[:place] + "0x" + "00" * 20 + text[place + 42 :])
    command("audit", "verify", str(path), *offline, code=5)
    assert "record" in command.err and "Purchased" in command.err and "'actor'" in command.err  # type: ignore[attr-defined]
    bundle.unlink()
    command("audit", "verify", str(path), *offline, code=2)
    listed = command("audit", "export", ref, "--list", "events", "-o", "events.jsonl").strip()
    first, *rest = Path(listed).read_text().splitlines()
    assert json.loads(first)["complete"]["block"] > 0 and len(rest) == block["entries"]
    command("audit", "verify", listed, *offline, code=2)


def test_an_index_that_is_behind_says_so(shop: Shop, command: Command, rpc: Rpc) -> None:
    command("audit", "obligations")
    assert "behind" not in command.err  # type: ignore[attr-defined]
    rpc.call("evm_mine")
    command("audit", "obligations")
    assert "1 block behind" in command.err and "steelyard index" in command.err  # type: ignore[attr-defined]


def test_without_an_index_the_answer_is_how_to_make_one(
    shop: Shop, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STEELYARD_DATABASE", str(tmp_path / "other.sqlite"))
    for argv in (("search", "digits"), ("audit", "events")):
        command(*argv, code=6)
        assert "steelyard index" in command.err  # type: ignore[attr-defined]
    with pytest.raises(DatabaseError, match="steelyard index"):
        _ = shop.seller.audit
