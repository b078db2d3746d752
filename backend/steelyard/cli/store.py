"""``steelyard store``: what is in the content store; archives in and out; checking and collecting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from steelyard.cli.context import Session
from steelyard.cli.options import Group, Parsed, with_session
from steelyard.cli.output import pairs, table
from steelyard.cli.units import count, format_size, parse_duration
from steelyard.errors import InputError, NotFoundError, VerificationError

if TYPE_CHECKING:
    from steelyard.storage.base import Store
    from steelyard.storage.embedded import EmbeddedStore

_FILE = click.Path(path_type=Path, dir_okay=False)
_SHOWN = 20


@click.group("store", cls=Group)
def store_command() -> None:
    """Look into the content store, and keep it.

    The store is the setting `store`: a folder, or a Kubo RPC. Nothing of it is believed before it is hashed.
    A PATH is a CID, or a CID and names: CID/a/b.
    """


@store_command.command("ls")
@click.argument("path", required=False)
@with_session
def list_entries(session: Session, path: str | None) -> None:
    """List a directory, or what is pinned.

    Sizes are of all blocks below an entry, in bytes, as its block declares them.
    """
    with _open(session) as store:
        if path is None:
            pins = [(cid, store.cumulative_size(cid)) for cid in sorted(_folder(store).pins())]
            document = [{"cid": cid, "size": size} for cid, size in pins]
            session.out.result(document, table(("SIZE", "CID"), [(str(size), cid) for cid, size in pins]))
            return
        links = store.list_directory(_find(store, path))
        rows = [(str(link.tsize), link.cid, link.name) for link in links]
        session.out.result(
            [{"name": link.name, "cid": link.cid, "size": link.tsize} for link in links],
            table(("SIZE", "CID", "NAME"), rows),
        )


@store_command.command("stat")
@click.argument("path", required=False)
@with_session
def stat(session: Session, path: str | None) -> None:
    """Show what something is, or how full the store is."""
    with _open(session) as store:
        found: dict[str, object]
        if path is None:
            folder = _folder(store)
            blocks, size = folder.usage()
            found = {"path": folder.path, "blocks": blocks, "size": size, "pins": len(list(folder.pins()))}
        else:
            cid = _find(store, path)
            directory = store.is_directory(cid)
            found = {"cid": cid, "kind": "directory" if directory else "file"}
            if not directory:
                found["file_size"] = store.file_size(cid)
            found |= {"size": store.cumulative_size(cid), "pinned": store.is_pinned(cid)}
    session.out.result(
        found, pairs([(name.replace("_", " "), _text(value)) for name, value in found.items()])
    )


@store_command.command("verify")
@click.argument("path", required=False)
@with_session
def verify(session: Session, path: str | None) -> None:
    """Read and hash every block, of the store or below PATH.

    Of the store, also every pin is followed to its last block. Exit code 5 if a block is false, 3 if one below
    PATH is missing.
    """
    with _open(session) as store, session.progress("verify") as progress:
        if path is not None:
            cid = _find(store, path)
            total, size, blocks = store.cumulative_size(cid), 0, 0
            for _, data in store.blocks(cid):
                blocks += 1
                size += len(data)
                progress("verify", size, max(total, size))
            found: dict[str, object] = {"cid": cid, "blocks": blocks, "size": size}
            session.out.result(found, [f"{count(blocks, 'block')}, {format_size(size)}: right"])
            return
        from steelyard.storage.upkeep import check

        folder = _folder(store)
        total = folder.usage()[1]
        checked = check(folder, progress=lambda done: progress("verify", done, max(total, done)))
    faults = [f"block {cid} is damaged" for cid in checked.damaged]
    faults += [f"pin {cid}: {why}" for cid, why in checked.broken.items()]
    if faults:
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise VerificationError(
            f"{count(len(faults), 'fault')} in {folder.path}\n{'; '.join(faults[:_SHOWN])}{more}"
        )
    session.out.result(
        checked,
        [
            f"{count(checked.blocks, 'block')}, {format_size(checked.size)}, {count(checked.pins, 'pin')}: right"
        ],
    )


@store_command.command("gc")
@click.option(
    "--grace",
    type=Parsed("DURATION", parse_duration),
    default="1d",
    help="Leave what was written or asked for since; 1d.",
)
@click.option("--dry-run", is_flag=True, help="Count, and remove nothing.")
@with_session
def collect_garbage(session: Session, grace: int, dry_run: bool) -> None:
    """Remove blocks that no pin needs.

    Safe while others use the folder: what is pinned or being added stays. If something is being added for more
    than ten seconds nothing is removed, and the exit code is 4. A pin that is not whole stops it with exit code
    5, for nobody knows then what it needs.
    """
    from steelyard.storage.upkeep import collect

    with _open(session) as store:
        done = collect(_folder(store), grace=grace, dry=dry_run)
    session.out.result(
        done, [f"{'would remove' if dry_run else 'removed'} {count(done.removed, 'block')}", _text(done.size)]
    )
    session.out.say(f"{count(done.kept, 'block')} needed by pins, {done.recent} too new to remove.")


@store_command.command("import")
@click.argument("file", type=_FILE)
@click.option("--no-pin", is_flag=True, help="Leave it to be collected.")
@with_session
def import_file(session: Session, file: Path, no_pin: bool) -> None:
    """Take blocks from an archive (CAR), and pin its roots.

    Every block is hashed before it is stored. Roots are pinned when all below them is there. The last line on
    stdout is the last root's CID.
    """
    from steelyard.storage.car import import_car

    with _open(session) as store, session.progress("import") as progress:
        try:
            stream = file.open("rb")
        except OSError as exc:
            raise InputError(f"cannot read {file}: {exc.strerror}") from exc
        with stream:
            total = file.stat().st_size
            done = import_car(
                store,
                stream,
                pin=not no_pin,
                progress=lambda size: progress("import", size, max(total, size)),
            )
    session.out.result(done, done.roots)
    session.out.say(f"{count(done.blocks, 'block')}, {format_size(done.size)}.")


@store_command.command("export")
@click.argument("path")
@click.option("-o", "--output", type=_FILE, help="File to write; else CID.car.")
@with_session
def export(session: Session, path: str, output: Path | None) -> None:
    """Write an archive (CAR) of everything below PATH.

    One DAG has one archive, byte for byte. It is written whole or not at all. The last line on stdout is the
    path.
    """
    from steelyard.storage.car import save_car

    with _open(session) as store, session.progress("export") as progress:
        cid = _find(store, path)
        target = output or Path(f"{cid}.car")
        total = store.cumulative_size(cid)
        size = save_car(store, cid, target, progress=lambda done: progress("export", done, max(total, done)))
    session.out.result({"cid": cid, "size": size, "path": target}, [str(target)])


@contextmanager
def _open(session: Session) -> Iterator[Store]:
    from steelyard.service.opening import open_store

    store = open_store(session.config)
    try:
        yield store
    finally:
        store.close()


def _folder(store: Store) -> EmbeddedStore:
    from steelyard.storage.embedded import EmbeddedStore
    from steelyard.storage.several import SeveralStores

    if isinstance(store, SeveralStores):
        store = store.writers[0]
    if not isinstance(store, EmbeddedStore):
        raise InputError("that is asked of the node itself: here it works on a folder; give --store FOLDER")
    return store


def _find(store: Store, path: str) -> str:
    root, _, names = path.removeprefix("ipfs://").removeprefix("/ipfs/").partition("/")
    cid = store.resolve(root, names.rstrip("/"))
    if not store.has(cid):
        raise NotFoundError(f"block {cid} is not in the store")
    return cid


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
