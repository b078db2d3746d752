"""What a case of the corpus is, and small writers of the formats that it breaks."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from steelyard.errors import FormatError, SteelyardError

REAL = Path(__file__).parents[1] / "vectors" / "formats.zip"


@dataclass(frozen=True)
class Case:
    """Something hostile, and how it must be refused.

    Attributes:
        name: of the case.
        kind: what reads it: ``file``, ``json``, ``paths``, ``folder``, ``manifest``, ``sealed``, ``card``, ``front``; or
            ``small``: a file that may be taken, and must not cost memory.
        data: makes it; bytes, or for paths the list of them, or for a folder a function that fills one.
        error: that must come.
        words: that its message must hold.
    """

    name: str
    kind: str
    data: Callable[[], object]
    error: type[SteelyardError]
    words: str = ""


SYSTEM = b"cposix\nsystem\n(S'touch /nowhere/hostile'\ntR."
FIRST = b"\x89HDF\r\n\x1a\n"


def file(
    name: str, data: Callable[[], bytes] | bytes, words: str, error: type[SteelyardError] = FormatError
) -> Case:
    return Case(name, "file", data if callable(data) else lambda: data, error, words)


def real(name: str) -> bytes:
    with zipfile.ZipFile(REAL) as archive:
        return archive.read(name)


# -- safetensors ---------------------------------------------------------------------------------------------


def safetensors(header: object, body: bytes = b"", *, size: int | None = None) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if size is None else size) + raw + body


def tensor(start: int, end: int, shape: list[object] | None = None, dtype: str = "U8") -> dict[str, object]:
    return {"dtype": dtype, "shape": [end - start] if shape is None else shape, "data_offsets": [start, end]}


# -- GGUF ----------------------------------------------------------------------------------------------------


def gguf_text(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def gguf(
    *,
    keys: bytes = b"",
    key_count: int = 0,
    tensors: bytes = b"",
    count: int = 0,
    version: int = 3,
    body: bytes = b"",
) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", version, count, key_count) + keys + tensors
    return head + bytes(-len(head) % 32) + body


def gguf_tensor(name: str, shape: list[int], kind: int = 0, offset: int = 0) -> bytes:
    return (
        gguf_text(name)
        + struct.pack("<I", len(shape))
        + struct.pack(f"<{len(shape)}Q", *shape)
        + struct.pack("<IQ", kind, offset)
    )


# -- protobuf ------------------------------------------------------------------------------------------------


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def pb(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def onnx(graph: bytes = b"", *, more: bytes = b"") -> bytes:
    return pb(1, 8) + pb(2, "x") + pb(8, pb(2, 21)) + pb(7, graph) + more


def onnx_tensor(
    *, dims: tuple[int, ...] = (2,), kind: int = 1, raw: bytes | None = None, more: bytes = b""
) -> bytes:
    return (
        b"".join(pb(1, size) for size in dims)
        + pb(2, kind)
        + pb(8, "w")
        + (b"" if raw is None else pb(9, raw))
        + more
    )


def external(**places: object) -> bytes:
    return b"".join(pb(13, pb(1, key) + pb(2, str(value))) for key, value in places.items()) + pb(14, 1)


def nested(field: int, levels: int, inside: bytes = b"") -> bytes:
    for _ in range(levels):
        inside = pb(field, inside)
    return inside


def subgraphs(levels: int) -> bytes:
    graph = b""
    for _ in range(levels):
        graph = pb(1, pb(5, pb(6, graph)))
    return graph


# -- checkpoint indexes ---------------------------------------------------------------------------------------


def block(*entries: tuple[int, bytes, bytes], restarts: int = 0, kind: int = 0) -> bytes:
    """Return a block of a table: of each entry the bytes that its name shares, the rest of the name, and the value."""
    body = b"".join(
        varint(shared) + varint(len(rest)) + varint(len(value)) + rest + value
        for shared, rest, value in entries
    )
    return body + restarts.to_bytes(4, "little") + bytes([kind]) + bytes(4)


def checkpoint(inside: bytes) -> bytes:
    """Return a checkpoint index with one block."""
    index = block((0, b"~", varint(0) + varint(len(inside) - 5)))
    place = bytes(2) + varint(len(inside)) + varint(len(index) - 5)
    return inside + index + place.ljust(40, b"\0") + real("variables.index")[-8:]


# -- archives ------------------------------------------------------------------------------------------------


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def zip_named(*names: bytes) -> bytes:
    """Return an archive of empty files with these names, whatever they are."""
    local, table = b"", b""
    for name in names:
        at = len(local)
        local += struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0x800, 0, 0, 0, 0, 0, 0, len(name), 0) + name
        table += (
            struct.pack(
                "<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0x800, 0, 0, 0, 0, 0, 0, len(name), 0, 0, 0, 0, 0, at
            )
            + name
        )
    return (
        local
        + table
        + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, len(names), len(names), len(table), len(local), 0)
    )


def zip_without_size() -> bytes:
    """Return an archive of a file whose size stands in a 64-bit field that is empty."""
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"a"
    full, field = 0xFFFFFFFF, struct.pack("<HH", 1, 0)
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, full, full, 1, 4, 0, 0, 0, 0, 0)
    table = entry + b"a" + field
    return local + table + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(table), len(local), 0)


def zip64(body: bytes, *, count: int, size: int) -> bytes:
    """Return an archive with a 64-bit end record: its table is the last ``size`` bytes of the body."""
    end = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, len(body) - size)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(body), 1)
    full = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return body + end + locator + full


def patched(data: bytes, sign: bytes, offset: int, value: bytes) -> bytes:
    """Return ``data`` with bytes changed at an offset behind the last place of ``sign``."""
    at = data.rfind(sign) + offset
    return data[:at] + value + data[at + len(value) :]


def bomb(size: int, *, count: int = 1, beside: bytes = b"") -> bytes:
    """Return an archive of files of zeros, each of which declares a size, and perhaps one of noise."""
    files = {f"zeros{number or ''}": bytes(1 << 20) for number in range(count)}
    data = zipped(files | ({"noise": beside} if beside else {}), zipfile.ZIP_DEFLATED)
    for name in files:
        at = data.rindex(b"PK\x01\x02", 0, data.rindex(name.encode())) + 24
        data = data[:at] + struct.pack("<L", size) + data[at + 4 :]
    return data


def tarred(*items: tuple[str, bytes, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    """Return a tar of (name, content, type)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data, kind in items:
            info = tarfile.TarInfo(name)
            info.size, info.type = len(data), kind
            info.linkname = "elsewhere" if kind in (b"1", b"2") else ""
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def retarred(data: bytes, offset: int, value: bytes) -> bytes:
    """Return a tar with bytes of its first header changed and its checksum mended."""
    head = bytearray(data[:512])
    head[offset : offset + len(value)] = value
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + data[512:]


# -- NumPy ---------------------------------------------------------------------------------------------------


def npy(header: str, body: bytes = b"", *, version: int = 1, size: int | None = None) -> bytes:
    raw = header.encode("latin-1") + b"\n"
    length = len(raw) if size is None else size
    return (
        b"\x93NUMPY" + bytes([version, 0]) + length.to_bytes(2 if version == 1 else 4, "little") + raw + body
    )


def array(descr: str = "'<f4'", shape: str = "(2,)", order: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


# -- Parquet -------------------------------------------------------------------------------------------------


def parquet(footer: bytes, *, size: int | None = None, body: bytes = bytes(8)) -> bytes:
    return b"PAR1" + body + footer + struct.pack("<I", len(footer) if size is None else size) + b"PAR1"


def thrift(*fields: tuple[int, object]) -> bytes:
    """Return a struct of Thrift's compact protocol: integers, texts, structs (bytes in a tuple) and lists of these."""
    out, before = b"", 0
    for number, value in fields:
        kind, body = _thrift(value)
        out += bytes([(number - before) << 4 | kind]) + body
        before = number
    return out + b"\0"


def _thrift(value: object) -> tuple[int, bytes]:
    if isinstance(value, int):
        return 6, varint(2 * value)
    if isinstance(value, str):
        return 8, varint(len(value)) + value.encode()
    if isinstance(value, bytes):
        return 12, value
    assert isinstance(value, list)
    parts = [_thrift(item) for item in value]
    kind = parts[0][0] if parts else 12
    head = bytes([len(parts) << 4 | kind]) if len(parts) < 15 else bytes([0xF0 | kind]) + varint(len(parts))
    return 9, head + b"".join(body for _, body in parts)


def table_of(*, rows: int = 1, group_rows: int = 1, schema: object = None, columns: object = None) -> bytes:
    """Return a Parquet file of one column of one row."""
    leaf = thrift((1, 1), (4, "a"))
    root = thrift((4, "root"), (5, 1))
    chunk = thrift((2, 4), (3, thrift((7, 4), (9, 4))))
    group = thrift((1, [chunk] if columns is None else columns), (2, 4), (3, group_rows))
    return parquet(thrift((1, 1), (2, [root, leaf] if schema is None else schema), (3, rows), (4, [group])))


def overlapping() -> bytes:
    """Return an archive in which one file lies within the bytes of another."""
    inner = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 4, 4, 1, 0) + b"b" + b"1234"
    outer = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, len(inner), len(inner), 1, 0) + b"a"
    table = b""
    for name, size, at in ((b"a", len(inner), 0), (b"b", 4, len(outer))):
        table += (
            struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, size, size, 1, 0, 0, 0, 0, 0, at)
            + name
        )
    body = outer + inner
    return body + table + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 2, 2, len(table), len(body), 0)


def behind(front: bytes, files: dict[str, bytes]) -> bytes:
    """Return an archive behind other bytes, whose offsets count them."""
    out = io.BytesIO()
    out.write(front)
    with zipfile.ZipFile(out, "a") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def packed(data: bytes) -> Iterator[tuple[str, bytes]]:
    import bz2
    import gzip
    import lzma

    from backports import zstd

    yield "gzip", gzip.compress(data)
    yield "zlib", zlib.compress(data)
    yield "bzip2", bz2.compress(data)
    yield "xz", lzma.compress(data, preset=0)
    yield "zstd", zstd.compress(data)
    yield "lzma", lzma.compress(data, format=lzma.FORMAT_ALONE, preset=0)
