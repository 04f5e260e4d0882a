"""Writes what GluonCV's own preprocessing makes of generated images, for tests/test_preprocessing.py.

    python scripts/convert/originals/gluoncv_images.py tests/goldens/images_gluoncv.npz

Runs in GluonCV's environment (Python 3.8, mxnet 1.9.1, gluoncv 0.11.0), so it imports nothing of modelzoo.
"""

import sys
import zlib

import mxnet
import numpy as np
from gluoncv.data.transforms.presets.imagenet import transform_eval

SIZES = [
    (480, 641),
    (641, 480),
    (333, 500),
    (997, 331),
    (256, 256),
    (255, 256),
    (37, 53),
    (9, 1),
]  # height, width
STEP = 9  # every so many pixels of the 224 are kept, to keep the file small


def generated_image(height, width):
    """uint8 (height, width, 3): slopes with hard edges, and noise. tests/test_preprocessing.py has a copy."""
    rows, columns, channels = np.ogrid[:height, :width, :3]
    slopes = rows * (2 + channels) + columns * (3 - channels)
    noise = np.random.RandomState(height * 10007 + width).randint(0, 64, (height, width, 3))
    return ((slopes + noise) % 256).astype(np.uint8)


def main(path):
    """Stores, for each size, the checksum of the image and the thinned output (25, 25, 3), float32."""
    goldens = {}
    for height, width in SIZES:
        image = generated_image(height, width)
        output = transform_eval(mxnet.nd.array(image, dtype="uint8")).asnumpy()[0].transpose(1, 2, 0)
        goldens[f"{height}x{width}"] = output[::STEP, ::STEP]
        goldens[f"{height}x{width}_crc32"] = np.uint32(zlib.crc32(image.tobytes()))
    np.savez_compressed(path, **goldens)


if __name__ == "__main__":
    main(sys.argv[1])
