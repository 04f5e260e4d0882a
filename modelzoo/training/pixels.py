"""One pass over all images: each is decoded once, checked, kept for the training, and embedded."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from modelzoo import files
from modelzoo.errors import ImageError, OutputError, abbreviated, readable
from modelzoo.images import preprocess_crops, read_for, resize_and_crop
from modelzoo.images.reading import decoded
from modelzoo.registry import Preprocessing
from modelzoo.tasks import Pipeline
from modelzoo.tasks.pipeline import BATCH_SIZE, Prepared, in_order
from modelzoo.training.data import Sample, Split
from modelzoo.training.progress import Progress

if TYPE_CHECKING:
    from modelzoo.training.network import Base

MARGIN = 1.15  # of the cached square's side to the network's, for crops that show less than all
CHANNELS = 3
READY = "pixels.json"  # written last: what the other files are of

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Squares:
    """Training images as uint8 squares (side, side, 3), whole, whatever their own ratio of sides was."""

    samples: Sequence[Sample]
    preprocessing: Preprocessing
    kept: npt.NDArray[np.uint8] | None  # (images, side, side, 3); None: decoded whenever they are needed
    ratios: Floats  # width to height, (images,)

    def __getitem__(self, places: npt.NDArray[np.intp]) -> npt.NDArray[np.uint8]:
        if self.kept is not None:
            return self.kept[places]
        return np.stack(
            [
                square_of(read_for(self.samples[p].path, self.preprocessing), self.preprocessing)
                for p in places
            ]
        )


@dataclass(frozen=True)
class Pixels:
    """What training needs of the images.

    validation: as the network takes them, float32 (images, side, side, 3).
    embeddings: of the training and of the validation images by the base, float32 (images, channels).
    """

    squares: Squares
    validation: Floats
    embeddings: tuple[Floats, Floats] | None
    folder: Path = field(repr=False)


class _Read(NamedTuple):
    square: npt.NDArray[np.uint8] | None
    prepared: Prepared | None
    ratio: float


def side_of_squares(preprocessing: Preprocessing) -> int:
    return round(MARGIN * preprocessing.crop_size)


def square_of(pixels: npt.NDArray[np.uint8], preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    """The whole image as a square of side_of_squares(), by the network's own interpolation."""
    whole = Preprocessing(
        crop_size=side_of_squares(preprocessing),
        interpolation=preprocessing.interpolation,
        mean=preprocessing.mean,
        std=preprocessing.std,
    )
    found = resize_and_crop(pixels, whole)
    return np.clip(np.rint(found), 0, 255).astype(np.uint8)


def ratio_of(pixels: npt.NDArray[np.uint8], preprocessing: Preprocessing) -> float:
    """Width to height, as the network gets to know it: 1 where it stretches all images into a square."""
    stretches = preprocessing.resize_size is None and preprocessing.crop_padding is None
    return 1.0 if stretches and preprocessing.pad_value is None else pixels.shape[1] / pixels.shape[0]


def read_pixels(
    parts: Split, base: Base, folder: Path, progress: Progress, *, head_only: bool, embed: bool, most: int
) -> Pixels:
    """Reads all images, or takes what an earlier run read. `most`: bytes of squares that are kept.

    Raises ImageError that names the images that cannot be read.
    """
    facts = _facts(parts, base, head_only=head_only, embed=embed, most=most)
    if not _is_ready(folder, facts):
        _read_all(parts, base, folder, progress, facts)
    squares = None if not facts["kept"] else np.load(folder / "squares.npy", mmap_mode="r")
    ratios = np.load(folder / "ratios.npy")
    embeddings = None
    if embed:
        embeddings = (np.load(folder / "train.npy"), np.load(folder / "validation-embeddings.npy"))
    validation = np.load(folder / "validation.npy", mmap_mode="r")
    return Pixels(Squares(parts.train, base.preprocessing, squares, ratios), validation, embeddings, folder)


def _facts(parts: Split, base: Base, *, head_only: bool, embed: bool, most: int) -> dict[str, Any]:
    side = side_of_squares(base.preprocessing)
    needed = len(parts.train) * side * side * CHANNELS
    return {
        "data": parts.digest(),
        "base": f"{base.entry.key} {base.weights}",
        "preprocessing": repr(base.preprocessing),
        "kept": not head_only and needed <= most,
        "embed": embed,
    }


def _is_ready(folder: Path, facts: dict[str, Any]) -> bool:
    try:
        return json.loads((folder / READY).read_text("utf-8")) == facts
    except (OSError, ValueError):
        return False


def _read_all(parts: Split, base: Base, folder: Path, progress: Progress, facts: dict[str, Any]) -> None:
    from modelzoo.training.network import SizedEmbeddings

    (folder / READY).unlink(missing_ok=True)
    preprocessing = base.preprocessing
    pipeline = Pipeline(base.deployment(), SizedEmbeddings(base=base)) if facts["embed"] else None
    _Reader(preprocessing, None, progress).read(parts.test, None, None)  # that each can be decoded
    reader = _Reader(preprocessing, pipeline, progress)
    side = side_of_squares(preprocessing)
    shape = (len(parts.train), side, side, CHANNELS)
    squares = _array(folder / "squares.npy", np.uint8, shape) if facts["kept"] else None
    found, ratios = reader.read(parts.train, squares, None)
    np.save(folder / "ratios.npy", ratios)
    crop = preprocessing.crop_size
    shape = (len(parts.validation), crop, crop, CHANNELS)
    inputs = _array(folder / "validation.npy", np.float32, shape)
    validated, _ = reader.read(parts.validation, None, inputs)
    if found is not None and validated is not None:
        np.save(folder / "train.npy", found)
        np.save(folder / "validation-embeddings.npy", validated)
    for array in (squares, inputs):
        if array is not None:
            array.flush()
    with files.atomic_write(folder / READY) as path:
        path.write_text(json.dumps(facts), "utf-8")


def _array(path: Path, dtype: type, shape: tuple[int, ...]) -> Any:
    """A new array in a file whose whole length is there: writing to one cannot fail, or end the process."""
    try:
        found = np.lib.format.open_memmap(path, "w+", dtype, shape)
        if hasattr(os, "posix_fallocate"):
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        path.unlink(missing_ok=True)
        size = math.prod(shape) * np.dtype(dtype).itemsize
        raise OutputError(
            f"{readable(str(path.parent))} needs {path.name} of {size:,} bytes, which cannot be "
            f"written ({error.strerror}): free some space there."
        ) from error
    return found


def _unreadable(reasons: Sequence[str]) -> ImageError:
    count = len(reasons)
    what = "an image that cannot be read" if count == 1 else f"{count} images that cannot be read"
    listed = abbreviated([reason.rstrip(".") for reason in reasons])
    return ImageError(f"Expected images, found {what}: {listed}. Repair or remove before training.")


@dataclass(frozen=True)
class _Reader:
    preprocessing: Preprocessing
    pipeline: Pipeline[Any] | None
    progress: Progress

    def read(self, samples: Sequence[Sample], squares: Any, inputs: Any) -> tuple[Floats | None, Floats]:
        """The samples' embeddings, and ratios; fills squares or inputs where they are given."""
        prepares = inputs is not None or self.pipeline is not None
        read = partial(self._one, squared=squares is not None, prepares=prepares)
        each = self.progress.shown(in_order(read, samples, ahead=2 * BATCH_SIZE), len(samples), "reading")
        rows: list[Floats] = []
        waiting: list[Prepared] = []
        ratios, broken = np.ones(len(samples), np.float32), list[str]()
        for place, found in enumerate(each):
            if isinstance(found, str):
                broken.append(found)
                continue
            ratios[place] = found.ratio
            if squares is not None:
                squares[place] = found.square
            if inputs is not None and found.prepared is not None:
                inputs[place] = found.prepared.inputs[0]
            if found.prepared is not None:
                waiting.append(found.prepared)
            if len(waiting) == BATCH_SIZE:
                rows += self._embedded(waiting)
        if broken:
            raise _unreadable(broken)
        rows += self._embedded(waiting)
        return (np.stack(rows) if rows else None), ratios

    def _embedded(self, waiting: list[Prepared]) -> list[Floats]:
        """The embeddings of the images that wait, which then wait no more."""
        found = list(self.pipeline.outputs(waiting, fill=True)) if self.pipeline and waiting else []
        waiting.clear()
        return found

    def _one(self, sample: Sample, *, squared: bool, prepares: bool) -> _Read | str:
        """An image, or why it cannot be read."""
        try:
            with decoded(sample.path, readable(sample.path)) as pixels:
                square = square_of(pixels, self.preprocessing) if squared else None
                inputs = preprocess_crops(pixels, self.preprocessing) if prepares else None
                size = (pixels.shape[0], pixels.shape[1])
                ratio = ratio_of(pixels, self.preprocessing)
        except ImageError as error:
            return str(error)
        return _Read(square, None if inputs is None else Prepared(inputs, size), ratio)
