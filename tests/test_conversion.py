"""Upstream files become ours: paired by name, each tensor once, or refused in one sentence."""

from __future__ import annotations

import doctest
import math
import re
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import modelzoo
from modelzoo import conversion, registry, weights
from modelzoo.architectures import synthetic
from modelzoo.conversion import CONVERTERS, Converter, gluoncv, layouts, pairing
from modelzoo.errors import ConversionError
from modelzoo.formats import FORMATS, TensorInfo, Tensors, write_mxnet_params, write_tensorflow_checkpoint
from modelzoo.verification.comparison import synthetic_weights
from tests.conftest import ROOT

WITH_EXAMPLES = sorted(
    path.stem for path in (ROOT / "modelzoo" / "conversion").glob("*.py") if ">>>" in path.read_text("utf-8")
)
GLUON = registry.info("resnet18_v1b")  # the smallest
# Tencent's ResNet-50 with ten classes: the published 101 takes a quarter of a gigabyte.
TENCENT = registry.info("resnet101_mlimages")
TENCENT = replace(TENCENT, graph=replace(TENCENT.graph, variant="tencent_50", classes=10))
CONVERTED = [registry.info(key) for key in modelzoo.list_models() if registry.info(key).sources]


@pytest.fixture(scope="module")
def gluon_arrays():
    return upstream_arrays(GLUON)


def upstream_arrays(entry, converter: Converter | None = None) -> dict[str, np.ndarray]:
    """The synthetic weights as a source's program keeps them, by default the first source's."""
    converter = converter or conversion.converter_of(entry.sources[0])
    return converter.upstream_arrays(entry.graph.variant, synthetic_weights(entry))


def marks(shape: tuple[int, ...], start: int) -> np.ndarray:
    """A weight with another value at every place, and at the first one another than with another start."""
    return np.arange(start, start + math.prod(shape), dtype=np.uint32).reshape(shape).view(np.float32)


class Poured(Tensors):
    """A file that holds the marks of every weight, as the converter writes them, one at a time."""

    def __init__(self, converter: Converter, variant: str, shapes: Mapping[str, tuple[int, ...]]):
        self.converter, self.variant, self.shapes = converter, variant, shapes
        self.starts = {path: start for start, path in enumerate(shapes)}
        name_of = converter.upstream_names(variant, ())
        self.paths = {name_of(path): path for path in shapes}
        infos = {
            name: TensorInfo(converter.layout.upstream_shape(path, shapes[path]), np.dtype(np.float32))
            for name, path in self.paths.items()
        }
        super().__init__(Path("poured"), infos)

    def marks(self, path: str) -> np.ndarray:
        return marks(self.shapes[path], self.starts[path])

    def _read(self, name: str) -> np.ndarray:
        path = self.paths[name]
        ((found, array),) = self.converter.upstream_arrays(self.variant, {path: self.marks(path)}).items()
        assert found == name
        return array

    def close(self) -> None:
        pass


def assert_round_trip(converter: Converter, variant: str, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Our weights, as the source's program would write them, convert to the very same weights."""
    tensors = Poured(converter, variant, shapes)
    pairs = converter.pair(variant, shapes, tensors)
    assert list(pairs) == list(shapes)
    for path, array in converter.arrays(pairs, tensors):
        assert array.shape == shapes[path]
        assert np.array_equal(array.view(np.uint32), tensors.marks(path).view(np.uint32)), path


def write_params(path, arrays):
    return write_mxnet_params(path, arrays)[0]


def is_synthetic(path) -> bool:
    return all(
        np.array_equal(array, synthetic.array(name, array.shape)) for name, array in weights.read(path)
    )


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_of_the_name_maps_hold(name):
    result = doctest.testmod(import_module(f"modelzoo.conversion.{name}"))
    assert result.attempted > 0
    assert result.failed == 0


def test_every_naming_module_has_examples():
    naming = {converter.upstream_names.__module__.rpartition(".")[2] for converter in CONVERTERS.values()}
    assert naming <= set(WITH_EXAMPLES)


def test_the_registrys_converters_are_those_that_are_there():
    assert {source.converter for entry in CONVERTED for source in entry.sources} == CONVERTERS.keys()
    assert all(converter.name == name for name, converter in CONVERTERS.items())


WEIGHTS = {
    "stem_conv/kernel": (2, 3, 4, 5),
    "block1_depthwise/kernel": (2, 3, 4, 1),
    "logits/kernel": (10, 12),
    "logits/bias": (12,),
    "conv_2/kernel": (10, 12),
    "fc1/kernel": (7, 7, 3, 5),
    "fc2/kernel": (1, 1, 5, 4),
    "stem_bn/gamma": (120,),
}


@pytest.mark.parametrize("path", WEIGHTS)
@pytest.mark.parametrize("layout", layouts.LAYOUTS, ids=lambda layout: layout.name)
def test_the_layouts_are_inverse_to_each_other(layout, path):
    array = marks(WEIGHTS[path], 0)
    upstream = layout.to_upstream(path, array)
    assert upstream.shape == layout.upstream_shape(path, array.shape)
    assert np.array_equal(layout.to_keras(path, upstream), array)
    assert np.shares_memory(upstream, array)


@pytest.mark.parametrize(
    ("layout", "path", "shape"),
    [
        (layouts.KERAS, "logits/kernel", (10, 12)),
        (layouts.OIHW, "stem_conv/kernel", (5, 4, 2, 3)),
        (layouts.OIHW, "logits/kernel", (12, 10)),
        (layouts.DENSE_AS_CONV, "logits/kernel", (1, 1, 10, 12)),
        (layouts.DENSE_AS_CONV, "stem_conv/kernel", (2, 3, 4, 5)),
        (layouts.FLATTENED, "fc1/kernel", (7 * 7 * 3, 5)),
        (layouts.FLATTENED, "logits/kernel", (10, 12)),
    ],
)
def test_a_layout_has_the_upstreams_shape(layout, path, shape):
    assert layout.upstream_shape(path, WEIGHTS[path]) == shape


def test_the_logits_of_inception_are_dense_from_v4_on():
    found = {name: CONVERTERS[name].layout for name in ("slim.inception", "slim.inception_v4")}
    assert found == {"slim.inception": layouts.DENSE_AS_CONV, "slim.inception_v4": layouts.KERAS}


def test_converters_are_known_without_keras():
    code = "import sys, modelzoo.conversion; print(sorted({'keras', 'tensorflow'} & sys.modules.keys()))"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "[]"


def test_a_converter_is_a_value():
    assert len(set(CONVERTERS.values())) == len(CONVERTERS)


@pytest.mark.parametrize("entry", [GLUON, TENCENT], ids=lambda entry: entry.key)
def test_our_weights_come_back_from_where_the_source_keeps_them(entry):
    """The smallest ones; test_every_model asserts it of every network."""
    for source in entry.sources:
        shapes = conversion.weight_shapes(entry)
        assert_round_trip(conversion.converter_of(source), entry.graph.variant, shapes)


def test_a_converter_of_another_network_has_no_names_for_ours():
    with pytest.raises(ConversionError, match="Layer 'stem_conv' has no upstream name"):
        CONVERTERS["slim.inception"].upstream_names("v1", ())("stem_conv/kernel")


def test_a_gluon_file_converts_to_the_arrays_that_are_in_it(gluon_arrays, tmp_path):
    provenance = conversion.convert(
        GLUON, write_params(tmp_path / "a.params", gluon_arrays), tmp_path / "out.h5"
    )
    assert provenance["tensors"] == len(gluon_arrays) == 102
    assert provenance["verified"] == []
    assert is_synthetic(tmp_path / "out.h5")


def test_a_gluon_export_converts_to_the_same_bytes(gluon_arrays, tmp_path):
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
        ConversionError, match=r"not the official file of resnet18_v1b.gluon: expected sha1 2d9d980c"
    ):
        conversion.convert(GLUON, source, tmp_path / "out.h5", official=True)


def test_the_provenance_names_the_checksums_that_fit(gluon_arrays, tmp_path):
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
    "missing": (
        without("bn1.gamma"),
        r"expected 102 tensors, found 101; missing: bn1\.gamma\. Check that it is the file of resnet18_v1b"
        r"\.gluon\.$",
    ),
    "renamed": (
        lambda a: without("bn1.gamma")(a) | {"bn1.gama": a["bn1.gamma"]},
        r"expected 102 tensors, found 101; missing: bn1\.gamma; unexpected: bn1\.gama",
    ),
    "left over": (
        changed("bn9.gamma", np.zeros(1, np.float32)),
        r"expected 102 tensors, found 102; unexpected: bn9\.gamma",
    ),
    "another shape": (
        changed("fc.bias", np.zeros(10, np.float32)),
        r"Expected shape \(1000,\) for logits/bias, got \(10,\) in fc\.bias\. Check that it is the file of",
    ),
    "not finite": (
        changed("fc.bias", np.full(1000, np.nan, np.float32)),
        r"fc\.bias in .*a\.params holds values that are not finite: the file is damaged, or its training",
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
    doubles = {name: array.astype(np.float64) for name, array in gluon_arrays.items()}
    with pytest.raises(ConversionError, match=r"Expected float32 or float16 for .*, got float64 in"):
        conversion.convert(GLUON, write_params(tmp_path / "a.params", doubles), tmp_path / "out.h5")


def test_the_file_of_another_depth_is_refused(gluon_arrays, tmp_path):
    source = write_params(tmp_path / "a.params", gluon_arrays)
    with pytest.raises(
        ConversionError, match=r"do not pair with the architecture: expected 182 tensors, found 102"
    ):
        conversion.convert(registry.info("resnet34_v1b"), source, tmp_path / "out.h5")


@pytest.fixture(scope="module")
def tencent_checkpoint(tmp_path_factory):
    """A checkpoint as Tencent's training leaves it: the weights, the step, and the optimizer's momentum."""
    arrays = upstream_arrays(TENCENT)
    momentum = {"logits/dense/kernel/Momentum": arrays["logits/dense/kernel"], "global_step": np.array(7)}
    return save_checkpoint(tmp_path_factory.mktemp("tencent") / "model.ckpt", arrays | momentum)


def save_checkpoint(prefix, arrays):
    write_tensorflow_checkpoint(prefix, arrays)
    return prefix


def test_a_tencent_checkpoint_converts_to_the_arrays_that_are_in_it(tencent_checkpoint, tmp_path):
    provenance = conversion.convert(TENCENT, tencent_checkpoint, tmp_path / "out.h5")
    assert provenance["tensors"] == 267
    assert [part["name"] for part in provenance["source"]] == [
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
    with pytest.raises(ConversionError, match="unexpected: logits/dense/extra"):
        conversion.convert(TENCENT, save_checkpoint(tmp_path / "model.ckpt", arrays), tmp_path / "out.h5")


@pytest.mark.parametrize("entry", CONVERTED, ids=lambda entry: entry.key)
def test_the_sources_of_a_model_can_be_told_apart(entry):
    formats = [source.format for source in entry.sources]
    assert len(set(formats)) == len(formats)
    assert set(formats) <= FORMATS.keys()


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
    exported = ["resnetv1c_conv0_weight", "resnetv1c_down1_conv0_weight"]
    assert gluoncv.upstream_names("50_v1c", exported)("stem_conv1/kernel") in exported
    assert gluoncv.upstream_names("50_v1d", exported)("stem_conv1/kernel") not in exported
