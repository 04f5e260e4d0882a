"""Dataclasses from JSON: each field is checked against its annotation, and named if it does not fit."""

from __future__ import annotations

import difflib
import math
import types
import typing
from collections.abc import Iterable
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, cast

from modelzoo.errors import RegistryError, quoted

T = TypeVar("T")
JsonObject = dict[str, Any]
LARGEST = 10**18 - 1  # of whole numbers: JSON's have no limit, and what computes with them has


def build(kind: type[T], value: object, where: str) -> T:
    """A dataclass from a JSON object; raises RegistryError that names the field."""
    declared = _fields(kind)
    required = {name for name, field in declared.items() if _is_required(field)}
    items = check_keys(where, value, required, optional=declared.keys() - required)
    hints = _hints(kind)
    return kind(**{name: _coerce(hints[name], item, f"{where}: {name}") for name, item in items.items()})


def check_keys(where: str, value: object, required: Iterable[str], optional: Iterable[str]) -> JsonObject:
    """The value itself; raises RegistryError unless it is an object with these keys."""
    items = check_object(where, value)
    required, optional = set(required), set(optional)
    if missing := sorted(required - items.keys()):
        raise RegistryError(f"{where}: the field {missing[0]!r} is missing.")
    if unknown := sorted(items.keys() - required - optional):
        known = difflib.get_close_matches(unknown[0], required | optional, n=1)
        hint = f" Is it {known[0]!r}?" if known else ""
        raise RegistryError(f"{where}: there is no field {quoted(unknown[0])}.{hint}")
    return items


def check_object(where: str, value: object) -> JsonObject:
    """The value itself; raises RegistryError unless it is an object."""
    if not isinstance(value, dict):
        raise RegistryError(f"{where}: expected an object, got {quoted(value)}.")
    return cast(JsonObject, value)


@cache
def _fields(kind: type) -> dict[str, Field[Any]]:
    return {field.name: field for field in fields(kind)}


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _coerce(hint: Any, value: object, where: str) -> object:
    """`value` as the annotation `hint` says; JSON has no tuples and no dataclasses."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(hint, type) and is_dataclass(hint):
        return value if isinstance(value, hint) else build(hint, value, where)
    if origin is types.UnionType:  # always "something | None" here
        return None if value is None else _coerce(arguments[0], value, where)
    if origin is tuple and isinstance(value, list):
        return _tuple(hint, cast(list[object], value), where)
    if origin is Literal and isinstance(value, str) and value in arguments:
        return value
    if hint is float and type(value) in (int, float):
        return _finite(cast(float, value), where)
    if hint is int and type(value) is int and abs(value) > LARGEST:
        raise RegistryError(f"{where}: expected a number of at most 18 digits, got {quoted(value)}.")
    if origin is None and type(value) is hint:
        return value
    raise RegistryError(f"{where}: expected {_describe(hint)}, got {quoted(value)}.")


def _tuple(hint: Any, values: list[object], where: str) -> tuple[object, ...]:
    arguments = typing.get_args(hint)
    if arguments[-1] is Ellipsis:
        arguments = arguments[:1] * len(values)
    if len(values) != len(arguments):
        raise RegistryError(f"{where}: expected {_describe(hint)}, got {quoted(values)}.")
    pairs = enumerate(zip(arguments, values, strict=True))
    return tuple(_coerce(argument, value, f"{where}[{i}]") for i, (argument, value) in pairs)


def _finite(value: float, where: str) -> float:
    """JSON's numbers have no limit, and Python's reader also takes NaN and Infinity."""
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise RegistryError(f"{where}: expected a finite number, got {quoted(value)}.")
    return number


def _describe(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
