"""The list of models: registry.json read into frozen dataclasses; what is malformed is refused by name.

Nothing here imports more than the standard library, so that listing models costs milliseconds.
"""

from __future__ import annotations

import difflib
import fnmatch
import json
import os
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from modelzoo.errors import RegistryError, UnknownModel

KEY = re.compile(r"[a-z0-9_.]+\.[a-z0-9]+")  # name.tag; the tag has no dot
HEX = re.compile(r"[0-9a-f]+")
OWN = "MODELZOO_REGISTRY"  # the variable: a file, or an address with #sha256=... of a team's own registry
NEAREST = 3  # names offered for an unknown one


@dataclass(frozen=True)
class Graph:
    """Which network: a variant of a family, and the shape and activation of its output."""

    family: str
    variant: str
    input_shape: tuple[int, int, int]  # height, width, channels that it was trained at
    classes: int
    activation: str | None  # what turns the logits into the published probabilities


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a picture becomes a network's input, at any size: all the other facts that decide a pixel."""

    central_fraction: float = 1.0  # of height and width; the middle that is kept before the resize
    shorter_side: int | None = None  # pixels, the longer one in ratio; None: both are resized to the crop
    longer_side: Literal["truncated", "rounded"] = "truncated"  # to whole pixels
    kernel: Literal["darknet_linear", "opencv_linear", "pillow_bicubic", "pillow_nearest", "tf1_bilinear"]
    border: float | None = (
        None  # level around a picture that is fitted into the square whole; None: no border
    )
    white: float = 1.0  # what level 255 becomes before the mean and the deviation
    mean: tuple[float, float, float]  # red, green, blue
    std: tuple[float, float, float]
    channels: Literal["RGB", "BGR"] = "RGB"  # the network's order


@dataclass(frozen=True, kw_only=True)
class Pictures(Recipe):
    """A recipe at a network's size."""

    crop: int  # pixels; the side of the central square that is kept


@dataclass(frozen=True)
class HostedFile:
    """One of our converted weight files on a static host."""

    url: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Checksum:
    """A checksum that the upstream published, of the file itself or of the member inside the archive."""

    algorithm: Literal["md5", "sha1", "sha256", "sha384", "sha512"]
    value: str
    of: Literal["file", "member"]


@dataclass(frozen=True)
class Source:
    """A file of the upstream's weights, which conversion turns into ours.

    The sources of one entry hold the same weights in different formats, by which a file is told apart.
    """

    converter: str
    format: str
    urls: tuple[str, ...]  # in the order in which they are tried
    checksums: tuple[Checksum, ...] = ()
    bytes: int | None = None
    member: str | None = None  # path or pattern inside the archive


@dataclass(frozen=True)
class Metric:
    """A measured quality, who measured it and on what."""

    name: str
    value: float
    dataset: str
    measured_by: str
    note: str | None = None


@dataclass(frozen=True)
class Licences:
    """SPDX identifiers where there is one; None where the upstream states nothing."""

    code: str | None
    weights: str | None
    data: str | None


@dataclass(frozen=True)
class Entry:
    """All that is known of one model. `key` is its name.tag."""

    key: str
    graph: Graph
    pictures: Pictures
    labels: str
    parameters: int
    licences: Licences
    paper: str | None
    weights: tuple[HostedFile, ...] = ()
    sources: tuple[Source, ...] = ()  # in the order in which they are tried
    metrics: tuple[Metric, ...] = ()
    note: str | None = None
    task: Literal["classification", "detection"] = "classification"

    @property
    def name(self) -> str:
        return self.key.rpartition(".")[0]

    @property
    def tag(self) -> str:
        return self.key.rpartition(".")[2]

    def metric(self, name: str) -> float | None:
        """The first metric of this name, or None: unknown."""
        return next((metric.value for metric in self.metrics if metric.name == name), None)


@dataclass(frozen=True)
class Registry:
    """Entries by key, the default tag of every name that has more than one, and recipes by name."""

    entries: Mapping[str, Entry]
    defaults: Mapping[str, str]
    pictures: Mapping[str, Recipe]

    def find(self, name: str) -> Entry:
        """The entry of `name.tag`, or of a bare name's default tag; raises UnknownModel."""
        if name in self.entries:
            return self.entries[name]
        keys = [key for key, entry in self.entries.items() if entry.name == name]
        if name in self.defaults:
            return self.entries[f"{name}.{self.defaults[name]}"]
        if len(keys) == 1:
            return self.entries[keys[0]]
        if keys:
            raise UnknownModel(f"{name!r} is ambiguous: say which of {', '.join(keys)} you want.")
        known = {entry.name for entry in self.entries.values()} | set(self.entries)
        nearest = difflib.get_close_matches(str(name), sorted(known), n=NEAREST, cutoff=0)
        raise UnknownModel(
            f"There is no model {name!r}; the nearest names are {', '.join(nearest)}. "
            "`modelzoo list` shows all."
        )


UNKNOWN = "unknown"  # for what the publisher does not state
SORTS: dict[str, Callable[[Entry], Any]] = {
    "name": lambda entry: entry.name,
    "parameters": lambda entry: entry.parameters,
    "size": lambda entry: entry.graph.input_shape[0],
    "top1": lambda entry: -(entry.metric("top1") or -1),
}


@cache
def packaged() -> Registry:
    """The registry that comes with the package."""
    return parse((resources.files("modelzoo") / "registry.json").read_text("utf-8"))


def current() -> Registry:
    """The packaged registry, and beside it the one that MODELZOO_REGISTRY names."""
    own = os.environ.get(OWN)
    return _with_own(own) if own else packaged()


def info(name: str) -> Entry:
    """The registry entry of a model; raises UnknownModel with the three nearest names."""
    return current().find(name)


def list_models(
    pattern: str = "*",
    *,
    tag: str | None = None,
    labels: str | None = None,
    licence: str | None = None,
    max_parameters: int | None = None,
    min_top1: float | None = None,
    max_size: int | None = None,
    sort: str = "name",
) -> list[str]:
    """The keys of the models that fit; `pattern` is a shell pattern on the name or the key.

    `licence` is the weights' SPDX identifier, or "unknown"; `min_top1` in percent, as published, and what
    is unknown does not fit; `max_size` is the input's side in pixels. Sorted by "name", or by "parameters"
    or "size", the smallest first, or by "top1", the best first and the unknown last. Raises ValueError for
    another `sort`.
    """
    if sort not in SORTS:
        raise ValueError(f"sort must be one of {', '.join(SORTS)}, not {sort!r}.")
    found = [
        entry
        for entry in current().entries.values()
        if (fnmatch.fnmatchcase(entry.name, pattern) or fnmatch.fnmatchcase(entry.key, pattern))
        and tag in (None, entry.tag)
        and labels in (None, entry.labels)
        and licence in (None, entry.licences.weights or UNKNOWN)
        and (max_parameters is None or entry.parameters <= max_parameters)
        and (min_top1 is None or (entry.metric("top1") or -1) >= min_top1)
        and (max_size is None or entry.graph.input_shape[0] <= max_size)
    ]
    return [entry.key for entry in sorted(found, key=lambda entry: (SORTS[sort](entry), entry.key))]


@cache
def _with_own(place: str) -> Registry:
    """The packaged registry and a user's own: what a packaged name means never changes."""
    base = packaged()
    try:
        own = parse(_own_text(place), base.pictures)
        for key in own.entries:
            if key in base.entries:
                raise RegistryError(f"{key!r} is the name of a packaged model; choose another tag.")
        names = {entry.name for entry in base.entries.values()}
        for name in own.defaults:
            if name in names:
                raise RegistryError(f"defaults: {name!r} is the name of a packaged model.")
    except RegistryError as error:
        raise RegistryError(f"{OWN}={place}: {error}") from error
    both = {entry.name for entry in own.entries.values()} & names
    kept = {name: base.find(name).tag for name in both if name not in base.defaults}
    merged = (
        {**base.entries, **own.entries},
        {**base.defaults, **own.defaults, **kept},
        {**own.pictures, **base.pictures},
    )
    return Registry(*map(types.MappingProxyType, merged))


def _own_text(place: str) -> str:
    """The file's text; what is fetched must have the checksum in its address, and is kept in the cache."""
    if "://" not in place:
        try:
            return Path(os.path.expanduser(place)).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RegistryError(f"the file cannot be read: {error}") from error
    from modelzoo import cache

    url, _, sha256 = place.partition("#sha256=")
    if len(sha256) != 64 or not HEX.fullmatch(sha256):
        raise RegistryError("an address must end in #sha256= and the file's checksum.")
    try:
        return cache.fetched(url, sha256).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RegistryError(f"the file cannot be had: {error}") from error


def parse(text: str, known: Mapping[str, Recipe] = types.MappingProxyType({})) -> Registry:
    """A registry from its JSON text; raises RegistryError that names the entry and the field.

    Its entries may use `known` recipes beside its own.
    """
    try:
        document = json.loads(text, object_pairs_hook=_without_duplicates)
    except json.JSONDecodeError as error:
        raise RegistryError(f"The registry is not valid JSON: {error}.") from error
    _check_keys("The registry", document, required={"pictures", "models"}, optional={"defaults"})
    recipes = {name: _recipe(name, value) for name, value in document["pictures"].items()}
    entries = {key: _entry(key, value, {**known, **recipes}) for key, value in document["models"].items()}
    defaults = document.get("defaults", {})
    for name, tag in defaults.items():
        if f"{name}.{tag}" not in entries:
            raise RegistryError(f"defaults: {name!r} points to {name}.{tag}, which is not among the models.")
    return Registry(*map(types.MappingProxyType, (entries, defaults, recipes)))


def _recipe(name: str, value: Any) -> Recipe:
    recipe = _build(Recipe, value, f"pictures {name!r}")

    def refuse(field: str, wanted: str) -> None:
        raise RegistryError(f"pictures {name!r}: {field} is {getattr(recipe, field)}; wanted {wanted}.")

    if not 0 < recipe.central_fraction <= 1:
        refuse("central_fraction", "a number above 0, at most 1")
    if recipe.shorter_side is not None and recipe.shorter_side <= 0:
        refuse("shorter_side", "a positive number of pixels, or null")
    if recipe.border is not None and recipe.shorter_side is not None:
        refuse("border", "null beside a shorter_side")
    if recipe.white <= 0:
        refuse("white", "a number above 0")
    if min(recipe.std) <= 0:
        refuse("std", "numbers above 0")
    return recipe


def _entry(key: str, value: Any, recipes: Mapping[str, Recipe]) -> Entry:
    if not KEY.fullmatch(key):
        raise RegistryError(f"Entry {key!r}: a key is name.tag in lower case, like resnet50_v1d.gluon.")
    if not isinstance(value, dict):
        raise RegistryError(f"Entry {key!r}: expected an object, got {value!r}.")
    recipe = value.get("pictures")
    if recipe not in recipes:
        raise RegistryError(f"Entry {key!r}: pictures is {recipe!r}; there are {', '.join(recipes)}.")
    graph = _build(Graph, value.get("graph"), f"Entry {key!r}: graph")
    pictures = Pictures(crop=graph.input_shape[0], **vars(recipes[recipe]))
    entry = _build(Entry, value | {"key": key, "graph": graph, "pictures": pictures}, f"Entry {key!r}")
    _check_values(entry)
    return entry


def _check_values(entry: Entry) -> None:
    def refuse(field: str, value: object, wanted: str) -> None:
        raise RegistryError(f"Entry {entry.key!r}: {field} is {value!r}; wanted {wanted}.")

    side, shorter_side = entry.pictures.crop, entry.pictures.shorter_side
    if entry.graph.input_shape != (side, side, 3) or side <= 0:
        refuse("graph.input_shape", entry.graph.input_shape, "a square of positive side with three channels")
    if shorter_side is not None and side > shorter_side:
        refuse(
            "graph.input_shape",
            entry.graph.input_shape,
            f"at most {shorter_side}, its pictures' shorter side",
        )
    if entry.parameters <= 0:
        refuse("parameters", entry.parameters, "a positive count")
    if entry.graph.classes <= 0:
        refuse("graph.classes", entry.graph.classes, "a positive count")
    for url in (url for source in entry.sources for url in source.urls):
        if not url.startswith("https://"):
            refuse("url", url, "an https address")
    for file in entry.weights:
        if not file.url.startswith(("https://", "http://", "file://")):  # their sha256 is known
            refuse("url", file.url, "an https, http or file address")
    sums = [("sha256", file.sha256) for file in entry.weights]
    sums += [(sum_.algorithm, sum_.value) for source in entry.sources for sum_ in source.checksums]
    for algorithm, value in sums:
        digits = {"md5": 32, "sha1": 40, "sha256": 64, "sha384": 96, "sha512": 128}[algorithm]
        if len(value) != digits or not HEX.fullmatch(value):
            refuse(algorithm, value, f"{digits} lower-case hexadecimal digits")


def _build(kind: type, value: Any, where: str) -> Any:
    """A dataclass from a JSON value, each field checked against its annotation."""
    if not isinstance(value, dict):
        raise RegistryError(f"{where}: expected an object, got {value!r}.")
    names = {field.name for field in fields(kind)}
    required = {field.name for field in fields(kind) if field.default is MISSING}
    _check_keys(where, value, required, optional=names - required)
    hints = _hints(kind)
    return kind(**{name: _coerce(hints[name], item, f"{where}: {name}") for name, item in value.items()})


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _coerce(hint: Any, value: Any, where: str) -> Any:
    """`value` as the annotation `hint` wants it; JSON has no tuples and no dataclasses."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if is_dataclass(hint):
        return value if isinstance(value, hint) else _build(hint, value, where)
    if origin is types.UnionType:  # always "something | None" here
        return None if value is None else _coerce(arguments[0], value, where)
    if origin is tuple and isinstance(value, list):
        if arguments[-1] is Ellipsis:
            return tuple(_coerce(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
        if len(value) == len(arguments):
            return tuple(_coerce(*pair, where) for pair in zip(arguments, value, strict=True))
    if origin is Literal and value in arguments:
        return value
    if hint is float and type(value) is int:
        return float(value)
    if origin is None and type(value) is hint:
        return value
    raise RegistryError(f"{where}: expected {_describe(hint)}, got {value!r}.")


def _describe(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")


def _check_keys(where: str, value: Any, required: Iterable[str], optional: Iterable[str]) -> None:
    if not isinstance(value, dict):
        raise RegistryError(f"{where}: expected an object, got {value!r}.")
    required, optional = set(required), set(optional)
    if missing := sorted(required - value.keys()):
        raise RegistryError(f"{where}: the field {missing[0]!r} is missing.")
    if unknown := sorted(value.keys() - required - optional):
        known = difflib.get_close_matches(unknown[0], required | optional, n=1)
        hint = f" Is it {known[0]!r}?" if known else ""
        raise RegistryError(f"{where}: there is no field {unknown[0]!r}.{hint}")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        twice = next(key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i]))
        raise RegistryError(f"The registry has {twice!r} twice in one object.")
    return result
