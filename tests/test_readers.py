"""Upstream weight files and archives: what is read, and what is refused."""

from __future__ import annotations

import gzip
import io
import os
import stat
import struct
import tarfile
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from modelzoo.conversion import archives, readers
from modelzoo.conversion.archives import unpacked
from modelzoo.conversion.readers import (
    READERS,
    RECOGNISERS,
    open_mxnet_params,
    open_safetensors,
    open_tensorflow_checkpoint,
)
from modelzoo.errors import ConversionError

SHARED = Path(__file__).parents[2] / "shared"
REAL_FILES = SHARED / "data" / "upstream_files"
needs_real_files = pytest.mark.skipif(
    not REAL_FILES.is_dir(), reason=f"{REAL_FILES} is absent: it holds the upstream files this test reads"
)

MEBIBYTE = 2**20
V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
FLOAT32, BFLOAT16 = 0, 12
TYPES = {
    0: np.float32,
    1: np.float64,
    2: np.float16,
    3: np.uint8,
    4: np.int32,
    5: np.int8,
    6: np.int64,
    7: np.bool_,
    8: np.int16,
    9: np.uint16,
    10: np.uint32,
    11: np.uint64,
}


def mxnet_array(
    values: np.ndarray, *, version: int | None = V2, type: int = FLOAT32, storage: int = 0
) -> bytes:
    """The bytes of one array as NDArray::Save writes them; version None is the oldest format."""
    shape = values.shape
    if version is None:
        head = struct.pack(f"<I{len(shape)}I", len(shape), *shape)
    else:
        head = struct.pack("<I", version)
        head += b"" if version == V1 else struct.pack("<i", storage)
        head += struct.pack(f"<i{len(shape)}q", len(shape), *shape)
    return head + struct.pack("<iii", 1, 0, type) + values.tobytes()


def mxnet_file(arrays: dict[str, bytes]) -> bytes:
    names = b"".join(struct.pack("<Q", len(name.encode())) + name.encode() for name in arrays)
    head = struct.pack("<QQQ", 0x112, 0, len(arrays))
    return head + b"".join(arrays.values()) + struct.pack("<Q", len(arrays)) + names


def float32_file(*names: str) -> bytes:
    return mxnet_file({name: mxnet_array(np.float32([[1, 2, 3]])) for name in names})


@pytest.fixture
def params(tmp_path):
    def write(content: bytes) -> Path:
        path = tmp_path / "net.params"
        path.write_bytes(content)
        return path

    return write


# MXNet .params


@pytest.mark.parametrize("type", TYPES)
def test_every_mxnet_element_type_comes_back_as_the_numpy_type(params, type):
    values = np.array([[0, 1, 2], [3, 100, 0]]).astype(TYPES[type])
    with open_mxnet_params(params(mxnet_file({"a": mxnet_array(values, type=type)}))) as tensors:
        np.testing.assert_array_equal(tensors.read("a"), values, strict=True)


@pytest.mark.parametrize("type", [*TYPES, BFLOAT16])
def test_the_declared_type_is_the_one_that_read_returns(params, type):
    values = np.zeros(3, TYPES.get(type, np.uint16))
    with open_mxnet_params(params(mxnet_file({"a": mxnet_array(values, type=type)}))) as tensors:
        assert tensors["a"].dtype == tensors.read("a").dtype


def test_bfloat16_comes_back_as_float32(params):
    halves = np.uint16(
        [0x0000, 0x3F8C, 0x400C, 0x4053, 0xFF80]
    )  # the first four are as MXNet 1.9.1 wrote them
    expected = np.float32([0, 1.09375, 2.1875, 3.296875, -np.inf])
    with open_mxnet_params(params(mxnet_file({"a": mxnet_array(halves, type=BFLOAT16)}))) as tensors:
        np.testing.assert_array_equal(tensors.read("a"), expected, strict=True)


@pytest.mark.parametrize("version", [None, V1, V2, V3])
def test_every_version_of_the_array_format_is_read(params, version):
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    content = mxnet_file(
        {"a": mxnet_array(values, version=version), "b": mxnet_array(-values, version=version)}
    )
    with open_mxnet_params(params(content)) as tensors:
        np.testing.assert_array_equal(tensors.read("b"), -values, strict=True)


@pytest.mark.parametrize("values", [np.float32(3), np.zeros((0, 2), np.float32)], ids=["scalar", "empty"])
def test_a_version_3_array_may_be_a_scalar_or_empty(params, values):
    with open_mxnet_params(params(mxnet_file({"a": mxnet_array(values, version=V3)}))) as tensors:
        assert tensors.read("a").shape == tensors["a"].shape == values.shape


def test_gluon_names_are_kept(params):
    with open_mxnet_params(params(float32_file("layer1.0.conv1.weight", "output.bias"))) as tensors:
        assert list(tensors) == ["layer1.0.conv1.weight", "output.bias"]


def test_the_prefixes_of_module_are_stripped(params):
    with open_mxnet_params(params(float32_file("arg:conv_weight", "aux:bn_moving_mean"))) as tensors:
        assert list(tensors) == ["conv_weight", "bn_moving_mean"]


def test_a_name_that_is_both_arg_and_aux_is_refused(params):
    with pytest.raises(ConversionError, match=r"more than one array, .* is named same"):
        open_mxnet_params(params(float32_file("arg:same", "arg:other", "aux:same")))


def test_a_params_file_cut_at_any_byte_is_refused(params):
    content = mxnet_file(
        {"arg:old": mxnet_array(np.float32([1]), version=None), "aux:new": mxnet_array(np.float32([[2]]))}
    )
    for length in range(len(content)):
        with pytest.raises(ConversionError, match=r"cannot be read as an MXNet .params file: .*cut off\.$"):
            open_mxnet_params(params(content[:length]))


def test_trailing_bytes_are_refused(params):
    with pytest.raises(ConversionError, match="1 bytes follow where it should end"):
        open_mxnet_params(params(float32_file("a") + b"\0"))


def terabytes(part: str) -> bytes:
    """A small file, one of whose lengths claims far more than there is."""
    head = struct.pack("<QQQ", 0x112, 0, 1)
    return {
        "shape": head + struct.pack("<Iii2qiii", V2, 0, 2, 2**40, 2**40, 1, 0, 0),
        "dimensions": head + struct.pack("<Iii", V2, 0, 2**31 - 1),
        "arrays": struct.pack("<QQQ", 0x112, 0, 2**64 - 1),
        "names": float32_file("a")[:-17] + struct.pack("<Q", 2**64 - 1),
        "name": float32_file("a")[:-9] + struct.pack("<Q", 2**62),
    }[part]


@pytest.mark.parametrize("part", ["shape", "dimensions", "arrays", "names", "name"])
def test_a_header_that_claims_terabytes_is_refused_in_little_memory(params, part):
    path = params(terabytes(part))
    tracemalloc.start()
    try:
        with pytest.raises(ConversionError):
            open_mxnet_params(path)
        assert tracemalloc.get_traced_memory()[1] < MEBIBYTE
    finally:
        tracemalloc.stop()


def test_opening_a_params_file_reads_no_values(tmp_path):
    path, values = tmp_path / "large.params", 2**28
    with path.open("wb") as file:  # a hole instead of values: the file takes no room
        file.write(
            struct.pack("<QQQ", 0x112, 0, 1) + struct.pack("<Iiiqiii", V2, 0, 1, values, 1, 0, FLOAT32)
        )
        file.seek(values * 4, os.SEEK_CUR)
        file.write(struct.pack("<QQ", 1, 1) + b"a")
    tracemalloc.start()
    try:
        with open_mxnet_params(path) as tensors:
            assert tensors["a"].shape == (values,)
        assert tracemalloc.get_traced_memory()[1] < MEBIBYTE
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("storage", "name"), [(1, "row_sparse"), (2, "csr"), (7, "unknown")])
def test_a_sparse_array_is_refused_by_the_name_of_its_storage(params, storage, name):
    content = mxnet_file({"a": mxnet_array(np.zeros(2, np.float32), storage=storage)})
    with pytest.raises(ConversionError, match=f"array 1 of 1 has the storage type {name}"):
        open_mxnet_params(params(content))


@pytest.mark.parametrize("version", [None, V1, V2])
def test_an_array_without_shape_is_refused(params, version):
    with pytest.raises(ConversionError, match="no shape"):
        open_mxnet_params(params(mxnet_file({"a": mxnet_array(np.float32(0), version=version)})))


def test_a_negative_side_is_refused(params):
    content = struct.pack("<QQQIiiqiii", 0x112, 0, 1, V2, 0, 1, -1, 1, 0, 0) + struct.pack("<QQ", 1, 1) + b"a"
    with pytest.raises(ConversionError, match=r"shape \(-1,\)"):
        open_mxnet_params(params(content))


def test_an_unknown_element_type_is_refused(params):
    with pytest.raises(ConversionError, match="element type 13"):
        open_mxnet_params(params(mxnet_file({"a": mxnet_array(np.zeros(2, np.float32), type=13)})))


def test_arrays_without_names_are_refused(params):
    content = struct.pack("<QQQ", 0x112, 0, 1) + mxnet_array(np.zeros(2, np.float32)) + struct.pack("<Q", 0)
    with pytest.raises(ConversionError, match="1 arrays and 0 names"):
        open_mxnet_params(params(content))


def test_a_file_of_another_kind_is_refused(params):
    with pytest.raises(ConversionError, match="should start with 0x112"):
        open_mxnet_params(params(b"\x89HDF\r\n\x1a\n" + bytes(100)))


def test_an_absent_params_file_is_refused(tmp_path):
    with pytest.raises(ConversionError, match="No such file"):
        open_mxnet_params(tmp_path / "absent.params")


def test_an_unknown_tensor_is_answered_with_the_names_most_like_it(params):
    with (
        open_mxnet_params(params(float32_file("conv1_weight"))) as tensors,
        pytest.raises(ConversionError, match=r"'conv_weight'.*'conv1_weight'"),
    ):
        tensors.read("conv_weight")


def test_a_closed_file_says_that_it_is_closed(params):
    with open_mxnet_params(params(float32_file("a"))) as tensors:
        pass
    with pytest.raises(ConversionError, match="is closed"):
        tensors.read("a")


def test_a_folder_stands_for_the_one_params_file_in_it(tmp_path):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "net.params").write_bytes(float32_file("a"))
    (tmp_path / "net" / "._net.params").write_bytes(b"a Mac's companion file")
    with open_mxnet_params(tmp_path) as tensors:
        assert tensors.path == tmp_path / "net" / "net.params"


@needs_real_files
@pytest.mark.parametrize(
    ("file", "count", "name", "shape", "first", "total"),
    [  # as MXNet 1.9.1 prints them: mx.nd.load(file)[name], its first two values and its sum
        ("det1-0001.params", 13, "conv1_weight", (10, 3, 3, 3), [-0.13688956, 0.01641168], 2.3487670375),
        ("det1-0001.params", 13, "prelu3_gamma", (32,), [0.05278217, -0.05109227], -0.1374060148),
        ("det2-0001.params", 16, "conv5_2_weight", (4, 128), [-0.13378619, -0.15335485], -0.0600924191),
        ("det2-0001.params", 16, "conv2_weight", (48, 28, 3, 3), [0.05701504, -0.08085082], -81.3515734078),
    ],
)
def test_a_real_params_file_holds_what_mxnet_reads_from_it(file, count, name, shape, first, total):
    with open_mxnet_params(REAL_FILES / file) as tensors:
        values = tensors.read(name)
    assert (len(tensors), values.shape) == (count, shape)
    np.testing.assert_allclose(
        [*values.ravel()[:2], values.sum(dtype=np.float64)], [*first, total], rtol=1e-6
    )


# TensorFlow checkpoints

SHARD = ".data-00000-of-00001"
VARIABLES = {
    "conv/weights": np.arange(60, dtype=np.float32).reshape(3, 20),
    "conv/biases": np.float32([0.5, -0.5]),
    "global_step": np.int64(7),
}


@pytest.fixture(scope="session")
def tensorflow():
    return pytest.importorskip("tensorflow")


@pytest.fixture(scope="session")
def checkpoints(tensorflow, tmp_path_factory) -> Path:
    """A folder with v1.ckpt and v2.ckpt, as TensorFlow writes them."""
    folder, tf1 = tmp_path_factory.mktemp("checkpoints"), tensorflow.compat.v1
    with tf1.Graph().as_default(), tf1.Session() as session:
        for name, value in VARIABLES.items():
            tf1.get_variable(name, initializer=value)
        session.run(tf1.global_variables_initializer())
        for version in (1, 2):
            tf1.train.Saver(write_version=version).save(
                session, str(folder / f"v{version}.ckpt"), latest_filename="checkpoint"
            )
    (folder / "checkpoint").unlink()
    return folder


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
    with open_tensorflow_checkpoint(checkpoints / f"v{version}.ckpt") as tensors:
        np.testing.assert_array_equal(tensors.read(name), np.asarray(VARIABLES[name]), strict=True)


@pytest.mark.parametrize("version", [1, 2])
def test_a_checkpoint_declares_shapes_and_types(checkpoints, version):
    expected = {
        name: readers.TensorInfo(np.shape(value), np.asarray(value).dtype)
        for name, value in VARIABLES.items()
    }
    with open_tensorflow_checkpoint(checkpoints / f"v{version}.ckpt") as tensors:
        assert dict(tensors) == expected


def test_bfloat16_variables_come_back_as_float32(tensorflow, tmp_path):
    tensorflow.raw_ops.SaveV2(
        prefix=str(tmp_path / "model"),
        tensor_names=["a"],
        shape_and_slices=[""],
        tensors=[tensorflow.constant([1.5, -2.0], tensorflow.bfloat16)],
    )
    with open_tensorflow_checkpoint(tmp_path / "model") as tensors:
        np.testing.assert_array_equal(tensors.read("a"), np.float32([1.5, -2.0]), strict=True)


@pytest.mark.parametrize(("version", "ending"), [(1, ""), (2, ""), (2, ".index"), (2, SHARD), (2, ".meta")])
def test_a_checkpoint_is_found_by_its_prefix_or_any_of_its_files(checkpoints, version, ending):
    with open_tensorflow_checkpoint(checkpoints / f"v{version}.ckpt{ending}") as tensors:
        assert len(tensors) == len(VARIABLES)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("name", ["model.ckpt-600000", "sub/model.ckpt"])
def test_a_folder_stands_for_the_one_checkpoint_in_it(checkpoint, tmp_path, version, name):
    prefix = checkpoint(version, name)
    (tmp_path / "readme.txt").write_text("not a checkpoint")
    with open_tensorflow_checkpoint(tmp_path) as tensors:
        assert tensors.path == prefix


def test_a_folder_with_several_checkpoints_is_refused_with_their_names(checkpoint, tmp_path):
    checkpoint(1, "sub/one.ckpt"), checkpoint(2, "sub/two.ckpt")
    with pytest.raises(ConversionError, match=r"more than one .*sub/one\.ckpt, sub/two\.ckpt"):
        open_tensorflow_checkpoint(tmp_path)


@pytest.mark.parametrize("written", ["/home/other/two.ckpt", "two.ckpt", "C:\\\\runs\\\\two.ckpt"])
def test_the_state_file_chooses_among_checkpoints_by_base_name(checkpoint, tmp_path, written):
    checkpoint(1, "one.ckpt")
    prefix = checkpoint(2, "two.ckpt")
    (tmp_path / "checkpoint").write_text(
        f'model_checkpoint_path: "{written}"\nall_model_checkpoint_paths: "/home/other/one.ckpt"\n'
    )
    with open_tensorflow_checkpoint(tmp_path) as tensors:
        assert tensors.path == prefix


def test_a_state_file_that_names_an_absent_checkpoint_is_refused(checkpoint, tmp_path):
    checkpoint(1, "one.ckpt")
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/elsewhere/model.ckpt-9"\n')
    with pytest.raises(ConversionError, match=r"no TensorFlow checkpoint .*model\.ckpt-9"):
        open_tensorflow_checkpoint(tmp_path)


def test_a_folder_without_checkpoint_is_refused(tmp_path):
    with pytest.raises(ConversionError, match="There is no TensorFlow checkpoint in"):
        open_tensorflow_checkpoint(tmp_path)


def test_an_absent_checkpoint_is_refused(tmp_path):
    with pytest.raises(ConversionError, match=r"neither that file nor model\.ckpt\.index exists"):
        open_tensorflow_checkpoint(tmp_path / "absent" / "model.ckpt")


def test_a_missing_index_is_refused_by_name(checkpoint):
    prefix = checkpoint(2)
    prefix.with_name("model.ckpt.index").unlink()
    with pytest.raises(ConversionError, match=r"no model\.ckpt\.index"):
        open_tensorflow_checkpoint(prefix)


def test_a_missing_data_file_is_refused_by_name(checkpoint):
    prefix = checkpoint(2)
    prefix.with_name(prefix.name + SHARD).rename(prefix.with_name("model.ckpt.data-00000-of-00002"))
    with pytest.raises(ConversionError, match=r"lacks model\.ckpt\.data-00001-of-00002;"):
        open_tensorflow_checkpoint(prefix)


def read_all(prefix: Path) -> None:
    with open_tensorflow_checkpoint(prefix) as tensors:
        for name in tensors:
            tensors.read(name)


def damaged(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    if how == "cut":
        del content[middle:]
    else:
        content[middle] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["cut", "flipped"])
@pytest.mark.parametrize(("version", "ending"), [(1, ""), (2, ".index"), (2, SHARD)])
def test_a_damaged_checkpoint_is_refused_in_one_line(checkpoint, version, ending, how):
    prefix = checkpoint(version)
    damaged(prefix.with_name(prefix.name + ending), how)
    with pytest.raises(ConversionError, match=r"^[^\n]+\.$"):
        read_all(prefix)


def test_a_path_that_tensorflow_takes_for_a_pattern_is_refused(checkpoint):
    with pytest.raises(ConversionError, match="pattern"):
        open_tensorflow_checkpoint(checkpoint(2, "runs[1]/model.ckpt"))


def test_another_kind_of_file_is_no_checkpoint(params):
    with pytest.raises(ConversionError, match="does not end as a TensorFlow checkpoint does"):
        open_tensorflow_checkpoint(params(float32_file("a")))


# safetensors


@pytest.fixture
def safetensors(tmp_path):
    arrays = {"a": np.float32([[1, 2, 3]]), "h": np.float16([4]), "count": np.array(5)}
    save_file(arrays, tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


def test_safetensors_come_back_with_their_shapes_and_types(safetensors):
    with open_safetensors(safetensors) as tensors:
        assert tensors["a"] == readers.TensorInfo((1, 3), np.dtype(np.float32))
        np.testing.assert_array_equal(tensors.read("a"), np.float32([[1, 2, 3]]), strict=True)
        np.testing.assert_array_equal(tensors.read("h"), np.float16([4]), strict=True)
        np.testing.assert_array_equal(tensors.read("count"), np.array(5), strict=True)


def test_a_folder_with_one_safetensors_file_is_read(safetensors):
    with open_safetensors(safetensors.parent) as tensors:
        assert set(tensors) == {"a", "h", "count"}


def test_a_closed_safetensors_file_says_so(safetensors):
    with open_safetensors(safetensors) as tensors:
        pass
    with pytest.raises(ConversionError, match=r"net\.safetensors is closed"):
        tensors.read("a")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:-1], "file not fully covered; the file may be damaged"),
        (lambda content: content + b"x", "file not fully covered"),
        (lambda content: content[:30], "invalid header length"),
        (lambda content: content[:7], "header too small"),
        (lambda content: b"\xff" * 8 + content[8:], "header too large"),
        (lambda content: content.replace(b"[1,3]", b"[1,4]"), "invalid shape"),
    ],
)
def test_a_safetensors_file_that_contradicts_itself_is_refused(safetensors, change, message):
    safetensors.write_bytes(change(safetensors.read_bytes()))
    with pytest.raises(ConversionError, match=rf"net\.safetensors .*{message}"):
        open_safetensors(safetensors)


def test_a_safetensors_file_with_values_that_numpy_lacks_is_refused(tmp_path):
    header = b'{"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
    (tmp_path / "net.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(2))
    with pytest.raises(ConversionError, match="has values of type BF16, which cannot be converted"):
        open_safetensors(tmp_path / "net.safetensors")


def test_a_safetensors_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConversionError, match=r"none\.safetensors cannot be read"):
        open_safetensors(tmp_path / "none.safetensors")


@pytest.mark.parametrize("format", RECOGNISERS)
def test_a_format_recognises_its_own_files_and_no_others(format, safetensors, params, checkpoints, tmp_path):
    (tmp_path / "text").write_bytes(b"{}")
    files = {
        "safetensors": safetensors,
        "mxnet": params(float32_file("a")),
        "tensorflow": checkpoints / "v2.ckpt",
        "text": tmp_path / "text",
        "nothing": tmp_path / "nothing",
    }
    assert [name for name, path in files.items() if RECOGNISERS[format](path)] == [format]


def test_the_readers_are_named_as_in_the_registry():
    assert set(READERS) == {"tensorflow", "mxnet", "safetensors", "keras_h5", "darknet"}


# Archives

CONTENTS = {"net/readme.txt": b"read me", "net/net.params": bytes(range(256)) * 20}


def zip_of(contents: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tar_of(contents: dict[str, bytes], mode: str = "w", **fields) -> bytes:
    """A tar file; `fields` are set on each member's TarInfo."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for field, value in fields.items():
                setattr(info, field, value)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


FORMATS = {"zip": zip_of, "tar": tar_of, "tar.gz": lambda contents: tar_of(contents, "w:gz")}


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """Writes an archive; whatever a test does with it, no temporary folder may stay behind."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))

    def write(content: bytes, name: str = "download") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    yield write
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("format", FORMATS)
def test_an_archive_becomes_a_folder_with_its_contents(archive, format):
    with unpacked(archive(FORMATS[format](CONTENTS))) as folder:
        found = {
            file.relative_to(folder).as_posix(): file.read_bytes()
            for file in folder.rglob("*")
            if file.is_file()
        }
    assert found == CONTENTS


@pytest.mark.parametrize("format", FORMATS)
def test_the_folder_is_gone_afterwards(archive, format):
    with unpacked(archive(FORMATS[format](CONTENTS))) as folder:
        pass
    assert not folder.exists()


def test_the_folder_is_gone_after_an_error_of_the_caller(archive):
    with pytest.raises(ZeroDivisionError), unpacked(archive(zip_of(CONTENTS))) as folder:
        raise ZeroDivisionError
    assert not folder.exists()


@pytest.mark.parametrize("member", ["net/net.params", "*.params", "net/*.p?rams"])
def test_a_member_is_found_by_path_or_pattern(archive, member):
    with unpacked(archive(zip_of(CONTENTS)), member) as path:
        assert path.read_bytes() == CONTENTS["net/net.params"]


@pytest.mark.parametrize("member", ["run/model.ckpt", "*/model.ckpt"])
def test_a_member_may_be_a_checkpoint_prefix(archive, member):
    names = ["run/model.ckpt.index", "run/model.ckpt.data-00000-of-00001"]
    with unpacked(archive(zip_of(dict.fromkeys(names, b""))), member) as path:
        assert (path.parent.name, path.name) == ("run", "model.ckpt")


def test_an_absent_member_is_answered_with_five_that_are_there(archive):
    path = archive(zip_of({f"{number}.txt": b"" for number in range(7)}))
    with (
        pytest.raises(ConversionError, match=r"no member 'x'; there is 0.txt, .*, 4.txt and 2 more\.$"),
        unpacked(path, "x"),
    ):
        pass


def test_a_pattern_that_fits_several_members_is_refused(archive):
    with pytest.raises(ConversionError, match="2 members"), unpacked(archive(zip_of(CONTENTS)), "net/*"):
        pass


@pytest.mark.parametrize("kind", ["file", "folder", "prefix", "zeros", "hdf5", "gzip", "empty"])
def test_what_is_no_archive_is_given_back(archive, tmp_path, kind):
    contents = {
        "file": float32_file("a"),
        "zeros": bytes(4096),  # tarfile.is_tarfile() takes it for an empty tar
        "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(4096),
        "gzip": gzip.compress(float32_file("a")),
        "empty": b"",
    }
    path = (
        archive(contents[kind]) if kind in contents else tmp_path / {"folder": ".", "prefix": "model"}[kind]
    )
    with unpacked(path, "*.params") as same:
        assert same == path


@pytest.mark.parametrize("version", [1, 2])
def test_a_checkpoint_is_not_taken_for_an_archive(checkpoints, version):
    path = checkpoints / f"v{version}.ckpt"
    with unpacked(path) as same:
        assert same == path


def test_a_checkpoint_is_read_out_of_an_archive(archive, checkpoints):
    contents = {
        f"run/v2.ckpt{ending}": (checkpoints / f"v2.ckpt{ending}").read_bytes()
        for ending in (".index", SHARD)
    }
    with unpacked(archive(tar_of(contents, "w:gz"))) as folder, open_tensorflow_checkpoint(folder) as tensors:
        assert set(tensors) == set(VARIABLES)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../escaped", "a/../../escaped", "a\\..\\escaped", "C:escaped"]
)
def test_a_member_outside_the_folder_is_refused(archive, format, name):
    with (
        pytest.raises(ConversionError, match="could lie outside"),
        unpacked(archive(FORMATS[format]({name: b"x"}))),
    ):
        pass


@pytest.mark.parametrize(
    "type", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_a_link_or_device_in_a_tar_is_refused(archive, type):
    path = archive(tar_of({"innocent": b""}, type=type, linkname="/etc/passwd"))
    with pytest.raises(ConversionError, match="'innocent' is a link, a device"), unpacked(path):
        pass


def test_a_link_in_a_zip_is_refused(archive):
    info = zipfile.ZipInfo("innocent")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with (
        pytest.raises(ConversionError, match="'innocent' is a link"),
        unpacked(archive(zip_of({info: b"/etc/passwd"}))),
    ):
        pass


@pytest.mark.parametrize("format", ["tar", "tar.gz"])
def test_a_path_that_is_there_twice_is_refused(archive, format):
    mode = "w:gz" if format == "tar.gz" else "w"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name in ("a", "./a"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(ConversionError, match=r"'\./a' is there twice"), unpacked(archive(buffer.getvalue())):
        pass


def test_an_encrypted_zip_is_refused(archive):
    content = bytearray(zip_of({"a": b"x"}))
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag in the central directory
    with pytest.raises(ConversionError, match="'a' is encrypted"), unpacked(archive(content)):
        pass


def test_a_zip_with_an_unusual_compression_is_refused(archive):
    path = archive(zip_of(CONTENTS, zipfile.ZIP_LZMA))
    with pytest.raises(ConversionError, match="neither stored nor deflated"), unpacked(path):
        pass


@pytest.mark.parametrize("declared", [10, 100_000])
def test_a_zip_that_lies_about_a_size_is_refused(archive, declared):
    content = bytearray(zip_of({"a": bytes(50_000)}))
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + 24, declared)
    with pytest.raises(ConversionError, match="cannot be unpacked"), unpacked(archive(content)):
        pass


def test_no_more_bytes_are_written_than_declared(tmp_path):
    liar = archives._Member("a", False, 10, lambda: io.BytesIO(bytes(5 * MEBIBYTE)))
    with pytest.raises(ConversionError, match="does not have the 10 bytes"):
        archives._create(tmp_path / "x.zip", liar, tmp_path / "a")
    assert (tmp_path / "a").stat().st_size <= 10


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [("MAX_TOTAL_BYTES", 5000, "larger than 5000 bytes"), ("MAX_MEMBERS", 1, "more than 1 members")],
)
def test_an_archive_beyond_a_limit_is_refused(archive, monkeypatch, format, limit, value, message):
    monkeypatch.setattr(archives, limit, value)
    with pytest.raises(ConversionError, match=message), unpacked(archive(FORMATS[format](CONTENTS))):
        pass


@pytest.mark.parametrize("format", FORMATS)
def test_an_archive_that_does_not_fit_on_the_disk_is_refused(archive, monkeypatch, format):
    usage = archives.shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda path: usage)
    with (
        pytest.raises(ConversionError, match=r"needs 5120 bytes and .* has 1000 free"),
        unpacked(archive(FORMATS[format](CONTENTS))),
    ):
        pass


def test_a_tar_header_that_claims_gigabytes_is_refused_in_little_memory(archive):
    """tarfile reads the whole text of a long name, so a few kilobytes of gzip could fill the memory."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 4 * 2**30
    path = archive(info.tobuf(tarfile.GNU_FORMAT) + bytes(8 * 512))
    tracemalloc.start()
    try:
        with pytest.raises(ConversionError, match="a header claims"), unpacked(path):
            pass
        assert tracemalloc.get_traced_memory()[1] < 4 * MEBIBYTE
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("format", FORMATS)
def test_an_archive_that_is_cut_off_is_refused(archive, format):
    content = FORMATS[format](CONTENTS)
    end = len(content.rstrip(b"\0")) if format == "tar" else len(content)  # a tar ends with spare zeros
    for length in range(600 if format == "tar" else 50, end, 37):
        with (
            pytest.raises(ConversionError, match=r"cannot be unpacked: [^\n]+ fetch it again\.$"),
            unpacked(archive(content[:length])),
        ):
            pass


def test_a_gzip_whose_checksum_is_wrong_is_refused(archive):
    content = bytearray(tar_of(CONTENTS, "w:gz"))
    content[-8] ^= 0xFF
    with pytest.raises(ConversionError, match="CRC check failed"), unpacked(archive(content)):
        pass
