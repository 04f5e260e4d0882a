"""pack: a file that training left becomes a model folder, and nothing in it is executed."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

import modelzoo
from modelzoo import cli, labels, store, weights
from modelzoo.backends import keras_files
from modelzoo.errors import ConversionError, LabelsError, OutputError, WeightsMismatch
from tests.folders import BASE, NAMES, photos, small_model


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def expected(model):
    return model.predict(modelzoo.preprocess(photos(), BASE), verbose=0)


@pytest.fixture(scope="module")
def files(model, tmp_path_factory) -> dict[str, Path]:
    """What plain Keras leaves of the model."""
    folder = tmp_path_factory.mktemp("files")
    found = {"keras": folder / "clothes.keras", "legacy": folder / "clothes.h5"}
    for path in found.values():
        model.compile("adam", "sparse_categorical_crossentropy")
        model.save(path)
    return found


@pytest.fixture
def names(tmp_path) -> Path:
    path = tmp_path / "names.txt"
    path.write_text("\n".join(NAMES) + "\n")
    return path


def off_by(found, expected) -> float:
    return float(np.abs(np.asarray(found) - expected).max())


@pytest.mark.parametrize("kind", ["keras", "legacy"])
def test_a_whole_models_file_is_packed_with_its_own_graph(files, kind, names, expected, tmp_path, capsys):
    target = tmp_path / "clothes"
    arguments = ["pack", str(files[kind]), "--base", BASE, "--labels", str(names), "-o", str(target)]
    assert cli.main([*arguments, "--license", "MIT", "--note", "Packed."]) == 0
    assert capsys.readouterr().out.strip() == str(target)
    assert off_by(modelzoo.Classifier(target).probabilities(photos()), expected) <= 1e-6
    entry = modelzoo.info(target)
    assert [label.name for label in labels.of(entry)] == NAMES
    assert (entry.licenses.weights, entry.note) == ("MIT", "Packed.")


def fine_tuned():
    """The base with other classes and other weights than its own."""
    import keras

    model = modelzoo.load(BASE, classes=len(NAMES))
    random = np.random.default_rng(3)
    for layer in model.layers:
        for variable in layer.weights:
            if variable.name in ("kernel", "bias"):
                variable.assign(keras.ops.convert_to_numpy(variable) + random.normal(0, 0.01, variable.shape))
    return model


def test_weights_of_the_base_with_other_classes_are_packed(tmp_path):
    model = fine_tuned()
    model.save_weights(tmp_path / "own.weights.h5")
    store.pack(tmp_path / "own.weights.h5", tmp_path / "clothes", base=BASE, labels=NAMES)
    expected = model.predict(modelzoo.preprocess(photos(), BASE), verbose=0)
    assert off_by(modelzoo.Classifier(tmp_path / "clothes").probabilities(photos()), expected) <= 1e-6


def test_a_modelzoo_weight_file_says_its_classes_by_its_head(tmp_path):
    from modelzoo.backends import keras_import

    model = fine_tuned()
    arrays = keras_import.arrays_of(model)
    weights.write(tmp_path / "own.h5", arrays.items(), {"model": modelzoo.info(BASE).key})
    entry = store.pack(tmp_path / "own.h5", tmp_path / "clothes", base=BASE)
    assert [label.name for label in labels.of(entry)] == ["class 0", "class 1", "class 2", "class 3"]
    expected = model.predict(modelzoo.preprocess(photos(), BASE), verbose=0)
    assert off_by(modelzoo.Classifier(entry.folder).probabilities(photos()), expected) <= 1e-6


def test_a_file_of_another_model_is_refused(tmp_path, files):
    weights.write(tmp_path / "own.h5", {"a/kernel": np.zeros((2, 3), "f4")}.items(), {"model": "other.own"})
    with pytest.raises(WeightsMismatch, match=r"holds the weights of other\.own, not of resnet9_cifar10"):
        store.pack(tmp_path / "own.h5", tmp_path / "clothes", base=BASE)
    small_model().save_weights(tmp_path / "small.weights.h5")
    with pytest.raises(ConversionError, match=r"bytes can hold|is not of resnet9_cifar10"):
        store.pack(tmp_path / "small.weights.h5", tmp_path / "clothes", base=BASE)
    assert not (tmp_path / "clothes").exists()


def test_the_labels_must_be_as_many(files, tmp_path, names):
    names.write_text("a\nb\n")
    assert cli.main(["pack", str(files["keras"]), "--base", BASE, "--labels", str(names), "-o", "x"]) == 1
    with pytest.raises(LabelsError, match="Expected 4 labels"):
        store.pack(files["keras"], tmp_path / "clothes", base=BASE, labels=["a", "b"])
    assert not (tmp_path / "clothes").exists()


def test_a_folder_of_another_kind_is_refused_before_anything_is_read(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a").touch()
    with pytest.raises(OutputError, match="is not a model folder"):
        store.pack(tmp_path / "nothing", tmp_path / "mine", base=BASE)
    with pytest.raises(ConversionError, match="There is no file"):
        store.pack(tmp_path / "nothing", tmp_path / "new", base=BASE)


# A stranger's file


def rewritten(source: Path, target: Path, change) -> Path:
    """A .keras file with another configuration."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                document = json.loads(content)
                content = (change(document) or json.dumps(document)).encode()
            new.writestr(name, content)
    return target


def layer(document, number=3):
    return document["config"]["layers"][number]


CALLED = {"module": "os", "class_name": "system", "config": "touch /tmp/called", "registered_name": "system"}
HOSTILE = {
    "a Lambda": lambda d: layer(d).update(class_name="Lambda"),
    "a class of theirs": lambda d: layer(d).update(module="theirs.layers"),
    "a registered class": lambda d: layer(d).update(registered_name="theirs>ReLU"),
    "a function": lambda d: layer(d)["config"].update(activity_regularizer=CALLED),
    "a function of Keras": lambda d: layer(d)["config"].update(
        kernel_initializer={"module": "keras.utils", "class_name": "get_file", "config": {}}
    ),
    "a model that loads": lambda d: d.update(module="keras.models", class_name="load_model"),
    "a pickle": lambda d: layer(d)["config"].update(
        x={"class_name": "__lambda__", "config": {"value": "gA=="}}
    ),
    "no JSON": lambda d: "{",
    "a list": lambda d: "[]",
    "deep": lambda d: "[" * 10_000 + "]" * 10_000,
    "deep objects": lambda d: '{"class_name": "Functional", "config": ' + '{"a": ' * 200 + "1" + "}" * 201,
    "a class that is none": lambda d: layer(d).update(class_name=["ReLU"]),
    "nothing": lambda d: '{"class_name": "Functional", "config": {}}',
    "huge filters": lambda d: layer(d, 1)["config"].update(filters=2**40),
    "many filters": lambda d: layer(d, 7)["config"].update(kernel_size=[2**14, 2**14]),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_strangers_keras_file_is_refused_in_one_sentence(files, case, tmp_path):
    path = rewritten(files["keras"], tmp_path / "theirs.keras", HOSTILE[case])
    with pytest.raises(ConversionError, match=r"theirs\.keras cannot be packed: ") as caught:
        store.pack(path, tmp_path / "clothes", base=BASE)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "clothes").exists()
    assert not Path("/tmp/called").exists()


def test_weights_of_a_keras_file_that_lie_in_another_file_are_refused(files, tmp_path):
    with zipfile.ZipFile(files["keras"]) as old:
        old.extractall(tmp_path / "parts")
    with h5py.File(tmp_path / "parts" / "model.weights.h5", "a") as file:
        place = "layers/dense/vars/1"
        del file[place]
        file[place] = h5py.ExternalLink("/etc/passwd", "/")
    shutil.make_archive(str(tmp_path / "theirs"), "zip", tmp_path / "parts")
    with pytest.raises(ConversionError, match="its weights cannot be read: '1' is a link to elsewhere"):
        store.pack(tmp_path / "theirs.zip", tmp_path / "clothes", base=BASE)


def test_only_classes_that_have_an_operator_are_known():
    assert "Lambda" not in set().union(*keras_files.KNOWN.values())
    assert not {"TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer"} & keras_files.KNOWN_LAYERS
