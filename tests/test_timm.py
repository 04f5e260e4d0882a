"""The Hugging Face hub's copies of GluonCV's weights: other files, and the very same arrays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

import modelzoo
from modelzoo import conversion, registry, synthetic, weights
from modelzoo.conversion import gluoncv, pairing, timm
from modelzoo.errors import ConversionError
from tests.test_conversion import GLUON, is_synthetic, upstream_arrays, write_params

# Basic blocks and a plain stem; bottlenecks, a deep stem and pooled shortcuts with ten classes.
GLUON_D = registry.info("resnet50_v1d")
SMALL = (GLUON, replace(GLUON_D, graph=replace(GLUON_D.graph, classes=10)))
COUNTER = "bn1.num_batches_tracked"  # what a PyTorch file has beyond the weights


def write_safetensors(path, entry):
    save_file(conversion.upstream_arrays(entry, timm, synthetic.array) | {COUNTER: np.array(7)}, path)
    return path


@pytest.fixture(scope="module")
def resnet18(tmp_path_factory):
    return write_safetensors(tmp_path_factory.mktemp("timm") / "model.safetensors", GLUON)


@pytest.mark.parametrize("key", modelzoo.list_models(tag="gluon"))
def test_a_weight_is_read_from_the_same_place_of_either_file(key):
    """Each tensor holds its own number, everywhere, in no memory; pouring it through a map must find it."""
    entry = registry.info(key)
    shapes = conversion.weight_shapes(entry)
    marks = {path: np.broadcast_to(np.float32(i), shape) for i, (path, shape) in enumerate(shapes.items())}
    for family in (gluoncv, timm):
        name_of = family.naming(entry.graph.variant)
        tensors = {name_of(path): family.to_upstream(path, array) for path, array in marks.items()}
        pairs = pairing.pair(shapes, tensors, name_of, family.IGNORED)
        poured = {path: family.to_ours(path, tensors[name]) for path, name in pairs.items()}
        assert {path: array.shape for path, array in poured.items()} == shapes
        assert all(array.flat[0] == marks[path].flat[0] for path, array in poured.items())


@pytest.mark.parametrize("entry", SMALL, ids=lambda entry: entry.key)
def test_both_files_convert_to_the_same_bytes(entry, tmp_path):
    files = {
        "gluon": write_params(tmp_path / "a.params", upstream_arrays(entry)),
        "timm": write_safetensors(tmp_path / "model.safetensors", entry),
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
    receipt = conversion.convert(GLUON, tmp_path / "blob", tmp_path / "out.h5", official=True)
    assert (receipt["converter"], receipt["verified"], receipt["tensors"]) == ("timm 1", [], 102)


def test_the_mirror_of_every_gluon_model_is_the_hubs_file_under_timms_name():
    mirrors = {key: registry.info(key).sources[-1] for key in modelzoo.list_models(tag="gluon")}
    assert len(mirrors) == 14
    for key, mirror in mirrors.items():
        depth, letter = key.removeprefix("resnet").removesuffix(".gluon").split("_v1")
        name = f"resnet{depth}{letter.replace('b', '')}.gluon_in1k"  # timm's plain resnet is GluonCV's v1b
        assert mirror.urls == (f"https://huggingface.co/timm/{name}/resolve/main/model.safetensors",)


def test_a_file_of_no_known_format_is_refused(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"something else")
    with pytest.raises(ConversionError, match=r"no mxnet or safetensors file, .* at .*a\.bin"):
        conversion.convert(GLUON, tmp_path / "a.bin", tmp_path / "out.h5")


def test_a_safetensors_file_cut_anywhere_is_refused_in_one_sentence(resnet18, tmp_path):
    content = resnet18.read_bytes()
    for length in (0, 7, 8, 30, 1000, len(content) // 2, len(content) - 1):
        (tmp_path / "cut.safetensors").write_bytes(content[:length])
        with pytest.raises(ConversionError, match=r"^[^\n]*cut\.safetensors[^\n]*\.$"):
            conversion.convert(GLUON, tmp_path / "cut.safetensors", tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


def test_the_safetensors_file_of_another_depth_is_refused(resnet18, tmp_path):
    with pytest.raises(ConversionError, match="102 of 182 found; missing upstream: layer1"):
        conversion.convert(registry.info("resnet34_v1b"), resnet18, tmp_path / "out.h5")


def test_the_names_of_v1c_are_not_those_of_v1d():
    paths = ["stage1_block1_shortcut_conv/kernel", "stage1_block1_shortcut_bn/gamma"]
    names = {variant: [timm.timm_name(path, variant) for path in paths] for variant in ("50_v1c", "50_v1d")}
    assert names["50_v1c"] == ["layer1.0.downsample.0.weight", "layer1.0.downsample.1.weight"]
    assert names["50_v1d"] == ["layer1.0.downsample.1.weight", "layer1.0.downsample.2.weight"]


def test_half_precision_is_refused(tmp_path):
    arrays = conversion.upstream_arrays(GLUON, timm, synthetic.array)
    halves = {name: array.astype(np.float16) for name, array in arrays.items()}
    save_file(halves, tmp_path / "half.safetensors")
    with pytest.raises(ConversionError, match="is float16; float32 was wanted"):
        conversion.convert(GLUON, tmp_path / "half.safetensors", tmp_path / "out.h5")
