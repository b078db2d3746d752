"""TensorFlow: saved models, layers of Keras 2, graphs, and the index of a checkpoint.

The first three are protobuf; a checkpoint's index is a table as in LevelDB.

Source: tensorflow/core/protobuf/{saved_model,meta_graph,saved_object_graph,tensor_bundle}.proto, tensorflow/core/framework/graph.proto,
tensorflow/core/lib/io/table, and tf_keras/protobuf/saved_metadata.proto.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from steelyard.errors import FormatError
from steelyard.formats import jsons, keras_config, tensorflow_ops
from steelyard.formats.report import MAX_LISTED, MAX_TENSORS, FormatReport, Tensor, elements, shown
from steelyard.formats.window import Cursor, Window, text_of
from steelyard.formats.wire import BYTES, VARINT, Field, fields, message, text

_MAX_GRAPHS: Final = 64
_MAX_BEFORE: Final = 1000
"""Fields in front of the first node of a graph; more are not followed."""
_MAX_PARTS: Final = 100
"""The same in front of a graph that has nodes, within what is kept for training."""
_MAX_PORTS: Final = 4096
_MAX_BLOCK: Final = 8 << 20
_MAGIC: Final = (0xDB4775248B80FB57).to_bytes(8, "little")
_FOOTER: Final = 48
_TYPES: Final = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "string", 8: "complex64", 9: "int64",
    10: "bool", 14: "bfloat16", 17: "uint16", 18: "complex128", 19: "float16", 20: "resource", 21: "variant",
    22: "uint32", 23: "uint64", 24: "float8e5m2", 25: "float8e4m3fn", 29: "int4", 30: "uint4",
}  # fmt: skip
_OF_LAYERS: Final = b"_tf_keras_"
_SMALL: Final = 4096
# Of an operator, or of a function of the graph.
_NAME: Final = re.compile(rb"[ -~]{1,1024}")


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
    return _report("tf-savedmodel", window, [message(field) for field in fields(window, 2, window.size)])


def claims_meta(window: Window, head: bytes) -> bool:
    """Whether a file looks like a MetaGraphDef, a graph with its training as TensorFlow 1 keeps it (``.meta``)."""
    return _claims(window, lambda: _graphs(window))


def read_meta(window: Window) -> FormatReport:
    """Read the same of it as of a saved model.

    Raises:
        FormatError: it is cut off or nested too deeply.
    """
    return _report("tf-metagraph", window, [(0, window.size)])


def _report(form: str, window: Window, graphs: list[tuple[int, int]]) -> FormatReport:
    """Return what MetaGraphDefs hold."""
    ports: dict[str, list[Tensor]] = {"inputs": [], "outputs": []}
    versions: list[tuple[str, str]] = []
    code: set[str] = set()
    layers: list[str] = []
    for start, end in graphs:
        for part in fields(window, start, end, depth=1):
            if part.number == 1:
                versions += _versions(window, part)
            elif part.number == 2:
                code |= _code(window, *message(part))
            elif part.number == 5:
                _signature(window, part, ports)
            elif part.number == 7:
                layers += _layers(window, part)
    return FormatReport(
        format=form,
        code=tensorflow_ops.why(code) or next(iter(layers), None),
        inputs=tuple(ports["inputs"]),
        outputs=tuple(ports["outputs"]),
        versions=tuple(dict.fromkeys(versions)),
    )


def claims_layers(window: Window, head: bytes) -> bool:
    """Whether a file looks like a ``keras_metadata.pb``: it begins with a layer of Keras."""
    first = _first(window, head)
    return any(part.number == 4 and _begins(window, part, _OF_LAYERS) for part in first)


def read_layers(window: Window) -> FormatReport:
    """Read what the layers of a saved model of Keras 2 would run.

    Raises:
        FormatError: it is cut off, or a layer's description is none.
    """
    found = [
        why
        for field in fields(window, 0, window.size)
        if field.number == 1
        for why in _layer(window, [field], 4, 5, depth=1)
    ]
    return FormatReport(format="keras-metadata", code=next(iter(found), None))


def claims_graph(window: Window, head: bytes) -> bool:
    """Whether a file looks like a GraphDef: its first node has a name and an operator. What readers do not know they skip."""
    return _claims(window, lambda: _nodes(window, 0, window.size))


def read_graph(window: Window) -> FormatReport:
    """Read the names of the operators of a graph.

    Raises:
        FormatError: it is cut off or nested too deeply.
    """
    return FormatReport(format="tf-graph", code=tensorflow_ops.why(_code(window, 0, window.size)))


def _claims(window: Window, count: Callable[[], int | None]) -> bool:
    try:
        return bool(count())
    except FormatError:
        if window.spent:  # by a graph, for nothing else is followed so far
            raise
        return False


def _graphs(window: Window) -> int | None:
    """Return how many nodes the GraphDef of a MetaGraphDef has, which may come in parts; None if it is none."""
    nodes = 0
    for place, field in enumerate(fields(window, 0, window.size)):
        if field.number == 2 and field.kind == BYTES:
            inside = _nodes(window, *message(field))
            if inside is None:
                return None
            nodes += inside
        if not nodes and place > _MAX_PARTS:
            return None
    return nodes


def _nodes(window: Window, start: int, end: int) -> int | None:
    """Return how many nodes a GraphDef has, or None if it is none, or has too much in front of them.

    Raises:
        FormatError: it is no message.
    """
    nodes = 0
    for place, field in enumerate(fields(window, start, end, depth=1)):
        if field.number == 1 and field.kind == BYTES:
            if not nodes and not _is_node(window, field):
                return None
            nodes += 1
        if not nodes and place > _MAX_BEFORE:
            return None
    return nodes


def _is_node(window: Window, node: Field) -> bool:
    """Whether a node has a name and an operator, of several the last; what is of another kind readers skip."""
    parts = [part for part in fields(window, *message(node), depth=2) if part.kind == BYTES]
    operators = [part for part in parts if part.number == 2]
    if not operators or not any(part.number == 1 for part in parts):
        return False
    last = operators[-1]
    return last.value <= 1024 and _NAME.fullmatch(window.at(last.start, last.value)) is not None


def _first(window: Window, head: bytes) -> list[Field]:
    """Return the fields of a file's first field, if it has the number 1 and is a message; nothing otherwise."""
    if head[:1] != b"\n":
        return []
    try:
        field = next(fields(window, 0, window.size))
        return list(fields(window, field.start, field.end, depth=1))
    except FormatError:
        return []


def _begins(window: Window, field: Field, text: bytes) -> bool:
    return field.kind == BYTES and window.at(field.start, min(field.value, len(text))) == text


def _versions(window: Window, meta: Field) -> Iterator[tuple[str, str]]:
    for field in fields(window, *message(meta), depth=2):
        if field.number == 5:
            yield "tensorflow", text(window, field, 256)[:40]


def _code(window: Window, start: int, end: int) -> set[str]:
    """Return operators of GraphDef.node and of the functions in GraphDef.library that are in our list."""
    found: set[str] = set()
    for field in fields(window, start, end, depth=2):
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
    """Return which of our list a NodeDef is. A name that stands there twice is both: readers take the last."""
    start, end = message(node)
    if end - start <= _SMALL and not tensorflow_ops.NAMES.search(window.at(start, end - start)):
        return set()
    parts = list(fields(window, start, end, depth=5))
    names = {text(window, part, 1024) for part in parts if part.number == 2}
    found = names & tensorflow_ops.CODE
    for name in names & tensorflow_ops.BY_SETTING.keys():
        settings = (_setting(window, part) for part in parts if part.number == 5)
        if not all(harmless for key, harmless in settings if key == tensorflow_ops.BY_SETTING[name]):
            found |= {name}
    return found


def _setting(window: Window, entry: Field) -> tuple[str, bool]:
    """Return name of an entry of NodeDef.attr, and whether its value is text that names no file."""
    name, harmless = "", True
    for field in fields(window, *message(entry), depth=6):
        if field.number == 1:
            name = text(window, field, 1024)
        elif field.number == 2:
            for part in fields(window, *message(field), depth=7):
                start, end = message(part) if part.number == 2 else (0, 0)
                harmless &= part.number == 2 and tensorflow_ops.is_harmless(
                    window.at(start, min(end - start, 64))
                )
    return name, harmless


def _layers(window: Window, graph: Field) -> Iterator[str]:
    """Yield what layers in SavedObjectGraph.nodes would run (Keras 2, up to TensorFlow 2.4)."""
    for node in fields(window, *message(graph), depth=2):
        if node.number == 1:
            objects = [field for field in fields(window, *message(node), depth=3) if field.number == 4]
            yield from _layer(window, objects, 1, 3, depth=4)


def _layer(
    window: Window, messages: list[Field], identifier: int, metadata: int, *, depth: int
) -> Iterator[str]:
    """Yield why a layer runs code. It may be described in several messages, which readers make one."""
    known, described = False, list[Field]()
    for field in messages:
        for part in fields(window, *message(field), depth=depth):
            if part.number == identifier:
                known |= _begins(window, part, _OF_LAYERS)
            elif part.number == metadata:
                described.append(part)
    for part in described if known else ():
        if part.value > keras_config.MAX_CONFIG:
            raise FormatError(f"a layer is described in more than {keras_config.MAX_CONFIG} bytes")
        raw = window.at(*message(part)[:1], part.value)
        why = keras_config.code_of(jsons.parse(raw, "a layer")) if raw else None
        if why:
            yield why


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
