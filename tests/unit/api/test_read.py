"""Every reading endpoint answers what Python answers, in the form that the description promises."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema  # type: ignore[import-untyped]
import pytest

from steelyard.api.openapi import document
from steelyard.domain.metering import ChannelState
from steelyard.domain.plain import plain
from steelyard.domain.types import State
from steelyard.indexer.database import open_database
from steelyard.query.model import (
    AssetQuery,
    ChannelQuery,
    EarningsQuery,
    EventQuery,
    HolderQuery,
    MeteredOfferQuery,
    ObligationQuery,
    OfferQuery,
    Party,
    PaymentQuery,
    PurchaseQuery,
    VersionQuery,
)
from tests.support.postgres import postgres
from tests.unit.api.reading import READING, Reader
from tests.unit.query.world import ALICE, BOB, GATE, World, busy


@cache
def world() -> World:
    return busy(7)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def reader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("reading")
    sqlite = request.param == "sqlite"
    database = open_database(folder / "index.sqlite" if sqlite else postgres().database())
    busy(7).feed(database)
    with Reader(database, folder, inline=sqlite) as opened:
        yield opened
    database.close()


@cache
def description() -> dict[str, Any]:
    return document(READING)


def conforms(template: str, body: Any) -> None:
    """Check an answer against what the description says of it."""
    schema = description()["paths"][template]["get"]["responses"]["200"]["content"]["application/json"][
        "schema"
    ]
    whole = {**schema, "components": description()["components"]}
    jsonschema.Draft202012Validator(whole).validate(body)


def hexa(data: bytes) -> str:
    return "0x" + data.hex()


def some_asset() -> bytes:
    return next(iter(world().versions.values())).asset


def some_version() -> bytes:
    return next(iter(world().versions))


def some_purchase() -> bytes:
    return next(event.id for event in world().events if event.name == "Purchased")


LISTS = {
    "/v1/events": ("events", EventQuery()),
    f"/v1/events?asset={hexa(some_asset())}": ("events", EventQuery(asset=some_asset())),  # type: ignore[arg-type]
    f"/v1/events?account={hexa(BOB)}&party=buyer": ("events", EventQuery(account=BOB, party=Party.BUYER)),
    "/v1/events?kinds=Purchased&kinds=Settled&limit=3": (
        "events",
        EventQuery(kinds=("Purchased", "Settled"), limit=3),
    ),
    "/v1/events?newest_first=false&limit=200": ("events", EventQuery(newest_first=False, limit=200)),
    "/v1/assets": ("search", AssetQuery()),
    "/v1/assets?text=model&facets=true": ("search", AssetQuery(text="model", facets=True)),
    "/v1/payments": ("payments", PaymentQuery()),
    f"/v1/payments?at_least={10**18}": ("payments", PaymentQuery(at_least=10**18)),
    "/v1/obligations": ("obligations", ObligationQuery()),
    "/v1/metered-offers": ("metered_offers", MeteredOfferQuery()),
    f"/v1/metered-offers?payee={hexa(GATE)}&open=false": (
        "metered_offers",
        MeteredOfferQuery(payee=GATE, open=False),
    ),
    "/v1/channels": ("channels", ChannelQuery()),
    f"/v1/channels?payer={hexa(BOB)}&states=open&states=closed&limit=2": (
        "channels",
        ChannelQuery(payer=BOB, states=(ChannelState.OPEN, ChannelState.CLOSED), limit=2),
    ),
}


@pytest.mark.parametrize("path", LISTS)
def test_a_list_is_what_python_answers(reader: Reader, path: str) -> None:
    name, query = LISTS[path]
    got = reader.get(path)
    assert got.status == 200, got.body
    assert got.json == plain(getattr(reader.service.audit, name)(query))
    assert got.json["items"]
    conforms(path.partition("?")[0], got.json)


OF_ASSET: dict[str, tuple[str, Any]] = {
    "versions": ("versions", VersionQuery(asset=some_asset())),  # type: ignore[arg-type]
    "offers": ("offers", OfferQuery(asset=some_asset())),  # type: ignore[arg-type]
    "purchases?states=settled&limit=2": (
        "purchases",
        PurchaseQuery(asset=some_asset(), states=(State.SETTLED,), limit=2),  # type: ignore[arg-type]
    ),
    "holders": ("holders", HolderQuery(asset=some_asset())),  # type: ignore[arg-type]
    "holders?at=1700002000": ("holders", HolderQuery(asset=some_asset(), at=1_700_002_000)),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("path", OF_ASSET)
def test_what_hangs_on_an_asset_is_what_python_answers(reader: Reader, path: str) -> None:
    name, query = OF_ASSET[path]
    got = reader.get(f"/v1/assets/{hexa(some_asset())}/{path}")
    assert got.status == 200, got.body
    assert got.json == plain(getattr(reader.service.audit, name)(query))
    conforms(f"/v1/assets/{{asset}}/{path.partition('?')[0]}", got.json)


@pytest.mark.parametrize("what", ["versions", "offers", "purchases", "holders", "version", "card", ""])
def test_an_unknown_asset_is_not_found(reader: Reader, what: str) -> None:
    got = reader.get(f"/v1/assets/{hexa(bytes(32))}/{what}".rstrip("/"))
    assert (got.status, got.json["code"]) == (404, "not-found")


def test_one_asset(reader: Reader) -> None:
    got = reader.get(f"/v1/assets/{hexa(some_asset())}")
    assert got.json["item"] == plain(reader.service.audit.asset(some_asset()))  # type: ignore[arg-type]
    assert got.json["at"] == plain(reader.service.audit.at())
    conforms("/v1/assets/{asset}", got.json)


def test_one_version_by_its_id_and_by_its_number(reader: Reader) -> None:
    expected = plain(reader.service.audit.version(some_version()))  # type: ignore[arg-type]
    assert reader.get(f"/v1/versions/{hexa(some_version())}").json["item"] == expected
    name = quote(f"{hexa(some_asset())}@1", safe="")
    got = reader.get(f"/v1/versions/{name}")
    assert got.json["item"] == expected
    conforms("/v1/versions/{version}", got.json)
    last = reader.get(f"/v1/versions/{quote(hexa(some_asset()) + '@latest', safe='')}").json["item"]
    assert last["number"] == len(
        [version for version in world().versions.values() if version.asset == some_asset()]
    )


def test_a_version_in_a_query_may_be_named_by_its_number(reader: Reader) -> None:
    named = reader.get(f"/v1/events?version={quote(hexa(some_asset()) + '@1', safe='')}").json
    assert named == reader.get(f"/v1/events?version={hexa(some_version())}").json


def test_an_unknown_version_number_is_not_found(reader: Reader) -> None:
    got = reader.get(f"/v1/versions/{quote(hexa(some_asset()) + '@999', safe='')}")
    assert (got.status, got.json["code"]) == (404, "not-found")


def test_one_offer_purchase_channel_and_entry(reader: Reader) -> None:
    audit = reader.service.audit
    purchase = audit.purchase(some_purchase())  # type: ignore[arg-type]
    got = reader.get(f"/v1/purchases/{hexa(some_purchase())}").json
    assert got["item"] == plain(purchase)
    conforms("/v1/purchases/{purchase}", got)
    got = reader.get(f"/v1/offers/{hexa(purchase.offer)}").json
    assert got["item"] == plain(audit.offer(purchase.offer))
    conforms("/v1/offers/{offer}", got)
    (channel,) = audit.channels(ChannelQuery(limit=1)).items
    got = reader.get(f"/v1/channels/{hexa(channel.channel)}").json
    assert got["item"] == plain(channel)
    conforms("/v1/channels/{channel}", got)
    got = reader.get(f"/v1/metered-offers/{hexa(channel.offer)}").json
    assert got["item"] == plain(audit.metered_offer(channel.offer))
    conforms("/v1/metered-offers/{offer}", got)
    (first,) = audit.events(EventQuery(limit=1)).items
    got = reader.get(f"/v1/events/{first.pos}").json
    assert got["item"] == plain(first)
    conforms("/v1/events/{pos}", got)


@pytest.mark.parametrize(
    "path", ["/v1/events/x", "/v1/events/-1", f"/v1/events/{1 << 53}", "/v1/offers/0x12"]
)
def test_a_malformed_path_is_refused(reader: Reader, path: str) -> None:
    got = reader.get(path)
    assert (got.status, got.json["code"]) == (400, "bad-parameter")


def test_the_version_at_a_time(reader: Reader) -> None:
    got = reader.get(f"/v1/assets/{hexa(some_asset())}/version?at=1700000001").json
    assert got == plain(reader.service.audit.version_at(some_asset(), 1_700_000_001))  # type: ignore[arg-type]
    conforms("/v1/assets/{asset}/version", got)


def test_the_stages_of_a_version(reader: Reader) -> None:
    versions = [item for asset in world().ledger().assets.values() for item in asset.versions.values()]
    moved = next(item for item in versions if item.moves)
    got = reader.get(f"/v1/versions/{hexa(moved.id)}/stages").json
    assert got == plain(reader.service.audit.stages(moved.id))
    assert [item["stage"] for item in got["stages"]] == [
        "released",
        *(m.stage.name.lower() for m in moved.moves),
    ]
    conforms("/v1/versions/{version}/stages", got)
    one = reader.get(f"/v1/versions/{hexa(moved.id)}").json
    assert one["item"]["stage"] == moved.stage.name.lower()


def test_earnings(reader: Reader) -> None:
    got = reader.get(f"/v1/accounts/{hexa(ALICE)}/earnings?since=1700000000").json
    assert got == plain(reader.service.audit.earnings(EarningsQuery(account=ALICE, since=1_700_000_000)))
    conforms("/v1/accounts/{account}/earnings", got)


def test_an_accounts_counts_are_those_of_the_folded_state(reader: Reader) -> None:
    ledger, now = world().ledger(), world().time
    assets = ledger.assets.values()
    bought = [item for asset in assets for item in asset.purchases.values()]
    for account in (ALICE, BOB):
        got = reader.get(f"/v1/accounts/{hexa(account)}").json
        conforms("/v1/accounts/{account}", got)
        assert got["owns"] == sum(asset.owner == account for asset in assets)
        assert got["holds"] == sum(
            item.holder == account
            and item.state in (State.DELIVERED, State.SETTLED)
            and (not item.until or item.until >= now)
            for item in bought
        )
        mine = [item for item in bought if world().terms[item.offer].seller == account]
        assert got["sold"] == sum(item.state is not State.REFUNDED for item in mine)
        assert got["open_sales"] == sum(item.state is State.PAID for item in mine)
        assert got["requests"] == sum(
            record.state.name == "OPEN" and record.request.holder == account
            for asset in assets
            for record in asset.requests.values()
        )


def test_the_service_says_what_it_is(reader: Reader) -> None:
    got = reader.get("/v1").json
    conforms("/v1", got)
    assert got["chain_id"] == 31337
    assert got["at"] == plain(reader.service.audit.at())


def test_pages_follow_each_other_by_their_link(reader: Reader) -> None:
    path, places = "/v1/events?limit=100&kinds=Purchased", []
    while path:
        got = reader.get(path)
        places += [item["pos"] for item in got.json["items"]]
        link = got.headers.get("link", "")
        assert bool(link) == (got.json["next"] is not None)
        path = link.partition(">")[0].removeprefix("<")
    expected = [event.block << 20 | event.log for event in world().events if event.name == "Purchased"]
    assert places == expected[::-1]


def test_a_cursor_of_another_question_is_refused(reader: Reader) -> None:
    cursor = reader.get("/v1/events?limit=1").json["next"]
    got = reader.get(f"/v1/events?kinds=Settled&cursor={cursor}")
    assert (got.status, got.json["code"], got.json["parameter"]) == (400, "bad-cursor", "cursor")
    got = reader.get("/v1/events?cursor=x")
    assert got.json["code"] == "bad-cursor"


def test_a_question_that_cannot_be_asked_is_no_bad_cursor(reader: Reader) -> None:
    cursor = reader.get("/v1/events?limit=1").json["next"]
    got = reader.get(f"/v1/events?party=buyer&cursor={cursor}")
    assert (got.status, got.json["code"]) == (400, "bad-parameter")


def test_a_long_page_comes_from_a_thread_and_is_the_same(reader: Reader) -> None:
    long = reader.get("/v1/events?limit=101").json["items"]
    assert reader.get("/v1/events?limit=100").json["items"] == long[:100]


def test_an_empty_index_answers_its_root_and_nothing_else(tmp_path: Path) -> None:
    database = open_database(tmp_path / "empty.sqlite")
    with Reader(database, tmp_path) as reader:
        assert reader.get("/v1").json["at"] is None
        got = reader.get("/v1/events")
        assert (got.status, got.json["code"]) == (404, "not-found")
    database.close()
