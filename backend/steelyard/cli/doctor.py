"""``steelyard doctor``: checks what everything else depends on, and says what to do."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from steelyard import config as settings
from steelyard.cli.context import Session
from steelyard.cli.exits import Exit
from steelyard.cli.options import Command, with_session
from steelyard.config import Config
from steelyard.errors import SteelyardError, UnavailableError

if TYPE_CHECKING:
    from steelyard.chain.deployment import Deployment

_DRIFT = 120


@dataclass(frozen=True)
class Check:
    """What came out of one check.

    Attributes:
        name: what was looked at.
        state: ``ok``, ``warn`` or ``fail``.
        found: what was found.
        advice: what to do; empty if nothing.
    """

    name: str
    state: str
    found: str
    advice: str = ""


@click.command("doctor", cls=Command)
@with_session
def doctor_command(session: Session) -> int:
    """Check everything, and say what to do.

    Settings, endpoint, chain id, contracts, store, clock, and who can read the keystores. Exit code 6 if a
    check fails.
    """
    found = []
    for check in checks(session):
        found.append(check)
        session.out.say(f"{check.state:4}  {check.name:10}  {check.found}", style=_style(check))
        if check.advice:
            session.out.say(f"{'':18}{check.advice}")
    failed = [check for check in found if check.state == "fail"]
    session.out.result(
        {"ok": not failed, "checks": found},
        [f"{len(found) - len(failed)} of {len(found)} checks passed" + (": see above" if failed else "")],
    )
    return Exit.UNAVAILABLE if failed else Exit.OK


def checks(session: Session) -> Iterator[Check]:
    """Run the checks in an order in which each needs only those before it."""
    config = session.config
    yield Check("settings", "ok", f"home {config.home}")
    yield from _keystores(session)
    yield from _stores(config)
    if config.rpc is None:
        yield Check("chain", "fail", "none is configured", "run `steelyard up`, or set rpc")
        return
    chain = _try(
        "chain",
        lambda: _chain(config),
        f"is the endpoint right, and does it run? rpc is from {config.sources['rpc']}",
    )
    yield chain
    if chain.state == "fail":
        return
    from steelyard.service.opening import find_deployment

    try:
        deployment = find_deployment(config)
    except SteelyardError as exc:
        yield Check("market", "fail", str(exc), "")
        return
    yield _try(
        "market",
        lambda: _market(config, deployment),
        "another chain, or other code: check --rpc and --deployment",
    )
    yield _try(
        "clock", lambda: _clock(config, deployment), "set this machine's clock: deadlines are judged by it"
    )


def _style(check: Check) -> str:
    return {"ok": "green", "warn": "yellow", "fail": "red"}[check.state]


def _try(name: str, run: Callable[[], Check], advice: str) -> Check:
    try:
        return run()
    except SteelyardError as exc:
        return Check(name, "fail", str(exc), advice)


def _keystores(session: Session) -> Iterator[Check]:
    from steelyard.cli.accounts import is_private

    accounts = session.accounts
    names = accounts.names()
    if not names:
        yield Check("accounts", "warn", "there are none", "steelyard account create NAME")
        return
    folder = accounts.path(names[0]).parent
    candidates: list[Path] = [session.config.home, folder, *folder.iterdir()]
    if session.config.password_file is not None and session.config.password_file.exists():
        candidates.append(session.config.password_file)
    open_to_others = [path for path in candidates if not is_private(path)]
    if open_to_others:
        listed = shlex.join(str(path) for path in open_to_others)
        yield Check(
            "accounts", "fail", f"{len(open_to_others)} files can be read by others", f"chmod go= {listed}"
        )
    else:
        yield Check("accounts", "ok", f"{', '.join(names)}; private")


def _stores(config: Config) -> Iterator[Check]:
    yield _store(config.store, config.sources["store"])
    for place in config.store_more:
        yield _store(place, config.sources["store_more"])
    for url in config.gateways:
        yield _gateway(url, config.sources["gateways"])


def _store(place: str, source: str) -> Check:
    from steelyard.service.opening import open_place
    from steelyard.storage.embedded import EmbeddedStore

    if "://" not in place and not Path(place).exists():
        return Check("store", "ok", f"{place}, made when it is first used")

    def run() -> Check:
        with open_place(place) as store:
            if isinstance(store, EmbeddedStore):
                blocks, size = store.usage()
                return Check("store", "ok", f"{place}: {blocks} blocks, {size:,} bytes")
            version = store.version()  # type: ignore[attr-defined]  # the other kind is Kubo
            return Check("store", "ok", f"{settings.shown_url(place)}: Kubo RPC {version}")

    return _try("store", run, f"is it running, and yours? it is from {source}")


def _gateway(url: str, source: str) -> Check:
    from steelyard.service.opening import open_gateway

    def run() -> Check:
        with open_gateway(url) as gateway:
            gateway.probe()
            return Check("gateway", "ok", f"{gateway.name}: a trustless gateway")

    return _try("gateway", run, f"is it running? it is from {source}")


def _chain(config: Config) -> Check:
    from steelyard.service.opening import ask_chain_id, endpoint

    chain_id, name = ask_chain_id(config), settings.shown_url(endpoint(config))
    if config.chain_id not in (None, chain_id):
        raise UnavailableError(f"{name} serves chain {chain_id}, and the settings say {config.chain_id}")
    return Check("chain", "ok", f"{chain_id} at {name}")


def _market(config: Config, deployment: Deployment) -> Check:
    from steelyard.chain import deploy
    from steelyard.chain.hexdata import checksum_address
    from steelyard.chain.rpc import Rpc
    from steelyard.service.opening import endpoint

    with Rpc(endpoint(config), chain_id=deployment.chain_id, timeout=config.timeout, attempts=1) as rpc:
        deploy.verify(rpc, deployment)
    return Check("market", "ok", f"{checksum_address(deployment.market)}, this package's code")


def _clock(config: Config, deployment: Deployment) -> Check:
    from steelyard.chain.rpc import Rpc
    from steelyard.cli.units import format_duration
    from steelyard.service.opening import endpoint

    with Rpc(endpoint(config), chain_id=deployment.chain_id, timeout=config.timeout, attempts=1) as rpc:
        ahead = rpc.get_block("latest").timestamp - int(time.time())
    if ahead > _DRIFT:
        return Check(
            "clock", "fail", f"{format_duration(ahead)} behind the newest block", "set this machine's clock"
        )
    if ahead < -_DRIFT:
        # Automining chains make no blocks while nothing happens, so this alone is no fault.
        return Check("clock", "ok", f"the newest block is {format_duration(-ahead)} old")
    return Check("clock", "ok", "agrees with the newest block")
