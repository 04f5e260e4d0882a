"""Upstream files become ours: paired by name, each tensor once, or refused in one sentence."""

from __future__ import annotations

import doctest
import re
import zipfile
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

import modelzoo
from modelzoo import conversion, registry, synthetic, weights
from modelzoo.conversion import pairing, readers
from modelzoo.errors import ConversionError
from tests.readers.files import FLOAT32, mxnet_array, mxnet_file

FAMILIES = ("gluoncv", "tencent", "timm")
GLUON = registry.info("resnet18_v1b")  # the smallest
# Tencent's ResNet-50 with ten classes: the published 101 takes a quarter of a gigabyte.
TENCENT = registry.info("resnet101_mlimages")
TENCENT = replace(TENCENT, graph=replace(TENCENT.graph, variant="tencent_50", classes=10))
CONVERTED = [registry.info(key) for key in modelzoo.list_models() if registry.info(key).sources]


@pytest.fixture(scope="module")
def gluon_arrays():
    return upstream_arrays(GLUON)


def upstream_arrays(entry) -> dict[str, np.ndarray]:
    family = conversion.family_of(entry.sources[0])
    return conversion.upstream_arrays(entry, family, synthetic.array)


def write_params(path, arrays, type=FLOAT32):
    path.write_bytes(mxnet_file({name: mxnet_array(array, type=type) for name, array in arrays.items()}))
    return path


def is_synthetic(path) -> bool:
    return all(
        np.array_equal(array, synthetic.array(name, array.shape)) for name, array in weights.read(path)
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_the_examples_of_the_name_maps_hold(name):
    result = doctest.testmod(import_module(f"modelzoo.conversion.{name}"))
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("path", ["stem_conv/kernel", "logits/kernel", "logits/bias", "stem_bn/gamma"])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_layouts_are_inverse_to_each_other(name, path):
    family = import_module(f"modelzoo.conversion.{name}")
    array = np.arange(120.0).reshape(
        {"stem_conv/kernel": (2, 3, 4, 5), "logits/kernel": (10, 12)}.get(path, 120)
    )
    assert np.array_equal(family.to_ours(path, family.to_upstream(path, array)), array)


def test_a_gluon_file_converts_to_the_arrays_that_are_in_it(gluon_arrays, tmp_path):
    receipt = conversion.convert(
        GLUON, write_params(tmp_path / "a.params", gluon_arrays), tmp_path / "out.h5"
    )
    assert receipt["tensors"] == len(gluon_arrays) == 102
    assert receipt["verified"] == []
    assert is_synthetic(tmp_path / "out.h5")


def test_a_gluon_export_converts_to_the_same_bytes(gluon_arrays, tmp_path):
    from modelzoo.conversion import gluoncv

    def exported(path):
        kind = "aux" if "moving" in path else "arg"
        return f"{kind}:resnetv1b_{gluoncv.scope_name(path, GLUON.graph.variant)}"

    names = map(exported, conversion.weight_shapes(GLUON))
    arrays = dict(zip(names, gluon_arrays.values(), strict=True))
    conversion.convert(GLUON, write_params(tmp_path / "e.params", arrays), tmp_path / "e.h5")
    assert is_synthetic(tmp_path / "e.h5")


def test_converting_twice_gives_the_same_bytes(gluon_arrays, tmp_path):
    source = write_params(tmp_path / "a.params", gluon_arrays)
    for name in ("one.h5", "two.h5"):
        conversion.convert(GLUON, source, tmp_path / name)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


def test_a_zip_with_the_member_converts(gluon_arrays, tmp_path):
    params = write_params(tmp_path / GLUON.sources[0].member, gluon_arrays)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(params, params.name)
    conversion.convert(GLUON, tmp_path / "a.zip", tmp_path / "out.h5")
    assert is_synthetic(tmp_path / "out.h5")


def test_an_official_file_must_have_the_published_checksum(gluon_arrays, tmp_path):
    source = write_params(tmp_path / "a.params", gluon_arrays)
    with pytest.raises(
        ConversionError, match=r"not the official file of resnet18_v1b.gluon: wanted sha1 2d9d980c"
    ):
        conversion.convert(GLUON, source, tmp_path / "out.h5", official=True)


def test_the_receipt_names_the_checksums_that_fit(gluon_arrays, tmp_path):
    from modelzoo.files import digests

    source = write_params(tmp_path / "a.params", gluon_arrays)
    checksum = replace(GLUON.sources[0].checksums[0], value=digests(source, ("sha1",))["sha1"])
    entry = replace(GLUON, sources=(replace(GLUON.sources[0], checksums=(checksum,)),))
    assert conversion.convert(entry, source, tmp_path / "o.h5", official=True)["verified"] == [
        "sha1 of the member"
    ]


def changed(name, value):
    return lambda arrays: arrays | {name: value}


def without(name):
    return lambda arrays: {n: a for n, a in arrays.items() if n != name}


BREAKAGES = {
    "missing": (without("bn1.gamma"), r"101 of 102 found; missing upstream: bn1\.gamma\."),
    "renamed": (
        lambda a: without("bn1.gamma")(a) | {"bn1.gama": a["bn1.gamma"]},
        r"101 of 102 found; missing upstream: bn1\.gamma; not used: bn1\.gama",
    ),
    "left over": (changed("bn9.gamma", np.zeros(1, np.float32)), r"102 of 102 found; not used: bn9\.gamma"),
    "another shape": (
        changed("fc.bias", np.zeros(10, np.float32)),
        r"fc\.bias has shape \(10,\); logits/bias wants \(1000,\): is this the file of another model",
    ),
    "not finite": (
        changed("fc.bias", np.full(1000, np.nan, np.float32)),
        r"fc\.bias holds numbers that are not finite",
    ),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_a_gluon_file_that_does_not_fit_is_refused_and_nothing_written(name, gluon_arrays, tmp_path):
    change, message = BREAKAGES[name]
    source = write_params(tmp_path / "a.params", change(gluon_arrays))
    with pytest.raises(ConversionError, match=message):
        conversion.convert(GLUON, source, tmp_path / "out" / "out.h5")
    assert not list(tmp_path.rglob("*out.h5*"))


def test_another_dtype_is_refused(gluon_arrays, tmp_path):
    halves = {name: array.astype(np.float16) for name, array in gluon_arrays.items()}
    with pytest.raises(ConversionError, match="is float16; float32 was wanted"):
        conversion.convert(GLUON, write_params(tmp_path / "a.params", halves, type=2), tmp_path / "out.h5")


def test_the_file_of_another_depth_is_refused(gluon_arrays, tmp_path):
    source = write_params(tmp_path / "a.params", gluon_arrays)
    with pytest.raises(ConversionError, match=r"do not pair with the architecture: 102 of 182 found"):
        conversion.convert(registry.info("resnet34_v1b"), source, tmp_path / "out.h5")


@pytest.fixture(scope="module")
def tencent_checkpoint(tmp_path_factory):
    """A checkpoint as Tencent's training leaves it: the weights, the step, and the optimizer's momentum."""
    arrays = upstream_arrays(TENCENT)
    momentum = {"logits/dense/kernel/Momentum": arrays["logits/dense/kernel"], "global_step": np.int64(7)}
    return save_checkpoint(tmp_path_factory.mktemp("tencent") / "model.ckpt", arrays | momentum)


def save_checkpoint(prefix, arrays):
    import tensorflow as tf

    names = list(arrays)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=list(arrays.values()),
    )
    return prefix


def test_a_tencent_checkpoint_converts_to_the_arrays_that_are_in_it(tencent_checkpoint, tmp_path):
    receipt = conversion.convert(TENCENT, tencent_checkpoint, tmp_path / "out.h5")
    assert receipt["tensors"] == 267
    assert [part["name"] for part in receipt["source"]] == [
        "model.ckpt.data-00000-of-00001",
        "model.ckpt.index",
    ]
    assert is_synthetic(tmp_path / "out.h5")


def test_a_zip_of_a_folder_with_a_checkpoint_converts(tencent_checkpoint, tmp_path):
    with zipfile.ZipFile(tmp_path / "ckpt-resnet101-mlimages.zip", "w") as archive:
        for path in tencent_checkpoint.parent.iterdir():
            archive.write(path, f"ckpt-resnet101-mlimages/{path.name}")
    conversion.convert(TENCENT, tmp_path / "ckpt-resnet101-mlimages.zip", tmp_path / "out.h5")
    assert is_synthetic(tmp_path / "out.h5")


def test_a_tencent_checkpoint_with_unknown_tensors_is_refused(tmp_path):
    arrays = upstream_arrays(TENCENT) | {"logits/dense/extra": np.zeros(1, np.float32)}
    with pytest.raises(ConversionError, match="not used: logits/dense/extra"):
        conversion.convert(TENCENT, save_checkpoint(tmp_path / "model.ckpt", arrays), tmp_path / "out.h5")


@pytest.mark.parametrize("entry", CONVERTED, ids=lambda entry: entry.key)
def test_the_sources_of_a_model_can_be_told_apart(entry):
    formats = [source.format for source in entry.sources]
    assert len(set(formats)) == len(formats)
    assert len(formats) < 2 or set(formats) <= readers.RECOGNISERS.keys()


def test_two_weights_with_one_name_are_an_error_of_the_map():
    with pytest.raises(ConversionError, match="a/kernel and b/kernel both claim x"):
        pairing.pair(["a/kernel", "b/kernel"], ["x"], lambda path: "x", re.compile("(?!)"))


def test_only_what_the_family_ignores_may_be_left_over():
    pairs = pairing.pair(["a/kernel"], ["x", "step"], lambda path: "x", re.compile("step"))
    assert pairs == {"a/kernel": "x"}


def test_a_model_without_upstream_cannot_be_converted(tmp_path):
    with pytest.raises(ConversionError, match=r"resnet9_cifar10\.modelzoo has no upstream"):
        conversion.convert(registry.info("resnet9_cifar10"), tmp_path / "x", tmp_path / "out.h5")


def test_an_export_of_v1c_is_not_taken_for_v1d():
    from modelzoo.conversion import gluoncv

    exported = ["resnetv1c_conv0_weight", "resnetv1c_down1_conv0_weight"]
    assert gluoncv.naming("50_v1c", exported)("stem_conv1/kernel") in exported
    assert gluoncv.naming("50_v1d", exported)("stem_conv1/kernel") not in exported
