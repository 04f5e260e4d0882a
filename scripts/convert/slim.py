"""Proves and converts TF-slim's networks against research/slim itself, on TensorFlow 2.21.

    uv venv --python 3.11 /tmp/slim
    uv pip install --python /tmp/slim/bin/python tensorflow==2.21.0 tf_keras tf_slim==1.1.0
    python scripts/convert/slim.py --python /tmp/slim/bin/python --clone models/research/slim

Add a model, --checkpoint FILE and --output FOLDER to convert a real file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import common

RUNNER = Path(__file__).parent / "originals" / "slim_run.py"


@dataclass(frozen=True)
class Original:
    """A network of nets_factory: the operations that give our feature maps, and arguments it needs."""

    network: str
    features: dict[str, str]
    options: dict[str, object] = field(default_factory=dict)


def resnet(version: int, depth: int) -> Original:
    """C2 to C4 come in front of the unit that strides, which is a block's last."""
    network = f"resnet_v{version}_{depth}"
    end = {1: "Relu", 2: "add"}[version]
    units = {"C2": (1, 2), "C3": (2, 3 if depth < 152 else 7), "C4": (3, {50: 5, 101: 22, 152: 35}[depth])}
    features = {
        name: f"{network}/block{block}/unit_{unit}/bottleneck_v{version}/{end}"
        for name, (block, unit) in units.items()
    }
    last = {1: "block4/unit_3/bottleneck_v1/Relu", 2: "postnorm/Relu"}[version]
    return Original(network, features | {"C5": f"{network}/{last}"})


def vgg(depth: int) -> Original:
    network, last = f"vgg_{depth}", {16: 3, 19: 4}[depth]
    features = {f"C{n}": f"{network}/conv{n + 1}/conv{n + 1}_{last}/Relu" for n in (2, 3, 4)}
    return Original(network, features | {"C5": f"{network}/pool5/MaxPool"}, {"global_pool": True})


ORIGINALS: dict[str, Original] = {
    "resnet_v1_50": resnet(1, 50),
    "resnet_v1_101": resnet(1, 101),
    "resnet_v1_152": resnet(1, 152),
    "resnet_v2_50": resnet(2, 50),
    "resnet_v2_101": resnet(2, 101),
    "resnet_v2_152": resnet(2, 152),
    "vgg_16": vgg(16),
    "vgg_19": vgg(19),
}


def command(arguments, entry, checkpoint, inputs, outputs) -> list[str]:
    original = ORIGINALS[entry.name]
    spec = json.dumps({"options": original.options, "features": original.features})
    network = [arguments.clone, original.network, str(entry.graph.classes)]
    return [arguments.python, str(RUNNER), *network, str(checkpoint), str(inputs), str(outputs), spec]


if __name__ == "__main__":
    clone = ("--clone", "the folder research/slim of tensorflow/models")
    common.main(__doc__.splitlines()[0], "slim", "checkpoint.ckpt", command, [clone])
