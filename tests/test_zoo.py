"""load(): the right shapes, the right weights, and never random ones by accident."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from urllib.parse import urlsplit

import keras
import numpy as np
import pytest

import modelzoo
from modelzoo import architectures, registry, store, weights, zoo
from modelzoo.architectures import synthetic
from modelzoo.architectures.sizes import smallest_side
from modelzoo.backends import keras as backend
from modelzoo.backends import keras_values
from modelzoo.errors import ConversionError, UnknownModel, WeightsMismatch, WeightsUnavailable
from tests.conftest import ROOT

SMALL = "resnet18_v1b"


def kernel(model, layer="stem_conv"):
    return model.get_layer(layer).kernel.numpy()


@pytest.mark.parametrize(
    ("options", "parameters", "output"),
    [({}, 65_476_702, (None, 11166)), ({"include_top": False}, 42_597_568, (None, 7, 7, 2048))],
)
def test_the_mlimages_model_has_the_published_size(options, parameters, output):
    model = modelzoo.load("resnet101_mlimages", weights="synthetic", **options)
    assert (model.count_params(), model.output_shape) == (parameters, output)


@pytest.mark.parametrize(
    ("pooling", "output"), [(None, (None, 7, 7, 512)), ("avg", (None, 512)), ("max", (None, 512))]
)
def test_without_top_the_pooling_decides_the_output(pooling, output):
    model = modelzoo.load(SMALL, include_top=False, weights=None, pooling=pooling)
    assert model.output_shape == output


def test_features_are_a_dict_of_maps_with_strides_4_to_32():
    model = modelzoo.load(SMALL, weights="synthetic", features=True, input_shape=(None, None, 3))
    maps = model(np.zeros((1, 64, 96, 3), np.float32))
    assert {name: tuple(x.shape) for name, x in maps.items()} == {
        "C2": (1, 16, 24, 64),
        "C3": (1, 8, 12, 128),
        "C4": (1, 4, 6, 256),
        "C5": (1, 2, 3, 512),
    }


def test_chosen_features_stop_where_they_are_found():
    model = modelzoo.load(SMALL, weights="synthetic", features=("C2", "C3"))
    assert list(model.output) == ["C2", "C3"]
    assert not any(layer.name.startswith("stage3") for layer in model.layers)


def test_other_classes_give_a_new_head_on_the_same_backbone(resnet18_file):
    model = modelzoo.load(SMALL, weights=resnet18_file, classes=7)
    assert model.output_shape == (None, 7)
    assert kernel(model, "logits").std() > 0
    for path, variable in keras_values.by_path(model):
        if not path.startswith("logits/"):
            assert np.array_equal(variable.numpy(), synthetic.array(path, tuple(variable.shape))), path


def test_the_activation_is_the_entrys_or_the_users():
    loaded = [modelzoo.load(SMALL, weights=None, classifier_activation=a) for a in ("entry", "sigmoid", None)]
    assert [model.layers[-1].name for model in loaded] == ["probabilities", "probabilities", "logits"]
    assert [m.layers[-1].activation.__name__ for m in loaded] == ["softmax", "sigmoid", "linear"]


@pytest.mark.parametrize(("asked", "found"), [("entry", "sigmoid"), ("sigmoid", "sigmoid"), (None, "linear")])
def test_of_one_class_the_softmax_which_is_always_1_is_a_sigmoid(asked, found):
    model = modelzoo.load(
        SMALL, weights=None, classes=1, classifier_activation=asked, input_shape=(64, 64, 3)
    )
    assert model.layers[-1].activation.__name__ == found
    outputs = np.asarray(model(synthetic.images(64, 64) * np.array([1, 4]).reshape(2, 1, 1, 1)))
    assert outputs.shape == (2, 1)
    assert outputs[0] != outputs[1]


def test_an_entry_of_one_class_has_a_sigmoid_too():
    entry = registry.info(SMALL)
    entry = replace(entry, graph=replace(entry.graph, classes=1))
    model = zoo.load_entry(entry, zoo.NetworkOptions(), None)
    assert model.layers[-1].activation.__name__ == "sigmoid"


def test_a_softmax_of_one_class_is_refused():
    with pytest.raises(ValueError, match="softmax of one class is always 1: use classifier_activation="):
        modelzoo.load(SMALL, weights=None, classes=1, classifier_activation="softmax")


def test_weights_none_are_random():
    first, second = (kernel(modelzoo.load(SMALL, weights=None)) for _ in range(2))
    assert first.std() > 0
    assert not np.array_equal(first, second)


def test_any_channel_count_will_do_without_weights():
    assert modelzoo.load(SMALL, weights=None, input_shape=(64, 64, 5)).input_shape == (None, 64, 64, 5)


def test_a_loaded_model_still_knows_its_initializers(resnet18_file):
    clone = keras.models.clone_model(modelzoo.load(SMALL, weights=resnet18_file))
    assert kernel(clone).std() > 0


def test_building_for_weights_spends_nothing_on_random_numbers(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("random numbers were drawn")

    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", refuse)
    assert modelzoo.load(SMALL, weights="synthetic") is not None


def test_a_loaded_model_can_be_saved_and_loaded_by_keras(resnet18_file, tmp_path):
    model = modelzoo.load(SMALL, weights=resnet18_file, input_shape=(64, 64, 3))
    model.save(tmp_path / "saved.keras")
    images = synthetic.images(64, 64)
    again = keras.models.load_model(tmp_path / "saved.keras")
    assert np.array_equal(again(images), model(images))


def test_a_loaded_model_can_be_trained():
    model = modelzoo.load("resnet9_cifar10", classes=3)
    model.compile("sgd", "sparse_categorical_crossentropy")
    before = kernel(model)
    model.fit(np.ones((4, 32, 32, 3), np.float32), np.array([0, 1, 2, 0]), verbose=0)
    assert not np.array_equal(kernel(model), before)


def test_mixed_precision_computes_in_bfloat16_and_answers_in_float32():
    model = modelzoo.load(SMALL, weights="synthetic", dtype="mixed_bfloat16")
    assert (model.get_layer("stage1_block1_conv1").compute_dtype, model.output.dtype) == (
        "bfloat16",
        "float32",
    )


MIXED = ("mixed_bfloat16", "mixed_float16")
SMALLEST = {  # of each family
    entry.graph.family: entry for entry in map(registry.info, modelzoo.list_models(sort="parameters")[::-1])
}


@pytest.mark.parametrize("dtype", MIXED)
@pytest.mark.parametrize("family", SMALLEST)
def test_under_mixed_precision_every_output_but_feature_maps_is_float32(family, dtype):
    """Logits, probabilities, what a detector predicts, and pooled maps."""
    graph = SMALLEST[family].graph

    def built(**form) -> keras.Model:
        network = architectures.build(family, graph.variant, input_shape=graph.input_shape, **form)
        maps = backend.model(network.features(list(network.maps)), dtype=dtype, as_dict=True)
        assert {x.dtype for x in maps.output.values()} == {dtype.removeprefix("mixed_")}
        return backend.model(network, dtype=dtype)

    activations = (None, "softmax") if graph.activation else (None,)
    heads = [{"classes": 7, "classifier_activation": activation} for activation in activations]
    for form in (*heads, {"pooling": "avg"}, {"pooling": "max"}):
        model = built(**form)
        assert model.output.dtype == "float32", form
        assert {weight.dtype for weight in model.weights} == {"float32"}
    assert built().output.dtype == dtype.removeprefix("mixed_")


@pytest.mark.parametrize("dtype", MIXED)
def test_logits_and_embeddings_have_more_digits_than_the_compute_dtype(dtype):
    images = synthetic.images(64, 64)
    for form in ({"classifier_activation": None}, {"include_top": False, "pooling": "avg"}):
        model = modelzoo.load(SMALL, weights="synthetic", dtype=dtype, input_shape=(64, 64, 3), **form)
        output = np.asarray(model(images))[0]
        assert output.dtype == np.float32
        assert (output.view(np.uint32) & 0xFFF).any()  # float16 and bfloat16 end before these bits
        if "include_top" not in form:
            assert len(np.unique(output)) > 990  # of 1,000; in float16 941


def test_without_mixed_precision_every_layer_has_the_dtype_that_was_asked_for():
    for dtype in ("float32", "bfloat16", None):
        model = modelzoo.load(SMALL, weights=None, dtype=dtype)
        assert {layer.dtype_policy.name for layer in model.layers[1:]} == {dtype or "float32"}


def test_the_global_image_format_does_not_matter():
    keras.config.set_image_data_format("channels_first")
    try:
        assert modelzoo.load(SMALL, include_top=False, weights=None).output_shape == (None, 7, 7, 512)
    finally:
        keras.config.set_image_data_format("channels_last")


def test_pretrained_weights_come_from_the_cache(resnet18_file, cache):
    place = modelzoo.add(SMALL, resnet18_file)
    assert place.is_relative_to(cache)
    assert modelzoo.weights_file(SMALL) == place
    assert np.array_equal(kernel(modelzoo.load(SMALL)), synthetic.array("stem_conv/kernel", (7, 7, 3, 64)))


def test_without_weights_load_says_what_it_tried_and_what_to_do():
    with pytest.raises(WeightsUnavailable) as caught:
        modelzoo.load("resnet101_mlimages")
    message = str(caught.value)
    assert "/cache does not have them" in message
    urls = [url for source in modelzoo.info("resnet101_mlimages").sources for url in source.urls]
    assert all(urlsplit(url).netloc in message for url in urls)
    assert message.count("no connection") == 1  # they fail for the same reason
    assert message.endswith("run: modelzoo add resnet101_mlimages.tencent FILE")
    assert "\n" not in message


def test_a_model_that_was_never_published_says_so():
    with pytest.raises(WeightsUnavailable, match="None were ever published"):
        modelzoo.load("resnet50_mlimages")


def test_an_added_file_is_found_afterwards(resnet18_file):
    place = modelzoo.add(SMALL, resnet18_file)
    assert modelzoo.weights_file(SMALL) == place
    assert store.availability(registry.info(SMALL)) == "cached"


def test_a_file_of_another_model_is_not_added(resnet18_file, cache):
    with pytest.raises(
        WeightsMismatch, match=r"holds the weights of resnet18_v1b\.gluon, not of resnet34_v1b\.gluon"
    ):
        modelzoo.add("resnet34_v1b", resnet18_file)
    assert not [file for file in cache.rglob("*") if file.is_file()]


def test_a_file_that_claims_to_be_the_model_but_is_not_whole_is_not_added(tmp_path, cache):
    weights.write(
        tmp_path / "part.h5", [("stem_conv/kernel", np.zeros((7, 7, 3, 64)))], {"model": "resnet18_v1b.gluon"}
    )
    with pytest.raises(WeightsMismatch, match="missing: stage1"):
        modelzoo.add(SMALL, tmp_path / "part.h5")
    assert not [file for file in cache.rglob("*") if file.is_file()]


def test_a_weight_file_of_another_model_is_refused(resnet18_file):
    with pytest.raises(WeightsMismatch, match=r"holds the weights of resnet18_v1b\.gluon, not of"):
        modelzoo.load("resnet34_v1b", weights=resnet18_file)


def test_a_weight_file_of_a_model_with_the_same_layers_is_refused(tmp_path):
    """ResNet v1c and v1d have the same names and shapes, and other numbers."""
    weights.write(tmp_path / "v1c.h5", [], {"model": "resnet50_v1c.gluon"})
    with pytest.raises(WeightsMismatch, match=r"of resnet50_v1c\.gluon, not of resnet50_v1d\.gluon"):
        modelzoo.load("resnet50_v1d", weights=tmp_path / "v1c.h5")


def test_a_weight_file_that_is_not_there_is_refused():
    with pytest.raises(ConversionError, match=r"nothing.params"):
        modelzoo.load(SMALL, weights="nothing.params")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "avg"}, "pooling needs include_top=False"),
        ({"pooling": "sum", "include_top": False}, "pooling must be None, 'avg' or 'max', not 'sum'"),
        ({"classes": 7, "include_top": False}, "classes, head and dropout need include_top=True"),
        ({"classes": 0}, "classes must be a positive int"),
        ({"features": True, "pooling": "avg"}, "goes with neither pooling nor a head"),
        ({"features": ("C7",)}, "names among C1, C2, C3, C4, C5"),
        ({"features": "C7"}, "names among C1, C2, C3, C4, C5"),
        ({"features": 5}, r"names among C1, C2, C3, C4, C5, or -1 to -5, .* got \(5,\)"),
        ({"input_shape": np.int64(224)}, r": write \(224, 224, 3\)"),
        ({"input_shape": np.array([3, 224, 160])}, r": write \(224, 160, 3\)"),
        ({"input_shape": b"x"}, "got b'x'"),
        ({"input_shape": ()}, r"got \(\)"),
        ({"input_shape": 224}, r"\(height, width, channels\), .*; got 224: write \(224, 224, 3\)"),
        ({"input_shape": (224, 160)}, r"got \(224, 160\): write \(224, 160, 3\)"),
        ({"input_shape": (None,)}, r"write \(None, None, 3\)"),
        ({"input_shape": (3, 224, 160)}, r"got \(3, 224, 160\): write \(224, 160, 3\)"),
        ({"input_shape": (None, 224, 224, 3)}, r"write \(224, 224, 3\)"),
        ({"input_shape": (0, 224, 3)}, r"must be \(height, width, channels\), .* got \(0, 224, 3\)"),
        ({"input_shape": (224.0, 224, 3)}, r"got \(224.0, 224, 3\)"),
        ({"input_shape": (True, 224, 3)}, r"got \(True, 224, 3\)"),
        ({"input_shape": "224x224"}, "got '224x224'"),
        ({"input_shape": (224, 224, None)}, r"got \(224, 224, None\)"),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        modelzoo.load(SMALL, **{"weights": None, **options})


@pytest.mark.parametrize("weights", ["imagenet", "none.h5", "nowhere/none.h5", "", True, 5, b"x"], ids=repr)
def test_weights_that_are_no_file_are_answered_with_what_to_write(weights):
    with pytest.raises(ConversionError) as caught:
        modelzoo.load(SMALL, weights=weights)
    assert str(caught.value) == (
        f"There is no weight file {weights!r}: weights must be 'pretrained', 'synthetic', "
        "None for random ones, or the path of a file."
    )


def test_an_array_is_no_weight_file():
    with pytest.raises(ConversionError, match=r"no weight file array\(\[0., 0.\]\): weights must be"):
        modelzoo.load(SMALL, weights=np.zeros(2))


def test_one_feature_map_needs_no_list():
    assert list(modelzoo.load(SMALL, weights=None, features="C3").output) == ["C3"]


def test_two_loads_in_one_model_are_told_apart_by_name():
    left, right = (modelzoo.load("resnet9_cifar10", weights=None, name=name) for name in ("left", "right"))
    assert (left.name, right.name) == ("left", "right")
    images = keras.Input((32, 32, 3))
    both = keras.Model(images, keras.layers.concatenate([left(images), right(images)]))
    assert both.output_shape == (None, 20)
    assert [layer.name for layer in both.layers[1:3]] == ["left", "right"]


@pytest.mark.parametrize(
    "model", [modelzoo.info(SMALL), 5, None, ["resnet18_v1b"]], ids=lambda m: type(m).__name__
)
def test_what_is_no_name_is_not_looked_for_among_the_names(model):
    with pytest.raises(UnknownModel, match=r"Expected the name of a model, such as 'resnet50_v1d', got "):
        modelzoo.load(model)


TOO_SMALL = {  # pixels, with the top and without
    "inception_v3.slim": (75, 75),
    "vgg_16.slim": (224, 32),
    "vgg16.keras": (224, 32),
    "xception.keras": (71, 71),
    "resnet9_cifar10": (8, 8),
    "resnet50.keras": (32, 32),
}


@pytest.mark.parametrize("name", TOO_SMALL)
@pytest.mark.parametrize("top", [True, False], ids=["with top", "without"])
def test_too_small_images_are_refused_in_one_sentence(name, top):
    least = TOO_SMALL[name][0 if top else 1]
    with pytest.raises(
        ValueError, match=rf"images of at least {least} x {least} pixels, got {least - 1} x 300"
    ):
        modelzoo.load(name, weights=None, include_top=top, input_shape=(least - 1, 300, 3))
    assert modelzoo.load(name, weights=None, include_top=top, input_shape=(least, least, 3)) is not None


@pytest.mark.parametrize("name", ["inception_v3.slim", "vgg_16.slim", "xception.keras", "resnet9_cifar10"])
def test_where_the_sides_are_open_the_model_itself_refuses_too_small_images(name):
    least = TOO_SMALL[name][1]
    model = modelzoo.load(name, weights=None, include_top=False, input_shape=(None, None, 3))
    assert model(np.zeros((1, least, least + 1, 3), np.float32)) is not None
    for call in (model, model.predict_on_batch):
        with pytest.raises(
            ValueError, match=f"at least {least}, at least {least}, 3.*{least - 1}, {least}, 3"
        ):
            call(np.zeros((1, least - 1, least, 3), np.float32))


def test_every_network_takes_its_own_size():
    for key in modelzoo.list_models():
        graph = registry.info(key).graph
        for top in (True, False):
            assert smallest_side(graph.family, graph.variant, top=top) <= graph.input_shape[0], key


def test_an_unknown_model_is_refused():
    with pytest.raises(UnknownModel):
        modelzoo.load("resnet18")


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_another_backend_gives_the_same_numbers(backend):
    """In a process of its own, because Keras chooses its backend at import."""
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    code = (
        "import modelzoo, numpy, keras; from modelzoo.architectures import synthetic; "
        "m = modelzoo.load('resnet50_v1d', weights='synthetic', input_shape=(None, None, 3), "
        "classifier_activation=None); "
        "y = keras.ops.convert_to_numpy(m(synthetic.images(97, 131), training=False)); "
        "g = numpy.load('modelzoo/verification/goldens/resnet50_v1d.gluon.npz')['noise_97x131/logits']; "
        "print(numpy.linalg.norm(y - g) / numpy.linalg.norm(g))"
    )
    environment = os.environ | {"KERAS_BACKEND": backend}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert float(run.stdout.split()[-1]) < 1e-5
