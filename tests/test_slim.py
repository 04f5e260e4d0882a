"""TF-slim's files: the name maps, and which copy of a variable a MobileNet checkpoint gives."""

from __future__ import annotations

import tarfile

import numpy as np
import pytest

import modelzoo
from modelzoo import conversion, registry, weights
from modelzoo.architectures import synthetic
from modelzoo.conversion.averages import SUFFIX
from modelzoo.errors import ConversionError
from modelzoo.formats import write_tensorflow_checkpoint
from modelzoo.verification import comparison, originals
from tests.test_conversion import upstream_arrays

MODEL = "mobilenet_v1_0.25_128.slim"  # the smallest
STEM = "MobilenetV1/Conv2d_0/weights"
CANDIDATES = registry.current().entries.values()


@pytest.fixture(scope="module")
def entry():
    return registry.info(MODEL)


@pytest.fixture(scope="module")
def plain(entry):
    return upstream_arrays(entry)


@pytest.fixture(scope="module")
def trained(plain):
    """What training leaves: averages (here the synthetic weights), the last values, slots and a step."""
    arrays = {"global_step": np.array(7)}
    for name, array in plain.items():
        arrays[name + SUFFIX] = array
        arrays[name] = array + 1
        if "moving_" not in name:
            arrays |= {f"{name}/RMSProp": array + 2, f"{name}/RMSProp_1": array + 3}
    return arrays


@pytest.fixture(scope="module")
def checkpoint(trained, tmp_path_factory):
    return save(tmp_path_factory.mktemp("slim") / "mobilenet_v1_0.25_128.ckpt", trained)


@pytest.fixture(scope="module")
def converted(entry, checkpoint, tmp_path_factory):
    target = tmp_path_factory.mktemp("converted") / f"{MODEL}.h5"
    conversion.convert(entry, checkpoint, target)
    return target


def save(prefix, arrays):
    write_tensorflow_checkpoint(prefix, arrays)
    return prefix


def different(path, offset=lambda name: 0) -> list[str]:
    """The weights of the file that are not the synthetic ones, plus an offset."""
    expected = synthetic.values_of(registry.info(MODEL).graph)
    return [
        name
        for name, array in weights.read(path)
        if not np.array_equal(array, expected(name, array.shape) + np.float32(offset(name)))
    ]


def test_a_checkpoint_converts_to_its_averages(converted, plain):
    assert different(converted) == []
    assert weights.provenance(converted)["tensors"] == len(plain) == 137


def test_the_converted_file_gives_the_original_programs_numbers(entry, converted):
    figures = comparison.compare(entry, originals.outputs(entry), weights=converted)
    assert figures["argmax_equal"]
    assert figures["logits_std"] > 0.1
    assert comparison.worst(figures) <= comparison.limit(entry)


@pytest.mark.parametrize("top", [True, False])
def test_the_converted_file_loads(converted, top):
    model = modelzoo.load(MODEL, weights=converted, include_top=top)
    assert model.output_shape == ((None, 1001) if top else (None, 4, 4, 256))


def test_an_archive_as_published_converts(entry, checkpoint, tmp_path):
    with tarfile.open(tmp_path / "mobilenet_v1_0.25_128.tgz", "w:gz") as archive:
        archive.add(checkpoint.parent, ".")  # with a member "./", as the upstream's
    conversion.convert(entry, tmp_path / "mobilenet_v1_0.25_128.tgz", tmp_path / "out.h5")
    assert different(tmp_path / "out.h5") == []


def test_a_checkpoint_without_averages_gives_its_plain_weights(entry, plain, tmp_path):
    conversion.convert(entry, save(tmp_path / "model.ckpt", plain), tmp_path / "out.h5")
    assert different(tmp_path / "out.h5") == []


def test_where_only_trained_weights_are_averaged_the_statistics_are_the_plain_ones(entry, trained, tmp_path):
    arrays = {
        name: array for name, array in trained.items() if not ("moving_" in name and name.endswith(SUFFIX))
    }
    conversion.convert(entry, save(tmp_path / "model.ckpt", arrays), tmp_path / "out.h5")
    assert different(tmp_path / "out.h5", lambda name: "moving_" in name) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda arrays: {n: a for n, a in arrays.items() if n != STEM + SUFFIX},
            "expected 137 tensors, found 136; missing: MobilenetV1/Conv2d_0/weights/ExponentialMovingAverage",
        ),
        (
            lambda arrays: arrays | {"MobilenetV1/Conv2d_14_pointwise/weights": arrays[STEM]},
            "expected 137 tensors, found 137; unexpected: MobilenetV1/Conv2d_14_pointwise/weights",
        ),
    ],
    ids=["an average missing", "a layer beyond the network"],
)
def test_a_checkpoint_that_does_not_pair_is_refused(entry, trained, change, message, tmp_path):
    with pytest.raises(ConversionError, match=message):
        conversion.convert(entry, save(tmp_path / "model.ckpt", change(trained)), tmp_path / "out.h5")


def test_the_checkpoint_of_another_width_is_refused(checkpoint, tmp_path):
    wider = registry.info("mobilenet_v1_0.5_160.slim")
    with pytest.raises(ConversionError, match=r"It seems to be the file of mobilenet_v1_0\.25_128\.slim"):
        conversion.convert(wider, checkpoint, tmp_path / "out.h5", candidates=CANDIDATES)


def test_the_checkpoint_of_the_other_version_is_refused(checkpoint, tmp_path):
    message = r"architecture: expected 262 tensors, found 0; .* It seems to be .*mobilenet_v1_0\.25_128"
    other = registry.info("mobilenet_v2_1.0_224.slim")
    with pytest.raises(ConversionError, match=message):
        conversion.convert(other, checkpoint, tmp_path / "out.h5", candidates=CANDIDATES)


@pytest.mark.parametrize("names", [str, lambda name: name + SUFFIX], ids=["raw", "averages"])
def test_a_checkpoint_of_one_copy_is_recognized(names, plain, tmp_path):
    checkpoint = save(tmp_path / "model.ckpt", {names(name): array for name, array in plain.items()})
    assert [entry.key for entry in conversion.by_tensors(checkpoint, CANDIDATES)] == [MODEL]


def test_a_checkpoint_with_both_copies_is_recognized(checkpoint):
    assert [entry.key for entry in conversion.by_tensors(checkpoint, CANDIDATES)] == [MODEL]


def test_without_candidates_a_file_that_does_not_pair_is_to_be_checked(checkpoint, tmp_path):
    message = r"Check that it is the file of mobilenet_v2_1\.0_224\.slim\.$"
    with pytest.raises(ConversionError, match=message):
        conversion.convert(registry.info("mobilenet_v2_1.0_224.slim"), checkpoint, tmp_path / "out.h5")
