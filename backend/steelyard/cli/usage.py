"""Hosted models from the payer's side: ``infer``, ``channels`` and ``receipts``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steelyard.cli.context import Session, pick, sent_lines
from steelyard.cli.offer import parse_price
from steelyard.cli.options import Command, Group, sends, with_session
from steelyard.cli.output import pairs, short, table
from steelyard.cli.units import format_time
from steelyard.domain.plain import plain
from steelyard.errors import InputError

if TYPE_CHECKING:
    from steelyard.domain.types import Address
    from steelyard.metering.evidence import Evidence
    from steelyard.service.budget import Budget
    from steelyard.service.results import ChannelInfo, Sent
    from steelyard.service.usage import Usage

_URL = click.option("--url", required=True, metavar="URL", help="Of the gateway.")


@click.command("infer", cls=Command)
@click.argument("ref")
@_URL
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=FILE",
    help="Array of an input, .npy; repeatable. NAME= may be left out.",
)
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Write all outputs, .npz.")
@click.option("--deposit", metavar="AMOUNT", help="To pay into a channel, if there is none or too little.")
@click.option("--max-total", metavar="AMOUNT", help="Most in one channel; else one deposit.")
@click.option("--max-price", metavar="AMOUNT", help="Most for one unit.")
@click.option("--max-per-day", metavar="AMOUNT", help="Most for calls of a day.")
@click.option("--trust-gateway", is_flag=True, help="Your books were lost: believe its receipts.")
@sends
@with_session
def infer_command(
    session: Session,
    ref: str,
    url: str,
    inputs: tuple[str, ...],
    output: Path | None,
    deposit: str | None,
    max_total: str | None,
    max_price: str | None,
    max_per_day: str | None,
    trust_gateway: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Run a hosted model once.

    Pays from a channel, which is opened with the deposit if there is none. Amounts are in the currency of the gateway's offer. The
    channel stays open for the next call: `channels close` ends it.
    """
    arrays = _arrays(inputs)
    texts = (deposit, max_total, max_price, max_per_day)
    with session.market.use(
        ref, url=url, budget=_budget(session, texts, None), trust_gateway=trust_gateway
    ) as model:
        currency = model.offer.terms.currency
        model.limit(_budget(session, texts, currency))
        price = model.price(arrays)
        facts = [f"price  {session.money(price.amount, currency)} for {price.units} units"]
        if price.deposit:
            gas = f"{price.gas:,} gas, {session.money(price.fee_wei, bytes(20))}"
            facts.append(f"deposit  {session.money(price.deposit, currency)}, {gas}")
        if dry_run:
            for fact in facts:
                session.out.say(fact)
            session.out.say("dry run: nothing was sent")
            session.out.result(price, [])
            return
        if price.deposit:
            session.confirm("Pay the deposit and run it?", facts, yes=yes)
        _told(session, model, model(arrays), output)


def _told(session: Session, model: Usage, found: dict[str, Any], output: Path | None) -> None:
    import numpy as np

    if output is not None:
        np.savez(output, allow_pickle=False, **found)
    currency = model.offer.terms.currency
    session.out.say(
        f"{model.units} units so far, {session.money(model.spent, currency)}; left {session.money(model.left, currency)}"
    )
    answer = {name: value.tolist() for name, value in found.items()}
    document = {"channel": model.channel, "units": model.units, "paid": model.spent, "left": str(model.left)}
    if session.as_json:
        shown = plain(document)
        assert isinstance(shown, dict)
        # Numbers of a model are no amounts: as they are.
        session.out.write(json.dumps({**shown, "outputs": answer}) + "\n")
        return
    if output is not None:
        session.out.result(document, [str(output)])
    else:
        session.out.result(document, [f"{name}  {value}" for name, value in answer.items()])


def _arrays(inputs: tuple[str, ...]) -> Any:
    import numpy as np

    if not inputs:
        raise InputError("give at least one --input")
    found: dict[str, Any] = {}
    for item in inputs:
        name, sign, place = item.partition("=")
        name, place = (name, place) if sign else ("", item)
        try:
            found[name] = np.load(place, allow_pickle=False)
        except (OSError, ValueError) as exc:
            raise InputError(f"{place} is no array of NumPy (.npy)") from exc
    if "" in found and len(found) > 1:
        raise InputError("name the inputs: NAME=FILE")
    return found.get("", found)


def _budget(session: Session, texts: tuple[str | None, ...], currency: Address | None) -> Budget:
    from steelyard.service.budget import Budget

    if currency is None:  # nothing is paid before the currency is known
        return Budget(deposit=0)
    deposit, total, price, day = (
        None if text is None else parse_price(session, text, currency) for text in texts
    )
    return Budget(deposit=deposit or 0, total=total, price=price, per_day=day)


@click.group("channels", cls=Group)
def channels_command() -> None:
    """List, claim and close channels."""


@channels_command.command("list")
@with_session
def list_channels(session: Session) -> None:
    """List your channels.

    Those that the account opened, oldest first.
    """
    found: tuple[ChannelInfo, ...] = session.market.channels()
    rows = [
        (
            short(item.channel),
            item.ref,
            session.money(item.deposit, item.agreement.terms.currency),
            session.money(item.claimed, item.agreement.terms.currency),
            item.state.name.lower(),
            format_time(item.closes_at),
        )
        for item in found
    ]
    session.out.result(found, table(("CHANNEL", "VERSION", "DEPOSIT", "CLAIMED", "STATE", "CLOSES"), rows))


@channels_command.command("close")
@click.argument("channel")
@click.option("--url", metavar="URL", help="Of its gateway, to co-sign what was answered last.")
@sends
@with_session
def close_channel(session: Session, channel: str, url: str | None, dry_run: bool, yes: bool) -> None:
    """Close a channel.

    CHANNEL is an id from `channels list`, or its first digits. Begins to close an open one: its payee may claim until the window
    ends, or closes it at once. Called again after that it ends the channel. What is left is in your balance: `withdraw`.
    """
    from steelyard.domain.metering import ChannelState

    info = _pick(session, channel)
    if info.state is ChannelState.CLOSED:
        raise InputError(f"channel 0x{info.channel.hex()} is closed already")
    if url is not None and info.state is ChannelState.OPEN and not dry_run:
        from steelyard.service.budget import Budget

        with session.market.use(info.ref, url=url, budget=Budget(deposit=0)) as model:
            if model.channel == info.channel:
                model.settle()
    closing = info.state is ChannelState.OPEN
    done: Sent = session.act(
        "",
        lambda market: market.start_closing(info.channel) if closing else market.finish_channel(info.channel),
        dry_run=dry_run,
        yes=True,
    )
    del yes
    what = "closing" if closing else "closed"
    session.out.result(done, pairs([(what, "0x" + info.channel.hex()), *sent_lines(done)]))


def _pick(session: Session, text: str) -> ChannelInfo:
    found: dict[bytes, ChannelInfo] = {item.channel: item for item in session.market.channels()}
    return found[pick(text, found, what="channel")]


@channels_command.command("claim")
@click.argument("refs", nargs=-1, required=True, metavar="REF...")
@with_session
def claim_channels(session: Session, refs: tuple[str, ...]) -> None:
    """Claim what is due now.

    For the payee, from the gateway's books on this machine, whatever the thresholds; `steelyard host` claims by itself.
    """
    from steelyard.crypto.metering import Signer
    from steelyard.gateway.books import open_books
    from steelyard.gateway.claims import Claimer, Rules
    from steelyard.gateway.hosted import offers_for
    from steelyard.gateway.startup import books_place
    from steelyard.service.dispatch import open_outbox
    from steelyard.service.naming import find_asset
    from steelyard.service.opening import find_index

    market = session.market
    context = market.context
    where = books_place(find_index(session.config, context.deployment))
    offers, now, payee = {}, context.now(), context.account.address
    for ref in refs:
        asset = find_asset(context, ref)
        for version in asset.versions:
            offers.update({item.id: item for item in offers_for(asset, version, payee=payee, at=now)})
    books = open_books(where, Signer(context.account.key), clock=context.settings.clock)
    try:
        with open_outbox(context) as outbox:
            claimer = Claimer(context, books, outbox, offers, Rules())
            try:
                done = claimer.step(force=True)
                claimer.wait()
            finally:
                claimer.release()
    finally:
        books.close()
    rows = [
        (short(item.agreement.channel), session.money(item.amount, item.agreement.terms.currency))
        for item in done
    ]
    value = [{"channel": item.agreement.channel, "amount": item.amount} for item in done]
    session.out.result(value, table(("CHANNEL", "CLAIMED"), rows))
    if not done:
        session.out.say("Nothing is due, or another process claims.")


@click.group("receipts", cls=Group)
def receipts_command() -> None:
    """Export and verify receipts of metered use."""


@receipts_command.command("export")
@click.argument("channel")
@click.option(
    "--output", type=click.Path(path_type=Path), required=True, metavar="FILE", help="File to write."
)
@click.option("--only", type=click.IntRange(1), metavar="N", help="Prove this receipt alone.")
@with_session
def export_receipts(session: Session, channel: str, output: Path, only: int | None) -> None:
    """Write the receipts of a channel.

    With the voucher that co-signs them, from this account's books. CHANNEL is an id from `channels list`, or its first digits.
    """
    from steelyard.service.evidence import export_receipts as export

    data = export(session.market.context, _pick(session, channel).agreement, only=only)
    try:
        output.write_bytes(data)
    except OSError as exc:
        raise InputError(f"cannot write {output}: {exc.strerror}") from exc
    session.out.result({"path": output, "bytes": len(data)}, [str(output)])


@receipts_command.command("verify")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--root", metavar="HEX", help="Root in the chain's UsageClaimed; compared.")
@with_session
def verify_receipts(session: Session, file: Path, root: str | None) -> None:
    """Verify a file of receipts.

    Needs no network: the payee's signatures, the root that the payer co-signed, and that the channel's id follows from its terms.
    """
    from steelyard.chain.hexdata import checksum_address
    from steelyard.metering.evidence import verify

    try:
        data = file.read_bytes()
        wanted = None if root is None else bytes.fromhex(root.removeprefix("0x"))
    except (OSError, ValueError) as exc:
        raise InputError(f"{file} cannot be read, or --root is no hexadecimal") from exc
    found: Evidence = verify(data, root=wanted)
    session.out.result(
        found,
        pairs(
            [
                ("channel", "0x" + found.channel.hex()),
                ("version", "0x" + found.version.hex()),
                ("payer", checksum_address(found.payer)),
                ("payee", checksum_address(found.payee)),
                ("proved", f"{found.proved} receipts, {found.units} units"),
                ("co-signed", f"{found.sequence} receipts, {found.amount} smallest units"),
                ("root", "0x" + found.root.hex()),
            ]
        ),
    )
