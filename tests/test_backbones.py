"""What people build on: feature maps and their sizes, finer ones, other channels, other heads."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest

import modelzoo
from modelzoo import architectures, labels, registry, zoo
from modelzoo.architectures import synthetic
from modelzoo.errors import LabelsError
from modelzoo.graph import passes

SMALL, TINY = "resnet18_v1b", "mobilenet_v1_0.25_128.slim"
SAMPLE = (
    SMALL,
    TINY,
    "resnet9_cifar10",
    "xception.keras",
    "densenet121.keras",
    "inception_v3.slim",
    "vgg16.keras",
)
SIZES = ((256, 320), (301, 333), (287, 259))  # pixels; odd sides are rounded in several ways


def networks() -> list[str]:
    """A model of each network that there is."""
    seen = {}
    for key in modelzoo.list_models():
        graph = registry.info(key).graph
        seen.setdefault((graph.family, graph.variant), key)
    return list(seen.values())


def relative_error(found, expected) -> float:
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).uniform(-1, 1, shape).astype(np.float32)


def test_every_model_has_feature_maps():
    assert all(modelzoo.feature_info(key) for key in modelzoo.list_models())


@pytest.mark.parametrize("key", networks())
def test_maps_have_the_stated_channels_strides_and_rounding_at_every_size(key):
    facts = registry.info(key).graph
    for height, width in SIZES:
        graph = architectures.build(facts.family, facts.variant, input_shape=(height, width, 3))
        sizes = modelzoo.map_sizes(key, height, width)
        assert list(sizes) == [info.name for info in modelzoo.feature_info(key)]
        for info in modelzoo.feature_info(key):
            assert graph.maps[info.name] == info.layer
            assert graph.shape(info.layer) == (None, *sizes[info.name], info.channels)
            for image, side in zip((height, width), sizes[info.name], strict=True):
                assert side in possible(image, info), (key, image, info)


def possible(image: int, info: modelzoo.FeatureInfo) -> range:
    """The sides that a map may have by what is stated of it."""
    down, up = image // info.stride, -(-image // info.stride)
    least = {"up": up, "down": down, "either": down, "less": down - 4}[info.rounding]
    return range(least, (down if info.rounding == "down" else up) + 1)


@pytest.mark.parametrize("key", SAMPLE)
def test_the_built_model_gives_the_maps_that_are_stated(key):
    model = modelzoo.load(
        key, weights=None, features=[f.name for f in modelzoo.feature_info(key)], input_shape=(None, None, 3)
    )
    for height, width in ((128, 128), (129, 143)):
        maps = model(noise(1, height, width, 3))
        sizes = modelzoo.map_sizes(key, height, width)
        expected = {f.name: (1, *sizes[f.name], f.channels) for f in modelzoo.feature_info(key)}
        assert {name: tuple(x.shape) for name, x in maps.items()} == expected


def test_features_are_counted_from_the_last_as_in_timm():
    assert list(modelzoo.load(SMALL, weights=None, features=-1).output) == ["C5"]
    assert list(modelzoo.load(SMALL, weights=None, features=(-3, -1)).output) == ["C3", "C5"]
    with pytest.raises(ValueError, match=r"or -1 to -5, counted from the last; got \(-6,\)"):
        modelzoo.load(SMALL, weights=None, features=-6)


def test_the_minimum_size_is_what_load_takes():
    assert modelzoo.minimum_size("xception") == 71
    least = modelzoo.minimum_size("vgg_16.slim", include_top=True)
    assert (modelzoo.minimum_size("vgg_16.slim"), least) == (32, 224)
    with pytest.raises(ValueError, match="needs images of at least 71 x 71 pixels, got 70 x 300"):
        modelzoo.map_sizes("xception", 70, 300)


RESIDUAL = [key for key in networks() if registry.info(key).graph.family == "resnet" and "cifar" not in key]
DILATED = [
    (key, stride)
    for key in RESIDUAL
    for stride in (8, 16)
    if not (key.startswith("resnet") and "_v1d" in key and stride == 8)
]


def test_every_residual_network_can_be_dilated_and_says_so_where_not():
    for key in RESIDUAL:
        for stride in (8, 16):
            options = zoo.NetworkOptions(features=True, output_stride=stride, input_shape=(97, 131, 3))
            if (key, stride) in DILATED:
                graph = zoo.graph_of(registry.info(key), options)
                assert graph.shape(graph.maps["C5"])[1:3] == (-(-97 // stride), -(-131 // stride))
                plain = zoo.graph_of(registry.info(key), zoo.NetworkOptions(features=True))
                assert dict(graph.weight_shapes) == dict(plain.weight_shapes)
            else:
                with pytest.raises(ValueError, match="has no dilated form"):
                    zoo.graph_of(registry.info(key), options)


def test_what_pads_unevenly_is_not_dilated():
    with pytest.raises(ValueError, match=r"cannot have an output_stride of 16: its .* has no dilated form"):
        modelzoo.load(TINY, weights=None, output_stride=16)
    with pytest.raises(ValueError, match="output_stride must be 8, 16 or 32, not 7"):
        modelzoo.load(SMALL, weights=None, output_stride=7)


@functools.cache
def maps_of(key: str, stride: int | None, height: int, width: int) -> dict[str, np.ndarray]:
    model = modelzoo.load(
        key, weights="synthetic", features=True, output_stride=stride, input_shape=(height, width, 3)
    )
    return {name: np.asarray(x) for name, x in model(noise(1, height, width, 3)).items()}


@pytest.mark.parametrize("size", [(64, 96), (97, 131)], ids=["even", "odd"])
@pytest.mark.parametrize(
    ("key", "stride"),
    [
        (SMALL, 16),
        (SMALL, 8),
        ("resnet50_v1d", 16),
        ("resnet_v2_50.slim", 8),
        ("resnet_v1_50.slim", 16),
        ("resnet50.keras", 8),
    ],
)
def test_a_dilated_map_has_the_plain_one_in_it(key, stride, size):
    plain, finer = maps_of(key, None, *size), maps_of(key, stride, *size)
    for level in ("C2", "C3", "C4", "C5"):
        step = max(2 ** int(level[1]) // stride, 1)
        subsampled = finer[level][:, ::step, ::step]
        assert subsampled.shape == plain[level].shape
        assert relative_error(subsampled, plain[level]) < 2e-6


@pytest.mark.parametrize("key", networks())
def test_a_network_for_any_number_of_channels_has_weights_for_them(key):
    entry = registry.info(key)
    for channels in (1, 2, 4, 12):
        options = zoo.NetworkOptions(
            include_top=False, input_shape=entry.graph.input_shape, channels=channels
        )
        graph = zoo.graph_of(entry, options)
        with zoo.values(entry, options, "synthetic", graph) as arrays:
            first = {p for node in graph.nodes[:12] for p in node.paths.values()}
            assert {p: arrays[p].shape for p in first} == {p: graph.weight_shapes[p] for p in first}


# One that adds all channels up at once; one with constants for each; one with a depthwise convolution first.
@pytest.mark.parametrize("key", [SMALL, "convnext_tiny.keras", "inception_v2.slim"])
def test_of_gray_images_one_channel_gives_what_three_give(key):
    gray = noise(1, 96, 96, 1)
    one, three = (
        modelzoo.load(key, weights="synthetic", include_top=False, input_shape=(96, 96, channels))
        for channels in (1, 3)
    )
    assert one.input_shape[-1] == 1
    assert relative_error(one(gray), three(np.repeat(gray, 3, axis=-1))) < 2e-6


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_the_first_convolution_is_adapted_by_timms_rule(channels):
    shape = (16, 16, channels)
    kernel = np.asarray(
        modelzoo.load("resnet9_cifar10", weights="synthetic", input_shape=(32, 32, channels))
        .get_layer("stem_conv")
        .kernel
    )
    three = np.asarray(modelzoo.load("resnet9_cifar10", weights="synthetic").get_layer("stem_conv").kernel)
    expected = three.sum(axis=2, keepdims=True)
    if channels > 1:
        expected = np.tile(three, (1, 1, 3, 1))[:, :, :channels] * np.float32(3 / channels)
    assert shape[-1] == kernel.shape[2]
    assert np.array_equal(kernel, expected)


def test_a_depthwise_kernel_is_repeated_and_not_scaled():
    entry = registry.info("inception_v2.slim")
    graph = zoo.graph_of(entry, zoo.NetworkOptions(include_top=False, channels=4))
    node = graph.node["conv_1a_depthwise"]
    array = noise(7, 7, 3, 8)
    found = passes.adapted(node, array, (7, 7, 4, 8))
    assert np.array_equal(found[:, :, :3], array)
    assert np.array_equal(found[:, :, 3], array[:, :, 0])


NAMES = ["n12459629", "tuberose"]


def chosen(*names: str, **options) -> keras.Model:
    return modelzoo.load("resnet9_cifar10", classifier_activation=None, classes=list(names), **options)


def test_chosen_classes_have_the_logits_of_the_full_model_bit_for_bit():
    images = noise(3, 32, 32, 3)
    full = np.asarray(modelzoo.load("resnet9_cifar10", classifier_activation=None)(images))
    few = np.asarray(chosen("truck", "cat", "deer")(images))
    assert np.array_equal(few, full[:, [9, 3, 4]])


def test_chosen_classes_of_many_keep_exactly_their_rows_of_the_head():
    table = [label.id for label in labels.read("imagenet")]
    few = modelzoo.load(TINY, weights="synthetic", classes=["n01440764", "goldfish", "background"])
    full = modelzoo.load(TINY, weights="synthetic")
    rows = [table.index("n01440764") + 1, table.index("n01443537") + 1, 0]
    for path in ("kernel", "bias"):
        kept, all_ = (np.asarray(getattr(model.get_layer("logits"), path)) for model in (few, full))
        assert np.array_equal(kept, all_[..., rows])
    images = noise(2, 128, 128, 3)
    np.testing.assert_allclose(np.asarray(few(images)).sum(axis=1), 1, rtol=1e-5)
    logits = [keras.Model(model.input, model.get_layer("logits").output)(images) for model in (few, full)]
    assert np.array_equal(np.asarray(logits[0]), np.asarray(logits[1])[:, rows])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["crane"],
            r"'crane' is ambiguous in imagenet: choose one of n02012849 \(crane\), n03126707 \(crane\)",
        ),
        (["tensh"], "There is no class 'tensh' in imagenet; the nearest names are tench"),
        (["n0144"], "There is no class 'n0144' in imagenet"),
        (
            ["tench", "n01440764"],
            "'tench' and 'n01440764' are the same class of imagenet, n01440764: name it once",
        ),
        ([], "Expected at least one class of imagenet, got an empty list"),
        ([5], "Expected the id or the name of a class of imagenet, got 5"),
    ],
)
def test_classes_that_are_none_are_answered_in_one_sentence(names, message):
    with pytest.raises(LabelsError, match=message):
        modelzoo.load(SMALL, weights=None, classes=names)


def test_a_detectors_classes_are_not_chosen():
    with pytest.raises(ValueError, match="is a detection model: its classes cannot be chosen by name"):
        modelzoo.load("yolo2", weights=None, classes=["dog"])


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize(("head", "shape"), [("linear", (2, 7)), ("mlp", (2, 7)), ("conv", (2, 1, 1, 7))])
def test_a_new_head_gives_float32_and_stands_on_the_pretrained_network(policy, head, shape):
    model = modelzoo.load(
        SMALL, weights="synthetic", classes=7, head=head, dropout=0.3, dtype=policy, input_shape=(32, 32, 3)
    )
    probabilities = np.asarray(model(noise(2, 32, 32, 3)))
    assert (probabilities.shape, probabilities.dtype) == (shape, np.float32)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-5)
    assert model.get_layer("head_dropout").rate == 0.3
    assert np.array_equal(
        np.asarray(model.get_layer("stem_conv").kernel), synthetic.array("stem_conv/kernel", (7, 7, 3, 64))
    )


@pytest.mark.parametrize("key", [key for key in networks() if registry.info(key).task == "classification"])
def test_every_network_takes_every_head(key):
    for head in zoo.HEADS:
        graph = zoo.graph_of(registry.info(key), zoo.NetworkOptions(classes=3, head=head, dropout=0.5))
        assert graph.shape(graph.output)[-1] == 3


def test_dropout_takes_the_place_of_the_networks_own():
    rates = [
        [
            layer.rate
            for layer in modelzoo.load(TINY, weights=None, dropout=rate).layers
            if isinstance(layer, keras.layers.Dropout)
        ]
        for rate in (0.0, 0.25)
    ]
    assert len(rates[1]) == max(len(rates[0]), 1)
    assert rates[1][-1] == 0.25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head": "conv"}, "head='conv' is a new one: say by classes=N for how many classes"),
        ({"head": "tail", "classes": 2}, "head must be one of linear, mlp, conv, not 'tail'"),
        ({"dropout": 1.0}, "dropout must be from 0 to below 1, got 1.0"),
        ({"dropout": 0.5, "include_top": False}, "classes, head and dropout need include_top=True"),
        (
            {"head": "mlp", "features": True},
            "features gives feature maps: it goes with neither pooling nor a head",
        ),
        ({"classes": "dog"}, "classes must be a positive int, or a list of ids or names, not 'dog'"),
        (
            {"include_preprocessing": True, "input_shape": (32, 32, 4)},
            "include_preprocessing is for images of three",
        ),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        modelzoo.load(SMALL, weights=None, **options)
