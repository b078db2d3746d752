"""``steelyard audit``: the trail of an asset, shown, exported, and verified without trusting anybody; and questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from steelyard.cli import questions
from steelyard.cli.context import Session
from steelyard.cli.options import Group, with_session
from steelyard.cli.output import pairs, short, table
from steelyard.cli.units import count, format_time
from steelyard.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from steelyard.audit.build import Build
    from steelyard.config import Config
    from steelyard.domain.types import Address
    from steelyard.query.audit import ListQuery

_SUFFIX = {"bundle": ".bundle.json", "csv": ".csv", "jsonl": ".jsonl", "prov": ".prov.json"}
_MAX_BUNDLE = 1 << 30
_LISTS = (
    *("events", "payments", "purchases", "offers", "versions", "holders", "obligations", "assets"),
    *("metered-offers", "channels"),
)
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group("audit", cls=Group)
def audit_command() -> None:
    """Show, export and verify a trail, or ask the index.

    A trail is the complete history of an asset and its revenue, checked against the heads that the contracts
    keep. Questions across assets are answered by the index, which `steelyard index` keeps; each answer says up
    to which block it is complete.
    """


for _command in questions.COMMANDS:
    audit_command.add_command(_command)


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
@click.argument("ref", required=False)
@click.option("--format", "form", type=click.Choice(list(_SUFFIX)), help="Else bundle, and of a list jsonl.")
@click.option(
    "--list",
    "what",
    type=click.Choice(_LISTS),
    metavar="LIST",
    help=f"A list of the index, not the history: {', '.join(_LISTS)}.",
)
@click.option("--proofs", is_flag=True, help="Write the bundle too, for `audit verify`.")
@click.option("-o", "--output", type=_FILE, help="File to write; else by the asset's name.")
@with_session
def export(
    session: Session, ref: str | None, form: str | None, what: str | None, proofs: bool, output: Path | None
) -> None:
    """Write the verified history of an asset to a file.

    Or, with --list, a whole list of the index: of one asset, or without REF of all. The first record says up to
    which block it is complete. With --proofs the bundle is written beside it, as FILE.bundle.json. The last line
    on stdout is the path.
    """
    if what is not None:
        _export_list(session, ref, form or "jsonl", what, proofs, output)
        return
    if ref is None:
        raise InputError("a history is of one asset: give REF, or a --list")
    form = form or "bundle"
    target = output or Path(ref.partition("@")[0].rpartition("/")[2] + _SUFFIX[form])
    path = session.reader.export(ref, target, format=form, proofs=proofs)  # type: ignore[arg-type]  # click checked
    session.out.result({"ref": ref, "format": form, "path": path}, [str(path)])


def _export_list(
    session: Session, ref: str | None, form: str, what: str, proofs: bool, output: Path | None
) -> None:
    from steelyard.query import model
    from steelyard.query.export import FORMATS, export_list
    from steelyard.service.trail import write_text

    if proofs or form not in FORMATS:
        raise InputError("a list is written as jsonl or csv, and without proofs: these are of a history")
    asset = None if ref is None else session.reader.context.asset_id(ref)
    makers: dict[str, Callable[[], ListQuery]] = {
        "events": lambda: model.EventQuery(asset=asset, newest_first=False),
        "payments": lambda: model.PaymentQuery(asset=asset, newest_first=False),
        "purchases": lambda: model.PurchaseQuery(asset=asset),
        "offers": lambda: model.OfferQuery(asset=asset),
        "obligations": lambda: model.ObligationQuery(asset=asset),
        "assets": lambda: model.AssetQuery(),
        "metered-offers": lambda: model.MeteredOfferQuery(asset=asset),
        "channels": lambda: model.ChannelQuery(asset=asset),
    }
    if asset is not None:
        of = asset
        makers["holders"] = lambda: model.HolderQuery(asset=of)
        makers["versions"] = lambda: model.VersionQuery(asset=of)
        del makers["assets"]
    if what not in makers:
        raise InputError(
            f"the list of {what} is of {'all assets: leave REF out' if ref else 'one asset: give REF'}"
        )
    query = makers[what]()
    name = what if ref is None else f"{ref.partition('@')[0].rpartition('/')[2]}.{what}"
    path = output or Path(f"{name}.{form}")
    write_text(path, export_list(session.reader.audit, query, format=form))
    session.out.result({"list": what, "ref": ref, "format": form, "path": path}, [str(path)])


@audit_command.command("verify")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--bundle", type=_FILE, help="Of an export; else FILE.bundle.json.")
@click.option("--directory", metavar="ADDRESS", help="The market's Directory; else the deployment record's.")
@click.option(
    "--block-hash", metavar="HASH", help="Of the block it is complete to; else the endpoint is asked."
)
@click.option("--trail", "show", is_flag=True, help="Print the entries too.")
@with_session
def verify(
    session: Session,
    file: Path,
    bundle: Path | None,
    directory: str | None,
    block_hash: str | None,
    show: bool,
) -> None:
    """Verify a bundle or an export, on a machine without network.

    You bring chain id, Directory and block hash, from somewhere that you trust: by --chain-id, --directory
    and --block-hash, or by your own deployment record and endpoint. An export is compared, record by record, with
    the bundle that --proofs wrote beside it. Exit code 5 if an entry or record is missing, added, altered or
    re-ordered; the first one is named.
    """
    from steelyard.audit.compare import compare
    from steelyard.audit.history import history
    from steelyard.audit.verify import Anchors
    from steelyard.audit.verify import verify as verify_bundle

    config = session.config
    exported, data = _read_pair(file, bundle)
    chain_id, address = _market(config, directory)
    anchors = Anchors(
        chain_id=chain_id,
        directory=address,
        block_hash=_hash(block_hash) if block_hash else _ask_hash(config, chain_id, data),
        builds=shipped_builds(),
    )
    verified = verify_bundle(data, anchors=anchors)
    records = None if exported is None else compare(exported, verified)
    events = history(verified)
    lines = pairs(
        [
            ("ok", verified.statement),
            ("asset", f"eip155:{verified.chain_id}, 0x{verified.asset.hex()}"),
            ("entries", f"{len(events)}, in {count(len(verified.contracts), 'contract')}"),
            ("time", format_time(verified.block.timestamp)),
            ("export", "" if records is None else f"{count(records, 'record')}, all as in the bundle"),
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
        "records": records,
    }
    session.out.result(document, lines)


def _read_pair(file: Path, bundle: Path | None) -> tuple[bytes | None, bytes]:
    """Return the export, if the file is one, and the bundle.

    Raises:
        InputError: too large, or the bundle of an export is not there.
    """
    from steelyard.audit.compare import BUNDLE_SUFFIX, format_of

    data = _read(file)
    if format_of(data) is None:
        if b'"format":"steelyard/list/' in data[:200] or data.startswith(b"record,"):
            raise InputError(
                f"{file} is a list of an index: it has no proofs; export the history with --proofs"
            )
        return None, data
    beside = bundle or file.with_name(file.name + BUNDLE_SUFFIX)
    if not beside.exists():
        raise InputError(
            f"{file} is an export, and {beside} is not there: name its --bundle, or export with --proofs"
        )
    return data, _read(beside)


def _read(path: Path) -> bytes:
    if path.stat().st_size > _MAX_BUNDLE:
        raise InputError(f"{path} is too large for a bundle")
    return path.read_bytes()


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
    from steelyard.audit.bundle import parse as parse_bundle
    from steelyard.chain.rpc import Rpc
    from steelyard.domain.header import parse as parse_header

    if config.rpc is None:
        raise InputError(
            "give --block-hash, of the block that the bundle is complete to, or an endpoint to ask: --rpc"
        )
    number = parse_header(parse_bundle(data).header).number
    with Rpc(config.rpc, chain_id=chain_id, timeout=config.timeout) as rpc:
        try:
            return rpc.get_block(number).hash
        except NotFoundError as exc:
            raise NotFoundError(
                f"{rpc.name} has no block {number}, to which the bundle claims to be complete"
            ) from exc
