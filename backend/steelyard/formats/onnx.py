"""ONNX: a protobuf message without a magic number. Source: onnx/onnx.proto, IR versions 3 to 13."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from steelyard.errors import FormatError
from steelyard.formats.report import (
    MAX_LISTED,
    MAX_TENSORS,
    External,
    FormatReport,
    Tensor,
    elements,
    shown,
)
from steelyard.formats.window import Window
from steelyard.formats.wire import BYTES, VARINT, Field, fields, message, numbers, signed, text

_MAX_IR: Final = 30
_MAX_DIMENSIONS: Final = 64
_MAX_PORTS: Final = 4096
_MAX_DOMAINS: Final = 256
_LISTS: Final = frozenset({7, 8, 9})
_TYPES: Final = {
    0: ("undefined", 0), 1: ("float32", 32), 2: ("uint8", 8), 3: ("int8", 8), 4: ("uint16", 16), 5: ("int16", 16),
    6: ("int32", 32), 7: ("int64", 64), 8: ("string", 0), 9: ("bool", 8), 10: ("float16", 16), 11: ("float64", 64),
    12: ("uint32", 32), 13: ("uint64", 64), 14: ("complex64", 64), 15: ("complex128", 128), 16: ("bfloat16", 16),
    17: ("float8e4m3fn", 8), 18: ("float8e4m3fnuz", 8), 19: ("float8e5m2", 8), 20: ("float8e5m2fnuz", 8),
    21: ("uint4", 4), 22: ("int4", 4), 23: ("float4e2m1", 4), 24: ("float8e8m0", 8), 25: ("uint2", 2), 26: ("int2", 2),
    27: ("float6e2m3", 6), 28: ("float6e3m2", 6),
}  # fmt: skip


def claims(window: Window, head: bytes) -> bool:
    """Whether a file looks like this: an IR version, then other fields that a model has, within the file."""
    if len(head) < 4 or head[0] != 0x08 or not 1 <= head[1] <= _MAX_IR:
        return False
    try:
        start = [
            (field.number, field.kind)
            for field, _ in zip(fields(window, 0, window.size), range(4), strict=False)
        ]
    except FormatError:
        return _is_meant(head)
    known = {(1, VARINT), (5, VARINT), *((number, BYTES) for number in (2, 3, 4, 6, 7, 8, 14, 20, 25, 26))}
    found = {number for number, _ in start}
    return set(start) <= known and (bool(found & {7, 8}) or len(found) >= 4)


def _is_meant(head: bytes) -> bool:
    """Whether what is cut off within its first fields was meant as a model: its maker's name, a graph or an opset."""
    if head[2] == 0x12:
        name = head[4 : 4 + head[3]]
        return 0 < len(name) == head[3] < 64 and name.isascii() and name.decode().isprintable()
    rest = head[3:].lstrip(bytes(range(128, 256)))[1:]
    return (
        head[2] == 0x3A and rest[:1] in (b"\x0a", b"\x12", b"\x2a") and len(rest) > 2 and rest[1] < 128
    ) or (head[2] == 0x42 and rest[:1] in (b"\x0a", b"\x10"))


def read(window: Window) -> FormatReport:
    """Read the model but its weights.

    Raises:
        FormatError: it is cut off or nested too deeply, has no graph or two, has weights of a size that their shape
            does not give, or names files outside of its folder.
    """
    model = _Model(window)
    graphs = 0
    for field in fields(window, 0, window.size):
        if field.number == 1 and field.kind == VARINT:
            model.versions.append(("ir", str(field.value)))
        elif field.number == 2:
            model.versions.append(("producer", shown(text(window, field))[:100]))
        elif field.number == 8:
            model.opset(*message(field))
        elif field.number == 7:
            graphs += 1
            model.graph(*message(field), depth=1)
        elif field.number == 25:
            for part in fields(window, *message(field), depth=1):
                if part.number == 7:
                    model.node(*message(part), depth=2)
        if len(model.versions) > _MAX_DOMAINS:
            raise FormatError(f"it names more than {_MAX_DOMAINS} versions")
    if graphs != 1:
        raise FormatError(f"it has {graphs} graphs, and a model has one")
    names = {tensor.name for tensor in model.tensors}
    notes = (f"operators of its own: {', '.join(sorted(model.own))[:200]}",) if model.own else ()
    return FormatReport(
        format="onnx",
        tensors=tuple(model.tensors),
        count=model.count,
        parameters=model.parameters,
        # Up to IR 3 every initializer is named as an input too.
        inputs=tuple(port for port in model.inputs if port.name not in names),
        outputs=tuple(model.outputs),
        versions=tuple(model.versions),
        external=tuple(External(path=path, end=end) for path, end in model.external.items()),
        notes=notes,
    )


class _Model:
    """Fills up while a model is read."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self.versions: list[tuple[str, str]] = []
        self.tensors: list[Tensor] = []
        self.count = self.parameters = 0
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self.external: dict[str, int] = {}
        self.own: set[str] = set()

    def opset(self, start: int, end: int) -> None:
        domain, version = "", 0
        for field in fields(self._window, start, end, depth=1):
            if field.number == 1:
                domain = text(self._window, field, 512)
            elif field.number == 2 and field.kind == VARINT:
                version = signed(field.value)
        self.versions.append((f"opset {domain or 'ai.onnx'}", str(version)))
        if domain and domain != "ai.onnx" and not domain.startswith(("ai.onnx.", "com.microsoft")):
            self.own.add(domain[:80])

    def graph(self, start: int, end: int, *, depth: int) -> None:
        for field in fields(self._window, start, end, depth=depth):
            if field.number == 1:
                self.node(*message(field), depth=depth + 1)
            elif field.number == 5:
                self.tensor(*message(field), depth=depth + 1)
            elif field.number == 15:
                for part in fields(self._window, *message(field), depth=depth + 1):
                    if part.number in (1, 2):
                        self.tensor(*message(part), depth=depth + 2)
            elif field.number in (11, 12) and depth == 1:
                ports = self.inputs if field.number == 11 else self.outputs
                if len(ports) < _MAX_PORTS:
                    ports.append(_port(self._window, *message(field)))

    def node(self, start: int, end: int, *, depth: int) -> None:
        for field in fields(self._window, start, end, depth=depth):
            if field.number == 5:
                self._attribute(*message(field), depth=depth + 1)

    def _attribute(self, start: int, end: int, *, depth: int) -> None:
        # Trees hold their numbers here, by the million.
        for field in fields(self._window, start, end, depth=depth, skip_runs=_LISTS):
            if field.number in (5, 10):
                self.tensor(*message(field), depth=depth + 1)
            elif field.number in (6, 11):
                self.graph(*message(field), depth=depth + 2)
            elif field.number in (22, 23):
                for part in fields(self._window, *message(field), depth=depth + 1):
                    if part.number in (1, 2):
                        self.tensor(*message(part), depth=depth + 2)

    def tensor(self, start: int, end: int, *, depth: int) -> None:
        name, kind, shape, raw = "", 0, [], None
        data = external = False
        places: dict[str, str] = {}
        for field in fields(self._window, start, end, depth=depth):
            if field.number == 1:
                shape += numbers(self._window, field, _MAX_DIMENSIONS)
            elif field.number == 2:
                kind = field.value
            elif field.number == 8:
                name = text(self._window, field)
            elif field.number == 9:
                raw = field.value
            elif field.number == 13:
                key, value = _entry(self._window, *message(field), depth=depth + 1)
                if key in places:
                    raise FormatError(f"tensor {name[:80]!a} says twice where its {key[:20]!a} is")
                places[key] = value
            elif field.number == 14:
                external = field.value == 1
            data |= field.number in (4, 5, 6, 7, 10, 11)
            if len(shape) > _MAX_DIMENSIONS:
                raise FormatError(f"tensor {name[:80]!a} has more than {_MAX_DIMENSIONS} dimensions")
        if kind not in _TYPES or any(size >= 1 << 62 for size in shape):
            raise FormatError(f"tensor {name[:80]!a} has the unknown type {kind}, or a negative size")
        dtype, bits = _TYPES[kind]
        size = -(-elements(shape) * bits // 8)
        if external or places:
            self._external(name, places, size)
        elif raw is not None and bits and raw != size:
            raise FormatError(f"tensor {name[:80]!a} needs {size} bytes, and has {raw}")
        elif raw is None and not data and size and bits:
            raise FormatError(f"tensor {name[:80]!a} needs {size} bytes, and has none")
        self.count += 1
        self.parameters += elements(shape)
        if self.count > MAX_TENSORS:
            raise FormatError(f"it has more than {MAX_TENSORS} tensors")
        if len(self.tensors) < MAX_LISTED:
            self.tensors.append(Tensor(name=shown(name), dtype=dtype, shape=tuple(shape)))

    def _external(self, name: str, places: dict[str, str], size: int) -> None:
        path = places.get("location", "")
        parts = path.split("/")
        if (
            not path
            or "\\" in path
            or ":" in path
            or "\0" in path
            or any(part in ("", ".", "..") for part in parts)
        ):
            raise FormatError(
                f"tensor {name[:80]!a} lies in {path[:80]!a}, which is no file below the folder of the model"
            )
        start, length = _count(places, "offset", 0), _count(places, "length", size)
        if size and length != size:
            raise FormatError(
                f"tensor {name[:80]!a} needs {size} bytes, and {length} are declared in {path[:80]!a}"
            )
        self.external[path] = max(self.external.get(path, 0), start + length)
        if len(self.external) > MAX_LISTED:
            raise FormatError(f"its weights lie in more than {MAX_LISTED} files")


def _count(places: dict[str, str], key: str, default: int) -> int:
    value = places.get(key)
    if value is None:
        return default
    if not value.isascii() or not value.isdigit() or len(value) > 18:
        raise FormatError(f"{key} of weights in another file is {value[:40]!a}")
    return int(value)


def _entry(window: Window, start: int, end: int, *, depth: int) -> tuple[str, str]:
    key = value = ""
    for field in fields(window, start, end, depth=depth):
        if field.number == 1:
            key = text(window, field, 1024)
        elif field.number == 2:
            value = text(window, field, 4096)
    return key, value


def _port(window: Window, start: int, end: int) -> Tensor:
    """Return an input or output: ValueInfoProto."""
    name, dtype, shape = "", "other", list[int | str]()
    for field in fields(window, start, end, depth=2):
        if field.number == 1:
            name = text(window, field)
        elif field.number == 2:
            for kind in fields(window, *message(field), depth=3):
                if kind.number == 1:
                    dtype, shape = _tensor_type(window, kind)
    return Tensor(name=shown(name), dtype=dtype, shape=tuple(shape))


def _tensor_type(window: Window, field: Field) -> tuple[str, list[int | str]]:
    dtype, shape = "undefined", list[int | str]()
    for part in fields(window, *message(field), depth=4):
        if part.number == 1 and part.kind == VARINT:
            dtype = _TYPES.get(part.value, ("unknown", 0))[0]
        elif part.number == 2:
            shape = list(_dimensions(window, part))
    return dtype, shape


def _dimensions(window: Window, field: Field) -> Iterator[int | str]:
    for count, item in enumerate(fields(window, *message(field), depth=5)):
        if count >= _MAX_DIMENSIONS:
            raise FormatError(f"an input or output has more than {_MAX_DIMENSIONS} dimensions")
        size: int | str = "?"
        for part in fields(window, *message(item), depth=6):
            if part.number == 1 and part.kind == VARINT:
                size = part.value if part.value < 1 << 62 else "?"
            elif part.number == 2:
                size = text(window, part, 4096)[:80]
        yield size
