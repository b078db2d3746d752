"""TensorFlow's readers: of saved models, graphs and models for small machines."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterable
from typing import Any

from steelyard.formats import tensorflow_ops
from tests.fuzz.library import CODE, HONEST, LAMBDA, is_code

# -- saved models, and layers of Keras -------------------------------------------------------------------------


def message(chance: random.Random, name: str) -> bytes:
    from tensorflow.core.protobuf import saved_model_pb2  # type: ignore[import-not-found]
    from tf_keras.protobuf import saved_metadata_pb2  # type: ignore[import-not-found]

    if name == "keras_metadata.pb":
        layers = saved_metadata_pb2.SavedMetadata()
        for number in range(chance.randrange(1, 4)):
            layers.nodes.add(
                node_id=number,
                node_path="root",
                identifier="_tf_keras_layer",
                metadata=chance.choice((LAMBDA, HONEST)),
            )
        return bytes(layers.SerializeToString())
    model = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    meta = model.meta_graphs.add()
    nodes = chance.choice((meta.graph_def.node, meta.graph_def.library.function.add().node_def))
    for number in range(chance.randrange(1, 4)):
        nodes.add(name=f"n{number}", op="Const")
    operator = chance.choice(("ReadFile", "PyFunc", "WriteFile", *tensorflow_ops.BY_SETTING, "Const"))
    node = nodes.add(name="x", op=operator, input=["n0"])
    if operator in tensorflow_ops.BY_SETTING:
        node.attr[tensorflow_ops.BY_SETTING[operator]].s = b"file:///nowhere"
    if operator == "Const":
        layer = meta.object_graph_def.nodes.add().user_object
        layer.identifier, layer.metadata = "_tf_keras_layer", LAMBDA
    whole = bytes(model.SerializeToString())
    # A message that stands there twice is one to its readers: half of a model in front of the other half.
    return whole + whole[: chance.choice((0, 0, len(whole)))]


def protobuf(name: str, data: bytes) -> set[str]:
    from tensorflow.core.protobuf import saved_model_pb2
    from tf_keras.protobuf import saved_metadata_pb2

    if name == "keras_metadata.pb":
        layers = saved_metadata_pb2.SavedMetadata.FromString(data).nodes
        return _of_layers(layers)
    found: set[str] = set()
    for meta in saved_model_pb2.SavedModel.FromString(data).meta_graphs:
        functions = (function.node_def for function in meta.graph_def.library.function)
        nodes = (node for nodes in (meta.graph_def.node, *functions) for node in nodes)
        found |= {CODE for node in nodes if _is_dangerous(node)}
        layers = [
            item.user_object
            for item in meta.object_graph_def.nodes
            if item.WhichOneof("kind") == "user_object"
        ]
        found |= _of_layers(layers)
    return found


def _of_layers(layers: Iterable[Any]) -> set[str]:
    return {CODE for layer in layers if layer.identifier.startswith("_tf_keras_") and is_code(layer.metadata)}


def _is_dangerous(node: Any) -> bool:
    setting = tensorflow_ops.BY_SETTING.get(node.op)
    if setting is not None and setting in node.attr:
        return not tensorflow_ops.is_harmless(node.attr[setting].s)
    return node.op in tensorflow_ops.CODE


# -- graphs ----------------------------------------------------------------------------------------------------


@functools.cache
def _made() -> tuple[Any, Any]:
    """Return a graph that reads a file by itself, and one that does so in a function."""
    import tensorflow as tf  # type: ignore[import-untyped]

    graphs = (tf.Graph(), tf.Graph())
    with graphs[0].as_default():
        path = tf.compat.v1.placeholder(tf.string, [], name="x")
        tf.raw_ops.PrintV2(input=tf.io.read_file(path), output_stream="file:///nowhere")
        tf.numpy_function(len, [path], tf.int64)
    with graphs[1].as_default():
        path = tf.compat.v1.placeholder(tf.string, [], name="x")
        tf.function(tf.io.read_file)(path)
    return graphs


def graph(chance: random.Random, name: str) -> bytes:
    """Return a GraphDef, or a MetaGraphDef of one."""
    from tensorflow.core.protobuf import meta_graph_pb2

    made = chance.choice(_made()).as_graph_def()
    for node in chance.sample(list(made.node), chance.randrange(2)):
        if node.op in ("PrintV2", "PyFunc"):
            made.node.remove(node)
    if name == "m.pb":
        return bytes(made.SerializeToString())
    meta = meta_graph_pb2.MetaGraphDef(graph_def=made)
    if chance.random() < 0.7:
        meta.meta_info_def.tensorflow_version = "2.21.0"
    if chance.random() < 0.3:
        meta.saver_def.filename_tensor_name = "save/Const:0"
    whole = bytes(meta.SerializeToString())
    return whole + whole[: chance.choice((0, 0, len(whole)))]


def imported(name: str, data: bytes) -> set[str]:
    """Return what a graph would run that TensorFlow imports."""
    import tensorflow as tf
    from tensorflow.core.protobuf import meta_graph_pb2

    if name == "m.pb":
        read = tf.compat.v1.GraphDef.FromString(data)
    else:
        read = meta_graph_pb2.MetaGraphDef.FromString(data).graph_def
    functions = (function.node_def for function in read.library.function)
    if not any(_is_dangerous(node) for nodes in (read.node, *functions) for node in nodes):
        return set()
    with tf.Graph().as_default():
        tf.import_graph_def(read, name="")
    return {CODE}


# -- models for small machines ---------------------------------------------------------------------------------


@functools.cache
def _converted() -> bytes:
    import tensorflow as tf

    module = tf.Module()
    module.read = tf.function(tf.io.read_file, input_signature=[tf.TensorSpec([], tf.string)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.read.get_concrete_function()], module)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    return bytes(converter.convert())


def lite(_chance: random.Random, _name: str) -> bytes:
    """Return a model that reads a file by an operator of TensorFlow."""
    return _converted()


def interpreted(_name: str, data: bytes) -> set[str]:
    """Return what a model would run that the interpreter opens. Its operators of TensorFlow come with another library."""
    import tensorflow as tf
    from tensorflow.lite.python import schema_py_generated

    operators = tf.lite.Interpreter(model_content=data)._get_ops_details()
    if not any(operator["op_name"].startswith("Flex") for operator in operators):
        return set()
    model = schema_py_generated.ModelT.InitFromPackedBuf(data)
    options = [operator.customOptions for part in model.subgraphs for operator in part.operators or ()]
    return {CODE for option in options if option is not None and b"ReadFile" in bytes(option)}
