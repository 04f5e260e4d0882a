"""Our networks against the original programs' outputs, with the same synthetic weights.

    python -m tests.parity            # prints the whole table
    python -m tests.parity resnet50_v1d

The goldens under tests/goldens/ were written by scripts/convert/, which ran the originals: all logits,
and of each feature map the norm and SAMPLES values at even distances.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np

import modelzoo
from modelzoo import synthetic
from modelzoo.registry import Entry

GOLDENS = Path(__file__).parent / "goldens"
ODD_SIZE = (97, 131)  # height, width of the second input: odd sides find wrong padding
ODD_SIZES = {"vgg": (257, 289), "yolo": (224, 320)}  # for families that cannot take the above
NATIVE_SIZES = {"yolo": (416, 416)}  # where the entry's own would make the golden large
FIXED_SIZE = ("yolo",)  # families whose graph depends on the pictures' size
SAMPLES = 1024
LIMIT = 2e-6  # of the relative L2 error, for float32; gluon2TF promised 1e-5
LIMITS = {
    # The longest chain without shortcuts: rounding adds up, 6e-7 at C2, 1.1e-6 at C3, 2.3e-6 at C4 and C5.
    "inception_v4.slim": 3e-6,
}
ORIGINALS = {
    "tencent": "tencent-ml-images models/resnet.py, TF 2.21",
    "gluon": "gluoncv 0.10.5 on mxnet 1.9.1",
    "slim": "research/slim nets, tf_slim 1.1, TF 2.21",
    "darknet": "readNetFromDarknet, OpenCV 4.10",
}
PROVEN_ELSEWHERE = ("keras", "modelzoo")  # tests/test_keras_applications.py runs Keras' own; ours has none
MAPS = ("C2", "C3", "C4", "C5")
HEADER = f"{'model':<36} {'original program':<44} {'std':>7} {'logits':>8} {'C2..C4':>8} {'C5':>8}  argmax"


def inputs(entry: Entry) -> dict[str, tuple[int, int]]:
    """Height and width of the two noise pictures by name: the entry's own size, and an odd one."""
    family = entry.graph.family
    sizes = (NATIVE_SIZES.get(family, entry.graph.input_shape[:2]), ODD_SIZES.get(family, ODD_SIZE))
    return {f"noise_{height}x{width}": (height, width) for height, width in sizes}


def golden(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a golden keeps of the outputs {"input/map": array}."""
    kept = {}
    for name, array in outputs.items():
        if name.endswith("/logits"):
            kept[name] = array
        elif name.endswith(MAPS):
            kept[f"{name}/sample"] = sample(array)
            kept[f"{name}/norm"] = np.linalg.norm(array.astype(np.float64))
    return kept


def sample(array: np.ndarray) -> np.ndarray:
    flat = array.ravel()
    step, rest = divmod(flat.size, SAMPLES)
    if rest == 0 and step % array.shape[-1] == 0:  # every one of these would lie in the first channel
        return flat[np.arange(SAMPLES) * (step - 1)]
    return flat[np.arange(SAMPLES) * flat.size // SAMPLES]


def write_golden(key: str, outputs: dict[str, np.ndarray]) -> None:
    np.savez_compressed(GOLDENS / f"{key}.npz", **golden(outputs))


def read_golden(key: str) -> dict[str, np.ndarray]:
    with np.load(GOLDENS / f"{key}.npz") as file:
        return dict(file)


def compare(entry: Entry, original: dict[str, np.ndarray], weights="synthetic") -> dict[str, float | bool]:
    """The worst relative L2 error over both inputs, of the logits and of each feature map."""
    ours = golden(outputs(entry, weights))
    figures: dict[str, float | bool] = dict.fromkeys(("logits", *MAPS), 0.0)
    figures["argmax_equal"] = True
    for name in inputs(entry):
        logits = original[f"{name}/logits"]
        figures["logits_std"] = float(logits.std())
        figures["logits"] = max(figures["logits"], relative(ours[f"{name}/logits"], logits))
        figures["argmax_equal"] &= bool(ours[f"{name}/logits"].argmax() == logits.argmax())
        for map_name in MAPS:
            kind = f"{name}/{map_name}"
            error = max(
                relative(ours[f"{kind}/sample"], original[f"{kind}/sample"]),
                relative(ours[f"{kind}/norm"], original[f"{kind}/norm"]),
            )
            figures[map_name] = max(figures[map_name], error)
    return figures


def outputs(entry: Entry, weights="synthetic") -> dict[str, np.ndarray]:
    """Logits and feature maps of our network, {"input/map": array}, each input run once."""
    import keras

    fixed = entry.graph.family in FIXED_SIZE
    every = None if fixed else _every_map(entry, weights, (None, None))
    results = {}
    for name, size in inputs(entry).items():
        model = _every_map(entry, weights, size) if fixed else every
        for map_name, array in model(synthetic.images(*size), training=False).items():
            results[f"{name}/{map_name}"] = keras.ops.convert_to_numpy(array)
    return results


def _every_map(entry: Entry, weights, size: tuple[int | None, int | None]):
    """The model from pictures of this size to all feature maps and the logits."""
    import keras

    from modelzoo import architectures
    from modelzoo import weights as weight_files

    graph = entry.graph
    network = architectures.build(
        graph.family, graph.variant, input_shape=(*size, 3), classes=graph.classes, initialise=False
    )
    if weights == "synthetic":
        weight_files.assign_synthetic(network.model())
    else:
        weight_files.assign(network.model(), weights)
    return keras.Model(network.images, network.maps | {"logits": network.output})


def relative(ours: np.ndarray, original: np.ndarray) -> float:
    """||ours - original|| / ||original||, infinite where ours holds a NaN: max() would pass over it."""
    difference = np.asarray(ours, np.float64) - np.asarray(original, np.float64)
    error = float(np.linalg.norm(difference) / np.linalg.norm(np.asarray(original, np.float64)))
    return math.inf if math.isnan(error) else error


def row(entry: Entry, figures: dict[str, float | bool]) -> str:
    middle = max(figures[name] for name in ("C2", "C3", "C4"))
    return (
        f"{entry.key:<36} {ORIGINALS[entry.tag]:<44} {figures['logits_std']:7.2f} {figures['logits']:8.1e} "
        f"{middle:8.1e} {figures['C5']:8.1e}  {'equal' if figures['argmax_equal'] else 'DIFFERS'}"
    )


def proven() -> list[Entry]:
    """The registry's entries that have an original program and its golden."""
    entries = map(modelzoo.info, modelzoo.list_models())
    return [entry for entry in entries if entry.tag not in PROVEN_ELSEWHERE]


def main() -> None:
    entries = [modelzoo.info(name) for name in sys.argv[1:]] or proven()
    print(HEADER)
    beyond = []
    for entry in entries:
        figures = compare(entry, read_golden(entry.key))
        print(row(entry, figures), flush=True)
        if max(figures["logits"], *(figures[name] for name in MAPS)) > limit(entry):
            beyond.append(entry.key)
    print(f"{len(entries)} models, limit {LIMIT:.0e} ({', '.join(LIMITS)} {max(LIMITS.values()):.0e})")
    if beyond:
        raise SystemExit(f"beyond the limit: {', '.join(beyond)}")


def limit(entry: Entry) -> float:
    return LIMITS.get(entry.key, LIMIT)


if __name__ == "__main__":
    main()
