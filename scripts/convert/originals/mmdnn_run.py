"""Runs the network that MMdnn makes of its intermediate representation: images -> outputs.

It runs in an environment of its own (Python 3.6, mmdnn 0.3.1, keras 2.2.4, tensorflow 1.13.2) and is called
by ../matrix_programs.py:

    python mmdnn_run.py STEM INPUTS.npz OUTPUTS.npz

STEM.pb and STEM.npy are the representation; MMdnn writes the code of a Keras network of them, STEM_keras.py.
INPUTS holds batches; OUTPUTS gets batch/position of the output, and as `runtime` the programs' versions.
"""

import importlib.util
import subprocess
import sys

import numpy as np
import pkg_resources

PACKAGES = (("MMdnn", "mmdnn"), ("Keras", "keras"), ("TensorFlow", "tensorflow"))


def main(stem, inputs, outputs):
    code = stem + "_keras.py"
    words = ["-f", "keras", "-n", stem + ".pb", "-w", stem + ".npy", "-d", code]
    subprocess.check_call([sys.executable, "-m", "mmdnn.conversion._script.IRToCode", *words])
    spec = importlib.util.spec_from_file_location("network", code)
    network = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(network)
    model = network.KitModel(stem + ".npy")
    found = {"runtime": ", ".join(name + " " + version(package) for name, package in PACKAGES)}
    for name, images in np.load(inputs).items():
        answers = model.predict_on_batch(images)
        for position, answer in enumerate(answers if isinstance(answers, list) else [answers]):
            found[f"{name}/{position}"] = answer
    np.savez(outputs, **found)


def version(package):
    return pkg_resources.get_distribution(package).version


if __name__ == "__main__":
    main(*sys.argv[1:])
