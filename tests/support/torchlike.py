"""Files as ``torch.save`` writes them, without torch: its pickles name functions and classes, so stand-ins of these are pickled."""

from __future__ import annotations

import io
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

MAGIC = 0x1950A86A20F9469CFC6C


class _Storage:
    def __init__(self, kind: str, key: str, count: int) -> None:
        self.kind, self.key, self.count = kind, key, count


class _Tensor:
    def __init__(self, storage: _Storage, shape: Sequence[int]) -> None:
        self.storage, self.shape = storage, tuple(shape)

    def __reduce__(self) -> tuple[Any, ...]:
        utils = sys.modules["torch._utils"]
        stride, strides = 1, []
        for size in reversed(self.shape):
            strides.insert(0, stride)
            stride *= size
        return utils._rebuild_tensor_v2, (self.storage, 0, self.shape, tuple(strides), False, OrderedDict())


@contextmanager
def _torch() -> Iterator[types.ModuleType]:
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in ("FloatStorage", "LongStorage", "HalfStorage"):
        setattr(torch, name, type(name, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2(*_: object) -> None: ...

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2  # type: ignore[attr-defined]
    assert "torch" not in sys.modules
    sys.modules |= {"torch": torch, "torch._utils": utils}
    try:
        yield torch
    finally:
        del sys.modules["torch"], sys.modules["torch._utils"]


def _pickled(tensors: Mapping[str, Sequence[int]], kind: str) -> bytes:
    with _torch() as torch:

        class Pickler(pickle.Pickler):
            def persistent_id(self, obj: object) -> object:
                if isinstance(obj, _Storage):
                    return ("storage", getattr(torch, obj.kind), obj.key, "cpu", obj.count)
                return None

        state = OrderedDict()
        for number, (name, shape) in enumerate(tensors.items()):
            count = 1
            for size in shape:
                count *= size
            state[name] = _Tensor(_Storage(kind, str(number), count), shape)
        out = io.BytesIO()
        Pickler(out, protocol=2).dump(state)
        return out.getvalue()


def archive(
    tensors: Mapping[str, Sequence[int]], *, kind: str = "FloatStorage", script: bool = False
) -> bytes:
    """Return an archive of a state dictionary: names and shapes, all zeros."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as file:
        file.writestr("model/data.pkl", _pickled(tensors, kind))
        file.writestr("model/byteorder", "little")
        for number, shape in enumerate(tensors.values()):
            count = 4
            for size in shape:
                count *= size
            file.writestr(f"model/data/{number}", bytes(count))
        if script:
            file.writestr("model/code/__torch__.py", "def f(): ...\n")
            file.writestr("model/constants.pkl", b"\x80\x02).")
        file.writestr("model/version", "3\n")
    return _with_large_end(out.getvalue())


def _with_large_end(data: bytes) -> bytes:
    """Return an archive with a 64-bit end record that is not needed, as PyTorchStreamWriter has miniz write it."""
    end = data[-22:]
    here, count, size, offset = struct.unpack_from("<HHLL", end, 8)
    large = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, here, count, size, offset)
    return data[:-22] + large + struct.pack("<4sLQL", b"PK\6\7", 0, len(data) - 22, 1) + end


def legacy(tensors: Mapping[str, Sequence[int]]) -> bytes:
    """Return the older form: four pickles, the list of storages, their bytes."""
    facts = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    parts = [pickle.dumps(item, protocol=2) for item in (MAGIC, 1001, facts)]
    keys = pickle.dumps([str(number) for number in range(len(tensors))], protocol=2)
    return b"".join([*parts, _pickled(tensors, "FloatStorage"), keys, bytes(64)])
