"""Writes docs/registry.schema.json: the JSON Schema of registry.json and of a registry of one's own.

    python -m scripts.registry.schema

Names and types come from the dataclasses of modelzoo/registry/entries.py, limits from the table below. Only
modelzoo.registry.parse checks what one field says about another (a preprocessing's name, a square shape).
"""

from __future__ import annotations

import argparse
import json
import types
import typing
from collections.abc import Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Literal

from modelzoo.registry.entries import (
    Architecture,
    Checksum,
    Entry,
    HostedFile,
    Label,
    Metric,
    Package,
    Preprocessing,
    Source,
)
from modelzoo.registry.parsing import (
    CONVERTER,
    DIGITS,
    DISTRIBUTION,
    FOLDER,
    KEY,
    LARGEST_VALUE,
    SET_NAME,
    SMALLEST_VALUE,
    VERSION,
)
from scripts.registry.build import ROOT
from scripts.registry.records import Json

TARGET = ROOT / "docs" / "registry.schema.json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean"}
POSITIVE: Json = {"exclusiveMinimum": 0}
VALUE: Json = {"minimum": SMALLEST_VALUE, "maximum": LARGEST_VALUE}
LEVEL: Json = {"minimum": -LARGEST_VALUE, "maximum": LARGEST_VALUE}
SIDE: Json = {"type": "integer", **POSITIVE}
SHA256: Json = {"pattern": f"^[0-9a-f]{{{DIGITS['sha256']}}}$"}
MEMBER: Json = {"pattern": r"^(?!/)(?!(.*/)?\.\.(/|$))[^:\\\u0000]*$"}  # a path that stays inside
NAMED = "preprocessing"  # of an entry: the name of one of the document's
DERIVED = {Entry: ("key",), Preprocessing: ("crop_size",)}  # fields that the JSON says elsewhere

IN_FOLDER: Json = {
    "description": "A model folder, which says the rest; a path from this file's own folder. Not packaged.",
    "type": "object",
    "additionalProperties": False,
    "required": [FOLDER],
    "properties": {FOLDER: {"type": "string", "minLength": 1}},
}

LIMITS: dict[tuple[type, str], Json] = {
    (Architecture, "classes"): POSITIVE,
    (Architecture, "input_shape"): {"prefixItems": [SIDE, SIDE, {"const": 3}]},
    (Preprocessing, "central_fraction"): {"exclusiveMinimum": 0, "maximum": 1},
    (Preprocessing, "crop_padding"): {"minimum": 0},
    (Preprocessing, "resize_size"): POSITIVE,
    (Preprocessing, "pad_value"): LEVEL,
    (Preprocessing, "max_value"): VALUE,
    (Preprocessing, "mean"): {"items": {"type": "number", **LEVEL}},
    (Preprocessing, "std"): {"items": {"type": "number", **VALUE}},
    (HostedFile, "url"): {"pattern": "^(https?|file)://"},
    (HostedFile, "sha256"): SHA256,
    (Package, "distribution"): {"pattern": f"^{DISTRIBUTION.pattern}$"},
    (Package, "version"): {"pattern": f"^{VERSION.pattern}$"},
    (Package, "member"): MEMBER,
    (Package, "sha256"): SHA256,
    (Package, "member_sha256"): SHA256,
    (Package, "bytes"): POSITIVE,
    (Source, "converter"): {"pattern": f"^{CONVERTER.pattern}$"},
    (Source, "urls"): {"items": {"type": "string", "pattern": "^https://"}},
    (Source, "member"): MEMBER,
    (Label, "id"): {"minLength": 1},
    (Label, "parent"): {"minimum": 0},
    (Metric, "measured_by"): {"minLength": 1},
    (Metric, "dataset"): {"minLength": 1},
    (Metric, "dataset_sha256"): SHA256,
    (Entry, "parameters"): POSITIVE,
}


def main(arguments: Sequence[str] | None = None) -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args(arguments)
    TARGET.write_text(document(), "utf-8")
    print(TARGET)


def document() -> str:
    """The text of the schema."""
    return json.dumps(schema(), indent=1) + "\n"


def schema() -> Json:
    return {
        "$schema": DIALECT,
        "title": "modelzoo's registry.json",
        "description": "Written by python -m scripts.registry.schema from modelzoo/registry/entries.py.",
        "type": "object",
        "required": ["preprocessing", "models"],
        "additionalProperties": False,
        "properties": {
            "preprocessing": {"type": "object", "additionalProperties": object_schema(Preprocessing)},
            "defaults": {
                "description": "The tag that a bare name means, for names with several.",
                "type": "object",
                "additionalProperties": {"type": "string"},
            },
            "labels": {
                "description": "Label sets of one's own: each class' label, or its name alone, in order.",
                "type": "object",
                "propertyNames": {"pattern": f"^{SET_NAME.pattern}$"},
                "additionalProperties": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"anyOf": [{"type": "string", "minLength": 1}, object_schema(Label)]},
                },
            },
            "models": {
                "type": "object",
                "propertyNames": {"pattern": f"^{KEY.pattern}$"},
                "additionalProperties": {"anyOf": [object_schema(Entry), IN_FOLDER]},
            },
        },
    }


def object_schema(kind: type) -> Json:
    """The schema of a dataclass: every field that its JSON has, and no other."""
    hints = typing.get_type_hints(kind)
    written = [field for field in fields(kind) if field.name not in DERIVED.get(kind, ())]
    result: Json = {
        "description": " ".join((kind.__doc__ or "").split()),
        "type": "object",
        "additionalProperties": False,
        "required": [field.name for field in written if _is_required(field)],
        "properties": {field.name: _field(kind, field.name, hints[field.name]) for field in written},
    }
    if kind is Checksum:  # each algorithm has a length of its own
        result["allOf"] = [_digest(algorithm, digits) for algorithm, digits in DIGITS.items()]
    if kind is HostedFile:
        wheels = {"properties": {"packages": {"minItems": 1}}, "required": ["packages"]}
        result |= {"if": {"properties": {"url": {"type": "null"}}}, "then": wheels}
    if kind is Preprocessing:
        padded = {"properties": {"pad_value": {"type": "number"}}, "required": ["pad_value"]}
        result |= {"if": padded, "then": {"properties": {"resize_size": {"type": "null"}}}}
    return result


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _field(kind: type, name: str, hint: Any) -> Json:
    if kind is Entry and name == NAMED:
        return {"description": "The name of one of this document's or of the packaged.", "type": "string"}
    limits = LIMITS.get((kind, name), {})
    arguments = typing.get_args(hint)
    if isinstance(hint, types.UnionType):  # always "something | None" here
        return {"anyOf": [type_schema(arguments[0]) | limits, {"type": "null"}]}
    return type_schema(hint) | limits


def type_schema(hint: Any) -> Json:
    """The schema of an annotation; raises TypeError for one that no field had so far."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if is_dataclass(hint) and isinstance(hint, type):
        return object_schema(hint)
    if origin is Literal:
        return {"enum": list(arguments)}
    if isinstance(hint, types.UnionType):
        return {"anyOf": [type_schema(arguments[0]), {"type": "null"}]}
    if origin is tuple and arguments[-1] is Ellipsis:
        return {"type": "array", "items": type_schema(arguments[0])}
    if origin is tuple:
        length = len(arguments)
        return {"type": "array", "items": type_schema(arguments[0]), "minItems": length, "maxItems": length}
    if hint in SIMPLE:
        return {"type": SIMPLE[hint]}
    raise TypeError(
        f"expected one of the annotations that registry entries have, got {hint!r}; extend type_schema."
    )


def _digest(algorithm: str, digits: int) -> Json:
    return {
        "if": {"properties": {"algorithm": {"const": algorithm}}},
        "then": {"properties": {"value": {"pattern": f"^[0-9a-f]{{{digits}}}$"}}},
    }


if __name__ == "__main__":
    main()
