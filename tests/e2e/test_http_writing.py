"""The writing half of the HTTP service on a real chain: sign in, prepare, sign elsewhere, send; upload; be told."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account as Wallet
from eth_account.messages import encode_typed_data

from steelyard.api.hooks import Hooks
from steelyard.api.outgoing import Outgoing
from steelyard.chain.calls import Call
from steelyard.chain.deployment import Deployment
from steelyard.chain.erc20 import Token
from steelyard.chain.hexdata import checksum_address, to_hex
from steelyard.chain.node import Node
from steelyard.chain.rpc import Rpc
from steelyard.chain.sender import Sender
from steelyard.crypto.delivery import blind
from steelyard.crypto.secret import Secret
from steelyard.domain.abi import encode
from steelyard.domain.types import Address, PurchaseId
from steelyard.domain.types import State as PurchaseState
from steelyard.errors import RefusedError
from steelyard.market import Market
from steelyard.service.account import Account
from steelyard.service.keys import request_scalar
from steelyard.service.purchase import order_scalar
from steelyard.storage.embedded import EmbeddedStore
from tests.e2e.support import DAY, ETHER, HOUR, PRICE, MarketOf, Travel, same_files
from tests.e2e.writing import Http

ROOT = Path(__file__).parents[2]
SECRET_NAME = "whsec_"


@pytest.fixture
def served(
    node: Node, rpc: Rpc, deployment: Deployment, store: EmbeddedStore, tmp_path: Path
) -> Iterator[Callable[..., Http]]:
    opened: list[tuple[Http, Market]] = []

    def serve(
        *, own_store: EmbeddedStore | None = None, account: Account | None = None, **options: Any
    ) -> Http:
        place = tmp_path / f"http-{len(opened)}"
        place.mkdir()
        market = Market(
            node.url, deployment=deployment, store=own_store or store, account=account, home=place / "home"
        )
        made = Http(market, place, rpc, deployment, **options)
        opened.append((made, market))
        return made

    yield serve
    for made, market in opened:
        made.close()
        market.close()


@pytest.fixture
def http_service(served: Callable[..., Http]) -> Http:
    return served()


def _order(market: Market) -> dict[str, str]:
    """Return what a buyer's client makes for an order: a salt, and Q, whose scalar stays here."""
    salt = secrets.token_bytes(32)
    scalar = order_scalar(market.context, buyer=market.context.account.address, salt=salt)
    return {"salt": to_hex(salt), "key": to_hex(blind(scalar).encode())}


def _own(market: Market) -> Account:
    return market.context.account


# -- purchases -----------------------------------------------------------------------------------------------------


def test_a_purchase_is_prepared_here_and_signed_there(
    http_service: Http, seller: Market, buyer: Market, folder: Path, tmp_path: Path
) -> None:
    made = seller.publish(folder, name="digits")
    seller.offer(made.ref, price=PRICE)
    prepared = http_service.do("buy", _own(buyer), asset=made.ref, max_price=str(PRICE), **_order(buyer))
    (transaction,) = prepared["transactions"]
    assert (transaction["value"], transaction["simulated"]) == (str(PRICE), True)
    assert prepared["explanation"].startswith("Buy a perpetual licence of ")
    assert f"0.05 ETH ({PRICE} wei)" in prepared["explanation"] and "Gas: at most" in prepared["explanation"]
    assert prepared["price"] == str(PRICE)
    seller.deliver_pending()
    out = buyer.pull(prepared["ids"]["purchase"], tmp_path / "out")
    assert same_files(out, folder)


def test_a_purchase_in_a_token_is_approved_or_permitted(
    http_service: Http, seller: Market, buyer: Market, folder: Path, coin: tuple[Address, Sender]
) -> None:
    token, faucet = coin
    made = seller.publish(folder, name="digits")
    seller.offer(made.ref, price=2_500_000, currency=token)
    own = _own(buyer)
    body = {"asset": made.ref, "max_price": "2500000", **_order(buyer)}
    assert http_service.refused("buy", own, **body)[0] == "conflict"  # no token yet
    faucet.send(Call(token, _mint(own.address, 10_000_000)))
    prepared = http_service.prepare("buy", own, **body)
    assert [item["does"] for item in prepared["transactions"]] == ["ERC20.approve", "Market.buy"]
    assert all(item["simulated"] for item in prepared["transactions"])
    assert "2500000 smallest units of token" in prepared["explanation"]
    if prepared["permit"] is not None:
        signed = Wallet.sign_message(encode_typed_data(full_message=prepared["permit"]), own.key.reveal())
        permit = {
            "deadline": int(prepared["permit"]["message"]["deadline"]),
            "signature": to_hex(bytes(signed.signature)),
        }
        prepared = http_service.prepare("buy", own, permit=permit, **body)
        assert [item["does"] for item in prepared["transactions"]] == ["Market.buyWithPermit"]
    http_service.send(own, prepared["transactions"])
    assert buyer.purchase(prepared["ids"]["purchase"]).state is PurchaseState.PAID
    assert Token(buyer.context.rpc, token).balance_of(own.address) == 7_500_000


def _mint(to: Address, amount: int) -> bytes:
    from steelyard.chain.calls import call_data

    return call_data("mint(address,uint256)", to, amount)


def test_what_the_market_forbids_is_said_before_anything_is_signed(
    http_service: Http, seller: Market, buyer: Market, market_of: MarketOf, folder: Path
) -> None:
    made = seller.publish(folder, name="digits")
    offer = seller.offer(made.ref, price=PRICE)
    own, order = _own(buyer), _order(buyer)
    body = {"asset": made.ref, "max_price": str(PRICE), **order}
    poor = market_of(Account.from_key(Secret(secrets.token_bytes(32))))
    assert http_service.refused("buy", own, **{**body, "max_price": str(PRICE - 1)})[0] == "conflict"
    assert http_service.refused("buy", _own(poor), **body)[0] == "conflict"
    assert http_service.refused("buy", own, **{**body, "key": "0x" + "11" * 64})[0] == "bad-parameter"
    assert http_service.refused("buy", own, **{**body, "key": "0x11"})[0] == "bad-parameter"
    assert http_service.refused("buy", own, **{**body, "asset": "0x" + "12" * 20 + "/none"})[0] == "not-found"
    assert http_service.refused("buy", own, **{**body, "more": 1})[0] == "bad-body"
    purchase = http_service.do("buy", own, **body)["ids"]["purchase"]
    assert http_service.refused("buy", own, **body) == ("reverted", "Purchases_WrongState")
    assert http_service.refused("refund", own, purchase=purchase)[0] == "conflict"
    assert http_service.refused("settle", own, purchase=purchase)[0] == "conflict"
    assert (
        http_service.refused("close-offer", own, asset=made.ref, offer=to_hex(offer.offer))[0] == "conflict"
    )
    assert (
        http_service.refused("transfer-asset", own, asset=made.ref, to=to_hex(own.address))[0] == "conflict"
    )
    seller.close_offer(made.ref, offer.offer)
    assert http_service.refused("buy", own, **{**body, **_order(buyer)})[0] == "conflict"


def test_an_allow_list_is_given_or_known(
    http_service: Http, seller: Market, buyer: Market, market_of: MarketOf, folder: Path
) -> None:
    made = seller.publish(folder, name="digits")
    allowed = [_own(buyer).address, secrets.token_bytes(20)]
    token = http_service.sign_in(_own(seller))
    # Signed in as the seller, so the list is kept, and buyers need not bring it.
    http_service.do(
        "offer",
        _own(seller),
        token=token,
        asset=made.ref,
        price="0",
        allow=[to_hex(item) for item in allowed],
    )
    made_for = http_service.prepare("buy", _own(buyer), asset=made.ref, max_price="0", **_order(buyer))
    assert made_for["transactions"][0]["simulated"]
    assert (
        http_service.refused("buy", _own(market_of()), asset=made.ref, max_price="0", **_order(buyer))[0]
        == "conflict"
    )


def test_every_act_of_a_life(
    http_service: Http,
    seller: Market,
    buyer: Market,
    market_of: MarketOf,
    folder: Path,
    travel: Travel,
    tmp_path: Path,
) -> None:
    own, other = _own(seller), _own(buyer)

    def deliver() -> None:
        # A fresh client each time: this account signs elsewhere too, and a client counts its nonces itself.
        market_of(own, home=tmp_path / f"deliver-{secrets.token_hex(4)}").deliver_pending()

    made = seller.publish(folder, name="digits")
    ref = made.ref.partition("@")[0]
    http_service.do("fund-bond", own, amount=str(ETHER))
    http_service.do("withdraw-bond", own, amount=str(ETHER // 4))
    sold = http_service.do(
        "offer", own, asset=ref, price=str(PRICE), scope="all", window=HOUR, text="Do no harm."
    )
    assert "kept" in sold["notes"][0]
    bought = http_service.do("buy", other, asset=ref, max_price=str(PRICE), **_order(buyer))["ids"][
        "purchase"
    ]
    deliver()
    travel(HOUR + 60)
    http_service.do("settle", other, purchase=bought)
    http_service.do("claim", own, asset=ref)
    taken = http_service.do("withdraw", own, to=to_hex(other.address), amount=str(PRICE))
    assert "0.05 ETH" in taken["explanation"]
    # A licence changes hands; its new holder asks for a key, and the fee comes back when nobody answers.
    third = market_of()
    http_service.do("transfer-licence", other, licence=bought, to=to_hex(_own(third).address))
    version = made.version
    scalar = request_scalar(
        third.context, licence=PurchaseId(bytes.fromhex(bought[2:])), version=version, counter=0
    )
    asked = http_service.do(
        "request-key",
        _own(third),
        licence=bought,
        key=to_hex(blind(scalar).encode()),
        fee="1000",
        within=HOUR,
    )
    travel(HOUR + 60)
    http_service.do("return-fee", other, request=asked["ids"]["request"])
    # A rental, prolonged; a purchase that is not delivered, refunded; a free licence, revoked.
    rent = http_service.do(
        "offer",
        own,
        asset=ref,
        price="1000",
        rental_period=DAY,
        renew_until=http_service.service.context.now() + 30 * DAY,
    )
    rented = http_service.do(
        "buy", other, asset=ref, offer=rent["ids"]["offer"], max_price="1000", **_order(buyer)
    )["ids"]["purchase"]
    deliver()
    http_service.do("renew", other, purchase=rented, max_price="1000")
    late = http_service.do(
        "buy", other, asset=ref, offer=rent["ids"]["offer"], max_price="1000", **_order(buyer)
    )["ids"]["purchase"]
    travel(2 * DAY)
    http_service.do("refund", other, purchase=late)
    free = http_service.do("offer", own, asset=ref, price="0", revocable=True)
    given = http_service.do(
        "buy", other, asset=ref, offer=free["ids"]["offer"], max_price="0", **_order(buyer)
    )["ids"]["purchase"]
    deliver()
    http_service.do("revoke", own, licence=given)
    http_service.do("set-role", own, asset=ref, account=to_hex(other.address), role="seller")
    http_service.do("close-offer", other, asset=ref, offer=free["ids"]["offer"])
    moved = http_service.do("move-stage", own, version=made.ref, stage="retired", reason="found better")
    assert "from released to retired, for ever" in moved["explanation"]
    assert moved["ids"]["version"] == to_hex(made.version)
    assert (
        http_service.refused("move-stage", own, version=made.ref, stage="draft", reason="x")[0] == "conflict"
    )
    assert (
        http_service.refused("move-stage", own, version=ref, stage="draft", reason="x")[0] == "bad-parameter"
    )
    body = {"asset": ref, "offer": rent["ids"]["offer"], "max_price": "1000", **_order(buyer)}
    assert http_service.refused("buy", other, **body)[0] == "conflict"
    http_service.do("transfer-asset", own, asset=ref, to=to_hex(other.address))
    assert http_service.service.context.views.owner_of(made.asset) == other.address


def test_only_transactions_of_this_market_are_passed_on(
    http_service: Http, buyer: Market, deployment: Deployment
) -> None:
    own, rpc = _own(buyer), http_service.service.context.rpc
    good = {
        "type": 2,
        "chainId": rpc.chain_id,
        "nonce": rpc.get_nonce(own.address),
        "to": checksum_address(deployment.market),
        "data": to_hex(http_service.service.context.calls.fund_bond(own.address, 5).data),
        "value": 5,
        "gas": 200_000,
        "maxFeePerGas": 10**11,
        "maxPriorityFeePerGas": 10**9,
    }

    def raw(**changes: object) -> bytes:
        fields = {key: value for key, value in {**good, **changes}.items() if value is not None}
        return bytes(Wallet.sign_transaction(fields, own.key.reveal()).raw_transaction)

    approve = "0x095ea7b3" + encode(("address", "uint256"), (bytes(20), 1)).hex()
    legacy = raw(type=None, maxFeePerGas=None, maxPriorityFeePerGas=None, gasPrice=10**11)
    for bad in (
        raw(chainId=1),
        raw(to=checksum_address(own.address)),
        raw(to=checksum_address(own.address), data=approve),
        raw(to=""),
        raw(data="0x"),
        raw(gas=20_000_000),
        legacy,
        raw()[:-1],
        raw() + b"\0",
        b"",
        b"\x02",
        bytes(200_000),
    ):
        status, problem = http_service.ask("POST", "/v1/tx/send", {"raw": to_hex(bad)})
        assert (status, problem["code"]) in ((400, "bad-body"), (413, "too-large")), problem
    assert rpc.get_nonce(own.address) == good["nonce"]
    status, first = http_service.ask("POST", "/v1/tx/send", {"raw": to_hex(raw())})
    assert status == 200
    # Again: known, mined, and still the same.
    assert http_service.ask("POST", "/v1/tx/send", {"raw": to_hex(raw())}) == (200, first)
    # Another one under its nonce is not taken.
    assert http_service.ask("POST", "/v1/tx/send", {"raw": to_hex(raw(value=6))})[1]["code"] == "conflict"


# -- selling from elsewhere ----------------------------------------------------------------------------------------


def test_a_remote_seller_uploads_and_publishes(
    served: Callable[..., Http], node: Node, deployment: Deployment, faucet: Sender, buyer: Market, folder: Path, tmp_path: Path, store: EmbeddedStore
) -> None:  # fmt: skip
    http_service = served()  # over the store that the buyer reads
    account = Account.from_key(Secret(secrets.token_bytes(32)))
    faucet.send(Call(account.address, b"", ETHER))
    with Market(
        node.url,
        deployment=deployment,
        store=EmbeddedStore(tmp_path / "far"),
        account=account,
        home=tmp_path / "far-home",
    ) as far:
        told: list[tuple[str, int, int]] = []
        made = far.publish(folder, name="far", via=http_service.url, progress=lambda *item: told.append(item))
        assert store.is_pinned(made.cid)
        assert any(what == "upload" and done == total for what, done, total in told)
        # A version goes the same way, and what is there already is not brought again.
        (folder / "extra" / "more.txt").write_text("more")
        second = far.new_version(made.ref.partition("@")[0], folder, via=http_service.url)
        assert second.number == 2 and store.is_pinned(second.cid)
        far.offer(second.ref, price=PRICE)
        bought = buyer.buy(second.ref, max_price=PRICE, wait=False)
        far.deliver_pending()
        assert same_files(buyer.pull(bought, tmp_path / "out"), folder)


def test_a_service_of_another_chain_gets_no_signature(
    http_service: Http, seller: Market, folder: Path
) -> None:
    from steelyard.service.remote import Remote

    remote = Remote(http_service.url, _own(seller), chain_id=1)
    with pytest.raises(RefusedError, match="chain"):
        remote.sign_in()
    remote.close()


def test_in_single_seller_mode_plaintext_becomes_a_version(
    served: Callable[..., Http], faucet: Sender, buyer: Market, folder: Path, tmp_path: Path
) -> None:
    account = Account.from_key(Secret(secrets.token_bytes(32)))
    faucet.send(Call(account.address, b"", ETHER))
    http_service = served(account=account, accept_plaintext=True)
    token = http_service.sign_in(account)
    for path in folder.rglob("*"):
        if path.is_file():
            name = path.relative_to(folder).as_posix().replace("/", "%2F")
            data = path.read_bytes()
            half = len(data) // 2
            parts = [(0, half), (half, len(data))] if half else [(0, len(data))]
            for start, end in parts:
                headers = {"content-range": f"bytes {start}-{end - 1}/{len(data)}"} if data else {}
                status, answer = http_service.ask(
                    "PUT", f"/v1/drafts/drafted/files/{name}", raw=data[start:end], token=token,
                    headers={"content-type": "application/octet-stream", **headers},
                )  # fmt: skip
                assert status in (201, 202), answer
    status, draft = http_service.ask("POST", "/v1/drafts/drafted/publish", {}, token=token)
    assert status == 202, draft
    pause = threading.Event()
    while draft["state"] == "publishing":
        pause.wait(0.2)
        _, draft = http_service.ask("GET", "/v1/drafts/drafted", token=token)
    assert draft["state"] == "published", draft
    assert draft["files"] == []
    seller = http_service.service.market
    seller.offer(draft["result"]["ref"], price=0)
    bought = buyer.buy(draft["result"]["ref"], max_price=0, wait=False)
    seller.deliver_pending()
    assert same_files(buyer.pull(bought, tmp_path / "out"), folder)


# -- webhooks ------------------------------------------------------------------------------------------------------


class Receiver(http.server.ThreadingHTTPServer):
    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), _Take)


class _Take(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def _hook(http_service: Http, seller: Market, receiver: Receiver, asset: bytes) -> bytes:
    """Make a webhook and return its secret."""
    url = f"http://127.0.0.1:{receiver.server_address[1]}/hook"
    body = {"url": url, "filter": {"asset": to_hex(asset), "kinds": ["Offered", "OfferClosed"]}}
    status, hook = http_service.ask("POST", "/v1/webhooks", body, token=http_service.sign_in(_own(seller)))
    assert status == 201, hook
    return base64.b64decode(hook["secret"].removeprefix(SECRET_NAME))


def test_a_webhook_tells_what_happened_and_its_signature_verifies(
    served: Callable[..., Http], seller: Market, folder: Path, receiver: Receiver
) -> None:
    http_service = served(allow_private_webhooks=True)
    made = seller.publish(folder, name="digits")
    http_service.indexer.catch_up()
    secret = _hook(http_service, seller, receiver, made.asset)
    offer = seller.offer(made.ref, price=PRICE)
    seller.close_offer(made.ref, offer.offer)
    http_service.indexer.catch_up()
    hooks = Hooks.of(http_service.service)
    assert hooks.step() == 2
    assert hooks.step() == 0
    names = []
    for headers, body in receiver.got:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"
        names.append(json.loads(body)["data"]["name"])
    assert names == ["Offered", "OfferClosed"]


KILLED = """
import os, signal, sys
from pathlib import Path
from steelyard.api.hooks import Hooks
from steelyard.api.outgoing import Outgoing
from steelyard.api.state import State
from steelyard.indexer.database import open_database
from steelyard.query.audit import Audit

place = Path(sys.argv[1])
state = State.open(place / "service.sqlite")
audit = Audit(open_database(place / "index.sqlite", readonly=True))
left = [int(sys.argv[2])]

def kill(hook):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)

Hooks(audit, state, Outgoing(allow_private=True), on_delivered=kill).step()
"""


def test_a_process_that_is_killed_between_sending_and_storing_loses_no_message(
    served: Callable[..., Http], seller: Market, folder: Path, receiver: Receiver, tmp_path: Path
) -> None:
    http_service = served(allow_private_webhooks=True)
    made = seller.publish(folder, name="digits")
    http_service.indexer.catch_up()
    _hook(http_service, seller, receiver, made.asset)
    for price in range(5):
        seller.offer(made.ref, price=price)
    http_service.indexer.catch_up()
    # The place is written after each; whoever dies right before it sends that one again.
    for survived in (0, 1, 2):
        run = subprocess.run(
            [sys.executable, "-c", KILLED, str(tmp_path / "http-0"), str(survived)],
            env={**os.environ, "PYTHONPATH": str(ROOT / "backend")},
            check=False,
            timeout=120,
        )
        assert run.returncode == -signal.SIGKILL
    Hooks(http_service.service.audit, http_service.state, Outgoing(allow_private=True)).step()
    places = [json.loads(body)["data"]["pos"] for _, body in receiver.got]
    wanted = sorted(set(places))
    assert len(wanted) == 5
    assert [place for at, place in enumerate(places) if place not in places[:at]] == wanted
    assert len(places) == 5 + 3
