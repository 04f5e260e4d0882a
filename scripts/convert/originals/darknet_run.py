"""Runs a Darknet network in OpenCV: a .weights file and images -> raw predictions and feature maps.

It runs in an environment of its own (opencv-python-headless 4.10) and is called by ../darknet.py:

    python darknet_run.py CLONE CFG CHECKPOINT INPUTS.npz OUTPUTS.npz [--weights WEIGHTS.npz]

CLONE is one of pjreddie/darknet in which `make` has run. With --weights, arrays by name
("convolutional_0/scales"), Darknet's own library reads them and writes CHECKPOINT.
"""

import argparse
import ctypes
import os
import struct
from pathlib import Path

import cv2
import numpy as np

# OpenCV's names of the layers: the activations before each max-pooling, and the last convolution.
MAPS = {
    "C1": "leaky_3",
    "C2": "leaky_7",
    "C3": "leaky_11",
    "C4": "leaky_17",
    "C5": "leaky_23",
    "logits": "conv_30",
}
ORDER = ("biases", "scales", "rolling_mean", "rolling_variance", "weights")  # in the file, for each layer
HEADER = struct.pack("<iiii", 0, 1, 0, 0)  # version 0.1, as yolov2.weights has


def main():
    parser = argparse.ArgumentParser()
    for name in ("clone", "cfg", "checkpoint", "inputs", "outputs"):
        parser.add_argument(name)
    parser.add_argument("--weights")
    arguments = parser.parse_args()
    cfg = Path(arguments.clone) / "cfg" / arguments.cfg
    if arguments.weights:
        write_checkpoint(Path(arguments.clone), cfg, np.load(arguments.weights), arguments.checkpoint)

    outputs = {}
    for name, images in np.load(arguments.inputs).items():
        net = cv2.dnn.readNetFromDarknet(str(cfg), arguments.checkpoint)
        net.enableFusion(False)  # every layer as it is, and no Winograd: its error is larger
        net.enableWinograd(False)
        net.setInput(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        for map_name, array in zip(MAPS, net.forward(list(MAPS.values())), strict=True):
            outputs[f"{name}/{map_name}"] = np.ascontiguousarray(array.transpose(0, 2, 3, 1))
    np.savez(arguments.outputs, **outputs)


def write_checkpoint(clone, cfg, arrays, checkpoint):
    """The arrays in a file of our making, which Darknet loads and saves in its own."""
    ours = Path(checkpoint).with_suffix(".ours")
    with ours.open("wb") as file:
        file.write(HEADER)
        for name in sorted(arrays.files, key=place):
            file.write(arrays[name].astype("<f4").tobytes())
    darknet = ctypes.CDLL(str(clone / "libdarknet.so"))
    darknet.load_network.restype = ctypes.c_void_p
    darknet.save_weights.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # Darknet lists its layers
    net = darknet.load_network(os.fsencode(cfg), os.fsencode(ours), 0)
    darknet.save_weights(net, os.fsencode(checkpoint))


def place(name):
    layer, array = name.split("/")
    return int(layer.rpartition("_")[2]), ORDER.index(array)


if __name__ == "__main__":
    main()
