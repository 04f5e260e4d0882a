"""Runs TF-slim's own nets: a checkpoint and images -> logits and feature maps.

It runs in an environment of its own (tensorflow 2.21, tf_keras, tf_slim 1.1.0) and is called by ../slim.py:

    python slim_run.py SLIM NETWORK CLASSES PREFIX INPUTS.npz OUTPUTS.npz SPEC [--weights WEIGHTS.npz]

SLIM is the folder research/slim of tensorflow/models, NETWORK a name in its nets_factory. SPEC is JSON:
{"options": arguments of the network, "odd_options": more of them for all images but the first, "features":
{"C2": "name of an operation"}}. With --weights, arrays by variable name, it writes the checkpoint first;
variables that the arrays lack (auxiliary heads) keep their random start.
"""

import argparse
import json
import os
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"
# Plain kernels: on Inception v4 they are within 1.1e-6 of float64, those of oneDNN within 2.0e-6.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
import numpy as np
import tensorflow.compat.v1 as tf
import tf_keras.src.legacy_tf_layers

sys.modules["tf_keras.legacy_tf_layers"] = tf_keras.src.legacy_tf_layers
import tf_slim
import tf_slim.layers

sys.modules["tf_slim"].layers = sys.modules["tf_slim.layers"]


class HParams(argparse.Namespace):
    """What nets/nasnet/ uses of tf.contrib.training.HParams, which tf_slim has not."""

    def set_hparam(self, name, value):
        setattr(self, name, value)


tf_slim.training.HParams = HParams


def main():
    parser = argparse.ArgumentParser()
    for name in ("slim", "network", "classes", "checkpoint", "inputs", "outputs", "spec"):
        parser.add_argument(name)
    parser.add_argument("--weights")
    arguments = parser.parse_args()
    sys.path.insert(0, arguments.slim)
    tf.disable_v2_behavior()

    outputs = {}
    for number, (name, images) in enumerate(np.load(arguments.inputs).items()):
        with tf.Graph().as_default(), tf.Session() as session:
            maps = network(
                arguments, images.shape, odd=number > 0
            )  # slim's nets want the size when they are built
            if arguments.weights and number == 0:
                write_checkpoint(session, np.load(arguments.weights), arguments.checkpoint)
            tf.train.Saver().restore(session, arguments.checkpoint)
            for map_name, value in session.run(maps, {"images:0": images}).items():
                outputs[f"{name}/{map_name}"] = (
                    value.reshape(len(images), -1) if map_name == "logits" else value
                )
    np.savez(arguments.outputs, **outputs)


def network(arguments, shape, odd):
    from nets import nets_factory

    spec = json.loads(arguments.spec)
    function = nets_factory.get_network_fn(arguments.network, int(arguments.classes), is_training=False)
    images = tf.placeholder(tf.float32, shape, name="images")
    options = spec["options"] | (spec["odd_options"] if odd else {})
    logits, _ = function(images, **options)
    graph = tf.get_default_graph()
    maps = {name: graph.get_operation_by_name(path).outputs[0] for name, path in spec["features"].items()}
    return {"logits": logits, **maps}


def write_checkpoint(session, arrays, checkpoint):
    """All variables in one run: one by one takes half a minute."""
    variables = {variable.op.name: variable for variable in tf.global_variables()}
    assert set(arrays.files) <= set(variables), set(arrays.files) - set(variables)
    values = {variables[name].initializer.inputs[1]: arrays[name] for name in arrays.files}
    session.run([variable.initializer for variable in variables.values()], values)
    tf.train.Saver().save(session, checkpoint, write_meta_graph=False)


if __name__ == "__main__":
    main()
