"""Weight files with synthetic weights, in our format and in the upstreams'.

python -m benchmarks.files MODEL SOURCE FOLDER     # writes the upstream's file, and prints its name
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from modelzoo import conversion, registry, synthetic, weights
from modelzoo.registry import Entry, Source

Arrays = dict[str, np.ndarray]
DARKNET_HEADER = np.array([0, 2, 0, 0, 0], "<i4")  # the version, and how many pictures it was trained on


def ours(entry: Entry, path: Path) -> Path:
    shapes = conversion.weight_shapes(entry)
    arrays = ((name, synthetic.array(name, shape)) for name, shape in shapes.items())
    weights.write(path, arrays, {"model": entry.key})
    return path


def upstream(entry: Entry, source: Source, folder: Path) -> Path:
    """A file of the source's format, packed as the upstream's, with synthetic weights."""
    arrays = conversion.upstream_arrays(entry, conversion.family_of(source), synthetic.array)
    written = WRITERS[source.format](folder, arrays)
    if len(written) == 1 and not source.member:
        return written[0]
    if source.urls[0].endswith((".tar.gz", ".tgz")):
        with tarfile.open(folder / "model.tar.gz", "w:gz", compresslevel=1) as archive:
            for path in written:
                archive.add(path, path.name)
        return folder / "model.tar.gz"
    with zipfile.ZipFile(folder / "model.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in written:
            archive.write(path, source.member or path.name)
    return folder / "model.zip"


def _keras(folder: Path, arrays: Arrays) -> list[Path]:
    """As ours, without the receipt."""
    path = folder / "model.h5"
    weights.write(path, arrays.items(), {})
    with h5py.File(path, "r+") as file:
        del file.attrs[weights.RECEIPT]
    return [path]


def _checkpoint(folder: Path, arrays: Arrays) -> list[Path]:
    import tensorflow as tf

    prefix = folder / "model.ckpt"
    slices = [""] * len(arrays)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(arrays),
        shape_and_slices=slices,
        tensors=list(arrays.values()),
    )
    return sorted(folder.glob(f"{prefix.name}.*"))


def _params(folder: Path, arrays: Arrays) -> list[Path]:
    from tests.readers.files import mxnet_array, mxnet_file

    path = folder / "model.params"
    path.write_bytes(mxnet_file({name: mxnet_array(array) for name, array in arrays.items()}))
    return [path]


def _safetensors(folder: Path, arrays: Arrays) -> list[Path]:
    from safetensors.numpy import save_file

    save_file(arrays, folder / "model.safetensors")
    return [folder / "model.safetensors"]


def _darknet(folder: Path, arrays: Arrays) -> list[Path]:
    """The arrays follow each other as in the plan."""
    from modelzoo.conversion import darknet

    path = folder / "model.weights"
    with path.open("wb") as file:
        file.write(DARKNET_HEADER.tobytes())
        for name in darknet.plan("2"):
            file.write(arrays[name].tobytes())
    return [path]


WRITERS: dict[str, Callable[[Path, Arrays], list[Path]]] = {
    "keras_h5": _keras,
    "tensorflow": _checkpoint,
    "mxnet": _params,
    "safetensors": _safetensors,
    "darknet": _darknet,
}


if __name__ == "__main__":
    named = registry.info(sys.argv[1])
    print(upstream(named, named.sources[int(sys.argv[2])], Path(sys.argv[3])).name)
