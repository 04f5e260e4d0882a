"""The images of a fine-tuning: which there are, of which class each is, and which part each belongs to."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from modelzoo import files
from modelzoo.errors import ImageError, abbreviated, readable
from modelzoo.evaluation.classes import Classes
from modelzoo.evaluation.folders import class_folders, labeled_folder
from modelzoo.labels import Label
from modelzoo.tasks.pipeline import in_order
from modelzoo.training.options import TrainingOptions

AHEAD = 64  # files whose digests are computed before they are needed
Folder = str | os.PathLike[str]


@dataclass(frozen=True)
class Sample:
    """An image, its place in the folder of all classes, its class, and the sha256 of its file."""

    path: str
    relative: str
    label: int
    sha256: str


@dataclass(frozen=True)
class Split:
    """The three parts; `notes` say in a sentence each what was left out."""

    classes: tuple[str, ...]
    train: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    test: tuple[Sample, ...]
    notes: tuple[str, ...] = field(default=())

    def digest(self) -> str:
        """Of all that decides what is learnt from which images."""
        import hashlib

        lines = [*self.classes]
        for part in (self.train, self.validation, self.test):
            lines += ["", *(f"{sample.sha256} {sample.label}" for sample in part)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def split(folder: Folder, validation: Folder | None, test: Folder | None, options: TrainingOptions) -> Split:
    """The images of a folder with one folder a class, and of those for validation and for the test.

    Where these are not given, parts of each class are set aside by the seed. Copies of the same file count
    once, and never on two sides. Raises ImageError and LabelsError for folders that cannot be learnt from.
    """
    names = _names(folder)
    labels = tuple(Label(name, name) for name in names)
    known = Classes("the training folder", labels)
    samples = list(_samples(folder, known))
    notes: list[str] = []
    held_out = [_given(given, known) for given in (test, validation)]
    seen = {sample.sha256 for part in held_out for sample in part or ()}
    kept = _once(samples, seen, notes)
    _check_counts(folder, names, kept, 1 + held_out.count(None), notes)
    tested, validated = held_out
    if tested is None:
        tested, kept = _set_aside(kept, options.test_part, options.seed)
    if validated is None:
        validated, kept = _set_aside(kept, options.validation_part, options.seed + 1)
    if not options.head_only and len(kept) < options.batch_size:
        raise ImageError(
            f"Expected at least one batch of {options.batch_size} images to train on, found {len(kept)} in "
            f"{readable(os.fspath(folder))}: give more images or a smaller batch size."
        )
    return Split(names, tuple(kept), tuple(validated), tuple(tested), tuple(notes))


def _names(folder: Folder) -> tuple[str, ...]:
    """The classes: the names of the folders. Raises ImageError for fewer than two."""
    names = tuple(class_folders(folder))
    if len(names) < 2:
        raise ImageError(
            f"Expected two classes or more, one folder each, in {readable(os.fspath(folder))}, found "
            f"{'one, ' + readable(names[0]) if names else 'none'}."
        )
    return names


def _given(folder: Folder | None, classes: Classes) -> list[Sample] | None:
    return None if folder is None else list(_samples(folder, classes))


def _samples(folder: Folder, classes: Classes) -> Iterator[Sample]:
    found = labeled_folder(folder, classes, {})
    if found.empty:
        empty = abbreviated([readable(name) for name in found.empty])
        raise ImageError(
            f"Expected images of every class, found none in {empty} "
            f"of {readable(os.fspath(folder))}: add some, or remove the folder."
        )
    numbers = {label.id: number for number, label in enumerate(classes.labels)}
    listed = ((f.relative(path), numbers[f.label.id], path) for f, path in found.images())
    for (relative, number, path), digest in in_order(
        lambda item: (item, _digest(item[2])), listed, ahead=AHEAD
    ):
        yield Sample(path, relative, number, digest)


def _digest(path: str) -> str:
    if not os.path.isfile(path):  # a pipe would have no end
        raise ImageError(f"{readable(path)} is no regular file; expected an image file.")
    try:
        return files.sha256(Path(path))
    except OSError as error:
        raise ImageError(f"{readable(path)} cannot be opened ({error.strerror or error}).") from error


def _once(samples: Sequence[Sample], held_out: set[str], notes: list[str]) -> list[Sample]:
    """The samples without copies: all but the first of one class, all of two classes and of `held_out`."""
    by_content: dict[str, set[int]] = {}
    for sample in samples:
        by_content.setdefault(sample.sha256, set()).add(sample.label)
    kept: dict[str, Sample] = {}
    left_out: Counter[str] = Counter()
    for sample in samples:
        if sample.sha256 in held_out:
            left_out["that are also in the test or validation folder"] += 1
        elif len(by_content[sample.sha256]) > 1:
            left_out["that lie in the folders of two classes"] += 1
        elif sample.sha256 in kept:
            left_out["that are copies of others"] += 1
        else:
            kept[sample.sha256] = sample
    notes += [f"{count} images {why} are left out of the training" for why, count in left_out.items()]
    return list(kept.values())


def _check_counts(
    folder: Folder, names: Sequence[str], kept: Iterable[Sample], least: int, notes: Sequence[str]
) -> None:
    counts = Counter(sample.label for sample in kept)
    tiny = [
        f"{readable(name)} ({counts[number]})" for number, name in enumerate(names) if counts[number] < least
    ]
    if tiny:
        raise ImageError(
            f"Expected at least {least} different images of every class in {readable(os.fspath(folder))}, "
            f"found fewer of {abbreviated(tiny)}{'; ' if notes else ''}{' and '.join(notes)}."
        )


def _set_aside(samples: Sequence[Sample], part: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """A part of each class, at least one image, and the rest; both in the samples' order."""
    random = np.random.default_rng(seed)
    chosen: set[int] = set()
    for label in sorted({sample.label for sample in samples}):
        places = [place for place, sample in enumerate(samples) if sample.label == label]
        count = max(1, round(part * len(places)))
        chosen |= set(random.permutation(places)[:count].tolist())
    aside = [sample for place, sample in enumerate(samples) if place in chosen]
    return aside, [sample for place, sample in enumerate(samples) if place not in chosen]
