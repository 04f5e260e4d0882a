"""Restores a checkpoint into gluon2TF's own graph of a ResNet: images -> logits and feature maps.

It runs in an environment of its own (tensorflow 2.21, tf_keras, tf_slim 1.1) and is called by ../gluon2tf.py:

    python gluon2tf_run.py CLONE MODEL CHECKPOINT_PREFIX INPUTS.npz OUTPUTS.npz

CLONE is a clone of yangJirui/gluon2TF. What its resnet_utils.py imports of TensorFlow 1 is brought up to date
in memory, and `keep_dims`.
"""

import argparse
import os
import sys
import types
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"  # plain kernels: closer to float64
import numpy as np
import tensorflow.compat.v1 as tf
import tf_keras.src.legacy_tf_layers

sys.modules["tf_keras.legacy_tf_layers"] = tf_keras.src.legacy_tf_layers

BLOCKS = {"50": [3, 4, 6, 3], "101": [3, 4, 23, 3], "152": [3, 8, 36, 3]}
WIDTHS = [64, 128, 256, 512]


def main():
    parser = argparse.ArgumentParser()
    for name in ("clone", "model", "checkpoint", "inputs", "outputs"):
        parser.add_argument(name)
    arguments = parser.parse_args()
    tf.disable_v2_behavior()
    utils = original(Path(arguments.clone))
    build = utils.get_resnet_v1_d if arguments.model.endswith("d") else utils.get_resnet_v1_b
    images = tf.placeholder(tf.float32, (None, None, None, 3))
    blocks = BLOCKS[arguments.model.removeprefix("resnet").partition("_")[0]]
    logits = build(
        input_x=images,
        scope=arguments.model,
        bottleneck_nums=blocks,
        base_channels=WIDTHS,
        is_training=False,
        freeze_norm=True,
    )
    maps = {"logits": logits}
    for stage, count in enumerate(blocks, start=2):
        name = f"{arguments.model}/C{stage}/bottleneck_{count - 1}/Relu"
        maps[f"C{stage}"] = tf.get_default_graph().get_operation_by_name(name).outputs[0]
    with tf.Session() as session:
        tf.train.Saver().restore(session, arguments.checkpoint)
        outputs = {}
        for name, array in np.load(arguments.inputs).items():
            for map_name, value in session.run(maps, {images: array}).items():
                outputs[f"{name}/{map_name}"] = value
    np.savez(arguments.outputs, **outputs)


def original(clone):
    """The module resnet/resnet_utils.py."""
    source = (clone / "resnet" / "resnet_utils.py").read_text()
    source = source.replace("import tensorflow as tf", "import tensorflow.compat.v1 as tf")
    source = source.replace("import tensorflow.contrib.slim as slim", "import tf_slim as slim")
    source = source.replace("keep_dims", "keepdims")
    module = types.ModuleType("resnet_utils")
    exec(compile(source, "resnet_utils.py", "exec"), module.__dict__)
    return module


if __name__ == "__main__":
    main()
