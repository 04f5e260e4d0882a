"""Writes how Keras 2's keras.applications names its weights: a digest for each network.

It runs in an environment of its own (tensorflow 2.21, tf_keras, which is Keras 2.15 and later of its line):

    python keras_2_names.py NETWORKS.json DIGESTS.json

NETWORKS holds by variant the arguments of keras.applications' function, with its name as "model", as
modelzoo.conversion.keras_model_of() gives them. A digest is of the JSON list of [layer/weight, shape], in the
order of the layers.
"""

import hashlib
import json
import os
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"
import tf_keras


def main(networks, digests):
    found = {}
    with open(networks) as file:
        for variant, facts in json.load(file).items():
            tf_keras.backend.clear_session()
            model = getattr(tf_keras.applications, facts.pop("model"))(weights=None, **facts)
            found[variant] = digest(model)
    with open(digests, "w") as file:
        json.dump(found, file, indent=1)
        file.write("\n")


def digest(model):
    names = [
        [f"{layer.name}/{weight.name.rpartition('/')[2].removesuffix(':0')}", list(map(int, weight.shape))]
        for layer in model.layers
        for weight in layer.weights
    ]
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()


if __name__ == "__main__":
    main(*sys.argv[1:])
