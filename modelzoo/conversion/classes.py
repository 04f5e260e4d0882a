"""How many classes a network has by the shape of its head in a file, whatever the registry says."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from modelzoo.conversion.converter import Converter
from modelzoo.conversion.shapes import head_weights, weight_shapes
from modelzoo.errors import ConversionError
from modelzoo.formats import Tensors
from modelzoo.registry import Entry

Shape = tuple[int, ...]


class OtherClasses(ConversionError):
    """A file whose head has another number of classes than the entry, where the entry's are needed."""

    def __init__(self, entry: Entry, path: Path, classes: int):
        convert = shlex.join(["modelzoo", "convert", entry.key, str(path), "-o", "own.h5"])
        super().__init__(
            f"{path} has a head of {classes:,} classes, and {entry.key} has {entry.graph.classes:,}: it "
            f"cannot become its pretrained weights. Keep it as a file of your own: {convert}; then "
            f"load({entry.key!r}, weights='own.h5'), or `modelzoo classify -m {entry.key} -w own.h5`."
        )


def with_classes(entry: Entry, classes: int) -> Entry:
    """The entry with another number of classes."""
    return replace(entry, graph=replace(entry.graph, classes=classes))


def fitted(entry: Entry, converter: Converter, tensors: Tensors) -> Entry:
    """The entry with the number of classes of the head in the file; itself if there is no such head."""
    head = head_weights(entry, weight_shapes(entry))
    found = converter.head_shapes(entry.graph.variant, head, tensors)
    classes = None if found is None else classes_of(entry, found)
    return entry if classes in (None, entry.graph.classes) else with_classes(entry, classes)


def classes_of(entry: Entry, found: Mapping[str, Shape]) -> int | None:
    """With how many classes the head's weights have the shapes `found`, by path; None if with no number."""
    shapes, classes = weight_shapes(entry), entry.graph.classes
    if all(shapes[path] == shape for path, shape in found.items()):
        return classes
    one_more = weight_shapes(with_classes(entry, classes + 1))
    path, shape = next(iter(found.items()))
    outputs = shape[-1] if shape else 0
    more, rest = divmod(outputs - shapes[path][-1], one_more[path][-1] - shapes[path][-1])
    if rest or classes + more < 1:
        return None
    expected = weight_shapes(with_classes(entry, classes + more))
    return classes + more if all(expected[path] == shape for path, shape in found.items()) else None
