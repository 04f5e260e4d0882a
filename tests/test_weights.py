"""modelzoo weight files: complete, strict, deterministic to the byte, and readable by plain Keras."""

from __future__ import annotations

import hashlib

import h5py
import keras
import numpy as np
import pytest

import modelzoo
from modelzoo import registry, store, weights
from modelzoo.architectures import synthetic
from modelzoo.backends import keras_values
from modelzoo.errors import ConversionError, WeightsMismatch
from modelzoo.store import mirror

PROVENANCE = {"model": "small.test"}


@pytest.fixture
def model():
    """A convolution, a batch norm and a head, named as our layers are."""
    images = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, use_bias=False, name="stem_conv")(images)
    x = keras.layers.BatchNormalization(name="stem_bn")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(images, keras.layers.Dense(5, name="logits")(x), name="small")


@pytest.fixture
def arrays(model):
    return {path: synthetic.array(path, shape) for path, shape in keras_values.shapes(model).items()}


@pytest.fixture
def file(arrays, tmp_path):
    path = tmp_path / "small.h5"
    weights.write(path, arrays.items(), PROVENANCE)
    return path


def current(model) -> dict[str, np.ndarray]:
    return {f"{layer.name}/{v.name}": v.numpy() for layer in model.layers for v in layer.weights}


def assign(model, path, **options) -> None:
    """What load() does: all that the file holds of the model, strictly."""
    skip = options.get("skip", ())
    shapes = {p: s for p, s in keras_values.shapes(model).items() if p.partition("/")[0] not in skip}
    with weights.opened(path, shapes, **options) as arrays:
        keras_values.assign(model, arrays.items())


def same(left, right) -> bool:
    return left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)


def test_what_was_written_is_assigned(model, arrays, file):
    assign(model, file)
    assert same(current(model), arrays)


def test_equal_contents_give_equal_bytes(arrays, file, tmp_path):
    weights.write(tmp_path / "again.h5", arrays.items(), PROVENANCE)
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (file, tmp_path / "again.h5")}
    assert len(digests) == 1


def test_plain_keras_reads_the_file_by_name(model, arrays, file):
    model.load_weights(file, by_name=True)
    assert same(current(model), arrays)


def test_the_provenance_says_which_model_it_is(file):
    assert weights.provenance(file) == PROVENANCE


def test_float16_files_are_assigned_as_float32(model, arrays, tmp_path):
    path = tmp_path / "half.h5"
    weights.write(path, ((name, array.astype(np.float16)) for name, array in arrays.items()), PROVENANCE)
    assign(model, path)
    assert same(current(model), {n: a.astype(np.float16).astype(np.float32) for n, a in arrays.items()})


def test_a_model_without_head_takes_the_same_file(model, arrays, file):
    backbone = keras.Model(model.input, model.get_layer("pool").output)
    assign(backbone, file, skip=["logits"])
    assert same(current(backbone), {n: a for n, a in arrays.items() if not n.startswith("logits/")})
    with pytest.raises(WeightsMismatch, match="unexpected: logits/bias, logits/kernel"):
        assign(backbone, file)


def without(name):
    return lambda arrays: {n: a for n, a in arrays.items() if n != name}


def headless(arrays):
    return {name: array for name, array in arrays.items() if not name.startswith("logits/")}


@pytest.mark.parametrize("change", [dict, headless, without("logits/bias")])
def test_layers_that_are_skipped_keep_their_values_whether_the_file_has_them_or_not(
    change, model, arrays, tmp_path
):
    weights.write(tmp_path / "changed.h5", change(arrays).items(), PROVENANCE)
    before = model.get_layer("logits").kernel.numpy()
    assign(model, tmp_path / "changed.h5", skip=["logits"])
    assert np.array_equal(model.get_layer("logits").kernel.numpy(), before)
    assert np.array_equal(model.get_layer("stem_conv").kernel.numpy(), arrays["stem_conv/kernel"])


@pytest.mark.parametrize(
    ("stated", "warning"),
    [
        ({}, None),
        ({"warning": "trained on noise"}, "trained on noise"),
        # A file of version 0.1.
        ({"synthetic": True}, "it has synthetic weights: predictions are meaningless"),
        ({"synthetic": False}, None),
    ],
)
def test_a_file_says_what_its_user_should_be_warned_of(stated, warning, arrays, tmp_path):
    weights.write(tmp_path / "small.h5", arrays.items(), PROVENANCE | stated)
    assert weights.warning(tmp_path / "small.h5") == warning


BREAKAGES = {
    "missing": (without("stem_bn/beta"), "missing: stem_bn/beta"),
    "headless": (headless, "missing: logits/bias, logits/kernel"),
    "unexpected": (lambda a: a | {"extra/kernel": np.zeros(1)}, "unexpected: extra/kernel"),
    "renamed": (
        lambda a: without("stem_bn/beta")(a) | {"stem_bn/betta": a["stem_bn/beta"]},
        "missing: stem_bn/beta; unexpected: stem_bn/betta",
    ),
    "another shape": (
        lambda a: a | {"stem_bn/beta": np.zeros(3, np.float32)},
        r"expected stem_bn/beta of shape \(4,\), found \(3,\)",
    ),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_a_file_that_does_not_fit_is_refused_and_the_model_unchanged(name, model, arrays, tmp_path):
    change, message = BREAKAGES[name]
    weights.write(tmp_path / "broken.h5", change(arrays).items(), PROVENANCE)
    before = current(model)
    with pytest.raises(WeightsMismatch, match=f"holds the weights of small.test, .*{message}"):
        assign(model, tmp_path / "broken.h5")
    assert same(current(model), before)


NOT_FINITE = {"NaN": np.nan, "infinity": np.inf, "minus infinity": -np.inf}


def patched(path, name, change):
    """The file with another dataset, as a damaged or a foreign program's file has it."""
    with h5py.File(path, "r+") as opened:
        array = opened[name][()]
        del opened[name]
        opened[name] = change(array)
    return path


def one_value(value):
    def change(array):
        array.ravel()[-1] = value
        return array

    return change


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("value", NOT_FINITE.values(), ids=NOT_FINITE)
def test_a_file_with_a_value_that_is_not_finite_is_refused_wherever_it_is_read(
    value, dtype, model, arrays, file
):
    patched(file, "stem_conv/kernel", lambda array: one_value(value)(array.astype(dtype)))
    shapes = keras_values.shapes(model)
    for read in (
        lambda: assign(model, file),
        lambda: weights.check(file, shapes),
        lambda: dict(weights.read(file)),
    ):
        with pytest.raises(
            WeightsMismatch, match=r"values of stem_conv/kernel that are not finite: the file"
        ):
            read()


def test_what_is_skipped_may_hold_anything(model, arrays, file):
    patched(file, "logits/bias", one_value(np.nan))
    patched(file, "logits/kernel", lambda array: array.astype(np.int64))
    assign(model, file, skip=["logits"])
    assert np.array_equal(model.get_layer("stem_conv").kernel.numpy(), arrays["stem_conv/kernel"])


@pytest.mark.parametrize("dtype", ["int64", "int8", "uint8", "bool", "longdouble"])
def test_a_file_with_another_dtype_is_refused_and_the_model_unchanged(dtype, model, file):
    patched(file, "logits/bias", lambda array: np.ones(array.shape, dtype))
    before = current(model)
    found = np.dtype(dtype).name
    message = f"expected float16, float32 or float64 for logits/bias, found {found}"
    for refuse in (
        lambda: assign(model, file),
        lambda: weights.check(file, keras_values.shapes(model)),
    ):
        with pytest.raises(WeightsMismatch, match=message):
            refuse()
    assert same(current(model), before)


def test_bfloat16_which_hdf5_has_not_is_refused(model, file):
    """As other programs make one: a 32-bit float's upper half."""
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_fields(15, 7, 8, 0, 7)
    kind.set_size(2)
    kind.set_ebias(127)
    with h5py.File(file, "r+") as opened:
        del opened["logits/bias"]
        h5py.h5d.create(opened["logits"].id, b"bias", kind, h5py.h5s.create_simple((5,)))
    with pytest.raises(WeightsMismatch, match=r"cannot be read as a modelzoo weight file: .*'bias'"):
        assign(model, file)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_every_float_that_a_file_may_hold_is_assigned_in_the_models_dtype(dtype, model, arrays, tmp_path):
    path = tmp_path / "floats.h5"
    weights.write(path, ((name, array.astype(dtype)) for name, array in arrays.items()), PROVENANCE)
    assign(model, path)
    assert same(current(model), {n: a.astype(dtype).astype(np.float32) for n, a in arrays.items()})


@pytest.mark.parametrize(
    ("stored", "value", "dtype"), [("float64", 1e300, "float32"), ("float32", -7e4, "float16")]
)
def test_values_beyond_the_models_dtype_do_not_become_infinite(stored, value, dtype, tmp_path):
    images = keras.Input((3,))
    model = keras.Model(images, keras.layers.Dense(2, dtype=dtype, name="logits")(images))
    large = {name: np.full(shape, value, stored) for name, shape in keras_values.shapes(model).items()}
    weights.write(tmp_path / "large.h5", large.items(), PROVENANCE)
    with pytest.raises(WeightsMismatch, match=f"logits/kernel has values beyond the range of {dtype}"):
        assign(model, tmp_path / "large.h5")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.array([1.0, np.nan], np.float32), "values of logits/bias that are not finite"),
        (np.array([1.0, np.inf], np.float16), "values of logits/bias that are not finite"),
        (np.array([1, 2]), "Expected float16, float32 or float64 for logits/bias, got int64"),
        (np.array([True]), "for logits/bias, got bool"),
        (np.array([1j]), "for logits/bias, got complex128"),
    ],
)
def test_what_would_be_refused_is_not_written(bad, message, tmp_path):
    with pytest.raises(WeightsMismatch, match=message):
        weights.write(tmp_path / "bad.h5", [("stem/kernel", np.zeros(3)), ("logits/bias", bad)], PROVENANCE)
    assert list(tmp_path.iterdir()) == []


def test_neither_load_nor_add_nor_a_mirror_takes_a_file_that_is_not_finite(tmp_path, cache):
    key = "resnet9_cifar10.modelzoo"
    path = tmp_path / "nan.h5"
    path.write_bytes(modelzoo.weights_file(key).read_bytes())
    patched(path, "logits/bias", one_value(np.nan))
    for take in (lambda: modelzoo.load(key, weights=path), lambda: modelzoo.add(key, path)):
        with pytest.raises(WeightsMismatch, match="logits/bias that are not finite"):
            take()
    assert not list(cache.rglob("*.h5"))
    models = {key: mirror.entry(path, weights.provenance(path))}
    bundle = {mirror.INDEX: mirror.index_text(models).encode(), models[key]["file"]: path}
    mirror.pack(tmp_path / "bundle.tar", bundle)
    with pytest.raises(ConversionError, match="logits/bias that are not finite"):
        store.unbundle(tmp_path / "bundle.tar")
    assert not list(cache.rglob("*.h5"))


def test_text_is_refused(model, tmp_path):
    (tmp_path / "text.h5").write_text("no weights")
    with pytest.raises(WeightsMismatch, match="is not an HDF5 file"):
        assign(model, tmp_path / "text.h5")


def test_a_foreign_hdf5_file_is_refused(model, tmp_path):
    with h5py.File(tmp_path / "foreign.h5", "w") as foreign:
        foreign["stem_conv/kernel"] = 1.0
    with pytest.raises(WeightsMismatch, match="was not written by modelzoo"):
        assign(model, tmp_path / "foreign.h5")


def test_a_write_that_fails_leaves_nothing(tmp_path):
    def failing():
        yield "stem_conv/kernel", np.zeros(3)
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError):
        weights.write(tmp_path / "half.h5", failing(), PROVENANCE)
    assert list(tmp_path.iterdir()) == []


def test_synthetic_weights_are_the_same_everywhere():
    array = synthetic.array("stage1_block1_conv1/kernel", (3, 3, 64, 64))
    digest = hashlib.sha256(array.tobytes()).hexdigest()
    assert digest == "94ead808ccb1c7c84770338daaab277967eb7bfa3c54d96147911a2f1babdcb5"


@pytest.mark.parametrize(
    "entry", [registry.info(k) for k in modelzoo.list_models(tag="modelzoo")], ids=lambda e: e.key
)
def test_the_bundled_file_is_small_and_says_what_it_was_trained_and_measured_on(entry):
    path = modelzoo.weights_file(entry.key)
    provenance = weights.provenance(path)
    assert path.stat().st_size < 2.5 * 2**20
    assert provenance["trained_on"]
    assert provenance["measured_on"]
    assert provenance["accuracy"] == entry.metric("top1")
