"""Metadata: what an exported file says of itself, as names and texts that every format can hold.

The text "modelzoo" is the version that wrote the file; by it a file is known to be modelzoo's. The others are
the fields below, JSON where they are no texts, and "proof", which comes when the file has been proven.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, cast

from modelzoo.errors import ExportError, quoted

VERSION = "modelzoo"
PROOF = "proof"
TEXTS = ("name", "task", "label_set", "precision")  # the fields that are texts
LONGEST = 1 << 24  # characters of a text in a file that somebody else wrote

Labels = tuple[tuple[str, str], ...]  # id and name of each class, in class order


@dataclass(frozen=True)
class Metadata:
    """All that is needed to answer with a file, and where it comes from. Empty where nothing is known.

    preprocessing: the fields of the registry's Preprocessing; None for a network of which it is not known.
    input_shape: height, width and channels that the network was trained at, sides open or not.
    """

    name: str
    task: str = ""
    preprocessing: Mapping[str, Any] | None = None
    input_shape: tuple[int, ...] = ()
    label_set: str = ""
    labels: Labels = ()
    license: Mapping[str, Any] = field(default_factory=dict[str, Any])
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any])
    precision: str = "f32"
    modelzoo: str = ""  # the version that wrote it

    def texts(self) -> dict[str, str]:
        """Names and texts for a file."""
        return {
            known.name: value if isinstance(value, str) else _text(value)
            for known in fields(self)
            if (value := getattr(self, known.name)) not in ("", (), None) and value != {}
        }

    @classmethod
    def of(cls, texts: Mapping[str, str]) -> Metadata:
        """The metadata in a file's texts. Raises ExportError for texts that modelzoo did not write."""
        if VERSION not in texts:
            raise ExportError("it was not exported by modelzoo")
        found: dict[str, Any] = {}
        for name in {known.name for known in fields(cls)} & texts.keys():
            found[name] = texts[name] if name in (*TEXTS, VERSION) else _value(name, texts[name])
        _check(found)
        return cls(**found)


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _value(name: str, text: str) -> Any:
    if len(text) > LONGEST:
        raise ExportError(f"its {name} has {len(text):,} characters, which is too many")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ExportError(f"its {name} is not JSON") from error


def _check(found: dict[str, Any]) -> None:
    """Raises ExportError for values of another kind; makes tuples of the lists."""
    for name in ("preprocessing", "license", "provenance"):
        if not isinstance(found.get(name, {}), dict):
            raise ExportError(f"its {name} is not an object, but {quoted(found[name])}")
    shape, labels = found.get("input_shape", []), found.get("labels", [])
    if not _is_list(shape) or not all(type(side) is int and side > 0 for side in shape):
        raise ExportError(f"its input_shape is {quoted(shape)}")
    if not _is_list(labels) or not all(map(_is_label, labels)):
        raise ExportError(f"its labels are no pairs of texts: {quoted(labels)}")
    found["input_shape"] = tuple(shape)
    found["labels"] = tuple((id, name) for id, name in labels)
    if "name" not in found:
        raise ExportError("it does not say its name")


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _is_label(value: object) -> bool:
    pair = cast("list[object]", value) if isinstance(value, list) else []
    return len(pair) == 2 and all(isinstance(part, str) for part in pair)
