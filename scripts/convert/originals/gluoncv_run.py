"""Runs GluonCV's own network on MXNet: a checkpoint and images -> logits and feature maps.

It runs in an environment of its own (Python 3.8, mxnet 1.9.1, gluoncv 0.10.5.post0, numpy < 1.24) and
is called by ../gluoncv.py:

    python gluoncv_run.py MODEL CHECKPOINT.params INPUTS.npz OUTPUTS.npz [--weights WEIGHTS.npz]

With --weights, arrays by parameter name, it writes the checkpoint first, and CHECKPOINT-export-0000.params
beside it, in the format of `export`.
"""

import argparse

import mxnet as mx
import numpy as np
from gluoncv.model_zoo import get_model


def main():
    parser = argparse.ArgumentParser()
    for name in ("model", "checkpoint", "inputs", "outputs"):
        parser.add_argument(name)
    parser.add_argument("--weights")
    arguments = parser.parse_args()
    if arguments.weights:
        write_checkpoint(arguments.model, arguments.weights, arguments.checkpoint)

    network = get_model(arguments.model, pretrained=False)
    network.load_parameters(arguments.checkpoint)
    outputs = {}
    for name, images in np.load(arguments.inputs).items():
        for map_name, array in run(network, images).items():
            outputs[f"{name}/{map_name}"] = array
    np.savez(arguments.outputs, **outputs)


def write_checkpoint(model, weights, checkpoint):
    network = get_model(model, pretrained=False)
    network.initialize()
    network.hybridize()
    network(mx.nd.zeros((1, 3, 64, 64)))  # lets MXNet infer the shapes
    parameters = network._collect_params_with_prefix()
    arrays = np.load(weights)
    assert set(parameters) == set(arrays.files), set(parameters) ^ set(arrays.files)
    for name, parameter in parameters.items():
        parameter.set_data(mx.nd.array(arrays[name]))
    network.save_parameters(checkpoint)
    network.export(checkpoint.replace(".params", "-export"))


def run(network, images):
    """The logits of the network as a whole, and the feature maps from its own parts."""
    x = mx.nd.array(images.transpose(0, 3, 1, 2))
    maps = {"logits": network(x)}
    maps["C1"] = network.relu(network.bn1(network.conv1(x)))
    maps["C2"] = network.layer1(network.maxpool(maps["C1"]))
    maps["C3"] = network.layer2(maps["C2"])
    maps["C4"] = network.layer3(maps["C3"])
    maps["C5"] = network.layer4(maps["C4"])
    arrays = {name: array.asnumpy() for name, array in maps.items()}
    return {name: a.transpose(0, 2, 3, 1) if a.ndim == 4 else a for name, a in arrays.items()}


if __name__ == "__main__":
    main()
