"""What is asked of every image, and the row that each gets: its labels, its embedding, or why it has none."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar, cast

import numpy as np

from modelzoo import labels
from modelzoo.errors import OutputError, abbreviated, quoted
from modelzoo.images import ImageInput
from modelzoo.runtimes import Deployment, network_facts
from modelzoo.tasks import EmbeddingsHead, LabelsHead, Pipeline, Unreadable, network_options

Row = dict[str, Any]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Request:
    """A deployment and what is asked of it. Equal requests give equal rows, byte for byte.

    Raises ValueError for a model of another task, ImageError for ten crops where nothing is cropped.
    """

    deployment: Deployment
    head: LabelsHead | EmbeddingsHead

    def __post_init__(self) -> None:
        network_options(self.deployment, self.head)

    @property
    def embeds(self) -> bool:
        return isinstance(self.head, EmbeddingsHead)

    @property
    def has_classes(self) -> bool:
        """Whether rows name the class of their image."""
        return isinstance(self.head, EmbeddingsHead) and self.head.classes_in is not None

    def labels_each(self) -> int:
        """How many labels an image gets: the label set may have fewer than `top`."""
        top = self.head.top if isinstance(self.head, LabelsHead) else 0
        return min(top, self.deployment.entry.graph.classes)

    @property
    def is_random(self) -> bool:
        """Whether each loading of the network gives other weights, so that no two runs' rows go together."""
        return self.deployment.weights is None

    def facts(self) -> dict[str, Any]:
        """All that decides a row, as JSON has it. Obtains and reads the weights; see network_facts()."""
        import PIL

        deployment, head, entry = self.deployment, self.head, self.deployment.entry
        found = network_facts(deployment, network_options(deployment, head)) | {
            "crops": deployment.crops,
            "fast_decode": deployment.fast_decode,
            "pillow": PIL.__version__,  # decodes
            "preprocessing": dataclasses.asdict(head.preprocessing(entry)),
            "head": type(head).__name__,
            **dataclasses.asdict(head),
        }
        if not self.embeds:
            table = [(label.id, label.name) for label in labels.of(entry)]
            digest = hashlib.sha256(json.dumps(table).encode()).hexdigest()
            found["labels"] = f"{entry.labels}, sha256 {digest}"
        return json.loads(json.dumps(found))

    def pipeline(self, facts: dict[str, Any] | None = None) -> Pipeline[Any]:
        """The network, loaded. Raises OutputError if `facts` are not those of what was loaded."""
        loaded = Pipeline(self.deployment, self.head)
        if facts is not None and (changes := differences(facts, self.facts())):
            raise OutputError(
                f"The network that was loaded is not what the run began with: {changes}. "
                "All processes of a run need the same weights and versions; rerun the command."
            )
        return loaded


def differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    """What differs between two requests' facts, for a message; "" for nothing."""
    flat, flat_now = dict(_flat(before)), dict(_flat(now))
    return abbreviated(
        [
            f"{name} was {_shown(flat, name)} and is {_shown(flat_now, name)}"
            for name in sorted(flat.keys() | flat_now.keys())
            if _shown(flat, name) != _shown(flat_now, name)
        ]
    )


def _flat(facts: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in facts.items():
        if isinstance(value, dict):
            yield from _flat(cast(dict[str, Any], value), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _shown(facts: dict[str, Any], name: str) -> str:
    return quoted(facts[name]) if name in facts else "not recorded"


@dataclass(frozen=True)
class Results:
    """Finished rows, which can be gone through any number of times, and how many there are.

    facts: all that decided the rows; see Request.facts().
    """

    request: Request
    facts: dict[str, Any]
    rows: Callable[[], Iterator[Row]]
    images: int
    failed: int


def rows_of(pipeline: Pipeline[Any], images: Iterable[tuple[str, ImageInput]]) -> Iterator[list[Row]]:
    """The rows of named images, in their order, some at a time, in constant memory."""
    root = pipeline.head.classes_in if isinstance(pipeline.head, EmbeddingsHead) else None
    for batch in pipeline.each_or_reason(images):
        yield [_row(name, pipeline.entry.key, answer, root) for name, answer in batch]


def _row(name: str, model: str, answer: Any, root: str | None) -> Row:
    """A dict of "image", "model", maybe "class", and "predictions", "embedding" or "error"."""
    if isinstance(answer, Unreadable):
        found: Row = {"error": answer.reason}
    elif isinstance(answer, np.ndarray):
        found = {"embedding": answer}
    else:
        found = {"predictions": [{"id": p.id, "name": p.name, "probability": p.probability} for p in answer]}
    of_class = {} if root is None else {"class": os.path.relpath(name, root).split(os.sep)[0]}
    return {"image": name, "model": model} | of_class | found


def groups(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items, `size` at a time."""
    items = iter(items)
    while group := list(islice(items, size)):
        yield group
