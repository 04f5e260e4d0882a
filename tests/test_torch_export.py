"""Networks for PyTorch: programs, and state dicts of classes of torchvision and timm."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import zipfile
from importlib import import_module

import numpy as np
import pytest

import modelzoo
from modelzoo import registry, zoo
from modelzoo.conversion.torch_classes import torch_class
from modelzoo.errors import ExportError
from modelzoo.exporters import FORMATS, Metadata, Options, Samples, deliver, inspect
from modelzoo.exporters import safetensors as writer
from modelzoo.exporters import torch as programs
from modelzoo.exporters.delivery import Network
from modelzoo.exporters.options import StateDict
from modelzoo.formats.safetensors import read_safetensors
from modelzoo.graph import Builder
from modelzoo.graph.convolutions import Conv
from modelzoo.graph.pooling import GlobalPool, MaxPool
from modelzoo.tasks import state_dicts
from modelzoo.zoo import NetworkOptions
from tests.conftest import ROOT
from tests.operators import arrays_of
from tests.test_export import MODEL, small

# The names and shapes of each class's state dict in torchvision 0.29.2 and timm 1.0.31, as digest() has them;
# python -m tests.test_torch_export writes them where both are installed.
GOLDENS = ROOT / "tests" / "goldens" / "torch_classes.json"
MISSING = "needs torch, torchvision and timm, gigabytes that no extra of the tests has"
INSTALLED = all(importlib.util.find_spec(name) for name in ("torch", "torchvision", "timm"))
needs_torch = pytest.mark.skipif(not INSTALLED, reason=MISSING)


@functools.cache
def network(key: str, *, sides: tuple[int | None, int | None] | None = None) -> Network:
    """A network with its synthetic weights, which are made when they are asked for."""
    entry = registry.info(key)
    options = NetworkOptions(input_shape=None if sides is None else (*sides, 3))
    graph = zoo.graph_of(entry, options)
    with zoo.values(entry, options, "synthetic", graph) as arrays:
        height, width, channels = entry.graph.input_shape
        photograph = np.random.default_rng(0).standard_normal((height, width, channels)).astype(np.float32)
        return Network(graph, arrays, Metadata(key, modelzoo="0"), Samples(photograph, (height, width)))


def of_class(key: str) -> tuple[Network, StateDict]:
    return state_dicts.state_dict_of(registry.info(key), network(key))


def has_class(key: str) -> bool:
    facts = registry.info(key).graph
    return torch_class(facts.family, facts.variant) is not None


WITH_CLASS = [key for key in modelzoo.list_models() if has_class(key)]
SMALLEST = ("resnet18_v1b.gluon", "mobilenet_v2.torchvision", "efficientnet_lite0.tpu")


def digest(shapes: dict[str, tuple[int, ...]]) -> str:
    return hashlib.sha256(json.dumps(sorted(shapes.items())).encode()).hexdigest()


def shapes_of(core: Network, state: StateDict) -> dict[str, tuple[int, ...]]:
    """The names and shapes that are written, without reading a weight."""
    zeros = {path: np.broadcast_to(np.float32(0), shape) for path, shape in core.graph.weight_shapes.items()}
    written = list(writer._tensors(core.graph, zeros, state))
    assert len(dict(written)) == len(written), "two weights have one name"
    return {name: array.shape for name, array in written}


def call(state: StateDict) -> str:
    return json.dumps([state.package, state.name, dict(state.arguments)])


@pytest.mark.parametrize("key", WITH_CLASS)
def test_a_state_dict_has_the_names_and_shapes_of_its_class(key):
    """Those that the class itself had, each once and none left over."""
    core, state = of_class(key)
    assert digest(shapes_of(core, state)) == json.loads(GOLDENS.read_text())[call(state)]


def test_the_networks_of_the_issue_have_their_classes():
    assert {"resnet50_v1b.gluon", "resnet101_v1d.gluon"} <= set(WITH_CLASS)
    assert "resnet101_mlimages.tencent" not in WITH_CLASS


def test_a_network_without_a_class_is_refused_with_what_to_do():
    with pytest.raises(ExportError, match=r"No class of torchvision or timm .*\.pt2.*\.onnx"):
        state_dicts.state_dict_of(registry.info(MODEL), network(MODEL))
    with pytest.raises(ExportError, match="No class"):
        state_dicts.state_dict_of(None, network(MODEL))


def test_the_normalization_of_a_network_becomes_its_preprocessing():
    """Keras' EfficientNet takes levels of 0 to 255, timm's what they become inside."""
    entry, known = registry.info("efficientnet_b0"), network("efficientnet_b0")
    facts = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "max_value": 255.0, "channels": "RGB"}
    metadata = Metadata("efficientnet_b0", preprocessing=facts)
    core, _ = state_dicts.state_dict_of(entry, Network(known.graph, known.arrays, metadata, known.samples))
    assert np.allclose(core.metadata.preprocessing["mean"], [123.675, 116.28, 103.53])
    assert np.allclose(core.metadata.preprocessing["std"], [58.395, 57.12, 57.375])
    assert not any(type(node.operator).__name__ == "Normalization" for node in core.graph.nodes)


def test_a_state_dict_says_whose_it_is_and_how_it_was_proven(tmp_path):
    core, state = of_class("mobilenet_v2.torchvision")
    path = tmp_path / "state.safetensors"
    writer.write(path, core.graph, core.arrays, core.metadata.texts(), Options(state_dict=state))
    writer.add_text(path, "proof", '{"runtime": "torchvision 0"}')
    facts = json.loads(writer.read_texts(path)["class"])
    assert facts == {"package": "torchvision", "name": "mobilenet_v2", "arguments": {}}
    assert inspect(path).proof == {"runtime": "torchvision 0"}
    with read_safetensors(path) as tensors:
        kernel = tensors.read("features.0.0.weight")
    assert np.array_equal(kernel, core.arrays["stem_conv/kernel"].transpose(3, 2, 0, 1))


@pytest.mark.parametrize("content", [b"", b"\x08\0\0\0\0\0\0\0[1, 2]  ", b"\xff" * 16, b"{}"])
def test_a_damaged_state_dict_is_refused(content, tmp_path):
    path = tmp_path / "state.safetensors"
    path.write_bytes(content)
    with pytest.raises(ExportError, match="is not a file that modelzoo exported"):
        inspect(path)


def test_a_program_is_inspected_without_being_unpickled_or_run(tmp_path):
    """Its metadata are members of an archive, and nothing else of it is read."""
    path = tmp_path / "program.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("any/data/weights/weights.pt", b"cos\nsystem\n(S'false'\ntR.")
        archive.writestr("any/extra/modelzoo/modelzoo", "1")
        archive.writestr("any/extra/modelzoo/name", "small")
    programs.add_text(path, "proof", "{}")
    assert inspect(path).metadata.name == "small"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ExportError, match="not an archive"):
        inspect(path)


@needs_torch
@pytest.mark.parametrize("key", SMALLEST)
def test_the_class_itself_gives_the_logits(key, tmp_path):
    core, state = of_class(key)
    path = tmp_path / "state.safetensors"
    found = deliver(core, path, FORMATS["safetensors"], Options(state_dict=state))
    assert found.proof.runtime.startswith(state.package)
    assert found.proof.worst < 1e-5


@needs_torch
@pytest.mark.parametrize("precision", ["f32", "f16"])
def test_a_program_answers_at_every_batch_and_size(precision, tmp_path):
    graph, arrays = small()
    samples = Samples(np.random.default_rng(0).standard_normal((32, 32, 3)).astype(np.float32), (32, 32))
    source = Network(graph, arrays, Metadata("small", modelzoo="0"), samples)
    found = deliver(source, tmp_path / "small.pt2", FORMATS["torch"], Options(precision))
    sizes = {comparison.inputs[0] for comparison in found.proof.comparisons}
    assert sizes == {(batch, *size, 3) for batch in (1, 3) for size in ((32, 32), (32, 64))}
    assert inspect(found.path).metadata.name == "small"
    assert inspect(found.path).proof["comparisons"]


@needs_torch
def test_a_program_takes_sizes_at_which_a_map_has_one_pixel(tmp_path):
    """And others: as VGG, whose last map does at its own size."""
    nn = Builder()
    x = nn.input("images", (None, None, None, 3))
    x = nn.add_node(MaxPool((32, 32), (32, 32), ((0, 0), (0, 0))), x, name="pool", layer="pool")
    x = nn.add_node(Conv(4, (7, 7), (1, 1), ((0, 0), (0, 0))), x, name="conv", layer="conv")
    graph = nn.graph("last", {"y": nn.add_node(GlobalPool(), x, name="y", layer="y")})
    samples = Samples(np.random.default_rng(0).random((224, 224, 3)).astype(np.float32), (224, 224))
    source = Network(graph, arrays_of(graph), Metadata("last", modelzoo="0"), samples)
    found = deliver(source, tmp_path / "last.pt2", FORMATS["torch"], Options())
    assert {c.inputs[0][1:3] for c in found.proof.comparisons} == {(224, 224), (224, 256)}


@pytest.mark.parametrize(("key", "sizes"), [("vgg16.keras", 1), ("densenet121.keras", 2)])
def test_a_class_is_proven_at_the_sizes_at_which_it_computes_the_same(key, sizes):
    """torchvision's VGG averages the last map of another size, where ours slides its dense layers over it."""
    core, _ = state_dicts.state_dict_of(registry.info(key), network(key, sides=(None, None)))
    assert len(core.samples.batches(core.graph)) == sizes


def main() -> None:
    """Writes the goldens."""
    found = {}
    for key in WITH_CLASS:
        _, state = of_class(key)
        module = import_module({"timm": "timm", "torchvision": "torchvision.models"}[state.package])
        make = module.create_model if state.package == "timm" else module.get_model
        with import_module("torch").device("meta"):
            tensors = make(state.name, **state.arguments).state_dict()
        found[call(state)] = digest({name: tuple(tensor.shape) for name, tensor in tensors.items()})
    GOLDENS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
