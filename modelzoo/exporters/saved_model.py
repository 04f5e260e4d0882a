"""Graph and arrays -> a SavedModel, a folder that TensorFlow runs without Keras and without modelzoo.

Signatures: "serving_default" takes the network's inputs and gives its outputs by name. Where it is known how
images are prepared, "preprocess" makes a network's input of encoded images, and "classify" answers to these:
"classes", the names of the most likely ones, best first, their "scores" and their "ids".
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelzoo.exporters.metadata import Metadata
from modelzoo.exporters.options import Arrays, Options, Texts
from modelzoo.graph import Graph

PROGRAM = "saved_model.pb"  # in the folder; by it one is known
EXTRA = "assets.extra"  # the folder that SavedModel leaves to others: nothing reads or changes it
TEXTS, LABELS = "modelzoo.json", "labels.txt"
LARGEST = 1 << 26  # bytes of all texts
SERVING, CLASSIFY, PREPROCESS = "serving_default", "classify", "preprocess"
ENCODED, IMAGES = "image_bytes", "images"
TOP = 5  # classes of an answer, as in TensorFlow Serving's own example

Function = Callable[..., Any]


def write(path: Path, graph: Graph, arrays: Arrays, texts: Texts, options: Options) -> None:
    """Writes the folder, for batches of any size, and images of any where the graph leaves sides open.

    Its weights are variables. Raises ValueError, with the node's name, for what Keras cannot do.
    """
    save(path, graph, arrays, Metadata.of(texts))
    (path / EXTRA).mkdir()
    labels = [name for _, name in Metadata.of(texts).labels]
    if labels:
        (path / EXTRA / LABELS).write_text("\n".join(labels), "utf-8")
    _write_texts(path, texts)


def save(path: Path, graph: Graph, arrays: Arrays, metadata: Metadata | None = None) -> None:
    """The folder without its texts; images' signatures only if there is metadata that says how."""
    import tensorflow

    from modelzoo.exporters.keras import model_of

    tf: Any = tensorflow
    model = model_of(graph, arrays, as_dict=True)

    def answer(**inputs: Any) -> Any:
        given = next(iter(inputs.values())) if len(inputs) == 1 else inputs
        return model(given, training=False)

    specs = {name: tf.TensorSpec(shape, tf.float32, name=name) for name, shape in graph.inputs.items()}
    signatures = {SERVING: tf.function(answer).get_concrete_function(**specs)}
    if metadata is not None and metadata.preprocessing is not None and len(graph.inputs) == 1:
        signatures |= _of_images(tf, answer, graph, metadata)
    module = tf.Module()
    module.variables_ = [variable.value for variable in model.variables]
    try:
        tf.saved_model.save(module, str(path), signatures=signatures)
    except tf.errors.OpError as error:  # TensorFlow's own, for what the disk refuses
        raise OSError(errno.EIO, error.message.rpartition("; ")[2].partition(" [Op:")[0]) from error


def _of_images(tf: Any, answer: Function, graph: Graph, metadata: Metadata) -> dict[str, Any]:
    """The signatures that take encoded images."""
    from modelzoo.exporters.saved_model_images import network_input

    facts: Any = metadata.preprocessing
    crop, (input_,) = facts["crop_size"], graph.inputs

    def preprocess(image_bytes: Any) -> dict[str, Any]:
        spec = tf.TensorSpec((crop, crop, 3), tf.float32)
        images = tf.map_fn(lambda one: network_input(one, facts), image_bytes, fn_output_signature=spec)
        return {IMAGES: images}

    def classify(image_bytes: Any) -> dict[str, Any]:
        (values,) = answer(**{input_: preprocess(image_bytes)[IMAGES]}).values()
        scores, places = tf.math.top_k(values, min(TOP, len(metadata.labels)))
        ids, names = (tf.constant(list(column)) for column in zip(*metadata.labels, strict=True))
        return {"classes": tf.gather(names, places), "ids": tf.gather(ids, places), "scores": scores}

    functions: dict[str, Function] = {PREPROCESS: preprocess}
    if metadata.task == "classification" and metadata.labels:
        functions[CLASSIFY] = classify
    spec = tf.TensorSpec((None,), tf.string, name=ENCODED)
    return {
        name: tf.function(function, autograph=False).get_concrete_function(spec)
        for name, function in functions.items()
    }


def add_text(path: Path, name: str, text: str) -> None:
    """Adds a text to the metadata."""
    _write_texts(path, read_texts(path) | {name: text})


def read_texts(path: Path) -> dict[str, str]:
    """The metadata. Raises OSError, and ValueError for a folder without it."""
    file = path / EXTRA / TEXTS
    if not file.is_file():
        raise ValueError("it was not exported by modelzoo")
    if file.stat().st_size > LARGEST:
        raise ValueError("its metadata is too large")
    texts = json.loads(file.read_text("utf-8"))
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise ValueError("its metadata are no texts")
    return texts


def _write_texts(path: Path, texts: Texts) -> None:
    content = json.dumps(dict(texts), ensure_ascii=False, indent=1)
    (path / EXTRA / TEXTS).write_text(content, "utf-8")
