"""Getting files: ``pull``, ``cat`` and ``cache``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from steelyard.cli.context import Session
from steelyard.cli.licences import find_purchase
from steelyard.cli.options import Command, Group, take, with_session
from steelyard.cli.output import table
from steelyard.cli.units import count, format_size
from steelyard.errors import InputError, NotFoundError, VerificationError

if TYPE_CHECKING:
    from steelyard.market import Market
    from steelyard.service.cache import AssetCache, Known
    from steelyard.service.results import Purchase

_BLOCK = 16 << 20
_REVISION = click.option("--revision", metavar="VERSION", help="Version: a number, an id, or latest.")
_OFFLINE = click.option(
    "--offline",
    is_flag=True,
    expose_value=False,
    callback=take,
    help="Ask nobody; use what was pulled before.",
)


@click.command("pull", cls=Command)
@click.argument("ref")
@click.argument("filenames", nargs=-1)
@click.option(
    "--local-dir", type=click.Path(path_type=Path), help="Folder to make; by default one below home."
)
@click.option("--include", multiple=True, metavar="PATTERN", help="Only paths like this; repeatable.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="No paths like this; repeatable.")
@click.option("--allow-code", is_flag=True, help="Take files that run code when loaded, undeclared ones too.")
@_REVISION
@_OFFLINE
@with_session
def pull_command(
    session: Session,
    ref: str,
    filenames: tuple[str, ...],
    local_dir: Path | None,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    allow_code: bool,
    revision: str | None,
) -> None:
    """Download, decrypt and check a version.

    REF is a reference or a purchase's id; FILENAMES are the only ones to write. The last line on stdout is
    the path. Files appear complete and checked, or not at all; run again after an interruption, it goes on where it was. What
    another version has too is not fetched again. A file that is not what the seller declared is named; one that runs code when it
    is loaded, or is two things at once, without having been declared so is refused.
    """
    if exclude and any(sign in name for name in filenames for sign in "*?["):
        raise InputError(
            "FILENAMES beside --exclude are files to write: for several patterns give --exclude again for each"
        )
    market, what = _market(session, ref, revision)
    with session.progress() as progress:
        path = market.pull(
            what,
            local_dir,
            include=(*filenames, *include),
            exclude=exclude,
            allow_code=allow_code,
            progress=progress,
        )
    session.out.result({"ref": ref, "path": path}, [str(path)])


@click.command("cat", cls=Command)
@click.argument("ref")
@click.argument("file")
@click.option("--range", "span", metavar="FROM:TO", help="Only these bytes, such as 0:8 or 1000: to the end.")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write them to this new file."
)
@_REVISION
@_OFFLINE
@with_session
def cat_command(
    session: Session,
    ref: str,
    file: str,
    span: str | None,
    output: Path | None,
    revision: str | None,
) -> None:
    """Write one file of a version, or a part of it.

    To stdout. Fetches only the chunks that hold it, and checks each before a byte of it is written. TO is the byte after the last.
    """
    start, stop = parse_span(span)
    if session.as_json and output is None:
        raise InputError("bytes are no JSON document: give --output too")
    market, what = _market(session, ref, revision)
    with market.open_file(what, file) as source:
        source.seek(start)
        if output is None:
            _copy(source, sys.stdout.buffer, None if stop is None else stop - start)
            return
        try:
            target = output.open("xb")
        except OSError as exc:
            raise InputError(f"cannot write {output}: {exc.strerror}") from exc
        with target:
            size = _copy(source, target, None if stop is None else stop - start)
    session.out.result({"ref": ref, "file": file, "path": output, "size": size}, [str(output)])


def parse_span(text: str | None) -> tuple[int, int | None]:
    """Return first byte and the one after the last (None: to the end) of ``FROM:TO``.

    Raises:
        InputError: it is malformed.
    """
    if text is None:
        return 0, None
    first, colon, last = text.partition(":")
    good = colon and all(
        part.isascii() and part.isdigit() and len(part) < 17 for part in (first or "0", last or "0")
    )
    start, stop = (int(first or 0), int(last) if last else None) if good else (0, None)
    if not good or (stop is not None and stop < start):
        raise InputError(f"{text!r} is no range of bytes: write FROM:TO, such as 0:8")
    return start, stop


@click.group("cache", cls=Group)
def cache_command() -> None:
    """Look into what was pulled, and keep it.

    Versions that were pulled without --local-dir are kept below home, and share the files that they have in common.
    """


@cache_command.command("ls")
@with_session
def list_cached(session: Session) -> None:
    """List the versions that were pulled.

    SHARED is what other versions have too.
    """
    found = [entry for cache in _caches(session) for entry in cache.entries()]
    rows = [
        (
            f"{item.files} of {item.of}",
            format_size(item.size),
            format_size(item.shared),
            item.ref,
            str(item.path),
        )
        for item in found
    ]
    session.out.result(found, table(("FILES", "SIZE", "SHARED", "REF", "PATH"), rows))
    if not found:
        session.out.say("Nothing was pulled yet.")


@cache_command.command("rm")
@click.argument("ref")
@with_session
def remove_cached(session: Session, ref: str) -> None:
    """Remove a version that was pulled.

    Files that another version has too stay for it. REF is as `cache ls` shows it, or the version's id; it can be pulled again.
    """
    cache, known = _pulled(session, ref)
    freed = cache.remove(known)
    session.out.result({"ref": known.ref, "freed": freed}, [f"{known.ref}: {format_size(freed)} freed"])


@cache_command.command("verify")
@with_session
def verify_cached(session: Session) -> None:
    """Hash what was pulled, and name the files that are not what they were.

    Pulling such a version again, after `cache rm`, mends it.
    """
    damaged: list[dict[str, str]] = []
    files = 0
    for cache in _caches(session):
        for known in cache.all_known():
            damaged += [{"ref": known.ref, "path": path} for path in cache.damaged(known)]
        files += sum(entry.files for entry in cache.entries())
    if damaged:
        for item in damaged:
            session.out.warn(f"{item['ref']}: {item['path']} is damaged")
        raise VerificationError(f"{count(len(damaged), 'file')} of what was pulled is not what it was")
    session.out.result({"damaged": damaged, "files": files}, [f"{count(files, 'file')}, all as they were"])


def _copy(source: IO[bytes], target: IO[bytes], length: int | None) -> int:
    done = 0
    while length is None or done < length:
        block = source.read(_BLOCK if length is None else min(_BLOCK, length - done))
        if not block:
            break
        target.write(block)
        done += len(block)
    target.flush()
    return done


def _market(session: Session, ref: str, revision: str | None) -> tuple[Market, str | Purchase]:
    """Return the market to ask, and what is meant."""
    if revision is not None:
        if "@" in ref or "/" not in ref:
            raise InputError("--revision belongs to a reference without a version, such as alice/digits")
        ref = f"{ref}@{revision}"
    if session.config.offline:
        return session.reader, ref  # what is on this machine already needs no key
    return session.market, ref if "/" in ref else find_purchase(session, ref)


def _caches(session: Session) -> Iterator[AssetCache]:
    """Yield the caches of all markets of this machine."""
    from steelyard.service.cache import caches

    for folder in sorted((session.config.home / "markets").glob("*/")):
        yield from caches(folder)


def _pulled(session: Session, ref: str) -> tuple[AssetCache, Known]:
    digits = ref.lower().removeprefix("0x")
    found = [
        (cache, known)
        for cache in _caches(session)
        for known in cache.all_known()
        if known.ref == ref or (len(digits) >= 8 and known.version.hex().startswith(digits))
    ]
    if not found:
        raise NotFoundError(f"no version {ref!r} was pulled; `steelyard cache ls` lists what was")
    if len(found) > 1:
        raise InputError(f"several versions are {ref!r}: name one by its id")
    return found[0]
