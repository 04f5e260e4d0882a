"""A file of many tensors: so many are read, each in little memory, and no more."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from modelzoo import weights
from modelzoo.errors import ConversionError, WeightsMismatch
from modelzoo.formats import FORMATS, hdf5, read_keras_h5, read_mxnet_params, read_safetensors, safetensors
from modelzoo.formats.tensors import MAX_DIMENSIONS, MAX_NAMES_BYTES, MAX_TENSORS
from tests.formats.checkpoint_bytes import saved_slices
from tests.formats.files import V3, mxnet_array, mxnet_file
from tests.memory import MEBIBYTE, peak_growth

COUNT = 10_000
MAX_BYTES_EACH = 4000  # of memory; HDF5 took 13,000 for each dataset that was held open
ONE = np.ones((), np.float32)
ARRAYS = {f"layer{number // 10}/weight{number}": ONE for number in range(COUNT)}


def written(format: str) -> Callable[[Path], None]:
    return lambda path: FORMATS[format].write(path, ARRAYS)


WRITERS = {
    **{name: written(name) for name, format in FORMATS.items() if not format.planned},
    "tensorflow V1": lambda path: path.write_bytes(
        saved_slices({name: ((), one.tobytes()) for name, one in ARRAYS.items()})
    ),
    "modelzoo": lambda path: weights.write(path, ARRAYS.items(), {"model": "a.b"}),
}
IMPORTS = "from modelzoo import weights; from modelzoo.formats import FORMATS; from pathlib import Path"


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_takes_four_kilobytes_of_memory_a_tensor(kind, tmp_path):
    path = tmp_path / "file"
    WRITERS[kind](path)
    read = f"tensors = FORMATS[{kind.split()[0]!r}].read(Path(sys.argv[1])); assert len(tensors) == {COUNT}"
    if kind == "modelzoo":
        read = f"assert sum(1 for _ in weights.read(Path(sys.argv[1]))) == {COUNT}"
    assert peak_growth(IMPORTS, read, path) <= COUNT * MAX_BYTES_EACH + 8 * MEBIBYTE


# safetensors, whose library builds what the header lists before it can be asked how much that is


def safetensors_of(header: bytes, path: Path) -> Path:
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    return path


def tensors(count: int) -> bytes:
    entry = b'"%d":{"dtype":"F32","shape":[],"data_offsets":[0,4]}'
    return b"{" + b",".join(entry % number for number in range(count)) + b"}"


HEADERS = {
    "a hundred thousand tensors and one": (
        lambda: tensors(MAX_TENSORS + 1),
        f"expected at most {MAX_TENSORS} tensors, got {MAX_TENSORS + 1}",
    ),
    "a million and a half": (lambda: tensors(1_500_000), "expected a header of at most 16777216 bytes"),
    "a shape of millions of dimensions": (
        lambda: b'{"a":{"dtype":"F32","shape":[' + b"1," * 4_000_000 + b'1],"data_offsets":[0,4]}}',
        "its header has more than 1000000 values",
    ),
    "millions of metadata": (
        lambda: b'{"__metadata__":{' + b",".join(b'"%d":""' % n for n in range(1_200_000)) + b"}}",
        "its header has more than 1000000 values",
    ),
    "33 dimensions": (
        lambda: b'{"a":{"dtype":"F32","shape":[' + b"1," * MAX_DIMENSIONS + b'1],"data_offsets":[0,4]}}',
        "a tensor has 33 dimensions, which no array has",
    ),
}
READ = """
from modelzoo.errors import ConversionError
try:
    read_safetensors(Path(sys.argv[1]))
except ConversionError:
    pass
else:
    sys.exit("it was read")
"""


@pytest.mark.parametrize("name", HEADERS)
def test_a_safetensors_header_of_too_much_is_refused_before_anything_is_built_of_it(name, tmp_path):
    """A million and a half tensors took 1.5 GB."""
    header, reason = HEADERS[name]
    path = safetensors_of(header(), tmp_path / "net.safetensors")
    with pytest.raises(ConversionError, match=rf"net\.safetensors cannot be read as [^\n]*{reason}"):
        read_safetensors(path)
    before = "from modelzoo.formats import read_safetensors; from pathlib import Path"
    assert peak_growth(before, READ, path) <= safetensors.MAX_HEADER_BYTES + 8 * MEBIBYTE


def test_as_many_tensors_as_are_allowed_are_read(tmp_path):
    entry = '"t%d":{"dtype":"F32","shape":[1],"data_offsets":[%d,%d]}'
    header = "{" + ",".join(entry % (n, 4 * n, 4 * n + 4) for n in range(MAX_TENSORS)) + "}"
    path = tmp_path / "net.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header.encode() + bytes(4 * MAX_TENSORS))
    with read_safetensors(path) as found:
        assert len(found) == MAX_TENSORS


def test_the_names_of_an_mxnet_file_are_counted_together(tmp_path):
    names = {f"{number:04}" * 1024: mxnet_array(ONE, version=V3) for number in range(4100)}
    (tmp_path / "net.params").write_bytes(mxnet_file(names))
    with pytest.raises(ConversionError, match="its names have more than 16777216 bytes"):
        read_mxnet_params(tmp_path / "net.params")


@pytest.mark.parametrize("format", [name for name, format in FORMATS.items() if not format.planned])
def test_names_that_would_not_be_read_back_are_not_written(format, tmp_path):
    names = {f"{number:04}" * 1020 + "/w": ONE for number in range(4200)}
    with pytest.raises(ConversionError, match="Expected names of at most 16777216 bytes"):
        FORMATS[format].write(tmp_path / "file", names)


# HDF5


@pytest.fixture
def hdf5_file(tmp_path):
    """Writes a file of one small weight, with one change; returns its path."""

    def write(change: Callable[[h5py.File], None]) -> Path:
        path = tmp_path / "net.h5"
        with h5py.File(path, "w", libver="latest") as file:
            file.attrs[weights.PROVENANCE] = "{}"
            file.attrs["layer_names"] = np.array(["a"], "S")
            file.create_group("a").attrs["weight_names"] = np.array(["w"], "S")
            file["a/w"] = ONE
            change(file)
        return path

    return write


def renamed(group: str, attribute: str, names: np.ndarray) -> Callable[[h5py.File], None]:
    return lambda file: file[group].attrs.__setitem__(attribute, names)


def numbered_lists(file: h5py.File) -> None:
    """Keras splits long lists so; each may have as many names as fit."""
    del file.attrs["layer_names"]
    file["a"].attrs["weight_names"] = np.array([], "S1")
    for part in range(3):
        file.attrs[f"layer_names{part}"] = np.array(["a"] * 40_000, "S")


READERS = {"Keras'": read_keras_h5, "modelzoo": lambda path: dict(weights.read(path))}
REFUSED = (ConversionError, WeightsMismatch)


@pytest.mark.parametrize("reader", READERS)
def test_a_list_of_too_many_names_is_refused(reader, hdf5_file):
    path = hdf5_file(renamed("a", "weight_names", np.array(["w"] * (hdf5.MAX_NAMES + 1), "S")))
    with pytest.raises(REFUSED, match="'weight_names' has more than 100000 strings"):
        READERS[reader](path)


def test_layers_in_many_lists_are_counted_together(hdf5_file):
    path = hdf5_file(numbered_lists)
    with pytest.raises(ConversionError, match="it has more than 100000 layers or weights"):
        read_keras_h5(path)


@pytest.mark.parametrize("reader", READERS)
def test_a_layers_name_counts_for_each_of_its_weights(reader, hdf5_file):
    """The layer's name has four kilobytes, and each weight is named after it, too."""

    def change(file: h5py.File) -> None:
        file.attrs["layer_names"] = np.array(["/" * 4000 + "a"], "S")
        file["a"].attrs["weight_names"] = np.array(["w"] * 50_000, "S")

    with pytest.raises(REFUSED, match="names of its weights have more than 16777216"):
        READERS[reader](hdf5_file(change))


def test_strings_of_lengths_of_their_own_take_twice_as_much_memory(hdf5_file):
    """What HDF5 reads, and what h5py makes of it."""

    def change(file: h5py.File) -> None:
        del file.attrs["layer_names"]
        file.attrs.create("layer_names", ["x" * MEBIBYTE] * 40, dtype=h5py.string_dtype())

    read = READ.replace("read_safetensors", "read_keras_h5")
    grown = peak_growth(
        "from modelzoo.formats import read_keras_h5; from pathlib import Path", read, hdf5_file(change)
    )
    assert grown <= (2 + 1) * 40 * MEBIBYTE + 8 * MEBIBYTE  # once more for the file, which is mapped here


def test_the_limit_of_hdf5_is_that_of_all_formats():
    assert (hdf5.MAX_NAMES, hdf5.MAX_NAMES_BYTES) == (MAX_TENSORS, MAX_NAMES_BYTES)
