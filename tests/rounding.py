"""Prints how much of each runtime's error is rounding: float32 against the float64 reference.

python -m tests.rounding                      # the networks of NETWORKS
python -m tests.rounding resnet50_v1d yolo2

Weights and images are synthetic and the same for all, exact in float32; the reference takes every product and
every sum in float64. "ideal" is the reference with the value of every layer rounded to float32, and nothing
else: what no runtime in float32 can do better. A runtime that sums up in float32 is a few times worse; one
that computes something else is so by orders of magnitude. "between" are the two runtimes, compared with each
other: what both errors explain.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # TensorFlow's plain kernels round less

import modelzoo
from modelzoo.backends import numpy as reference
from modelzoo.registry import Entry
from modelzoo.verification import comparison
from tests.operators import Backend, Outputs, keras_outputs, openvino_outputs

NETWORKS = (
    "resnet50.keras",
    "mobilenet_v2_1.0_224.keras",
    "efficientnet_b0.keras",
    "nasnet_mobile.keras",
    "convnext_tiny.keras",
    "yolo2.darknet",
)
RUNTIMES: dict[str, Backend] = {"keras": keras_outputs, "openvino": openvino_outputs}
HEADER = f"{'model':<32} {'logits by':<9} {'error':>8} {'ratio':>6}   {'worst map':>9}"


def rounding(entry: Entry) -> dict[str, dict[str, float]]:
    """The relative L2 errors against the reference by output, of each runtime and of the "ideal" one.

    The outputs are the logits and the feature maps. One image of noise, of the size that the entry is proven
    with. "between" is how much the runtimes differ from each other.
    """
    image = next(iter(comparison.inputs(entry).values()))
    graph = comparison.every_map(entry, image.shape[1:3])
    arrays, inputs = dict(comparison.values(entry)), dict.fromkeys(graph.inputs, image)
    exact = reference.run(graph, arrays, inputs)
    found: dict[str, Outputs] = {"ideal": reference.run(graph, arrays, inputs, rounded=True)}
    found |= {name: run(graph, arrays, inputs) for name, run in RUNTIMES.items()}
    errors = {name: _errors(outputs, exact) for name, outputs in found.items()}
    return errors | {"between": _errors(found["openvino"], found["keras"])}


def _errors(found: Outputs, expected: Outputs) -> dict[str, float]:
    return {name: comparison.relative(found[name], expected[name]) for name in expected}


def rows(entry: Entry) -> list[str]:
    """The lines under HEADER."""
    errors, lines = rounding(entry), []
    for name, by_output in errors.items():
        error, ratio = by_output["logits"], by_output["logits"] / errors["ideal"]["logits"]
        worst, output = max((e, output) for output, e in by_output.items() if output != "logits")
        lines.append(f"{entry.key:<32} {name:<9} {error:8.1e} {ratio:6.1f}   {worst:9.1e} {output}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"default: {', '.join(NETWORKS)}")
    print(HEADER)
    for name in parser.parse_args().names or NETWORKS:
        started = time.perf_counter()
        print("\n".join(rows(modelzoo.info(name))), f"({time.perf_counter() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
