"""What is fuzzed: tiny valid files of each format, and what must hold for any bytes in their place."""

from __future__ import annotations

import io
import math
import struct
import tarfile
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from PIL import Image
from safetensors.numpy import save

from modelzoo import weights
from modelzoo.errors import ModelZooError
from modelzoo.formats import FORMATS, Tensors, archives, kinds
from modelzoo.images import reading
from tests.formats import torch_bytes
from tests.formats.checkpoint_bytes import repaired, saved_slices
from tests.formats.files import BFLOAT16, SHARD, V1, mxnet_array, mxnet_file
from tests.formats.graph_bytes import graph
from tests.formats.torch_bytes import View
from tests.fuzz import networks

WRITTEN_BY_TORCH = Path(torch_bytes.__file__).with_name("torch")
MAX_SECONDS = 1.0  # of processor time, for one file
MAX_GROWTH = 8  # bytes of one tensor for each byte of its file: V1 checkpoints have int64 as varints
MAX_UNPACKED = 2**20  # bytes of an archive and pixels of an image: the true limits would fill disk and memory
ARRAYS = {"conv/kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "conv/bias": np.float32([0.5])}
PLAN = {"first": (2,), "last": (2, 3)}
PLANNED = {name: np.ones(shape, np.float32) for name, shape in PLAN.items()}


class Target(NamedTuple):
    file: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[Path], None]
    repair: Callable[[bytes], bytes] | None = None  # makes checksums right again


def attempt(target: Target, content: bytes, folder: Path) -> bool:
    """Whether the content is read; anything but that or one of our sentences raises."""
    path = folder / target.file
    path.write_bytes(content)
    began = time.process_time()
    try:
        target.read(path)
        accepted = True
    except ModelZooError as error:
        if isinstance(error.__cause__, MemoryError):
            raise AssertionError("too much memory was asked for") from error
        if len(str(error).splitlines()) != 1:
            raise AssertionError("not one sentence") from error
        accepted = False
    seconds = time.process_time() - began
    assert seconds < MAX_SECONDS, f"{seconds:.1f} seconds for {len(content)} bytes"
    return accepted


@contextmanager
def _written(format: str, arrays: dict[str, np.ndarray], *plan: object) -> Iterator[list[Path]]:
    with tempfile.TemporaryDirectory() as folder:
        yield FORMATS[format].write(Path(folder) / "seed", arrays, *plan)


def _written_bytes(format: str, arrays: dict[str, np.ndarray], *plan: object) -> bytes:
    with _written(format, arrays, *plan) as files:
        return files[-1].read_bytes()


def _read_tensors(tensors: Tensors, size: int) -> None:
    with tensors:
        for name, info in tensors.items():
            announced = math.prod(info.shape) * info.dtype.itemsize
            assert announced <= MAX_GROWTH * size, f"{announced} bytes are announced in {size}"
            array = tensors.read(name)
            assert (array.shape, array.dtype) == (info.shape, info.dtype)


def _mxnet(path: Path) -> None:
    _read_tensors(FORMATS["mxnet"].read(path), path.stat().st_size)


def _mxnet_seeds() -> list[bytes]:
    old = [
        mxnet_file({name: mxnet_array(array, version=version) for name, array in ARRAYS.items()})
        for version in (None, V1)
    ]
    halves = mxnet_file({"arg:a": mxnet_array(np.uint16([[1, 2]]), type=BFLOAT16)})
    return [*old, _written_bytes("mxnet", ARRAYS | {"step": np.array(7)}), halves]


def _darknet(path: Path) -> None:
    _read_tensors(FORMATS["darknet"].read(path, PLAN, {8: "small.cfg"}), path.stat().st_size)


def _darknet_seeds() -> list[bytes]:
    new = _written_bytes("darknet", PLANNED, PLAN)
    return [struct.pack("<iiii", 0, 1, 0, 7) + new[20:], new]


def _safetensors(path: Path) -> None:
    _read_tensors(FORMATS["safetensors"].read(path), path.stat().st_size)


def _safetensors_seeds() -> list[bytes]:
    described = save({"n": np.array(5), "h": np.float16([[1]])}, {"format": "pt"})
    halves = b'{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    bfloat16 = struct.pack("<Q", len(halves)) + halves + b"\x80\x3f\x00\x40"
    return [_written_bytes("safetensors", ARRAYS), described, bfloat16]


def _torch(path: Path) -> None:
    _read_tensors(FORMATS["torch"].read(path), path.stat().st_size)


def _torch_seeds() -> list[bytes]:
    transposed = View(np.arange(6, dtype=np.float32), 0, (3, 2), (1, 3))
    state = torch_bytes.state({"a": torch_bytes.tensor("0", transposed)})
    nested = torch_bytes.state({"epoch": torch_bytes.number(3), "state_dict": state})
    old = torch_bytes.legacy(nested, {"0": transposed.storage})
    written = [(WRITTEN_BY_TORCH / f"{name}.pth").read_bytes() for name in ("zip", "legacy", "checkpoint")]
    return [_written_bytes("torch", ARRAYS | {"step": np.array(7)}), old, *written]


def _checkpoint_v1(path: Path) -> None:
    _read_tensors(FORMATS["tensorflow"].read(path), path.stat().st_size)


def _checkpoint_v1_seeds() -> list[bytes]:
    return [saved_slices({name: (a.shape, a.tobytes()) for name, a in sorted(ARRAYS.items())})]


def _frozen_graph_seeds() -> list[bytes]:
    return [graph(ARRAYS)]


def _kinds(path: Path) -> None:
    if (kind := kinds.kind_of(path)) is not None:
        assert kind.words.isprintable()


def _kinds_seeds() -> list[bytes]:
    return [
        graph(ARRAYS),
        b"\x08\x07\x12\x07pytorch",
        b"\x0a\x05VGG16\xa2\x06\x01a",
        b"<html>",
        b"PK\x03\x04",
    ]


def _checkpoint_v2(path: Path) -> None:
    shard = path.with_name(path.stem + SHARD)
    if not shard.exists():
        with _written("tensorflow", ARRAYS) as (data, _):
            shard.write_bytes(data.read_bytes())
    size = path.stat().st_size + shard.stat().st_size
    _read_tensors(FORMATS["tensorflow"].read(path), size)


def _checkpoint_v2_seeds() -> list[bytes]:
    return [_written_bytes("tensorflow", ARRAYS)]


def _keras_h5(path: Path) -> None:
    _read_tensors(FORMATS["keras_h5"].read(path), path.stat().st_size)


def _keras_h5_seeds() -> list[bytes]:
    return [_written_bytes("keras_h5", ARRAYS), _hdf5(_write_keras), _hdf5(_write_model)]


def _write_model(file: h5py.File) -> None:
    weights = file.create_group("model_weights")
    _write_keras(weights)
    weights.attrs["backend"] = "tensorflow"  # of a length of its own, as Keras since 2.2 writes it
    weights.attrs["layer_names"] = ["conv"]  # Keras 3


def _write_keras(group: h5py.Group) -> None:
    group.attrs["backend"] = np.bytes_("tensorflow")
    group.attrs["layer_names"] = np.array(["conv"], "S")
    layer = group.create_group("conv")
    layer.attrs["weight_names"] = np.array([f"{name}:0" for name in ARRAYS], "S")
    for name, array in ARRAYS.items():
        layer[f"{name}:0"] = array


def _hdf5(write: Callable[[h5py.File], None]) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        write(file)
    return buffer.getvalue()


def _weights(path: Path) -> None:
    size = path.stat().st_size
    weights.is_modelzoo_file(path)
    weights.provenance(path)
    weights.check(path, {name: array.shape for name, array in ARRAYS.items()})
    for _name, array in weights.read(path):
        assert array.nbytes <= size


def _weights_seeds() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seed.h5"
        weights.write(path, ARRAYS.items(), {"model": "small.test"})
        return [path.read_bytes()]


def _archive(path: Path) -> None:
    limit, archives.MAX_TOTAL_BYTES = archives.MAX_TOTAL_BYTES, MAX_UNPACKED
    try:
        with archives.unpacked(path) as folder:
            if folder == path:
                return
            written = [file for file in folder.rglob("*") if not file.is_dir()]
            assert all(file.is_file() and not file.is_symlink() for file in written)
            assert sum(file.stat().st_size for file in written) <= MAX_UNPACKED
    finally:
        archives.MAX_TOTAL_BYTES = limit


def _archive_seeds() -> list[bytes]:
    contents = {"net/read me.txt": b"read me", "net.params": bytes(range(256)) * 8}
    seeds = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for name, content in contents.items():
                archive.writestr(name, content)
        seeds.append(buffer.getvalue())
    for mode, format in (
        ("w", tarfile.USTAR_FORMAT),
        ("w:gz", tarfile.GNU_FORMAT),
        ("w", tarfile.PAX_FORMAT),
    ):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode=mode, format=format) as tar:
            for name, content in contents.items():
                info = tarfile.TarInfo(name if format == tarfile.USTAR_FORMAT else f"{'long' * 30}é/{name}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        seeds.append(buffer.getvalue())
    return seeds


def _image(path: Path) -> None:
    limit, reading.MAX_PIXELS = reading.MAX_PIXELS, MAX_UNPACKED
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's about damaged metadata
            pixels = reading.read_image(path)
    finally:
        reading.MAX_PIXELS = limit
    assert pixels.shape[0] * pixels.shape[1] <= MAX_UNPACKED
    assert (pixels.dtype, pixels.ndim, pixels.shape[2]) == (np.uint8, 3, 3)


def _image_seeds() -> list[bytes]:
    pixels = Image.fromarray(np.arange(768).astype(np.uint8).reshape(16, 16, 3))  # no icon is smaller
    seeds = []
    for format in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO", "TGA"):
        buffer = io.BytesIO()
        options = {"sizes": [pixels.size]} if format == "ICO" else {}  # else Pillow 10.3 writes no image
        pixels.save(buffer, format, **options)
        seeds.append(buffer.getvalue())
    return seeds


TARGETS: dict[str, Target] = {
    "mxnet": Target("net.params", _mxnet_seeds, _mxnet),
    "darknet": Target("net.weights", _darknet_seeds, _darknet),
    "safetensors": Target("net.safetensors", _safetensors_seeds, _safetensors),
    "torch": Target("net.pth", _torch_seeds, _torch),
    "checkpoint_v1": Target("model.ckpt", _checkpoint_v1_seeds, _checkpoint_v1, repaired),
    "checkpoint_v2": Target("model.index", _checkpoint_v2_seeds, _checkpoint_v2, repaired),
    "frozen_graph": Target("frozen.pb", _frozen_graph_seeds, _checkpoint_v1),
    "kinds": Target("file", _kinds_seeds, _kinds),
    "keras_h5": Target("net.h5", _keras_h5_seeds, _keras_h5),
    "weights": Target("ours.h5", _weights_seeds, _weights),
    "archives": Target("download", _archive_seeds, _archive),
    "images": Target("image", _image_seeds, _image),
    "keras_model": Target("net.h5", networks.keras_seeds, networks.read_network),
    "keras_zip": Target("net.keras", networks.keras_zip_seeds, networks.read_network),
    "keras_architecture": Target("net.json", networks.architecture_seeds, networks.read_architecture),
    "onnx": Target("net.onnx", networks.onnx_seeds, networks.read_network),
    "tensorflow_graph": Target("net.pb", networks.graph_seeds, networks.read_network),
    "mmdnn_ir": Target("net.pb", networks.ir_seeds, networks.read_ir),
    "npy": Target("net.npy", networks.npy_seeds, networks.read_npy),
}
