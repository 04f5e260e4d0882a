"""verify(): a model's outputs against its original program's, and its answers against the published ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelzoo import registry, store
from modelzoo.errors import DownloadError, ImageError, ModelZooError, WeightsMismatch, WeightsUnavailable
from modelzoo.registry import Entry, FolderEntry, HubEntry
from modelzoo.verification import comparison, known_answers, originals, stored_answers
from modelzoo.verification.known_answers import MADE, KnownAnswer


@dataclass(frozen=True)
class Check:
    """A comparison: whether it passed, or None where it could not be run; and the figures or the reason."""

    name: str
    passed: bool | None
    detail: str


def verify(name: str | os.PathLike[str], *, images: Path | None = None) -> Iterator[Check]:
    """Runs all that is known to check a model by, one comparison after the other.

    First the network with the synthetic weights against its original program. Then, with the pretrained
    weights, the answers that others published for an image; this downloads weights and images like
    `modelzoo.load`. `images` is a folder that may hold the images, under any name.

    Of a model folder it is checked that the weights are the file that was saved, and that the network answers
    as it did then. Of timm's files on a hub it is checked that the network is the original program's, and
    that the weights are the file that the hub states.
    """
    entry = registry.info(name)
    if isinstance(entry, FolderEntry):
        yield from (Check(*verdict) for verdict in stored_answers.checks(entry))
        return
    if isinstance(entry, HubEntry):
        yield _against_the_original(registry.info(entry.network))  # the same network
        yield _of_the_hub(entry)
        return
    yield _against_the_original(entry)
    is_packaged = entry.key in registry.packaged().entries  # about others nobody published anything
    answers = known_answers.packaged().about(entry) if is_packaged else []
    if not answers:
        yield Check("known answers", None, "none were published for these weights")
        return
    try:
        store.weights_file(entry.key)
    except WeightsUnavailable as error:
        yield Check("pretrained weights", None, str(error))
        for answer in answers:
            yield Check(answer.title, None, "the weights are missing")
        return
    for answer in answers:
        yield _against_the_published(entry, answer, images)


def _against_the_original(entry: Entry) -> Check:
    if not originals.is_known(entry):
        return Check("synthetic weights", None, "no outputs of an original program are known")
    figures = comparison.compare(entry, originals.outputs(entry))
    worst = comparison.worst(figures)
    passed = worst <= comparison.TOLERANCE and bool(figures["argmax_equal"])
    detail = (
        f"relative L2 error {figures['logits']:.1e} of the logits (whose standard deviation is "
        f"{figures['logits_std']:.2g}), at most {worst:.1e} of the feature maps; "
        f"up to {comparison.TOLERANCE:.0e} is rounding"
    )
    return Check(f"synthetic weights against {originals.program(entry)}", passed, detail)


def _of_the_hub(entry: HubEntry) -> Check:
    """Whether the weights are the file that the hub states, each tensor in its place."""
    title = f"weights of {entry.reference}"
    try:
        located = store.checked(store.locate(entry))
        store.check(entry, located.path)
    except (WeightsUnavailable, WeightsMismatch) as error:
        return Check(title, False if isinstance(error, WeightsMismatch) else None, str(error))
    return Check(title, True, f"every tensor converted; {store.trust(entry)}")


def _against_the_published(entry: Entry, answer: KnownAnswer, folder: Path | None) -> Check:
    try:
        known = known_answers.packaged().images
        path = None if answer.image in MADE else known_answers.find_image(known[answer.image], folder)
        images = known_answers.network_input(entry, answer, path)
    except (DownloadError, ImageError, WeightsUnavailable) as error:
        return Check(answer.title, None, f"the image is not available: {error}")
    try:
        output = known_answers.ask(entry, answer, images)
    except ModelZooError as error:
        return Check(answer.title, False, str(error))
    return Check(answer.title, *known_answers.judge(answer, output))
