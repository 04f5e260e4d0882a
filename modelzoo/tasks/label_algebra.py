"""Predictions in other classes than the network's: another label set, what things are a kind of, averages.

All of it is arithmetic on ids: WordNet's, which ImageNet's label sets share with ML-Images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from modelzoo import labels as label_sets
from modelzoo.errors import LabelsError, abbreviated
from modelzoo.labels import Label, hierarchy
from modelzoo.tasks.classification import Prediction, checked_probabilities, labels_named

Floats = npt.NDArray[np.floating[Any]]
Labels = str | Sequence[str]  # a label set, a model, whose label set is taken, or a list of ids


def as_label_set(probabilities: Any, labels: Labels, to: Labels, *, normalize: bool = True) -> Floats:
    """The probabilities (batch, classes) of one label set as (batch, classes) of another, by ids.

    labels: whose the columns are: "mlimages", or a model with it. to: the other, such as "imagenet", which
    must have no class beyond; or a list of ids. normalize: whether they add up to one again, as a softmax
    over these classes alone gives them; all zeros stay zeros. Raises LabelsError.
    """
    array, name, table = _checked(probabilities, labels)
    places = {label.id: place for place, label in enumerate(table)}
    other, targets = labels_named(to)
    if missing := [label.id for label in targets if label.id not in places]:
        raise LabelsError(f"{name} has no classes {abbreviated(missing)}, which {other} has.")
    return _picked(array, [places[label.id] for label in targets], normalize)


def roll_up(probabilities: Any, labels: Labels, to: str | Sequence[str]) -> Floats:
    """The probability that an image shows any kind of `to`: the sum over all classes below it, (batch,).

    labels: whose the columns of `probabilities` (batch, classes) are, as in as_label_set. to: the id or name
    of a class of ML-Images ("dog"), or a list of them, for (batch, len(to)). Raises LabelsError for an
    unknown or ambiguous one, for labels that are not in WordNet's tree, and where none is a kind of it.
    """
    array, name, table = _checked(probabilities, labels)
    hierarchy.check_tree(table, name)
    sums = [_sum_of(array, name, table, item) for item in ([to] if isinstance(to, str) else to)]
    return sums[0] if isinstance(to, str) else np.stack(sums, axis=-1)


def deepest(probabilities: Any, labels: Labels, threshold: float = 0.5) -> list[Prediction | None]:
    """For each row the most special class that has at least `threshold`, with all that is a kind of it.

    None where even the roots of the tree have less. Of several as deep, the more probable. `threshold` is
    from 0 to 1; above 0.5 there is one path only. Raises LabelsError as roll_up does.
    """
    array, name, table = _checked(probabilities, labels)
    hierarchy.check_tree(table, name)
    tree = label_sets.read(hierarchy.HIERARCHY)
    places = {label.id: place for place, label in enumerate(tree)}
    lines = [[places[label.id] for label in hierarchy.ancestors(label.id)] for label in table]
    sums = np.zeros((len(array), len(tree)))
    for column, line in enumerate(lines):
        sums[:, line] += array[:, column, None]
    depths = np.array([len(hierarchy.ancestors(label.id)) for label in tree])
    return [_deepest(row, depths, threshold, tree) for row in sums]


def average_predictions(
    predictions: Sequence[tuple[Any, Labels]], weights: Sequence[float] | None = None
) -> tuple[tuple[Label, ...], Floats]:
    """The mean of several networks' probabilities over the classes that all of them know, and these classes.

    predictions: of each network the probabilities (batch, classes) and its labels, as in as_label_set. Each
    is normalized over the shared classes, which come in the order of the first. weights: of the networks;
    default: equal. Raises LabelsError where no class is shared.
    """
    checked = [_checked(array, labels) for array, labels in predictions]
    known = [{label.id for label in table} for _, _, table in checked]
    first = checked[0][2] if checked else ()
    table = tuple(label for label in first if all(label.id in ids for ids in known))
    if not table:
        names = ", ".join(name for _, name, _ in checked)
        raise LabelsError(f"Expected label sets with ids in common, got {names or 'no predictions'}.")
    if weights is not None and len(weights) != len(checked):
        raise LabelsError(f"Expected a weight for each of {len(checked)} predictions, got {len(weights)}.")
    ids = [label.id for label in table]
    arrays = [as_label_set(array, labels, ids).astype(np.float64) for array, labels in predictions]
    return table, np.average(arrays, axis=0, weights=weights)


def _sum_of(array: Floats, name: str, table: Sequence[Label], to: str) -> Floats:
    tree = label_sets.read(hierarchy.HIERARCHY)
    id = tree[label_sets.choose(tree, to, hierarchy.HIERARCHY)].id
    below = [
        place
        for place, label in enumerate(table)
        if any(above.id == id for above in hierarchy.ancestors(label.id))
    ]
    if not below:
        raise LabelsError(f"No class of {name} is a kind of {to!r} ({id}).")
    return array[:, below].sum(axis=1)


def _deepest(row: Floats, depths: Any, threshold: float, tree: Sequence[Label]) -> Prediction | None:
    enough = np.flatnonzero(row >= threshold)
    if not len(enough):
        return None
    best = max(enough.tolist(), key=lambda place: (depths[place], row[place]))
    return Prediction(tree[best].id, tree[best].name, float(row[best]))


def _picked(array: Floats, columns: list[int], normalize: bool) -> Floats:
    picked = array[:, columns]
    if not normalize:
        return picked
    total = picked.sum(axis=1, keepdims=True)
    return np.divide(picked, total, out=np.zeros_like(picked), where=total > 0)


def _checked(probabilities: Any, labels: Labels) -> tuple[Floats, str, Sequence[Label]]:
    name, table = labels_named(labels)
    return checked_probabilities(probabilities, name, table), name, table
