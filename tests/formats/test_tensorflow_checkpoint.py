"""TensorFlow checkpoints: what is found and read, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from modelzoo.errors import ConversionError
from modelzoo.formats import TensorInfo, read_tensorflow_checkpoint, write_tensorflow_checkpoint
from tests.formats.files import SHARD, VARIABLES, float32_file


@pytest.fixture
def checkpoint(checkpoints, tmp_path):
    """Copies one of the checkpoints, under any name, into a folder of the test."""

    def copy(version: int, to: str = "model.ckpt") -> Path:
        target = tmp_path / to
        target.parent.mkdir(parents=True, exist_ok=True)
        for ending in ("", ".index", SHARD):
            source = checkpoints / f"v{version}.ckpt{ending}"
            if source.exists():
                target.with_name(target.name + ending).write_bytes(source.read_bytes())
        return target

    return copy


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("name", VARIABLES)
def test_a_checkpoint_gives_the_variables_that_were_saved(checkpoints, version, name):
    with read_tensorflow_checkpoint(checkpoints / f"v{version}.ckpt") as tensors:
        np.testing.assert_array_equal(tensors.read(name), np.asarray(VARIABLES[name]), strict=True)


@pytest.mark.parametrize("version", [1, 2])
def test_a_checkpoint_declares_shapes_and_types(checkpoints, version):
    expected = {
        name: TensorInfo(np.shape(value), np.asarray(value).dtype) for name, value in VARIABLES.items()
    }
    with read_tensorflow_checkpoint(checkpoints / f"v{version}.ckpt") as tensors:
        assert dict(tensors) == expected


WRITTEN = VARIABLES | {
    "scalar": np.float64(2.5),
    "empty": np.zeros((2, 0, 3), np.float32),
    "flags": np.array([True, False]),
    "halves": np.float16([1.5]),
    "transposed": np.arange(6, dtype=np.int32).reshape(2, 3).T,
    "big-endian": np.array([1, 2], ">u2"),
    "ä/b": np.int8([-1]),
}
# More than one block of names: both write the same ones.
MANY = {
    f"layer{number:04}/weights/ExponentialMovingAverage/{'x' * 60}": np.float32([number])
    for number in range(5000)
}


def save_sorted(tensorflow, prefix: Path, arrays) -> Path:
    arrays = dict(sorted(arrays.items()))  # TensorFlow's values follow each other in the order given
    tensorflow.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(arrays),
        shape_and_slices=[""] * len(arrays),
        tensors=[np.asarray(array, np.asarray(array).dtype.newbyteorder("=")) for array in arrays.values()],
    )
    return prefix


@pytest.mark.parametrize("arrays", [WRITTEN, MANY], ids=["every type", "many"])
def test_what_is_written_has_the_bytes_that_tensorflow_writes(tensorflow, arrays, tmp_path):
    theirs = save_sorted(tensorflow, tmp_path / "theirs", arrays)
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    written = write_tensorflow_checkpoint(tmp_path / "ours", arrays)
    assert written == [tmp_path / f"ours{SHARD}", tmp_path / "ours.index"]
    for path in written:
        assert path.read_bytes() == theirs.with_name(path.name.replace("ours", "theirs")).read_bytes()


def test_tensorflow_reads_what_is_written(tensorflow, tmp_path):
    arrays = {name: np.asarray(array) for name, array in WRITTEN.items()}
    write_tensorflow_checkpoint(tmp_path / "model.ckpt", arrays)
    reader = tensorflow.train.load_checkpoint(str(tmp_path / "model.ckpt"))
    assert set(reader.get_variable_to_shape_map()) == set(arrays)
    for name, array in arrays.items():
        found = reader.get_tensor(name)
        np.testing.assert_array_equal(found, array.astype(array.dtype.newbyteorder("=")), strict=True)


def test_bfloat16_variables_come_back_as_float32(tensorflow, tmp_path):
    tensorflow.raw_ops.SaveV2(
        prefix=str(tmp_path / "model"),
        tensor_names=["a"],
        shape_and_slices=[""],
        tensors=[tensorflow.constant([1.5, -2.0], tensorflow.bfloat16)],
    )
    with read_tensorflow_checkpoint(tmp_path / "model") as tensors:
        np.testing.assert_array_equal(tensors.read("a"), np.float32([1.5, -2.0]), strict=True)


@pytest.mark.parametrize(("version", "ending"), [(1, ""), (2, ""), (2, ".index"), (2, SHARD), (2, ".meta")])
def test_a_checkpoint_is_found_by_its_prefix_or_any_of_its_files(checkpoints, version, ending):
    with read_tensorflow_checkpoint(checkpoints / f"v{version}.ckpt{ending}") as tensors:
        assert len(tensors) == len(VARIABLES)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("name", ["model.ckpt-600000", "sub/model.ckpt"])
def test_a_folder_stands_for_the_one_checkpoint_in_it(checkpoint, tmp_path, version, name):
    prefix = checkpoint(version, name)
    (tmp_path / "readme.txt").write_text("not a checkpoint")
    with read_tensorflow_checkpoint(tmp_path) as tensors:
        assert tensors.path == prefix


def test_a_folder_with_several_checkpoints_is_refused_with_their_names(checkpoint, tmp_path):
    checkpoint(1, "sub/one.ckpt"), checkpoint(2, "sub/two.ckpt")
    with pytest.raises(ConversionError, match=r"more than one .*sub/one\.ckpt, sub/two\.ckpt"):
        read_tensorflow_checkpoint(tmp_path)


@pytest.mark.parametrize("written", ["/home/other/two.ckpt", "two.ckpt", "C:\\\\runs\\\\two.ckpt"])
def test_the_state_file_chooses_among_checkpoints_by_base_name(checkpoint, tmp_path, written):
    checkpoint(1, "one.ckpt")
    prefix = checkpoint(2, "two.ckpt")
    (tmp_path / "checkpoint").write_text(
        f'model_checkpoint_path: "{written}"\nall_model_checkpoint_paths: "/home/other/one.ckpt"\n'
    )
    with read_tensorflow_checkpoint(tmp_path) as tensors:
        assert tensors.path == prefix


def test_a_state_file_that_names_an_absent_checkpoint_is_refused(checkpoint, tmp_path):
    checkpoint(1, "one.ckpt")
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/elsewhere/model.ckpt-9"\n')
    with pytest.raises(ConversionError, match=r"no TensorFlow checkpoint .*model\.ckpt-9"):
        read_tensorflow_checkpoint(tmp_path)


def test_a_folder_without_checkpoint_is_refused(tmp_path):
    with pytest.raises(ConversionError, match="There is no TensorFlow checkpoint in"):
        read_tensorflow_checkpoint(tmp_path)


def test_an_absent_checkpoint_is_refused(tmp_path):
    with pytest.raises(ConversionError, match=r"neither that file nor model\.ckpt\.index exists"):
        read_tensorflow_checkpoint(tmp_path / "absent" / "model.ckpt")


def test_a_missing_index_is_refused_by_name(checkpoint):
    prefix = checkpoint(2)
    prefix.with_name("model.ckpt.index").unlink()
    with pytest.raises(ConversionError, match=r"no model\.ckpt\.index"):
        read_tensorflow_checkpoint(prefix)


def test_a_missing_data_file_is_refused_by_name(checkpoint):
    prefix = checkpoint(2)
    prefix.with_name(prefix.name + SHARD).rename(prefix.with_name("model.ckpt.data-00000-of-00002"))
    with pytest.raises(ConversionError, match=r"is missing model\.ckpt\.data-00001-of-00002;"):
        read_tensorflow_checkpoint(prefix)


def read_all(prefix: Path) -> None:
    with read_tensorflow_checkpoint(prefix) as tensors:
        for name in tensors:
            tensors.read(name)


def damaged(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    if how == "truncated":
        del content[middle:]
    else:
        content[middle] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["truncated", "flipped"])
@pytest.mark.parametrize(("version", "ending"), [(1, ""), (2, ".index"), (2, SHARD)])
def test_a_damaged_checkpoint_is_refused_in_one_line(checkpoint, version, ending, how):
    prefix = checkpoint(version)
    damaged(prefix.with_name(prefix.name + ending), how)
    with pytest.raises(ConversionError, match=r"^[^\n]+\.$"):
        read_all(prefix)


def test_a_path_that_looks_like_a_pattern_is_a_path(checkpoint):
    with read_tensorflow_checkpoint(checkpoint(2, "runs[1]/model.ckpt")) as tensors:
        assert set(tensors) == set(VARIABLES)


def test_another_kind_of_file_is_no_checkpoint(params):
    with pytest.raises(ConversionError, match="does not end as a TensorFlow checkpoint does"):
        read_tensorflow_checkpoint(params(float32_file("a")))
