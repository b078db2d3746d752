"""``steelyard serve``: deliver keys, keep the index, answer over HTTP."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from steelyard.cli.context import Session
from steelyard.cli.options import Command, Parsed, with_session
from steelyard.cli.units import parse_duration
from steelyard.errors import InputError
from steelyard.service.serving import Event, Served

if TYPE_CHECKING:
    from collections.abc import Callable

    from steelyard.api.processes import Processes
    from steelyard.api.service import Options
    from steelyard.market import Market


@click.command("serve", cls=Command)
@click.option(
    "--ref", "refs", multiple=True, metavar="REF", help="Only this asset; repeatable. Else all of yours."
)
@click.option(
    "--interval",
    type=Parsed("duration", parse_duration),
    default="2s",
    show_default=True,
    help="Between two looks at the chain.",
)
@click.option(
    "--seed-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Seed of the seller, if another account pays.",
)
@click.option("--no-settle", is_flag=True, help="Only deliver; settle nothing.")
@click.option("--no-keys", is_flag=True, help="Deliver nothing; needs no account.")
@click.option("--no-index", is_flag=True, help="Another process keeps the index.")
@click.option("--no-http", is_flag=True, help="Do not answer over HTTP.")
@click.option("--http", metavar="ADDRESS", help="Listen here; else the setting http.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes that answer HTTP.",
)
@click.option(
    "--max-lag",
    type=Parsed("duration", parse_duration),
    default="1m",
    show_default=True,
    help="/readyz fails when the index is older.",
)
@click.option(
    "--rate",
    type=click.IntRange(0),
    default=300,
    show_default=True,
    help="Requests a minute of one address; 0 for any.",
)
@click.option(
    "--upload-rate",
    type=click.IntRange(0, 1 << 20),
    default=64,
    show_default=True,
    metavar="MIB",
    help="MiB a second that an account may upload; 0 for any.",
)
@click.option("--proxy", "proxies", multiple=True, metavar="ADDRESS", help="Believe its X-Forwarded-For.")
@click.option(
    "--confirmations",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Blocks before a webhook tells.",
)
@click.option("--accept-plaintext", is_flag=True, help="Take your own drafts of plaintext, over HTTP.")
@click.option("--allow-private-webhooks", is_flag=True, help="Webhooks may go to your own network.")
@with_session
def serve_command(
    session: Session,
    refs: tuple[str, ...],
    interval: int,
    seed_file: Path | None,
    no_settle: bool,
    no_keys: bool,
    no_index: bool,
    no_http: bool,
    http: str | None,
    workers: int,
    max_lag: int,
    rate: int,
    upload_rate: int,
    proxies: tuple[str, ...],
    confirmations: int,
    accept_plaintext: bool,
    allow_private_webhooks: bool,
) -> None:
    """Deliver keys, keep the index, serve HTTP.

    Delivers day and night: waits until a payment is deep enough, and never reveals a key close to its deadline. It
    may be killed at any time, and goes on where it was. What it does is told on stderr, with --json as JSON
    lines. Ends on SIGINT or SIGTERM, with exit code 0.

    Each part can be left out, so that several machines share the work over one PostgreSQL database. Without an
    account no keys are delivered. The seed of `account export --seed` opens what the seller sells, and cannot
    spend: a key service needs no other secret of his.
    """
    from steelyard.cli.accounts import read_key

    if no_keys and no_index and no_http:
        raise InputError("nothing is left to do: leave one of --no-keys, --no-index and --no-http away")
    if no_http and accept_plaintext:
        raise InputError("drafts come over HTTP: --accept-plaintext does not go with --no-http")
    if http is not None:
        session.take({"http": http})
    if seed_file is not None:
        session.seed = read_key(seed_file)
    keys = not no_keys
    if keys and not session.config.account and not session.accounts.names():
        if no_index and no_http:
            session.accounts.chosen()  # says what to do
        session.out.say("there is no account here, so no keys are delivered")
        keys = False
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    market = session.market if keys or accept_plaintext else session.reader
    tell = teller(session)
    with ExitStack() as stack:
        if not (no_index and no_http):
            from steelyard.api.service import Limits, Options

            options = Options(
                max_lag=max_lag,
                limits=Limits(per_minute=rate, upload=upload_rate),
                proxies=frozenset(proxies),
                accept_plaintext=accept_plaintext,
                allow_private_webhooks=allow_private_webhooks,
                confirmations=confirmations,
            )
            processes = _processes(
                session,
                market,
                options,
                tell,
                index=not no_index,
                workers=0 if no_http else workers,
                interval=interval,
            )
            stack.callback(processes.stop)
            processes.start()
        done = Served()
        if keys:
            from steelyard.service import serve

            done = serve.run(
                market,
                refs=refs,
                interval=float(max(interval, 1)),
                settle=not no_settle,
                stop=stop,
                on_event=tell,
            )
        else:
            stop.wait()
    session.out.result(
        done, [f"{done.delivered} delivered, {done.answered} key requests answered, {done.settled} settled"]
    )


def _processes(
    session: Session,
    market: Market,
    options: Options,
    tell: Callable[[Event], None],
    *,
    index: bool,
    workers: int,
    interval: int,
) -> Processes:
    """Return the processes of index and HTTP, after everything that can be found wrong at once."""
    from dataclasses import replace

    from steelyard.api.processes import Processes, of_service
    from steelyard.api.server import listen, url_of
    from steelyard.api.startup import Startup
    from steelyard.indexer.database import open_database
    from steelyard.indexer.market import claim
    from steelyard.service.opening import find_index, open_audit

    config, deployment = session.config, market.context.deployment
    where = find_index(config, deployment)
    if index:
        database = open_database(where)
        try:
            claim(database, deployment)  # so that those that only read find it
        finally:
            database.close()
    else:
        open_audit(where, deployment).close()
    opened = listen(config.http) if workers else None
    if opened is not None:
        url = url_of(opened)
        options = replace(options, public_url=(config.public_url or url).rstrip("/"))
        tell(Event(kind="listening", why=url))
    account = market.context.account if options.accept_plaintext else None
    first = Startup(
        kind="http",
        # Without where each value comes from; and what runs on this machine was looked up.
        config=replace(config, sources={}),
        options=options,
        json=session.as_json,
        quiet=session.out.quiet,
        key=None if account is None else account.key.reveal().hex(),
        seed=None if account is None else account.seed.reveal().hex(),
        interval=float(max(interval, 1)),
    )
    wanted = of_service(first, opened=opened, workers=workers, index=index)
    return Processes(wanted, tell=lambda kind, why: tell(Event(kind=kind, why=why)))


def teller(session: Session) -> Callable[[Event], None]:
    """Return what tells of a service's events on stderr, as JSON lines if that is wanted."""

    def tell(event: Event) -> None:
        if session.as_json:
            session.out.say(event.line(at=time.time()))
            return
        about = f"  0x{event.id.hex()[:12]}" if event.id else ""
        session.out.say(f"{time.strftime('%H:%M:%S')}  {event.kind:10}{about}  {event.why}".rstrip())

    return tell
