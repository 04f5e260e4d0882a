"""Untrusted HDF5 files, modelzoo's and Keras': nothing beyond the file is read, nor more than its size."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from modelzoo import weights
from modelzoo.errors import ConversionError, WeightsMismatch
from modelzoo.formats import read_keras_h5
from tests.conftest import ROOT

MEBIBYTE = 2**20
VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)
EXPECTED = {"conv/kernel": (2, 3), "conv/bias": (3,)}


def read_keras(path: Path) -> None:
    with read_keras_h5(path) as tensors:
        for name in tensors:
            tensors.read(name)


def read_modelzoo(path: Path) -> None:
    weights.provenance(path)
    weights.check(path, EXPECTED)
    dict(weights.read(path))


READERS = {"Keras'": (read_keras, ConversionError), "modelzoo": (read_modelzoo, WeightsMismatch)}


@pytest.fixture
def hostile(tmp_path):
    """Writes a file that both readers take, with one change; returns its path."""

    def write(change: Callable[[h5py.File], None], **options) -> Path:
        path = tmp_path / "net.h5"
        with h5py.File(path, "w", **options) as file:
            file.attrs[weights.PROVENANCE] = "{}"
            file.attrs["layer_names"] = np.array(["conv"], "S")
            group = file.create_group("conv")
            group.attrs["weight_names"] = np.array(["kernel", "bias"], "S")
            group["kernel"], group["bias"] = VALUES, VALUES[0]
            change(file)
        return path

    return write


@pytest.fixture
def elsewhere(tmp_path) -> Path:
    """A file that nobody may read through a link."""
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["kernel"] = VALUES
        file.create_group("conv").attrs["weight_names"] = np.array(["kernel", "bias"], "S")
        file["conv/kernel"], file["conv/bias"] = VALUES, VALUES[0]
    (tmp_path / "secret.bin").write_bytes(VALUES.tobytes())
    return tmp_path


def kernel_as(make: Callable[[h5py.Group], object]) -> Callable[[h5py.File], None]:
    """The change that makes the kernel something else."""

    def change(file: h5py.File) -> None:
        del file["conv/kernel"]
        make(file["conv"])

    return change


def virtual(group: h5py.Group) -> None:
    layout = h5py.VirtualLayout((2, 3), np.float32)
    layout[:] = h5py.VirtualSource("secret.h5", "kernel", (2, 3))
    group.create_virtual_dataset("kernel", layout)


def filtered(group: h5py.Group) -> None:
    """With a filter that would be loaded from a plugin's folder."""
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((2, 3))
    plan.set_filter(32_000, h5py.h5z.FLAG_OPTIONAL)
    h5py.h5d.create(group.id, b"kernel", h5py.h5t.NATIVE_FLOAT, h5py.h5s.create_simple((2, 3)), plan)


def linked_group(file: h5py.File) -> None:
    del file["conv"]
    file["conv"] = h5py.ExternalLink("secret.h5", "/conv")


def renamed(names) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file["conv"].attrs["weight_names"] = names

    return change


ELSEWHERE = "the values of 'kernel' do not lie in the file one after the other"
HOSTILE = {
    "an external link": (
        kernel_as(lambda group: group.__setitem__("kernel", h5py.ExternalLink("secret.h5", "/kernel"))),
        "'kernel' is a link to elsewhere",
    ),
    "a group in another file": (linked_group, "'conv' is a link to elsewhere"),
    "a soft link": (
        kernel_as(lambda group: group.__setitem__("kernel", h5py.SoftLink("/conv/bias"))),
        "'kernel' is a link to elsewhere",
    ),
    "a virtual dataset": (kernel_as(virtual), ELSEWHERE),
    "values in another file": (
        kernel_as(lambda g: g.create_dataset("kernel", (2, 3), "f4", external=[("secret.bin", 0, 24)])),
        ELSEWHERE,
    ),
    "a shape without values": (
        kernel_as(lambda g: g.create_dataset("kernel", (10**8, 10**7), "f4")),
        ELSEWHERE,
    ),
    "chunks without values": (
        kernel_as(lambda g: g.create_dataset("kernel", (10**8, 10**7), "f4", chunks=(1024, 1024))),
        ELSEWHERE,
    ),
    "a compression bomb": (
        kernel_as(lambda g: g.create_dataset("kernel", data=np.zeros(2**22, "f4"), compression="gzip")),
        ELSEWHERE,
    ),
    "an unknown filter": (kernel_as(filtered), ELSEWHERE),
    "no values at all": (
        kernel_as(lambda g: g.create_dataset("kernel", data=h5py.Empty("f4"))),
        ELSEWHERE,
    ),
    "strings for values": (
        kernel_as(lambda g: g.create_dataset("kernel", (10**15,), h5py.string_dtype())),
        "'kernel' is not numeric",
    ),
    "references for values": (
        kernel_as(lambda g: g.create_dataset("kernel", (3,), h5py.ref_dtype)),
        "'kernel' is not numeric",
    ),
    "records for values": (
        kernel_as(lambda g: g.create_dataset("kernel", (3,), [("a", "f4", (1000,))])),
        "'kernel' is not numeric",
    ),
    "a group for values": (kernel_as(lambda g: g.create_group("kernel")), "'kernel' is not a dataset"),
    "nothing for values": (
        kernel_as(lambda g: None),
        "'/conv' names 'kernel', which is not there|/conv names",
    ),
    "long names": (renamed(np.array(["kernel", "b" * 5000], "S")), "claims 2 strings of 5000 bytes"),
    "numbers for names": (renamed([1, 2]), "is not a list of strings"),
    "a table of names": (renamed(np.array([["kernel", "bias"]], "S")), "is not a list of strings"),
    "names that are no UTF-8": (renamed(np.array([b"\xff", b"bias"], "S")), "can't decode"),
    "one name twice": (renamed(np.array(["kernel", "kernel"], "S")), "two weights named (conv/)?kernel"),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_one_sentence_and_little_memory(
    name, reader, hostile, elsewhere, monkeypatch
):
    monkeypatch.chdir(elsewhere)
    change, reason = HOSTILE[name]
    path = hostile(change)
    read, error = READERS[reader]
    tracemalloc.start()
    try:
        with pytest.raises(error, match=rf"^[^\n]*net\.h5 cannot be read as [^\n]*({reason})[^\n]*\.$"):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < MEBIBYTE
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("reader", READERS)
def test_the_file_without_a_change_is_read(reader, hostile):
    READERS[reader][0](hostile(lambda file: None))


@pytest.mark.parametrize("reader", READERS)
def test_an_attribute_of_many_megabytes_is_refused(reader, hostile):
    names = np.zeros(4097, "S4096")  # kept outside the header, as only newer files may
    path = hostile(renamed(names), libver="latest")
    with pytest.raises(READERS[reader][1], match="claims 4097 strings of 4096 bytes"):
        READERS[reader][0](path)


@pytest.mark.parametrize("reader", READERS)
def test_names_of_lengths_of_their_own_are_read(reader, hostile):
    """Keras 3 writes them so into a file of a whole model."""
    READERS[reader][0](hostile(renamed(["kernel", "bias"])))


@pytest.mark.parametrize("reader", READERS)
def test_names_that_may_all_be_one_of_a_megabyte_are_refused(reader, hostile):
    """They are references, which may be all to one string: a file of one megabyte would become gigabytes."""

    def change(file):
        file.attrs["model_config"] = "x" * 10**6
        renamed([f"weight{number}" for number in range(1000)])(file)

    with pytest.raises(READERS[reader][1], match="claims 1000 strings of 1000000 bytes"):
        READERS[reader][0](hostile(change))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("size", [0, 1, 2**40, 2**64 - 16])
def test_a_heap_at_which_hdf5_would_hang_is_refused(reader, size, hostile):
    """Found by fuzzing: an object of no size, or of one that wraps around, in the heap of long strings."""
    path = hostile(lambda file: file.attrs.__setitem__("backend", "tensorflow"))
    content = bytearray(path.read_bytes())
    free = content.index(b"GCOL") + 16
    while content[free : free + 2] != b"\0\0":  # the objects before the free space
        free += 16 + -(-int.from_bytes(content[free + 8 : free + 16], "little") // 8) * 8
    content[free + 8 : free + 16] = size.to_bytes(8, "little")
    path.write_bytes(content)
    with pytest.raises(READERS[reader][1], match="an object in a global heap goes beyond it, or nowhere"):
        READERS[reader][0](path)


@pytest.mark.parametrize("provenance", ["[]", "1", "{", "[" * 100_000])
def test_a_provenance_that_is_no_object_is_refused(provenance, hostile):
    def change(file):
        del file.attrs[weights.PROVENANCE]
        file.attrs.create(weights.PROVENANCE, provenance[:60_000])

    with pytest.raises(WeightsMismatch, match=r"net\.h5 cannot be read as [^\n]+: [^\n]+\.$"):
        weights.provenance(hostile(change))


def test_a_damaged_file_is_not_recognized(tmp_path):
    (tmp_path / "net.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(range(100)))
    assert not weights.is_modelzoo_file(tmp_path / "net.h5")


CHILD = """
import resource, sys
from pathlib import Path
from modelzoo import weights
from modelzoo.formats import read_keras_h5
from modelzoo.errors import ModelZooError

pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + 64 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for path in map(Path, sys.argv[1:]):
    for read in (read_keras_h5, lambda path: dict(weights.read(path))):
        try:
            read(path)
        except ModelZooError:
            print("refused")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit needs Linux' /proc and RLIMIT_AS")
def test_hostile_files_are_refused_in_64_mebibytes_of_address_space(hostile, elsewhere):
    """tracemalloc does not see what HDF5 itself takes."""
    paths = []
    for number, (change, _) in enumerate(HOSTILE.values()):
        paths.append(hostile(change).rename(elsewhere / f"{number}.h5"))
    run = subprocess.run(
        [sys.executable, "-c", CHILD, *paths], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["refused"] * 2 * len(HOSTILE)
