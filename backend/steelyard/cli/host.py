"""``steelyard host``: serve models by the call."""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from steelyard.cli.context import Session
from steelyard.cli.options import Command, Parsed, with_session
from steelyard.cli.serve import teller
from steelyard.cli.units import parse_duration
from steelyard.domain.money import parse_native
from steelyard.domain.types import MAX_AMOUNT
from steelyard.errors import InputError
from steelyard.service.serving import Event

if TYPE_CHECKING:
    from steelyard.gateway.hosted import Wanted
    from steelyard.gateway.state import Options

_DURATION = Parsed("duration", parse_duration)
_AMOUNT = Parsed("amount", parse_native)
PLACE = "127.0.0.1:8650"


@click.command("host", cls=Command)
@click.argument("refs", nargs=-1, required=True, metavar="REF...")
@click.option("--as", "name", metavar="NAME", help="Name on the wire; else the asset's. For one REF.")
@click.option("--file", "file", metavar="PATH", help="ONNX file in the version. For one REF.")
@click.option("--listen", default=PLACE, show_default=True, metavar="ADDRESS", help="Listen here.")
@click.option(
    "--seed-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Seed of the seller, which opens his versions.",
)
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that answer."
)
@click.option(
    "--threads", type=click.IntRange(1, 256), default=1, show_default=True, help="Of one run of a model."
)
@click.option(
    "--trial",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Units without payment, of an address in a day.",
)
@click.option("--no-batch", is_flag=True, help="Run each call by itself.")
@click.option("--max-body", type=click.IntRange(1), default=16, show_default=True, help="MiB of a request.")
@click.option("--proxy", "proxies", multiple=True, metavar="ADDRESS", help="Believe its X-Forwarded-For.")
@click.option(
    "--interval", type=_DURATION, default="5s", show_default=True, help="Between two looks at the chain."
)
@click.option("--no-claims", is_flag=True, help="Another process claims.")
@click.option(
    "--claim-at", type=_AMOUNT, metavar="AMOUNT", help="Claim a channel from so much on; else by age."
)
@click.option(
    "--claim-after", type=_DURATION, default="7d", show_default=True, help="Or when a voucher is so old."
)
@click.option("--claim-max-fee", type=_AMOUNT, metavar="AMOUNT", help="Per gas, but for what is in danger.")
@with_session
def host_command(
    session: Session,
    refs: tuple[str, ...],
    name: str | None,
    file: str | None,
    listen: str,
    seed_file: Path | None,
    workers: int,
    threads: int,
    trial: int,
    no_batch: bool,
    max_body: int,
    proxies: tuple[str, ...],
    interval: int,
    no_claims: bool,
    claim_at: int | None,
    claim_after: int,
    claim_max_fee: int | None,
) -> None:
    """Serve models by the call.

    Over the Open Inference Protocol, version 2. The account is the payee of the version's metered offer (`steelyard meter`): give it
    gas, and nothing else. Claims by itself. It may be killed at any time: what was answered is on the disk. Ends on SIGINT or
    SIGTERM, with exit code 0.
    """
    from steelyard.cli.accounts import read_key
    from steelyard.gateway.engine import Bounds
    from steelyard.gateway.hosted import prepare
    from steelyard.gateway.state import Options

    if len(refs) > 1 and (name or file):
        raise InputError("--as and --file are for one REF")
    if seed_file is not None:
        session.seed = read_key(seed_file)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    market, tell = session.market, teller(session)
    wanted = [prepare(market, ref, name=name, file=file, trial=trial, batch=not no_batch) for ref in refs]
    options = Options(
        bounds=Bounds(),
        max_body=max_body << 20,
        every=float(max(interval, 1)),
        intra=threads,
        proxies=frozenset(proxies),
    )
    with ExitStack() as stack:
        _start(session, stack, wanted, options, listen, workers)
        if no_claims:
            stop.wait()
        else:
            _claim(
                session,
                wanted,
                stop,
                at=MAX_AMOUNT if claim_at is None else claim_at,
                after=claim_after,
                max_fee=claim_max_fee,
            )
    tell(Event(kind="stopped"))
    session.out.result({"hosted": [item.ref for item in wanted]}, [f"{len(wanted)} hosted"])


def _start(
    session: Session, stack: ExitStack, wanted: list[Wanted], options: Options, place: str, workers: int
) -> None:
    """Start the processes that answer."""
    from dataclasses import replace

    from steelyard.api.processes import Launch, Processes
    from steelyard.api.server import listen, url_of
    from steelyard.api.startup import shared_memory
    from steelyard.gateway import startup as startups
    from steelyard.gateway.app import ENDPOINTS
    from steelyard.gateway.counters import size_of

    tell, account = teller(session), session.market.context.account
    opened = listen(place)
    tell(Event(kind="listening", why=url_of(opened)))
    memory = shared_memory(size_of(len(startups.names_of(wanted)), len(ENDPOINTS), workers))
    files = (opened.detach(), memory)
    launches = []
    for worker in range(workers):
        startup = startups.Startup(
            config=replace(session.config, sources={}),
            options=options,
            wanted=tuple(wanted),
            key=account.key.reveal().hex(),
            seed=account.seed.reveal().hex(),
            json=session.as_json,
            quiet=session.out.quiet,
            socket=files[0],
            memory=memory,
            workers=workers,
            worker=worker,
        )
        launches.append(
            Launch(kind="gateway", module=startups.MODULE, line=startups.dump(startup), files=files)
        )
    processes = Processes(launches, tell=lambda kind, why: tell(Event(kind=kind, why=why)))
    stack.callback(processes.stop)
    processes.start()
    for item in wanted:
        tell(Event(kind="serving", id=item.version, why=f"{item.ref} as {item.name}"))


def _claim(
    session: Session,
    wanted: list[Wanted],
    stop: threading.Event,
    *,
    at: int,
    after: int,
    max_fee: int | None,
) -> None:
    """Claim until told to stop."""
    from steelyard.crypto.metering import Signer
    from steelyard.gateway.books import open_books
    from steelyard.gateway.claims import Claimer, Rules, run
    from steelyard.gateway.startup import books_place
    from steelyard.service.dispatch import open_outbox
    from steelyard.service.opening import find_index

    context, tell = session.market.context, teller(session)
    where = books_place(find_index(session.config, context.deployment))
    books = open_books(where, Signer(context.account.key), clock=context.settings.clock)
    try:
        with open_outbox(context) as outbox:
            offers = {item.id: item for hosted in wanted for item in hosted.offers}
            rules = Rules(at=at, after=after, max_fee=max_fee)
            claimer = Claimer(context, books, outbox, offers, rules, tell=tell)
            run(claimer, stop, every=5.0, tell=tell)
    finally:
        books.close()
