"""Hostile model and data files."""

from __future__ import annotations

import json
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator

from steelyard.errors import CodeError, FormatError
from tests.hostile import groups, layers, programs
from tests.hostile.cases import (
    FIRST,
    SYSTEM,
    Case,
    array,
    behind,
    block,
    bomb,
    checkpoint,
    external,
    file,
    gguf,
    gguf_tensor,
    gguf_text,
    npy,
    onnx,
    onnx_tensor,
    overlapping,
    packed,
    parquet,
    patched,
    pb,
    real,
    retarred,
    safetensors,
    subgraphs,
    table_of,
    tarred,
    tensor,
    thrift,
    zip64,
    zip_named,
    zip_without_size,
    zipped,
)
from tests.support import torchlike
from tests.support.archives import other_name, two_tables


def cases() -> Iterator[Case]:
    yield from _safetensors()
    yield from _gguf()
    yield from _onnx()
    yield from _checkpoints()
    yield from layers.cases()
    yield from _zips()
    yield from _tars()
    yield from _arrays()
    yield from _parquet()
    yield from _arrow()
    yield from _templates()
    yield from groups.cases()
    yield from programs.cases()
    yield from _json()
    yield from _polyglots()


def _safetensors() -> Iterator[Case]:
    one = tensor(0, 4)
    many = {f"t{number}": tensor(0, 0, [0]) for number in range(120_000)}
    headers: list[tuple[str, object, bytes, str]] = [
        ("gap", {"a": one, "b": tensor(5, 6)}, bytes(6), "starts at byte 5"),
        ("overlap", {"a": one, "b": tensor(3, 6)}, bytes(6), "starts at byte 3"),
        ("same bytes", {"a": one, "b": one}, bytes(4), "starts at byte 0"),
        ("not from zero", {"a": tensor(1, 4)}, bytes(4), "starts at byte 1"),
        ("bytes behind", {"a": one}, bytes(5), "end at byte 4"),
        ("bytes missing", {"a": one}, bytes(3), "end at byte 4"),
        (
            "backwards",
            {"a": {"dtype": "U8", "shape": [0], "data_offsets": [4, 0]}},
            bytes(4),
            "offsets are 4 and 0",
        ),
        ("shape larger", {"a": tensor(0, 4, [5])}, bytes(4), "needs 5 bytes"),
        ("shape of ten gigabytes", {"a": tensor(0, 4, [10 << 30])}, bytes(4), "needs 10737418240 bytes"),
        ("shape that overflows", {"a": tensor(0, 0, [1 << 32, 1 << 32])}, b"", "needs"),
        ("shape negative", {"a": tensor(0, 4, [-4])}, bytes(4), "no valid shape"),
        ("shape of truth", {"a": tensor(0, 4, [True, 4])}, bytes(4), "no valid shape"),
        ("shape of texts", {"a": tensor(0, 4, ["4"])}, bytes(4), "no valid shape"),
        (
            "shape of fractions",
            b'{"a":{"dtype":"U8","shape":[4.0],"data_offsets":[0,4]}}',
            bytes(4),
            "no integer",
        ),
        ("shape too deep", {"a": tensor(0, 1, [1] * 65)}, bytes(1), "no valid shape"),
        ("unknown type", {"a": tensor(0, 4, dtype="PICKLE")}, bytes(4), "unknown dtype"),
        ("half bytes", {"a": tensor(0, 1, [1], "F4")}, bytes(1), "needs"),
        ("a key more", {"a": {**one, "code": "x"}}, bytes(4), "exactly dtype"),
        ("a key less", {"a": {"dtype": "U8", "shape": [4]}}, bytes(4), "exactly dtype"),
        (
            "three offsets",
            {"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4, 4]}},
            bytes(4),
            "no valid shape",
        ),
        ("metadata of numbers", {"__metadata__": {"a": 1}, "b": one}, bytes(4), "no table of texts"),
        ("metadata a list", {"__metadata__": ["a"], "b": one}, bytes(4), "no table of texts"),
        (
            "key twice",
            b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{}}',
            b"",
            "stands there twice",
        ),
        (
            "key twice within",
            b'{"a":{"dtype":"U8","dtype":"I8","shape":[0],"data_offsets":[0,0]}}',
            b"",
            "twice",
        ),
        ("not JSON", b'{"a":nope}', b"", "no JSON"),
        ("not UTF-8", b'{"\xff":{}}', b"", "no JSON"),
        ("NaN", b'{"a":{"dtype":"U8","shape":[NaN],"data_offsets":[0,0]}}', b"", "no integer"),
        (
            "long integer",
            b'{"a":{"dtype":"U8","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,0]}}',
            b"",
            "too long",
        ),
        ("nested", b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", b"", "nested too deeply"),
        ("a hundred thousand tensors", many, b"", "more than 100000 tensors"),
    ]
    for name, header, body, words in headers:
        yield file(f"safetensors: {name}", lambda h=header, b=body: safetensors(h, b), words)  # type: ignore[misc]
    for size in (1 << 20, 17 << 20, 100 << 20, (1 << 40) - 1):
        yield file(
            f"safetensors: header of {size}",
            safetensors({"a": one}, bytes(4), size=size),
            f"a header of {size} bytes",
        )
    yield file(
        "safetensors: bomb of a header",
        lambda: safetensors(b'{"a":[' + b"[]," * (5 << 20) + b"[]]}"),
        "more values than",
    )
    lists = (b"[" * 60 + b"]" * 60 + b",") * 100_000
    yield file(
        "safetensors: lists in lists",
        lambda: safetensors(b'{"a":[' + lists + b"0]}"),
        "more than 100000 tensors",
    )


def _gguf() -> Iterator[Case]:
    def key(name: str, kind: int, value: bytes) -> bytes:
        return gguf_text(name) + struct.pack("<I", kind) + value

    array_of = lambda kind, count: struct.pack("<IQ", kind, count)
    deep = array_of(9, 1) * 10
    files = {
        "version 1": (gguf(version=1), "version 1"),
        "other byte order": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "is not known"),
        "tensors without end": (gguf(count=1 << 60), "declares 1152921504606846976 tensors"),
        "keys without end": (gguf(key_count=1 << 60), "and 1152921504606846976 keys"),
        "cut off": (gguf(count=1)[:24], "cut off"),
        "a text of exabytes": (gguf(key_count=1, keys=struct.pack("<Q", 1 << 60)), "a text of"),
        "a value of exabytes": (gguf(key_count=1, keys=key("a", 8, struct.pack("<Q", 1 << 60))), "a text of"),
        "a text longer than the file": (
            gguf(key_count=1, keys=key("a", 8, struct.pack("<Q", 1000))),
            "cut off",
        ),
        "array of exabytes": (gguf(key_count=1, keys=key("a", 9, array_of(4, 1 << 60))), "an array of"),
        "array of texts without end": (gguf(key_count=1, keys=key("a", 9, array_of(8, 1 << 60))), "cut off"),
        "arrays of arrays": (gguf(key_count=1, keys=key("a", 9, deep)), "nested too deeply"),
        "unknown type": (gguf(key_count=1, keys=key("a", 99, b"")), "unknown type 99"),
        "key twice": (gguf(key_count=2, keys=key("a", 4, bytes(4)) * 2), "stands there twice"),
        "name not UTF-8": (gguf(key_count=1, keys=struct.pack("<Q", 1) + b"\xff" + bytes(8)), "not UTF-8"),
        "alignment zero": (gguf(key_count=1, keys=key("general.alignment", 4, bytes(4))), "alignment"),
        "alignment odd": (gguf(key_count=1, keys=key("general.alignment", 4, b"\3\0\0\0")), "alignment"),
        "tensor twice": (gguf(count=2, tensors=gguf_tensor("a", [0]) * 2), "stands there twice"),
        "many dimensions": (gguf(count=1, tensors=gguf_tensor("a", [1] * 9)), "more than 4 dimensions"),
        "unknown tensor type": (gguf(count=1, tensors=gguf_tensor("a", [1], kind=77)), "unknown type 77"),
        "rows of no block": (gguf(count=1, tensors=gguf_tensor("a", [31], kind=8)), "no multiple of 32"),
        "tensor of terabytes": (
            gguf(count=1, tensors=gguf_tensor("a", [1 << 40])),
            "its tensors end at byte",
        ),
        "shape that overflows": (
            gguf(count=1, tensors=gguf_tensor("a", [1 << 62, 1 << 62])),
            "its tensors end at byte",
        ),
        "overlap": (
            gguf(
                count=2, tensors=gguf_tensor("a", [16]) + gguf_tensor("b", [16], offset=32), body=bytes(200)
            ),
            "overlaps",
        ),
        "not aligned": (
            gguf(count=1, tensors=gguf_tensor("a", [1], offset=1), body=bytes(99)),
            "not aligned",
        ),
    }
    for name, (data, words) in files.items():
        yield file(f"gguf: {name}", data, words)


def _onnx() -> Iterator[Case]:
    def weights(**more: object) -> bytes:
        return onnx(pb(5, onnx_tensor(**more)))  # type: ignore[arg-type]

    outside = (
        "/etc/passwd",
        "../w.bin",
        "a/../../w",
        "",
        "./w",
        "a//b",
        "C:\\w",
        "c:w",
        "..\\w",
        "a\0b",
        "..",
    )
    for path in outside:
        yield file(
            f"onnx: weights in {path!a}", weights(more=external(location=path)), "no file below the folder"
        )
    files = {
        "cut off": (onnx(pb(5, onnx_tensor(raw=bytes(8))))[:-3], "cut off"),
        "no graph": (pb(1, 8) + pb(2, "x") + pb(8, b"") + pb(8, b""), "has 0 graphs"),
        "two graphs": (onnx(more=pb(7, b"")), "has 2 graphs"),
        "too many tensors": (
            lambda: onnx(pb(5, onnx_tensor(dims=(0,))) * 100_001),
            "more than 100000 tensors",
        ),
        "weights in too many files": (
            lambda: onnx(
                b"".join(pb(5, onnx_tensor(more=external(location=f"{n}.bin"))) for n in range(4097))
            ),
            "more than 4096 files",
        ),
        "weights not there": (weights(more=external(location="w.bin")), "not in the folder"),
        "weights in a text": (weights(more=external(location="w.bin", offset="-1")), "offset of weights"),
        "weights at no number": (
            weights(more=external(location="w.bin", offset="0x10")),
            "offset of weights",
        ),
        "weights of another length": (weights(more=external(location="w.bin", length=9)), "9 are declared"),
        "weights twice": (weights(more=external(location="a") + external(location="b")), "says twice"),
        "no weights": (weights(), "has none"),
        "too few": (weights(raw=bytes(7)), "needs 8 bytes, and has 7"),
        "too many": (weights(raw=bytes(9)), "needs 8 bytes, and has 9"),
        "of exabytes": (weights(dims=(1 << 40, 1 << 40), raw=bytes(8)), "needs"),
        "negative size": (weights(dims=((1 << 64) - 1,), raw=bytes(8)), "negative size"),
        "unknown type": (weights(kind=99, raw=bytes(8)), "unknown type 99"),
        "many dimensions": (weights(dims=(1,) * 65, raw=bytes(4)), "more than 64 dimensions"),
        "name not UTF-8": (onnx(pb(5, pb(8, b"\xff") + pb(2, 1) + pb(9, b""))), "not UTF-8"),
        "graphs in graphs": (onnx(subgraphs(40)), "nested deeper"),
        "hidden in a subgraph": (
            onnx(pb(1, pb(5, pb(6, pb(5, onnx_tensor(more=external(location="/etc/x"))))))),
            "no file below",
        ),
        "hidden in a constant": (
            onnx(pb(1, pb(5, pb(5, onnx_tensor(more=external(location="../x")))))),
            "no file below",
        ),
        "hidden in a function": (
            onnx(more=pb(25, pb(7, pb(5, pb(5, onnx_tensor(more=external(location="../x"))))))),
            "no file below",
        ),
        "hidden in a sparse tensor": (
            onnx(pb(15, pb(1, onnx_tensor(more=external(location="/x"))))),
            "no file below",
        ),
        "sizes of four bytes": (
            onnx(pb(5, onnx_tensor(dims=(), raw=b"abcd", more=b"\x0d\1\0\0\0"))),
            "field 1 is no list",
        ),
        "group without an end": (onnx(more=b"\x7b"), "has no end"),
        "end of no group": (onnx(more=b"\x7c"), "wire type 4"),
        "group with another end": (onnx(more=b"\x7b\x74"), "a group before byte"),
        "input of many dimensions": (
            onnx(pb(11, pb(1, "x") + pb(2, pb(1, pb(1, 1) + pb(2, pb(1, pb(1, 1)) * 65))))),
            "more than 64 dimensions",
        ),
        "field zero": (onnx(more=b"\x02\x00"), "has the number 0"),
        "maker a number": (onnx(more=pb(2, 5)), "is no text of at most"),
        "graph a number": (onnx(more=pb(7, 1)), "is no message"),
        "sizes in a row": (
            onnx(pb(5, pb(1, b"\x01" * 65) + pb(2, 1) + pb(9, b"abcd"))),
            "more than 64 integers",
        ),
        "sizes of kilobytes": (
            onnx(pb(5, pb(1, b"\x01" * 999) + pb(2, 1) + pb(9, b"abcd"))),
            "is no list of at most",
        ),
        "integer without end": (onnx(more=b"\x28" + b"\xff" * 11), "has no end"),
        "length without end": (onnx(more=b"\x12" + b"\xff" * 9 + b"\x01"), "cut off"),
        "many domains": (onnx(more=pb(8, pb(1, "d") + pb(2, 1)) * 300), "more than 256 versions"),
    }
    for name, (data, words) in files.items():
        yield file(f"onnx: {name}", data, words)


def _checkpoints() -> Iterator[Case]:
    index = real("variables.index")
    yield file(
        "checkpoint: block outside",
        index[:-48] + b"\0\0" + b"\xff\xff\xff\x03\x10" + bytes(33) + index[-8:],
        "outside of",
    )
    yield file(
        "checkpoint: block of gigabytes",
        index[:-48] + b"\0\0\0" + b"\xff\xff\xff\x7f" + bytes(33) + index[-8:],
        "a block of",
    )
    yield file("checkpoint: cut off", bytes(45) + index[-8:], "a block of")
    variable = pb(1, 1) + pb(2, pb(2, pb(1, 3)))
    shape = b"".join(pb(2, pb(1, 1)) for _ in range(65))
    many = [(0, b"a", variable)] * 100_001
    files = {
        "compressed": (block((0, b"a", variable), kind=1), "compressed"),
        "restarts beyond the block": (block((0, b"a", variable), restarts=1 << 20), "restarts"),
        "a name that shares more than there is": (
            block((0, b"a", variable), (2, b"b", variable)),
            "shares more",
        ),
        "a name of 64 KiB": (block((0, b"a" * 65_537, variable)), "longer than 65536"),
        "dimensions": (block((0, b"a", pb(1, 1) + pb(2, shape))), "64 dimensions"),
        "too many": (lambda: block(*many), "more than 100000 tensors"),
    }
    for what, (inside, words) in files.items():
        yield file(f"checkpoint: {what}", lambda i=inside: checkpoint(i() if callable(i) else i), words)  # type: ignore[misc]


def _zips() -> Iterator[Case]:
    plain = zipped({"a": b"12345678", "b": b"x"})
    names = {
        "traversal": b"../a", "traversal within": b"a/../../b", "absolute": b"/etc/passwd", "drive": b"C:/a", "backslash": b"a\\..\\b",
        "NUL": b"a\0.txt", "control": b"a\x1bb", "bidirectional": "a\u202egpj.exe".encode(), "zero width": "a\u200bb".encode(),
        "empty part": b"a//b", "too long": b"a" * 1025, "not UTF-8": b"\xff\xfe",
    }  # fmt: skip
    for what, name in names.items():
        yield file(f"zip: name, {what}", zip_named(name), "in the archive")
    files: dict[str, tuple[bytes | Callable[[], bytes], str]] = {
        "name twice": (zip_named(b"a", b"a"), "stands in the archive twice"),
        "bytes in front": (b"MZ-not" + plain, "before the archive"),
        "another name by its own header": (patched(plain, b"PK\x03\x04", 30, b"z"), "another file by its own header"),
        "no local header": (patched(plain, b"PK\x03\x04", 0, b"XX"), "another file by its own header"),
        "encrypted": (patched(plain, b"PK\x01\x02", 8, b"\x01\x00"), "encrypted"),
        "unknown compression": (patched(plain, b"PK\x01\x02", 10, b"\x63\x00"), "compressed by method 99"),
        "link": (patched(plain, b"PK\x01\x02", 38, struct.pack("<L", 0o120777 << 16)), "a link or a device"),
        "device": (patched(plain, b"PK\x01\x02", 38, struct.pack("<L", 0o020666 << 16)), "a link or a device"),
        "sizes that differ": (patched(plain, b"PK\x01\x02", 24, b"\xff\xff\x00\x00"), "that are not there"),
        "bytes that are not there": (patched(plain, b"PK\x01\x02", 20, b"\xff\xff\x00\x00" * 2), "that are not there"),
        "overlap": (patched(plain, b"PK\x01\x02", 42, b"\0\0\0\0"), "another file by its own header"),
        "one within another": (overlapping(), "on the bytes of another file"),
        "bytes in front that offsets count": (behind(b"#!/bin/sh\n", {"a": b"x"}), "before the archive"),
        "keras configuration of another size": (
            patched(zipped({"metadata.json": b"{}", "config.json": b"{}"}, zipfile.ZIP_DEFLATED), b"PK\x01\x02", 24, b"\x09"),
            "other than its declared 9 bytes",
        ),
        "keras configuration damaged": (
            patched(zipped({"metadata.json": b"{}", "config.json": b"{}"}, zipfile.ZIP_DEFLATED), b"PK\x03\x04", 41, b"\xff" * 4),
            "is damaged",
        ),
        "keras configuration of megabytes": (
            lambda: zipped({"config.json": b" " * (9 << 20), "metadata.json": b"{}"}), "the most is",
        ),
        "header outside": (patched(plain, b"PK\x01\x02", 42, b"\xff\xff\xff\x0f"), "outside of"),
        "files without end": (patched(plain, b"PK\x05\x06", 8, b"\xfe\xff\xfe\xff"), "cut off"),
        "several disks": (patched(plain, b"PK\x05\x06", 4, b"\x01\x00"), "several parts"),
        "table cut off": (patched(plain, b"PK\x05\x06", 10, b"\x03\x00"), "several parts"),
        "cut off": (plain[:-4], "missing or not at its end"),
        "bytes behind": (plain + b"\0", "bytes stand behind"),
        "comment that is cut off": (plain[:-2] + b"\x05\0", "bytes stand behind"),  # zipfile reads it
        "name in Unicode that is another": (other_name("a.txt", "config.json", b"x"), "another name"),
        "64-bit record before the file": (zip64(b"", count=0, size=0)[56:], "elsewhere than before its end"),
        "64-bit record of another kind": (patched(zip64(b"", count=0, size=0), b"PK\x06\x06", 0, b"PK\x06\x05"), "say different things"),
        "64-bit record on another disk": (patched(zip64(b"", count=0, size=0), b"PK\x06\x07", 16, b"\2"), "say different things"),
        "64-bit record of another size": (patched(zip64(b"", count=0, size=0), b"PK\x06\x06", 4, b"\x2d"), "say different things"),
        "64-bit record that says otherwise": (patched(zip64(b"", count=0, size=0), b"PK\x05\x06", 8, b"\1\0\1\0"), "say different things"),
        "64-bit size missing": (zip_without_size(), "lacks its 64-bit size"),
        "too many files": (zip64(b"", count=100_001, size=0), "the most are"),
        "table of megabytes": (lambda: zip64(bytes(17 << 20), count=1, size=17 << 20), "the most are"),
        "more in the table than its files": (zip64(plain[: plain.index(b"PK\x05\x06")] + b"more", count=2, size=98), "another length"),
        "entry that is none": (patched(plain, b"PK\x01\x02", 0, b"PK\x01\x03"), "cut off"),
        "entry longer than the table": (patched(plain, b"PK\x01\x02", 30, b"\xff\xff"), "cut off"),
        "bomb beside a large file": (lambda: bomb(2 << 30, beside=random.Random(1).randbytes(1 << 20)), "'zeros' in the archive unpacks"),
        "64-bit record missing": (patched(plain, b"PK\x05\x06", 12, b"\xff" * 8), ""),
        "bomb": (lambda: bomb(2 << 30), "more than 100 times"),
        "many small bombs": (lambda: bomb(300 << 20, count=5), "more than 100 times"),
        "npz that lies": (zipped({"a.npy": npy(array(shape="(9,)"), bytes(8))}), "needs 36 bytes"),
        "npz of something else": (zipped({"a.npy": b"not an array"}), "no array"),
        "keras configuration twice": (zipped({"config.json": b'{"a":1,"a":2}', "metadata.json": b"{}"}), "stands there twice"),
        "keras configuration nested": (
            zipped({"config.json": b"[" * 3000 + b"]" * 3000, "metadata.json": b"{}"}), "nested too deeply",
        ),
        "keras configuration of a million values": (
            lambda: zipped({"config.json": b"[" + b"0," * 600_000 + b"0]", "metadata.json": b"{}"}), "more than 250000 values",
        ),
        "keras configuration of lists in lists": (
            lambda: zipped({"config.json": b"[" + (b"[" * 60 + b"]" * 60 + b",") * 60_000 + b"0]", "metadata.json": b"{}"}),
            "more than 250000 values",
        ),
        "keras weights elsewhere": (
            lambda: zipped({"config.json": b"{}", "metadata.json": b"{}", "model.weights.h5": real("hdf5-external-data.h5")}),
            "another file",
        ),
        "skops schema nested": (zipped({"schema.json": b"[" * 3000 + b"]" * 3000}), "nested too deeply"),
        "skops schema with a key twice": (
            zipped({"schema.json": b'{"__loader__":"a","__class__":"b","__class__":"c"}'}), "stands there twice",
        ),
    }  # fmt: skip
    for what, (data, words) in files.items():
        yield file(f"zip: {what}", data, words)
    for what, data in [*two_tables()][:3]:
        yield file(f"zip: another table {what}", data, "the archive")
    skops = b'{"__loader__":"a","__class__":"b","x":['
    bombs: dict[str, Callable[[], bytes]] = {
        "objects in objects": lambda: zipped({"schema.json": b"[" + (b'{"a":' * 60 + b"1" + b"}" * 60 + b",") * 20_000 + b"0]"}),
        "nested values": lambda: zipped({"schema.json": skops + b"[[0]]," * 250_000 + b"0]}"}),
        "values, packed": lambda: zipped({"schema.json": skops + b"0," * 600_000 + b"0]}"}, zipfile.ZIP_DEFLATED),
        "megabytes": lambda: zipped({"schema.json": skops + b" " * (20 << 20) + b"0]}"}),
    }  # fmt: skip
    for what, made in bombs.items():
        yield Case(f"zip: skops schema of {what}", "small", made, FormatError)
    tiring = {f"{number}": b"N0" * 124_999 + b"\xff" for number in range(4)}
    yield file(
        "zip: pickle behind many values",
        lambda: zipped({**tiring, "p": SYSTEM + bytes(400_000)}),
        "more values",
    )
    wrapped = b'{"class_name": "TorchModuleWrapper", "config": {"module": "gASV"}}'
    yield file(
        "zip: keras around a pickle",
        zipped({"config.json": wrapped, "metadata.json": b"{}"}),
        "loading runs code",
        CodeError,
    )
    yield file("zip: pickle inside", zipped({"a.txt": b"hello", "b.txt": SYSTEM}), "posix system", CodeError)
    yield file(
        "zip: pickle inside, packed", zipped({"b": SYSTEM}, zipfile.ZIP_DEFLATED), "posix system", CodeError
    )
    yield file(
        "zip: program inside", zipped({"lib": b"\x7fELF" + bytes(60)}), "program of the machine", CodeError
    )
    yield file(
        "zip: pytorch inside",
        lambda: zipped({"m": torchlike.archive({"w": (1,)})}),
        "it is a pickle",
        CodeError,
    )
    yield file(
        "zip: objects in an array of skops",
        zipped(
            {
                "schema.json": b'{"__class__":"a","__module__":"b","__loader__":"c"}',
                "a.npy": npy(array("'|O'"), SYSTEM),
            }
        ),
        "Python objects",
        CodeError,
    )


def _tars() -> Iterator[Case]:
    plain = tarred(("a", b"x", b"0"))
    files = {
        "traversal": (tarred(("../a", b"", b"0")), "plain relative path"),
        "absolute": (retarred(plain, 0, b"/etc/passwd"), "plain relative path"),
        "backslash": (tarred(("a\\..\\b", b"", b"0")), "backslash"),
        "link": (tarred(("a", b"", b"2")), "a link"),
        "hard link": (tarred(("a", b"", b"1")), "a link"),
        "device": (tarred(("a", b"", b"3")), "a device"),
        "pipe": (tarred(("a", b"", b"6")), "a device"),
        "name twice": (tarred(("a", b"", b"0"), ("a", b"", b"0")), "in the tar twice"),
        "size outside": (retarred(plain, 124, b"77777777777\0"), "outside of"),
        "size of exabytes": (retarred(plain, 124, b"\x80\0\0\0\x7f" + b"\xff" * 7), "outside of"),
        "size negative": (retarred(plain, 124, b"\xff" * 12), "no number"),
        "size no number": (retarred(plain, 124, b"zzzzzzzzzzz\0"), "no number"),
        "damaged second header": (
            tarred(("a", b"x" * 600, b"0"), ("b", b"", b"0"))[:1536] + b"Z" + bytes(1023),
            "is damaged",
        ),
        "name of megabytes": (
            retarred(tarred(("a", bytes(1 << 20), b"0")), 156, b"L"),
            "a name of 1048576 bytes",
        ),
        "extended header damaged": (
            tarred(("a" * 200, b"", b"0"), form=tarfile.PAX_FORMAT).replace(b" path=", b"Xpath="),
            "is damaged",
        ),
        "extended header of no length": (tarred(("x", b"0 path=b\n", b"x"), ("a", b"", b"0")), "is damaged"),
        "extended header too long": (tarred(("x", b"99 path=b\n", b"x"), ("a", b"", b"0")), "is damaged"),
        "extended size": (
            tarred(("a" * 200, b"", b"0"), form=tarfile.PAX_FORMAT).replace(b" path=", b" size="),
            "no number",
        ),
    }
    for what, (data, words) in files.items():
        yield file(f"tar: {what}", data, words)
    yield file(
        "tar: pickle inside", tarred(("a", b"text", b"0"), ("b", SYSTEM, b"0")), "posix system", CodeError
    )
    for coat, data in packed(tarred(("b", SYSTEM, b"0"))):
        yield file(f"tar: pickle inside, {coat}", data, "posix system", CodeError)
    for coat, data in packed(tarred(("../b", b"", b"0"))):
        yield file(f"tar: traversal, {coat}", data, "plain relative path")


def _arrays() -> Iterator[Case]:
    files = {
        "shape larger": (npy(array(shape="(9,)"), bytes(8)), "needs 36 bytes"),
        "shape of exabytes": (npy(array(shape="(1152921504606846976,)"), bytes(8)), "needs"),
        "bytes behind": (npy(array(), bytes(9)), "needs 8 bytes"),
        "header of gigabytes": (
            npy(array(), bytes(8), version=2, size=1 << 30),
            "a header of 1073741824 bytes",
        ),
        "header longer than the file": (npy(array(), size=60_000), "a header of 60000 bytes"),
        "version 9": (npy(array(), bytes(8), version=9), "format version"),
        "a call in the header": (
            npy("{'descr': __import__('os').system('x'), 'fortran_order': False, 'shape': (2,)}"),
            "another form",
        ),
        "nested header": (
            npy("{'descr': " + "[" * 9000 + "]" * 9000 + ", 'fortran_order': False, 'shape': (2,)}"),
            "form",
        ),
        "product in the shape": (npy(array(shape="(2*10**9,)")), "another form"),
        "negative size": (npy(array(shape="(-1,)")), "another form"),
        "long size": (npy(array(shape=f"({'9' * 40},)")), "the size"),
        "many dimensions": (npy(array(shape=f"({'1,' * 65})"), bytes(4)), "more than 64 dimensions"),
        "unknown type": (npy(array("'object'")), "unknown type"),
        "types in a list": (npy(array("'i4,O'")), "unknown type"),
        "record without types": (npy(array("[]")), "form that is not read"),
        "record in other quotes": (npy(array('[("a", "O")]')), "form that is not read"),
        "record of an alias": (npy(array("[('a', 'object')]")), "unknown type"),
        "record with a title": (npy(array("[(('t', 'x'), '|O')]")), "unknown type"),
        "cut off": (b"\x93NUMPY\x01", "format version"),
        "header not UTF-8": (b"\x93NUMPY\x03\x00" + (2).to_bytes(4, "little") + b"\xff\n", "not UTF-8"),
    }
    for what, (data, words) in files.items():
        yield file(f"npy: {what}", data, words)
    yield file("npy: objects", npy(array("'|O'"), SYSTEM), "Python objects", CodeError)
    yield file(
        "npy: objects in a record",
        npy(array("[('a', '<i4'), ('b', [('c', '|O')])]"), SYSTEM),
        "objects",
        CodeError,
    )
    yield file("npz: objects", zipped({"a.npy": npy(array("'|O'"), SYSTEM)}), "Python objects", CodeError)
    for coat, data in packed(npy(array(), bytes(8))):
        yield Case(f"npy: {coat}", "small", lambda d=data: d, FormatError)  # type: ignore[misc]
    for coat, data in packed(npy(array("'|O'"), SYSTEM)):
        yield file(f"npy: objects, {coat}", data, "Python objects", CodeError)


def _templated(key: str, template: str) -> bytes:
    return gguf(keys=gguf_text(key) + struct.pack("<I", 8) + gguf_text(template), key_count=1)


def _templates() -> Iterator[Case]:
    ways = {
        "globals": "{{ self.__init__.__globals__ }}",
        "subclasses": "{{ ''['__class__']['__mro__'][1]['__subclasses__']() }}",
        "attr": "{{ messages | attr(name) }}",
        "escaped": "{{ messages['\\x5f\\x5fclass\\x5f\\x5f'] }}",
    }
    for what, template in ways.items():
        yield file(
            f"template: {what} in GGUF",
            _templated("tokenizer.chat_template", template),
            "chat template",
            CodeError,
        )
        raw = json.dumps({"a": 1, "chat_template": template}).encode()
        yield Case(f"template: {what} in JSON", "json", lambda r=raw: r, CodeError, "chat template")  # type: ignore[misc]
    bad = ways["globals"]
    named = json.dumps(
        {"chat_template": [{"name": "default", "template": "x"}, {"name": "tool_use", "template": bad}]}
    )
    yield Case("template: the second of several", "json", lambda: named.encode(), CodeError, "chat template")
    long = json.dumps({"chat_template": bad, "tokens": ["a"] * 300_000})
    yield Case("template: beside many values", "json", lambda: long.encode(), CodeError, "chat template")
    yield file(
        "template: a second one in GGUF",
        _templated("tokenizer.chat_template.tool_use", bad),
        "chat template",
        CodeError,
    )


def _arrow() -> Iterator[Case]:
    for end in ("parquet", "arrow", "arrows", "legacy"):
        yield file(
            f"arrow: a pickle for a type, {end}",
            real(f"pyarrow13-python-type.{end}"),
            "a pickle that PyArrow",
            CodeError,
        )
    stream = real("pyarrow13-python-type.arrows")
    size = int.from_bytes(stream[4:8], "little")
    longer = stream[:4] + (size + (17 << 20)).to_bytes(4, "little") + stream[8 : 8 + size] + bytes(17 << 20)
    yield file("arrow: a pickle in a schema of megabytes", longer, "a pickle that PyArrow", CodeError)
    behind = (
        longer[:2000].replace(b"arrow.py_extension_type", bytes(23))
        + bytes((1 << 20) - 2000)
        + b"arrow.py_extension_type"
    )
    yield file(
        "arrow: a pickle behind megabytes", behind + bytes(17 << 20), "a pickle that PyArrow", CodeError
    )
    cut = real("arrow.arrow")
    yield file("arrow: cut off", cut[:-1], "begin and end as Arrow does")
    yield file("arrow: another beginning", b"X" + cut[1:], "begin and end as Arrow does")
    yield file("arrow: nothing else", cut[:8], "begin and end as Arrow does")
    yield file(
        "arrow: footer larger than the file",
        cut[:-10] + b"\xff\xff\xff\x7f" + cut[-6:],
        "a footer of 2147483647 bytes",
    )


def _parquet() -> Iterator[Case]:
    deep = b"\x19\x1c" * 40  # lists of structs of lists
    files = {
        "cut off at the front": (real("parquet.parquet")[4:], "both begin and end"),
        "cut off at the end": (real("parquet.parquet")[:-4], "both begin and end"),
        "footer larger than the file": (parquet(b"\0", size=1 << 30), "a footer of 1073741824 bytes"),
        "empty footer": (parquet(b"\0"), "no number of rows"),
        "bytes behind the footer": (parquet(b"\0\0"), "follow the footer"),
        "nested": (parquet(deep), "nested deeper"),
        "list without end": (parquet(b"\x29\xf5" + b"\xff" * 9 + b"\x01"), "a list of"),
        "map without end": (parquet(b"\x2b" + b"\xff" * 9 + b"\x01"), "a map of"),
        "text without end": (parquet(b"\x28\xff\xff\xff\x7f"), "cut off"),
        "unknown type": (parquet(b"\x2e"), "unknown type 14"),
        "field twice": (parquet(b"\x15\x02\x05\x02\x02\x00"), "twice"),
        "integer without end": (parquet(b"\x15" + b"\xff" * 12), "has no end"),
        "schema without root": (parquet(b"\x15\x02\x19\x0c\x16\x00\x19\x0c\x00"), "no schema"),
        "encrypted": (b"PARE" + bytes(8) + b"PAR1", "encrypted"),
        "schema of many levels": (
            table_of(schema=[thrift((4, "root"), (5, 1))] * 26 + [thrift((1, 1), (4, "a"))]),
            "deeper than 24 levels",
        ),
        "rows that differ": (table_of(rows=2), "declares 2 rows, and its groups 1"),
        "rows that differ within": (table_of(group_rows=9), "declares 1 rows, and its groups 9"),
        "a column too many": (
            table_of(columns=[thrift((3, thrift((7, 1), (9, 4))))] * 2),
            "has 2 columns, and the schema 1",
        ),
        "a column in another file": (table_of(columns=[thrift((1, "/etc/passwd"))]), "in another file"),
        "a column without a place": (table_of(columns=[thrift((2, 4))]), "place is missing"),
        "a column at its end": (
            table_of(columns=[thrift((3, thrift((7, 1 << 40), (9, 4))))]),
            "outside of the file",
        ),
        "no group": (
            parquet(thrift((1, 1), (2, [thrift((4, "r"))]), (3, 0), (4, [thrift((2, 1))]))),
            "a row group has no columns",
        ),
        "schema too short": (
            table_of(schema=[thrift((4, "root"), (5, 2)), thrift((1, 1), (4, "a"))]),
            "fewer elements",
        ),
        "schema too long": (
            table_of(schema=[thrift((4, "root"), (5, 1)), *[thrift((1, 1), (4, "a"))] * 2]),
            "more elements",
        ),
        "schema without names": (table_of(schema=[thrift((5, 1)), thrift((1, 1))]), "has no name"),
        "schema nested": (table_of(schema=[thrift((4, "a"), (5, 1))] * 14), ""),
    }
    for what, (data, words) in files.items():
        yield file(f"parquet: {what}", data, words)
    whole = real("parquet.parquet")
    yield file(
        "parquet: columns outside", parquet(whole[_footer_at(whole) : -8], body=b""), "outside of the file"
    )


def _footer_at(data: bytes) -> int:
    return len(data) - 8 - int.from_bytes(data[-8:-4], "little")


def _json() -> Iterator[Case]:
    def named(name: str, data: bytes, words: str) -> Case:
        return Case(f"json: {name}", "json", lambda: data, FormatError, words)

    yield named("key twice", b'{"a":1,"a":2}', "a key twice")
    yield named("key twice within", b'[{"a":{"b":1,"b":1}}]', "a key twice")
    yield named("nested lists", b"[" * 100_000, "nested too deeply")
    yield named("nested objects", b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "nested too deeply")
    yield named("nested, of megabytes", b"[" * (8 << 20), "nested too deeply")


def _polyglots() -> Iterator[Case]:
    archive = zipped({"a": b"x"})
    hidden = zipped({"m/data.pkl": SYSTEM, "m/version": b"3"})
    table = safetensors({"a": tensor(0, len(hidden))}, hidden)
    image = b"\x89PNG\r\n\x1a\n" + bytes(504)
    files: dict[str, bytes] = {
        "safetensors and an archive": table,
        "gguf and an archive": gguf() + hidden,
        "array and an archive": npy(array("'|u1'", f"({len(hidden)},)"), hidden),
        "picture and an archive": image + archive,
        "program and an archive": b"\x7fELF" + bytes(60) + archive,
        "text and an archive": b"# README\n" + archive,
        "parquet and an archive": b"PAR1" + bytes(8) + archive,
        "hdf5 behind an archive": archive + bytes(512 - len(archive)) + FIRST + bytes(100),
        "hdf5 behind a picture": image + FIRST + bytes(100),
        "hdf5 behind gguf": gguf() + bytes(512 - len(gguf())) + FIRST + bytes(200),
        "gguf and parquet": gguf() + bytes(8) + b"PAR1",
        "array and parquet": npy(array("'|u1'", "(8,)"), b"\0\0\0\0PAR1"),
        "safetensors and parquet": safetensors({"a": tensor(0, 8)}, b"\0\0\0\0PAR1"),
        "tar and gguf": retarred(tarred(("a", b"", b"0")), 0, gguf()[:32]),
        "tar and an archive": tarred(("a", b"x", b"0")) + archive,
        "tar and hdf5": tarred(("a", FIRST, b"0")),
        "pickle and an archive": b"cposix\nsystem\n(S'id'\ntR." + archive,
        "pickle and gguf behind it": SYSTEM + bytes(512 - len(SYSTEM)) + FIRST + bytes(64),
        "checkpoint and gguf": gguf() + bytes(40) + real("variables.index")[-48:],
    }
    for what, data in files.items():
        yield file(f"polyglot: {what}", data, "")
    size = 0x58 | 4 << 8
    text = b'{"__metadata__":{"a":"'
    pad = b"b" * (4 + 5 - 8 - len(text))
    header = text + pad
    program = (header + b"0" + SYSTEM).ljust(size - 3, b" ")
    yield file("polyglot: pickle in a header", struct.pack("<Q", size) + program + b'"}}', "")
