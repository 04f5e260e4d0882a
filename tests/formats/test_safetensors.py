"""safetensors files: what is read, and what is refused."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from modelzoo.errors import ConversionError
from modelzoo.formats import TensorInfo, read_safetensors


def test_safetensors_come_back_with_their_shapes_and_types(safetensors):
    with read_safetensors(safetensors) as tensors:
        assert tensors["a"] == TensorInfo((1, 3), np.dtype(np.float32))
        np.testing.assert_array_equal(tensors.read("a"), np.float32([[1, 2, 3]]), strict=True)
        np.testing.assert_array_equal(tensors.read("h"), np.float16([4]), strict=True)
        np.testing.assert_array_equal(tensors.read("count"), np.array(5), strict=True)


def test_a_folder_with_one_safetensors_file_is_read(safetensors):
    with read_safetensors(safetensors.parent) as tensors:
        assert set(tensors) == {"a", "h", "count"}


def test_a_closed_safetensors_file_says_so(safetensors):
    with read_safetensors(safetensors) as tensors:
        pass
    with pytest.raises(ConversionError, match=r"net\.safetensors is closed"):
        tensors.read("a")


CONTRADICTIONS = {
    "a byte is missing": lambda content: content[:-1],
    "a byte too many": lambda content: content + b"x",
    "truncated in the header": lambda content: content[:30],
    "truncated in the length": lambda content: content[:7],
    "a header without end": lambda content: b"\xff" * 8 + content[8:],
    "another shape": lambda content: content.replace(b"[1,3]", b"[1,4]"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_safetensors_file_that_contradicts_itself_is_refused(name, safetensors):
    safetensors.write_bytes(CONTRADICTIONS[name](safetensors.read_bytes()))
    message = r"^[^\n]*net\.safetensors cannot be read as a safetensors file: [^\n]*download it again\.$"
    with pytest.raises(ConversionError, match=message):
        read_safetensors(safetensors)


@pytest.mark.parametrize(
    "header",
    [
        b'{"a":{"dtype":"F32","shape":[1099511627776,1024],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551615]}}',
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}',
        b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        b"[" * 1000,
    ],
    ids=["terabytes", "wrapping around", "beyond the end", "backwards", "negative", "shared", "nested"],
)
def test_a_hostile_safetensors_header_is_refused_in_one_sentence(header, tmp_path):
    (tmp_path / "net.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(ConversionError, match=r"^[^\n]*net\.safetensors cannot be read[^\n]*\.$"):
        read_safetensors(tmp_path / "net.safetensors")


def test_a_safetensors_file_of_a_type_without_a_numpy_dtype_is_refused(tmp_path):
    header = b'{"a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}'
    (tmp_path / "net.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(2))
    with pytest.raises(ConversionError, match="has values of type F8_E4M3, which cannot be converted"):
        read_safetensors(tmp_path / "net.safetensors")


def test_bfloat16_comes_back_as_float32(tmp_path):
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
    header += b'"b":{"dtype":"BF16","shape":[2,1],"data_offsets":[4,8]}}'
    content = (
        np.float32([7]).tobytes() + (np.float32([1.5, -2]).view(np.uint32) >> 16).astype("<u2").tobytes()
    )
    (tmp_path / "net.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + content)
    with read_safetensors(tmp_path / "net.safetensors") as tensors:
        assert tensors["b"].dtype == np.float32
        assert tensors.read("b").tolist() == [[1.5], [-2.0]]
        assert tensors.read("a").tolist() == [7.0]


def test_a_safetensors_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConversionError, match=r"none\.safetensors cannot be read"):
        read_safetensors(tmp_path / "none.safetensors")
