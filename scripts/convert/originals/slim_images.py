"""Writes what TF-slim's own preprocessing makes of generated images, for tests/test_preprocessing.py.

    python slim_images.py SLIM tests/goldens/images_slim.npz

SLIM is the folder research/slim of tensorflow/models. It runs in the environment of slim_run.py
(tensorflow 2.21, tf_keras, tf_slim 1.1.0), so it imports nothing of modelzoo.
"""

import os
import sys
import zlib

os.environ["TF_USE_LEGACY_KERAS"] = "1"
import numpy as np
import tensorflow.compat.v1 as tf
import tf_keras.src.legacy_tf_layers

sys.modules["tf_keras.legacy_tf_layers"] = tf_keras.src.legacy_tf_layers

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
OUTPUTS = [("slim_vgg", "vgg_16", 224)] + [
    ("slim_inception", "inception_v1", size) for size in (128, 160, 224, 299, 331)
]  # our preprocessing, a network that has it, its size
STEP = 23  # every so many pixels are kept, to keep the file small


def generated_image(height, width):
    """uint8 (height, width, 3): slopes with hard edges, and noise. tests/test_preprocessing.py has a copy."""
    rows, columns, channels = np.ogrid[:height, :width, :3]
    slopes = rows * (2 + channels) + columns * (3 - channels)
    noise = np.random.RandomState(height * 10007 + width).randint(0, 64, (height, width, 3))
    return ((slopes + noise) % 256).astype(np.uint8)


def main(slim, path):
    """Stores the thinned float32 output for each preprocessing and size, and the images' checksums."""
    sys.path.insert(0, slim)
    from preprocessing import preprocessing_factory

    goldens = {}
    for preprocessing, network, size in OUTPUTS:
        function = preprocessing_factory.get_preprocessing(network, is_training=False)
        with tf.Graph().as_default(), tf.Session() as session:
            image = tf.placeholder(tf.uint8, (None, None, 3))  # as decoded images are
            output = function(image, size, size)
            for height, width in SIZES:
                image = generated_image(height, width)
                values = session.run(output, {image: image})
                goldens[f"{preprocessing}/{size}/{height}x{width}"] = values[::STEP, ::STEP]
                goldens[f"crc32/{height}x{width}"] = np.uint32(zlib.crc32(image.tobytes()))
    np.savez_compressed(path, **goldens)


if __name__ == "__main__":
    main(*sys.argv[1:])
