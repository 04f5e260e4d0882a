"""Whatever is written is read back the same, and equal arrays give equal bytes: for every format."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modelzoo.errors import ConversionError
from modelzoo.formats import FORMATS, torch_writing
from modelzoo.formats.mxnet_params import MODULE_PREFIX
from modelzoo.formats.tensors import DTYPES, MAX_NAME_BYTES, MAX_TENSORS

# The same cases each time: a run of the suite is no lottery, fuzzing is (tests/fuzz).
PROFILE = settings(derandomize=True, database=None, deadline=None, max_examples=60)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
LAYERS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=12)
LAYERS = LAYERS.filter(lambda layer: layer not in (".", "model_weights"))
NAMES = {
    "tensorflow": TEXT,
    "mxnet": TEXT.filter(lambda name: not MODULE_PREFIX.match(name)),  # which reading drops
    "keras_h5": st.builds("{}/{}".format, LAYERS, st.sampled_from(["kernel", "bias", "moving_mean"])),
    "safetensors": TEXT.filter(lambda name: name != "__metadata__"),
    "torch": TEXT,
    "darknet": TEXT,
}
HELD = {
    "darknet": [np.dtype("<f4")],
    "torch": list(torch_writing.NAMES),
}  # by those that hold not all of DTYPES
ORDERED = (
    "mxnet",
    "keras_h5",
    "darknet",
    "torch",
)  # formats in which the order of the arrays is part of the contents


def arrays_of(format: str) -> st.SearchStrategy[dict[str, np.ndarray]]:
    dtypes = sorted(HELD.get(format, DTYPES), key=str)
    shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)
    array = st.sampled_from(dtypes).flatmap(lambda dtype: hnp.arrays(dtype, shapes))
    return st.dictionaries(NAMES[format], array.map(np.asarray), max_size=5)


def write(format: str, path: Path, arrays: dict[str, np.ndarray]) -> list[Path]:
    return FORMATS[format].write(path, arrays, *([plan_of(arrays)] if FORMATS[format].planned else []))


def plan_of(arrays: dict[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in arrays.items()}


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_written_is_read_back(format):
    @settings(PROFILE)
    @given(arrays_of(format))
    def check(arrays):
        with tempfile.TemporaryDirectory() as folder:
            written = write(format, Path(folder, "model"), arrays)
            assert sorted(written) == sorted(Path(folder).iterdir())
            planned = [plan_of(arrays), {}] if FORMATS[format].planned else []
            with FORMATS[format].read(Path(folder, "model"), *planned) as tensors:
                assert set(tensors) == set(arrays)
                for name, array in arrays.items():
                    found = tensors.read(name)
                    assert (found.shape, found.dtype) == (array.shape, array.dtype)
                    assert (tensors[name].shape, tensors[name].dtype) == (array.shape, array.dtype)
                    assert found.tobytes() == array.tobytes()  # also what a NaN carries

    check()


@pytest.mark.parametrize("format", FORMATS)
def test_equal_arrays_give_equal_bytes(format):
    """In whatever memory order or byte order they are; and where names are sorted, in whatever order."""

    @settings(PROFILE)
    @given(arrays_of(format))
    def check(arrays):
        again = {
            name: np.asfortranarray(array).astype(array.dtype.newbyteorder(">"))
            if array.ndim
            else array.copy()
            for name, array in arrays.items()
        }
        if format not in ORDERED:
            again = dict(reversed(again.items()))
        with tempfile.TemporaryDirectory() as folder:
            one = write(format, Path(folder, "one"), arrays)
            two = write(format, Path(folder, "two"), again)
            assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]

    check()


@pytest.mark.parametrize(
    "values", [np.zeros(2, complex), np.array(["x"]), np.array([None])], ids=lambda v: str(v.dtype)
)
@pytest.mark.parametrize("format", FORMATS)
def test_a_dtype_that_the_format_cannot_hold_is_refused_and_nothing_written(format, values, tmp_path):
    with pytest.raises(ConversionError, match=rf"'a/b' cannot be written into .* got {values.dtype}\.$"):
        write(format, tmp_path / "model", {"a/b": values})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name", ["", "x" * (MAX_NAME_BYTES + 1), "\ud800"], ids=["empty", "long", "a surrogate"]
)
@pytest.mark.parametrize("format", sorted(FORMATS.keys() - {"darknet"}))
def test_a_name_that_could_not_be_read_back_is_refused_and_nothing_written(format, name, tmp_path):
    with pytest.raises(ConversionError, match=r"^Expected names of 1 to 4096 bytes in UTF-8 .*\.$"):
        write(format, tmp_path / "model", {name: np.float32([1])})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", sorted(FORMATS.keys() - {"darknet"}))
def test_more_arrays_than_are_read_are_refused(format, tmp_path):
    array = np.float32([1])
    with pytest.raises(
        ConversionError, match=rf"^Expected at most {MAX_TENSORS} tensors .* got {MAX_TENSORS + 1}\.$"
    ):
        write(format, tmp_path / "model", {f"a{number}/b": array for number in range(MAX_TENSORS + 1)})


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize("format", FORMATS)
def test_a_file_is_as_readable_as_any_other(format, tmp_path):
    (tmp_path / "other").touch()
    for path in write(format, tmp_path / "model", {"a/b": np.float32([1])}):
        assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_that_fails_to_be_written_leaves_the_old_one(format, tmp_path):
    arrays = {"a/b": np.float32([1])}
    written = {path: path.read_bytes() for path in write(format, tmp_path / "model", arrays)}
    with pytest.raises(ConversionError):
        write(format, tmp_path / "model", arrays | {"c/d": np.zeros(2, complex)})
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == written
