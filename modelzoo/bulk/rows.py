"""What is asked of every image, and the row that each gets: its labels, its embedding, or why it has none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from modelzoo.images import ImageInput
from modelzoo.runtimes import Deployment
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

    def labels_each(self) -> int:
        """How many labels an image gets: the label set may have fewer than `top`."""
        top = self.head.top if isinstance(self.head, LabelsHead) else 0
        return min(top, self.deployment.entry.graph.classes)

    def facts(self) -> dict[str, Any]:
        """All of it as JSON."""
        asked = {} if isinstance(self.head, EmbeddingsHead) else {"top": self.head.top}
        return dataclasses.asdict(self.deployment) | asked

    def pipeline(self) -> Pipeline[Any]:
        """The network, loaded."""
        return Pipeline(self.deployment, self.head)


@dataclass(frozen=True)
class Results:
    """Finished rows, which can be gone through any number of times, and how many there are."""

    request: Request
    rows: Callable[[], Iterator[Row]]
    images: int
    failed: int


def rows_of(pipeline: Pipeline[Any], images: Iterable[tuple[str, ImageInput]]) -> Iterator[list[Row]]:
    """The rows of named images, in their order, some at a time, in constant memory."""
    for batch in pipeline.each_or_reason(images):
        yield [_row(name, pipeline.entry.key, answer) for name, answer in batch]


def _row(name: str, model: str, answer: Any) -> Row:
    """A dict of "image", "model", and "predictions", "embedding" or "error"."""
    if isinstance(answer, Unreadable):
        found: Row = {"error": answer.reason}
    elif isinstance(answer, np.ndarray):
        found = {"embedding": answer}
    else:
        found = {"predictions": [{"id": p.id, "name": p.name, "probability": p.probability} for p in answer]}
    return {"image": name, "model": model} | found


def encodable(name: str) -> str:
    """A file's name as text that every format can hold: bytes that are no UTF-8 are spelt out."""
    return name.encode("utf-8", "backslashreplace").decode()


def groups(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items, `size` at a time."""
    items = iter(items)
    while group := list(islice(items, size)):
        yield group
