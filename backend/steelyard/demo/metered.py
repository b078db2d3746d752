"""A hosted model, used and paid by the call; its receipts are proved, and its books balance."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from steelyard.api.server import listen, url_of
from steelyard.chain.metered import ChannelViews, channels_of
from steelyard.crypto.secret import Secret
from steelyard.demo.model import Trained
from steelyard.demo.stage import DAY, ETH, Stage, eth, require, short
from steelyard.domain.metering import ChannelState
from steelyard.errors import VerificationError
from steelyard.gateway.claims import Claimer, Rules
from steelyard.gateway.hosted import prepare
from steelyard.gateway.startup import open_gateway
from steelyard.gateway.state import Gateway, Options
from steelyard.gateway.worker import answer
from steelyard.market import Market
from steelyard.metering.evidence import verify
from steelyard.service.account import Account
from steelyard.service.budget import Budget
from steelyard.service.dispatch import open_outbox
from steelyard.service.evidence import export_receipts

UNIT: Final = ETH // 100_000
ROWS: Final = 10
DEPOSIT: Final = 1_000 * UNIT


def metered(stage: Stage, trained: Trained) -> int:
    """Play it; returns what it earned, wei."""
    stage.scene("Alice hosts version 2; Bob pays by the row, and both sign for what was used")
    alice, bob = stage.person("alice"), stage.person("bob")
    gate = stage.client(
        "alice-gateway", Account.from_key(Secret(stage.keys.pop(0)), seed=alice.context.account.seed)
    )
    offered = alice.offer_metered(
        "alice/digits@2", price=UNIT, payee=gate.context.account.address, window=DAY, in_flight=8
    )
    stage.sent("offered by the row", offered)
    stage.fact("a row", eth(UNIT))
    before = stage.wealth(bob.context.account.address)
    with hosting(stage, gate) as (url, gateway):
        with bob.use("alice/digits@2", url=url, budget=Budget(deposit=DEPOSIT)) as model:
            price = model.price(trained.images[:ROWS])
            stage.fact(
                "Bob asks the price",
                f"{eth(price.amount)} for {price.units} rows, and a deposit of {eth(price.deposit)}",
            )
            rows = 0
            for start in range(0, len(trained.images), ROWS):
                part = trained.images[start : start + ROWS]
                labels = model(part)["label"]
                require(bool((labels == trained.answers[start : start + ROWS]).all()), "an answer differs")
                rows += len(part)
            stage.fact("answers", f"{rows} of {rows} rows equal to those of the seller's own copy")
            signed = model.settle()
            stage.fact("co-signed", f"{signed.voucher.sequence} receipts, {eth(signed.voucher.amount)}")
            agreement, _ = model.context_of_channel()
            _claim(stage, gate, gateway)
            proved(stage, export_receipts(bob.context, agreement), signed.voucher.root)
            one = json.loads(export_receipts(bob.context, agreement, only=7))
            stage.fact("receipt 7 alone", f"proved with {len(one['receipts'][0]['path'])} hashes")
            stage.sent("Bob begins to close", model.close_channel())
        _claim(stage, gate, gateway)
    record = ChannelViews(stage.rpc, channels_of(stage.deployment)).channel(agreement.channel)
    require(record.state is ChannelState.CLOSED, "the channel is not closed")
    out = bob.withdraw()
    require(out.amount == DEPOSIT - rows * UNIT, "Bob's refund is wrong")
    require(record.claimed == rows * UNIT == signed.voucher.amount, "the claim is wrong")
    require(not stage.wealth(channels_of(stage.deployment)), "money is left in the channels")
    stage.fact("channels", f"hold 0 ETH: {eth(record.claimed)} earned, {eth(out.amount)} back to Bob")
    spent = before - stage.wealth(bob.context.account.address)
    stage.fact(
        "Bob spent", f"{eth(spent)}, for {signed.voucher.sequence} calls and the gas of three transactions"
    )
    return rows * UNIT


def proved(stage: Stage, data: bytes, root: bytes) -> None:
    """Verify the receipts offline, and once more with one number changed."""
    found = verify(data, root=root)
    stage.fact("receipts, offline", f"{found.proved} proved under root {short(root)}")
    document = json.loads(data)
    document["receipts"][3]["units"] += 1
    try:
        verify(json.dumps(document).encode())
    except VerificationError as exc:
        stage.fact("one unit more", f"refused: {str(exc)[:48]}...")
    else:
        require(False, "a changed receipt was accepted")


@contextmanager
def hosting(stage: Stage, gate: Market) -> Iterator[tuple[str, Gateway]]:
    """Run a gateway in the background, with the seller's seed and a key of its own."""
    opened, stop = listen("127.0.0.1:0"), threading.Event()
    wanted = prepare(gate, "alice/digits@2")
    with open_gateway(gate, stage.folder / "gateway.sqlite", [wanted], Options(every=0.5)) as gateway:
        thread = threading.Thread(target=answer, args=(gateway, gate.context, opened, stop))
        thread.start()
        try:
            yield url_of(opened), gateway
        finally:
            stop.set()
            thread.join(30)


def _claim(stage: Stage, gate: Market, gateway: Gateway) -> None:
    offers = {item.id: item for hosted in gateway.hosted() for item in hosted.wanted.offers}
    with open_outbox(gate.context) as outbox:
        claimer = Claimer(gate.context, gateway.books, outbox, offers, Rules())
        for due in claimer.step():
            voucher = due.signed.voucher
            stage.fact("claimed", f"{eth(due.amount)} for {voucher.sequence} calls in one transaction")
        require(claimer.wait(), "a claim is in no block")
        claimer.release()
