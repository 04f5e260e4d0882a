"""The images that a model folder's answers are about: made by a rule, so that no image goes with a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelzoo.registry import Preprocessing

if TYPE_CHECKING:
    import numpy as np

FINE, COARSE = "noise", "patches"
SIZE = (131, 173)  # pixels, height and width: odd sides find wrong roundings
PATCH = 24  # pixels, the side of one of the patches
MIDDLE, DEVIATION = 128, 64  # levels


def images() -> dict[str, np.ndarray]:
    """Noise of every pixel, and patches of one color: uint8 (height, width, 3), RGB, by name."""
    import numpy as np

    from modelzoo.architectures import synthetic

    height, width = SIZE
    few = synthetic.images(-(-height // PATCH), -(-width // PATCH))[0]
    coarse = few.repeat(PATCH, axis=0).repeat(PATCH, axis=1)[:height, :width]
    noise = {FINE: synthetic.images(height, width)[0], COARSE: coarse}
    return {
        name: np.clip(np.rint(MIDDLE + DEVIATION * values), 0, 255).astype(np.uint8)
        for name, values in noise.items()
    }


def inputs(preprocessing: Preprocessing) -> dict[str, np.ndarray]:
    """What a network gets of these images, float32 (1, crop_size, crop_size, 3), by name."""
    from modelzoo.images import preprocess

    return {name: preprocess(image, preprocessing) for name, image in images().items()}
