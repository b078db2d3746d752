"""What a Keras configuration may name: layers, losses and functions as Keras itself writes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from steelyard.formats.inspect import inspect
from steelyard.formats.keras_config import code_of, is_config


def _function(module: str, name: str, registered: str = "function") -> dict[str, object]:
    return {"class_name": "function", "module": module, "config": name, "registered_name": registered}


def _class(module: str | None, name: str, registered: str | None = None) -> dict[str, object]:
    return {"class_name": name, "module": module, "config": {}, "registered_name": registered}


@pytest.mark.parametrize(
    "value",
    [
        _function("builtins", "relu"),
        _function("builtins", "my_loss", "my_loss"),
        _function("keras.losses", "mean_squared_error"),
        _function("keras.src.activations.activations", "gelu"),
        _function("tf_keras.src.metrics.accuracy_metrics", "binary_accuracy"),
        _class("keras.layers", "Dense"),
        _class("keras.src.models.functional", "Functional", "Functional"),
        _class("keras.utils", "FeatureSpace"),
        _class("keras", "DTypePolicy"),
        _class("keras_hub.src.models.gemma.gemma_backbone", "GemmaBackbone", "keras_hub>GemmaBackbone"),
        _class(None, "Mine", "mine>Mine"),
        _class("tensorflow.python.framework.tensor_spec", "TensorSpec"),
        _class("tensorflow.python.ops.init_ops_v2", "Constant", "Constant"),
        {"class_name": "TFOpLambda", "config": {"function": "math.reduce_mean"}},
        {"class_name": "TFOpLambda", "config": {"function": "compat.v1.transpose"}},
        {"class_name": "TFOpLambda", "config": {"function": "experimental.numpy.dot"}},
        {"class_name": "TFOpLambda", "config": {"function": "keras.activations.relu"}},
        {
            "class_name": "ClassMethod",
            "config": {"cls_symbol": "RaggedTensor", "method_name": "from_row_splits"},
        },
        {"class_name": "InstanceMethod", "config": {"attr_name": "to_tensor"}},
        {"class_name": "TensorFlowOpLayer", "config": {"node_def": json.dumps({"op": "AddV2"})}},
        {"class_name": "StringLookup", "config": {"vocabulary": ["a", "b"], "merges": None, "proto": ""}},
        {"class_name": "SentencePieceTokenizer", "config": {"proto": "A" * 3000}},
        {"module": "anything", "name": "that is no object of Keras"},
        {"class_name": 1, "module": "anything", "config": {"vocabulary": "of no object of Keras"}},
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_what_keras_writes_is_no_code(value: dict[str, object]) -> None:
    assert code_of({"class_name": "Sequential", "config": {"layers": [value]}}) is None


ODD: tuple[object, ...] = ([], [[]], {}, {"a": {}}, None, True, 0, 1.5, "", "x", "a.b", ".")
CLASSES = (
    "Dense",
    "function",
    "__typespec__",
    "TFOpLambda",
    "ClassMethod",
    "InstanceMethod",
    "TensorFlowOpLayer",
)
SETTINGS = ("function", "cls_symbol", "attr_name", "node_def", "vocabulary", "proto", "op")


@pytest.mark.parametrize("name", CLASSES)
def test_values_of_any_kind_are_read_anywhere(name: str) -> None:
    for value in ODD:
        for key in ("class_name", "config", "module", "registered_name", "spec_name"):
            assert isinstance(code_of({"class_name": name, "module": "keras.layers", key: value}), str | None)
        for key in SETTINGS:
            assert isinstance(code_of({"class_name": name, "config": {key: value}}), str | None)


def test_what_is_a_configuration() -> None:
    assert is_config({"class_name": "Sequential", "config": {}})
    for value in (
        {"class_name": "Sequential"},
        {"class_name": 1, "config": {}},
        {"config": {}},
        [],
        None,
        "Lambda",
    ):
        assert not is_config(value)


def test_json_that_is_no_model_may_hold_anything(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"layers": [{"class_name": "Lambda", "config": {}}], "module": "os"}))
    with path.open("rb") as file:
        assert inspect(file, path.stat().st_size, name=path.name).declared == "json"


def test_names_that_tensorflow_reads_are_told_by_the_last_part(tmp_path: Path) -> None:
    path = tmp_path / "any"
    path.write_bytes(b"any")
    for name, declared in (
        ("a/saved_model.pb", "text+code"),
        ("saved_model.pb/a", "text"),
        ("my_saved_model.pb", "text"),
        ("a.keras", "text+code"),
        ("Saved_Model.PB", "text+code"),
        (".keras/a", "text"),
    ):
        with path.open("rb") as file:
            assert inspect(file, 3, name=name).declared == declared
