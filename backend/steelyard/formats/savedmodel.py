"""TensorFlow: ``saved_model.pb`` (a protobuf message) and the index of a checkpoint (a table as in LevelDB).

Source: tensorflow/core/protobuf/{saved_model,meta_graph,tensor_bundle}.proto and tensorflow/core/lib/io/table.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from steelyard.errors import FormatError
from steelyard.formats.report import MAX_LISTED, MAX_TENSORS, FormatReport, Tensor, elements, shown
from steelyard.formats.window import Cursor, Window, text_of
from steelyard.formats.wire import BYTES, VARINT, Field, fields, message, text

_MAX_GRAPHS: Final = 64
_MAX_PORTS: Final = 4096
_MAX_BLOCK: Final = 8 << 20
_MAGIC: Final = (0xDB4775248B80FB57).to_bytes(8, "little")
_FOOTER: Final = 48
_TYPES: Final = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "string", 8: "complex64", 9: "int64",
    10: "bool", 14: "bfloat16", 17: "uint16", 18: "complex128", 19: "float16", 20: "resource", 21: "variant",
    22: "uint32", 23: "uint64", 24: "float8e5m2", 25: "float8e4m3fn", 29: "int4", 30: "uint4",
}  # fmt: skip
# Operators that run Python, load programs or write files of the graph maker's choice.
_CODE: Final = frozenset(
    {"PyFunc", "PyFuncStateless", "EagerPyFunc", "ReadFile", "WriteFile", "MatchingFiles"}
)


def claims(window: Window, head: bytes) -> bool:
    """Whether a file looks like this: a schema version, then graphs, and nothing else."""
    if len(head) < 4 or head[:2] != b"\x08\x01" or head[2] != 0x12:
        return False
    try:
        for count, field in enumerate(fields(window, 2, window.size)):
            if field.number != 2 or field.kind != BYTES or count > _MAX_GRAPHS:
                return False
            if any(
                part.kind != BYTES or part.number > 7
                for part in fields(window, field.start, field.end, depth=1)
            ):
                return False
    except FormatError:
        return False
    return True


def read(window: Window) -> FormatReport:
    """Read the signatures and the names of the operators.

    Raises:
        FormatError: it is cut off or nested too deeply.
    """
    ports: dict[str, list[Tensor]] = {"inputs": [], "outputs": []}
    versions: list[tuple[str, str]] = []
    code: set[str] = set()
    for field in fields(window, 2, window.size):
        for part in fields(window, *message(field), depth=1):
            if part.number == 1:
                versions += _versions(window, part)
            elif part.number == 2:
                code |= _code(window, part)
            elif part.number == 5:
                _signature(window, part, ports)
    why = (
        f"its graph has operators that run programs or touch files: {', '.join(sorted(code))}"
        if code
        else None
    )
    return FormatReport(
        format="tf-savedmodel",
        code=why,
        inputs=tuple(ports["inputs"]),
        outputs=tuple(ports["outputs"]),
        versions=tuple(dict.fromkeys(versions)),
    )


def _versions(window: Window, meta: Field) -> Iterator[tuple[str, str]]:
    for field in fields(window, *message(meta), depth=2):
        if field.number == 5:
            yield "tensorflow", text(window, field, 256)[:40]


def _code(window: Window, graph: Field) -> set[str]:
    """Return operators of GraphDef.node and of the functions in GraphDef.library that are in our list."""
    found: set[str] = set()
    for field in fields(window, *message(graph), depth=2):
        if field.number == 1:
            found |= _operator(window, field)
        elif field.number == 2:
            for function in fields(window, *message(field), depth=3):
                if function.number == 1:
                    for node in fields(window, *message(function), depth=4):
                        if node.number == 3:
                            found |= _operator(window, node)
    return found


def _operator(window: Window, node: Field) -> set[str]:
    for field in fields(window, *message(node), depth=5):
        if field.number == 2:
            return {text(window, field, 1024)} & _CODE
    return set()


def _signature(window: Window, entry: Field, ports: dict[str, list[Tensor]]) -> None:
    """Read an entry of the map from name to SignatureDef."""
    name, body = "", None
    for field in fields(window, *message(entry), depth=2):
        if field.number == 1:
            name = text(window, field)
        elif field.number == 2:
            body = field
    if body is None or name == "__saved_model_init_op":
        return
    for field in fields(window, *message(body), depth=3):
        if field.number in (1, 2):
            kept = ports["inputs" if field.number == 1 else "outputs"]
            if len(kept) < _MAX_PORTS:
                kept.append(_port(window, field, name))


def _port(window: Window, entry: Field, signature: str) -> Tensor:
    name, dtype, shape = "", "unknown", list[int | str]()
    for field in fields(window, *message(entry), depth=4):
        if field.number == 1:
            name = text(window, field)
        elif field.number == 2:
            for part in fields(window, *message(field), depth=5):
                if part.number == 2 and part.kind == VARINT:
                    dtype = _TYPES.get(part.value, "unknown")
                elif part.number == 3:
                    shape = _shape(window, part, depth=6)
    return Tensor(name=shown(f"{signature}:{name}"), dtype=dtype, shape=tuple(shape))


def _shape(window: Window, field: Field, *, depth: int) -> list[int | str]:
    sizes: list[int | str] = []
    for part in fields(window, *message(field), depth=depth):
        if part.number == 2:
            size: int | str = 0
            for item in fields(window, *message(part), depth=depth + 1):
                if item.number == 1 and item.kind == VARINT:
                    size = item.value if item.value < 1 << 62 else "?"
            sizes.append(size)
        elif part.number == 3 and part.value:
            return ["?"]
        if len(sizes) > 64:
            raise FormatError("a tensor has more than 64 dimensions")
    return sizes


# -- checkpoint index ----------------------------------------------------------------------------------------


def claims_index(window: Window, head: bytes) -> bool:
    """Whether a file ends as such a table does."""
    return window.size >= _FOOTER and window.at(window.size - 8, 8) == _MAGIC


def read_index(window: Window) -> FormatReport:
    """Read the names, types and shapes of the variables.

    Raises:
        FormatError: it is cut off, compressed, or its blocks lie outside of it.
    """
    footer = Cursor(window, window.size - _FOOTER, window.size - 8)
    footer.varint(), footer.varint()
    tensors: list[Tensor] = []
    count = parameters = 0
    for _, value in _entries(window, footer.varint(), footer.varint()):
        handle = Cursor(window, *value)
        for key, entry in _entries(window, handle.varint(), handle.varint()):
            name = text_of(key)
            if not name:
                continue  # the header
            dtype, shape = _variable(window, *entry)
            if dtype == "string" and "CHECKPOINTABLE_OBJECT_GRAPH" in name:
                continue
            count += 1
            if count > MAX_TENSORS:
                raise FormatError(f"it has more than {MAX_TENSORS} tensors")
            parameters += elements(shape)
            if len(tensors) < MAX_LISTED:
                tensors.append(Tensor(name=shown(name), dtype=dtype, shape=tuple(shape)))
    return FormatReport(
        format="tf-checkpoint-index", tensors=tuple(tensors), count=count, parameters=parameters
    )


def _entries(window: Window, start: int, size: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Yield key and place of the value of each entry of a block."""
    if size > _MAX_BLOCK or size < 4:
        raise FormatError(f"a block of {size} bytes is declared; the most is {_MAX_BLOCK}")
    window.require(start, size + 5)
    if window.at(start + size, 1) != b"\0":
        raise FormatError("a block is compressed, which checkpoints are not")
    restarts = int.from_bytes(window.at(start + size - 4, 4), "little")
    if 4 * restarts + 4 > size:
        raise FormatError(f"a block of {size} bytes declares {restarts} restarts")
    cursor, key = Cursor(window, start, start + size - 4 - 4 * restarts), b""
    while cursor.left:
        window.step()
        shared, rest, length = cursor.varint(), cursor.varint(), cursor.varint()
        if shared > len(key) or shared + rest > 65_536:
            raise FormatError("a name is longer than 65536 bytes, or shares more than there is")
        key = key[:shared] + cursor.take(rest)
        place = cursor.place
        cursor.skip(length)
        yield key, (place, place + length)


def _variable(window: Window, start: int, end: int) -> tuple[str, list[int | str]]:
    """Read a BundleEntryProto."""
    dtype, shape = "unknown", list[int | str]()
    for field in fields(window, start, end, depth=1):
        if field.number == 1 and field.kind == VARINT:
            dtype = _TYPES.get(field.value, "unknown")
        elif field.number == 2:
            shape = _shape(window, field, depth=2)
    return dtype, shape
