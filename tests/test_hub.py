"""hf://owner/name: timm's files and model folders on a hub, against a server that answers as the hub does."""

from __future__ import annotations

import json
import logging
from dataclasses import fields
from typing import get_args

import numpy as np
import pytest

import modelzoo
from modelzoo import cli, conversion, labels, registry, settings, store, weights
from modelzoo.architectures import synthetic
from modelzoo.errors import (
    ConversionError,
    DownloadError,
    ModelZooError,
    RegistryError,
    UnknownModel,
    WeightsUnavailable,
)
from modelzoo.formats.safetensors import write_safetensors
from modelzoo.registry import Interpolation, Preprocessing, hub, timm_config
from modelzoo.registry.hub import license_of
from tests.folders import BASE, NAMES, photos, small_model
from tests.hub_server import CARD, Repository, config, serving

NAME = "hf://timm/resnet18.a1"
VARIABLES = (
    "HF_TOKEN",
    "HF_TOKEN_PATH",
    "HF_HUB_OFFLINE",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN",
    "MODELZOO_OFFLINE",
)
CLASSES = 5


@pytest.fixture(autouse=True)
def server(monkeypatch, tmp_path):
    hub._entry.cache_clear()
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    with serving() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def synthetic_weights(classes: int) -> dict[str, np.ndarray]:
    """By our paths, of timm's resnet18 with so many classes."""
    import dataclasses

    graph = dataclasses.replace(registry.info("resnet18_v1b").graph, classes=classes)
    from modelzoo import architectures

    shapes = architectures.network(graph, classes=classes).weight_shapes
    return {path: synthetic.array(path, shape) for path, shape in shapes.items()}


@pytest.fixture(scope="module")
def arrays():
    return synthetic_weights(CLASSES)


@pytest.fixture(scope="module")
def weight_file(arrays, tmp_path_factory) -> bytes:
    """The model.safetensors that timm would write of these weights."""
    upstream = conversion.CONVERTERS["timm"].upstream_arrays("18_v1b", arrays)
    counters = {
        name.replace("running_mean", "num_batches_tracked"): np.array(7)
        for name in upstream
        if name.endswith("running_mean")
    }
    path = tmp_path_factory.mktemp("hub") / "model.safetensors"
    write_safetensors(path, upstream | counters)
    return path.read_bytes()


@pytest.fixture
def repository(server, weight_file):
    return serve(
        server,
        {"config.json": config().encode(), "model.safetensors": weight_file, "README.md": CARD.encode()},
    )


def serve(server, files, name=NAME, **options) -> Repository:
    server.repositories[name.removeprefix("hf://")] = found = Repository(files, **options)
    hub._entry.cache_clear()
    return found


def serve_config(server, text: str) -> str:
    serve(server, {"config.json": text.encode()})
    return NAME


def forget(monkeypatch, **variables: str) -> None:
    """As another process, with these variables."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    hub._entry.cache_clear()


# What an entry says


def test_an_entry_says_what_timms_config_says(repository):
    entry = modelzoo.info(NAME)
    assert (entry.graph.family, entry.graph.variant) == ("resnet", "18_v1b")
    assert entry.graph.input_shape == (64, 64, 3)
    assert (entry.graph.classes, entry.graph.activation) == (CLASSES, "softmax")
    assert entry.licenses.weights == "Apache-2.0"
    assert entry.hub.commit == repository.commit
    assert entry.reference == f"{NAME}@{repository.commit}"
    assert [(label.id, label.name) for label in labels.of(entry)] == [
        *(("n1", "shirt"), ("n2", "shoe"), ("n3", "hat"), ("n4", "coat"), ("n5", "n5"))
    ]


def test_every_field_that_decides_a_pixel_is_used(repository):
    preprocessing = modelzoo.info(NAME).preprocessing
    assert preprocessing == Preprocessing(
        crop_size=64,
        resize_size=67,  # floor(64 / 0.95)
        crop_start="even",
        interpolation="pillow_bicubic",
        mean=(0.5, 0.25, 0.5),
        std=(0.25, 0.5, 0.5),
    )


def timm_pixels(image, side: int, crop_pct: float, mode: str):
    """transforms_imagenet_eval of timm, written out: torchvision's Resize and CenterCrop on Pillow's images.

    Columns are resized before rows, as in every Pillow before 13.
    """
    import math

    from PIL import Image

    size = math.floor(side / crop_pct)
    width, height = image.size
    if mode == "squash":
        target = (size, size)
    elif width <= height:
        target = (size, int(size * height / width))
    else:
        target = (int(size * width / height), size)
    bicubic = Image.Resampling.BICUBIC
    resized = image.resize((target[0], height), bicubic).resize(target, bicubic)
    left, top = (round((length - side) / 2.0) for length in target)
    pixels = np.asarray(resized.crop((left, top, left + side, top + side)), np.float32) / 255
    return (pixels - np.float32([0.5, 0.25, 0.5])) / np.float32([0.25, 0.5, 0.5])


@pytest.mark.parametrize("size", [(100, 80), (101, 83), (79, 131), (64, 64), (333, 97)])
@pytest.mark.parametrize(
    ("crop_pct", "mode"), [(0.95, "center"), (0.875, "center"), (1.0, "center"), (1.0, "squash")]
)
def test_pixels_are_those_of_timms_transforms(server, size, crop_pct, mode):
    from PIL import Image

    name = serve_config(server, config(crop_pct=crop_pct, crop_mode=mode))
    noise = np.random.default_rng(7).integers(0, 256, (size[1], size[0], 3), np.uint8)
    found = modelzoo.preprocess([noise], name)[0]
    expected = timm_pixels(Image.fromarray(noise), 64, crop_pct, mode)
    levels = np.abs(found - expected) * np.float32([0.25, 0.5, 0.5]) * 255
    assert levels.max() < 1.01  # one level, see pillow_bicubic
    assert (levels > 0.01).mean() < 0.02


def test_what_is_not_stated_is_timms_default(server):
    found = timm_config.parse(json.dumps({"architecture": "resnet50", "pretrained_cfg": {"mean": None}}))
    assert found.preprocessing == Preprocessing(
        crop_size=224,
        resize_size=256,
        crop_start="even",
        interpolation="pillow_bicubic",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )
    assert (found.classes, found.labels, found.table) == (1000, "imagenet", ())


def test_the_old_form_without_a_pretrained_cfg_is_read():
    old = {
        "architecture": "resnet18",
        "num_classes": 2,
        "crop_pct": 0.5,
        "labels": ["a", "b"],
        "num_features": 512,
    }
    found = timm_config.parse(json.dumps(old))
    assert (found.classes, found.preprocessing.resize_size) == (2, 448)
    assert [label.name for label in found.table] == ["a", "b"]


@pytest.mark.parametrize("known", get_args(Interpolation))
def test_pillows_interpolations_are_known_by_timms_names(known):
    kind, _, name = known.partition("_")
    text = config(interpolation=name)
    if kind == "pillow":
        assert timm_config.parse(text).preprocessing.interpolation == known
    elif f"pillow_{name}" not in get_args(Interpolation):
        with pytest.raises(RegistryError, match="expected interpolation to be one of"):
            timm_config.parse(text)


def test_labels_are_numbered_where_none_has_a_name():
    found = timm_config.parse(config(label_names=None))
    assert [label.name for label in found.table] == [f"class {number}" for number in range(CLASSES)]
    found = timm_config.parse(config(label_names={"0": "a", "4": "b"}))
    assert [label.name for label in found.table] == ["a", "class 1", "class 2", "class 3", "b"]


@pytest.mark.parametrize("name", timm_config.architectures())
def test_an_architecture_has_as_many_parameters_as_its_graph(name):
    import dataclasses

    from modelzoo import architectures

    found = timm_config.parse(config(architecture=name))
    graph = dataclasses.replace(found.network.graph, classes=CLASSES)
    assert found.parameters == architectures.network(graph, classes=CLASSES).parameters


def test_every_network_whose_equality_with_timms_is_proven_is_known():
    proven = {
        key for key in registry.list_models() for s in registry.info(key).sources if s.converter == "timm"
    }
    assert {entry.key for entry in timm_config.architectures().values()} == proven
    assert len(timm_config.architectures()) == len(proven) > 0


# What is refused by name


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"crop_mode": "border"},
            "expected crop_mode to be 'center', or 'squash' with crop_pct 1, got 'border'",
        ),
        ({"crop_mode": "squash"}, "got 'squash' with crop_pct 0.95"),
        ({"crop_pct": 1.1}, "expected crop_pct to be a number above 0, at most 1, got 1.1"),
        ({"crop_pct": 0}, "expected crop_pct"),
        ({"crop_pct": True}, "expected crop_pct"),
        ({"crop_pct": "0.9"}, "expected crop_pct"),
        ({"crop_pct": float("nan")}, "expected crop_pct"),
        ({"crop_pct": 1e-300}, "expected crop_pct to give at most 8192 pixels"),
        ({"interpolation": "lanczos"}, "expected interpolation to be one of .*bicubic.*, got 'lanczos'"),
        ({"interpolation": ["bicubic"]}, "expected interpolation"),
        (
            {"input_size": [3, 64, 96]},
            r"expected input_size to be 3 channels of a square .*, got \[3, 64, 96\]",
        ),
        ({"input_size": [1, 64, 64]}, "expected input_size to be 3 channels"),
        ({"input_size": [3, 10**9, 10**9]}, "expected input_size"),
        ({"input_size": 64}, r"expected input_size to be \[3, height, width\], got 64"),
        ({"mean": [0.5]}, "pretrained_cfg: mean: expected"),
        ({"mean": [0.5, 0.5, float("inf")]}, "mean"),
        ({"std": [1, 1, 0]}, "expected std to be numbers from 1e-06"),
        ({"crop_border_pixels": 4}, "its field 'crop_border_pixels' is not known, and may decide the pixels"),
        ({"pad_to_square": True}, "its field 'pad_to_square' is not known"),
        ({"label_offset": 1}, "its label_offset is 1, which modelzoo does not do"),
        ({"state_dict": {"a": 1}}, "its state_dict is"),
        ({"global_pool": "catavgmax"}, "expected global_pool to be 'avg', got 'catavgmax'"),
        ({"model_args": {"output_stride": 8}}, "its model_args set 'output_stride'"),
        ({"model_args": {"num_classes": 6}}, "its model_args set 'num_classes'"),
        ({"num_classes": 0}, "expected num_classes to be from 1 to 100,000, got 0"),
        ({"num_classes": 10**12}, "expected num_classes"),
        ({"num_classes": True}, "expected num_classes"),
        ({"label_names": ["a"] * 4}, "label_names: expected 5, as many as num_classes, got 4"),
        ({"label_names": ["a"] * 5}, "label_names.*: expected an id of its own, got 'a'"),
        ({"label_names": ["a", "b", "c", "d", 5]}, "label_names: expected 1 to 500 characters, got 5"),
        ({"label_names": {"5": "a"}}, "label_names: expected numbers below 5, got '5'"),
        ({"label_names": "abcde"}, "expected label_names to be a list"),
        ({"label_descriptions": ["a"]}, "label_descriptions: expected an object"),
        ({"label_descriptions": {"n1": ["x"]}}, "label_descriptions: expected 1 to 500 characters"),
        ({"pretrained_cfg": "x"}, "pretrained_cfg: expected an object"),
        ({"architecture": ["resnet18"]}, "its architecture .* is not known"),
    ],
)
def test_what_would_decide_otherwise_is_refused_by_name(server, changes, sentence, cache):
    with pytest.raises(ModelZooError, match=sentence) as caught:
        modelzoo.info(serve_config(server, config(**changes)))
    assert str(caught.value).startswith(f"{NAME}: ")
    assert not list(cache.rglob("config.json"))


def test_what_decides_nothing_is_passed_by():
    facts = dict.fromkeys(timm_config.FACTS - {"global_pool", "model_args"}, "x")
    assert (
        timm_config.parse(config(**facts, label_offset=0)).preprocessing
        == timm_config.parse(config()).preprocessing
    )
    timm_config.parse(config(model_args={"drop_rate": 0.1, "in_chans": 3, "num_classes": CLASSES}))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "config.json: expected an object"),
        ('{"architecture": "a", "architecture": "b"}', "twice in one object"),
        (json.dumps({"architectures": ["BertModel"], "model_type": "bert"}), "expected timm's config.json"),
    ],
)
def test_a_hostile_config_is_refused_in_one_sentence(server, text, sentence, cache):
    with pytest.raises(RegistryError, match=sentence):
        modelzoo.info(serve_config(server, text))
    assert not list(cache.rglob("config.json"))


def test_a_huge_config_is_refused_while_it_comes(server):
    with pytest.raises(DownloadError, match=r"expected at most 4,194,304 bytes of config\.json"):
        modelzoo.info(serve_config(server, " " * (hub.MOST_CONFIG_BYTES + 1)))


def test_an_unknown_architecture_is_refused_with_those_that_are_known(server):
    with pytest.raises(
        UnknownModel, match=r"its architecture 'resnet50x' is not known.*near: resnet50"
    ) as caught:
        modelzoo.info(serve_config(server, config(architecture="resnet50x")))
    for name in timm_config.architectures():
        assert name in str(caught.value)


@pytest.mark.parametrize(
    "reference",
    [
        *("hf://", "hf://timm", "hf://a/b/c", "hf://../x", "hf://a/..", "hf://a/b@", "hf://a/b@../c"),
        *("hf://a b/c", "hf://a/b@x\n", "hf://a--b/c", "hf://a/b?x", "hf://a/b@c@d", "hf://a//b"),
    ],
)
def test_a_malformed_reference_is_refused_before_anything_is_asked(server, reference):
    with pytest.raises(UnknownModel, match="Expected hf://owner/name or hf://owner/name@revision, got"):
        modelzoo.info(reference)
    assert not server.asked


# Where the hub refuses


@pytest.mark.parametrize(
    ("options", "token", "sentence"),
    [
        ({"private": True}, None, f"{NAME} does not exist, or is private: check the name, or set HF_TOKEN"),
        ({"private": True}, "hf_other", f"The hub refuses the token of HF_TOKEN for {NAME}"),
        (
            {"gated": True},
            None,
            f"{NAME} is gated: accept its conditions at .*, and set HF_TOKEN to your token",
        ),
        ({"revisions": ("trunk",)}, None, f"{NAME} has no revision 'main'"),
        ({"files": {"pytorch_model.bin": b"x"}}, None, f"{NAME} has neither model.json nor config.json"),
        ({"says_commit": False}, None, f"does not say which commit of {NAME} it gives: check HF_ENDPOINT"),
    ],
)
def test_a_refusal_is_one_sentence(server, monkeypatch, options, token, sentence, cache):
    serve(server, **({"files": {"config.json": config().encode()}} | options))
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(UnknownModel, match=sentence):
        modelzoo.info(NAME)
    assert not cache.exists() or not list(cache.rglob("*.json"))


def test_a_missing_repository_is_one_sentence(server, monkeypatch, capsys):
    with pytest.raises(UnknownModel, match="hf://nobody/nothing does not exist, or is private"):
        modelzoo.load("hf://nobody/nothing")
    monkeypatch.setenv("HF_TOKEN", server.token)
    with pytest.raises(UnknownModel, match="does not exist, or the token of HF_TOKEN may not read it"):
        modelzoo.info("hf://nobody/nothing")
    assert cli.main(["info", "hf://nobody/nothing"]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_a_missing_weight_file_is_one_sentence(server):
    serve_config(server, config())
    with pytest.raises(
        WeightsUnavailable, match=r"model\.safetensors: HTTP 404 Not Found, the repository has no such"
    ):
        modelzoo.load(NAME)


@pytest.mark.parametrize("place", ["variable", "file", "home"])
def test_the_token_of_the_hubs_users_opens_a_private_repository(
    server, monkeypatch, tmp_path, place, weight_file
):
    file = tmp_path / "huggingface" / "token"
    file.parent.mkdir()
    if place == "variable":
        monkeypatch.setenv("HF_TOKEN", server.token)
    else:
        file.write_text(f"{server.token}\n")
    if place == "file":
        monkeypatch.setenv("HF_TOKEN_PATH", str(file))
        monkeypatch.setenv("HF_HOME", str(tmp_path / "elsewhere"))
    serve(server, {"config.json": config().encode(), "model.safetensors": weight_file}, private=True)
    store.weights_file(NAME)
    stored = [token for path, token in server.asked if path.startswith("/storage")]
    assert stored == [None]  # another host gets no token
    assert {token for path, token in server.asked if "/resolve/" in path} == {f"Bearer {server.token}"}
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
    assert settings.hub_token() == ""


# Weights


def test_weights_are_converted_checked_and_kept(repository, arrays):
    path = store.weights_file(NAME)
    assert {name: array.tobytes() for name, array in weights.read(path)} == {
        name: array.tobytes() for name, array in arrays.items()
    }
    provenance = weights.provenance(path)
    assert provenance["hub"] == f"{NAME}@{repository.commit}"
    assert provenance["verified"] == ["sha256 stated by the host"]
    entry = modelzoo.info(NAME)
    assert store.availability(entry) == "cached"
    assert store.trust(entry) == "sha256 stated by the host"


def test_a_second_run_needs_no_network(repository, server, monkeypatch):
    first = store.weights_file(NAME)
    asked = len(server.asked)
    forget(monkeypatch, HF_HUB_OFFLINE="1")
    assert store.weights_file(NAME) == first
    assert modelzoo.info(NAME).licenses.weights == "Apache-2.0"
    assert len(server.asked) == asked


def test_a_hub_that_cannot_be_reached_is_passed_by_where_the_cache_knows(repository, monkeypatch, caplog):
    first = store.weights_file(NAME)
    forget(monkeypatch, HF_ENDPOINT="http://127.0.0.1:9")
    with caplog.at_level(logging.WARNING, "modelzoo"):
        assert store.weights_file(NAME) == first
    assert f"using the commit {repository.commit} of the cache" in caplog.text


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "MODELZOO_OFFLINE"])
def test_offline_says_which_variable_forbids_to_ask(repository, server, monkeypatch, variable):
    forget(monkeypatch, **{variable: "1"})
    with pytest.raises(
        DownloadError, match=f"{NAME}.*: {variable} is set: nothing is downloaded from the hub"
    ):
        modelzoo.info(NAME)
    assert not server.asked


def test_offline_weights_that_are_not_there_are_one_sentence(repository, monkeypatch):
    modelzoo.info(NAME)
    forget(monkeypatch, HF_HUB_OFFLINE="1")
    with pytest.raises(WeightsUnavailable, match="HF_HUB_OFFLINE is set: nothing is downloaded from the hub"):
        modelzoo.load(NAME)


def test_a_commit_in_the_cache_asks_nothing(repository, server):
    name = f"{NAME}@{repository.commit}"
    store.weights_file(name)
    asked = len(server.asked)
    hub._entry.cache_clear()
    store.weights_file(name)
    assert len(server.asked) == asked


def test_another_commit_has_other_weights(repository, server, weight_file):
    first = store.weights_file(NAME)
    serve(server, {"config.json": config(crop_pct=0.9).encode(), "model.safetensors": weight_file})
    assert modelzoo.info(NAME).preprocessing.resize_size == 71
    assert store.weights_file(NAME) != first
    hub._entry.cache_clear()


@pytest.mark.parametrize("kind", ["stated", "storage"])
def test_another_file_than_the_hub_states_is_refused_and_not_kept(server, weight_file, kind, cache):
    options = {"stated": "0" * 64, "storage": weight_file[:-4] + b"\0\0\0\1"}
    files = {"config.json": config().encode(), "model.safetensors": weight_file}
    serve(server, files, **{kind: {"model.safetensors": options[kind]}})
    with pytest.raises(WeightsUnavailable, match=r"expected sha256 .*, got "):
        modelzoo.load(NAME)
    assert not list(cache.rglob("*.h5")) + list(cache.rglob("*.safetensors"))


def test_weights_of_another_network_are_refused(server, weight_file):
    files = {
        "config.json": config(num_classes=6, label_names=None).encode(),
        "model.safetensors": weight_file,
    }
    serve(server, files)
    with pytest.raises(WeightsUnavailable, match=r"expected a head of 6 classes.* config\.json.*, got 5"):
        modelzoo.load(NAME)


def test_a_hub_model_is_not_bundled_but_saved(repository, tmp_path):
    with pytest.raises(ConversionError, match=r"cannot be in a bundle.* modelzoo\.save"):
        store.bundle([NAME], tmp_path / "zoo.tar")


# Wherever a name stands


def test_it_stands_wherever_a_name_does(repository, arrays, capsys, tmp_path):
    images = photos()
    model = modelzoo.load(NAME)
    expected = model.predict(modelzoo.preprocess(images, NAME), verbose=0)
    found = modelzoo.Classifier(NAME)(images, top=CLASSES)
    by_name = [{p.name: p.probability for p in each} for each in found]
    names = ["shirt", "shoe", "hat", "coat", "n5"]
    assert np.abs([[each[name] for name in names] for each in by_name] - expected).max() < 1e-5
    assert np.array_equal(model.get_layer("logits").get_weights()[0], arrays["logits/kernel"])

    from PIL import Image

    path = tmp_path / "photo.png"
    Image.fromarray(np.asarray(images[0])).save(path)
    for command in (
        ["classify", "-m", NAME, str(path)],
        ["info", NAME],
        ["show", NAME],
        ["verify", NAME],
        ["embed", "-m", NAME, str(path), "-o", str(tmp_path / "embeddings.npy")],
    ):
        assert cli.main(command) == 0, capsys.readouterr()
    shown = capsys.readouterr().out
    assert f"{NAME}@{repository.commit}" in shown
    assert "that of resnet18_v1b.gluon" in shown


# Model folders


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "clothes"
    modelzoo.save(small_model(), folder, base=BASE, labels=NAMES, license="MIT")
    return folder


@pytest.fixture
def clothes(server, saved):
    files = {path.name: path.read_bytes() for path in saved.iterdir()}
    return serve(server, files, "hf://me/clothes")


def test_a_model_folder_on_a_hub_answers_as_the_folder(clothes, saved, server, monkeypatch):
    name = "hf://me/clothes"
    entry = modelzoo.info(name)
    assert store.availability(entry) == "hosted"
    assert not any("weights.h5" in path for path, _ in server.asked)
    assert entry.reference == f"{name}@{clothes.commit}"
    images = photos()
    assert modelzoo.Classifier(name)(images) == modelzoo.Classifier(saved)(images)
    assert store.availability(entry) == "cached"
    forget(monkeypatch, HF_HUB_OFFLINE="1")
    assert [label.name for label in labels.of(modelzoo.info(name))] == NAMES
    assert cli.main(["verify", name]) == 0


def test_cache_remove_takes_what_came_from_a_hub(clothes, repository, cache):
    for name in (NAME, "hf://me/clothes"):
        store.weights_file(name)
        assert list(cache.rglob("*.h5"))
        assert cli.main(["cache", "remove", name]) == 0
        assert not list(cache.rglob("*.h5"))


def test_a_model_made_from_a_hubs_names_it(repository, tmp_path):
    model = modelzoo.load(NAME)
    modelzoo.save(model, tmp_path / "mine", base=NAME)
    assert modelzoo.info(tmp_path / "mine").base.model == f"{NAME}@{repository.commit}"
    assert labels.of(modelzoo.info(tmp_path / "mine")) == labels.of(modelzoo.info(NAME))


def test_weights_that_are_not_those_of_the_model_json_are_refused(server, saved, cache):
    files = {path.name: path.read_bytes() for path in saved.iterdir()}
    serve(server, files | {"weights.h5": files["weights.h5"][:-1] + b"x"}, "hf://me/clothes")
    with pytest.raises(WeightsUnavailable, match=r"The weights of hf://me/clothes@.* expected sha256"):
        modelzoo.load("hf://me/clothes")
    assert not list(cache.rglob("weights.h5"))


def test_a_foreign_model_json_is_refused_and_not_kept(server, cache):
    serve(server, {"model.json": b'{"format": 1}'}, "hf://me/clothes")
    with pytest.raises(RegistryError, match=r"model\.json"):
        modelzoo.info("hf://me/clothes")
    assert not list(cache.rglob("model.json"))


# Licenses


@pytest.mark.parametrize(
    ("card", "license"),
    [
        (CARD, "Apache-2.0"),
        ("---\r\nlicense: mit\r\n---\r\n", "MIT"),
        ("---\nlicense:\n- cc-by-nc-4.0\n---\n", "CC-BY-NC-4.0"),
        ('---\nlicense: "bsd-3-clause"  # ours\n---\n', "BSD-3-Clause"),
        ("---\nlicense: llama2\n---\n", "llama2"),
        ("---\nlicense: other\n---\n", None),
        ("---\nmodel:\n  license: mit\n---\n", None),
        ("---\nlicense: !!python/object:os.system x\n---\n", None),
        ("# Card\nlicense: mit\n", None),
        ("---\nlicense: mit\n", None),
        ("", None),
    ],
)
def test_the_license_is_the_cards(tmp_path, card, license):
    path = tmp_path / "README.md"
    path.write_bytes(card.encode())
    assert license_of(path) == license


def test_preprocessing_has_no_field_that_the_config_forgets():
    """A new field of Preprocessing must be thought of here, too."""
    stated = {"crop_size", "resize_size", "crop_start", "interpolation", "mean", "std"}
    fixed = {"central_fraction", "longer_side", "pad_value", "max_value", "channels", "crop_padding"}
    assert {each.name for each in fields(Preprocessing)} <= stated | fixed
