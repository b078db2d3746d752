"""``steelyard up``, ``down`` and ``status``: a market on this machine, or a deployment elsewhere."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from steelyard import config as settings
from steelyard.cli.context import Session
from steelyard.cli.options import Command, Parsed, sends, with_session
from steelyard.cli.output import pairs, table
from steelyard.domain.money import format_native, parse_native
from steelyard.errors import ChainError, ConfigError, RefusedError, UnavailableError, VerificationError

if TYPE_CHECKING:
    from steelyard.chain.deployment import Deployment
    from steelyard.chain.rpc import Rpc
    from steelyard.cli.accounts import Accounts
    from steelyard.config import Config
    from steelyard.crypto.secret import Secret

DEV_ACCOUNTS: Final = ("alice", "bob", "carol")
_FUNDS: Final = 1000 * 10**18
_READY_SECONDS: Final = 40.0
_STOP_SECONDS: Final = 30.0


@click.command("up", cls=Command)
@click.option(
    "--dev", is_flag=True, help=f"Make and fund {', '.join(DEV_ACCOUNTS)}; development chains only."
)
@click.option(
    "--block-time",
    type=click.FloatRange(0.01),
    metavar="SECONDS",
    help="Of the local chain; else one per transaction.",
)
@click.option("--min-bond", type=Parsed("amount", parse_native), help="Least bond, if a market is deployed.")
@sends
@with_session
def up_command(
    session: Session, dev: bool, block_time: float | None, min_bond: int | None, dry_run: bool, yes: bool
) -> None:
    """Start a chain, a store and a market here.

    Runs in the background until `down`; what was there before is there again. With --rpc URL it uses that
    chain instead of anvil, and the account pays for the deployment, if there is none yet.
    """
    from steelyard.cli import keeper

    config = session.config
    given = config.rpc if config.sources["rpc"] not in ("default", "steelyard up") else None
    if dry_run:
        _explain(session, given)
        return
    found = None
    if given is not None:  # before anything is started, for the question may be answered with no
        found = _market(session, given, min_bond=min_bond, foreign=True, yes=yes)
    if keeper.running(config.home) is None:
        _start(session, config, chain=given is None, block_time=block_time)
    run = _wait_ready(config.home)
    url = given or str(run.get("rpc") or "")
    if not url:
        raise RefusedError(
            "what runs here was started with --rpc: `steelyard down` first, or give --rpc again"
        )
    deployment, fresh = found or _market(session, url, min_bond=min_bond, foreign=False, yes=yes)
    _remember(config, url, deployment)
    made = _make_accounts(session, url, deployment.chain_id) if dev else []
    session.out.say("Deployed a new market." if fresh else "The market was there already.")
    _report(session, run, url, deployment, made)
    if not session.accounts.names():
        session.out.say("Next: `steelyard account create NAME`, or `steelyard up --dev` for funded ones.")


@click.command("down", cls=Command)
@click.option("--purge", is_flag=True, help="Forget the local chain and what was pulled from it too.")
@sends
@with_session
def down_command(session: Session, purge: bool, dry_run: bool, yes: bool) -> None:
    """Stop what `up` started.

    Chain, store and accounts stay on the disk, and the next `up` goes on with them. --purge removes the local
    chain's state and the journals of its market; accounts and the store always stay.
    """
    from steelyard.cli import keeper

    home = session.config.home
    run = keeper.running(home)
    if dry_run:
        session.out.result(
            {"running": run is not None, "dry_run": True},
            ["would stop" if run is not None else "nothing runs"],
        )
        return
    if purge:
        session.confirm("Forget the local chain?", [f"home {home}"], yes=yes)
    if run is not None:
        _stop(home, _wait_ready(home))
    (home / settings.LOCAL_FILE).unlink(missing_ok=True)
    if purge:
        _purge(home)
    session.out.result(
        {"stopped": run is not None, "purged": purge},
        ["stopped" if run is not None else "nothing was running"],
    )


@click.command("status", cls=Command)
@with_session
def status_command(session: Session) -> None:
    """Show what runs and where."""
    from steelyard.cli import keeper

    config = session.config
    run = keeper.running(config.home)
    height = None
    if config.rpc is not None:
        try:
            height = _height(config)
        except UnavailableError as exc:
            session.out.warn(str(exc))
    document = {
        "running": run is not None,
        "rpc": settings.shown(config, "rpc"),
        "chain_id": config.chain_id,
        "block": height,
        "store": settings.shown(config, "store"),
        "store_url": (run or {}).get("store_url"),
        "home": config.home,
        "accounts": session.accounts.names(),
    }
    lines = pairs(
        [
            ("local", "running" if run is not None else "not running: `steelyard up`"),
            ("chain", f"{settings.shown(config, 'rpc')}" if config.rpc else "none"),
            ("block", "" if height is None else str(height)),
            ("store", str(settings.shown(config, "store"))),
            ("store RPC", str((run or {}).get("store_url") or "")),
            ("home", str(config.home)),
            ("accounts", ", ".join(session.accounts.names()) or "none"),
        ]
    )
    session.out.result(document, lines)


# -- processes -----------------------------------------------------------------------------------------------


def _start(session: Session, config: Config, *, chain: bool, block_time: float | None) -> None:
    from steelyard.chain.node import find_anvil
    from steelyard.cli import keeper

    # Without the current folder on the path, which -m would put first: a checkout must not replace our
    # modules.
    command = [sys.executable, "-P", "-m", "steelyard.cli.keeper", "--home", str(config.home)]
    if chain:
        command += ["--anvil", str(find_anvil(configured=config.anvil))]
        command += ["--chain-id", str(config.chain_id or 31_337)]
        command += [] if block_time is None else ["--block-time", str(block_time)]
    if "://" not in config.store:
        command += ["--store", config.store]
    log = keeper.folder(config.home) / keeper.LOG_FILE
    session.out.say("Starting ...")
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )
    _wait_ready(config.home, process)


def _wait_ready(home: Path, process: subprocess.Popen[bytes] | None = None) -> dict[str, object]:
    from steelyard.cli import keeper

    end = time.monotonic() + _READY_SECONDS
    while time.monotonic() < end:
        found = keeper.running(home)
        # What a killed one wrote may still lie there for a moment after the new one took the lock.
        if found and (process is None or found.get("pid") == process.pid):
            return found
        if (process is not None and process.poll() is not None) or (process is None and found is None):
            break
        time.sleep(0.05)
    log = home / keeper.FOLDER / keeper.LOG_FILE
    told = log.read_text(errors="replace").strip()[-300:] if log.exists() else ""
    raise ChainError(f"the local market did not start: {told or 'no reason given'}\nIts log is {log}.")


def _stop(home: Path, run: dict[str, object]) -> None:
    from steelyard.cli import keeper

    pid = run.get("pid")
    if not isinstance(pid, int) or pid <= 1:
        raise ConfigError(f"{home / keeper.FOLDER / keeper.RUN_FILE} does not name a process")
    # The lock was held a moment ago by the process that wrote this id.
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + _STOP_SECONDS
    while keeper.running(home) is not None:
        if time.monotonic() > end:
            raise UnavailableError(
                f"process {pid} does not stop; look at {home / keeper.FOLDER / keeper.LOG_FILE}"
            )
        time.sleep(0.05)


def _purge(home: Path) -> None:
    from steelyard.chain.deployment import Deployment
    from steelyard.cli import keeper

    for state in (home / keeper.FOLDER).glob("chain-*"):
        chain_id = state.name.removeprefix("chain-")
        record = home / "deployments" / f"{chain_id}.json"
        if record.exists():
            directory = Deployment.load(record).directory
            shutil.rmtree(home / "markets" / f"{chain_id}-{directory.hex()}", ignore_errors=True)
            record.unlink()
        shutil.rmtree(state)


# -- the market ----------------------------------------------------------------------------------------------


def _market(
    session: Session, url: str, *, min_bond: int | None, foreign: bool, yes: bool
) -> tuple[Deployment, bool]:
    """Return the market on a chain, and whether it was deployed just now."""
    from steelyard.chain import deploy
    from steelyard.chain.deployment import Deployment
    from steelyard.chain.rpc import Rpc
    from steelyard.service.opening import ask_chain_id, record_path

    config = session.config
    chain_id = ask_chain_id(_at(config, url))
    if foreign and config.chain_id not in (None, chain_id):
        raise ChainError(
            f"{settings.shown_url(url)} serves chain {chain_id}, and the settings say {config.chain_id}"
        )
    path = (config.deployment if foreign else None) or record_path(config, chain_id)
    with Rpc(url, chain_id=chain_id, timeout=config.timeout) as rpc:
        if path.exists():
            deployment = Deployment.load(path)
            try:
                deploy.verify(rpc, deployment)
                return deployment, False
            except VerificationError:
                if foreign or any(rpc.get_code(item.address) for item in deployment.contracts.values()):
                    raise
                session.out.warn("the local chain has forgotten its market; deploying a new one")
        bond = min_bond if min_bond is not None else deploy.DISPUTE_GAS * _gas_price(rpc)
        key = _payer(session, rpc, bond, foreign=foreign, yes=yes)
        deployment = _deploy(session, rpc, key, bond)
    deployment.save(path)
    return deployment, True


def _payer(session: Session, rpc: Rpc, bond: int, *, foreign: bool, yes: bool) -> Secret:
    from steelyard.crypto.secret import Secret

    if not foreign:
        # Used once, and forgotten: on a chain of our own anybody can be given money.
        key = Secret(b"\0" + secrets.token_bytes(31))
        _fund(rpc, _address(key))
        return key
    gas = deployment_gas()
    facts = [
        f"chain     {rpc.chain_id} at {rpc.name}",
        f"gas       about {gas:,} gas, {format_native(gas * _gas_price(rpc))}",
        f"min bond  {format_native(bond)}, fixed for ever",
    ]
    account = session.accounts.unlock(session.accounts.chosen())
    session.confirm("Deploy a market here?", facts, yes=yes)
    return account.key


def deployment_gas() -> int:
    """Return about how much gas a deployment takes, by the size of the code: parts cannot be simulated."""
    from steelyard.chain.artifacts import CONTRACTS, artifact

    return sum(53_000 + 216 * len(artifact(name).creation) for name in CONTRACTS)


def _deploy(session: Session, rpc: Rpc, key: Secret, bond: int) -> Deployment:
    from steelyard.chain import deploy
    from steelyard.chain.hexdata import checksum_address
    from steelyard.chain.sender import Sender

    session.out.say("Deploying ...")
    limit = session.config.max_fee
    sender = Sender(rpc, key.reveal) if limit is None else Sender(rpc, key.reveal, max_fee=limit)
    return deploy.deploy(
        sender,
        min_bond=bond,
        told=lambda name, address: session.out.say(f"  {name:12}  {checksum_address(address)}"),
    )


def _remember(config: Config, url: str, deployment: Deployment) -> None:
    from steelyard.service.files import private_folder, write_private
    from steelyard.service.opening import record_path

    private_folder(config.home)
    record = {"rpc": url, "chain_id": deployment.chain_id}
    default = record_path(config, deployment.chain_id)
    if config.deployment is not None and config.deployment != default:
        record["deployment"] = str(config.deployment)
    write_private(config.home / settings.LOCAL_FILE, json.dumps(record).encode() + b"\n", replace=True)


def _report(
    session: Session, run: dict[str, object], url: str, deployment: Deployment, made: list[tuple[str, str]]
) -> None:
    from steelyard.chain.hexdata import checksum_address
    from steelyard.service.opening import record_path

    record = session.config.deployment or record_path(session.config, deployment.chain_id)
    document = {
        "rpc": settings.shown_url(url),
        "chain_id": deployment.chain_id,
        "market": deployment.market,
        "directory": deployment.directory,
        "deployment": record,
        "store_url": run.get("store_url"),
        "accounts": [{"name": name, "address": address} for name, address in made],
    }
    lines = pairs(
        [
            ("chain", f"{deployment.chain_id} at {settings.shown_url(url)}"),
            ("market", checksum_address(deployment.market)),
            ("directory", checksum_address(deployment.directory)),
            ("record", str(record)),
            ("store RPC", str(run.get("store_url") or "")),
        ]
    )
    if made:
        lines += ["", *table(("ACCOUNT", "ADDRESS"), made)]
    session.out.result(document, lines)


def _explain(session: Session, given: str | None) -> None:
    from steelyard.cli import keeper

    runs = keeper.running(session.config.home) is not None
    where = f"on {settings.shown_url(given)}" if given else "on a local chain"
    text = f"would {'use what runs' if runs else 'start a store' + ('' if given else ' and a chain')}, and deploy {where} if needed"
    session.out.result({"dry_run": True, "running": runs, "gas": deployment_gas()}, [text])
    session.out.say(f"gas  about {deployment_gas():,} if a market is deployed")


# -- development chains --------------------------------------------------------------------------------------


def _make_accounts(session: Session, url: str, chain_id: int) -> list[tuple[str, str]]:
    from steelyard.chain.hexdata import checksum_address
    from steelyard.chain.rpc import Rpc
    from steelyard.service.context import DEVELOPMENT_CHAINS

    if chain_id not in DEVELOPMENT_CHAINS:
        raise RefusedError(
            f"chain {chain_id} is no development chain: --dev makes accounts with quick keystores"
        )
    accounts: Accounts = session.accounts
    made = []
    with Rpc(url, chain_id=chain_id, timeout=session.config.timeout) as rpc:
        for name in DEV_ACCOUNTS:
            known = name in accounts.names()
            address = accounts.address(name) if known else accounts.add(name, remember=True)
            if rpc.get_balance(address) < _FUNDS // 10:
                _fund(rpc, address)
            made.append((name, checksum_address(address)))
    return made


def _fund(rpc: Rpc, address: bytes) -> None:
    from steelyard.chain.hexdata import quantity, to_hex
    from steelyard.errors import RpcError

    try:
        rpc.call("anvil_setBalance", (to_hex(address), quantity(_FUNDS)))
        return
    except RpcError:
        pass  # not anvil: geth --dev has an unlocked, funded account
    unlocked = rpc.call("eth_accounts")
    if not isinstance(unlocked, list) or not unlocked:
        raise RefusedError("this chain gives money to nobody: fund an account, and choose it with --account")
    rpc.call(
        "eth_sendTransaction", ({"from": unlocked[0], "to": to_hex(address), "value": quantity(_FUNDS)},)
    )
    end = time.monotonic() + _READY_SECONDS
    while rpc.get_balance(address) < _FUNDS:  # type: ignore[arg-type]  # 20 bytes
        if time.monotonic() > end:
            raise ChainError("the chain's own account did not pay in time")
        time.sleep(0.1)


def _address(key: Secret) -> bytes:
    from steelyard.service.account import Account

    return Account.from_key(key).address


def _gas_price(rpc: Rpc) -> int:
    from steelyard.chain.hexdata import read_quantity

    return max(10**9, read_quantity(rpc.call("eth_gasPrice"), "gas price"))


def _height(config: Config) -> int:
    from steelyard.chain.rpc import Rpc
    from steelyard.service.opening import ask_chain_id, endpoint

    chain_id = config.chain_id or ask_chain_id(config)
    with Rpc(endpoint(config), chain_id=chain_id, timeout=min(5, config.timeout), attempts=1) as rpc:
        return rpc.block_number()


def _at(config: Config, url: str) -> Config:
    from dataclasses import replace

    return replace(config, rpc=url)
