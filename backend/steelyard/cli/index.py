"""``steelyard index``: the database that answers audit questions, built from the chain and kept up to date."""

from __future__ import annotations

import json
import signal
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from steelyard.cli.context import Session
from steelyard.cli.options import Command, with_session
from steelyard.errors import DatabaseError, InputError

if TYPE_CHECKING:
    from steelyard.chain.deployment import Deployment
    from steelyard.indexer.database import Database
    from steelyard.indexer.follow import Cursor
    from steelyard.indexer.run import Report

_EVERY = 0.5
"""Seconds between two lines of progress."""


@click.command("index", cls=Command)
@click.option("--from-scratch", is_flag=True, help="Throw the index away first, and build it again.")
@click.option("--once", is_flag=True, help="End when the newest block is in it.")
@click.option("--hash", "only_hash", is_flag=True, help="Print the content hash; write nothing.")
@click.option("--check", "only_check", is_flag=True, help="Check the database against its own entries.")
@click.option("--database", help="A file or postgresql:// URL; else the setting.")
@with_session
def index_command(
    session: Session, from_scratch: bool, once: bool, only_hash: bool, only_check: bool, database: str | None
) -> None:
    """Keep the index up to date, which answers audit questions.

    Reads the chain from the market's first block on, proves what it read against the heads in the contracts, and
    follows new blocks until SIGINT or SIGTERM, with exit code 0. Several may run on one database: one writes, the
    others take over when it dies. The database holds nothing that the chain does not say: deleted, it is built
    again, equal to the hash that --hash prints. Exit code 5 if every endpoint hides an entry.
    """
    from steelyard.service.opening import find_deployment, find_index

    if only_hash + only_check + (from_scratch or once) > 1:
        raise InputError("--hash, --check and building the index go one at a time")
    config = session.config if database is None else replace(session.config, database=database)
    deployment = find_deployment(config)
    where = find_index(config, deployment)
    if only_hash:
        _print_hash(session, where)
    elif only_check:
        _check(session, where, deployment)
    else:
        _build(session, where, deployment, from_scratch=from_scratch, once=once)


def _print_hash(session: Session, where: str | Path) -> None:
    from steelyard.indexer.content import content_hash
    from steelyard.indexer.database import open_database
    from steelyard.indexer.follow import cursor_of

    database = open_database(where, readonly=True)
    try:
        with database.read() as reader:
            at, found = cursor_of(reader), content_hash(reader)
    finally:
        database.close()
    session.out.result({**_place(at), "contentHash": "0x" + found.hex()}, ["0x" + found.hex()])


def _check(session: Session, where: str | Path, deployment: Deployment) -> None:
    from steelyard.indexer.database import open_database
    from steelyard.indexer.market import require
    from steelyard.indexer.verify import check

    database = open_database(where, readonly=True)
    try:
        require(database, deployment)
        found = check(database, deployment)
    finally:
        database.close()
    session.out.result(
        {**_place(found.at), "entries": found.entries, "contentHash": "0x" + found.content_hash.hex()},
        [f"intact: {found.entries:,} entries, content hash 0x{found.content_hash.hex()}"],
    )


def _build(
    session: Session, where: str | Path, deployment: Deployment, *, from_scratch: bool, once: bool
) -> None:
    from steelyard.chain.rpc import Rpc
    from steelyard.indexer.run import Indexer
    from steelyard.service.cards import CardKeeper
    from steelyard.service.opening import endpoint, open_store

    config = session.config
    stop = threading.Event()
    with ExitStack() as stack:
        database = _open(where, from_scratch=from_scratch)
        stack.callback(database.close)
        urls = (endpoint(config), *config.rpc_more)
        rpcs = [
            stack.enter_context(Rpc(url, chain_id=deployment.chain_id, timeout=config.timeout))
            for url in urls
        ]
        talk = _Talk(session)
        indexer = Indexer(database, rpcs, deployment, tell=talk)
        cards = CardKeeper(database, open_store(config))
        if once:
            try:
                indexer.catch_up()
                while cards.step():
                    pass
            finally:
                talk.wipe()
                indexer.release()
            at, found = indexer.content_hash()
            session.out.result(
                {**_place(at), "entries": talk.entries, "contentHash": "0x" + found.hex()},
                [f"complete to block {-1 if at is None else at.number}: {talk.entries:,} entries read"],
            )
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        session.out.say(f"following the chain into {database.name}")
        fetching = threading.Thread(target=cards.run, args=(stop,))
        fetching.start()
        stack.callback(fetching.join)
        stack.callback(stop.set)
        indexer.run(stop)
        talk.wipe()


def _open(where: str | Path, *, from_scratch: bool) -> Database:
    from steelyard.indexer.database import open_database

    try:
        database = open_database(where)
        if from_scratch:
            database.clear()
        return database
    except DatabaseError:
        # What cannot be opened cannot be emptied; a file can be replaced.
        if not from_scratch or not isinstance(where, Path) and "://" in where:
            raise
    for suffix in ("", "-wal", "-shm"):
        Path(str(where) + suffix).unlink(missing_ok=True)
    return open_database(where)


def _place(at: Cursor | None) -> dict[str, object]:
    if at is None:
        return {"block": None, "hash": None, "time": None}
    return {"block": at.number, "hash": "0x" + at.hash.hex(), "time": at.time}


class _Talk:
    """Tells on stderr what happens: progress on one line of a terminal, the rest as lines; with ``--json`` JSON lines."""

    def __init__(self, session: Session) -> None:
        self.entries = 0
        self._out = session.out
        self._drawn = 0
        self._next = 0.0

    def __call__(self, report: Report) -> None:
        from steelyard.indexer.run import Fault, Progress, Undone

        match report:
            case Progress():
                self.entries = report.entries
                now = time.monotonic()
                if now >= self._next or report.block == report.target:
                    self._next = now + _EVERY
                    self._progress(report.block, report.target, report.entries, report.rate, report.left)
            case Undone():
                self._line(
                    {"event": "undone", "block": report.block, "entries": report.entries},
                    f"blocks were replaced: {report.entries:,} entries above block {report.block} are undone",
                )
            case Fault():
                kind = type(report.error).__name__
                text = str(report.error)
                self._line(
                    {"event": "fault", "endpoint": report.endpoint, "kind": kind, "message": text},
                    f"{report.endpoint}: {text}",
                )
            case _:
                self._line({"event": "proved", "block": report.block, "subjects": report.subjects}, "")

    def wipe(self) -> None:
        """Remove the line of progress."""
        if self._drawn:
            self._out.err.write("\r" + " " * self._drawn + "\r")
            self._out.err.flush()
            self._drawn = 0

    def _progress(self, block: int, target: int, entries: int, rate: float, left: float | None) -> None:
        if self._out.as_json:
            seconds = None if left is None else round(left)
            event = {"event": "progress", "block": block, "target": target, "entries": entries}
            self._out.say(json.dumps({**event, "rate": round(rate), "secondsLeft": seconds}))
            return
        if not self._out.live:
            return
        rest = "" if left is None else f", {_duration(left)} left"
        line = f"block {block:,} of {target:,}  {entries:,} entries, {rate:,.0f}/s{rest}"
        self._out.err.write("\r" + line.ljust(self._drawn))
        self._out.err.flush()
        self._drawn = max(self._drawn, len(line))

    def _line(self, event: dict[str, object], text: str) -> None:
        self.wipe()
        if self._out.as_json:
            self._out.say(json.dumps(event))
        elif text:
            self._out.say(text)


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 6000 else f"{whole // 3600} h"
