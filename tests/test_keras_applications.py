"""keras.applications: our copy of a network computes what Keras' own does, and its files convert by name."""

from __future__ import annotations

import gc
import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest

import modelzoo
import modelzoo.backends.keras
from benchmarks.precision import middle_square
from modelzoo import architectures, backends, conversion, weights
from modelzoo.architectures import Proof, synthetic
from modelzoo.architectures.keras_applications import IMAGENET_MEAN, IMAGENET_STD, VARIANTS
from modelzoo.backends import keras_values
from modelzoo.conversion import CONVERTERS, keras_applications, keras_refusals, layouts, pairing
from modelzoo.errors import ConversionError
from modelzoo.formats import read_keras_h5, write_keras_h5
from modelzoo.graph import Graph
from modelzoo.graph.normalization import Normalization, Rescale
from modelzoo.verification import comparison, keras_originals
from modelzoo.verification.comparison import relative
from tests.conftest import SHARED

REAL_FILES = SHARED / "data" / "upstream_files"
CLOTHING = SHARED / "data" / "clothing"
NO_TOP = REAL_FILES / "mobilenet_2_5_224_tf_no_top.h5"
WHOLE_MODEL = REAL_FILES / "mobilenet_v2_035_whole_model_keras24.h5"
THEANO = REAL_FILES / "squeezenet_weights_th_dim_ordering_th_kernels_notop.h5"
needs_shared = pytest.mark.skipif(not REAL_FILES.is_dir(), reason=f"{REAL_FILES} is not there")

MOBILENET = "mobilenet_0.25_224.keras"
EFFICIENTNET = "efficientnet_b0.keras"
KINDS = (  # one of each; VGG without its head, for which see below, as for EfficientNet
    "convnext_tiny.keras",
    "densenet121.keras",
    "efficientnet_v2_b0.keras",
    "inception_v3.keras",
    MOBILENET,
    "mobilenet_v2_0.35_96.keras",
    "mobilenet_v3_small_1.0.keras",
    "mobilenet_v3_large_minimalistic.keras",
    "nasnet_mobile.keras",
    "resnet50.keras",
    "resnet50_v2.keras",
    "vgg16.keras",
    "xception.keras",
)
LIMIT = Proof().limit
HEIGHT, WIDTH = Proof().odd_size


def ours(entry, top: bool = True) -> Graph:
    """Our network, whose outputs are all maps and the output, for images of any size if it can."""
    sides = (HEIGHT, WIDTH) if VARIANTS[entry.graph.variant].fixed_size else (None, None)
    graph = architectures.build(
        entry.graph.family,
        entry.graph.variant,
        input_shape=(*sides, 3),
        classes=entry.graph.classes if top else None,
    )
    return graph.with_outputs(graph.maps | {"output": graph.output})


def fill(model: keras.Model, entry, graph: Graph) -> None:
    """Gives our network its synthetic weights."""
    array = synthetic.values_of(entry.graph)
    keras_values.assign(model, ((path, array(path, shape)) for path, shape in graph.weight_shapes.items()))


def errors(entry, graph: Graph, original) -> dict[str, float]:
    """The relative L2 errors of all maps and of the output, on one image and synthetic weights."""
    model = backends.keras.model(graph)
    fill(model, entry, graph)
    image = comparison.image(entry, HEIGHT, WIDTH)
    theirs = keras_originals.maps(original, entry) | {"output": original.output}
    theirs = keras.Model(original.inputs[0], theirs)(image, training=False)
    mine = model(image, training=False)
    assert mine.keys() == theirs.keys()
    return {name: relative(mine[name], theirs[name]) for name in theirs}


@pytest.fixture(autouse=True)
def _memory():
    """A network of a hundred megabytes is not kept for the next test."""
    yield
    gc.collect()


@pytest.mark.parametrize("key", KINDS)
def test_our_copy_computes_what_keras_does(key):
    entry = modelzoo.info(key)
    top = key != "vgg16.keras"
    graph = ours(entry, top)
    original = keras_originals.original(entry, HEIGHT, WIDTH, include_top=top)
    keras_originals.fill(original, entry, graph.weight_shapes)
    found = errors(entry, graph, original)
    assert max(found.values()) <= LIMIT, found


def test_efficientnet_computes_what_keras_does_with_a_file_of_the_official_kind(tmp_path, monkeypatch):
    """Keras divides once more by the deviation, but only if it takes the file for the official one."""
    entry = modelzoo.info(EFFICIENTNET)
    graph = ours(entry, top=False)
    path = tmp_path / "efficientnetb0_notop.h5"
    original = keras_originals.original(entry, HEIGHT, WIDTH, include_top=False)
    keras_originals.fill(original, entry, graph.weight_shapes)
    original.save(path)
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *arguments, **options: str(path))
    original = keras_originals.original(entry, HEIGHT, WIDTH, include_top=False, weights="imagenet")
    found = errors(entry, graph, original)
    assert max(found.values()) <= LIMIT, found


def test_vgg_dense_layers_become_convolutions_over_the_whole_map():
    x, units = synthetic.array("map/noise", (1, 7, 7, 512)), 8
    dense = synthetic.array("fc1/kernel", (7 * 7 * 512, units))
    kernel = layouts.FLATTENED.to_keras("fc1/kernel", dense)
    assert kernel.shape == (7, 7, 512, units)
    convolved = keras.ops.conv(x, kernel, padding="valid")
    assert relative(keras.ops.reshape(convolved, (1, units)), x.reshape(1, -1) @ dense) <= LIMIT
    assert (layouts.FLATTENED.to_upstream("fc1/kernel", kernel) == dense).all()


@pytest.mark.parametrize("key", [MOBILENET, "mobilenet_v3_small_1.0.keras"])
def test_a_file_that_keras_wrote_converts_to_the_very_same_weights(key, tmp_path):
    entry = modelzoo.info(key)
    shapes = conversion.weight_shapes(entry)
    original = keras_originals.original(entry, HEIGHT, WIDTH)
    keras_originals.fill(original, entry, shapes)
    original.save(tmp_path / "theirs.h5")
    provenance = conversion.convert(entry, tmp_path / "theirs.h5", tmp_path / "ours.h5")
    assert provenance["parameters"] == entry.parameters
    converted = dict(weights.read(tmp_path / "ours.h5"))
    assert list(converted) == list(shapes)
    array = synthetic.values_of(entry.graph)
    assert all((converted[path] == array(path, shape)).all() for path, shape in shapes.items())


def test_every_weight_of_a_network_with_two_hundred_numbered_layers_has_its_name_in_keras():
    entry = modelzoo.info("inception_resnet_v2.keras")
    shapes = conversion.weight_shapes(entry)
    with keras.StatelessScope(initialize_variables=False):
        theirs = keras_originals.variables(keras.applications.InceptionResNetV2(weights=None))
    name_of = keras_applications.upstream_names(entry.graph.variant, list(theirs))
    pairs = pairing.pair(shapes, theirs, name_of, keras_applications.IGNORED)
    pairing.check_shapes(pairs, shapes, {name: tuple(theirs[name].shape) for name in theirs})


# The graph


def test_layer_names_do_not_depend_on_what_was_built_before():
    names = [[layer.name for layer in built("xception").layers] for _ in range(2)]
    assert names[0] == names[1]
    assert {"conv2d", "conv2d_3", "batch_normalization_3"} <= set(names[0])


def build(variant: str, side: int | None = 96, channels: int = 3, **options) -> Graph:
    return architectures.build("keras_applications", variant, input_shape=(side, side, channels), **options)


def built(variant: str, **options) -> keras.Model:
    return backends.keras.model(build(variant), **options)


def test_layers_compute_in_the_requested_dtype():
    model = built("mobilenet_0.25", dtype="mixed_bfloat16")
    assert {layer.compute_dtype for layer in model.layers[1:]} == {"bfloat16"}
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize(
    "variant", ["mobilenet_0.25", "convnext_tiny", "efficientnet_b0", "efficientnet_v2_b0"]
)
@pytest.mark.parametrize("channels", [1, 4])
def test_images_may_have_another_number_of_channels(variant, channels):
    model = backends.keras.model(build(variant, channels=channels))
    assert model.input_shape[-1] == channels


@pytest.mark.filterwarnings("ignore:This model usually expects 1 or 3 input channels")
@pytest.mark.parametrize("variant", ["convnext_tiny", "efficientnet_b0", "efficientnet_v2_b0"])
def test_images_without_three_channels_are_not_normalized_by_what_three_have(variant):
    found = [node.operator for node in build(variant, channels=4).nodes]
    assert [op for op in found if isinstance(op, Normalization)] == [Normalization((0.0,) * 4, (1.0,) * 4)]
    if variant == "efficientnet_v2_b0":
        with keras.StatelessScope(initialize_variables=False):
            theirs = keras.applications.EfficientNetV2B0(
                include_top=False, weights=None, input_shape=(96, 96, 4)
            )
        rescaling = next(layer for layer in theirs.layers if isinstance(layer, keras.layers.Rescaling))
        assert next(op for op in found if isinstance(op, Rescale)) == Rescale(
            rescaling.scale, rescaling.offset
        )


def test_no_framework_is_imported_to_build_a_network():
    program = (
        "import sys; from modelzoo import architectures;"
        "architectures.build('keras_applications', 'nasnet_mobile', input_shape=(224, 224, 3), classes=1000);"
        "print(sorted({'keras', 'tensorflow', 'openvino', 'numpy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("sides", [(None, None), (None, 224), (224, None)])
def test_nasnet_is_built_for_one_size_only_in_keras(sides):
    """Its padding depends on the size, which other frameworks find out when they run it."""
    from modelzoo.backends import keras as backend

    graph = architectures.build("keras_applications", "nasnet_mobile", input_shape=(*sides, 3))
    with pytest.raises(ValueError, match=r"is built for one size of images: name both sides"):
        backend.model(graph, dtype="float32")


def test_vgg_says_how_large_its_images_must_be():
    with pytest.raises(ValueError, match="at least 224 x 224 pixels, got 96 x 96"):
        build("vgg16", side=96, classes=10)


def test_keras_data_format_does_not_matter():
    image = synthetic.images(96, 96)
    outputs = []
    for data_format in ("channels_last", "channels_first"):
        keras.config.set_image_data_format(data_format)
        try:
            graph = build("mobilenet_0.25")
            model = backends.keras.model(graph)
            fill(model, modelzoo.info(MOBILENET), graph)
            outputs.append(np.asarray(model(image, training=False)))
        finally:
            keras.config.set_image_data_format("channels_last")
    assert (outputs[0] == outputs[1]).all()


# Names of other times

NAMES = (
    ("vgg16", "fc1/fc1_W_1", "fc1/kernel"),
    ("vgg16", "predictions/predictions_b_1", "logits/bias"),
    ("resnet50", "conv2_block1_0_bn/moving_mean", "conv2_block1_0_bn/moving_mean"),
    ("resnet50", "probs/kernel", "logits/kernel"),
    ("densenet121", "conv1/bn/gamma", "conv1_bn/gamma"),
    ("densenet121", "fc1000/bias", "logits/bias"),
    ("mobilenet_1.0", "conv_preds/kernel", "logits/kernel"),
    ("mobilenet_1.0", "conv_dw_1/depthwise_kernel", "conv_dw_1/kernel"),
    ("mobilenet_v2_1.0", "mobl3_conv_3_expand/kernel", "block_3_expand/kernel"),
    ("mobilenet_v2_1.0", "bn3_conv_3_bn_project/beta", "block_3_project_BN/beta"),
    ("mobilenet_v2_1.0", "mobl0_conv_0_depthwise/depthwise_kernel", "expanded_conv_depthwise/kernel"),
    ("mobilenet_v2_1.0", "Logits/kernel", "logits/kernel"),
    (
        "mobilenet_v3_large_1.0",
        "expanded_conv_3/squeeze_excite/Conv_1/bias",
        "expanded_conv_3_squeeze_excite_conv_1/bias",
    ),
    ("mobilenet_v3_large_1.0", "Conv_1/BatchNorm/gamma", "conv_1_bn/gamma"),
    ("mobilenet_v3_large_1.0", "Conv_2/kernel", "conv_2/kernel"),
    (
        "convnext_tiny",
        "convnext_tiny_stage_0_block_0_layer_scale/Variable",
        "convnext_tiny_stage_0_block_0_layer_scale/kernel",
    ),
    ("convnext_tiny", "convnext_tiny_head_layernorm/gamma", "head_layernorm/gamma"),
    ("convnext_tiny", "convnext_tiny_head_dense/kernel", "logits/kernel"),
)


@pytest.mark.parametrize(("variant", "upstream", "path"), NAMES)
def test_a_name_of_an_older_keras_is_understood(variant, upstream, path):
    assert keras_applications.upstream_names(variant, [upstream])(path) == upstream


def test_a_name_of_no_keras_is_no_weight_of_ours():
    names = ["fc1/fc1_W-1", "fc1/fc1_"]
    name_of = keras_applications.upstream_names("vgg16", names)
    assert [name_of(path) for path in ("fc1/kernel", *names)] == ["fc1/kernel", *names]


def test_separable_convolutions_keep_both_kernels_names():
    names = ["block2_sepconv1/depthwise_kernel", "block2_sepconv1/pointwise_kernel"]
    name_of = keras_applications.upstream_names("xception", names)
    assert [name_of(name) for name in names] == names


@pytest.mark.parametrize("first", [0, 1, 95])
def test_numbered_layers_are_counted_from_the_files_first(first):
    names = [f"conv2d_{first + place}/kernel" if first + place else "conv2d/kernel" for place in range(3)]
    name_of = keras_applications.upstream_names("inception_v3", names)
    assert [name_of(path) for path in ("conv2d/kernel", "conv2d_1/kernel", "conv2d_2/kernel")] == names


def test_the_unnamed_xception_of_keras_1_pairs_in_the_order_of_making():
    words = {"conv": ("W",), "sep": ("depthwise_kernel", "pointwise_kernel")}
    words["norm"] = ("gamma", "beta", "running_mean", "running_std")
    kinds = {
        "convolution2d": ("conv", 6),
        "separableconvolution2d": ("sep", 34),
        "batchnormalization": ("norm", 40),
    }
    upstream = [
        f"{kind}_{number}/{kind}_{number}_{word}"
        for kind, (sort, count) in kinds.items()
        for number in range(1, count + 1)
        for word in words[sort]
    ]
    upstream += ["dense_2/dense_2_W", "dense_2/dense_2_b"]
    entry = modelzoo.info("xception.keras")
    shapes = {path: shape for path, shape in conversion.weight_shapes(entry).items() if "logits" not in path}
    name_of = keras_applications.upstream_names("xception", upstream)
    assert {name_of(path) for path in shapes} == set(upstream) - {"dense_2/dense_2_W", "dense_2/dense_2_b"}
    assert name_of("conv2d_3/kernel") == "convolution2d_6/convolution2d_6_W"  # the shortcut of block 13
    assert name_of("batch_normalization/gamma") == "batchnormalization_3/batchnormalization_3_gamma"
    assert name_of("block14_sepconv2/pointwise_kernel").startswith("separableconvolution2d_34/")


# Files that are refused, or only half of what is wanted


def write_h5(path, arrays: dict[str, np.ndarray], **attributes):
    """A Keras 2 file of weights."""
    write_keras_h5(path, arrays)
    with h5py.File(path, "r+") as file:
        file.attrs.update(attributes)
    return path


@pytest.fixture(scope="module")
def mobilenet_arrays() -> dict[str, np.ndarray]:
    """The synthetic weights as the official file names them."""
    entry = modelzoo.info(MOBILENET)
    shapes, array = conversion.weight_shapes(entry), synthetic.values_of(entry.graph)
    renamed = {f"conv_dw_{block}/kernel": f"conv_dw_{block}/depthwise_kernel" for block in range(1, 14)}
    renamed |= {f"logits/{word}": f"conv_preds/{word}" for word in ("kernel", "bias")}
    arrays = {path: array(path, shape) for path, shape in shapes.items()}
    arrays = CONVERTERS["keras_mobilenets"].upstream_arrays("mobilenet_0.25", arrays, renamed.values())
    assert set(renamed.values()) <= arrays.keys()
    return arrays


def without_head(arrays):
    return {name: array for name, array in arrays.items() if not name.startswith("conv_preds")}


def refusal(path, key=MOBILENET, **options) -> str:
    with pytest.raises(ConversionError) as caught:
        conversion.convert(modelzoo.info(key), path, path.with_suffix(".ours"), **options)
    assert not path.with_suffix(".ours").exists()
    return str(caught.value)


def test_a_file_without_top_is_named_as_such_where_the_head_is_wanted(mobilenet_arrays, tmp_path):
    path = write_h5(tmp_path / "no_top.h5", without_head(mobilenet_arrays))
    message = "Only the top is missing (logits/bias, logits/kernel): a file without top"
    assert refusal(path).startswith(message)


def test_half_a_head_is_no_head(mobilenet_arrays, tmp_path):
    mobilenet_arrays = mobilenet_arrays.copy()
    del mobilenet_arrays["conv_preds/bias"]
    path = write_h5(tmp_path / "half.h5", mobilenet_arrays)
    assert "missing: logits/bias" in refusal(path, include_top=False)


@pytest.mark.parametrize("options", [{"pooling": "avg"}, {"features": True}])
def test_a_file_without_top_loads_without_top(mobilenet_arrays, tmp_path, options):
    path = write_h5(tmp_path / "no_top.h5", without_head(mobilenet_arrays))
    model = modelzoo.load(MOBILENET, include_top=False, weights=path, **options)
    wanted = modelzoo.load(MOBILENET, include_top=False, weights="synthetic", **options)
    assert all((a == b).all() for a, b in zip(model.get_weights(), wanted.get_weights(), strict=True))


def test_a_file_without_top_serves_a_new_head(mobilenet_arrays, tmp_path):
    path = write_h5(tmp_path / "no_top.h5", without_head(mobilenet_arrays))
    model = modelzoo.load(MOBILENET, classes=4, weights=path)
    assert model.output_shape == (None, 4)
    assert (np.asarray(model.get_layer("conv1").kernel) == mobilenet_arrays["conv1/kernel"]).all()


def test_a_mobilenet_of_another_alpha_is_called_so(mobilenet_arrays, tmp_path):
    path = write_h5(tmp_path / "a.h5", mobilenet_arrays)
    assert "seems to be a mobilenet of alpha 0.25; expected alpha 0.5" in refusal(
        path, "mobilenet_0.5_224.keras"
    )


THEANOS = {
    "its_name_th_kernels": ({"conv1/kernel": (3, 3, 3, 8)}, {}, "its name says so"),
    "shapes": ({"conv1/kernel": (32, 3, 3, 3)}, {}, r"conv1/kernel has shape (32, 3, 3, 3)"),
    "backend": (
        {"conv1/kernel": (3, 3, 3, 8)},
        {"backend": b"theano"},
        "it says that its backend was Theano",
    ),
}


@pytest.mark.parametrize("name", THEANOS)
def test_theanos_kernels_are_refused(name, tmp_path):
    shapes, attributes, reason = THEANOS[name]
    arrays = {path: np.zeros(shape, np.float32) for path, shape in shapes.items()}
    message = refusal(write_h5(tmp_path / f"{name}.h5", arrays, **attributes))
    assert f"Theano's kernels, transposed and flipped ({reason})" in message


def test_another_normalization_of_efficientnet_is_refused(tmp_path):
    arrays = {
        "normalization/mean": np.float32(IMAGENET_MEAN),
        "normalization/variance": np.float32(IMAGENET_STD) ** 2,
    }
    message = refusal(write_h5(tmp_path / "a.h5", arrays), EFFICIENTNET)
    assert "normalizes images by the variance [0.0524" in message


# Real files


@needs_shared
def test_a_real_file_in_theanos_order_is_refused():
    with read_keras_h5(THEANO) as tensors, pytest.raises(ConversionError, match="Theano's kernels"):
        keras_refusals.check("vgg16", tensors)


@needs_shared
def test_the_backbone_in_a_real_whole_model_file_is_found_by_name():
    entry = modelzoo.info("mobilenet_v2_0.35_224.keras")
    shapes = conversion.weight_shapes(entry)
    top, _ = architectures.top_weights(entry.graph, shapes)
    backbone = {path: shape for path, shape in shapes.items() if path not in top}
    with read_keras_h5(WHOLE_MODEL) as tensors:
        name_of = keras_applications.upstream_names(entry.graph.variant, tensors)
        given = {name_of(path): tensors[name_of(path)].shape for path in backbone}
        pairing.check_shapes({path: name_of(path) for path in backbone}, backbone, given)
        assert len(given) == len(tensors) - 3  # the other three are a head of somebody's own


@needs_shared
@pytest.mark.skipif(not CLOTHING.is_dir(), reason=f"{CLOTHING} is not there")
def test_the_real_mobilenets_features_tell_clothes_apart():
    """A ridge classifier on the pooled features of 3,068 photos; with random weights it gets 14 %."""
    model = modelzoo.load(MOBILENET, include_top=False, pooling="avg", weights=NO_TOP)
    classes = sorted(folder.name for folder in (CLOTHING / "train").iterdir())

    def features(part: str) -> tuple[np.ndarray, np.ndarray]:
        photos = [
            (path, label) for label, name in enumerate(classes) for path in (CLOTHING / part / name).iterdir()
        ]
        images = modelzoo.preprocess([middle_square(path) for path, _ in photos], MOBILENET)
        return model.predict(images, batch_size=64, verbose=0), np.array([label for _, label in photos])

    x, labels = features("train")
    mean, deviation = x.mean(0), x.std(0)
    x = (x - mean) / deviation
    ridge = np.linalg.solve(
        x.T @ x + 100 * np.eye(x.shape[1]), x.T @ (np.eye(len(classes))[labels] - 1 / len(classes))
    )
    x, labels = features("test")
    accuracy = (((x - mean) / deviation @ ridge).argmax(1) == labels).mean()
    assert accuracy >= 0.78
