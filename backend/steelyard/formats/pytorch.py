"""PyTorch: archives of ``torch.save`` and TorchScript, and the older form of pickles in a row.

Tensors are found in the description of what the pickle would make. Source: torch/serialization.py, torch/_utils.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from steelyard.formats.pickles import Call, Global, Items, Persistent, Pickle, Value, follow, why
from steelyard.formats.report import MAX_LISTED, FormatReport, Tensor, elements, shown
from steelyard.formats.window import Window
from steelyard.formats.zips import Archive

_MAGIC: Final = 0x1950A86A20F9469CFC6C
_MAX_DEPTH: Final = 24
_EXPORTED: Final = ("archive_format", "serialized_exported_program.json")
_WHY_EXPORT: Final = "it is a program of torch.export, whose sizes are texts that PyTorch has SymPy evaluate, and that may hold pickles"
_HIDDEN: Final = ("", "_parameters", "_buffers", "_modules")
_DTYPES: Final = {
    "FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8",
    "BoolStorage": "bool", "ComplexFloatStorage": "complex64", "ComplexDoubleStorage": "complex128",
    "UntypedStorage": "bytes", "QInt8Storage": "qint8", "QUInt8Storage": "quint8", "QInt32Storage": "qint32",
}  # fmt: skip


def pickle_name(archive: Archive) -> str | None:
    """Return the name of the pickle of a PyTorch archive: ``data.pkl`` in its only folder, in any case; None if it is none."""
    names = [name for name in archive.entries if name.lower().endswith("/data.pkl") and name.count("/") == 1]
    return names[0] if names else None


def is_export(archive: Archive) -> bool:
    """Whether an archive is one of ``torch.export``, of its older form or that with a folder."""
    names = {name.split("/", 1)[-1] for name in archive.entries} | archive.entries.keys()
    return not names.isdisjoint(_EXPORTED)


def read_export() -> FormatReport:
    """Return what is told of an archive of ``torch.export``: what is in it is not read."""
    return FormatReport(format="pytorch-export", code=_WHY_EXPORT)


def read_archive(archive: Archive, name: str) -> FormatReport:
    """Read a PyTorch archive, whose pickle has this name.

    Raises:
        FormatError: the limits of the file are spent.
    """
    window = archive.open(name)
    found = follow(window) if window is not None else Pickle()
    folder = name.split("/")[0]
    script = f"{folder}/constants.pkl" in archive.entries or any(
        item.startswith(f"{folder}/code/") for item in archive.entries
    )
    reason = why(found)
    if script:
        reason = "it is TorchScript, a program with weights; " + reason
    return _report(
        "torchscript" if script else "pytorch",
        reason,
        found,
        () if window else ("its pickle is compressed and not read",),
    )


def is_legacy(first: Pickle) -> bool:
    """Whether the first pickle of a file is the magic number of PyTorch's older form."""
    return first.complete and first.value == _MAGIC


def read_legacy(window: Window, first: Pickle) -> FormatReport:
    """Read the older form: magic, version, facts of the machine, then the object.

    Raises:
        FormatError: the limits of the file are spent.
    """
    found = first
    for _ in range(3):
        if not found.complete:
            break
        found = follow(window, found.end)
    return _report("pytorch", why(found), found, ())


def _report(form: str, reason: str, found: Pickle, notes: tuple[str, ...]) -> FormatReport:
    tensors: list[Tensor] = []
    count = parameters = 0
    for tensor in _tensors(found.value):
        count += 1
        parameters += elements(tensor.shape)
        if len(tensors) < MAX_LISTED:
            tensors.append(tensor)
    more = () if found.complete else ("its pickle was not read to the end",)
    return FormatReport(
        format=form,
        code=reason,
        tensors=tuple(tensors),
        count=count,
        parameters=parameters,
        notes=(*notes, *more),
    )


def _tensors(top: Value) -> Iterator[Tensor]:
    """Yield every tensor of a description, named by the keys that lead to it; so few instructions make no more than MAX_TENSORS."""
    seen: set[int] = set()
    todo: list[tuple[str, Value, int]] = [("", top, 0)]
    while todo:
        path, value, depth = todo.pop()
        if not isinstance(value, (Items, Call)) or id(value) in seen or depth > _MAX_DEPTH:
            continue
        seen.add(id(value))
        if isinstance(value, Call):
            tensor = _tensor(path, value)
            if tensor is not None:
                yield tensor
                continue
            inside = [(path, value.state), (path, value.arguments)]
            inside += [(_join(path, key), item) for key, item in value.items]
        elif value.kind == "dict":
            pairs = zip(value.values[::2], value.values[1::2], strict=False)
            inside = [(_join(path, key), item) for key, item in pairs]
        else:
            inside = [(path, item) for item in value.values]
        todo += [(name, item, depth + 1) for name, item in reversed(inside)]


def _join(path: str, key: Value) -> str:
    name = str(key)[:200] if isinstance(key, (str, int)) else ""
    if name in _HIDDEN:
        return path
    return f"{path}.{name}"[:512] if path else name


def _tensor(path: str, call: Call) -> Tensor | None:
    """Return the tensor that a call would rebuild."""
    function, arguments = call.function, call.arguments
    if not isinstance(function, Global) or not isinstance(arguments, Items) or len(arguments.values) < 3:
        return None
    if function.module != "torch._utils" or not function.name.startswith("_rebuild_"):
        return None
    storage, shape = arguments.values[0], arguments.values[2]
    if not isinstance(storage, Persistent) or not isinstance(shape, Items):
        return None
    return Tensor(name=shown(path), dtype=_dtype(storage.id), shape=tuple(_sizes(shape)))


def _dtype(storage: Value) -> str:
    """Return the type of ``("storage", FloatStorage, key, place, count)``."""
    if isinstance(storage, Items) and len(storage.values) > 1 and isinstance(storage.values[1], Global):
        return _DTYPES.get(storage.values[1].name, "unknown")
    return "unknown"


def _sizes(shape: Items) -> Iterator[int | str]:
    for item in shape.values[:64]:
        yield item if isinstance(item, int) and 0 <= item < 1 << 62 else "?"
