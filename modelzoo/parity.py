"""Our networks against the original programs' outputs, on the same synthetic weights and pictures.

An original was run once, by scripts/convert/, and left a golden under modelzoo/goldens/: all logits, and of
each feature map the norm and SAMPLES values at even distances. keras.applications, which Keras brings
along, is run each time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from modelzoo import keras_originals, synthetic
from modelzoo.registry import Entry

if TYPE_CHECKING:
    import keras

GOLDENS = Path(str(resources.files("modelzoo") / "goldens"))
ORIGINALS = {
    "darknet": "readNetFromDarknet, OpenCV 4.10",
    "gluon": "gluoncv 0.10.5 on mxnet 1.9.1",
    "keras": "keras.applications",
    "modelzoo": "modelzoo 0.1 itself",
    "slim": "research/slim nets, tf_slim 1.1, TF 2.21",
    "tencent": "tencent-ml-images models/resnet.py, TF 2.21",
}
ODD_SIZE = (97, 131)  # height, width of the second picture: odd sides find wrong padding
ODD_SIZES = {"vgg": (257, 289), "yolo": (224, 320)}  # for families that cannot take the above
NATIVE_SIZES = {"yolo": (416, 416)}  # where the entry's own would make the golden large
ONE_SIZE = re.compile(r"vgg\d+\.keras")  # Keras' own head fits no other
SAMPLES = 1024
MAPS = ("C2", "C3", "C4", "C5")
# Of the relative L2 error in float32, with TensorFlow's plain kernels (TF_ENABLE_ONEDNN_OPTS=0).
LIMIT = 2e-6
# VGG sums 4,608 products and more without a norm: another order of them, by another CPU's, shows.
LIMITS = {"vgg": 5e-6}
TOLERANCE = 1e-5  # with any machine's kernels; what gluon2TF promised


def limit(entry: Entry) -> float:
    """The largest relative L2 error that the tests take for rounding."""
    return LIMITS.get(entry.graph.family, LIMIT)


def has_original(entry: Entry) -> bool:
    """Whether the original program's outputs are known; of a model of the user's own they are not."""
    return keras_originals.has(entry) or _golden_path(entry).is_file()


def original(entry: Entry) -> dict[str, np.ndarray]:
    """The original program's outputs, as a golden keeps them."""
    if keras_originals.has(entry):
        return golden(keras_originals.outputs(entry, inputs(entry)))
    with np.load(_golden_path(entry)) as file:
        return dict(file)


def write_golden(entry: Entry, outputs: Mapping[str, np.ndarray]) -> None:
    np.savez_compressed(_golden_path(entry), **golden(outputs))


def _golden_path(entry: Entry) -> Path:
    return GOLDENS / f"{entry.key}.npz"


def inputs(entry: Entry) -> dict[str, np.ndarray]:
    """Two pictures of noise by name, float32 (1, height, width, 3): the entry's own size, and an odd one."""
    family = entry.graph.family
    sizes = [NATIVE_SIZES.get(family, entry.graph.input_shape[:2])]
    if not ONE_SIZE.fullmatch(entry.key):
        sizes.append(ODD_SIZES.get(family, ODD_SIZE))
    return {f"noise_{height}x{width}": picture(entry, height, width) for height, width in sizes}


def picture(entry: Entry, height: int, width: int) -> np.ndarray:
    """Noise of variance 1, or among the levels up to 255 where the network itself scales these."""
    noise = synthetic.images(height, width)
    raw = entry.pictures.white == 255 and entry.pictures.mean == (0, 0, 0)
    return 128 + 64 * noise if raw else noise


def golden(outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
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


def compare(
    entry: Entry, original: Mapping[str, np.ndarray], weights: str | Path = "synthetic"
) -> dict[str, float | bool]:
    """The worst relative L2 error over the inputs, of the logits and of each feature map that there is."""
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
            if f"{kind}/norm" not in original:
                assert f"{kind}/norm" not in ours
                continue  # the network ends before
            error = max(
                relative(ours[f"{kind}/sample"], original[f"{kind}/sample"]),
                relative(ours[f"{kind}/norm"], original[f"{kind}/norm"]),
            )
            figures[map_name] = max(figures[map_name], error)
    return figures


def worst(figures: Mapping[str, float | bool]) -> float:
    """The largest of the errors."""
    return max(figures[name] for name in ("logits", *MAPS))


def outputs(entry: Entry, weights: str | Path = "synthetic") -> dict[str, np.ndarray]:
    """Logits and feature maps of our network, {"input/map": array}, each input run once."""
    import keras

    results = {}
    for model, names in _models(entry, weights):
        for name in names:
            for map_name, array in model(inputs(entry)[name], training=False).items():
                results[f"{name}/{map_name}"] = keras.ops.convert_to_numpy(array)
    return results


def _models(entry: Entry, weights: str | Path) -> Iterator[tuple[keras.Model, list[str]]]:
    """One model for all inputs, or one for each where the graph depends on the pictures' size."""
    pictures = inputs(entry)
    if entry.graph.family != "yolo" and not keras_originals.of_one_size(entry):
        yield _every_map(entry, weights, (None, None)), list(pictures)
        return
    for name, array in pictures.items():
        yield _every_map(entry, weights, array.shape[1:3]), [name]


def _every_map(entry: Entry, weights: str | Path, size: tuple[int | None, int | None]) -> keras.Model:
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
