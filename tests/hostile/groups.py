"""Hostile HDF5: real files with bytes changed, and files written object by object."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from steelyard.errors import CodeError, FormatError
from tests.hostile.cases import FIRST, Case, file, patched, real

_ROOT_AT = 48
_LINK, _ATTRIBUTE, _CONTINUE = 0x06, 0x0C, 0x10
_TEXT = b"\x19\x01\0\0" + struct.pack("<I", 16) + b"\x13\0\0\0" + struct.pack("<I", 1)
_ONE = b"\x02\0\0\0"
LAMBDA = b'{"class_name": "Lambda", "config": {}}'


def cases() -> Iterator[Case]:
    yield from _damaged()
    yield from _written()
    yield from _dense()


def _written() -> Iterator[Case]:
    deep = b"".join(header(link(b"g", _ROOT_AT + 30 * (level + 1))) for level in range(40))
    yield file("hdf5: groups in groups", hdf5(deep, header()), "groups deeper than 32")
    yield file("hdf5: objects without end", _many, "more than 100000 objects")
    yield file("hdf5: header that turns round", hdf5(_block_at(b"OCHK")), "larger than the file")
    yield file("hdf5: header that goes on in nothing", hdf5(_block_at(b"OCHX")), "goes on where none is")
    damaged = header(link(b"a", 1 << 20))
    yield file("hdf5: link outside", hdf5(damaged), "outside of")
    texts = [attribute(b"a%d" % number, _place(6 << 20)) for number in range(30)]
    yield Case(
        "hdf5: attributes of megabytes",
        "small",
        lambda: hdf5(_described(*texts), heap(bytes(6 << 20))),
        FormatError,
    )
    config = attribute(b"model_config", _place(len(LAMBDA)))
    twice = _described(config, config)
    yield file("hdf5: a configuration twice", hdf5(twice, heap(LAMBDA)), "model_config twice")
    long = attribute(b"model_config", _place(9 << 20))
    yield file("hdf5: a configuration of megabytes", hdf5(_described(long), heap(LAMBDA)), "too long")
    cases = {
        "Lambda": config,
        "Lambda of a type elsewhere": attribute(b"model_config", _place(len(LAMBDA)), flags=1),
        "Lambda of an unread type": attribute(b"model_config", LAMBDA, kind=_sized(b"\x15", len(LAMBDA))),
        "Lambda in a message elsewhere": message(_ATTRIBUTE, bytes(10), flags=2),
    }
    for what, item in cases.items():
        yield file(f"hdf5: {what}", hdf5(_described(item), heap(LAMBDA)), "loading runs code", CodeError)


def _dense() -> Iterator[Case]:
    """Yield files of links and attributes in heaps, damaged."""
    dense, deep = real("hdf5-dense.h5"), real("hdf5-dense-deep.h5")
    cases = {
        "heap that is none": (dense.replace(b"FRHP", b"FRHX"), "lie in no heap"),
        "heap of no width": (patched(dense, b"FRHP", 110, b"\0\0"), "no powers of two"),
        "heap whose blocks are larger than the largest": (patched(dense, b"FRHP", 112, b"\0\0\0\0\1"), "no powers of two"),
        "heap of 2**65535 bytes": (patched(dense, b"FRHP", 128, b"\xff\xff"), "no powers of two"),
        "block that is none": (dense.replace(b"FHDB", b"FHDX"), "no block where one should be"),
        "message that leaves its block": (patched(dense, b"BTLF\0\x08", 12, b"\xff\xff"), "no block where one should be"),
        "table that is none": (deep.replace(b"FHIB", b"FHIX"), "no table where one should be"),
        "index that is none": (dense.replace(b"BTHD", b"BTHX"), "have no index"),
        "index of longer records": (patched(dense, b"BTHD", 10, b"\x12"), "another form"),
        "index of huge depth": (patched(dense, b"BTHD", 12, b"\xff\xff"), "another form"),
        "index of tiny nodes": (patched(dense, b"BTHD", 6, b"\x20\0\0\0"), "another form"),
        "index without leaves": (dense.replace(b"BTLF", b"BTLX"), "turns round"),
        "index of more records than a node has": (patched(dense, b"BTHD", 24, b"\xff\x7f"), "turns round"),
        "index that turns round": (_turned(deep), "turns round"),
        "large attribute outside": (patched(dense, b"BTLF\0\1", 6, b"\xff" * 7), "outside of"),
    }  # fmt: skip
    for what, (data, words) in cases.items():
        yield file(f"hdf5: {what}", data, words)
    yield file("hdf5: Lambda in a heap", dense, "loading runs code", CodeError)
    yield file("hdf5: pickle behind 900 links", deep, "loading runs code", CodeError)


def _turned(deep: bytes) -> bytes:
    """Return the file with the second child of the index's root in place of all others."""
    root = deep.index(b"BTIN")
    count = int.from_bytes(deep[deep.index(b"BTHD") + 24 :][:2], "little")
    first = root + 6 + 11 * count
    return deep[: first + 9] + deep[first : first + 9] + deep[first + 18 :]


def hdf5(root: bytes, more: bytes = b"") -> bytes:
    """Return a file of a root object and what follows it."""
    size = _ROOT_AT + len(root) + len(more)
    places = struct.pack("<4Q", 0, (1 << 64) - 1, size, _ROOT_AT)
    return FIRST + b"\x02\x08\x08\0" + places + bytes(4) + root + more


def header(*messages: bytes) -> bytes:
    """Return an object of these messages."""
    body = b"".join(messages)
    return b"OHDR\x02\x02" + struct.pack("<I", len(body)) + body + bytes(4)


def message(kind: int, body: bytes, *, flags: int = 0) -> bytes:
    return struct.pack("<BHB", kind, len(body), flags) + body


def link(name: bytes, place: int) -> bytes:
    return message(_LINK, bytes([1, 0, len(name)]) + name + struct.pack("<Q", place))


def attribute(name: bytes, value: bytes, *, kind: bytes = _TEXT, flags: int = 0) -> bytes:
    sizes = struct.pack("<3H", len(name) + 1, len(kind), len(_ONE))
    return message(_ATTRIBUTE, bytes([3, flags]) + sizes + b"\0" + name + b"\0" + kind + _ONE + value)


def heap(text: bytes) -> bytes:
    """Return a heap of one text."""
    return (
        b"GCOL\x01\0\0\0"
        + struct.pack("<Q", 32 + len(text))
        + struct.pack("<HHIQ", 1, 1, 0, len(text))
        + text
    )


def _sized(kind: bytes, size: int) -> bytes:
    return kind + bytes(3) + struct.pack("<I", size)


def _place(size: int) -> bytes:
    """Return the reference to the text of a heap behind the root, which is filled up to ``_HEAP_AT``."""
    return struct.pack("<IQI", size, _HEAP_AT, 1)


_HEAP_AT = 4096


def _described(*attributes: bytes) -> bytes:
    """Return an object of attributes, filled up so that a heap behind it is at its place."""
    free = _HEAP_AT - _ROOT_AT - len(header(*attributes, message(0, b"")))
    return header(*attributes, message(0, bytes(free)))


def with_attribute(name: str, value: bytes, *, flags: int = 0) -> bytes:
    """Return a file with a group that has a text of fixed size."""
    kind = _sized(b"\x13", len(value) or 1)
    return _grouped(attribute(name.encode(), value or b"\0", kind=kind, flags=flags))


def with_text(name: str, value: bytes) -> bytes:
    """Return a file with a group that has a text that lies in a heap."""
    return _grouped(attribute(name.encode(), _place(len(value)))) + heap(value)


def _grouped(item: bytes) -> bytes:
    """Return a file with a group that has an attribute, filled up so that a heap behind it is at its place."""
    place = _ROOT_AT + len(header(link(b"g", 0)))
    free = _HEAP_AT - place - len(header(item, message(0, b"")))
    return hdf5(header(link(b"g", place)), header(item, message(0, bytes(max(0, free)))))


def _many() -> bytes:
    """Return a file of more groups than are followed."""
    count = 100_001
    start, size = _ROOT_AT + len(header()) + count * len(link(b"g", 0)), len(header())
    return hdf5(header(*(link(b"g", start + size * number) for number in range(count))), header() * count)


def _block_at(sign: bytes) -> bytes:
    """Return an object whose header goes on in a block that goes on in itself."""
    size = len(header(message(_CONTINUE, bytes(16))))
    onward = message(_CONTINUE, struct.pack("<QQ", _ROOT_AT + size, 28))
    return header(onward) + sign + onward + bytes(4)


def _damaged() -> Iterator[Case]:
    whole = real("hdf5-earliest.h5")
    words = {
        "external-link": "another file",
        "external-data": "another file",
        "virtual": "virtual",
        "user-block": "before the HDF5",
    }
    for name, text in words.items():
        yield file(f"hdf5: {name}", lambda n=name: real(f"hdf5-{n}.h5"), text)  # type: ignore[misc]
    files = {
        "cut off": (whole[: len(whole) // 2], "before its declared end"),
        "unknown superblock": (whole[:8] + b"\x09" + whole[9:], "superblock 9"),
        "short addresses": (whole[:13] + b"\x04\x04" + whole[15:], "not 8 bytes"),
        "root outside": (whole[:64] + b"\xff" * 7 + b"\x0f" + whole[72:], "outside of"),
        "base elsewhere": (whole[:24] + b"\x08" + whole[25:], "does not begin"),
        "only the signature": (FIRST, "outside of"),
        "no object at its root": (_root(whole, 0, b"\x07"), "no object stands at byte"),
        "header of megabytes": (_root(whole, 8, b"\xff\xff\xff\x7f"), "outside of"),
        "messages without end": (_root(whole, 18, b"\xff\xff"), "leaves its header"),
        "names without a heap": (whole.replace(b"HEAP", b"HEAX", 1), "no heap of names"),
        "damaged names": (whole.replace(b"SNOD", b"SNOX", 1), "damaged list of names"),
        "damaged tree": (whole.replace(b"TREE", b"TREX", 1), "damaged tree"),
        "heap outside": (_after(whole, b"HEAP", 8, b"\xff" * 7), "outside of"),
        "text outside of its heap": (_after(whole, b"GCOL", 16, b"\x77\x77"), "not in its heap"),
        "text in no heap": (whole.replace(b"GCOL", b"GCOX"), "lies in no heap"),
        "shape of another form": (
            _after(whole, b"\x01\x00\x18\x00" + bytes(4) + b"\x01", 8, b"\x03"),
            "unknown form",
        ),
        "dimensions": (_after(whole, b"\x01\x00\x18\x00" + bytes(4) + b"\x01", 9, b"\x21"), "unknown form"),
        "header that turns round, older": (_older(whole), "larger than the file"),
        "tree that turns round": (_turning(whole), ""),
    }
    for what, (data, text) in files.items():
        yield file(f"hdf5: {what}", data, text)
    yield file(
        "hdf5: Lambda behind more messages than declared",
        lambda: _root(real("keras-lambda.h5"), 2, b"\x01\0"),
        "loading runs code",
        CodeError,
    )
    # Where a name must end, the library does not look.
    named = real("keras-lambda.h5").replace(b"model_config\0", b"model_configX", 1)
    yield file("hdf5: Lambda under a name without end", named, "loading runs code", CodeError)


def _older(whole: bytes) -> bytes:
    """Return a file whose root has a header of the older form that goes on in itself."""
    at = len(whole)
    size = struct.pack("<Q", at + 40)
    onward = struct.pack("<HHI", _CONTINUE, 16, 0) + struct.pack("<QQ", at + 16, 24)
    root = b"\x01\0\x01\0" + struct.pack("<III", 1, 24, 0) + onward
    return whole[:40] + size + whole[48:64] + struct.pack("<Q", at) + whole[72:] + root


def _after(whole: bytes, sign: bytes, offset: int, value: bytes) -> bytes:
    """Return a file with bytes changed behind the first place of a signature."""
    at = whole.find(sign) + offset
    return whole[:at] + value + whole[at + len(value) :]


def _root(whole: bytes, offset: int, value: bytes) -> bytes:
    """Return a file with bytes of its root group's header changed."""
    at = int.from_bytes(whole[64:72], "little") + offset
    return whole[:at] + value + whole[at + len(value) :]


def _turning(whole: bytes) -> bytes:
    """Return a file whose first tree of a group has itself as its child."""
    at = whole.find(b"TREE\0")
    return whole[: at + 5] + b"\x01" + whole[at + 6 : at + 32] + struct.pack("<Q", at) + whole[at + 40 :]
