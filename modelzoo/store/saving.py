"""save(): a live Keras model becomes a model folder, which answers as the model does."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import modelzoo
from modelzoo import labels as label_sets
from modelzoo import registry
from modelzoo.errors import LabelsError, quoted
from modelzoo.registry import (
    Entry,
    FetchedFolderEntry,
    FolderEntry,
    HubEntry,
    Label,
    Licenses,
    Metric,
    Preprocessing,
)
from modelzoo.registry.folders import FORMAT, Base, StoredAnswer, parse
from modelzoo.store import bundled, cache, folders, probes

if TYPE_CHECKING:
    import numpy as np

    from modelzoo.backends.keras_answers import Model
    from modelzoo.graph import Graph

NO_NAME = "model"  # where the folder's has no letter or digit
UNSTATED = Licenses(code=None, weights=None, data=None)
ROUNDING = (
    1e-5  # of the relative L2 error between the model and what was saved, where both compute in float32
)
LOW_PRECISION = 0.1  # the same where the model computes in less
DIGITS = 9  # of an output in model.json: more than float32 has


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a model does not say of itself."""

    base: Entry | None
    labels: tuple[Label, ...] | str | None
    preprocessing: Preprocessing | None
    licenses: Licenses
    metrics: tuple[Metric, ...] = ()
    note: str | None = None

    def __post_init__(self) -> None:
        if self.base is not None and self.base.task != "classification":
            raise ValueError(f"{self.base.key} is a {self.base.task} model: expected a base that classifies.")


def save(
    model: Model,
    folder: str | os.PathLike[str],
    *,
    base: str | os.PathLike[str] | None = None,
    labels: str | Sequence[str] | Sequence[Label] | None = None,
    preprocessing: Preprocessing | str | os.PathLike[str] | None = None,
    license: str | Licenses | None = None,
    metrics: Iterable[Metric | Mapping[str, Any]] = (),
    note: str | None = None,
) -> FolderEntry:
    """Saves a classifier as a model folder, which stands wherever a model's name may; returns its entry.

    model: a functional or Sequential Keras model from images to (batch, classes), built, with its weights; it
        takes what `preprocess` gives, of one size. What only training needs is left out.
    folder: appears whole or not at all. A model folder that is there already is replaced as a whole.
    base: the model that it was made from, a name or a folder: what is not given below is taken from it.
    labels: the names of the classes in their order, or a label set ("imagenet"); by default the base's if it
        has as many classes, else they are numbered.
    preprocessing: how images are prepared, or whose preprocessing is to be taken; by default the base's.
    license: of the new weights, an SPDX identifier; by default the base's.
    metrics: what was measured, by whom and on what: registry.Metric, or dicts of its fields.

    Raises ValueError for a model that operators cannot express, or that answers otherwise than what was
    saved; LabelsError for another number of labels; OutputError where the folder cannot be.
    """
    target = target_of(folder)
    origin = registry.info(base) if base is not None else None
    options: dict[str, Any] = {"labels": labels, "preprocessing": preprocessing, "license": license}
    return _save(model, target, stated(origin, **options, metrics=metrics, note=note))


def stated(
    base: Entry | None,
    *,
    labels: str | Sequence[str] | Sequence[Label] | None,
    preprocessing: Preprocessing | str | os.PathLike[str] | None,
    license: str | Licenses | None,
    metrics: Iterable[Metric | Mapping[str, Any]],
    note: str | None,
) -> Facts:
    """The facts that save() was given, those of the base where they are not; raises as save() does."""
    if isinstance(preprocessing, str | os.PathLike):
        preprocessing = registry.info(preprocessing).preprocessing
    measured = tuple(map(folders.metric_of, metrics))
    return Facts(base, _labels(labels), preprocessing, _licenses(license, base), measured, note)


def target_of(folder: str | os.PathLike[str]) -> Path:
    """Where a folder is to be; raises OutputError where none can be."""
    target = Path(os.path.abspath(os.path.expanduser(folder)))
    folders.check_target(target)
    return target


def _save(model: Model, target: Path, facts: Facts) -> FolderEntry:
    from modelzoo.backends import keras_answers

    graph, arrays = keras_answers.network_of(model)
    limit = ROUNDING if keras_answers.computes_in_float32(model) else LOW_PRECISION

    def check(images: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> None:
        for name, expected in keras_answers.of_model(model, images).items():
            _check_same(found[name], expected, limit)

    return save_graph(graph, arrays, target, facts, check)


def save_graph(
    graph: Graph,
    arrays: Mapping[str, np.ndarray],
    target: Path,
    facts: Facts,
    check: Callable[[Mapping[str, np.ndarray], Mapping[str, np.ndarray]], None] | None = None,
) -> FolderEntry:
    """Saves a network with its weights; `check` gets images and what was answered, and may refuse these."""
    from modelzoo.architectures import canonical
    from modelzoo.backends import keras_answers

    known = facts.preprocessing or (facts.base and facts.base.preprocessing)
    graph = canonical.graph_of(
        graph,
        maps=canonical.maps_of(facts.base.graph) if facts.base is not None else {},
        side=known.crop_size if known else None,
    )
    draft = _entry(graph, target, facts)
    images = probes.inputs(draft.preprocessing)
    found = keras_answers.of_graph(graph, arrays, images)
    for output in found.values():
        _check_same(output, output, ROUNDING)
    if check is not None:
        check(images, found)
    answers = tuple(StoredAnswer(name, tuple(_rounded(output))) for name, output in found.items())
    entry = dataclasses.replace(draft, answers=answers)

    def write_weights(path: Path) -> None:
        from modelzoo import weights

        kept = ((name, _storable(arrays[name])) for name in graph.weights)
        weights.write(path, kept, {"model": entry.saved_as, "modelzoo": modelzoo.__version__})

    return folders.write(target, entry, write_weights)


def _entry(graph: Graph, target: Path, facts: Facts) -> FolderEntry:
    """The entry, but for what the weight file will be and what the network answers."""
    from modelzoo.architectures import IMAGES, stored
    from modelzoo.graph import serialization

    side, classes = cast(int, graph.inputs[IMAGES][1]), cast(int, graph.output_shapes[graph.output][-1])
    base = facts.base
    document = {
        "format": FORMAT,
        "modelzoo": modelzoo.__version__,
        "saved": date.today().isoformat(),
        "name": _name(target),
        "base": None if base is None else dataclasses.asdict(Base(_called(base), _digest(base))),
        "input_shape": [side, side, 3],
        "classes": classes,
        "activation": stored.activation_of(graph),
        "parameters": graph.parameters,
        "preprocessing": dataclasses.asdict(_preprocessing(facts, side)),
        "labels": _for_classes(facts, classes),
        "licenses": dataclasses.asdict(facts.licenses),
        "metrics": [dataclasses.asdict(metric) for metric in facts.metrics],
        "paper": None if base is None else base.paper,
        "note": facts.note,
        "weights": {"sha256": "0" * 64, "bytes": 2 * graph.parameters},
        "answers": [],
        "graph": serialization.to_json(graph),
    }
    return parse(json.dumps(document), str(target))


def _licenses(given: str | Licenses | None, base: Entry | None) -> Licenses:
    licenses = base.licenses if base is not None else UNSTATED
    if isinstance(given, Licenses):
        return given
    return licenses if given is None else dataclasses.replace(licenses, weights=given)


def _labels(given: str | Sequence[str] | Sequence[Label] | None) -> tuple[Label, ...] | str | None:
    """Labels as they were given, names made labels; raises LabelsError for other things."""
    if given is None:
        return None
    if isinstance(given, str):
        label_sets.read(given)
        return given
    found = tuple(Label(item, item) if isinstance(item, str) else item for item in given)
    if not all(isinstance(cast(object, item), Label) for item in found):
        raise LabelsError(f"Expected a label set or the names of the classes, got {quoted(given)}.")
    return found


def _for_classes(facts: Facts, classes: int) -> str | list[dict[str, Any]]:
    """The labels as model.json has them: a packaged set's name, or a list. Raises LabelsError."""
    given, base = facts.labels, facts.base
    if given is None and base is not None and base.graph.classes == classes:
        given = label_sets.of(base) if base.labels not in label_sets.NAMES else base.labels
    if given is None:
        given = label_sets.table(classes)
    labels = label_sets.read(given) if isinstance(given, str) else given
    if len(labels) != classes:
        raise LabelsError(f"Expected {classes} labels, as many as the model has classes, got {len(labels)}.")
    if isinstance(given, str) and given in label_sets.NAMES:
        return given
    return [dataclasses.asdict(label) for label in labels]


def _preprocessing(facts: Facts, side: int) -> Preprocessing:
    """That of images for the model's size; raises ValueError where it is not known."""
    given = facts.preprocessing
    if given is None and facts.base is None:
        raise ValueError(
            "Expected to know how images are prepared: give base=NAME, the model that yours was made from, "
            "or preprocessing=modelzoo.info(NAME).preprocessing."
        )
    found = given or cast(Entry, facts.base).preprocessing
    if found.crop_size == side:
        return found
    if given is None and found.resize_size is None:
        return dataclasses.replace(found, crop_size=side)
    raise ValueError(
        f"Expected a preprocessing for the model's images of {side} x {side} pixels, got crop_size="
        f"{found.crop_size}, resize_size={found.resize_size}: give preprocessing=dataclasses.replace(...)."
    )


def _called(base: Entry) -> str:
    """What finds the base again, also on another machine."""
    return base.reference if isinstance(base, HubEntry | FetchedFolderEntry) else base.key


def _digest(base: Entry) -> str | None:
    """The sha256 of the base's weights, if they are on this machine."""
    if isinstance(base, FolderEntry):
        return base.file.sha256
    if bundled.bundled_path(base).is_file():
        return bundled.recorded(bundled.bundled_path(base)).sha256
    cached = cache.find(base.key)
    return None if cached is None else cached.pointer.sha256


def _storable(array: np.ndarray) -> np.ndarray:
    """HDF5 has no bfloat16; float32 holds its values as they are."""
    return array.astype("float32") if array.dtype.name == "bfloat16" else array


def _name(target: Path) -> str:
    """The folder's name in a key's letters."""
    return re.sub(r"[^a-z0-9_.]+", "_", target.name.lower()).strip("._") or NO_NAME


def _rounded(output: np.ndarray) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in output.tolist()]


def _check_same(found: np.ndarray, expected: np.ndarray, limit: float) -> None:
    """Raises ValueError unless what was saved answers as the model does."""
    import numpy as np

    if found.shape != expected.shape or not np.isfinite(expected).all():
        raise ValueError(
            "Expected a model that answers with finite numbers, one for each class; it does not: "
            "its training may have diverged."
        )
    error = float(np.linalg.norm(found - expected) / max(float(np.linalg.norm(expected)), 1e-30))
    if not error <= limit:
        raise ValueError(
            f"Expected what is saved to answer as the model does, up to {limit:.0e}; it is off by "
            f"{error:.1e}. Nothing was saved."
        )
