"""The methods of Kubo's RPC that the embedded store answers, without HTTP around them.

Source: docs.ipfs.tech/reference/kubo/rpc. One profile of UnixFS is built here (unixfs-v1-2025).
"""

from __future__ import annotations

import base64
import tarfile
from collections.abc import Callable, Iterator

from steelyard.errors import InputError, NotFoundError, VerificationError
from steelyard.storage.call import Call, Reply, json_reply, resolve
from steelyard.storage.car import export_car, import_car
from steelyard.storage.cid import CID, Codec, base58, cid_of, codec_of, encode_cid
from steelyard.storage.dagpb import MAX_BLOCK, Link, decode_node
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.reader import MAX_PATH
from steelyard.storage.rpc_add import add
from steelyard.storage.unixfs import read_exactly
from steelyard.storage.upkeep import GRACE_SECONDS, WAIT_SECONDS, check, collect

RPC_VERSION = "0.8.0-steelyard"
"""Level of the RPC that is spoken. ipfshttpclient 0.8.0a2 knows none above 0.8 and would warn."""

_SHOWN = 20
_CODECS = {"raw": Codec.RAW, "dag-pb": Codec.DAG_PB, "protobuf": Codec.DAG_PB}


# -- the node ------------------------------------------------------------------------------------------------


def _version(call: Call) -> Reply:
    return json_reply(
        {"Version": RPC_VERSION, "Commit": "", "Repo": "1", "System": "steelyard", "Golang": ""}
    )


def _id(call: Call) -> Reply:
    if call.arguments:
        raise InputError("this store knows no peers")
    # No libp2p: nobody can dial this store, and its identity only tells it from others.
    key = b"\x08\x01\x12\x20" + call.store.identity()
    return json_reply(
        {
            "ID": base58(b"\x00\x24" + key),
            "PublicKey": base64.b64encode(key).decode("ascii"),
            "Addresses": [],
            "AgentVersion": "steelyard",
            "Protocols": [],
        }
    )


def _repo_stat(call: Call) -> Reply:
    count, size = call.store.usage()
    return json_reply(
        {"RepoSize": size, "NumObjects": count, "StorageMax": 0, "RepoPath": "", "Version": "steelyard@1"}
    )


def _repo_version(call: Call) -> Reply:
    return json_reply({"Version": "1"})


def _repo_gc(call: Call) -> Reply:
    grace = call.number("grace")
    gone: list[object] = []
    collect(
        call.store,
        grace=GRACE_SECONDS if grace is None else grace,
        wait=WAIT_SECONDS,
        removed=lambda digest, size: gone.append({"Key": {"/": encode_cid(digest)}}),
    )
    return json_reply(*gone)


def _repo_verify(call: Call) -> Reply:
    found = check(call.store)
    faults = [f"block {cid} is damaged" for cid in found.damaged]
    faults += [f"pin {cid}: {why}" for cid, why in found.broken.items()]
    if faults:
        raise VerificationError(f"{len(faults)} faults: {'; '.join(faults[:_SHOWN])}")
    return json_reply({"Msg": "all blocks are right", "Progress": found.blocks})


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
    return json_reply(*answers)


def _block_get(call: Call) -> Reply:
    data = call.store.get_block(call.target())
    return Reply("application/octet-stream", (data,), len(data))


def _block_stat(call: Call) -> Reply:
    cid = call.target()
    return json_reply({"Key": cid, "Size": len(call.store.get_block(cid))})


# -- DAGs ----------------------------------------------------------------------------------------------------


def _dag_export(call: Call) -> Reply:
    cid = call.target()
    call.store.get_block(cid)  # what is missing altogether is an error, not a cut answer
    return Reply("application/vnd.ipld.car", export_car(call.store, cid))


def _dag_import(call: Call) -> Reply:
    pin, stats = call.flag("pin-roots", True), call.flag("stats", False)
    answers: list[object] = []
    count = size = 0
    for part in call.parts():
        done = import_car(call.store, part, pin=pin)
        count += done.blocks
        size += done.size
        if pin:
            answers += [{"Root": {"Cid": {"/": root}, "PinErrorMsg": ""}} for root in done.roots]
    if stats:
        answers.append({"Stats": {"BlockCount": count, "BlockBytesCount": size}})
    return json_reply(*answers)


# -- pins ----------------------------------------------------------------------------------------------------


def _pin_add(call: Call) -> Reply:
    if not call.flag("recursive", True):
        raise InputError("only recursive pins are supported")
    _refuse_names(call)
    targets = call.targets()
    for cid in targets:
        call.store.pin(cid)
    return json_reply({"Pins": targets})


def _pin_update(call: Call) -> Reply:
    targets = call.targets()
    if len(targets) != 2:
        raise InputError("two arguments are needed: what is pinned, and what is to be")
    old, new = targets
    if not call.store.is_pinned(old):
        raise NotFoundError(f"{old} is not pinned")
    call.store.pin(new)
    if old != new and call.flag("unpin", True):
        call.store.unpin(old)
    return json_reply({"Pins": targets})


def _refuse_names(call: Call) -> None:
    if call.options.get("name"):
        raise InputError("pins have no names here")


def _pin_rm(call: Call) -> Reply:
    targets = call.targets()
    for cid in targets:
        if not call.store.is_pinned(cid):
            raise NotFoundError(f"{cid} is not pinned, or only below another pin")
    for cid in targets:
        call.store.unpin(cid)
    return json_reply({"Pins": targets})


def _pin_ls(call: Call) -> Reply:
    _refuse_names(call)
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
    if call.flag("stream", False):
        return json_reply(*({"Cid": cid, "Type": pin["Type"]} for cid, pin in keys.items()))
    return json_reply({"Keys": keys})


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
        cid = resolve(call.store, argument)
        links = []
        for link in _listed(call.store, cid):
            directory = call.store.is_directory(link.cid)
            size = 0 if directory else call.store.file_size(link.cid)
            kind = 1 if directory else 2
            links.append({"Name": link.name, "Hash": link.cid, "Size": size, "Type": kind, "Target": ""})
        objects.append({"Hash": argument, "Links": links})
    return json_reply({"Objects": objects})


def _listed(store: EmbeddedStore, cid: CID) -> tuple[Link, ...]:
    """Return the entries of a directory, or the parts of a file."""
    if codec_of(cid) is Codec.RAW:
        return ()
    return store.list_directory(cid) if store.is_directory(cid) else decode_node(store.get_block(cid)).links


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


METHODS: dict[str, Callable[[Call], Reply]] = {
    "add": add,
    "block/get": _block_get,
    "block/put": _block_put,
    "block/stat": _block_stat,
    "cat": _cat,
    "dag/export": _dag_export,
    "dag/import": _dag_import,
    "get": _get,
    "id": _id,
    "ls": _ls,
    "pin/add": _pin_add,
    "pin/ls": _pin_ls,
    "pin/rm": _pin_rm,
    "pin/update": _pin_update,
    "repo/gc": _repo_gc,
    "repo/stat": _repo_stat,
    "repo/verify": _repo_verify,
    "repo/version": _repo_version,
    "version": _version,
}
"""Every method that is answered, by its path under ``/api/v0/``."""
