"""MXNet .params files: what is read, and what is refused."""

from __future__ import annotations

import os
import struct
import tracemalloc

import numpy as np
import pytest

from modelzoo.errors import ConversionError
from modelzoo.formats import read_mxnet_params, write_mxnet_params
from tests.conftest import SHARED
from tests.formats.files import (
    BFLOAT16,
    FLOAT32,
    MEBIBYTE,
    TYPES,
    V1,
    V2,
    V3,
    float32_file,
    mxnet_array,
    mxnet_file,
)

REAL_FILES = SHARED / "data" / "upstream_files"
needs_real_files = pytest.mark.skipif(
    not REAL_FILES.is_dir(), reason=f"{REAL_FILES} is absent: it holds the upstream files this test reads"
)


# Files that MXNet 1.9.1 wrote: mx.nd.save(file, arrays), and mx.npx.save after mx.npx.set_np().
LEGACY = {
    "arg:conv_weight": np.float32([[1, -2, 3.5]]),
    "aux:bn_moving_mean": np.float64([7]),
    "h": np.float16([1.5]),
    "i": np.int64([-3, 4]),
    "u": np.uint8([255]),
}
LEGACY_BYTES = bytes.fromhex(
    "1201000000000000 0000000000000000 0500000000000000"
    "c9fa93f9 00000000 02000000 0100000000000000 0300000000000000 01000000 00000000 00000000"
    "0000803f 000000c0 00006040"
    "c9fa93f9 00000000 01000000 0100000000000000 01000000 00000000 01000000 0000000000001c40"
    "c9fa93f9 00000000 01000000 0100000000000000 01000000 00000000 02000000 003e"
    "c9fa93f9 00000000 01000000 0200000000000000 01000000 00000000 06000000"
    "fdffffffffffffff 0400000000000000"
    "c9fa93f9 00000000 01000000 0100000000000000 01000000 00000000 03000000 ff"
    "0500000000000000"
    "0f00000000000000 6172673a636f6e765f776569676874"
    "1200000000000000 6175783a626e5f6d6f76696e675f6d65616e"
    "0100000000000000 68 0100000000000000 69 0100000000000000 75"
)
NUMPY = {
    "scalar": np.array(2.5, np.float32),
    "empty": np.zeros((0, 3), np.float32),
    "b": np.array([True, False]),
}
NUMPY_BYTES = bytes.fromhex(
    "1201000000000000 0000000000000000 0300000000000000"
    "cafa93f9 00000000 00000000 01000000 00000000 00000000 00002040"
    "cafa93f9 00000000 02000000 0000000000000000 0300000000000000 01000000 00000000 00000000"
    "cafa93f9 00000000 01000000 0200000000000000 01000000 00000000 07000000 0100"
    "0300000000000000"
    "0600000000000000 7363616c6172 0500000000000000 656d707479 0100000000000000 62"
)


@pytest.mark.parametrize(
    ("arrays", "content"), [(LEGACY, LEGACY_BYTES), (NUMPY, NUMPY_BYTES)], ids=["legacy", "NumPy's rules"]
)
def test_what_is_written_has_the_bytes_that_mxnet_writes(arrays, content, tmp_path):
    assert write_mxnet_params(tmp_path / "net.params", arrays) == [tmp_path / "net.params"]
    assert (tmp_path / "net.params").read_bytes() == content


def test_what_mxnet_wrote_is_read(params):
    expected = {name.partition(":")[2] or name: array for name, array in LEGACY.items()}
    with read_mxnet_params(params(LEGACY_BYTES)) as tensors:
        assert list(tensors) == list(expected)
        for name, array in expected.items():
            np.testing.assert_array_equal(tensors.read(name), array, strict=True)


@pytest.mark.parametrize("type", TYPES)
def test_every_mxnet_element_type_comes_back_as_the_numpy_type(params, type):
    values = np.array([[0, 1, 2], [3, 100, 0]]).astype(TYPES[type])
    with read_mxnet_params(params(mxnet_file({"a": mxnet_array(values, type=type)}))) as tensors:
        np.testing.assert_array_equal(tensors.read("a"), values, strict=True)


@pytest.mark.parametrize("type", [*TYPES, BFLOAT16])
def test_the_declared_type_is_the_one_that_read_returns(params, type):
    values = np.zeros(3, TYPES.get(type, np.uint16))
    with read_mxnet_params(params(mxnet_file({"a": mxnet_array(values, type=type)}))) as tensors:
        assert tensors["a"].dtype == tensors.read("a").dtype


def test_bfloat16_comes_back_as_float32(params):
    halves = np.uint16(
        [0x0000, 0x3F8C, 0x400C, 0x4053, 0xFF80]
    )  # the first four are as MXNet 1.9.1 wrote them
    expected = np.float32([0, 1.09375, 2.1875, 3.296875, -np.inf])
    with read_mxnet_params(params(mxnet_file({"a": mxnet_array(halves, type=BFLOAT16)}))) as tensors:
        np.testing.assert_array_equal(tensors.read("a"), expected, strict=True)


@pytest.mark.parametrize("version", [None, V1, V2, V3])
def test_every_version_of_the_array_format_is_read(params, version):
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    content = mxnet_file(
        {"a": mxnet_array(values, version=version), "b": mxnet_array(-values, version=version)}
    )
    with read_mxnet_params(params(content)) as tensors:
        np.testing.assert_array_equal(tensors.read("b"), -values, strict=True)


@pytest.mark.parametrize("values", [np.float32(3), np.zeros((0, 2), np.float32)], ids=["scalar", "empty"])
def test_a_version_3_array_may_be_a_scalar_or_empty(params, values):
    with read_mxnet_params(params(mxnet_file({"a": mxnet_array(values, version=V3)}))) as tensors:
        assert tensors.read("a").shape == tensors["a"].shape == values.shape


def test_gluon_names_are_kept(params):
    with read_mxnet_params(params(float32_file("layer1.0.conv1.weight", "output.bias"))) as tensors:
        assert list(tensors) == ["layer1.0.conv1.weight", "output.bias"]


def test_the_prefixes_of_module_are_stripped(params):
    with read_mxnet_params(params(float32_file("arg:conv_weight", "aux:bn_moving_mean"))) as tensors:
        assert list(tensors) == ["conv_weight", "bn_moving_mean"]


def test_a_name_that_is_both_arg_and_aux_is_refused(params):
    with pytest.raises(ConversionError, match=r"more than one array, .* is named same"):
        read_mxnet_params(params(float32_file("arg:same", "arg:other", "aux:same")))


def test_a_params_file_truncated_at_any_byte_is_refused(params):
    content = mxnet_file(
        {"arg:old": mxnet_array(np.float32([1]), version=None), "aux:new": mxnet_array(np.float32([[2]]))}
    )
    for length in range(len(content)):
        with pytest.raises(
            ConversionError,
            match=r"cannot be read as an MXNet .params file: .* is truncated, download it again\.$",
        ):
            read_mxnet_params(params(content[:length]))


def test_trailing_bytes_are_refused(params):
    with pytest.raises(ConversionError, match="expected its end, got 1 bytes more"):
        read_mxnet_params(params(float32_file("a") + b"\0"))


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
            read_mxnet_params(path)
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
        with read_mxnet_params(path) as tensors:
            assert tensors["a"].shape == (values,)
        assert tracemalloc.get_traced_memory()[1] < MEBIBYTE
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("storage", "name"), [(1, "row_sparse"), (2, "csr"), (7, "unknown")])
def test_a_sparse_array_is_refused_by_the_name_of_its_storage(params, storage, name):
    content = mxnet_file({"a": mxnet_array(np.zeros(2, np.float32), storage=storage)})
    with pytest.raises(
        ConversionError, match=f"expected the storage type dense for array 1 of 1, got {name}"
    ):
        read_mxnet_params(params(content))


@pytest.mark.parametrize("version", [None, V1, V2])
def test_an_array_without_shape_is_refused(params, version):
    with pytest.raises(ConversionError, match="no shape"):
        read_mxnet_params(params(mxnet_file({"a": mxnet_array(np.float32(0), version=version)})))


def test_a_negative_dimension_is_refused(params):
    content = struct.pack("<QQQIiiqiii", 0x112, 0, 1, V2, 0, 1, -1, 1, 0, 0) + struct.pack("<QQ", 1, 1) + b"a"
    with pytest.raises(ConversionError, match=r"shape \(-1,\)"):
        read_mxnet_params(params(content))


def test_an_unknown_element_type_is_refused(params):
    with pytest.raises(
        ConversionError, match="expected an element type from 0 to 12 for array 1 of 1, got 13"
    ):
        read_mxnet_params(params(mxnet_file({"a": mxnet_array(np.zeros(2, np.float32), type=13)})))


def test_arrays_without_names_are_refused(params):
    content = struct.pack("<QQQ", 0x112, 0, 1) + mxnet_array(np.zeros(2, np.float32)) + struct.pack("<Q", 0)
    with pytest.raises(ConversionError, match="expected 1 names, one for each array, got 0"):
        read_mxnet_params(params(content))


def test_a_file_of_another_kind_is_refused(params):
    with pytest.raises(ConversionError, match="expected 0x112 at its start, got 0x"):
        read_mxnet_params(params(b"\x89HDF\r\n\x1a\n" + bytes(100)))


def test_an_absent_params_file_is_refused(tmp_path):
    with pytest.raises(ConversionError, match="No such file"):
        read_mxnet_params(tmp_path / "absent.params")


def test_an_unknown_tensor_is_answered_with_the_names_most_like_it(params):
    with (
        read_mxnet_params(params(float32_file("conv1_weight"))) as tensors,
        pytest.raises(ConversionError, match=r"'conv_weight'.*'conv1_weight'"),
    ):
        tensors.read("conv_weight")


def test_a_closed_file_says_that_it_is_closed(params):
    with read_mxnet_params(params(float32_file("a"))) as tensors:
        pass
    with pytest.raises(ConversionError, match="is closed"):
        tensors.read("a")


def test_a_folder_stands_for_the_one_params_file_in_it(tmp_path):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "net.params").write_bytes(float32_file("a"))
    (tmp_path / "net" / "._net.params").write_bytes(b"a Mac's companion file")
    with read_mxnet_params(tmp_path) as tensors:
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
    with read_mxnet_params(REAL_FILES / file) as tensors:
        values = tensors.read(name)
    assert (len(tensors), values.shape) == (count, shape)
    np.testing.assert_allclose(
        [*values.ravel()[:2], values.sum(dtype=np.float64)], [*first, total], rtol=1e-6
    )
