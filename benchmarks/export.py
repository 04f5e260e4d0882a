"""ONNX files: seconds, memory and bytes to write one, and what ONNX Runtime makes of it, beside its peers.

    python -m benchmarks.export [--model resnet101_mlimages] [--json FILE]

All write the same network with the same synthetic weights, which lie in a modelzoo weight file, each in a
process of its own. tf2onnx is what keras.Model.export(format="onnx") calls; torch is torch.onnx.export, where
it is installed, of the network as a module. The proof comes on top of what modelzoo writes: its seconds stand
apart.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import measuring

BATCH = 8
PEERS = ("modelzoo", "tf2onnx", "torch")


def main() -> None:
    if sys.argv[1:2] == ["write"]:
        written(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="resnet101_mlimages")
    parser.add_argument("--rounds", type=int, default=5)
    there = [peer for peer in PEERS if peer == "modelzoo" or find_spec(peer) is not None]
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=there)
    measuring.main(parser, measure, text)


def written(peer: str, model: str, folder: str) -> None:
    """Writes one file, or the weights, and prints how long that took and the MiB that were held at most."""
    place = Path(folder)
    writers = {"weights": weight_file, "modelzoo": by_modelzoo, "tf2onnx": by_tf2onnx, "torch": by_torch}
    found = writers[peer](model, place)
    print(json.dumps(found | {"memory": measuring.peak_memory()}))


def weight_file(model: str, folder: Path) -> dict[str, Any]:
    from modelzoo import registry, weights, zoo

    entry, options = registry.info(model), zoo.NetworkOptions()
    graph = zoo.graph_of(entry, options)
    with zoo.values(entry, options, "synthetic", graph) as arrays:
        weights.write(folder / "model.h5", arrays.items(), {"model": entry.key})
    return {}


def by_modelzoo(model: str, folder: Path) -> dict[str, Any]:
    """Without the proof, whose seconds proven() tells."""
    from modelzoo import registry, zoo
    from modelzoo.exporters import Options, onnx

    start = time.perf_counter()
    entry = registry.info(model)
    options = zoo.NetworkOptions(input_shape=(None, None, 3))
    graph, weights = zoo.graph_of(entry, options), zoo.find_weights(entry, options, folder / "model.h5")
    with zoo.values(entry, options, weights, graph) as arrays:
        onnx.write(folder / "modelzoo.onnx", graph, arrays, {}, Options())
    return {"seconds": time.perf_counter() - start}


def by_tf2onnx(model: str, folder: Path) -> dict[str, Any]:
    import modelzoo

    network = modelzoo.load(model, weights=folder / "model.h5")
    network(np.zeros((1, *network.input_shape[1:]), np.float32))  # Keras exports what has been called
    start = time.perf_counter()
    network.export(folder / "tf2onnx.onnx", format="onnx", verbose=False)
    return {"seconds": time.perf_counter() - start}


def by_torch(model: str, folder: Path) -> dict[str, Any]:
    """The exporter alone: the module is there before."""
    import torch

    from modelzoo import registry, zoo
    from modelzoo.backends.torch import Network

    entry = registry.info(model)
    options = zoo.NetworkOptions(input_shape=(None, None, 3))
    graph, weights = zoo.graph_of(entry, options), zoo.find_weights(entry, options, folder / "model.h5")
    with zoo.values(entry, options, weights, graph) as arrays:
        network = Network(graph, arrays).eval()
    start, open_ = time.perf_counter(), torch.export.Dim.DYNAMIC
    torch.onnx.export(
        network,
        (torch.zeros(2, 3, 224, 256),),
        folder / "torch.onnx",
        dynamo=True,
        dynamic_shapes=(({0: open_, 2: open_, 3: open_},),),
        external_data=False,
        verbose=False,
    )
    return {"seconds": time.perf_counter() - start}


def proven(model: str, folder: Path) -> dict[str, Any]:
    import modelzoo

    found = modelzoo.export(model, folder / "proven.onnx", weights=folder / "model.h5")
    return {"seconds": found.proof_seconds, "relative_l2": found.proof.worst}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="modelzoo-export-") as name:
        folder = Path(name)
        run("weights", options.model, folder)
        peers = {peer: run(peer, options.model, folder) for peer in options.peers}
        for peer, facts in peers.items():
            facts["bytes"] = (folder / f"{peer}.onnx").stat().st_size
        rates, error = answers(options, folder)
        for peer, facts in peers.items():
            facts["images_per_second"] = rates[peer]
        return {
            "model": options.model,
            "peers": peers,
            "difference": error,
            "proof": proven(options.model, folder),
        }


def run(peer: str, model: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.export", "write", peer, model, str(folder)]
    found = measuring.whole_process(command, measuring.environment())
    return json.loads(found["output"].strip().splitlines()[-1])


def answers(options: argparse.Namespace, folder: Path) -> tuple[dict[str, list[float]], float]:
    """Images/s of each file in ONNX Runtime, taking turns; and by how much their outputs differ."""
    import onnxruntime

    sessions = {
        peer: onnxruntime.InferenceSession(folder / f"{peer}.onnx", providers=["CPUExecutionProvider"])
        for peer in options.peers
    }
    images = np.random.default_rng(0).standard_normal((BATCH, 224, 224, 3)).astype(np.float32)

    def outputs(peer: str) -> np.ndarray:
        session = sessions[peer]
        given = np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if peer == "torch" else images
        return session.run(None, {session.get_inputs()[0].name: given})[0]

    def rate(peer: str) -> float:
        start = time.perf_counter()
        outputs(peer)
        return BATCH / (time.perf_counter() - start)

    first, *others = (outputs(peer).astype(np.float64) for peer in options.peers)
    differences = [np.linalg.norm(other - first) / np.linalg.norm(first) for other in others]
    return measuring.taking_turns(options.peers, options.rounds, rate), float(max(differences, default=0.0))


def text(found: dict[str, Any]) -> str:
    rows = [
        (
            peer,
            f"{facts['seconds']:.2f} s",
            f"{facts['memory']:,.0f} MiB",
            f"{facts['bytes'] / 1e6:,.1f} MB",
            f"{median(facts['images_per_second']):.1f}",
        )
        for peer, facts in found["peers"].items()
    ]
    header = (found["model"], "written in", "peak memory", "file", "images/s of ONNX Runtime")
    proof = found["proof"]
    return (
        f"{measuring.table(header, rows)}\n\nTheir outputs differ by {found['difference']:.1e}. "
        f"The proof takes {proof['seconds']:.1f} s on top (relative L2 {proof['relative_l2']:.1e})."
    )


if __name__ == "__main__":
    main()
