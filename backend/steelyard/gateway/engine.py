"""A model that runs: what it takes, and calls that wait at the same time run together.

ONNX Runtime is imported here alone, and only when a model is loaded.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from steelyard.errors import (
    ConfigError,
    InputError,
    RefusedError,
    SteelyardError,
    UnavailableError,
    VerificationError,
)
from steelyard.metering.tensors import NAMES, Array, elements

if TYPE_CHECKING:
    import onnxruntime

_TYPES: Final = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float": "FP32",
    "double": "FP64",
    "string": "BYTES",
}
"""Data types of the protocol by ONNX Runtime's names."""


class BusyError(UnavailableError):
    """Too many calls wait for this model."""


class LateError(UnavailableError):
    """A call ran for too long, and was stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """An input or output.

    Attributes:
        name: its name.
        datatype: of the protocol.
        shape: -1 for a dimension that is open.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a call may ask for, and for how long.

    Attributes:
        rows: of one call.
        together: rows that run together.
        waiting: calls that may wait.
        seconds: that a run may take.
    """

    rows: int = 4_096
    together: int = 256
    waiting: int = 256
    seconds: float = 30.0


class Model:
    """One version of a model, loaded.

    Attributes:
        inputs: what it takes.
        outputs: what it answers.
        batched: whether the first dimension of all of them is open, so calls can run together.
    """

    def __init__(self, path: Path, *, threads: int = 1, batch: bool = True) -> None:
        """Load a verified file.

        Args:
            path: the ONNX file; what it refers to lies beside it.
            threads: of one run.
            batch: whether calls may run together, where the model allows it.

        Raises:
            ConfigError: ONNX Runtime is not installed.
            VerificationError: the file is no model that ONNX Runtime can run.
        """
        try:
            import onnxruntime
        except ImportError as exc:
            raise ConfigError("hosting needs the extra 'host': pip install 'steelyard[host]'") from exc
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(
                str(path), sess_options=options, providers=["CPUExecutionProvider"]
            )
            self.inputs = tuple(_tensor(item) for item in session.get_inputs())
            self.outputs = tuple(_tensor(item) for item in session.get_outputs())
        except Exception as exc:  # ONNX Runtime has no error class of its own
            raise VerificationError(f"{path.name} is no model that ONNX Runtime can run: {exc}") from exc
        if not self.inputs or not self.outputs:
            raise VerificationError(f"{path.name} has no inputs or no outputs")
        self._session = session
        self._new_options: Callable[[], onnxruntime.RunOptions] = onnxruntime.RunOptions
        self._by_name = {item.name: item for item in self.inputs}
        self._names = [item.name for item in self.outputs]
        self.batched = batch and all(item.shape[:1] == (-1,) for item in (*self.inputs, *self.outputs))

    def check(self, inputs: Mapping[str, Array], wanted: Sequence[str], *, rows: int) -> int:
        """Check the inputs of a call, and return its rows: the batch axis, or 1.

        Raises:
            InputError: they are not what the model takes, or too many.
        """
        if inputs.keys() != self._by_name.keys():
            raise InputError(f"this model takes the inputs {', '.join(sorted(self._by_name))}")
        unknown = [name for name in wanted if name not in self._names]
        if unknown:
            raise InputError(f"this model has no output {unknown[0]!r}")
        found = set()
        for name, value in inputs.items():
            item = self._by_name[name]
            if NAMES[value.dtype.newbyteorder("<")] != item.datatype:
                raise InputError(f"input {name!r} is {item.datatype}")
            fits = len(value.shape) == len(item.shape) and all(
                want in (-1, have) for want, have in zip(item.shape, value.shape, strict=True)
            )
            if not fits:
                raise InputError(f"input {name!r} has shape {list(item.shape)}, -1 for any size")
            elements(value.shape)
            if self.batched:
                found.add(value.shape[0])
        if not self.batched:
            return 1
        if len(found) != 1:
            raise InputError("the inputs have different numbers of rows")
        (count,) = found
        if not 1 <= count <= rows:
            raise InputError(f"a call has 1 to {rows} rows, not {count}")
        return int(count)

    def run(
        self, inputs: Mapping[str, Array], *, options: onnxruntime.RunOptions | None = None
    ) -> list[Array]:
        """Run it once: outputs in their order. For any thread.

        Raises:
            InputError: the model fails on these inputs.
        """
        try:
            return [np.asarray(item) for item in self._session.run(self._names, dict(inputs), options)]
        except Exception as exc:  # as above
            raise InputError("the model fails on these inputs") from exc

    def new_options(self) -> onnxruntime.RunOptions:
        """Return options of one run, by which it can be stopped."""
        return self._new_options()


def _tensor(item: Any) -> Tensor:
    kind = str(item.type).removeprefix("tensor(").removesuffix(")")
    if kind not in _TYPES:
        raise ValueError(f"{item.name} is a {item.type}")
    shape = tuple(size if isinstance(size, int) and size >= 0 else -1 for size in item.shape)
    return Tensor(name=item.name, datatype=_TYPES[kind], shape=shape)


@dataclass(slots=True)
class _Waiting:
    inputs: Mapping[str, Array]
    rows: int
    kind: tuple[tuple[str, tuple[int, ...]], ...]
    done: asyncio.Future[dict[str, Array]]


class Runner:
    """Runs the calls of one model, those that wait together. For one event loop."""

    def __init__(self, model: Model, threads: Executor, bounds: Bounds) -> None:
        """Remember them; nothing runs yet."""
        self.model = model
        self._threads = threads
        self._bounds = bounds
        self._queue: deque[_Waiting] = deque()
        self._busy = False

    async def run(self, inputs: Mapping[str, Array], *, rows: int) -> dict[str, Array]:
        """Return all outputs of a checked call, by name.

        Raises:
            BusyError: too many wait.
            LateError: it took too long.
            InputError: the model fails on these inputs.
        """
        if len(self._queue) >= self._bounds.waiting:
            raise BusyError("too many calls wait for this model")
        kind = tuple((name, value.shape[1:]) for name, value in sorted(inputs.items()))
        loop = asyncio.get_running_loop()
        waiting = _Waiting(inputs, rows, kind, loop.create_future())
        self._queue.append(waiting)
        if not self._busy:
            self._busy = True
            self._start(loop)
        return await waiting.done

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give the next calls to a thread; what comes meanwhile waits for the one after."""
        batch = self._take()
        if not batch:
            self._busy = False
            return
        options = self.model.new_options()
        late = loop.call_later(self._bounds.seconds, _stop, options)
        work = loop.run_in_executor(self._threads, self._together, batch, options)

        def end(work: asyncio.Future[list[dict[str, Array] | SteelyardError]]) -> None:
            late.cancel()
            try:
                answers: list[Any] = list(work.result())
            except BaseException as exc:  # noqa: BLE001  # whatever it is, nobody may wait for ever
                answers = [exc] * len(batch)
            for waiting, answer in zip(batch, answers, strict=True):
                if waiting.done.done():
                    continue
                if isinstance(answer, BaseException):
                    waiting.done.set_exception(answer)
                else:
                    waiting.done.set_result(answer)
            self._start(loop)

        work.add_done_callback(end)

    def _take(self) -> list[_Waiting]:
        """Take the first call that waits, and those of its kind that may run with it."""
        queue = self._queue
        while queue and queue[0].done.done():
            queue.popleft()  # its caller is gone
        if not queue:
            return []
        batch = [queue.popleft()]
        rows = batch[0].rows
        while (
            self.model.batched
            and queue
            and queue[0].kind == batch[0].kind
            and rows + queue[0].rows <= self._bounds.together
        ):
            rows += queue[0].rows
            batch.append(queue.popleft())
        return batch

    def _together(
        self, batch: list[_Waiting], options: onnxruntime.RunOptions
    ) -> list[dict[str, Array] | SteelyardError]:
        model = self.model
        names = [item.name for item in model.outputs]
        if len(batch) > 1:
            joined = {name: np.concatenate([item.inputs[name] for item in batch]) for name in batch[0].inputs}
            total = sum(item.rows for item in batch)
            try:
                outputs = model.run(joined, options=options)
                if all(value.shape[:1] == (total,) for value in outputs):
                    cuts = np.cumsum([item.rows for item in batch])[:-1]
                    parts = [np.split(value, cuts) for value in outputs]
                    return [
                        dict(zip(names, (part[i] for part in parts), strict=True)) for i in range(len(batch))
                    ]
            except InputError:
                pass  # one of them, or all: each by itself tells
        return [self._alone(item, options) for item in batch]

    def _alone(self, item: _Waiting, options: onnxruntime.RunOptions) -> dict[str, Array] | SteelyardError:
        if options.terminate:
            return LateError("the call took too long")
        try:
            outputs = self.model.run(item.inputs, options=options)
        except SteelyardError as exc:
            return LateError("the call took too long") if options.terminate else exc
        return dict(zip((out.name for out in self.model.outputs), outputs, strict=True))


def _stop(options: onnxruntime.RunOptions) -> None:
    options.terminate = True


def find_model(folder: Path, name: str | None = None) -> Path:
    """Return the ONNX file of a pulled version.

    Args:
        folder: of the version.
        name: path below it; the only ``.onnx`` file if None.

    Raises:
        RefusedError: there is none of that name, or not exactly one.
    """
    if name is not None:
        place = (folder / name).resolve()
        if not place.is_file() or folder.resolve() not in place.parents:
            raise RefusedError(f"the version has no file {name}")
        return place
    found = sorted(folder.rglob("*.onnx"))
    if len(found) != 1:
        raise RefusedError(
            f"the version has {len(found)} .onnx files"
            + (": name one with --file" if found else ", and nothing else is served")
        )
    return found[0]
