"""TensorFlow's protobuf: what is a graph or a layer of Keras, and what is neither."""

from __future__ import annotations

import json

import pytest

from steelyard.errors import FormatError
from steelyard.formats.inspect import inspect
from steelyard.formats.report import FormatReport
from steelyard.formats.window import Memory
from tests.hostile.cases import pb

LAMBDA = json.dumps({"class_name": "Lambda", "config": {}})


def look(data: bytes) -> FormatReport:
    return inspect(Memory(data), len(data))


def node(name: bytes = b"x", op: bytes = b"Const", more: bytes = b"") -> bytes:
    return pb(1, pb(1, name) + pb(2, op) + more)


def saved(*parts: bytes) -> bytes:
    """Return a saved model of one graph with these parts."""
    return pb(1, 1) + pb(2, b"".join(parts))


def kept(identifier: str, metadata: str | bytes | None) -> bytes:
    """Return the part of a saved model in which one object was kept."""
    about = b"" if metadata is None else pb(3, metadata)
    return pb(7, pb(1, pb(4, pb(1, identifier) + pb(2, b"") + about)))


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (node() + node(b"y", b"AddV2", pb(3, b"x")), "tf-graph"),
        (node(more=pb(4, b"/device:CPU:0")) + node(b"y"), "tf-graph"),
        (node(more=pb(4, b"_tf_device")), "tf-graph"),
        (node(op=b"ReadFile"), "tf-graph+code"),
        (node(op=b"f n") + node(op=b"ReadFile"), "tf-graph+code"),
        (node(op=b"\x01"), "neither"),
        (node(op=b"A" * 1025), "neither"),
        (pb(1, pb(1, b"x") + pb(2, 3)), "neither"),
        (pb(1, pb(1, 0) + pb(2, b"Const")), "neither"),
        (pb(1, pb(1, b"x")), "neither"),
        (pb(1, pb(2, b"Const")), "neither"),
        (node(more=pb(8, b"x")) + node(op=b"ReadFile"), "tf-graph+code"),
        (pb(1, pb(2, b"WriteFile") + pb(3, b"a") + pb(1, b"x")), "tf-graph+code"),
        (node(op=b"__inference_a.b-c/d>e_" + b"1" * 900) + node(op=b"WriteFile"), "tf-graph+code"),
        (pb(2, b"") + pb(3, 5) + pb(4, b"") + pb(5, b"") + node(op=b"WriteFile"), "tf-graph+code"),
        (pb(6, 1) * 900 + node(op=b"WriteFile"), "tf-graph+code"),
        (pb(15, b"hi") + node(op=b"WriteFile") + pb(9, b"\0"), "tf-graph+code"),
        (b"\x33\x08\1\x33\x34\x12\1a\x35abcd\x31abcdefgh\x34" + node(op=b"WriteFile"), "tf-graph+code"),
        (b"\x33\x3c" + node(op=b"WriteFile"), "neither"),
        (b"\x33" * 40 + b"\x34" * 40 + node(op=b"WriteFile"), "neither"),
        (b"\x33" + b"\x08\1" * 1001 + b"\x34" + node(op=b"WriteFile"), "neither"),
        (pb(4, b"\0"), "neither"),
        (pb(1, pb(5, b"1.15.0")) + pb(2, node()) + pb(3, b"") + pb(5, b""), "tf-metagraph"),
        (pb(1, pb(5, b"1.15.0")) + pb(2, node(op=b"WriteFile")), "tf-metagraph+code"),
        (pb(2, node(op=b"WriteFile")) + pb(1, b""), "tf-metagraph+code"),
        (pb(2, pb(1, pb(1, b"x") + pb(2, b"of\1") + pb(2, b"WriteFile"))), "tf-metagraph+code"),
        (pb(2, node()) + pb(2, node(op=b"WriteFile")), "tf-metagraph+code"),
        (pb(2, node(op=b"WriteFile")) + pb(2, b""), "tf-metagraph+code"),
        (pb(2, node()) + pb(2, pb(2, pb(1, pb(1, b"") + pb(3, pb(1, b"x") + pb(2, b"WriteFile"))))), "tf-metagraph+code"),
        (pb(3, b"a") + pb(2, node(op=b"WriteFile")) + pb(9, b"z") + pb(3, 1), "tf-metagraph+code"),
        (pb(2, node()) + pb(2, b"\0"), "neither"),
        (pb(1, pb(5, b"1.15.0")), "neither"),
        (pb(1, pb(1, 0) + pb(4, b"_tf_keras_layer") + pb(5, json.dumps({"class_name": "Dense"}))), "keras-metadata"),
        (pb(1, pb(1, 0) + pb(4, b"_tf_keras_layer") + pb(5, LAMBDA)), "keras-metadata+code"),
        (pb(1, pb(1, 0) + pb(4, b"_tf_keras_layer") + pb(5, b"")), "keras-metadata"),
        (pb(1, pb(1, 0) + pb(4, b"_another") + pb(5, LAMBDA)), "neither"),
        (saved(pb(2, node())), "tf-savedmodel"),
        (saved(pb(2, node(op=b"WriteFile"))), "tf-savedmodel+code"),
        (saved(kept("_tf_keras_layer", LAMBDA)), "tf-savedmodel+code"),
        (saved(kept("_tf_keras_layer", b"")), "tf-savedmodel"),
        (saved(kept("_tf_keras_layer", None)), "tf-savedmodel"),
        (saved(kept("trackable_dict_wrapper", LAMBDA)), "tf-savedmodel"),
        (saved(kept("_generic_user_object", b"no JSON")), "tf-savedmodel"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_a_file_is(data: bytes, form: str) -> None:
    declared = look(data).declared
    assert declared == form or (form == "neither" and declared in ("binary", "text"))


def test_signatures() -> None:
    shape = pb(2, pb(1, 4))
    port = pb(1, pb(1, b"x") + pb(2, pb(2, 1) + pb(3, shape)))
    found = look(
        saved(
            pb(5, pb(1, b"serving_default") + pb(2, port)),
            pb(5, pb(1, b"__saved_model_init_op") + pb(2, port)),
            pb(5, pb(1, b"without a body")),
        )
    )
    assert [(item.name, item.dtype, item.shape) for item in found.inputs] == [
        ("serving_default:x", "float32", (4,))
    ]
    assert found.outputs == ()


def test_a_graph_with_more_than_is_looked_at_is_refused() -> None:
    with pytest.raises(FormatError, match="more values"):
        look(node() + pb(9, b"x" * 20) * 1_000_001 + node(op=b"WriteFile"))


def test_a_graph_of_many_large_weights() -> None:
    weights = node(more=pb(5, pb(1, b"value") + pb(2, bytes(70_000)))) * 1500
    assert look(weights + node(op=b"WriteFile")).declared == "tf-graph+code"
    assert look(pb(1, bytes(70_000)) * 4200).declared == "binary"


def test_a_long_file_of_something_else_is_not_refused() -> None:
    assert look(pb(2, pb(3, 1) * 999) * 1100).declared in ("binary", "text")
    assert look(pb(3, b"a") * 99 + pb(2, node(op=b"WriteFile"))).declared == "tf-metagraph+code"


def test_an_operator_with_a_name_that_none_has_is_refused() -> None:
    with pytest.raises(FormatError, match="no text of at most 1024 bytes"):
        look(saved(pb(2, node(op=b"ReadFile", more=pb(2, b"A" * 1025)))))


def test_fields_of_another_kind_are_refused_where_a_graph_is() -> None:
    """Protobuf skips them."""
    for data in (pb(2, node(op=b"WriteFile")) + pb(2, 12), pb(2, 12) + pb(2, node(op=b"WriteFile")),
                 pb(2, pb(1, pb(1, 5) + pb(1, b"x") + pb(2, 5) + pb(2, b"WriteFile")))):  # fmt: skip
        with pytest.raises(FormatError, match="is no (message|text)"):
            look(data)
