"""Models run, alone and together, and what is refused before and while they do."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steelyard.errors import InputError, RefusedError, VerificationError
from steelyard.gateway.engine import Bounds, BusyError, LateError, Model, Runner, find_model
from tests.unit.gateway import models

RNG = np.random.default_rng(3)


def rows(n: int) -> dict[str, Any]:
    return {"X": RNG.random((n, 3), dtype=np.float32)}


def together(model: Model, calls: list[dict[str, Any]], bounds: Bounds | None = None) -> list[Any]:
    async def go() -> list[Any]:
        with ThreadPoolExecutor(1) as pool:
            runner = Runner(model, pool, bounds or Bounds())
            work = [runner.run(item, rows=len(item["X"])) for item in calls]
            return await asyncio.gather(*work, return_exceptions=True)

    return asyncio.run(go())


def count_runs(model: Model, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    seen: list[int] = []
    run = model.run

    def counted(inputs: Any, **more: Any) -> Any:
        seen.append(len(inputs["X"]))
        return run(inputs, **more)

    monkeypatch.setattr(model, "run", counted)
    return seen


def test_calls_that_wait_run_together_and_get_their_own_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Model(models.write(tmp_path / "m.onnx"))
    seen = count_runs(model, monkeypatch)
    calls = [rows(n) for n in (1, 3, 2, 5, 1)]
    for call, found in zip(calls, together(model, calls), strict=True):
        assert np.array_equal(found["Y"], 2 * call["X"])
    assert seen == [1, 11]  # the first alone, since none waited; the others meanwhile


def test_no_more_rows_run_together_than_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(models.write(tmp_path / "m.onnx"))
    seen = count_runs(model, monkeypatch)
    together(model, [rows(n) for n in (1, 3, 3, 3)], Bounds(together=6))
    assert seen == [1, 6, 3]


def test_each_alone_where_that_is_asked_or_the_model_has_fixed_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = [rows(2) for _ in range(3)]
    for model in (
        Model(models.write(tmp_path / "m.onnx"), batch=False),
        Model(models.write(tmp_path / "f.onnx", batch=False)),
    ):
        assert not model.batched
        seen = count_runs(model, monkeypatch)
        for call, found in zip(calls, together(model, calls), strict=True):
            assert np.array_equal(found["Y"], 2 * call["X"])
        assert seen == [2, 2, 2]


def test_a_model_that_cannot_be_cut_apart_runs_each_alone(tmp_path: Path) -> None:
    model = Model(models.write_shape(tmp_path / "s.onnx"))
    assert not model.batched  # the output has as many rows as the input has dimensions
    found = together(model, [rows(4), rows(2), rows(7)])
    assert [list(item["Y"]) for item in found] == [[4, 3], [2, 3], [7, 3]]


def test_one_call_that_fails_does_not_fail_its_neighbours(tmp_path: Path) -> None:
    model = Model(models.write_reshape(tmp_path / "r.onnx"))
    calls = [rows(2), rows(2), rows(3), rows(2)]
    found = together(model, calls)
    assert isinstance(found[2], InputError)
    for place in (0, 1, 3):
        assert np.array_equal(found[place]["Y"], calls[place]["X"])


def test_no_more_calls_wait_than_may(tmp_path: Path) -> None:
    model = Model(models.write(tmp_path / "m.onnx"))
    found = together(model, [rows(1) for _ in range(5)], Bounds(waiting=2))
    assert [isinstance(item, BusyError) for item in found] == [False, False, False, True, True]


def test_a_run_that_takes_too_long_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(models.write(tmp_path / "m.onnx"))

    def slow(inputs: Any, *, options: Any) -> Any:
        while not options.terminate:
            pass
        raise InputError("terminated")

    monkeypatch.setattr(model, "run", slow)
    (found,) = together(model, [rows(1)], Bounds(seconds=0.05))
    assert isinstance(found, LateError)


@pytest.mark.parametrize(
    ("inputs", "wanted"),
    [
        ({}, ()),
        ({"Z": np.zeros((1, 3), np.float32)}, ()),
        ({"X": np.zeros((1, 3), np.float32), "Z": np.zeros((1, 3), np.float32)}, ()),
        ({"X": np.zeros((1, 3), np.float64)}, ()),
        ({"X": np.zeros((1, 4), np.float32)}, ()),
        ({"X": np.zeros(3, np.float32)}, ()),
        ({"X": np.zeros((0, 3), np.float32)}, ()),
        ({"X": np.zeros((9, 3), np.float32)}, ()),
        ({"X": np.zeros((1, 3), np.float32)}, ("nothing",)),
    ],
    ids=str,
)
def test_what_the_model_does_not_take(tmp_path: Path, inputs: Any, wanted: Any) -> None:
    model = Model(models.write(tmp_path / "m.onnx"))
    with pytest.raises(InputError):
        model.check(inputs, wanted, rows=8)
    assert model.check({"X": np.zeros((8, 3), np.float32)}, ("Y",), rows=8) == 8


def test_what_is_no_model(tmp_path: Path) -> None:
    place = tmp_path / "m.onnx"
    good = models.write(tmp_path / "good.onnx").read_bytes()
    for data in (b"", b"nothing", good[: len(good) // 2], b"\x80\x04K\x01."):
        place.write_bytes(data)
        with pytest.raises(VerificationError):
            Model(place)


def test_find_model(tmp_path: Path) -> None:
    folder = tmp_path / "version"
    (folder / "deep").mkdir(parents=True)
    with pytest.raises(RefusedError):
        find_model(folder)
    (folder / "deep" / "a.onnx").write_bytes(b"a")
    assert find_model(folder).name == "a.onnx"
    (folder / "b.onnx").write_bytes(b"b")
    with pytest.raises(RefusedError):
        find_model(folder)
    assert find_model(folder, "deep/a.onnx").name == "a.onnx"
    (tmp_path / "out.onnx").write_bytes(b"")
    for name in ("../out.onnx", "none.onnx", str(tmp_path / "out.onnx")):
        with pytest.raises(RefusedError):
            find_model(folder, name)
