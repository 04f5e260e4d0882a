"""Files that people have: their classes, what training left, no top, a head of their own."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import modelzoo
from modelzoo import cli, conversion, labels, registry, store, weights
from modelzoo.architectures import synthetic
from modelzoo.conversion import CONVERTERS
from modelzoo.conversion.averages import SUFFIX
from modelzoo.errors import ConversionError, LabelsError, WeightsMismatch
from modelzoo.formats import FORMATS, write_keras_h5, write_safetensors, write_tensorflow_checkpoint
from modelzoo.runtimes import Deployment
from modelzoo.verification.comparison import synthetic_weights
from tests.test_conversion import upstream_arrays

SLIM = registry.info("mobilenet_v1_0.25_128.slim")
KERAS = registry.info("mobilenet_0.25_128.keras")
GLUON = registry.info("resnet18_v1b.gluon")
CLASSES = 5
NAMES = ("coat", "dress", "hat", "shirt", "shoe")
SLOTS = ["Momentum", "RMSProp", "RMSProp_1", "RMSProp_2", "Adam", "Adam_1", "Adagrad", "Adadelta"]
SLOTS += ["Adadelta_1", "Ftrl", "Ftrl_1", "LARS", "LARSOptimizer"]
COUNTERS = ["global_step", "beta1_power", "beta2_power", "train/beta1_power_1", "learning_rate"]


def of_five(entry):
    return replace(entry, graph=replace(entry.graph, classes=CLASSES))


def with_slots(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What training leaves in a checkpoint: an optimizer's slots, counters, and averages, which differ."""
    trained = {name: array for name, array in arrays.items() if "moving_" not in name}
    found = {name: np.array(7) for name in COUNTERS}
    for name, array in trained.items():
        found |= {f"{name}/{slot}": array for slot in ("Adam", "Adam_1")}
    return {**arrays, **found, **{name + SUFFIX: array + np.float32(1) for name, array in trained.items()}}


def write_slim(folder: Path) -> Path:
    write_tensorflow_checkpoint(folder / "model.ckpt-7", with_slots(upstream_arrays(of_five(SLIM))))
    return folder / "model.ckpt-7"


def write_keras(folder: Path) -> Path:
    return write_keras_h5(folder / "own.h5", upstream_arrays(of_five(KERAS)))[0]


def write_gluon(folder: Path) -> Path:
    return FORMATS["mxnet"].write(folder / "own.params", upstream_arrays(of_five(GLUON)))[0]


def write_timm(folder: Path) -> Path:
    """As a program writes it that keeps the network in an attribute and trains on several GPUs."""
    arrays = upstream_arrays(of_five(GLUON), CONVERTERS["timm"]) | {"bn1.num_batches_tracked": np.array(7)}
    prefixed = {f"module.model.{name}": array for name, array in arrays.items()}
    return write_safetensors(folder / "own.safetensors", prefixed | {"epoch": np.array(3)})[0]


WRITERS = {
    "a TensorFlow checkpoint": (SLIM, write_slim),
    "a Keras .h5 file": (KERAS, write_keras),
    "an MXNet .params file": (GLUON, write_gluon),
    "a safetensors file": (GLUON, write_timm),
}


@pytest.fixture(scope="module", params=WRITERS)
def own(request, tmp_path_factory):
    """An entry, and a file of its network with five classes."""
    entry, write = WRITERS[request.param]
    return entry, write(tmp_path_factory.mktemp("own"))


def values(entry) -> dict[str, np.ndarray]:
    return synthetic_weights(of_five(entry))


def test_the_shape_of_the_head_decides_how_many_classes_there_are(own, tmp_path):
    entry, file = own
    average = False if entry is SLIM else None
    provenance = conversion.convert(entry, file, tmp_path / "out.h5", average=average)
    assert provenance["classes"] == CLASSES
    assert "labels" not in provenance
    assert "left_over" not in provenance
    expected = values(entry)
    found = dict(weights.read(tmp_path / "out.h5"))
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[path], expected[path]) for path in found)


def test_a_file_with_other_classes_is_recognized(own):
    entry, file = own
    assert entry.key in [
        found.key for found in conversion.by_tensors(file, registry.current().entries.values())
    ]


def test_a_file_with_other_classes_loads_with_these(own):
    entry, file = own
    model = modelzoo.load(entry.key, weights=file)
    assert model.output_shape == (None, CLASSES)
    assert model.count_params() == sum(array.size for array in values(entry).values())
    assert model.layers[-1].name == "probabilities"


def test_asked_for_as_many_classes_the_files_own_head_is_taken(own):
    entry, file = own
    first, second = (modelzoo.load(entry.key, weights=file, classes=n) for n in (CLASSES, 7))
    assert first.output_shape == (None, CLASSES)
    assert second.output_shape == (None, 7)
    if entry is not SLIM:  # whose averages are taken
        kernel = first.get_layer("logits").get_weights()[0]
        assert np.array_equal(kernel, values(entry)["logits/kernel"])


def test_a_file_with_other_classes_cannot_become_the_pretrained_weights(own, capsys):
    entry, file = own
    assert cli.main(["add", entry.key, str(file)]) == 1
    error = capsys.readouterr().err
    assert f"{file} has a head of 5 classes, and {entry.key} has {entry.graph.classes:,}" in error
    assert f"modelzoo convert {entry.key} {file} -o own.h5" in error
    assert store.availability(entry) != "cached"


def converted(tmp_path, *options) -> Path:
    assert (
        cli.main(["convert", KERAS.key, str(write_keras(tmp_path)), "-o", str(tmp_path / "c.h5"), *options])
        == 0
    )
    return tmp_path / "c.h5"


def write_names(folder: Path, names=NAMES, ending="\n") -> str:
    (folder / "names.txt").write_bytes(("\ufeff" + ending.join(names) + ending).encode())
    return str(folder / "names.txt")


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_classes_have_the_names_of_a_file_or_else_numbers(ending, tmp_path):
    named = converted(tmp_path, "--labels", write_names(tmp_path, ending=ending))
    assert [label.name for label in labels.of(store.entry_of(KERAS, named))] == list(NAMES)
    numbered = converted(tmp_path)
    assert [label.name for label in labels.of(store.entry_of(KERAS, numbered))] == [
        f"class {number}" for number in range(CLASSES)
    ]


@pytest.mark.parametrize("runtime", ["keras", "openvino"])
def test_a_converted_file_classifies_by_its_own_names(runtime, tmp_path, capsys):
    file = converted(tmp_path, "--labels", write_names(tmp_path))
    image = np.full((128, 128, 3), 90, np.uint8)
    classifier = modelzoo.Classifier(KERAS.key, weights=file, runtime=runtime)
    (predictions,) = classifier(image, top=9)
    assert sorted(prediction.name for prediction in predictions) == sorted(NAMES)
    assert sum(prediction.probability for prediction in predictions) == pytest.approx(1, abs=1e-5)


def test_the_command_classifies_by_the_names_of_a_file_and_so_does_bulk(tmp_path, capsys):
    from PIL import Image

    file = converted(tmp_path, "--labels", write_names(tmp_path))
    Image.new("RGB", (140, 130), (90, 80, 70)).save(tmp_path / "a.png")
    command = ["classify", str(tmp_path / "a.png"), "-m", KERAS.key, "-w", str(file), "--json"]
    capsys.readouterr()
    assert cli.main(command) == 0
    found = json.loads(capsys.readouterr().out)["predictions"]
    assert {prediction["name"] for prediction in found} == set(NAMES)
    assert cli.main([*command[:-1], "-o", str(tmp_path / "out.jsonl")]) == 0
    row = json.loads((tmp_path / "out.jsonl").read_text())
    assert {prediction["name"] for prediction in row["predictions"]} == set(NAMES)


def test_an_upstream_file_classifies_without_being_converted_first(tmp_path):
    (predictions,) = modelzoo.Classifier(KERAS.key, weights=write_keras(tmp_path))(
        np.zeros((9, 9, 3), np.uint8)
    )
    assert {prediction.name for prediction in predictions} == {f"class {number}" for number in range(CLASSES)}


def test_a_changed_file_has_its_own_classes(tmp_path):
    deployment = Deployment(KERAS.key, converted(tmp_path))
    assert deployment.entry.graph.classes == CLASSES
    write_keras_h5(tmp_path / "own.h5", upstream_arrays(KERAS))
    conversion.convert(KERAS, tmp_path / "own.h5", tmp_path / "c.h5")
    assert deployment.entry == KERAS


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (NAMES[:4], r"Expected 5 labels, as many as .*own\.h5 has classes, got 4"),
        ((*NAMES[:4], "coat"), "Expected every label once, got more of 'coat'"),
        ((*NAMES[:3], "", "hat"), "Expected names of 1 to 500 characters, got '' as label 4"),
    ],
)
def test_labels_that_are_none_of_the_classes_are_refused(names, message, tmp_path):
    with pytest.raises(LabelsError, match=message):
        conversion.convert(KERAS, write_keras(tmp_path), tmp_path / "out.h5", labels=names)
    assert not (tmp_path / "out.h5").exists()


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"x" * 2**23], ids=["no text", "too long"])
def test_a_file_that_is_no_list_of_names_is_refused(content, tmp_path):
    (tmp_path / "names.txt").write_bytes(content)
    with pytest.raises(LabelsError, match=r"names\.txt .*expected a name a line"):
        labels.read_names(tmp_path / "names.txt")
    with pytest.raises(LabelsError, match=r"The labels .*none\.txt cannot be read"):
        labels.read_names(tmp_path / "none.txt")


@pytest.mark.parametrize("stated", [["a"] * 4, "coats", [1, 2, 3, 4, 5], None])
def test_labels_of_a_file_that_are_no_names_are_not_taken(stated, tmp_path):
    """A stranger's provenance says what it likes."""
    arrays = values(KERAS).items()
    weights.write(tmp_path / "s.h5", arrays, {"model": KERAS.key, "classes": CLASSES, "labels": stated})
    assert labels.of(store.entry_of(KERAS, tmp_path / "s.h5"))[0].name == "class 0"


def test_a_file_that_states_other_classes_than_it_has_is_refused(tmp_path):
    weights.write(tmp_path / "s.h5", values(KERAS).items(), {"model": KERAS.key, "classes": 10**6})
    with pytest.raises(WeightsMismatch, match=r"s\.h5 holds .* do not fit this model"):
        modelzoo.load(KERAS.key, weights=tmp_path / "s.h5")


# What training leaves behind


@pytest.mark.parametrize("name", SLOTS)
def test_the_slots_of_every_optimizer_are_left_over(name, tmp_path):
    arrays = upstream_arrays(SLIM)
    slots = {f"{weight}/{name}": array for weight, array in arrays.items() if "moving_" not in weight}
    write_tensorflow_checkpoint(tmp_path / "model.ckpt", arrays | slots)
    assert "left_over" not in conversion.convert(SLIM, tmp_path / "model.ckpt", tmp_path / "out.h5")


@pytest.mark.parametrize("name", CONVERTERS)
def test_what_training_leaves_is_one_rule_for_all_sources(name):
    """Asked of one array of a kind each."""
    from modelzoo.formats import TensorInfo

    three, alone = TensorInfo((3,), np.dtype(np.float32)), TensorInfo((), np.dtype(np.int64))
    assert all(CONVERTERS[name].is_ignored(f"a/weights/{slot}", three) for slot in SLOTS)
    assert all(CONVERTERS[name].is_ignored(counter, three) for counter in COUNTERS)
    assert CONVERTERS[name].is_ignored("layer1.0.bn2.num_batches_tracked", three)
    assert CONVERTERS[name].is_ignored("whatever", alone)
    for kept in ("a/weights", "a/Adam/weights", "Momentum", "a/b/beta", "global_step_conv/kernel"):
        assert not CONVERTERS[name].is_ignored(kept, three)


@pytest.mark.parametrize("average", [True, False])
def test_both_copies_of_a_checkpoint_with_other_classes_convert(average, tmp_path):
    provenance = conversion.convert(SLIM, write_slim(tmp_path), tmp_path / "out.h5", average=average)
    assert (provenance["classes"], provenance["weights"]) == (CLASSES, "moving average" if average else "raw")
    expected = values(SLIM)
    for path, array in weights.read(tmp_path / "out.h5"):
        more = np.float32(average and "moving_" not in path)
        assert np.array_equal(array, expected[path] + more), path


@pytest.mark.parametrize("prefix", ["module.", "model.", "net.", "module.model.", "_orig_mod.module."])
def test_what_wrappers_put_before_every_name_is_taken_off(prefix, tmp_path):
    arrays = upstream_arrays(GLUON, CONVERTERS["timm"])
    write_safetensors(tmp_path / "a.safetensors", {prefix + name: array for name, array in arrays.items()})
    assert conversion.convert(GLUON, tmp_path / "a.safetensors", tmp_path / "o.h5")["tensors"] == len(arrays)


def test_a_prefix_of_some_names_is_none(tmp_path):
    arrays = upstream_arrays(GLUON, CONVERTERS["timm"])
    some = {("module." if name.startswith("layer1") else "") + name: array for name, array in arrays.items()}
    write_safetensors(tmp_path / "a.safetensors", some)
    with pytest.raises(ConversionError, match=r"unexpected: module\.layer1"):
        conversion.convert(GLUON, tmp_path / "a.safetensors", tmp_path / "o.h5")


# No top, and a head of the user's own


def backbone(arrays: Mapping[str, np.ndarray], entry=KERAS) -> dict[str, np.ndarray]:
    top = conversion.converter_of(entry.sources[0]).upstream_names(entry.graph.variant, list(arrays))
    left = {top("logits/kernel"), top("logits/bias")}
    return {name: array for name, array in arrays.items() if name not in left}


OWN_HEAD = {
    "dense_1/kernel": np.zeros((256, 64), np.float32),
    "dense_1/bias": np.zeros(64, np.float32),
    "dense_2/kernel": np.zeros((64, 3), np.float32),
}


def test_a_file_without_top_is_recognized_by_its_name_and_kept_without_top(tmp_path, capsys):
    file = tmp_path / "mobilenet_2_5_128_tf_no_top (1).h5"
    write_keras_h5(file, backbone(upstream_arrays(KERAS)))
    assert cli.main(["add", str(file)]) == 0
    assert capsys.readouterr().out.startswith(f"{file} has the weights of {KERAS.key}\n")
    assert store.availability(KERAS) == "cached without top"
    model = modelzoo.load(KERAS.key, include_top=False)
    expected = synthetic.array("conv1/kernel", (3, 3, 3, 8))
    assert np.array_equal(model.get_layer("conv1").get_weights()[0], expected)


def test_the_name_of_the_official_file_breaks_a_tie(tmp_path):
    """The same tensors are those of 128, 160, 192 and 224 pixels."""
    entry = registry.info("mobilenet_0.25_192.keras")
    file = write_keras_h5(tmp_path / "mobilenet_2_5_192_tf.h5", upstream_arrays(entry))[0]
    assert store.recognize(file) == entry.key
    file.rename(tmp_path / "mine.h5")
    with pytest.raises(
        ConversionError, match=r"fits several models: .*_160\.keras.* for example: modelzoo add m"
    ):
        store.recognize(tmp_path / "mine.h5")


def test_a_modelzoo_file_without_top_is_kept_without_top(tmp_path):
    write_keras_h5(tmp_path / "a.h5", backbone(upstream_arrays(KERAS)))
    assert cli.main(["convert", KERAS.key, str(tmp_path / "a.h5"), "-o", str(tmp_path / "c.h5")]) == 0
    assert "-notop-" in modelzoo.add(KERAS.key, tmp_path / "c.h5").name
    assert store.availability(KERAS) == "cached without top"


def test_a_head_of_ones_own_is_left_over_and_named(tmp_path, caplog):
    file = write_keras_h5(tmp_path / "whole.h5", backbone(upstream_arrays(KERAS)) | OWN_HEAD)[0]
    with caplog.at_level(logging.WARNING):
        provenance = conversion.convert(KERAS, file, tmp_path / "out.h5", include_top=False)
    assert provenance["left_over"] == sorted(OWN_HEAD)
    assert "the file has a head of its own, which is left over: dense_1/bias, dense_1/kernel" in caplog.text
    assert not weights.has_layers(tmp_path / "out.h5", ["logits"])
    model = modelzoo.load(KERAS.key, weights=file, include_top=False, pooling="avg")
    assert model.output_shape == (None, 256)
    with pytest.raises(
        ConversionError, match=r"unexpected: dense_1/bias.* It has a head of its own: use incl"
    ):
        modelzoo.load(KERAS.key, weights=file)


def test_a_head_on_other_inputs_is_ones_own_whatever_its_name(tmp_path):
    head = {
        "dense/kernel": np.zeros((256, 9), np.float32),
        "predictions/kernel": np.zeros((9, 3), np.float32),
    }
    head["predictions/bias"] = np.zeros(3, np.float32)
    file = write_keras_h5(tmp_path / "whole.h5", backbone(upstream_arrays(KERAS)) | head)[0]
    provenance = conversion.convert(KERAS, file, tmp_path / "out.h5", include_top=False)
    assert provenance["left_over"] == sorted(head)


def test_more_convolutions_are_no_head(tmp_path):
    more = {"conv_pw_14/kernel": np.zeros((1, 1, 256, 3), np.float32)}
    file = write_keras_h5(tmp_path / "whole.h5", backbone(upstream_arrays(KERAS)) | more | OWN_HEAD)[0]
    with pytest.raises(ConversionError, match=r"unexpected: conv_pw_14/kernel, dense_1/bias"):
        conversion.convert(KERAS, file, tmp_path / "out.h5", include_top=False)


def test_the_deeper_network_of_a_family_is_not_a_head_on_the_other(tmp_path):
    deeper = registry.info("resnet34_v1b.gluon")
    file = write_safetensors(tmp_path / "a.safetensors", upstream_arrays(deeper, CONVERTERS["timm"]))[0]
    with pytest.raises(
        ConversionError, match=r"unexpected: layer1\.2.* seems to be the file of resnet34_v1b"
    ):
        store.convert(GLUON, file, tmp_path / "out.h5", include_top=False)
