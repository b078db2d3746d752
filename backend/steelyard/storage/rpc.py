"""The methods of Kubo's RPC that the embedded store answers, without HTTP around them.

Source: docs.ipfs.tech/reference/kubo/rpc. One profile of UnixFS is built here (unixfs-v1-2025). Options that
ask for other blocks are refused, so that nobody gets another identifier than he asked for; the one exception
is ``raw-leaves=false``, which ipfshttpclient sends whatever its caller wants.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from steelyard.errors import InputError, NotFoundError
from steelyard.storage.cid import CID, Codec, cid_of, codec_of, parse_cid
from steelyard.storage.dagpb import MAX_BLOCK, Link, check_name, decode_node
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.multipart import Body, Form, Part
from steelyard.storage.reader import MAX_PATH
from steelyard.storage.unixfs import directory_block, import_file, read_exactly

RPC_VERSION = "0.8.0-steelyard"
"""Level of the RPC that is spoken. ipfshttpclient 0.8.0a2 knows none above 0.8 and would warn."""

_CODECS = {"raw": Codec.RAW, "dag-pb": Codec.DAG_PB, "protobuf": Codec.DAG_PB}
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))


@dataclass(frozen=True)
class Call:
    """One call of a method.

    Attributes:
        store: what it works on.
        arguments: values of ``arg``, in order.
        options: the other query parameters.
        body: of the request.
        content_type: of the body.
    """

    store: EmbeddedStore
    arguments: list[str]
    options: dict[str, str]
    body: Body
    content_type: str

    def flag(self, name: str, default: bool) -> bool:
        """Return a yes-or-no option, spelt as Go reads it.

        Raises:
            InputError: it is spelt otherwise.
        """
        value = self.options.get(name)
        if value is None or value in _TRUE or value in _FALSE:
            return default if value is None else value in _TRUE
        raise InputError(f"option {name} must be true or false, not {value[:40]!r}")

    def number(self, name: str) -> int | None:
        """Return an option that is a whole number of at most 18 digits, or None if it is absent.

        Raises:
            InputError: it is something else.
        """
        value = self.options.get(name)
        if value is None:
            return None
        if not (value.isascii() and value.isdigit() and len(value) <= 18):
            raise InputError(f"option {name} must be a whole number, not {value[:40]!r}")
        return int(value)

    def target(self) -> CID:
        """Return the block that the one argument names, by a CID or a path.

        Raises:
            InputError: not one argument, or malformed.
            NotFoundError: the path leads nowhere.
        """
        if len(self.arguments) != 1:
            raise InputError(f"one argument is needed, not {len(self.arguments)}")
        return _resolve(self.store, self.arguments[0])

    def targets(self) -> list[CID]:
        """Return the blocks that the arguments name, at least one.

        Raises:
            InputError: none, or malformed.
            NotFoundError: a path leads nowhere.
        """
        if not self.arguments:
            raise InputError("an argument is needed")
        return [_resolve(self.store, argument) for argument in self.arguments]

    def parts(self) -> Iterator[Part]:
        """Yield the parts of the form in the body.

        Raises:
            InputError: there is none, or it is malformed.
        """
        return Form(self.body, self.content_type).parts()


@dataclass(frozen=True)
class Reply:
    """What a method returns.

    Attributes:
        content_type: of the answer.
        pieces: its bytes; an error while they are made cuts the answer off.
        length: bytes in all, if known beforehand.
    """

    content_type: str
    pieces: Iterable[bytes]
    length: int | None = None


def _json(*values: object) -> Reply:
    data = b"".join(json.dumps(value).encode("utf-8") + b"\n" for value in values)
    return Reply("application/json", (data,), len(data))


def _resolve(store: EmbeddedStore, argument: str) -> CID:
    root, _, path = argument.removeprefix("/ipfs/").partition("/")
    return store.resolve(parse_cid(root), path.rstrip("/"))


# -- the node ------------------------------------------------------------------------------------------------


def _version(call: Call) -> Reply:
    return _json({"Version": RPC_VERSION, "Commit": "", "Repo": "1", "System": "steelyard", "Golang": ""})


def _id(call: Call) -> Reply:
    # No libp2p: this store has no peer identity and no addresses.
    return _json({"ID": "", "PublicKey": "", "Addresses": [], "AgentVersion": "steelyard", "Protocols": []})


def _repo_stat(call: Call) -> Reply:
    count, size = call.store.usage()
    return _json(
        {"RepoSize": size, "NumObjects": count, "StorageMax": 0, "RepoPath": "", "Version": "steelyard@1"}
    )


# -- blocks --------------------------------------------------------------------------------------------------


def _block_put(call: Call) -> Reply:
    name = call.options.get("cid-codec", call.options.get("format", "raw"))
    if name not in _CODECS:
        raise InputError(f"codec {name[:40]!r} is not supported; use raw or dag-pb")
    if call.options.get("mhtype", "sha2-256") != "sha2-256" or call.options.get("mhlen", "-1") not in (
        "-1",
        "32",
    ):
        raise InputError("only sha2-256, with all its 32 bytes, is supported")
    pin = call.flag("pin", False)
    answers = []
    with call.store.adding():
        for part in call.parts():
            data = read_exactly(part, MAX_BLOCK + 1)
            if len(data) > MAX_BLOCK:
                raise InputError(f"a block has at most {MAX_BLOCK} bytes")
            cid = cid_of(data, codec=_CODECS[name])
            call.store.put_block(cid, data)
            if pin:
                call.store.pin(cid)
            answers.append({"Key": cid, "Size": len(data)})
    if not answers:
        raise InputError("no block in the request")
    return _json(*answers)


def _block_get(call: Call) -> Reply:
    data = call.store.get_block(call.target())
    return Reply("application/octet-stream", (data,), len(data))


def _block_stat(call: Call) -> Reply:
    cid = call.target()
    return _json({"Key": cid, "Size": len(call.store.get_block(cid))})


# -- pins ----------------------------------------------------------------------------------------------------


def _pin_add(call: Call) -> Reply:
    if not call.flag("recursive", True):
        raise InputError("only recursive pins are supported")
    targets = call.targets()
    for cid in targets:
        call.store.pin(cid)
    return _json({"Pins": targets})


def _pin_rm(call: Call) -> Reply:
    targets = call.targets()
    for cid in targets:
        if not call.store.is_pinned(cid):
            raise NotFoundError(f"{cid} is not pinned, or only below another pin")
    for cid in targets:
        call.store.unpin(cid)
    return _json({"Pins": targets})


def _pin_ls(call: Call) -> Reply:
    kind = call.options.get("type", "all")
    if kind not in ("all", "recursive", "direct", "indirect"):
        raise InputError(f"unknown type of pin: {kind[:40]!r}")
    keys: dict[str, dict[str, str]] = {}
    if call.arguments and kind in ("all", "recursive"):
        keys = {cid: {"Type": "recursive"} for cid in call.targets() if call.store.is_pinned(cid)}
    elif kind in ("all", "recursive"):
        keys = {cid: {"Type": "recursive"} for cid in call.store.pins()}
    wanted = set(call.targets()) if call.arguments else None
    if kind in ("all", "indirect") and (wanted is None or wanted - set(keys)):
        for pin in list(call.store.pins()):
            for block in call.store.walk(pin, leaves=False):
                if block.cid != pin and (wanted is None or block.cid in wanted):
                    keys.setdefault(block.cid, {"Type": "indirect"})
    if wanted is not None and (missing := sorted(wanted - set(keys))):
        raise NotFoundError(f"path '{missing[0]}' is not pinned")
    return _json({"Keys": keys})


# -- files and directories -----------------------------------------------------------------------------------


def _cat(call: Call) -> Reply:
    offset, length = call.number("offset") or 0, call.number("length")
    cid = call.target()
    rest = max(0, call.store.file_size(cid) - offset)
    size = rest if length is None else min(rest, length)
    return Reply("text/plain", call.store.stream_file(cid, offset=offset, length=length), size)


def _ls(call: Call) -> Reply:
    objects = []
    for argument in call.arguments or [""]:
        cid = _resolve(call.store, argument)
        links = []
        if codec_of(cid) is Codec.DAG_PB:
            for link in decode_node(call.store.get_block(cid)).links:
                directory = call.store.is_directory(link.cid)
                size = 0 if directory else call.store.file_size(link.cid)
                kind = 1 if directory else 2
                links.append({"Name": link.name, "Hash": link.cid, "Size": size, "Type": kind, "Target": ""})
        objects.append({"Hash": argument, "Links": links})
    return _json({"Objects": objects})


def _get(call: Call) -> Reply:
    if call.flag("compress", False):
        raise InputError("compressed archives are not supported")
    cid = call.target()
    name = call.arguments[0].rstrip("/").rpartition("/")[2]
    return Reply("application/x-tar", _tar(call.store, cid, name))


def _tar(store: EmbeddedStore, cid: CID, name: str) -> Iterator[bytes]:
    """Yield a tar archive of a file, or of a directory and what is in it."""
    todo = [(cid, name)]
    while todo:
        cid, name = todo.pop()
        info = tarfile.TarInfo(name)
        if store.is_directory(cid):
            if name.count("/") > MAX_PATH:
                raise InputError(f"directories are nested deeper than {MAX_PATH}")
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            yield info.tobuf(tarfile.PAX_FORMAT)
            todo.extend((link.cid, f"{name}/{link.name}") for link in reversed(store.list_directory(cid)))
            continue
        info.size, info.mode = store.file_size(cid), 0o644
        yield info.tobuf(tarfile.PAX_FORMAT)
        yield from store.stream_file(cid)
        yield b"\0" * (-info.size % tarfile.BLOCKSIZE)
    yield b"\0" * (2 * tarfile.BLOCKSIZE)


@dataclass
class _Folder:
    """A directory while its entries arrive."""

    folders: dict[str, _Folder] = field(default_factory=dict)
    files: dict[str, Link] = field(default_factory=dict)


def _add(call: Call) -> Reply:
    _check_layout(call)
    with call.store.adding():
        return _add_all(call)


def _add_all(call: Call) -> Reply:
    only_hash = call.flag("only-hash", False)
    pin = call.flag("pin", True) and not only_hash
    wrap = call.flag("wrap-with-directory", False)
    top = _Folder()
    answers: list[dict[str, str]] = []
    for part in call.parts():
        names = _names(part.filename or "")
        directory = part.content_type == "application/x-directory"
        if directory:
            _enter(top, names)
            continue
        link = _add_part(call.store, part, only_hash)
        link = Link(cid=link.cid, name=names[-1] if names else link.cid, tsize=link.tsize)
        folder = _enter(top, names[:-1])
        if link.name in folder.files or link.name in folder.folders:
            raise InputError(f"two files have the name {part.filename!r}")
        folder.files[link.name] = link
        answers.append(_added("/".join(names) or link.name, link))
    roots = [*top.files.values()]
    roots += [_close(call.store, folder, name, only_hash, answers) for name, folder in top.folders.items()]
    if wrap:
        roots = [_finish(call.store, roots, only_hash)]
        answers.append(_added("", roots[0]))
    if pin:
        for root in roots:
            call.store.pin(root.cid)
    return _json(*answers)


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


def _add_part(store: EmbeddedStore, part: Part, only_hash: bool) -> Link:
    if not only_hash:
        cid = store.add_file(part)
        return Link(cid=cid, name="", tsize=store.cumulative_size(cid))
    for block in import_file(part):
        link = block.link()
    return link  # of the last block, the root; there is always one


def _close(
    store: EmbeddedStore, folder: _Folder, path: str, only_hash: bool, answers: list[dict[str, str]]
) -> Link:
    links = [*folder.files.values()]
    for name, inner in folder.folders.items():
        links.append(_close(store, inner, f"{path}/{name}", only_hash, answers))
    link = _finish(store, links, only_hash)
    answers.append(_added(path, link))
    return Link(cid=link.cid, name=path.rpartition("/")[2], tsize=link.tsize)


def _finish(store: EmbeddedStore, links: list[Link], only_hash: bool) -> Link:
    block = directory_block(links)
    if not only_hash:
        store.add_links(links)
    return block.link()


def _added(name: str, link: Link) -> dict[str, str]:
    return {"Name": name, "Hash": link.cid, "Size": str(link.tsize)}


METHODS: dict[str, Callable[[Call], Reply]] = {
    "add": _add,
    "block/get": _block_get,
    "block/put": _block_put,
    "block/stat": _block_stat,
    "cat": _cat,
    "get": _get,
    "id": _id,
    "ls": _ls,
    "pin/add": _pin_add,
    "pin/ls": _pin_ls,
    "pin/rm": _pin_rm,
    "repo/stat": _repo_stat,
    "version": _version,
}
"""Every method that is answered, by its path under ``/api/v0/``."""
