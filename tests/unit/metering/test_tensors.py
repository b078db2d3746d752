"""Bodies of the Open Inference Protocol: what the specification's examples say, and what is refused."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from steelyard.errors import InputError
from steelyard.metering import tensors


def body(*inputs: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"inputs": list(inputs), **more}).encode()


def test_json_flat_and_nested() -> None:
    for data in ([1, 2, 3, 4], [[1, 2], [3, 4]]):
        found = tensors.read_request(
            body({"name": "a", "shape": [2, 2], "datatype": "UINT32", "data": data}, id="42")
        )
        assert found.id == "42" and not found.binary
        assert found.inputs["a"].dtype == np.uint32
        assert np.array_equal(found.inputs["a"], [[1, 2], [3, 4]])


def test_binary_and_json_mixed() -> None:
    blob = np.array([1.5, -2.0], "<f2").tobytes() + b"\x01\x00"
    text = body(
        {"name": "h", "shape": [2], "datatype": "FP16", "parameters": {"binary_data_size": 4}},
        {"name": "j", "shape": [1], "datatype": "FP64", "data": [2]},
        {"name": "b", "shape": [2, 1], "datatype": "BOOL", "parameters": {"binary_data_size": 2}},
        outputs=[{"name": "x", "parameters": {"binary_data": True}}, {"name": "y"}],
    )
    found = tensors.read_request(text + blob, header=len(text))
    assert np.array_equal(found.inputs["h"], np.array([1.5, -2.0], np.float16))
    assert found.inputs["j"] == np.array([2.0])
    assert np.array_equal(found.inputs["b"], [[True], [False]])
    assert found.wanted == {"x": True, "y": False}


def test_strings() -> None:
    words = ["", "é", "a\0b"]
    data = [word.encode() for word in words]
    blob = b"".join(struct.pack("<I", len(word)) + word for word in data)
    text = body(
        {"name": "b", "shape": [3], "datatype": "BYTES", "parameters": {"binary_data_size": len(blob)}},
        {"name": "j", "shape": [1, 3], "datatype": "BYTES", "data": [words]},
    )
    found = tensors.read_request(text + blob, header=len(text))
    assert list(found.inputs["b"]) == words and found.inputs["j"].tolist() == [words]


KINDS = [kind for name, kind in tensors.DTYPES.items() if name != "BYTES"]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_written_and_read_again(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    value = data.draw(
        arrays.arrays(kind, arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    )
    text, header = tensors.write_request({"x": value}, outputs=("y",), id="7")
    request = tensors.read_request(text, header=header)
    assert request.inputs["x"].tobytes() == np.ascontiguousarray(value).tobytes()
    assert (request.inputs["x"].shape, request.wanted) == (value.shape, {"y": True})
    answer, size = tensors.write_answer({"y": value}, request, model="m", version="1")
    found = tensors.read_answer(answer, header=size)["y"]
    assert found.tobytes() == np.ascontiguousarray(value).tobytes() and found.shape == value.shape
    plain = tensors.Request(inputs={})
    finite = kind.itemsize > 2 and (kind.kind != "f" or np.isfinite(value).all())
    if kind.kind != "f" or finite:
        answer, size = tensors.write_answer({"y": value}, plain, model="m", version="1")
        assert size is None
        assert np.array_equal(tensors.read_answer(answer)["y"], value)


def test_json_cannot_hold_everything() -> None:
    for value in (np.array([np.nan]), np.array([np.inf], np.float32), np.array([1], np.float16)):
        with pytest.raises(InputError, match="binary_data"):
            tensors.write_answer({"y": value}, tensors.Request(inputs={}), model="m", version="1")


GOOD = {"name": "a", "shape": [2], "datatype": "INT8", "data": [1, 2]}


@pytest.mark.parametrize(
    "change",
    [
        {"datatype": "INT7"},
        {"datatype": "FP16"},
        {"datatype": "BYTES"},
        {"datatype": "BOOL"},
        {"shape": [3]},
        {"shape": [-1]},
        {"shape": [1 << 40, 1 << 40]},
        {"shape": [1 << 25, 4]},
        {"shape": [1] * 17},
        {"shape": ["2"]},
        {"data": [1, 300]},
        {"data": [1, -129]},
        {"data": [1, 1.5]},
        {"data": ["1", "2"]},
        {"data": [1, None]},
        {"data": [True, False]},
        {"data": [[1], [2, 3]]},
        {"data": [1, 2**70]},
        {"data": {"a": 1}},
        {"data": None},
        {"parameters": {"binary_data_size": 2}},
        {"data": None, "parameters": {"binary_data_size": 2}},
        {"data": None, "parameters": {"binary_data_size": -1}},
        {"data": None, "parameters": {"binary_data_size": True}},
        {"data": None, "parameters": {"binary_data_size": 1 << 62}},
        {"name": 5},
    ],
    ids=str,
)
def test_malformed_inputs(change: dict[str, Any]) -> None:
    text = body({**GOOD, **change})
    with pytest.raises(InputError):
        tensors.read_request(text)
    with pytest.raises(InputError):
        tensors.read_request(text, header=len(text))
    assert tensors.read_request(body(GOOD)).inputs["a"].tolist() == [1, 2]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff\xfe",
        b'{"inputs": []}',
        b'{"inputs": 1}',
        body(GOOD, GOOD),
        body(*({**GOOD, "name": str(i)} for i in range(65))),
        body(GOOD, parameters={"binary_data_output": 1}),
        body(GOOD, outputs=[{"name": "x", "parameters": {"binary_data": "yes"}}]),
        body(GOOD) + b"more",
        b'{"inputs": ' + b"[" * 100_000,
        body({**GOOD, "datatype": "BYTES", "data": json.loads("[" * 20 + "]" * 20)}),
        b'{"inputs":[{"name":"a","shape":[2],"datatype":"INT8","data":[NaN,1]}]}',
    ],
    ids=lambda text: text[:12].decode("latin-1"),
)
def test_malformed_requests(text: bytes) -> None:
    with pytest.raises(InputError):
        tensors.read_request(text)


@pytest.mark.parametrize("header", [0, 10, 10_000])
def test_header_length(header: int) -> None:
    with pytest.raises(InputError):
        tensors.read_request(body(GOOD), header=header)


@pytest.mark.parametrize(
    "blob", [b"\x05\0\0\0abc", b"\x01\0\0\0", b"\x01\0\0\0a\x01\0\0\0b\0", b"\x01\0\0\0\xff\x01\0\0\0a"]
)
def test_malformed_strings(blob: bytes) -> None:
    text = body(
        {"name": "b", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(blob)}}
    )
    with pytest.raises(InputError):
        tensors.read_request(text + blob, header=len(text))


def test_bytes_behind_the_last_tensor() -> None:
    text, header = tensors.write_request({"x": np.zeros(2)})
    with pytest.raises(InputError, match="behind"):
        tensors.read_request(text + b"x", header=header)
    with pytest.raises(InputError):
        tensors.write_request({"x": np.zeros(1, dtype=np.complex128)})


@pytest.mark.parametrize("numbers", [[2**63, 0], [2**64 - 1, 1, 2**63 - 1], [0, 2**63]])
def test_large_numbers_beside_small_ones_keep_their_last_digit(numbers: list[int]) -> None:
    item = {"name": "y", "datatype": "UINT64", "shape": [len(numbers)], "data": numbers}
    found = tensors.read_answer(json.dumps({"outputs": [item]}).encode())["y"]
    assert found.dtype == np.uint64 and found.tolist() == numbers


@pytest.mark.parametrize("numbers", [[2**63, 0.5], [2**63, -1], [2**64, 0], [1.0, 2], [2**63, "1"]])
def test_what_no_unsigned_number_is(numbers: list[object]) -> None:
    item = {"name": "y", "datatype": "UINT64", "shape": [2], "data": numbers}
    with pytest.raises(InputError):
        tensors.read_answer(json.dumps({"outputs": [item]}).encode())
