"""Prints the whole table of modelzoo.parity, and fails if a model is beyond its limit.

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
from modelzoo import parity
from modelzoo.registry import Entry
from modelzoo.runtimes import openvino
from modelzoo.runtimes.keras import KerasPredictor
from modelzoo.runtimes.openvino import OpenVINOPredictor

HEADER = f"{'model':<40} {'original program':<44} {'std':>7} {'logits':>8} {'C2..C4':>8} {'C5':>8}  argmax"

RUNTIME_LIMIT = 1e-5  # of the relative L2 error between a runtime in f32 and Keras


def row(entry: Entry, figures: dict[str, float | bool]) -> str:
    middle = max(figures[name] for name in ("C2", "C3", "C4"))
    return (
        f"{entry.key:<40} {parity.ORIGINALS[entry.tag]:<44} {figures['logits_std']:7.2f} "
        f"{figures['logits']:8.1e} {middle:8.1e} {figures['C5']:8.1e}  "
        f"{'equal' if figures['argmax_equal'] else 'DIFFERS'}"
    )


def runtime_error(entry: Entry, runtime: str, **arguments) -> float:
    """The relative L2 error of a runtime's logits against those of Keras, for a batch of two pictures.

    The arguments are load()'s.
    """
    import keras

    if entry.task == "classification":
        arguments = {"classifier_activation": None} | arguments
    height, width, _ = arguments.get("input_shape", entry.graph.input_shape)
    noise = parity.picture(entry, height, width)
    images = np.concatenate([noise, noise[:, ::-1]])
    model = modelzoo.load(entry.key, weights="synthetic", **arguments)
    wanted = keras.ops.convert_to_numpy(model(images, training=False))
    if runtime == "keras":
        predictor = KerasPredictor(model)
    else:
        predictor = OpenVINOPredictor(openvino.from_keras(model, "f32"), "f32")
    return parity.relative(predictor.predict(images), wanted)


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
            figures = parity.compare(entry, parity.original(entry))
            print(row(entry, figures), flush=True)
            passed = parity.worst(figures) <= parity.limit(entry) and figures["argmax_equal"]
        if not passed:
            beyond.append(entry.key)
        keras.backend.clear_session()
        gc.collect()
    exceptions = ", ".join(f"{family} {value:.0e}" for family, value in parity.LIMITS.items())
    limit = f"{RUNTIME_LIMIT:.0e}" if options.runtime else f"{parity.LIMIT:.0e} ({exceptions})"
    print(f"{len(entries)} models, limit {limit}")
    if beyond:
        raise SystemExit(f"beyond the limit: {', '.join(beyond)}")


if __name__ == "__main__":
    main()
