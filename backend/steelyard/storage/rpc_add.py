"""The method ``add`` of Kubo's RPC: a form of files and directories becomes blocks of this store.

Options that ask for other blocks are refused, so that nobody gets another identifier than he asked for; the one exception
is ``raw-leaves=false``, which ipfshttpclient sends whatever its caller wants.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from steelyard.errors import InputError
from steelyard.storage.call import Call, Reply, json_reply, line
from steelyard.storage.cid import Codec, codec_of
from steelyard.storage.dagpb import Link, check_name
from steelyard.storage.directories import directory_blocks
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.multipart import Part
from steelyard.storage.reader import MAX_PATH
from steelyard.storage.unixfs import import_file

Event = dict[str, object]
"""One line of an answer."""

_TOLD_BYTES = 1 << 18


@dataclass
class _Folder:
    """A directory while its entries arrive."""

    folders: dict[str, _Folder] = field(default_factory=dict)
    files: dict[str, Link] = field(default_factory=dict)


def add(call: Call) -> Reply:
    """Answer the method ``add``.

    Raises:
        InputError: the form or an option is malformed, or asks for other blocks than are built here.
    """
    _check_layout(call)
    if call.flag("progress", False):
        return Reply("application/json", map(line, _adding(call, progress=True)), live=True)
    return json_reply(*_adding(call, progress=False))


def _adding(call: Call, *, progress: bool) -> Iterator[Event]:
    """Add what is in the form; yield what was added, and how far it is."""
    with call.store.adding():
        yield from _add_all(call, progress=progress)


def _add_all(call: Call, *, progress: bool) -> Iterator[Event]:
    only_hash = call.flag("only-hash", False)
    pin = call.flag("pin", True) and not only_hash
    wrap = call.flag("wrap-with-directory", False)
    top = _Folder()
    for part in call.parts():
        names = _names(part.filename or "")
        directory = part.content_type == "application/x-directory"
        if directory:
            _enter(top, names)
            continue
        shown = "/".join(names) if progress else None
        link = yield from _add_part(call.store, part, only_hash, shown)
        link = Link(cid=link.cid, name=names[-1] if names else link.cid, tsize=link.tsize)
        folder = _enter(top, names[:-1])
        if link.name in folder.files or link.name in folder.folders:
            raise InputError(f"two files have the name {part.filename!r}")
        folder.files[link.name] = link
        yield _added("/".join(names) or link.name, link)
    roots = [*top.files.values()]
    for name, folder in top.folders.items():
        roots.append((yield from _close(call.store, folder, name, only_hash)))
    if wrap:
        roots = [_finish(call.store, roots, only_hash)]
        yield _added("", roots[0])
    if pin:
        for root in roots:
            call.store.pin(root.cid)


def _check_layout(call: Call) -> None:
    """Refuse options that would give other blocks than this store builds.

    Raises:
        InputError: one of them does.
    """
    right = {"cid-version": ("1",), "hash": ("sha2-256",), "chunker": ("size-1048576",)}
    for name, values in right.items():
        if (given := call.options.get(name, values[0])) not in values:
            raise InputError(f"{name}={given[:40]} is not supported: this store builds unixfs-v1-2025 only")
    for name in ("trickle", "nocopy", "fscache", "inline", "preserve-mode", "preserve-mtime"):
        if call.flag(name, False):
            raise InputError(f"{name} is not supported: this store builds unixfs-v1-2025 only")


def _names(path: str) -> list[str]:
    names = path.split("/") if path else []
    if len(names) > MAX_PATH:
        raise InputError(f"path of {len(names)} components is above the limit of {MAX_PATH}")
    return [check_name(name) for name in names]


def _enter(folder: _Folder, names: list[str]) -> _Folder:
    for name in names:
        if name in folder.files:
            raise InputError(f"{name!r} is both a file and a directory")
        folder = folder.folders.setdefault(name, _Folder())
    return folder


def _add_part(
    store: EmbeddedStore, part: Part, only_hash: bool, shown: str | None
) -> Generator[Event, None, Link]:
    """Add one file; with a name to show, yield how far it is."""
    done = told = 0
    for block in import_file(part):
        if not only_hash:
            store.put_block(block.cid, block.data, hashed=True)
        done += len(block.data) if codec_of(block.cid) is Codec.RAW else 0
        # Ever further apart, so that all lines of a file of any size fit into the buffers between us and a
        # client that reads none of them before it has sent everything.
        if shown is not None and done >= told + max(_TOLD_BYTES, told // 64):
            told = done
            yield {"Name": shown, "Bytes": done}
    return block.link()  # of the last block, the root; there is always one


def _close(store: EmbeddedStore, folder: _Folder, path: str, only_hash: bool) -> Generator[Event, None, Link]:
    links = [*folder.files.values()]
    for name, inner in folder.folders.items():
        links.append((yield from _close(store, inner, f"{path}/{name}", only_hash)))
    link = _finish(store, links, only_hash)
    yield _added(path, link)
    return Link(cid=link.cid, name=path.rpartition("/")[2], tsize=link.tsize)


def _finish(store: EmbeddedStore, links: list[Link], only_hash: bool) -> Link:
    for block in directory_blocks(links):
        if not only_hash:
            store.put_block(block.cid, block.data, hashed=True)
    return block.link()  # of the last block, the root; there is always one


def _added(name: str, link: Link) -> Event:
    return {"Name": name, "Hash": link.cid, "Size": str(link.tsize)}
