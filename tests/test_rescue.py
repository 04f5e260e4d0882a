"""Files that Keras 1 and 2 wrote open in Keras 3 and give what they gave; what cannot be said is refused."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from modelzoo import importers
from modelzoo.cli import main
from modelzoo.errors import ConversionError
from modelzoo.exporters import Options
from modelzoo.exporters import keras as keras_files
from modelzoo.exporters.keras import model_of

FOLDER = Path(__file__).parent / "formats" / "old_keras"
OLD = sorted(path.stem for path in FOLDER.glob("*.npz"))
FILES = {path.stem: path for path in sorted(FOLDER.glob("*")) if path.suffix in (".h5", ".keras")}
FIRST = {"keras12_theano"}  # whose images had their channels first
TOLERANCE = 1e-6


def recorded(name: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The inputs, channels last, and the outputs of the program that wrote the file."""
    with np.load(FOLDER / f"{name}.npz") as found:
        inputs, outputs = ([found[k] for k in sorted(found) if k.startswith(w)] for w in ("input", "output"))
    return [x.transpose(0, 2, 3, 1) if name in FIRST else x for x in inputs], outputs


def assert_answers(model: keras.Model, outputs: list[str], name: str) -> None:
    inputs, expected = recorded(name)
    given = dict(zip(model.input, inputs, strict=True)) if len(inputs) > 1 else inputs[0]
    found = model(given, training=False)
    values = [found[name] for name in outputs] if isinstance(found, dict) else [found]
    for ours, theirs in zip(values, expected, strict=True):
        assert np.linalg.norm(np.asarray(ours) - theirs) <= TOLERANCE * np.linalg.norm(theirs)


@pytest.mark.parametrize("name", OLD)
def test_an_old_model_opens_in_keras_3_with_its_outputs(name, tmp_path):
    path = tmp_path / "new.keras"
    with importers.opened(FILES[name]) as found:
        keras_files.write(path, found.graph, found.arrays, {}, Options())
        outputs = list(found.graph.outputs)
    assert_answers(keras.saving.load_model(path, compile=False), outputs, name)


def test_an_architecture_and_its_weights_make_the_model(tmp_path):
    name, path = "keras12_theano", tmp_path / "new.keras"
    arguments = [str(FOLDER / f"{name}_weights.h5"), "--architecture", str(FOLDER / f"{name}.json")]
    assert main(["rescue", *arguments, "-o", str(path)]) == 0
    assert_answers(keras.saving.load_model(path, compile=False), [], name)


def test_weights_alone_ask_for_their_architecture(tmp_path):
    with (
        pytest.raises(ConversionError, match="weights alone: give the model's architecture"),
        importers.opened(FOLDER / "keras12_theano_weights.h5"),
    ):
        pass


def test_a_shared_layer_keeps_one_set_of_weights():
    with importers.opened(FOLDER / "keras12_tensorflow.h5") as found:
        graph = found.graph
    assert [node.name for node in graph.nodes if node.layer == "shared"] == ["shared", "shared_2"]
    assert sum(path.startswith("shared") for path in graph.weights) == 2


def model_file(path: Path, *, layers: list[Any], weights: dict[str, np.ndarray]) -> Path:
    """A file of Keras 2 with a Sequential of these layers."""
    with h5py.File(path, "w") as file:
        config = {"class_name": "Sequential", "config": {"name": "net", "layers": layers}}
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"], file.attrs["backend"] = "2.2.4", "tensorflow"
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = np.array(["dense"] if weights else [], "S")
        if weights:
            group.create_group("dense").attrs["weight_names"] = np.array(list(weights), "S")
        for name, array in weights.items():
            group[f"dense/{name}"] = array
    return path


def layer(kind: str, **options: Any) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": kind.lower(), **options}}


FLAT = {"batch_input_shape": [None, 6]}
IMAGES = {"batch_input_shape": [None, 4, 4, 3]}
KERNEL = {"dense/kernel:0": np.ones((6, 2), np.float32)}


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        ([layer("Lambda", function=["4wEA", None, None], **FLAT)], r"'lambda' \(Lambda\): no operator"),
        ([layer("MyOwn", **FLAT)], r"'myown' \(MyOwn\): no operator"),
        ([layer("os>system", **FLAT)], r"os>system"),
        ([layer("Activation", activation="selu", **FLAT)], r"'activation' \(Activation\).*'selu'"),
        ([layer("UpSampling2D", size=[2, 2], interpolation="bilinear", **IMAGES)], "TensorFlow 1"),
        ([layer("BatchNormalization", mode=1, **FLAT)], "as its mode says"),
        ([layer("Dense", units=2, use_bias=True, **FLAT)], "expected 2 weights .* found 1"),
        ([layer("Dense", units=3, use_bias=False, **FLAT)], r"of shape \(6, 3\) .* got \(6, 2\)"),
        ([layer("Dense", units="many", use_bias=False, **FLAT)], "cannot be read"),
        ([layer("Dense", units=2, use_bias=False)], "expected the shape of the model's input"),
        ([], "cannot be read"),
    ],
)
def test_what_no_operator_says_is_refused_by_name(layers, sentence, tmp_path):
    path = model_file(tmp_path / "old.h5", layers=layers, weights=KERNEL)
    with pytest.raises(ConversionError, match=sentence), importers.opened(path):
        pass


def test_nested_models_are_not_followed_without_end(tmp_path):
    inner: dict[str, Any] = layer("Dense", units=2, use_bias=False, **FLAT)
    for number in range(60):
        inner = {"class_name": "Sequential", "config": {"name": f"net{number}", "layers": [inner]}}
    path = model_file(tmp_path / "old.h5", layers=[inner], weights=KERNEL)
    with pytest.raises(ConversionError, match="models in models"), importers.opened(path):
        pass


@pytest.mark.parametrize("version", ["2.2.4", "3.0.0"])
def test_hard_sigmoid_is_that_of_its_version(version, tmp_path):
    layers = [layer("Dense", units=2, use_bias=False, activation="hard_sigmoid", **FLAT)]
    path = model_file(tmp_path / "old.h5", layers=layers, weights=KERNEL)
    with h5py.File(path, "a") as file:
        file.attrs["keras_version"] = version
    with importers.opened(path) as found:
        values = model_of(found.graph, found.arrays, as_dict=False)(np.full((1, 6), 0.1, np.float32))
    expected = 0.6 * 0.2 + 0.5 if version < "3" else 3.6 / 6
    assert np.allclose(values, expected, atol=1e-6)


def test_a_model_of_keras_3_in_the_old_format_is_read(tmp_path):
    inside = keras.Input((6, 6, 3))
    x = keras.layers.Conv2D(4, 3, name="conv")(inside)
    inner = keras.Model(inside, keras.layers.BatchNormalization(name="norm")(x), name="inner")
    images = keras.Input((6, 6, 3))
    x = keras.layers.Dense(2, activation="hard_sigmoid", name="dense")(inner(images))
    model = keras.Model(images, x + 1.0)
    for weight in model.weights:
        weight.assign(np.random.default_rng(3).uniform(0.5, 1, weight.shape))
    model.save(tmp_path / "old.h5")
    noise = np.random.default_rng(4).normal(size=(2, 6, 6, 3)).astype(np.float32)
    with importers.opened(tmp_path / "old.h5") as found:
        again = model_of(found.graph, found.arrays, as_dict=False)
    assert np.allclose(again(noise), model(noise), rtol=1e-6)


def test_a_file_that_is_no_network_is_told_what_is_read(tmp_path, capsys):
    (tmp_path / "notes.h5").write_text("hello")
    assert main(["rescue", str(tmp_path / "notes.h5"), "-o", str(tmp_path / "new.keras")]) == 1
    said = capsys.readouterr().err
    assert "Expected one of a Keras model in .keras, a Keras model in .h5, " in said
    assert "notes.h5 is something else." in said
    assert "-w" not in said


@contextmanager
def changed(path: Path, folder: Path, change: Callable[[Path], None]) -> Iterator[Path]:
    """The .keras file with changed contents."""
    inside, new = folder / "inside", folder / "changed.keras"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(inside)
    change(inside)
    with zipfile.ZipFile(new, "w") as archive:
        for file in sorted(inside.iterdir()):
            archive.write(file, file.name)
    yield new


def replaced(old: str, new: str) -> Callable[[Path], None]:
    def change(inside: Path) -> None:
        text = (inside / "config.json").read_text()
        assert old in text
        (inside / "config.json").write_text(text.replace(old, new))

    return change


def without_a_group(inside: Path) -> None:
    with h5py.File(inside / "model.weights.h5", "a") as file:
        del file["layers/dense_1"]


def without_a_weight(inside: Path) -> None:
    with h5py.File(inside / "model.weights.h5", "a") as file:
        del file["layers/dense_1/vars/1"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (replaced('"class_name": "Flatten"', '"class_name": "Lambda"'), r"\(Lambda\): no operator"),
        (replaced('"registered_name": null', '"registered_name": "Mine>Own"'), "Mine>Own"),
        (replaced('"module": "keras.layers"', '"module": "own.layers"'), "own.layers>"),
        (without_a_group, "expected weights of 2 'Dense' layers, found 1"),
        (without_a_weight, "expected 2 weights for the layer 'dense_1', found 1"),
        (lambda inside: (inside / "config.json").unlink(), "it has no config.json"),
        (lambda inside: (inside / "model.weights.h5").write_bytes(b"no"), "its weights cannot be read"),
    ],
)
def test_a_keras_file_of_keras_2_that_is_not_sound_is_refused(change, sentence, tmp_path):
    with (
        changed(FILES["keras215"], tmp_path, change) as path,
        pytest.raises(ConversionError, match=sentence),
        importers.opened(path),
    ):
        pass


@pytest.mark.parametrize("command", ["show", "convert"])
def test_commands_take_the_file_as_a_model(command, tmp_path, capsys):
    output = [] if command == "show" else ["-o", str(tmp_path / "new.keras")]
    assert main([command, str(FOLDER / "keras21.h5"), *output]) == 0
    out = capsys.readouterr().out
    assert ("conv2d_transpose_1" in out) if command == "show" else ("proven" in out)
