"""verify(): a model's numbers against its original program's, and its answers against the published ones."""

from __future__ import annotations

import fnmatch
import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelzoo import cache, parity, preprocessing, pretrained, registry, zoo
from modelzoo.errors import DownloadError, ModelZooError, PictureError, WeightsUnavailable
from modelzoo.files import digests
from modelzoo.registry import Entry, Pictures

if TYPE_CHECKING:
    import keras

ZEROS = "zeros"  # no picture: the network's input is all zeros


@dataclass(frozen=True)
class Check:
    """A comparison: whether it passed, or None where it could not be run; and the figures or the reason."""

    name: str
    passed: bool | None
    detail: str


def verify(name: str, *, pictures: Path | None = None) -> Iterator[Check]:
    """Runs all that is known to check a model by, one comparison after the other.

    First the network with the synthetic weights against its original program. Then, with the pretrained
    weights, the answers that others published for a picture; this fetches weights and pictures like
    `modelzoo.load`. `pictures` is a folder that may hold the pictures, under any name.
    """
    entry = registry.info(name)
    yield _against_the_original(entry)
    answers = [answer for answer in _known()["answers"] if fnmatch.fnmatchcase(entry.key, answer["model"])]
    if not answers:
        yield Check("known answers", None, "none were published for these weights")
        return
    try:
        pretrained.weights_file(entry.key)
    except WeightsUnavailable as error:
        yield Check("pretrained weights", None, str(error))
        for answer in answers:
            yield Check(_title(answer), None, "the weights are missing")
        return
    for answer in answers:
        yield _against_the_published(entry, answer, pictures)


def _against_the_original(entry: Entry) -> Check:
    title = f"synthetic weights against {parity.ORIGINALS[entry.tag]}"
    figures = parity.compare(entry, parity.original(entry))
    worst = parity.worst(figures)
    passed = worst <= parity.TOLERANCE and figures["argmax_equal"]
    detail = (
        f"relative L2 error {figures['logits']:.1e} of the logits (whose standard deviation is "
        f"{figures['logits_std']:.2g}), at most {worst:.1e} of the feature maps; "
        f"up to {parity.TOLERANCE:.0e} is rounding"
    )
    return Check(title, passed, detail)


def _against_the_published(entry: Entry, answer: dict[str, Any], folder: Path | None) -> Check:
    try:
        images = _images(entry, answer, folder)
    except (DownloadError, PictureError) as error:
        return Check(_title(answer), None, f"the picture cannot be had: {error}")
    try:
        output = _output(entry, answer["output"], images)
    except ModelZooError as error:
        return Check(_title(answer), False, str(error))
    indices, wanted = (list(column) for column in zip(*answer["expected"], strict=True))
    if answer["output"] == "rank":
        ranks = [int((output > output[index]).sum()) + 1 for index in indices]
        passed = all(rank <= most for rank, most in zip(ranks, wanted, strict=True))
        return Check(
            _title(answer), passed, f"class {indices[0]} comes at rank {ranks[0]}, wanted {wanted[0]}"
        )
    error = float(np.abs(output[indices] - np.array(wanted)).max())
    passed = error <= answer["tolerance"]
    return Check(
        _title(answer), passed, f"off by {error:.1e} at most, up to {answer['tolerance']:g} is right"
    )


def _title(answer: dict[str, Any]) -> str:
    return f"{answer['output']} of {answer['picture']}, {answer['source']}"


def _images(entry: Entry, answer: dict[str, Any], folder: Path | None) -> np.ndarray:
    """The network's input, (1, height, width, 3)."""
    size = answer.get("size", entry.pictures.crop)
    if answer["picture"] == ZEROS:
        return np.zeros((1, size, size, 3), np.float32)
    recipe = entry.pictures
    if "recipe" in answer:
        recipe = Pictures(crop=size, **vars(registry.packaged().pictures[answer["recipe"]]))
    if answer.get("channels") and answer["channels"] != recipe.channels:
        recipe = replace(recipe, channels=answer["channels"])
    return preprocessing.preprocess(_picture(answer["picture"], folder), recipe)


def _picture(name: str, folder: Path | None) -> Path:
    """The very picture, from the folder, the cache or its address."""
    known = _known()["pictures"][name]
    wanted = {"sha256": known["sha256"]}
    for path in sorted(folder.iterdir()) if folder else ():
        if path.is_file() and digests(path, ("sha256",)) == wanted:
            return path
    try:
        return cache.fetched(known["url"], known["sha256"])
    except (DownloadError, WeightsUnavailable) as error:
        raise DownloadError(f"{known['url']}: {error}") from error


def _output(entry: Entry, output: str, images: np.ndarray) -> np.ndarray:
    """The vector that an answer is about, for one picture."""
    import keras

    model: keras.Model
    if output == "pool":
        model = zoo.load(entry.key, include_top=False, pooling="avg")
    else:
        activation = None if output == "logits" else zoo.FROM_ENTRY
        model = zoo.load(entry.key, classifier_activation=activation, input_shape=images.shape[1:])
    return keras.ops.convert_to_numpy(model(images, training=False))[0]


@functools.cache
def _known() -> dict[str, Any]:
    return json.loads((resources.files("modelzoo") / "known_answers.json").read_text("utf-8"))
