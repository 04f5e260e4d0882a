"""Runs the authors' own EfficientNet-Lite: weights and images -> a checkpoint, logits and feature maps.

It runs in an environment of its own (tensorflow 2.21, tf_keras, six) and is called by ../tpu.py:

    python tpu_run.py EFFICIENTNET MODEL PREFIX INPUTS.npz OUTPUTS.npz --weights WEIGHTS.npz

EFFICIENTNET is the folder models/official/efficientnet of tensorflow/tpu, MODEL efficientnet-lite0 to 4. The
checkpoint holds each variable and its moving average, both with the given values.
"""

import argparse
import os
import sys
import types

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"  # plain kernels, as in slim_run.py
import numpy as np
import tensorflow.compat.v1 as tf

MAPS = {"C2": "reduction_2", "C3": "reduction_3", "C4": "reduction_4", "C5": "head_1x1"}
UNUSED = ("lite.efficientnet_lite_model_qat", "lars_optimizer")  # whose own imports are not there


def main():
    parser = argparse.ArgumentParser()
    for name in ("clone", "model", "checkpoint", "inputs", "outputs"):
        parser.add_argument(name)
    parser.add_argument("--weights", required=True)
    arguments = parser.parse_args()
    builder = load(arguments.clone)
    inputs, outputs = np.load(arguments.inputs), {}
    with tf.Graph().as_default(), tf.Session() as session:
        network(builder, arguments.model, inputs[inputs.files[0]].shape)
        write_checkpoint(session, np.load(arguments.weights), arguments.checkpoint)
    for name, images in inputs.items():
        with tf.Graph().as_default(), tf.Session() as session:
            given, maps = network(builder, arguments.model, images.shape)
            restore(session, arguments.checkpoint)
            for key, value in session.run(maps, {given: images}).items():
                outputs[f"{name}/{key}"] = value.reshape(1, -1) if key == "logits" else value
    np.savez(arguments.outputs, **outputs)


def load(clone):
    """The authors' module. Where TensorFlow 2 has no tf.layers, tf_keras brings them along."""
    import tf_keras.src.legacy_tf_layers as legacy
    from tf_keras.src.legacy_tf_layers import base, convolutional, core, normalization

    tf.layers = types.SimpleNamespace(
        BatchNormalization=normalization.BatchNormalization,
        Conv2D=convolutional.Conv2D,
        Dense=core.Dense,
        Layer=base.Layer,
    )
    assert legacy
    for name in UNUSED:
        sys.modules[name] = types.ModuleType(name)
    sys.path.insert(0, clone)
    tf.disable_v2_behavior()
    from lite import efficientnet_lite_builder

    return efficientnet_lite_builder


def network(builder, model, shape):
    given = tf.placeholder(tf.float32, shape)
    logits, endpoints = builder.build_model(given, model, training=False)
    return given, {"logits": logits} | {key: endpoints[endpoint] for key, endpoint in MAPS.items()}


def write_checkpoint(session, arrays, checkpoint):
    """All variables in one run: one by one takes half a minute."""
    import utils

    variables = {variable.op.name: variable for variable in tf.global_variables()}
    assert set(arrays.files) == set(variables), set(arrays.files) ^ set(variables)
    values = {variables[name].initializer.inputs[1]: arrays[name] for name in arrays.files}
    session.run([variable.initializer for variable in variables.values()], values)
    averaged = utils.get_ema_vars()
    average = tf.train.ExponentialMovingAverage(decay=0.0)
    update = average.apply(averaged)
    session.run(tf.variables_initializer([average.average(variable) for variable in averaged]))
    session.run(update)
    tf.train.Saver().save(session, checkpoint, write_meta_graph=False)


def restore(session, checkpoint):
    """As the authors' EvalCkptDriver does: the averages."""
    import utils

    average = tf.train.ExponentialMovingAverage(decay=0.0)
    tf.train.Saver(average.variables_to_restore(utils.get_ema_vars())).restore(session, checkpoint)


if __name__ == "__main__":
    main()
