"""Model folders: what modelzoo.save writes stands wherever a name does, and answers as the model did."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import stat

import numpy as np
import pytest

import modelzoo
from modelzoo import cli, labels, registry, settings, store
from modelzoo.errors import (
    ConversionError,
    LabelsError,
    OutputError,
    RegistryError,
    UnknownModel,
    WeightsUnavailable,
)
from modelzoo.registry import Metric
from modelzoo.registry.custom import with_custom
from modelzoo.runtimes import compiled
from tests import unprivileged
from tests.conftest import SHARED
from tests.folders import BASE, CLASSES, NAMES, SIDE, photos, small_model

METRIC = Metric("top1", 87.5, "40 photos of ours", "the tests")


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    """A model folder, which no test changes."""
    folder = tmp_path_factory.mktemp("models") / "Clothes 1"
    modelzoo.save(model, folder, base=BASE, labels=NAMES, metrics=[METRIC], license="MIT", note="Small.")
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """A copy of a model folder, at another place and under another name."""
    return shutil.copytree(saved, tmp_path / "elsewhere" / "renamed")


@pytest.fixture(scope="module")
def expected(model):
    """What the live model answers for the photos."""
    return model.predict(modelzoo.preprocess(photos(), BASE), verbose=0)


def off_by(found, expected) -> float:
    return float(np.abs(np.asarray(found) - expected).max())


def answers(predictions) -> np.ndarray:
    """Probabilities in class order, from labels with probabilities."""
    by_name = [{p.name: p.probability for p in each} for each in predictions]
    return np.array([[each[name] for name in NAMES] for each in by_name])


# What a folder has


def test_a_folder_has_a_model_json_weights_and_a_card(saved):
    assert sorted(path.name for path in saved.iterdir()) == ["README.md", "model.json", "weights.h5"]


def test_an_entry_says_what_was_saved(saved, model):
    entry = modelzoo.info(saved)
    assert (entry.key, entry.name, entry.tag) == ("clothes_1.own", "clothes_1", "own")
    assert entry.graph.classes == CLASSES
    assert entry.graph.input_shape == (SIDE, SIDE, 3)
    assert entry.parameters == sum(
        v.shape.num_elements() if 0 else int(np.prod(v.shape)) for v in floats(model)
    )
    assert entry.preprocessing == modelzoo.info(BASE).preprocessing
    assert [label.name for label in labels.of(entry)] == NAMES
    assert entry.metrics == (METRIC,)
    assert entry.licenses.weights == "MIT"
    assert entry.licenses.code == modelzoo.info(BASE).licenses.code
    assert entry.base.model == modelzoo.info(BASE).key
    assert re.fullmatch("[0-9a-f]{64}", entry.base.sha256)
    assert repr(entry).startswith("<Entry clothes_1.own: ")


def floats(model):
    return [variable for variable in model.weights if "float" in variable.dtype]


def test_a_card_begins_with_the_metadata_that_hubs_read(saved):
    text = (saved / "README.md").read_text("utf-8")
    _, metadata, rest = text.split("---\n", 2)
    found = dict(line.split(": ", 1) for line in metadata.splitlines())
    assert found["library_name"] == "keras"
    assert found["pipeline_tag"] == "image-classification"
    assert json.loads(found["license"]) == "mit"
    (index,) = json.loads(found["model-index"])
    assert index["results"][0]["metrics"] == [{"type": "accuracy", "value": 87.5, "name": "top1"}]
    assert all(name in rest for name in [*NAMES, "Small.", "the tests"])


def test_a_folder_saved_twice_has_the_same_bytes(model, saved, tmp_path):
    again = tmp_path / "Clothes 1"
    modelzoo.save(model, again, base=BASE, labels=NAMES, metrics=[METRIC], license="MIT", note="Small.")
    for path in saved.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name


# The same answers


@pytest.mark.parametrize("runtime", ["keras", "openvino"])
def test_a_folder_answers_as_the_model(folder, expected, runtime):
    found = modelzoo.Classifier(folder, runtime=runtime).probabilities(photos())
    assert off_by(found, expected) <= 1e-6


def test_load_gives_the_models_answers(folder, expected):
    found = modelzoo.load(folder)
    assert off_by(found.predict(modelzoo.preprocess(photos(), folder), verbose=0), expected) <= 1e-6


def test_classify_takes_a_folder_and_says_its_labels(folder, expected):
    found = modelzoo.classify(photos(), str(folder), top=CLASSES)
    assert off_by(answers(found), expected) <= 1e-6


def test_embed_takes_a_folder(folder, model):
    import keras

    inner = keras.Model(model.input, model.get_layer("mean").output)
    expected = inner.predict(modelzoo.preprocess(photos(), BASE), verbose=0)
    assert off_by(modelzoo.embed(photos(), str(folder)), expected) <= 1e-6


def test_many_files_are_classified_by_a_folder(folder, expected, tmp_path):
    from PIL import Image

    paths = [tmp_path / f"{n}.png" for n in range(3)]
    for path, photo in zip(paths, photos(), strict=True):
        Image.fromarray(photo).save(path)
    target = tmp_path / "rows.jsonl"
    modelzoo.classify_files(list(map(str, paths)), target, str(folder), top=CLASSES)
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    assert {row["model"] for row in rows} == {"clothes_1.own"}
    found = [{p["name"]: p["probability"] for p in row["predictions"]} for row in rows]
    assert off_by([[each[name] for name in NAMES] for each in found], expected) <= 1e-6


def test_the_command_line_takes_a_folder(folder, expected, tmp_path, capsys, monkeypatch):
    from PIL import Image

    Image.fromarray(photos()[0]).save(tmp_path / "a.png")
    monkeypatch.chdir(folder.parent)
    assert cli.main(["classify", "../a.png", "-m", "renamed/", "--top", str(CLASSES), "--json"]) == 0
    found = {p["name"]: p["probability"] for p in json.loads(capsys.readouterr().out)["predictions"]}
    assert off_by([found[name] for name in NAMES], expected[0]) <= 1e-6


@pytest.mark.parametrize("command", [["info"], ["show"], ["info", "--json"], ["download"], ["verify"]])
def test_commands_take_a_folder(folder, command, capsys, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert cli.main([*command, "./renamed"]) == 0
    assert capsys.readouterr().out


def test_a_folder_in_the_working_folder_is_found_by_its_name(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert modelzoo.info("renamed").key == "clothes_1.own"


def test_a_name_of_the_registry_means_that_though_there_is_such_a_folder(folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path / BASE)
    monkeypatch.chdir(tmp_path)
    assert modelzoo.info(BASE).key == "resnet9_cifar10.modelzoo"
    assert modelzoo.info(f"./{BASE}").key == "clothes_1.own"


def test_what_was_compiled_serves_the_folder_wherever_it_lies(folder, saved):
    modelzoo.Classifier(saved, runtime="openvino")
    before = list(compiled.everything())
    modelzoo.Classifier(folder, runtime="openvino")
    assert list(compiled.everything()) == before
    assert len(before) == 1


def test_other_weights_in_the_same_place_are_compiled_anew(folder, expected):
    modelzoo.Classifier(folder, runtime="openvino")
    modelzoo.save(small_model(2), folder, base=BASE, labels=NAMES)
    found = modelzoo.Classifier(folder, runtime="openvino").probabilities(photos())
    assert off_by(found, expected) > 1e-3


def test_a_folder_that_is_read_only_answers_a_user_who_has_never_seen_it(folder, expected, tmp_path):
    for path in [*folder.iterdir(), folder]:
        path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    code = (
        "import json; from tests.folders import photos; "
        f"found = modelzoo.Classifier({str(folder)!r}).probabilities(photos()); "
        "print(json.dumps(found.tolist()))"
    )
    process = unprivileged.run(code, MODELZOO_CACHE=str(tmp_path / "nobodys"))
    folder.chmod(stat.S_IRWXU)
    assert process.returncode == 0, process.stderr
    assert off_by(json.loads(process.stdout), expected) <= 1e-6


def test_a_deployment_of_a_folder_survives_json_and_pickling(folder):
    deployment = modelzoo.Deployment(folder)
    assert modelzoo.Deployment.from_json(deployment.to_json()) == deployment
    assert deployment.entry.key == "clothes_1.own"
    assert hash(deployment) == hash(modelzoo.Deployment(str(folder)))


def test_verify_repeats_the_answers_that_were_stored(folder):
    checks = list(modelzoo.verify(folder))
    assert [check.name for check in checks] == [
        "weights",
        "stored answer to noise",
        "stored answer to patches",
    ]
    assert all(check.passed for check in checks), checks


def test_verify_finds_an_answer_that_is_another(folder):
    change(folder, lambda document: document["answers"][0].update(outputs=[0.25] * CLASSES))
    assert [check.passed for check in modelzoo.verify(folder)] == [True, False, True]


# Parts of the network


def test_features_info_and_features_are_those_of_the_graph(folder):
    info = modelzoo.feature_info(folder)
    assert [(each.name, each.channels, each.stride) for each in info] == [("C1", 8, 2), ("C2", 16, 4)]
    found = modelzoo.load(folder, features=["C1", "C2"], input_shape=(64, 48, 3))
    assert {name: value.shape[1:] for name, value in found.output.items()} == {
        "C1": (32, 24, 8),
        "C2": (16, 12, 16),
    }


def test_a_network_without_top_takes_images_of_any_size(folder):
    found = modelzoo.load(folder, include_top=False, input_shape=(None, None, 3), pooling="max")
    assert found(np.zeros((1, 50, 70, 3), "float32")).shape == (1, 16)


def test_another_number_of_classes_keeps_the_backbone(folder, model):
    found = modelzoo.load(folder, classes=9)
    assert found.output_shape == (None, 9)
    assert np.array_equal(found.get_layer("conv1").kernel, model.get_layer("conv1").kernel)


@pytest.mark.parametrize("activation", [None, "sigmoid", "softmax", "entry"])
def test_activations_are_those_that_are_asked_for(folder, activation, expected):
    import keras

    images = modelzoo.preprocess(photos(), folder)
    logits = modelzoo.load(folder, classifier_activation=None).predict(images, verbose=0)
    found = modelzoo.load(folder, classifier_activation=activation).predict(images, verbose=0)
    function = keras.activations.get("softmax" if activation == "entry" else activation)
    assert off_by(found, np.asarray(function(keras.ops.convert_to_tensor(logits)))) <= 1e-6
    assert off_by(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), expected) <= 1e-6


def test_random_and_synthetic_weights_need_no_weight_file(folder):
    (folder / "weights.h5").unlink()
    assert modelzoo.load(folder, weights=None).output_shape == (None, CLASSES)


def test_logits_are_float32_where_the_network_computes_in_less(folder):
    found = modelzoo.load(folder, dtype="mixed_bfloat16")
    assert found.output.dtype == "float32"


def test_a_network_that_is_fine_tuned_again_can_be_saved_again(folder, expected, tmp_path):
    again = modelzoo.load(folder)
    modelzoo.save(again, tmp_path / "again", base=folder)
    entry = modelzoo.info(tmp_path / "again")
    assert [label.name for label in labels.of(entry)] == NAMES
    assert entry.base.model == "clothes_1.own"
    assert entry.base.sha256 == modelzoo.info(folder).file.sha256
    assert off_by(modelzoo.Classifier(tmp_path / "again").probabilities(photos()), expected) <= 1e-6


# Labels


def test_predictions_are_decoded_by_a_folders_labels(folder):
    rows = np.eye(CLASSES)
    assert [best[0].name for best in modelzoo.decode_predictions(rows, str(folder), top=1)] == NAMES
    assert [best[0].name for best in modelzoo.decode_predictions(rows, labels=NAMES, top=1)] == NAMES
    assert modelzoo.labels(folder) == modelzoo.labels(str(folder)) == NAMES
    assert (
        modelzoo.labels("cifar10") == modelzoo.labels(BASE) == [each.name for each in labels.read("cifar10")]
    )


def test_labels_that_nobody_names_are_numbered(model, tmp_path):
    entry = modelzoo.save(model, tmp_path / "a", base=BASE)
    assert [label.name for label in labels.of(entry)] == ["class 0", "class 1", "class 2", "class 3"]


def test_labels_of_the_base_stay_where_there_are_as_many(tmp_path):
    entry = modelzoo.save(modelzoo.load(BASE), tmp_path / "a", base=BASE)
    assert entry.labels == "cifar10"
    assert labels.of(entry) == labels.read("cifar10")
    assert entry.graph.activation == "softmax"


# Bundles and registries


def test_a_bundle_brings_a_folder_to_a_machine_that_has_never_seen_it(
    folder, expected, tmp_path, monkeypatch
):
    assert cli.main(["bundle", str(folder), BASE, "-o", str(tmp_path / "b.tar")]) == 0
    shutil.rmtree(folder)
    monkeypatch.setenv(settings.CACHE, str(tmp_path / "other"))
    assert store.unbundle(tmp_path / "b.tar") == ["resnet9_cifar10.modelzoo", "clothes_1.own"]
    for name in ("clothes_1", "clothes_1.own"):
        assert off_by(modelzoo.Classifier(name).probabilities(photos()), expected) <= 1e-6
    assert all(check.passed for check in modelzoo.verify("clothes_1"))
    assert cli.main(["cache", "remove", "clothes_1"]) == 0
    with pytest.raises(UnknownModel):
        modelzoo.info("clothes_1")


def test_a_bundle_of_a_folder_has_the_same_bytes_wherever_that_lies(folder, saved, tmp_path):
    for name, path in (("a", folder), ("b", saved)):
        store.bundle([str(path)], tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.fixture
def use(tmp_path, monkeypatch):
    """Writes a registry and sets the variable."""

    def use(models):
        path = tmp_path / "team.json"
        path.write_text(json.dumps({"preprocessing": {}, "models": models}))
        monkeypatch.setenv(settings.REGISTRY, str(path))

    with_custom.cache_clear()
    yield use
    with_custom.cache_clear()


def test_a_registry_names_a_folder(folder, use, expected, capsys):
    use({"coats.team": {"folder": "elsewhere/renamed"}})
    assert "coats.team" in modelzoo.list_models()
    assert modelzoo.Deployment("coats").model == "coats.team"
    assert off_by(modelzoo.Classifier("coats").probabilities(photos()), expected) <= 1e-6
    assert cli.main(["list", "coats"]) == 0
    assert "in its folder" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"folder": "nowhere"}, "Entry 'coats.team': The model folder .*nowhere does not exist"),
        ({"folder": 5}, "expected folder to be the path of a model folder, got 5"),
        ({"folder": "elsewhere/renamed", "task": "x"}, "there is no field 'task'"),
    ],
)
def test_a_registry_that_names_no_folder_is_refused(folder, use, value, message):
    use({"coats.team": value})
    with pytest.raises(RegistryError, match=message):
        modelzoo.list_models()


# Where a folder may be written


def test_a_folder_is_replaced_as_a_whole(model, folder):
    modelzoo.save(model, folder, base=BASE, labels=["a", "b", "c", "d"])
    assert [label.name for label in labels.of(modelzoo.info(folder))] == ["a", "b", "c", "d"]
    assert sorted(path.name for path in folder.parent.iterdir()) == ["renamed"]


@pytest.mark.parametrize("kind", ["folder", "file", "more", "link"])
def test_what_is_no_model_folder_is_left_as_it_is(model, folder, tmp_path, kind):
    target = tmp_path / "target"
    if kind == "folder":
        target.mkdir()
        (target / "thesis.txt").write_text("mine")
    elif kind == "file":
        target.write_text("mine")
    elif kind == "more":
        target = folder
        (target / "thesis.txt").write_text("mine")
    else:
        target.symlink_to(folder)
    before = sorted(map(str, tmp_path.rglob("*")))
    with pytest.raises(OutputError):
        modelzoo.save(model, target, base=BASE, labels=NAMES)
    assert sorted(map(str, tmp_path.rglob("*"))) == before


def test_nothing_is_left_of_a_save_that_breaks_off(model, folder, monkeypatch):
    from modelzoo.store import folders

    before = (folder / "model.json").read_bytes()
    monkeypatch.setattr(folders, "card", lambda entry: 1 / 0)
    for target in (folder, folder.with_name("new")):
        with pytest.raises(ZeroDivisionError):
            modelzoo.save(model, target, base=BASE, labels=NAMES)
    assert (folder / "model.json").read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()] == ["renamed"]


def test_metrics_are_added_to_a_folder_and_its_card(folder, expected):
    new = dataclasses.replace(METRIC, value=90.0)
    other = Metric("top1", 50.0, "other photos", "modelzoo evaluate")
    assert store.add_metrics(folder, [new, other]).metrics == (new, other)
    assert modelzoo.info(folder).metrics == (new, other)
    assert "modelzoo evaluate" in (folder / "README.md").read_text("utf-8")
    assert off_by(modelzoo.Classifier(folder).probabilities(photos()), expected) <= 1e-6


# What save refuses


def test_save_says_what_it_needs_to_know(model, tmp_path):
    with pytest.raises(ValueError, match="Expected to know how images are prepared: give base=NAME"):
        modelzoo.save(model, tmp_path / "a")
    with pytest.raises(LabelsError, match="Expected 4 labels, as many as the model has classes, got 3"):
        modelzoo.save(model, tmp_path / "a", base=BASE, labels=NAMES[:3])
    with pytest.raises(
        ValueError, match=r"Expected a preprocessing for the model's images of 32 x 32 pixels"
    ):
        modelzoo.save(model, tmp_path / "a", base="resnet18_v1b")
    with pytest.raises(ValueError, match="is a detection model: expected a base that classifies"):
        modelzoo.save(model, tmp_path / "a", base="yolo2.darknet")
    with pytest.raises(RegistryError, match="metrics: the field 'measured_by' is missing"):
        modelzoo.save(
            model, tmp_path / "a", base=BASE, metrics=[{"name": "top1", "value": 1, "dataset": "x"}]
        )
    assert list(tmp_path.iterdir()) == [tmp_path / "cache"] or list(tmp_path.iterdir()) == []


def test_save_refuses_what_is_no_classifier_of_images(tmp_path):
    import keras

    layers = keras.layers
    two = keras.Input((SIDE, SIDE, 3))
    cases = {
        "one output": keras.Model(two, [layers.Flatten()(two), layers.GlobalMaxPooling2D()(two)]),
        r"gives \(batch, classes\)": keras.Sequential([keras.Input((SIDE, SIDE, 3)), layers.Conv2D(2, 3)]),
        "model of images": keras.Sequential([keras.Input((7,)), layers.Dense(2)]),
        "square images": keras.Sequential([keras.Input((SIDE, 48, 3)), layers.GlobalMaxPooling2D()]),
        "Cannot express the layer": keras.Sequential(
            [keras.Input((SIDE, SIDE, 3)), layers.Lambda(lambda x: x), layers.GlobalMaxPooling2D()]
        ),
    }
    for message, model in cases.items():
        with pytest.raises(ValueError, match=message):
            modelzoo.save(model, tmp_path / "a", base=BASE)
    assert not (tmp_path / "a").exists()


def test_save_refuses_a_model_whose_training_diverged(tmp_path):
    model = small_model()
    model.get_layer("classes").bias.assign(np.full(CLASSES, np.nan))
    with pytest.raises(ValueError, match="its training may have diverged"):
        modelzoo.save(model, tmp_path / "a", base=BASE)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "bfloat16"])
def test_a_model_that_computes_in_less_is_saved(tmp_path, policy):
    import keras

    keras.config.set_dtype_policy(policy)
    try:
        model = small_model()
    finally:
        keras.config.set_dtype_policy("float32")
    entry = modelzoo.save(model, tmp_path / "a", base=BASE, labels=NAMES)
    expected = model.predict(modelzoo.preprocess(photos(), BASE), verbose=0).astype("float32")
    assert off_by(modelzoo.Classifier(entry.folder).probabilities(photos()), expected) <= 0.05


# A stranger's folder


def change(folder, edit) -> None:
    """Edits the model.json, whatever it then says."""
    path = folder / "model.json"
    document = json.loads(path.read_text("utf-8"))
    edit(document)
    path.write_text(json.dumps(document), "utf-8")


def graph_change(edit):
    return lambda document: edit(document["graph"])


def node(name):
    return lambda graph: next(each for each in graph["nodes"] if each["name"] == name)


def enlarged(graph) -> None:
    """Puts a map of terabytes before the pooling."""
    mean = node("mean")(graph)
    up = {"name": "up", "operator": "UpSampling", "inputs": mean["inputs"], "size": [10**6, 10**6]}
    graph["nodes"].insert(graph["nodes"].index(mean), up | {"interpolation": "nearest"})
    mean["inputs"] = ["up"]


HOSTILE = {
    "another format": (lambda d: d.update(format=2), "expected format 1, got 2"),
    "a path for a name": (lambda d: d.update(name="../../etc/passwd"), "expected name to be lower-case"),
    "an unknown field": (lambda d: d.update(weights_path="/etc/passwd"), "there is no field 'weights_path'"),
    "a path of weights": (lambda d: d["weights"].update(file="/etc/passwd"), "there is no field 'file'"),
    "a huge number": (lambda d: d.update(parameters=10**30), "a number of at most 18 digits"),
    "a huge size": (
        lambda d: d.update(input_shape=[10**9, 10**9, 3]),
        "expected graph.input_shape to be at most",
    ),
    "no size": (lambda d: d.update(input_shape=[0, 0, 3]), "expected"),
    "more parameters than bytes": (lambda d: d.update(parameters=10**12), "enough for 1,000,000,000,000"),
    "a label too many": (lambda d: d["labels"].append("x"), "as many as there are classes, 4"),
    "labels that are none": (lambda d: d.update(labels=[[]]), "labels"),
    "a path for labels": (lambda d: d.update(labels="../x"), "a label set's name"),
    "no sha256": (lambda d: d["weights"].update(sha256="x"), "64 lower-case hexadecimal digits"),
    "a task": (lambda d: d.update(task="detection"), "there is no field 'task'"),
    "no graph": (lambda d: d.update(graph=None), "graph: expected an object"),
    "answers of others": (lambda d: d["answers"][0].update(outputs=[1.0]), "outputs of 4 classes"),
    "an interpolation": (lambda d: d["preprocessing"].update(interpolation="os.system"), "interpolation"),
    "no deviation": (lambda d: d["preprocessing"].update(std=[0, 0, 0]), "numbers from 1e-06"),
}
HOSTILE_GRAPHS = {
    "an operator of others": (
        lambda g: node("relu1")(g).update(operator="Lambda"),
        "Expected an operator among",
    ),
    "an attribute of others": (lambda g: node("relu1")(g).update(code="1"), "Expected attributes of ReLU"),
    "huge filters": (lambda g: node("conv1")(g).update(filters=2**40), "Expected filters"),
    "many filters": (lambda g: node("conv3")(g).update(filters=2**30), "parameters"),
    "a huge kernel": (
        lambda g: node("conv3")(g).update(kernel=[2**20, 2**20]),
        "Expected 1,628 parameters, got 140,737",
    ),
    "a huge map": (lambda g: enlarged(g), "Expected at most .* values of one node"),
    "an input of others": (lambda g: g.update(inputs={"x": [None, 32, 32, 3]}), "inputs of|one input"),
    "another output": (lambda g: g.update(outputs={"a": "conv1"}), "nodes that the outputs|one output"),
    "a cycle": (lambda g: node("conv1")(g).update(inputs=["conv3"]), "that come before it"),
    "maps by other names": (lambda g: g.update(maps={"__class__": "conv1"}), "Expected maps C1"),
    "a map that is none": (lambda g: g.update(maps={"C1": "nowhere"}), "Expected nodes among the maps"),
    "nothing": (lambda g: g.clear(), "Expected a graph to have"),
    "another version": (lambda g: g.update(version=9), "Expected a graph of version 1"),
    "another layer's weights": (lambda g: node("conv3")(g).update(layer="conv9"), "do not fit"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_strangers_model_json_is_refused_in_one_sentence(folder, case):
    edit, message = HOSTILE[case]
    change(folder, edit)
    with pytest.raises(RegistryError, match=re.escape(message)) as caught:
        modelzoo.info(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", HOSTILE_GRAPHS)
@pytest.mark.parametrize("runtime", ["keras", "openvino"])
def test_a_strangers_graph_is_refused_in_one_sentence(folder, case, runtime):
    edit, message = HOSTILE_GRAPHS[case]
    change(folder, graph_change(edit))
    with pytest.raises(ValueError, match=message) as caught:
        modelzoo.Classifier(folder, runtime=runtime)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "1" * 10_000, "[" * 100_000, '{"a": 1, "a": 2}', "\x00", "NaN", '"x"'],
    ids=lambda text: text[:9],
)
def test_what_is_no_model_json_is_refused_in_one_sentence(folder, text):
    (folder / "model.json").write_text(text)
    with pytest.raises(RegistryError, match=r"The model folder .*renamed"):
        modelzoo.info(folder)


def test_a_model_json_of_gigabytes_is_not_read(folder):
    os.truncate(folder / "model.json", 2**40)
    with pytest.raises(RegistryError, match="at most 67,108,864 bytes"):
        modelzoo.info(folder)


@pytest.mark.parametrize("case", ["missing", "damaged", "cut", "another"])
def test_weights_that_are_not_the_stated_are_refused(folder, case, tmp_path, model):
    path = folder / "weights.h5"
    content = bytearray(path.read_bytes())
    if case == "missing":
        path.unlink()
    elif case == "damaged":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif case == "cut":
        path.write_bytes(content[:-9])
    else:
        other = modelzoo.save(small_model(5), tmp_path / "Clothes 1", base=BASE, labels=NAMES)
        shutil.copyfile(other.weights_path, path)
    for call in (modelzoo.load, modelzoo.Classifier, store.weights_file):
        with pytest.raises(WeightsUnavailable, match=r"weights\.h5 .*Copy the whole model folder again"):
            call(folder)
    assert [check.passed for check in modelzoo.verify(folder)] == [False]


def test_a_folder_that_is_none_says_so():
    with pytest.raises(
        UnknownModel, match=r"The model folder .*nowhere does not exist: modelzoo\.save writes one"
    ):
        modelzoo.info("./nowhere")
    with pytest.raises(UnknownModel, match=r"has no model\.json"):
        modelzoo.load(os.curdir)


def test_a_folder_takes_no_weights_by_add(folder):
    with pytest.raises(ConversionError, match="brings its weights along"):
        modelzoo.add(folder, folder / "weights.h5")


def test_a_bundles_folder_must_be_what_its_index_says(folder, tmp_path):
    store.bundle([str(folder)], tmp_path / "b.tar")
    unpacked = tmp_path / "unpacked"
    shutil.unpack_archive(tmp_path / "b.tar", unpacked, "tar", filter="data")
    index = json.loads((unpacked / "index.json").read_text())

    def refused(message):
        (unpacked / "index.json").write_text(json.dumps(index))
        with pytest.raises(ConversionError, match=message):
            store.unbundle(unpacked)
        assert not list((registry.queries.settings.cache_home() / "folders").glob("*"))

    stated = index["models"]["clothes_1.own"]
    index["models"] = {"other_name.own": json.loads(json.dumps(stated).replace("clothes_1", "other_name"))}
    for path in unpacked.glob("clothes_1*"):
        shutil.copyfile(path, path.with_name(path.name.replace("clothes_1", "other_name")))
    refused("its model.json is of clothes_1.own")
    index["models"] = {"../x.own": json.loads(json.dumps(stated).replace("clothes_1", "../x"))}
    refused(r"Expected the key of a model folder, such as clothes\.own")
    index["models"] = {"clothes_1.own": stated}
    (unpacked / stated["folder"]["model.json"]["file"]).write_text("{}")
    refused("is not the file that the index states")


# Real photos


NO_TOP = SHARED / "data" / "upstream_files" / "mobilenet_2_5_224_tf_no_top.h5"
CLOTHING = SHARED / "data" / "clothing"
REAL = "mobilenet_0.25_224"


@pytest.mark.skipif(
    not (NO_TOP.exists() and CLOTHING.exists()), reason="needs shared/data: weights and photos"
)
def test_a_fine_tuned_mobilenet_goes_out_and_comes_back(tmp_path, monkeypatch):
    import keras

    keras.utils.set_random_seed(1)
    names = sorted(path.name for path in (CLOTHING / "train").iterdir())
    train = [path for name in names for path in sorted((CLOTHING / "train" / name).iterdir())[:4]]
    test = [path for name in names for path in sorted((CLOTHING / "test" / name).iterdir())[:1]]
    base = keras.applications.MobileNet((224, 224, 3), 0.25, include_top=False, pooling="avg", weights=NO_TOP)
    model = keras.Sequential([base, keras.layers.Dropout(0.2), keras.layers.Dense(10, "softmax")])
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    images, classes = modelzoo.preprocess(train, REAL), [names.index(path.parent.name) for path in train]
    model.fit(images, np.array(classes), batch_size=20, epochs=2, verbose=0)
    expected = model.predict(modelzoo.preprocess(test, REAL), verbose=0)

    modelzoo.save(model, tmp_path / "clothes", base=REAL, labels=names)
    store.bundle([str(tmp_path / "clothes")], tmp_path / "clothes.tar")
    (tmp_path / "clothes").rename(tmp_path / "moved")
    monkeypatch.setenv(settings.CACHE, str(tmp_path / "new"))
    store.unbundle(tmp_path / "clothes.tar")
    found = modelzoo.load(tmp_path / "moved").predict(
        modelzoo.preprocess(test, tmp_path / "moved"), verbose=0
    )
    assert off_by(found, expected) <= 1e-6
    for name in (tmp_path / "moved", "clothes"):
        answered = modelzoo.Classifier(name).probabilities(list(map(str, test)))
        assert off_by(answered, expected) <= 1e-5  # other kernels: rounding of float32
    assert all(check.passed for check in modelzoo.verify("clothes"))
