"""An entry: all that is known of one model, as frozen dataclasses."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, cast

from modelzoo.errors import UnknownModel, quoted

UNKNOWN = "unknown"  # for what the author does not state
NEAREST = 3  # names offered for an unknown one

Interpolation = Literal[
    "darknet_linear",
    "opencv_linear",
    "pillow3_nearest",
    "pillow_bicubic",
    "pillow_bilinear",
    "pillow_nearest",
    "tf1_bicubic",
    "tf1_bilinear",
]
Format = Literal["darknet", "keras_h5", "mxnet", "safetensors", "tensorflow", "torch"]
Task = Literal["classification", "detection"]


@dataclass(frozen=True)
class Architecture:
    """Which network: a variant of a family, and the shape and activation of its output."""

    family: str
    variant: str
    input_shape: tuple[int, int, int]  # height, width, channels that it was trained at
    classes: int
    activation: str | None  # what turns the logits into the published probabilities

    def facts(self) -> dict[str, Any]:
        """All that decides what the network computes, as JSON has it."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How an image becomes a network's input: every fact that decides a pixel."""

    crop_size: int  # pixels; the side of the central square that is kept
    central_fraction: float = 1.0  # of height and width; the middle that is kept before the resize
    # Pixels; before the resize a central square is kept, crop_size / (crop_size + crop_padding) of the
    # shorter side. None: all is kept.
    crop_padding: int | None = None
    resize_size: int | None = None  # pixels of the shorter side; None: both sides become crop_size
    longer_side: Literal["truncated", "rounded"] = "truncated"  # to whole pixels
    crop_start: Literal["down", "even"] = "down"  # how half a pixel is rounded, after a resize
    interpolation: Interpolation
    pad_value: float | None = None  # level around an image that is fitted into the square whole; None: crop
    max_value: float = 1.0  # what level 255 becomes before the mean and the deviation
    mean: tuple[float, float, float]  # red, green, blue
    std: tuple[float, float, float]
    channels: Literal["RGB", "BGR"] = "RGB"  # the network's order


@dataclass(frozen=True, slots=True)
class Label:
    """One class: `id` is unique in its set, `name` need not be (ImageNet has two classes "crane").

    `parent` is the parent's index in the same set; None for a root, and in a set without a hierarchy.
    """

    id: str
    name: str
    parent: int | None = None


@dataclass(frozen=True)
class Package:
    """A member of a wheel on a package index: read from the wheel, which is never installed and never run."""

    distribution: str  # its name on the index
    version: str
    member: str  # path of the file in the wheel
    sha256: str  # of the wheel
    member_sha256: str
    bytes: int | None = None  # of the wheel

    @property
    def address(self) -> str:
        """The package URL, under which it is shown and recorded."""
        return f"pkg:pypi/{self.distribution}@{self.version}"


@dataclass(frozen=True)
class HostedFile:
    """One of our converted weight files, on a static host or in wheels."""

    url: str | None
    sha256: str
    bytes: int
    packages: tuple[Package, ...] = ()  # whose members, one after the other, are the file


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

    converter: str  # a key of modelzoo.conversion.CONVERTERS
    format: Format  # a key of modelzoo.formats.FORMATS
    urls: tuple[str, ...]  # in the order in which they are tried
    checksums: tuple[Checksum, ...] = ()
    bytes: int | None = None
    member: str | None = None  # path or pattern inside the archive
    packages: tuple[Package, ...] = ()  # each holds the same file, or that member; tried after the urls


@dataclass(frozen=True)
class Metric:
    """A measured quality, who measured it and on what."""

    name: str
    value: float
    dataset: str
    measured_by: str
    note: str | None = None
    interval: tuple[float, float] | None = None  # in which the value lies with 95 % confidence
    dataset_sha256: str | None = None  # of the images and their classes, as modelzoo.evaluate computes it
    weights: str | None = None  # the checksum of those that were measured
    date: str | None = None
    machine: str | None = None


@dataclass(frozen=True)
class Licenses:
    """SPDX identifiers where there is one; None where the upstream states nothing."""

    code: str | None
    weights: str | None
    data: str | None


@dataclass(frozen=True)
class Entry:
    """All that is known of one model. `key` is its name.tag."""

    key: str
    graph: Architecture
    preprocessing: Preprocessing
    labels: str
    parameters: int
    licenses: Licenses
    paper: str | None
    weights: tuple[HostedFile, ...] = ()
    sources: tuple[Source, ...] = ()  # in the order in which they are tried
    metrics: tuple[Metric, ...] = ()
    note: str | None = None
    task: Task = "classification"

    @property
    def name(self) -> str:
        return self.key.rpartition(".")[0]

    @property
    def tag(self) -> str:
        return self.key.rpartition(".")[2]

    @property
    def reference(self) -> str:
        """What finds this entry again, wherever a model's name stands."""
        return self.key

    @property
    def owner(self) -> str:
        """The key that its weight files name."""
        return self.key

    def facts(self) -> dict[str, Any]:
        """The entry as JSON has it."""
        return asdict(self)

    def metric(self, name: str) -> float | None:
        """The first metric of this name, or None: unknown."""
        return next((metric.value for metric in self.metrics if metric.name == name), None)

    def __repr__(self) -> str:
        """One short line, for notebooks; the fields hold the rest."""
        height, width, channels = self.graph.input_shape
        return (
            f"<Entry {self.key}: {self.parameters / 1e6:.1f} M parameters, "
            f"input {height}x{width}x{channels}, "
            f"{self.graph.classes:,} classes of {self.labels}>"
        )


@dataclass(frozen=True, kw_only=True)
class OwnEntry(Entry):
    """An entry as a user's own file has it, of weights or exported: its own classes, and what they mean."""

    table: tuple[Label, ...]


@dataclass(frozen=True, eq=False)  # its mappings have no hash, and nobody compares two registries
class Registry:
    """Entries by key, the default tag of every name that has more than one, preprocessing and labels by name.

    A named preprocessing is a mapping of Preprocessing's fields but for crop_size, which entries differ in.
    """

    entries: Mapping[str, Entry]
    defaults: Mapping[str, str]
    preprocessing: Mapping[str, Mapping[str, Any]]
    labels: Mapping[str, tuple[Label, ...]] = field(
        default_factory=dict[str, tuple[Label, ...]]
    )  # of one's own, in class order

    def find(self, name: str) -> Entry:
        """The entry of `name.tag`, or of a bare name's default tag; raises UnknownModel."""
        if not isinstance(cast(object, name), str):  # an Entry, a Keras model
            raise UnknownModel(f"Expected the name of a model, such as 'resnet50_v1d', got {quoted(name)}.")
        if name in self.entries:
            return self.entries[name]
        keys = [key for key in self.entries if key.rpartition(".")[0] == name]
        if name in self.defaults:
            return self.entries[f"{name}.{self.defaults[name]}"]
        if len(keys) == 1:
            return self.entries[keys[0]]
        if keys:
            raise UnknownModel(f"{name!r} is ambiguous: choose one of {', '.join(keys)}.")
        known = {entry.name for entry in self.entries.values()} | set(self.entries)
        nearest = difflib.get_close_matches(str(name), sorted(known), n=NEAREST, cutoff=0)
        raise UnknownModel(
            f"There is no model {quoted(name)}; the nearest names are {', '.join(nearest)}. "
            "`modelzoo list` shows all."
        )

    def named_preprocessing(self, name: str, crop_size: int) -> Preprocessing:
        """A named preprocessing at an input size."""
        return Preprocessing(crop_size=crop_size, **self.preprocessing[name])


def preprocessing_fields(preprocessing: Preprocessing) -> dict[str, Any]:
    """All fields but the size, as a registry's named preprocessing keeps them."""
    return {
        field.name: getattr(preprocessing, field.name)
        for field in fields(preprocessing)
        if field.name != "crop_size"
    }
