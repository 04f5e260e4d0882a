"""Runs Tencent's own models/resnet.py: a checkpoint and images -> logits and feature maps.

It runs in an environment of its own (tensorflow 2.21, tf_keras) and is called by ../tencent.py:

    python tencent_run.py CLONE SIZE CLASSES CHECKPOINT_PREFIX INPUTS.npz OUTPUTS.npz [--weights WEIGHTS.npz]

CLONE is a clone of Tencent/tencent-ml-images. With --weights, arrays by variable name, it writes the
checkpoint first. Two spellings of the original are brought up to date in memory: `out_channel/4`,
which was an integer in Python 2, and `keep_dims`.
"""

import argparse
import os
import sys
import types
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"
import numpy as np
import tensorflow.compat.v1 as tf

STAGES = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def main():
    parser = argparse.ArgumentParser()
    for name in ("clone", "resnet_size", "classes", "checkpoint", "inputs", "outputs"):
        parser.add_argument(name)
    parser.add_argument("--weights")
    arguments = parser.parse_args()
    size = int(arguments.resnet_size)

    tf.disable_v2_behavior()
    images = tf.placeholder(tf.float32, (None, None, None, 3))
    resnet = original(Path(arguments.clone), size, int(arguments.classes))
    network = resnet.ResNet(images, is_training=False)
    network.build_model()
    maps = {"logits": network.logit, "C1": tensor("init/init_conv/conv2d/Conv2D")}
    for stage, blocks in enumerate(STAGES[size][:3]):
        maps[f"C{stage + 2}"] = tensor(f"stages_{stage}_block_{blocks - 1}/add")
    maps["C5"] = tensor("global_pool/Relu")

    saver = tf.train.Saver(tf.global_variables())
    with tf.Session() as session:
        if arguments.weights:
            initialize(session, np.load(arguments.weights))
            saver.save(session, arguments.checkpoint, write_meta_graph=False)
        saver.restore(session, arguments.checkpoint)
        outputs = {}
        for name, array in np.load(arguments.inputs).items():
            for map_name, value in session.run(maps, {images: array}).items():
                outputs[f"{name}/{map_name}"] = value
    np.savez(arguments.outputs, **outputs)


def original(clone, size, classes):
    """The module models/resnet.py, with the flags it was run with."""
    flags = types.ModuleType("flags")
    flags.FLAGS = types.SimpleNamespace(
        resnet_size=size,
        class_num=classes,
        data_format="channels_first",  # the default, which the original takes for NHWC
        batch_norm_decay=0.997,
        batch_norm_epsilon=1e-5,
    )
    source = (clone / "models" / "resnet.py").read_text()
    source = source.replace("out_channel/4", "out_channel//4").replace("keep_dims", "keepdims")
    source = source.replace("import tensorflow as tf", "import tensorflow.compat.v1 as tf")
    sys.modules["flags"] = flags
    module = types.ModuleType("resnet")
    exec(compile(source, "resnet.py", "exec"), module.__dict__)
    return module


def tensor(operation):
    return tf.get_default_graph().get_operation_by_name(operation).outputs[0]


def initialize(session, arrays):
    """All variables in one run: one by one takes half a minute."""
    variables = {variable.op.name: variable for variable in tf.global_variables()}
    assert set(variables) == set(arrays.files), set(variables) ^ set(arrays.files)
    values = {variable.initializer.inputs[1]: arrays[name] for name, variable in variables.items()}
    session.run([variable.initializer for variable in variables.values()], values)


if __name__ == "__main__":
    main()
