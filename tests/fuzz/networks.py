"""The readers of whole networks: what is fuzzed of them, and tiny valid files."""

from __future__ import annotations

import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from modelzoo import importers
from modelzoo.exporters import ir
from modelzoo.exporters import onnx as onnx_writer
from modelzoo.exporters.options import Options
from modelzoo.formats import protobuf
from modelzoo.graph import Builder, Graph
from modelzoo.graph.convolutions import Conv, Dense
from modelzoo.graph.elementwise import Activation
from modelzoo.graph.normalization import BatchNorm
from modelzoo.graph.pooling import GlobalPool, MaxPool
from modelzoo.importers import keras_model as keras_model  # now: Keras changes the environment

MAX_GROWTH = 64  # values of a network for each byte of its file: constants may be stated once for all places
DATA = np.arange(24, dtype=np.float32) / 24


def small() -> tuple[Graph, dict[str, np.ndarray]]:
    nn = Builder()
    x = nn.input("images", (None, 6, 6, 2))
    x = nn.add_node(Conv(2, (2, 2), (2, 2), "same"), x, name="conv", layer="conv")
    x = nn.add_node(BatchNorm(), x, name="norm", layer="norm")
    x = nn.add_node(Activation("relu"), x, name="relu", layer="relu")
    x = nn.add_node(MaxPool((2, 2), (1, 1)), x, name="pool", layer="pool")
    x = nn.add_node(GlobalPool(), x, name="mean", layer="mean")
    x = nn.add_node(Dense(3), x, name="dense", layer="dense")
    graph = nn.graph("small", {"dense": x})
    return graph, {path: np.resize(DATA, shape) for path, shape in graph.weight_shapes.items()}


def read_network(path: Path) -> None:
    """Any bytes are a network whose arrays are as its graph says, or are refused."""
    with importers.opened(path) as found:
        for name, weight in found.graph.weights.items():
            assert found.arrays[name].shape == weight.shape
        assert found.graph.parameters <= MAX_GROWTH * max(path.stat().st_size, 2**16)


def _written(write: Callable[[Path], None], suffix: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder, "seed.pb"))
        return Path(folder, "seed.pb").with_suffix(suffix).read_bytes()


def _write_ir(path: Path) -> None:
    ir.write(path, *small(), {}, Options())


def _write_onnx(path: Path) -> None:
    onnx_writer.write(path, *small(), {}, Options(fold=False))


def onnx_seeds() -> list[bytes]:
    return [_written(_write_onnx, ".pb")]


def ir_seeds() -> list[bytes]:
    return [_written(_write_ir, ".pb"), _written(_write_ir, ".json")]


def npy_seeds() -> list[bytes]:
    return [_written(_write_ir, ".npy")]


def _beside(path: Path, suffix: str) -> None:
    """The file that belongs to a graph or to arrays, made once."""
    if not path.with_suffix(suffix).exists():
        with tempfile.TemporaryDirectory() as folder:
            _write_ir(Path(folder, "seed.pb"))
            shutil.copy(Path(folder, "seed.pb").with_suffix(suffix), path.with_suffix(suffix))


def read_ir(path: Path) -> None:
    _beside(path, ".npy")
    read_network(path)


def read_npy(path: Path) -> None:
    _beside(path, ".pb")
    read_network(path.with_suffix(".pb"))


def _graph_node(name: str, kind: str, inputs: tuple[str, ...] = (), **attributes: bytes) -> bytes:
    parts = [protobuf.field(1, name.encode()), protobuf.field(2, kind.encode())]
    parts += [protobuf.field(3, each.encode()) for each in inputs]
    for key, value in attributes.items():
        parts.append(protobuf.field(5, protobuf.field(1, key.encode()) + protobuf.field(2, value)))
    return protobuf.field(1, b"".join(parts))


def graph_constant(name: str, array: np.ndarray) -> bytes:
    sides = b"".join(protobuf.field(2, protobuf.field(1, side)) for side in array.shape)
    kind = {"float32": 1, "int32": 3}[array.dtype.name]
    tensor = protobuf.field(1, kind) + protobuf.field(2, sides) + protobuf.field(4, array.tobytes())
    return _graph_node(name, "Const", value=protobuf.field(8, tensor))


def _list(*numbers: int) -> bytes:
    return protobuf.field(1, protobuf.field(3, b"".join(map(protobuf.varint, numbers))))


def graph_seeds() -> list[bytes]:
    """A convolution with an unfused batch norm, a mean, a reshaping and a product."""
    sides = b"".join(protobuf.field(2, protobuf.field(1, side)) for side in (-1, 6, 6, 2))
    nodes = [
        _graph_node("images", "Placeholder", shape=protobuf.field(7, sides)),
        graph_constant("kernel", np.resize(DATA, (2, 2, 2, 5))),
        _graph_node("kernel/read", "Identity", ("kernel",)),
        _graph_node(
            "conv",
            "Conv2D",
            ("images", "kernel/read"),
            strides=_list(1, 2, 2, 1),
            padding=protobuf.field(2, b"SAME"),
        ),
        graph_constant("scale", np.resize(DATA, 5)),
        _graph_node("scaled", "Mul", ("conv", "scale")),
        graph_constant("shift", np.resize(DATA, 5)),
        _graph_node("shifted", "Add", ("scaled", "shift")),
        _graph_node("relu", "Relu", ("shifted",)),
        graph_constant("axes", np.int32([1, 2])),
        _graph_node("mean", "Mean", ("relu", "axes")),
        graph_constant("matrix", np.resize(DATA, (5, 3))),
        _graph_node("product", "MatMul", ("mean", "matrix")),
        _graph_node("output", "Softmax", ("product",)),
    ]
    return [b"".join(nodes)]


def _layer(kind: str, name: str, **options: object) -> dict[str, object]:
    return {"class_name": kind, "config": {"name": name, **options}}


SEQUENTIAL = [
    _layer(
        "Conv2D",
        "conv",
        batch_input_shape=[None, 6, 6, 2],
        filters=2,
        kernel_size=[2, 2],
        strides=[2, 2],
        padding="same",
        activation="relu",
        use_bias=True,
        data_format="channels_last",
    ),
    _layer("Flatten", "flatten"),
    _layer("Dense", "dense", output_dim=3, activation="hard_sigmoid", bias=False),
]
STORED = {"conv": {"kernel:0": (2, 2, 2, 2), "bias:0": (2,)}, "flatten": {}, "dense": {"kernel:0": (18, 3)}}


def architecture(*, functional: bool) -> str:
    """The same network in both forms of a configuration."""
    if not functional:
        return json.dumps({"class_name": "Sequential", "config": {"name": "net", "layers": SEQUENTIAL}})
    layers: list[dict[str, object]] = [
        {
            **_layer("InputLayer", "images", batch_input_shape=[None, 6, 6, 2]),
            "name": "images",
            "inbound_nodes": [],
        }
    ]
    before = "images"
    for layer, name in zip(SEQUENTIAL, STORED, strict=True):
        layers.append({**layer, "name": name, "inbound_nodes": [[[before, 0, 0, {}]]]})
        before = name
    ends = {"input_layers": [["images", 0, 0]], "output_layers": [[before, 0, 0]]}
    return json.dumps({"class_name": "Model", "config": {"name": "net", "layers": layers, **ends}})


def keras_seeds() -> list[bytes]:
    return [keras_file(architecture(functional=functional)) for functional in (False, True)]


def keras_zip_seeds() -> list[bytes]:
    """The same network as Keras 2.15 and 2.12 keep it in .keras files."""
    return [_keras_zip(group) for group in ("layers", "_layer_checkpoint_dependencies")]


def _keras_zip(group: str) -> bytes:
    weights, buffer = io.BytesIO(), io.BytesIO()
    with h5py.File(weights, "w") as file:
        for name, stored in (("conv2d", STORED["conv"]), ("flatten", {}), ("dense", STORED["dense"])):
            inside = file.create_group(f"{group}/{name}/vars")
            for number, shape in enumerate(stored.values()):
                inside[str(number)] = np.resize(DATA, shape)
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "2.15.0"}))
        archive.writestr("config.json", architecture(functional=True))
        archive.writestr("model.weights.h5", weights.getvalue())
    return buffer.getvalue()


def keras_file(config: str) -> bytes:
    """A file of Keras 2 with this configuration."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["model_config"] = np.bytes_(config)
        file.attrs["keras_version"], file.attrs["backend"] = np.bytes_("2.2.4"), np.bytes_("tensorflow")
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = np.array(list(STORED), "S")
        for layer, weights in STORED.items():
            names = [f"{layer}/{name}" for name in weights]
            group.create_group(layer).attrs["weight_names"] = np.array(names, "S")
            for name, shape in weights.items():
                group[f"{layer}/{layer}/{name}"] = np.resize(DATA, shape)
    return buffer.getvalue()


def architecture_seeds() -> list[bytes]:
    return [architecture(functional=functional).encode() for functional in (False, True)]


def read_architecture(path: Path) -> None:
    weights = path.with_name("weights.h5")
    if not weights.exists():
        weights.write_bytes(keras_file(""))
    with importers.opened(weights, path) as found:
        for name, weight in found.graph.weights.items():
            assert found.arrays[name].shape == weight.shape
