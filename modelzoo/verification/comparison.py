"""How a network's outputs are compared with its original program's, on the same weights and images.

Of the outputs a golden keeps all logits, and of each feature map the norm and SAMPLES values at even
distances; both sides of a comparison are reduced to that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from modelzoo import architectures, conversion
from modelzoo import weights as weight_files
from modelzoo.architectures import Proof, synthetic
from modelzoo.registry import Entry

if TYPE_CHECKING:
    import keras

    from modelzoo.graph import Graph

SYNTHETIC = "synthetic"
SAMPLES = 1024
MAPS = ("C2", "C3", "C4", "C5")
TOLERANCE = 1e-5  # of the relative L2 error with any machine's kernels; what gluon2TF promised

Figures = dict[str, float | bool]


def proof_of(entry: Entry) -> Proof:
    """How the entry's network is proven."""
    return synthetic.proof_of(entry.graph)


def limit(entry: Entry) -> float:
    """The largest relative L2 error that the tests take for rounding."""
    return proof_of(entry).limit


def inputs(entry: Entry) -> dict[str, np.ndarray]:
    """Two images of noise by name, float32 (1, height, width, 3): the entry's own size, and an odd one."""
    proof = proof_of(entry)
    sizes = [proof.native_size or entry.graph.input_shape[:2]]
    if proof.odd_size is not None:
        sizes.append(proof.odd_size)
    return {f"noise_{height}x{width}": image(entry, height, width) for height, width in sizes}


def image(entry: Entry, height: int, width: int) -> np.ndarray:
    """Noise of variance 1, or among the levels up to 255 where the network itself scales these."""
    noise = synthetic.images(height, width)
    raw = entry.preprocessing.max_value == 255 and entry.preprocessing.mean == (0, 0, 0)
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
    """SAMPLES values of a feature map at even distances, from all of its channels."""
    flat = array.ravel()
    step, rest = divmod(flat.size, SAMPLES)
    if rest == 0 and step % array.shape[-1] == 0:  # every one of these would lie in the first channel
        return flat[np.arange(SAMPLES) * (step - 1)]
    return flat[np.arange(SAMPLES) * flat.size // SAMPLES]


def synthetic_weights(entry: Entry) -> dict[str, np.ndarray]:
    """All synthetic weights of the entry's network, by "layer/weight"."""
    array = synthetic.values_of(entry.graph)
    return {path: array(path, shape) for path, shape in conversion.weight_shapes(entry).items()}


def compare(entry: Entry, original: Mapping[str, np.ndarray], weights: str | Path = SYNTHETIC) -> Figures:
    """The worst relative L2 error over the inputs, of the logits and of each feature map that there is.

    `original` is what a golden keeps. Beside the errors, `logits_std`, and `argmax_equal`: whether the
    largest logit is the same everywhere.
    """
    found = golden(outputs(entry, weights))
    figures: Figures = dict.fromkeys(("logits", *MAPS), 0.0)
    figures["argmax_equal"] = True
    for name in inputs(entry):
        logits = original[f"{name}/logits"]
        figures["logits_std"] = float(logits.std())
        figures["logits"] = max(figures["logits"], relative(found[f"{name}/logits"], logits))
        figures["argmax_equal"] &= bool(found[f"{name}/logits"].argmax() == logits.argmax())
        for map_name in MAPS:
            kind = f"{name}/{map_name}"
            if f"{kind}/norm" not in original:
                assert f"{kind}/norm" not in found
                continue  # the network ends before
            error = max(
                relative(found[f"{kind}/sample"], original[f"{kind}/sample"]),
                relative(found[f"{kind}/norm"], original[f"{kind}/norm"]),
            )
            figures[map_name] = max(figures[map_name], error)
    return figures


def worst(figures: Mapping[str, float | bool]) -> float:
    """The largest of the errors."""
    return max(figures[name] for name in ("logits", *MAPS))


def outputs(entry: Entry, weights: str | Path = SYNTHETIC) -> dict[str, np.ndarray]:
    """Logits and feature maps of our network, {"input/map": array}, each input run once."""
    import keras

    images, results = inputs(entry), {}
    for model, names in _models(entry, weights, images):
        for name in names:
            for map_name, array in model(images[name], training=False).items():
                results[f"{name}/{map_name}"] = keras.ops.convert_to_numpy(array)
    return results


def _models(
    entry: Entry, weights: str | Path, images: Mapping[str, np.ndarray]
) -> Iterator[tuple[keras.Model, list[str]]]:
    """One model for all images, or one for each where the network is built for one size."""
    if proof_of(entry).any_size:
        yield _every_map(entry, weights, (None, None)), list(images)
        return
    for name, array in images.items():
        yield _every_map(entry, weights, array.shape[1:3]), [name]


def _every_map(entry: Entry, weights: str | Path, size: tuple[int | None, int | None]) -> keras.Model:
    """The model from images of this size to all feature maps and the logits."""
    from modelzoo.backends import keras as backend
    from modelzoo.backends import keras_values

    model = backend.model(every_map(entry, size))
    if weights == SYNTHETIC:
        keras_values.assign(model, synthetic_weights(entry).items())
    else:
        with weight_files.opened(Path(weights), conversion.weight_shapes(entry)) as arrays:
            keras_values.assign(model, arrays.items())
    return model


def every_map(entry: Entry, size: tuple[int | None, int | None]) -> Graph:
    """The entry's network from images of this size to all feature maps and the logits."""
    facts = entry.graph
    graph = architectures.network(facts, input_shape=(*size, 3), classes=facts.classes)
    return graph.with_outputs({**graph.maps, "logits": graph.output})


def relative(found: np.ndarray, original: np.ndarray) -> float:
    """||found - original|| / ||original||, infinite where `found` holds a NaN: max() would pass over it."""
    difference = np.asarray(found, np.float64) - np.asarray(original, np.float64)
    error = float(np.linalg.norm(difference) / np.linalg.norm(np.asarray(original, np.float64)))
    return math.inf if math.isnan(error) else error
