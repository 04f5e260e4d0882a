"""JPEGs to be classified: random parts of photographs, so that no two are alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (500, 375)
LARGE = (2000, 1500)  # as a camera or a telephone makes them
QUALITY = 90


def make_images(
    folder: Path, number: int, photographs: Sequence[Path], size: tuple[int, int] = SIZE
) -> list[str]:
    """The paths of new JPEGs of size (width, height), in order, in a folder that is made, too.

    Each shows at least half of a photograph's width. The same arguments give the same images.
    """
    folder.mkdir()
    random = np.random.default_rng(0)
    opened = [Image.open(path).convert("RGB") for path in photographs]
    paths = [folder / f"{place:05}.jpg" for place in range(number)]
    for place, path in enumerate(paths):
        photograph = opened[place % len(opened)]
        width = photograph.width * random.uniform(0.5, 1)
        height = min(width * size[1] / size[0], photograph.height)
        left, top = random.uniform(0, photograph.width - width), random.uniform(0, photograph.height - height)
        box = (left, top, left + width, top + height)
        photograph.resize(size, Image.Resampling.BICUBIC, box).save(path, quality=QUALITY)
    return [str(path) for path in paths]
