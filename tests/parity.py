"""Prints how closely every model computes what its original program does; fails beyond a limit.

python -m tests.parity                        # every model against its original program
python -m tests.parity resnet50_v1d
python -m tests.parity --runtime openvino     # every model's runtime against Keras
"""

from __future__ import annotations

import argparse
import gc
import os

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # TensorFlow's plain kernels round less

import numpy as np

import modelzoo
from modelzoo import zoo
from modelzoo.architectures import FAMILIES, Proof
from modelzoo.registry import Entry
from modelzoo.runtimes import openvino
from modelzoo.runtimes.keras import KerasPredictor
from modelzoo.verification import comparison, originals
from modelzoo.zoo import NetworkOptions

HEADER = f"{'model':<40} {'original program':<44} {'std':>7} {'logits':>8} {'C2..C4':>8} {'C5':>8}  argmax"

RUNTIME_LIMIT = 1e-5  # of the relative L2 error between a runtime in f32 and Keras


def row(entry: Entry, figures: dict[str, float | bool], program: str | None = None) -> str:
    """A line under HEADER; `program` is what to call the original, if not by its usual name."""
    middle = max(figures[name] for name in ("C2", "C3", "C4"))
    return (
        f"{entry.key:<40} {program or originals.program(entry):<44} {figures['logits_std']:7.2f} "
        f"{figures['logits']:8.1e} {middle:8.1e} {figures['C5']:8.1e}  "
        f"{'equal' if figures['argmax_equal'] else 'DIFFERS'}"
    )


def runtime_error(entry: Entry, runtime: str, **arguments) -> float:
    """The relative L2 error of a runtime's logits against those of Keras, for a batch of two images.

    The arguments are load()'s.
    """
    import keras

    if entry.task == "classification":
        arguments = {"classifier_activation": None} | arguments
    height, width, _ = arguments.get("input_shape", entry.graph.input_shape)
    noise = comparison.image(entry, height, width)
    images = np.concatenate([noise, noise[:, ::-1]])
    model = modelzoo.load(entry.key, weights="synthetic", **arguments)
    expected = keras.ops.convert_to_numpy(model(images, training=False))
    if runtime == "keras":
        return comparison.relative(KerasPredictor(model).predict(images), expected)
    options = NetworkOptions(**arguments)
    graph = zoo.graph_of(entry, options)
    with zoo.values(entry, options, zoo.SYNTHETIC, graph) as arrays:
        network = openvino.compile_graph(graph, arrays, "f32")
    return comparison.relative(network.predict(images), expected)


def limits() -> str:
    """The limit of the original's comparison in words, with the families that have another."""
    usual = Proof().limit
    others = {name: family.proof.limit for name, family in FAMILIES.items() if family.proof.limit != usual}
    exceptions = ", ".join(f"{name} {limit:.0e}" for name, limit in others.items())
    return f"{usual:.0e} ({exceptions})"


def main() -> None:
    import keras

    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", help="default: all")
    parser.add_argument("--runtime", choices=("openvino", "keras"), help="compare it with Keras instead")
    options = parser.parse_args()
    entries = [modelzoo.info(name) for name in options.names or modelzoo.list_models()]
    if not options.runtime:
        print(HEADER)
    beyond = []
    for entry in entries:
        if options.runtime:
            error = runtime_error(entry, options.runtime)
            print(f"{entry.key:<40} {error:8.1e}", flush=True)
            passed = error <= RUNTIME_LIMIT
        else:
            figures = comparison.compare(entry, originals.outputs(entry))
            print(row(entry, figures), flush=True)
            passed = comparison.worst(figures) <= comparison.limit(entry) and figures["argmax_equal"]
        if not passed:
            beyond.append(entry.key)
        keras.backend.clear_session()
        gc.collect()
    limit = f"{RUNTIME_LIMIT:.0e}" if options.runtime else limits()
    print(f"{len(entries)} models, limit {limit}")
    if beyond:
        raise SystemExit(f"beyond the limit: {', '.join(beyond)}")


if __name__ == "__main__":
    main()
