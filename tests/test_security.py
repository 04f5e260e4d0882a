"""SECURITY.md claims what the code does: each of its figures is the code's, and measured."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from modelzoo import errors, settings
from modelzoo.architectures import stored
from modelzoo.download import transfer
from modelzoo.download.fetch import MAX_BYTES, MAX_SMALL_BYTES
from modelzoo.formats import (
    FORMATS,
    archives,
    frozen_graph,
    graph_def,
    hdf5,
    leveldb_table,
    networks,
    pickles,
    safetensors,
    tensors,
)
from modelzoo.formats.checkpoint_tensors import shape_message
from modelzoo.formats.checkpoint_v1 import slice_key
from modelzoo.formats.leveldb_table import table_bytes
from modelzoo.formats.protobuf import field
from modelzoo.graph.serialization import MOST_NODES
from modelzoo.images import memory, reading
from modelzoo.importers import constants, keras_config
from modelzoo.importers import files as importer_files
from modelzoo.registry import folders, hub
from modelzoo.store import mirror
from tests.conftest import ROOT
from tests.formats import test_many_tensors
from tests.formats.checkpoint_bytes import saved_slices, whole
from tests.formats.files import BFLOAT16, mxnet_array, mxnet_file
from tests.fuzz import targets

TEXT = " ".join((ROOT / "SECURITY.md").read_text("utf-8").split())
SECTIONS = TEXT[TEXT.index("## What is checked") : TEXT.index("November 2026")]
MEBI, GIBI, MEGA, GIGA = 2**20, 2**30, 10**6, 10**9
READING_TIMES, VARINT_BYTES = 3, 20  # measured below

FIGURES = [
    f"{targets.MAX_GROWTH} times that; {tensors.MAX_DIMENSIONS} dimensions",
    f"{tensors.MAX_TENSORS:,} tensors, for each of which {test_many_tensors.MAX_BYTES_EACH // 1000} KB",
    f"the {len(pickles.INSTRUCTIONS)} instructions that make plain data",
    f"names of {tensors.MAX_NAMES_BYTES // MEBI} MiB in all",
    f"names of {leveldb_table.MAX_KEYS_BYTES // MEBI} MiB in all",
    f"{READING_TIMES} times its size in memory; {VARINT_BYTES} bytes for each integer of a V1 checkpoint",
    f"header | {safetensors.MAX_HEADER_BYTES // MEBI} MiB",
    f"a frozen graph | {frozen_graph.MAX_NODES:,} operations",
    f"the {len(pickles.INSTRUCTIONS | pickles.OF_ARRAYS)} instructions of a dict of arrays",
    f"a Keras model's configuration | {importer_files.MOST_BYTES // MEBI} MiB, "
    f"{keras_config.MOST_LAYERS:,} layers, {keras_config.DEEPEST} models in models",
    f"{networks.MOST_OPERATIONS:,} operations, {MOST_NODES:,} nodes when it is read",
    f"{constants.MOST_VALUES:,} values and twice those in the file",
    f"a constant that states one value for all places | {graph_def.FEW:,} places",
    f"{hdf5.MAX_STRINGS_BYTES // MEBI} MiB, twice in memory",
    f"{archives.MAX_RATIO} times its size ({archives.ALWAYS_ALLOWED_BYTES // MEBI} MiB are always allowed), "
    f"{archives.MAX_TOTAL_BYTES // GIBI} GiB",
    f"{archives.MAX_MEMBERS:,} files and folders, each {archives.MAX_DEPTH} folders deep",
    f"{reading.MAX_PIXELS:,} pixels",
    f"AVIF: {memory.MAX_BYTES / memory.PER_PIXEL['AVIF'] / MEGA:.0f} million",
    f"JPEG 2000: {memory.MAX_BYTES / memory.PER_PIXEL['JPEG2000'] / MEGA:.0f} million",
    f"a file of {reading.MAX_FILE_BYTES // GIGA} GB",
    f"decoding an image | {memory.MAX_BYTES // GIGA} GB of memory",
    f"{memory.MAX_BYTES // GIGA} GB for all that take more than {memory.SMALL_BYTES // MEGA} MB each",
    f"{mirror.MAX_INDEX_BYTES // MEBI} MiB and {mirror.MAX_MODELS:,} models, 128 MiB of memory",
    f"an image of a known answer | {MAX_SMALL_BYTES // MEBI} MiB",
    f"cut to {errors.LONGEST_LINE:,} characters a line",
    f"a hub's config.json or README.md | {hub.MOST_CONFIG_BYTES // MEBI} MiB",
    f"a model.json, or the configuration of a Keras model | {folders.MOST_BYTES // MEBI} MiB; "
    f"{stored.MOST_VALUES:,} values of one node",
    f"any other download | {MAX_BYTES // GIBI} GiB",
    f"({settings.DEFAULT_TIMEOUT:g} s) without {transfer.PROGRESS // 1024} KiB of progress",
    "a second of processor time and 128 MiB",  # of fuzzing, which breaks off otherwise
]
NAMES = ["`.pt2`", ".h5", "sha256", "HDF5 1.14", "HDF5", "CRC-32C", "V1", "V2", "JPEG 2000", "libhdf5"]


@pytest.mark.parametrize("figure", FIGURES)
def test_a_figure_is_the_codes(figure):
    assert figure in TEXT


def test_no_figure_stands_there_that_is_not_the_codes():
    rest = SECTIONS
    for known in sorted([*FIGURES, *NAMES], key=len, reverse=True):
        rest = rest.replace(known, "")
    assert re.findall(r"\S*\d\S*", rest) == []


# What the other tests do not measure


VALUES = np.arange(250_000, dtype=np.float32)
INTEGERS = 2**17


def v1_integers(path: Path, type: int, number: int) -> Path:
    """A V1 checkpoint with one-byte varints, the shortest."""
    shape = (INTEGERS,)
    meta = field(1, b"a") + field(2, shape_message(shape)) + field(3, type) + field(4, whole(shape))
    data = field(1, type) + field(2, shape_message(shape)) + field(number, bytes(INTEGERS))
    saved = field(1, b"a") + field(2, whole(shape)) + field(3, data)
    listed = field(1, field(1, meta) + field(2, field(1, 1)))
    path.write_bytes(table_bytes([(b"", listed), (slice_key("a", 1), field(2, saved))]))
    return path


def read_peak(format: str, path: Path) -> tuple[np.ndarray, int]:
    """The only tensor of a file, and the memory that it takes to read it."""
    with FORMATS[format].read(path) as found:
        (name,) = found
        tracemalloc.start()
        try:
            array = found.read(name)
            return array, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


def written(format: str) -> Callable[[Path], None]:
    return lambda path: FORMATS[format].write(path, {"layer/weight": VALUES})


FILES = {
    **{name: written(name) for name, format in FORMATS.items() if not format.planned},
    "tensorflow V1": lambda path: path.write_bytes(saved_slices({"a": (VALUES.shape, VALUES.tobytes())})),
    "mxnet bfloat16": lambda path: path.write_bytes(
        mxnet_file({"a": mxnet_array(VALUES.view(np.uint16), type=BFLOAT16)})
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_reading_a_tensor_takes_a_few_times_its_size(kind, tmp_path):
    FILES[kind](tmp_path / "file")
    array, peak = read_peak(kind.split()[0], tmp_path / "file")
    assert peak <= READING_TIMES * array.nbytes + 100_000


@pytest.mark.parametrize(
    ("type", "number"), [(9, 10), (3, 7), (4, 7), (10, 11)], ids=["i8", "i4", "u1", "bool"]
)
def test_integers_of_a_v1_checkpoint_grow_by_so_much(type, number, tmp_path):
    path = v1_integers(tmp_path / "model.ckpt", type, number)
    array, peak = read_peak("tensorflow", path)
    assert array.shape == (INTEGERS,)
    assert array.nbytes <= targets.MAX_GROWTH * path.stat().st_size
    assert peak <= VARINT_BYTES * INTEGERS + 100_000
