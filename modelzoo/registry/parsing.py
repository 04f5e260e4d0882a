"""JSON -> Registry; what is malformed is refused with the entry and the field."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, cast

from modelzoo.errors import RegistryError, UnknownModel, quoted
from modelzoo.registry.dataclass_json import JsonObject, build, check_keys, check_object
from modelzoo.registry.entries import (
    Architecture,
    Entry,
    HostedFile,
    Label,
    Metric,
    Package,
    Preprocessing,
    Registry,
    Source,
    preprocessing_fields,
)

KEY = re.compile(r"[a-z0-9_.]+\.[a-z0-9]+")  # name.tag; the tag has no dot
FOLDER = "folder"  # the only field of an entry whose facts stand in a model folder
HEX = re.compile(r"[0-9a-f]+")
SET_NAME = re.compile(r"[a-z0-9_]+")
CONVERTER = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)?")
DIGITS = {"md5": 32, "sha1": 40, "sha256": 64, "sha384": 96, "sha512": 128}  # hexadecimal
SHA256 = "64 lower-case hexadecimal digits"
DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")  # as PEP 508 has it
VERSION = re.compile(r"[0-9]+(\.[0-9]+)*((a|b|rc)[0-9]+)?(\.post[0-9]+)?(\.dev[0-9]+)?")  # as PEP 440, public
SMALLEST_VALUE, LARGEST_VALUE = 1e-6, 1e6  # of levels, mean, std: float32 holds what they give
PROBE_SIZE = 1  # a named preprocessing is checked at some size

NamedPreprocessing = Mapping[str, Mapping[str, Any]]
Wrong = tuple[str, object, str]  # a field, its value, what was expected


def parse(
    text: str,
    known: NamedPreprocessing = MappingProxyType({}),
    in_folder: Callable[[str, str], Entry] | None = None,
) -> Registry:
    """A registry from its JSON text; its entries may use `known` preprocessing beside its own.

    in_folder: gives the entry of a key and the path of a model folder; without it there are none.
    Raises RegistryError.
    """
    sections = {"preprocessing", "models"}
    document = check_keys("The registry", read_json(text), required=sections, optional={"defaults", "labels"})
    named = {
        name: _named_preprocessing(f"preprocessing {quoted(name)}", value)
        for name, value in check_object("preprocessing", document["preprocessing"]).items()
    }
    usable = {**known, **named}
    models = check_object("models", document["models"])
    entries = {
        key: _folder_entry(key, value, in_folder)
        if in_folder is not None and _is_in_folder(value)
        else _entry(key, value, usable)
        for key, value in models.items()
    }
    defaults = check_object("defaults", document.get("defaults", {}))
    for name, tag in defaults.items():
        if not isinstance(tag, str):
            raise RegistryError(f"defaults: expected a tag for {quoted(name)}, got {quoted(tag)}.")
        if f"{name}.{tag}" not in entries:
            key = quoted(f"{name}.{tag}")
            raise RegistryError(f"defaults: {quoted(name)} points to {key}, which is not among the models.")
    sets = check_object("labels", document.get("labels", {}))
    labels = {name: _named_labels(f"labels {quoted(name)}", name, value) for name, value in sets.items()}
    return Registry(
        MappingProxyType(entries),
        MappingProxyType(defaults),
        MappingProxyType(named),
        MappingProxyType(labels),
    )


def parse_packaged(text: str) -> Registry:
    """The package's own registry, which the tests parse whole: an entry is read when it is asked for."""
    document = json.loads(text)
    named = {
        name: _named_preprocessing(f"preprocessing {quoted(name)}", value)
        for name, value in document["preprocessing"].items()
    }
    entries = _Entries(document["models"], named)
    return Registry(entries, MappingProxyType(document["defaults"]), MappingProxyType(named))


class _Entries(Mapping[str, Entry]):
    """Entries by key, each read once, when it is asked for."""

    def __init__(self, models: JsonObject, named: NamedPreprocessing):
        self._models, self._named = models, named
        self._read: dict[str, Entry] = {}

    def __getitem__(self, key: str) -> Entry:
        if key not in self._read:
            self._read[key] = _entry(key, self._models[key], self._named)
        return self._read[key]

    def __contains__(self, key: object) -> bool:
        return key in self._models

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)


def _named_labels(where: str, name: str, value: object) -> tuple[Label, ...]:
    if not SET_NAME.fullmatch(name):
        raise RegistryError(f"{where}: a label set's name has lower-case letters, digits and underscores.")
    return labels_of(where, value)


def labels_of(where: str, value: object) -> tuple[Label, ...]:
    """A label set: of each class, in their order, {"id": ..., "name": ...}, or the name alone."""
    items = cast(list[object], value) if isinstance(value, list) else []
    if not items:
        raise RegistryError(f"{where}: expected a list of labels, got {quoted(cast(object, value))}.")
    labels = tuple(
        build(Label, {"id": item, "name": item} if isinstance(item, str) else item, f"{where}[{place}]")
        for place, item in enumerate(items)
    )
    seen: set[str] = set()
    for place, label in enumerate(labels):
        if not label.id or label.id in seen:
            raise RegistryError(f"{where}[{place}]: expected an id of its own, got {quoted(label.id)}.")
        if label.parent is not None and not 0 <= label.parent < len(labels):
            raise RegistryError(f"{where}[{place}]: expected parent to be an index, got {label.parent}.")
        seen.add(label.id)
    return labels


def read_json(text: str, what: str = "The registry") -> object:
    """The value of a JSON text; raises RegistryError, also where an object has a name twice."""
    try:
        return json.loads(text, object_pairs_hook=partial(_without_duplicates, what))
    except RegistryError:
        raise
    except (ValueError, RecursionError) as error:  # ValueError: also a number of more than 4,300 digits
        raise RegistryError(f"{what} is not valid JSON: {error}.") from error


def _without_duplicates(what: str, pairs: list[tuple[str, Any]]) -> JsonObject:
    result = dict(pairs)
    if len(result) < len(pairs):
        twice = next(key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i]))
        raise RegistryError(f"{what} has {quoted(twice)} twice in one object.")
    return result


def _named_preprocessing(where: str, value: object) -> JsonObject:
    given = check_object(where, value)
    if "crop_size" in given:
        raise RegistryError(f"{where}: there is no field 'crop_size'; it is each entry's input size.")
    preprocessing = build(Preprocessing, {"crop_size": PROBE_SIZE, **given}, where)
    refuse_any(where, wrong_in_preprocessing(preprocessing))
    return preprocessing_fields(preprocessing)


def wrong_in_preprocessing(preprocessing: Preprocessing) -> Iterator[Wrong]:
    """What the type of a value alone does not rule out."""
    fraction, resize_size = preprocessing.central_fraction, preprocessing.resize_size
    if not 0 < fraction <= 1:
        yield "central_fraction", fraction, "a number above 0, at most 1"
    if resize_size is not None and resize_size <= 0:
        yield "resize_size", resize_size, "a positive number of pixels, or null"
    if preprocessing.crop_padding is not None:
        if preprocessing.crop_padding < 0:
            yield "crop_padding", preprocessing.crop_padding, "a number of pixels, or null"
        if resize_size is not None or preprocessing.pad_value is not None or fraction != 1:
            yield (
                "crop_padding",
                preprocessing.crop_padding,
                "null beside another crop, resize_size or pad_value",
            )
    if preprocessing.pad_value is not None and resize_size is not None:
        yield "pad_value", preprocessing.pad_value, "null beside a resize_size"
    if not abs(preprocessing.pad_value or 0) <= LARGEST_VALUE:
        yield "pad_value", preprocessing.pad_value, f"a level of at most {LARGEST_VALUE:g}, or null"
    if not SMALLEST_VALUE <= preprocessing.max_value <= LARGEST_VALUE:
        yield "max_value", preprocessing.max_value, f"a number from {SMALLEST_VALUE:g} to {LARGEST_VALUE:g}"
    if not all(abs(mean) <= LARGEST_VALUE for mean in preprocessing.mean):
        yield "mean", preprocessing.mean, f"numbers of at most {LARGEST_VALUE:g}"
    if not all(SMALLEST_VALUE <= std <= LARGEST_VALUE for std in preprocessing.std):
        yield "std", preprocessing.std, f"numbers from {SMALLEST_VALUE:g} to {LARGEST_VALUE:g}"


def _is_in_folder(value: object) -> bool:
    return isinstance(value, dict) and FOLDER in value


def _folder_entry(key: str, value: object, in_folder: Callable[[str, str], Entry]) -> Entry:
    """An entry that only names a model folder, which says the rest."""
    where = f"Entry {quoted(key)}"
    if not KEY.fullmatch(key):
        raise RegistryError(f"{where}: a key is name.tag in lower case, like clothes.team.")
    path = check_keys(where, value, {FOLDER}, ())[FOLDER]
    if not isinstance(path, str) or not path:
        raise RegistryError(f"{where}: expected folder to be the path of a model folder, got {quoted(path)}.")
    try:
        return in_folder(key, path)
    except (UnknownModel, RegistryError) as error:
        raise RegistryError(f"{where}: {error}") from error


def _entry(key: str, value: object, named: NamedPreprocessing) -> Entry:
    where = f"Entry {quoted(key)}"
    if not KEY.fullmatch(key):
        raise RegistryError(f"{where}: a key is name.tag in lower case, like resnet50_v1d.gluon.")
    given = check_object(where, value)
    if "key" in given:
        raise RegistryError(f"{where}: there is no field 'key'; it is the entry's name among the models.")
    name = given.get("preprocessing")
    if not isinstance(name, str) or name not in named:
        known = ", ".join(named)
        raise RegistryError(f"{where}: expected preprocessing to be one of {known}, got {quoted(name)}.")
    graph = build(Architecture, given.get("graph"), f"{where}: graph")
    preprocessing = Preprocessing(crop_size=graph.input_shape[0], **named[name])
    entry = build(Entry, given | {"key": key, "graph": graph, "preprocessing": preprocessing}, where)
    refuse_any(where, wrong_in_entry(entry))
    return entry


def refuse_any(where: str, wrong: Iterator[Wrong]) -> None:
    """Raises RegistryError for the first that is wrong."""
    for field, found, expected in wrong:
        raise RegistryError(f"{where}: expected {field} to be {expected}, got {quoted(found)}.")


def wrong_in_entry(entry: Entry) -> Iterator[Wrong]:
    """What the type of a value alone does not rule out."""
    shape, resize_size = entry.graph.input_shape, entry.preprocessing.resize_size
    side = shape[0]
    if shape != (side, side, 3) or side <= 0:
        yield "graph.input_shape", shape, "a square of positive side with three channels"
    if resize_size is not None and side > resize_size:
        yield "graph.input_shape", shape, f"at most {resize_size}, the resize_size of its preprocessing"
    if entry.parameters <= 0:
        yield "parameters", entry.parameters, "a positive count"
    if entry.graph.classes <= 0:
        yield "graph.classes", entry.graph.classes, "a positive count"
    for metric in entry.metrics:
        yield from _wrong_in_metric(metric)
    for file in entry.weights:
        yield from _wrong_in_file(file)
    for source in entry.sources:
        yield from _wrong_in_source(source)


def _wrong_in_metric(metric: Metric) -> Iterator[Wrong]:
    if metric.interval is not None and not metric.interval[0] <= metric.value <= metric.interval[1]:
        yield "interval", metric.interval, f"two numbers around the value, {metric.value:g}"
    if metric.dataset_sha256 is not None and not is_digest("sha256", metric.dataset_sha256):
        yield "dataset_sha256", metric.dataset_sha256, SHA256


def _wrong_in_file(file: HostedFile) -> Iterator[Wrong]:
    if file.url is None and not file.packages:
        yield "url", file.url, "an address where there are no packages"
    if file.url is not None and not file.url.startswith(("https://", "http://", "file://")):
        yield "url", file.url, "an https, http or file address"  # also http: their sha256 is known
    if not is_digest("sha256", file.sha256):
        yield "sha256", file.sha256, SHA256
    for package in file.packages:
        yield from wrong_in_package(package)


def wrong_in_package(package: Package) -> Iterator[Wrong]:
    """Name and version become part of pip's arguments: nothing but a name and a version may pass."""
    if not DISTRIBUTION.fullmatch(package.distribution):
        yield "distribution", package.distribution, "a name on a package index, like modelzoo-weights-vgg-16"
    if not VERSION.fullmatch(package.version):
        yield "version", package.version, "a version, like 0.1.0"
    if not _is_inside(package.member):
        yield "member", package.member, "a path inside the wheel"
    for field, value in (("sha256", package.sha256), ("member_sha256", package.member_sha256)):
        if not is_digest("sha256", value):
            yield field, value, SHA256
    if package.bytes is not None and package.bytes <= 0:
        yield "bytes", package.bytes, "a positive count, or null"


def _wrong_in_source(source: Source) -> Iterator[Wrong]:
    for url in source.urls:
        if not url.startswith("https://"):
            yield "url", url, "an https address"
    for checksum in source.checksums:
        if not is_digest(checksum.algorithm, checksum.value):
            digits = DIGITS[checksum.algorithm]
            yield checksum.algorithm, checksum.value, f"{digits} lower-case hexadecimal digits"
    if not CONVERTER.fullmatch(source.converter):
        yield "converter", source.converter, "a converter's name, like gluoncv"
    if source.member is not None and not _is_inside(source.member):
        yield "member", source.member, "a path inside the archive"
    for package in source.packages:
        yield from wrong_in_package(package)


def is_digest(algorithm: str, value: str) -> bool:
    """Whether this is a checksum as it is written everywhere: so many lower-case hexadecimal digits."""
    return len(value) == DIGITS[algorithm] and HEX.fullmatch(value) is not None


def _is_inside(member: str) -> bool:
    """Whether a path stays below the folder to which it is added, on any system."""
    return not (member.startswith("/") or set(member) & set(":\\\0") or ".." in member.split("/"))
