"""``steelyard audit``: the trail of an asset, shown, exported, and verified without trusting anybody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from steelyard.cli.context import Session
from steelyard.cli.options import Group, with_session
from steelyard.cli.output import pairs, short, table
from steelyard.cli.units import count, format_time
from steelyard.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from steelyard.audit.build import Build
    from steelyard.config import Config
    from steelyard.domain.types import Address

_SUFFIX = {"bundle": ".bundle.json", "csv": ".csv", "jsonl": ".jsonl", "prov": ".prov.json"}
_MAX_BUNDLE = 1 << 30


@click.group("audit", cls=Group)
def audit_command() -> None:
    """Show, export and verify a trail.

    A trail is the complete history of an asset and its revenue, checked against the heads that the contracts
    keep.
    """


@audit_command.command("trail")
@click.argument("ref")
@with_session
def trail(session: Session, ref: str) -> None:
    """Show the verified history of an asset."""
    found = session.reader.trail(ref)
    rows = [
        (str(event.block), format_time(event.time), event.name, short(event.actor), short(event.id))
        for event in found
    ]
    session.out.result(found, table(("BLOCK", "TIME", "EVENT", "ACTOR", "ABOUT"), rows))
    session.out.say(f"{len(found)} entries, verified against the heads on the chain.")


@audit_command.command("export")
@click.argument("ref")
@click.option(
    "--format",
    "form",
    type=click.Choice(list(_SUFFIX)),
    default="bundle",
    show_default=True,
    help="Only a bundle can be verified.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write; else by the asset's name.",
)
@with_session
def export(session: Session, ref: str, form: str, output: Path | None) -> None:
    """Write the verified history of an asset to a file.

    The last line on stdout is the path.
    """
    target = output or Path(ref.partition("@")[0].rpartition("/")[2] + _SUFFIX[form])
    path = session.reader.export(ref, target, format=form)  # type: ignore[arg-type]  # click checked the choice
    session.out.result({"ref": ref, "format": form, "path": path}, [str(path)])


@audit_command.command("verify")
@click.argument("bundle", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--directory", metavar="ADDRESS", help="The market's Directory; else the deployment record's.")
@click.option(
    "--block-hash", metavar="HASH", help="Of the block it is complete to; else the endpoint is asked."
)
@click.option("--trail", "show", is_flag=True, help="Print the entries too.")
@with_session
def verify(session: Session, bundle: Path, directory: str | None, block_hash: str | None, show: bool) -> None:
    """Verify a bundle, on a machine without network.

    You bring chain id, Directory and block hash, from somewhere that you trust: by --chain-id, --directory
    and --block-hash, or by your own deployment record and endpoint. Exit code 5 if an entry is missing,
    added, altered or re-ordered.
    """
    from steelyard.audit.history import history
    from steelyard.audit.verify import Anchors
    from steelyard.audit.verify import verify as verify_bundle

    config = session.config
    if bundle.stat().st_size > _MAX_BUNDLE:
        raise InputError(f"{bundle} is too large for a bundle")
    data = bundle.read_bytes()
    chain_id, address = _market(config, directory)
    anchors = Anchors(
        chain_id=chain_id,
        directory=address,
        block_hash=_hash(block_hash) if block_hash else _ask_hash(config, chain_id, data),
        builds=shipped_builds(),
    )
    verified = verify_bundle(data, anchors=anchors)
    events = history(verified)
    lines = pairs(
        [
            ("ok", verified.statement),
            ("asset", f"eip155:{verified.chain_id}, 0x{verified.asset.hex()}"),
            ("entries", f"{len(events)}, in {count(len(verified.contracts), 'contract')}"),
            ("time", format_time(verified.block.timestamp)),
        ]
    )
    if show:
        rows = [(str(e.block), format_time(e.time), e.name, short(e.actor), short(e.id)) for e in events]
        lines += ["", *table(("BLOCK", "TIME", "EVENT", "ACTOR", "ABOUT"), rows)]
    document = {
        "verified": True,
        "statement": verified.statement,
        "chain_id": verified.chain_id,
        "asset": verified.asset,
        "block": verified.block.number,
        "block_hash": verified.block.hash,
        "entries": events if show else len(events),
    }
    session.out.result(document, lines)


def shipped_builds() -> Mapping[str, Build]:
    """Return the builds that this package ships, by name."""
    from importlib.resources import files

    from steelyard.audit.build import load
    from steelyard.chain.artifacts import CONTRACTS

    folder = files("steelyard.chain") / "abi"
    return {name: load(json.loads((folder / f"{name}.json").read_bytes())) for name in CONTRACTS}


def _market(config: Config, directory: str | None) -> tuple[int, Address]:
    from steelyard.chain.hexdata import parse_address
    from steelyard.service.opening import find_deployment

    if directory is None:
        deployment = find_deployment(config)
        return deployment.chain_id, deployment.directory
    if config.chain_id is None:
        raise InputError("--directory needs --chain-id too: an address means nothing without its chain")
    return config.chain_id, parse_address(directory)


def _hash(text: str) -> bytes:
    try:
        value = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        value = b""
    if len(value) != 32:
        raise InputError(f"{text!r} is no block hash: 0x and 64 hexadecimal digits")
    return value


def _ask_hash(config: Config, chain_id: int, data: bytes) -> bytes:
    from steelyard.audit import bundle, header
    from steelyard.chain.rpc import Rpc

    if config.rpc is None:
        raise InputError(
            "give --block-hash, of the block that the bundle is complete to, or an endpoint to ask: --rpc"
        )
    number = header.parse(bundle.parse(data).header).number
    with Rpc(config.rpc, chain_id=chain_id, timeout=config.timeout) as rpc:
        try:
            return rpc.get_block(number).hash
        except NotFoundError as exc:
            raise NotFoundError(
                f"{rpc.name} has no block {number}, to which the bundle claims to be complete"
            ) from exc
