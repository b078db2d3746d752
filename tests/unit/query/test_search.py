from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from steelyard.domain.types import AssetKind, OfferKind, Stage
from steelyard.errors import AmountError, InputError, NotFoundError
from steelyard.query.audit import Audit
from steelyard.query.model import AssetQuery, OfferQuery, PurchaseQuery, Sort, VersionQuery
from steelyard.service.cards import CardKeeper
from steelyard.storage.embedded import EmbeddedStore
from tests.unit.query.folders import add_folder
from tests.unit.query.world import ALICE, BOB, TOKEN, World

CARDS = {
    "digits": "---\ntitle: Handwritten digits\npipeline_tag: image-classification\nlibrary_name: onnx\n"
    "license: apache-2.0\ntags: [vision, mnist]\nmodel-index:\n- name: d\n  results:\n  - metrics:\n"
    "    - {type: accuracy, value: 0.98}\n---\n# Digits\nSmall convolutional network.\n",
    "whisper": "---\npipeline_tag: automatic-speech-recognition\nlibrary_name: pytorch\nlicense: mit\n"
    "tags: [speech, vision]\n---\n# Whispering\nHears digits too, in \u00dcberl\u00e4nge.\n",
    "corpus": "---\nlicense: mit\ntags: [text]\n---\nWords, words.\n",
}


@pytest.fixture
def shop(audit: Audit, world: World, tmp_path: Path) -> tuple[Audit, World, dict[str, Any]]:
    """Three assets with cards, one without: digits (0.5 ETH), whisper (free, and 9 tokens), corpus (none), digits-bare."""
    store = EmbeddedStore(tmp_path / "store")
    assets: dict[str, Any] = {}
    for name, card in CARDS.items():
        assets[name] = world.asset(name, BOB if name == "whisper" else ALICE, int(name == "corpus"))
        node = world.node(assets[name], (ALICE, 10_000))
        folder = add_folder(store, card.encode(), node=world.positions[node])
        world.publish(assets[name], folder=folder, node=node)
        world.tick()
    assets["digits-bare"] = world.asset("digits-bare")
    version = next(item for item in world.versions.values() if item.asset == assets["digits"])
    terms = world.offer(assets["digits"], price=500)
    world.buy(version, terms)
    world.buy(version, terms)
    world.offer(assets["whisper"], price=0)
    world.offer(assets["whisper"], price=9, currency=TOKEN)
    closed = world.offer(assets["corpus"], price=1)
    world.log("OfferClosed", assets["corpus"], closed.id(assets["corpus"]), ALICE)
    world.tick()
    world.feed(audit.database)
    CardKeeper(audit.database, store, clock=lambda: 1000.0).step()
    return audit, world, assets


Shop = tuple[Audit, World, dict[str, Any]]


def names(shop: Shop, **question: Any) -> list[str]:
    return [item.name for item in shop[0].search(AssetQuery(**question)).items]


def test_words_stand_in_names_and_cards(shop: Shop) -> None:
    assert names(shop, text="digits", sort=Sort.RELEVANCE) == ["digits", "digits-bare", "whisper"]
    assert names(shop, text="convolutional") == ["digits"]
    assert names(shop, text="mnist") == ["digits"]
    assert names(shop, text="pytorch speech") == ["whisper"]
    assert names(shop, text="nothing like it") == []


def test_one_word_may_stand_in_the_name_and_another_in_the_card(shop: Shop) -> None:
    assert names(shop, text="whisper hears") == ["whisper"]


def test_the_last_word_may_be_a_beginning(shop: Shop) -> None:
    assert names(shop, text="small convol") == ["digits"]
    assert names(shop, text="handwr") == ["digits"]


def test_upper_case_and_other_letters(shop: Shop) -> None:
    assert names(shop, text="HANDWRITTEN") == ["digits"]
    for text in ("\u00fcberl\u00e4nge", "\u00dcBERL\u00c4NGE", "uberlange", "u\u0308berla\u0308nge"):
        assert names(shop, text=text) == ["whisper"]


@pytest.mark.parametrize(
    "text",
    [
        *(
            '"',
            "digits OR",
            "NEAR(digits mnist)",
            "digits*",
            "name:digits",
            "-digits",
            "(digits",
            "'; DROP TABLE",
        ),
        *(
            "digits & !",
            "digits:*",
            "a\\'b",
            "%",
            "_",
            "digits%",
            "^digits",
            "{name}: digits",
            "digits AND NOT mnist",
        ),
    ],
)
def test_what_a_user_types_is_never_syntax(shop: Shop, text: str) -> None:
    try:
        found = names(shop, text=text)
    except InputError:
        assert not any(char.isalnum() for char in text)
        return
    words = "".join(char if char.isalnum() else " " for char in text.lower()).split()
    assert found == names(shop, text=" ".join(words))


def test_facets_filter_and_are_counted_over_all_that_match(shop: Shop) -> None:
    assert names(shop, tags=("vision",)) == ["whisper", "digits"]
    assert names(shop, tags=("vision", "mnist")) == ["digits"]
    assert names(shop, task="image-classification", framework="ONNX", licence="Apache-2.0") == ["digits"]
    assert names(shop, metric="accuracy") == ["digits"]
    assert names(shop, kind=AssetKind.DATASET) == ["corpus"]
    page = shop[0].search(AssetQuery(facets=True, limit=1))
    assert page.total == 4 and len(page.items) == 1
    assert page.facets == {
        "task": {"automatic-speech-recognition": 1, "image-classification": 1},
        "framework": {"onnx": 1, "pytorch": 1},
        "licence": {"mit": 2, "apache-2.0": 1},
        "tag": {"vision": 2, "mnist": 1, "speech": 1, "text": 1},
        "code": {},
        "kind": {"model": 3, "dataset": 1},
    }
    narrowed = shop[0].search(AssetQuery(facets=True, framework="onnx"))
    assert narrowed.total == 1 and narrowed.facets["tag"] == {"mnist": 1, "vision": 1}


def test_prices_and_owners(shop: Shop) -> None:
    assert names(shop, on_sale=True) == ["whisper", "digits"]
    assert names(shop, on_sale=False) == ["digits-bare", "corpus"]
    assert names(shop, at_most=499) == ["whisper"]
    assert names(shop, at_most=500) == ["whisper", "digits"]
    assert names(shop, currency=TOKEN) == ["whisper"]
    assert names(shop, currency=TOKEN, at_most=8) == []
    assert names(shop, owner=BOB) == ["whisper"]


def test_sorts(shop: Shop) -> None:
    assert names(shop) == ["digits-bare", "corpus", "whisper", "digits"]
    assert names(shop, descending=False) == ["digits", "whisper", "corpus", "digits-bare"]
    assert names(shop, sort=Sort.NAME) == ["corpus", "digits", "digits-bare", "whisper"]
    assert names(shop, sort=Sort.PRICE) == ["whisper", "digits"]
    assert names(shop, sort=Sort.PRICE, currency=TOKEN) == ["whisper"]
    assert names(shop, sort=Sort.SALES)[0] == "digits"
    shop[1].publish(shop[2]["digits"])
    shop[1].feed(shop[0].database)
    assert names(shop, sort=Sort.UPDATED)[0] == "digits"


@pytest.mark.parametrize("sort", list(Sort))
@pytest.mark.parametrize("descending", [None, True, False])
def test_every_sort_pages_without_loss_or_double(shop: Shop, sort: Sort, descending: bool | None) -> None:
    query = AssetQuery(
        sort=sort, descending=descending, text="d" if sort is Sort.RELEVANCE else None, limit=500
    )
    whole = [item.asset for item in shop[0].search(query).items]
    assert len(whole) >= 2
    query, found = dataclasses.replace(query, limit=1), []
    while True:
        page = shop[0].search(query)
        found += [item.asset for item in page.items]
        if page.next is None:
            break
        query = dataclasses.replace(query, cursor=page.next)
    assert found == whole


@pytest.mark.parametrize("sort", [Sort.NEWEST, Sort.UPDATED, Sort.NAME])
def test_new_assets_and_versions_do_not_shift_a_page(shop: Shop, sort: Sort) -> None:
    audit, world, assets = shop
    before = [item.asset for item in audit.search(AssetQuery(sort=sort)).items]
    first = audit.search(AssetQuery(sort=sort, limit=2))
    world.tick()
    world.publish(assets["digits"])
    world.publish(assets["corpus"])
    new = world.asset("aaa")
    world.feed(audit.database)
    rest = audit.search(AssetQuery(sort=sort, cursor=first.next)).items
    assert [item.asset for item in (*first.items, *rest) if item.asset != new] == before


def test_an_asset_is_told_whole(shop: Shop) -> None:
    audit, _, assets = shop
    found = audit.asset(assets["digits"])
    assert (found.name, found.kind, found.owner, found.royalty, found.epoch, found.sales) == (
        "digits",
        "model",
        ALICE,
        250,
        0,
        2,
    )
    assert found.latest is not None and found.latest.number == 1
    assert [(offer.price, offer.sold, offer.open) for offer in found.offers] == [(500, 2, True)]
    assert found.card is not None
    assert (found.card.title, found.card.task, found.card.tags) == (
        "Handwritten digits",
        "image-classification",
        ("vision", "mnist"),
    )
    assert [(item.name, item.value) for item in found.card.metrics] == [("accuracy", "0.98")]
    assert audit.asset(assets["digits-bare"]).card is None
    with pytest.raises(NotFoundError):
        audit.asset(b"\x01" * 32)  # type: ignore[arg-type]


def test_a_new_version_keeps_the_card_until_its_own_is_there(shop: Shop) -> None:
    audit, world, assets = shop
    world.publish(assets["digits"])
    world.feed(audit.database)
    found = audit.asset(assets["digits"])
    assert found.latest is not None and found.latest.number == 2
    assert found.card is not None and names(shop, text="mnist") == ["digits"]


def test_a_transfer_closes_offers(shop: Shop) -> None:
    audit, world, assets = shop
    world.tick()
    world.log("AssetTransferred", assets["digits"], bytes(12) + BOB, ALICE, ALICE, 1)
    world.feed(audit.database)
    assert audit.asset(assets["digits"]).offers == ()
    assert audit.asset(assets["digits"]).owner == BOB
    assert names(shop, on_sale=True) == ["whisper"]


def priced(shop: Shop) -> tuple[list[str], list[str], list[int]]:
    """Return what is on sale, what is sorted by price, and the prices of digits."""
    audit, _, assets = shop
    on_sale, by_price = names(shop, on_sale=True), names(shop, sort=Sort.PRICE)
    assert sorted(on_sale) == sorted(set(names(shop)) - set(names(shop, on_sale=False)))
    prices = [offer.price for offer in audit.asset(assets["digits"]).offers]
    for price in (*prices, 1, 500):
        assert ("digits" in names(shop, at_most=price)) is (min(prices, default=501) <= price)
    return on_sale, by_price, prices


def test_an_offer_of_nothing_that_is_on_sale_is_no_price(shop: Shop) -> None:
    audit, world, assets = shop
    (version,) = (item for item in world.versions.values() if item.asset == assets["digits"])
    both = ["whisper", "digits"]
    assert priced(shop) == (both, both, [500])
    for stage in (Stage.DRAFT, Stage.VALIDATED, Stage.DEPRECATED, Stage.RETIRED):
        world.move(version, stage)
        world.tick()
        world.feed(audit.database)
        wanted = (both, both, [500]) if stage is Stage.DEPRECATED else (["whisper"], ["whisper"], [])
        assert priced(shop) == wanted, stage
    # Another version is sold under the same offer, and under one of its own.
    newer = world.publish(assets["digits"])
    terms = world.offer(assets["digits"], price=1, version=newer.id)
    world.offer(assets["digits"], price=2, version=version.id)
    world.tick()
    world.feed(audit.database)
    assert priced(shop) == (both, ["whisper", "digits"], [1, 500])
    purchase = world.buy(newer, terms)
    world.log("VersionFlagged", assets["digits"], newer.id, BOB, purchase, 1)
    world.tick()
    world.feed(audit.database)
    assert priced(shop) == (["whisper"], ["whisper"], [])


@pytest.mark.parametrize(
    ("error", "question"),
    [
        (InputError, {"limit": 0}),
        (InputError, {"text": ""}),
        (InputError, {"text": "?!"}),
        (InputError, {"text": "a" * 201}),
        (InputError, {"text": "a\0b"}),
        (InputError, {"text": " ".join(f"w{i}" for i in range(17))}),
        (InputError, {"sort": Sort.RELEVANCE}),
        (InputError, {"tags": ("x",) * 17}),
        (InputError, {"owner": b"\x01"}),
        (InputError, {"cursor": "AAAA"}),
        (AmountError, {"at_most": 1 << 128}),
    ],
)
def test_what_cannot_be_asked(full: Audit, error: type[Exception], question: dict[str, Any]) -> None:
    with pytest.raises(error):
        full.search(AssetQuery(**question))


# -- versions, offers, purchases -----------------------------------------------------------------------------


def test_lists_and_ids_are_what_the_events_fold_to(full: Audit, history: World) -> None:
    ledger = history.ledger()
    bought = {}
    for asset in ledger.assets.values():
        versions = [item for page in full.walk(VersionQuery(asset=asset.id)) for item in page.items]
        assert [(i.version, i.number, i.publisher) for i in versions] == [
            (i.id, i.number, i.publisher) for i in list(asset.versions.values())[::-1]
        ]
        assert full.version(versions[0].version) == versions[0] == full.numbered(asset.id, "latest")
        assert full.numbered(asset.id, 1) == versions[-1]
        offers = [item for page in full.walk(OfferQuery(asset=asset.id)) for item in page.items]
        assert [(i.offer, i.sold, i.open, i.price, i.salt) for i in offers] == [
            (i.id, i.sold, asset.is_open(i), i.terms.price, i.terms.salt)
            for i in list(asset.offers.values())[::-1]
        ]
        for offer in offers:
            assert full.offer(offer.offer) == offer
            terms = asset.offers[offer.offer].terms
            assert (offer.kind, offer.scope, offer.period, offer.window) == (
                terms.kind.name.lower(),
                terms.scope.name.lower(),
                terms.period,
                terms.window,
            )
            assert OfferKind[offer.kind.upper()] is terms.kind
        for item in full.walk(PurchaseQuery(asset=asset.id)):
            for purchase in item.items:
                known = asset.purchases[purchase.purchase]
                bought[purchase.purchase] = purchase
                assert (purchase.state, purchase.holder, purchase.buyer, purchase.price, purchase.until) == (
                    known.state,
                    known.holder,
                    known.buyer,
                    known.price,
                    known.until,
                )
                requests = [r.id for r in asset.requests.values() if r.request.licence == known.id]
                assert list(purchase.requests) == requests
                assert full.purchase(purchase.purchase) == purchase
    assert len(bought) == sum(len(asset.purchases) for asset in ledger.assets.values())
    for name in ("buyer", "holder"):
        query = PurchaseQuery(**{name: BOB})  # type: ignore[arg-type]
        found = [item for page in full.walk(query) for item in page.items]
        assert {item.purchase for item in found} == {
            key for key, item in bought.items() if getattr(item, name) == BOB
        }


def test_unknown_ids(full: Audit) -> None:
    for ask in (full.version, full.offer, full.purchase):
        with pytest.raises(NotFoundError):
            ask(b"\x01" * 32)  # type: ignore[arg-type]
        with pytest.raises(InputError):
            ask(b"\x01")  # type: ignore[arg-type]


def test_cards_are_kept_as_json(shop: Shop) -> None:
    with shop[0].database.read() as reader:
        rows = reader.rows("SELECT tags FROM cards WHERE title = 'Whispering'")
    assert json.loads(rows[0][0]) == ["speech", "vision"]
