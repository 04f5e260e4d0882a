"""What each output of a network means: one table a label set, read when it is first asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from modelzoo.errors import LabelsError

NAMES: tuple[str, ...] = ("imagenet", "imagenet_background", "mlimages", "cifar10", "coco")


@dataclass(frozen=True, slots=True)
class Label:
    """One class: `id` is unique in its set, `name` need not be (ImageNet has two classes "crane").

    `parent` is the parent's index in the same set; None for a root, and in a set without a hierarchy.
    """

    id: str
    name: str
    parent: int | None = None


@cache
def read(name: str) -> tuple[Label, ...]:
    """The labels of a set in class order, so that `read(name)[i]` is the meaning of output `i`.

    Raises LabelsError for a name that is not in NAMES.
    """
    if name not in NAMES:
        raise LabelsError(f"There is no label set {name!r}; there are {', '.join(NAMES)}.")
    if name == "imagenet_background":  # TF-slim's networks with 1,001 outputs; column 0 is "none of these"
        return (Label("background", "background"), *read("imagenet"))
    _, *rows = files("modelzoo.labels").joinpath(f"{name}.tsv").read_text(encoding="utf-8").splitlines()
    return tuple(_label(*row.split("\t")) for row in rows)


def _label(id: str, name: str, parent: str = "-1") -> Label:
    return Label(id, name, None if parent == "-1" else int(parent))
