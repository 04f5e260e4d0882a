"""The Hugging Face hub's copies of GluonCV's weights: other files, and the very same arrays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import modelzoo
from modelzoo import conversion, registry, weights
from modelzoo.architectures import synthetic
from modelzoo.conversion import CONVERTERS, timm
from modelzoo.errors import ConversionError
from modelzoo.formats import write_safetensors
from tests.test_conversion import GLUON, assert_round_trip, is_synthetic, upstream_arrays, write_params

# Basic blocks and a plain stem; bottlenecks, a deep stem and pooled shortcuts with ten classes.
GLUON_D = registry.info("resnet50_v1d")
SMALL = (GLUON, replace(GLUON_D, graph=replace(GLUON_D.graph, classes=10)))
COUNTER = "bn1.num_batches_tracked"  # what a PyTorch file has beyond the weights


def write_hub_file(path, entry):
    arrays = upstream_arrays(entry, CONVERTERS["timm"]) | {COUNTER: np.array(7)}
    return write_safetensors(path, arrays)[0]


@pytest.fixture(scope="module")
def resnet18(tmp_path_factory):
    return write_hub_file(tmp_path_factory.mktemp("timm") / "model.safetensors", GLUON)


@pytest.mark.parametrize("key", modelzoo.list_models(tag="gluon"))
def test_a_weight_is_read_from_the_same_place_of_either_file(key):
    entry = registry.info(key)
    assert [source.converter for source in entry.sources] == ["gluoncv", "timm"]
    for source in entry.sources:
        shapes = conversion.weight_shapes(entry)
        assert_round_trip(conversion.converter_of(source), entry.graph.variant, shapes)


@pytest.mark.parametrize("entry", SMALL, ids=lambda entry: entry.key)
def test_both_files_convert_to_the_same_bytes(entry, tmp_path):
    files = {
        "gluon": write_params(tmp_path / "a.params", upstream_arrays(entry)),
        "timm": write_hub_file(tmp_path / "model.safetensors", entry),
    }
    converted = {}
    for name, file in files.items():
        conversion.convert(entry, file, tmp_path / f"{name}.h5")
        converted[name] = {
            path: (array.dtype, array.shape, array.tobytes())
            for path, array in weights.read(tmp_path / f"{name}.h5")
        }
    assert converted["timm"] == converted["gluon"]
    assert is_synthetic(tmp_path / "timm.h5")


def test_a_safetensors_file_is_known_by_its_content_not_by_its_name(resnet18, tmp_path):
    (tmp_path / "blob").write_bytes(resnet18.read_bytes())
    provenance = conversion.convert(GLUON, tmp_path / "blob", tmp_path / "out.h5", official=True)
    assert (provenance["converter"], provenance["verified"], provenance["tensors"]) == ("timm 1", [], 102)


def test_the_mirror_of_every_gluon_model_is_the_hubs_file_under_timms_name():
    mirrors = {key: registry.info(key).sources[-1] for key in modelzoo.list_models(tag="gluon")}
    assert len(mirrors) == 14
    for key, mirror in mirrors.items():
        depth, letter = key.removeprefix("resnet").removesuffix(".gluon").split("_v1")
        name = f"resnet{depth}{letter.replace('b', '')}.gluon_in1k"  # timm's plain resnet is GluonCV's v1b
        assert mirror.urls == (f"https://huggingface.co/timm/{name}/resolve/main/model.safetensors",)


def test_a_file_of_no_known_format_is_refused(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"something else")
    with pytest.raises(ConversionError, match=r"a\.bin is no file that .*: expected an MXNet .*or a saf"):
        conversion.convert(GLUON, tmp_path / "a.bin", tmp_path / "out.h5")


def test_a_safetensors_file_truncated_anywhere_is_refused_in_one_sentence(resnet18, tmp_path):
    content = resnet18.read_bytes()
    for length in (0, 7, 8, 30, 1000, len(content) // 2, len(content) - 1):
        (tmp_path / "cut.safetensors").write_bytes(content[:length])
        with pytest.raises(ConversionError, match=r"^[^\n]*cut\.safetensors[^\n]*\.$"):
            conversion.convert(GLUON, tmp_path / "cut.safetensors", tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


def test_the_safetensors_file_of_another_depth_is_refused(resnet18, tmp_path):
    with pytest.raises(ConversionError, match="expected 182 tensors, found 102; missing: layer1"):
        conversion.convert(registry.info("resnet34_v1b"), resnet18, tmp_path / "out.h5")


def test_the_names_of_v1c_are_not_those_of_v1d():
    paths = ["stage1_block1_shortcut_conv/kernel", "stage1_block1_shortcut_bn/gamma"]
    names = {variant: [timm.timm_name(path, variant) for path in paths] for variant in ("50_v1c", "50_v1d")}
    assert names["50_v1c"] == ["layer1.0.downsample.0.weight", "layer1.0.downsample.1.weight"]
    assert names["50_v1d"] == ["layer1.0.downsample.1.weight", "layer1.0.downsample.2.weight"]


def test_half_precision_converts_to_the_same_values(tmp_path):
    arrays = upstream_arrays(GLUON, CONVERTERS["timm"])
    halves = {name: array.astype(np.float16) for name, array in arrays.items()}
    write_safetensors(tmp_path / "half.safetensors", halves)
    conversion.convert(GLUON, tmp_path / "half.safetensors", tmp_path / "out.h5")
    array = synthetic.values_of(GLUON.graph)
    for path, values in weights.read(tmp_path / "out.h5"):
        assert values.dtype == np.float32
        assert np.array_equal(values, array(path, values.shape).astype(np.float16)), path
