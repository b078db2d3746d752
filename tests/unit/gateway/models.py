"""Small real ONNX models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


def write(path: Path, *, batch: bool = True, mean: bool = False) -> Path:
    """Write a model with X float (n, 3) to Y = 2 X, and with ``mean`` minus the mean over all rows, so that rows are not independent.

    Args:
        path: file to write.
        batch: whether the first dimension is open.
        mean: see above.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rows: Any = "n" if batch else 2
    nodes = [helper.make_node("Mul", ["X", "two"], ["D" if mean else "Y"])]
    if mean:
        nodes += [
            helper.make_node("ReduceMean", ["D"], ["M"], keepdims=1),
            helper.make_node("Sub", ["D", "M"], ["Y"]),
        ]
    _save(
        onnx,
        path,
        nodes,
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [rows, 3])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [rows, 3])],
        [numpy_helper.from_array(np.array(2.0, dtype=np.float32), "two")],
    )
    return path


def write_shape(path: Path) -> Path:
    """Write a model whose output has as many rows as the input has dimensions: open in both, and no batch axis at all."""
    import onnx
    from onnx import TensorProto, helper

    nodes = [helper.make_node("Shape", ["X"], ["Y"])]
    x = helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", 3])
    y = helper.make_tensor_value_info("Y", TensorProto.INT64, ["m"])
    _save(onnx, path, nodes, [x], [y], [])
    return path


def write_reshape(path: Path) -> Path:
    """Write a model that fails unless a call has exactly two rows."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Reshape", ["X", "shape"], ["R"]),
        helper.make_node("Reshape", ["R", "back"], ["Y"]),
    ]
    x = helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", 3])
    y = helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["m", 3])
    shapes = [
        numpy_helper.from_array(np.array([6], dtype=np.int64), "shape"),
        numpy_helper.from_array(np.array([2, 3], dtype=np.int64), "back"),
    ]
    _save(onnx, path, nodes, [x], [y], shapes)
    return path


def _save(
    onnx: Any,
    path: Path,
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    weights: Sequence[Any],
) -> None:
    from onnx import helper

    graph = helper.make_graph(list(nodes), "g", list(inputs), list(outputs), list(weights))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
