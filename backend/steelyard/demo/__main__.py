"""``python -m steelyard.demo``: every line it prints was computed in that run."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from steelyard.audit import bundle as bundles
from steelyard.chain.deploy import DISPUTE_GAS, deploy
from steelyard.chain.hexdata import checksum_address
from steelyard.chain.node import Node, find_anvil
from steelyard.chain.rpc import Rpc
from steelyard.chain.sender import Sender
from steelyard.crypto.secret import Secret
from steelyard.demo.dishonest import publish_false
from steelyard.demo.metered import metered
from steelyard.demo.model import Trained, predict, train
from steelyard.demo.questions import questions
from steelyard.demo.stage import DAY, ETH, HOUR, Stage, eth, require, short
from steelyard.domain.types import RequestId, RequestState, State, account_word
from steelyard.errors import RefusedError, SteelyardError, VerificationError
from steelyard.market import Market
from steelyard.service.account import Account
from steelyard.service.results import Purchase
from steelyard.storage.embedded import EmbeddedStore

PEOPLE = ("alice", "bob", "carol", "dora", "erin", "mallory", "sam")
PRICE = ETH // 20
RENT = ETH // 100
INCOME = PRICE + 2 * RENT
BOND_GAS_PRICE = 2 * 10**9


def opened(stage: Stage, purchase: Purchase, seller_copy: Trained) -> None:
    """Pull a purchase and compare its predictions with the seller's own."""
    path = purchase.pull(stage.folder / f"pulled-{purchase.id.hex()[:8]}")
    require(
        all(
            (path / f.name).read_bytes() == f.read_bytes()
            for f in seller_copy.folder.iterdir()
            if f.is_file()
        ),
        "the files differ",
    )
    answers = predict(path, seller_copy.images)
    same = int((answers == seller_copy.answers).sum())
    require(same == len(answers), "the predictions differ")
    stage.fact("pulled to", path.name)
    stage.fact("predictions", f"{same} of {len(answers)} equal to those of the seller's own copy")


def sale(stage: Stage, first: Trained, second: Trained) -> int:
    """A sale, a new version under its entitlement, and a rental; returns a time at which that ran, Unix seconds."""
    alice, bob = stage.person("alice"), stage.person("bob")
    stage.scene("Alice publishes a model; Carol, who labelled the data, gets 30 % of its income")
    shares = [("alice", 7000), ("carol", 3000)]
    published = alice.publish(first.folder, name="digits", positions=shares)
    stage.fact("reference", published.ref)
    stage.fact("CID", published.cid)
    stage.fact("accuracy", f"{first.accuracy:.3f}")
    stage.sent("registered", published)
    offered = alice.offer("alice/digits", price=PRICE, scope="all")
    stage.sent(f"offered at {eth(PRICE)}", offered)

    stage.scene("Bob buys it; Alice's key service answers; the contract checks the key before it pays")
    with stage.serving("alice/digits"):
        before = stage.wealth(bob.context.account.address)
        quote = bob.quote("alice/digits", verify=True)
        stage.fact("price", f"{eth(quote.price)}, and about {quote.gas:,} gas")
        for warning in quote.warnings:
            stage.say(f"   Bob is told: {warning}.")
        purchase = bob.buy("alice/digits", max_price=PRICE, wait=60)
        require(purchase.state is State.SETTLED, "the key was not delivered")
        stage.sent("paid into escrow", purchase)
        stage.fact("licence", short(purchase.id))
        spent = before - stage.wealth(bob.context.account.address)
        stage.fact("Bob spent", f"{eth(spent)} (price and gas)")
        opened(stage, purchase, first)

        stage.scene(
            "An hour later Alice publishes version 2; Bob's licence covers it, so he asks for its key"
        )
        stage.pass_time(HOUR)
        newer = alice.new_version("alice/digits", second.folder, positions=shares)
        stage.fact("accuracy", f"{first.accuracy:.3f} before, {second.accuracy:.3f} now")
        stage.sent("published", newer)
        requested = bob.request_key(purchase, 2)
        stage.sent("key requested", requested)
        wait_for_key(bob, requested.id)
        path = bob.pull("alice/digits@2", stage.folder / "pulled-v2")
        answers = predict(path, second.images)
        require(bool((answers == second.answers).all()), "version 2 predicts otherwise")
        stage.fact("predictions", f"{len(answers)} of {len(answers)} equal, and nothing was paid again")

        stage.scene("Dora rents it for a day, renews once, and then the rental ends")
        return rental(stage)


def wait_for_key(market: Market, request: RequestId) -> None:
    """Wait until a key request is answered."""
    for _ in range(300):
        if any(r.id == request and r.state is RequestState.ANSWERED for r in market.requests()):
            return
        time.sleep(0.2)
    require(False, "the key was not delivered")


def rental(stage: Stage) -> int:
    """A rental with one renewal; returns a time at which it ran, Unix seconds."""
    alice, dora = stage.person("alice"), stage.person("dora")
    now = stage.rpc.get_block("latest").timestamp
    alice.offer("alice/digits", price=RENT, rental_period=DAY, renew_until=now + 30 * DAY, scope="until-end")
    licence = dora.rent("alice/digits", max_price=RENT, wait=60)
    require(licence.delivered, "the rental was not delivered")
    stage.sent(f"rented for {eth(RENT)}", licence)
    renewed = dora.renew(licence, max_price=RENT)
    stage.sent("renewed", renewed)
    require(renewed.until == licence.until + DAY, "the renewal is wrong")
    running = stage.rpc.get_block("latest").timestamp
    stage.pass_time(2 * DAY + 1)
    valid = dora.context.views.is_valid(licence.id)
    require(not valid, "the rental has not ended")
    stage.fact("two days later", "the chain says the licence is not valid")
    try:
        dora.renew(licence)
    except RefusedError as exc:
        stage.fact("renew again?", f"refused: {str(exc)[:50]}...")
    else:
        require(False, "an ended rental was renewed")
    return running


def silence(stage: Stage) -> None:
    """A seller who stays silent."""
    stage.scene("Sam sells and then stays silent; Bob gets his money and Sam's bond")
    sam, bob = stage.person("sam"), stage.person("bob")
    folder = stage.folder / "sam-model"
    folder.mkdir()
    (folder / "README.md").write_text("# Promises\n")
    (folder / "weights.bin").write_bytes(b"\x01" * 5000)
    sam.publish(folder, name="promises")
    sam.fund_bond(ETH // 100)
    sam.offer("sam/promises", price=PRICE, deliver_within=HOUR, bond=ETH // 100)
    purchase = bob.buy("sam/promises", wait=False)
    stage.sent("paid into escrow", purchase)
    stage.pass_time(HOUR + 1)
    refunded = bob.refund(purchase)
    stage.sent("an hour later", refunded)
    money = bob.balance()
    require(money.treasury == PRICE + ETH // 100, "the refund is wrong")
    before = stage.wealth(bob.context.account.address)
    out = bob.withdraw()
    arrived = stage.wealth(bob.context.account.address) - before + out.fee_wei
    require(arrived == PRICE + ETH // 100, "the refund did not arrive")
    stage.fact("arrived in his wallet", f"{eth(arrived)}: price and bond")


def fraud(stage: Stage) -> None:
    """A dispute, and another buyer who is refunded by it."""
    stage.scene("Mallory commits to one thing and encrypts another; Bob proves it on chain")
    mallory, bob, erin = stage.person("mallory"), stage.person("bob"), stage.person("erin")
    folder = stage.folder / "mallory-model"
    shutil.copytree(stage.folder / "first", folder)
    publish_false(mallory, folder, name="miracle")
    bond = stage.deployment.min_bond
    mallory.fund_bond(2 * bond)
    mallory.offer("mallory/miracle", price=PRICE, window=HOUR)
    stage.fact(
        "check before paying", f"content root matches: {short(bob.verify('mallory/miracle').content_root)}"
    )
    with stage.serving("mallory/miracle"):
        bought = bob.buy("mallory/miracle", wait=60)
    require(bought.state is State.DELIVERED, "the window did not open")
    waiting = erin.buy("mallory/miracle", wait=False)
    stage.fact("Erin", "has paid too, and waits for her key")
    try:
        bought.pull(stage.folder / "false")
    except VerificationError as exc:
        stage.fact("Bob pulls", str(exc)[:54] + "...")
    else:
        require(False, "false content was accepted")
    disputed = bob.dispute(bought)
    require(disputed.state is State.REFUNDED and disputed.flagged, "the dispute failed")
    stage.sent("disputed", disputed)
    refunded = erin.refund(waiting)
    stage.sent("Erin refunded too", refunded)
    for name in ("bob", "erin"):
        out = stage.person(name).withdraw()
        require(out.amount == PRICE + bond, "a refund is wrong")
        stage.fact(f"{name.capitalize()} withdrew", f"{eth(out.amount)}: price and Mallory's bond")


def books(stage: Stage, income: int) -> None:
    """Revenue, shared and withdrawn, and the balance of all books."""
    stage.scene("Alice and Carol withdraw their shares; the books balance to the wei")
    balance_books(stage)
    for name, share in (("alice", 7000), ("carol", 3000)):
        out = stage.person(name).withdraw()
        require(out.amount == income * share // 10_000, f"{name}'s share is wrong")
        stage.sent(f"{name} {eth(out.amount)}", out)
    balance_books(stage)


def balance_books(stage: Stage) -> None:
    """Compare what the two contracts hold with what they owe, when nothing is in escrow any more."""
    views = stage.person("alice").context.views
    accounts = [account.address for account in stage.accounts.values()]
    owed = sum(views.balance(account_word(account)) for account in accounts)
    for node, positions in {i.node: i.positions for m in stage.people.values() for i in m.income()}.items():
        owed += views.balance(node) - sum(views.paid(node, index) for index in range(len(positions)))
    held, escrowed = stage.wealth(stage.deployment.treasury), stage.wealth(stage.deployment.market)
    bonds = sum(views.free_bond(account) for account in accounts)
    stage.fact("treasury", f"holds {eth(held)}, owes {eth(owed)}")
    stage.fact("market", f"holds {eth(escrowed)}, of it bonds {eth(bonds)}, open prices 0 ETH")
    require(held == owed and escrowed == bonds, "the books do not balance")


def audit(stage: Stage) -> None:
    """The trail, exported, verified offline, tampered with, and refused."""
    stage.scene("An auditor verifies the whole history without a network")
    bob = stage.person("bob")
    path = bob.export("alice/digits", stage.folder / "bundle.json")
    data = path.read_bytes()
    bundle = bundles.parse(data)
    head = stage.rpc.get_block("latest")
    checked = bob.verify_bundle(path, block_hash=head.hash)
    stage.fact(
        "bundle", f"{len(data):,} bytes, {len(bundle.entries)} entries, {len(bundle.contracts)} contracts"
    )
    stage.fact("complete to block", f"{head.number} {short(head.hash)}")
    require(checked is not None, "the bundle was not verified")
    stage.fact("verified", "every entry, its order, and that none is missing")
    cut = replace(bundle, entries=bundle.entries[:3] + bundle.entries[4:])
    false = stage.folder / "tampered.json"
    false.write_bytes(cut.to_bytes())
    try:
        bob.verify_bundle(false, block_hash=head.hash)
    except VerificationError as exc:
        stage.fact("one entry removed", f"refused: {str(exc)[:52]}...")
    else:
        require(False, "a tampered bundle was accepted")


def play(folder: Path, exits: ExitStack) -> None:
    """Play all scenes."""
    started = time.monotonic()
    node = exits.enter_context(Node.start(find_anvil(), accounts=12))
    rpc = exits.enter_context(Rpc(node.url, chain_id=node.chain_id))
    keys = list(node.keys)
    deployer = Sender(rpc, Secret(keys.pop(0)).reveal, poll=0.1)
    print(f"A chain of this machine: {node.url}, chain id {node.chain_id}")
    deployment = deploy(
        deployer,
        min_bond=DISPUTE_GAS * BOND_GAS_PRICE,
        told=lambda name, at: print(f"   {name:<13} {checksum_address(at)}", flush=True),
    )
    store = EmbeddedStore(folder / "store")
    stage = Stage(
        url=node.url,
        rpc=rpc,
        deployment=deployment,
        store=store,
        folder=folder,
        started=started,
        accounts={name: Account.from_key(Secret(keys.pop(0))) for name in PEOPLE},
        keys=keys,
        people={},
        exits=exits,
    )
    stage.scene("Two small real models are trained on handwritten digits")
    first = train(folder / "first", trees=5)
    second = train(folder / "second", trees=50)
    rented_at = sale(stage, first, second)
    income = INCOME + metered(stage, second)
    silence(stage)
    fraud(stage)
    books(stage, income)
    audit(stage)
    questions(stage, rented_at=rented_at, income=income)
    print(f"\nEverything held, in {time.monotonic() - started:.0f} seconds.")


def main() -> int:
    """Play, and clean up."""
    with tempfile.TemporaryDirectory(prefix="steelyard-demo-") as folder, ExitStack() as exits:
        try:
            play(Path(folder), exits)
        except SteelyardError as exc:
            print(f"\n{type(exc).__name__}: {exc}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
