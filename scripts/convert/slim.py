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


V1_BLOCKS = {"C2": 3, "C3": 5, "C4": 11, "C5": 13}
MOBILENET_V1 = {
    name: f"MobilenetV1/MobilenetV1/Conv2d_{block}_pointwise/Relu6" for name, block in V1_BLOCKS.items()
}
V2_BLOCKS = {"C2": 2, "C3": 5, "C4": 12}
MOBILENET_V2 = {name: f"MobilenetV2/expanded_conv_{block}/output" for name, block in V2_BLOCKS.items()} | {
    "C5": "MobilenetV2/Conv_1/Relu6"
}

ORIGINALS: dict[str, Original] = {
    "mobilenet_v1_1.0_224": Original("mobilenet_v1", MOBILENET_V1),
    "mobilenet_v1_0.5_160": Original("mobilenet_v1_050", MOBILENET_V1),
    "mobilenet_v1_0.25_128": Original("mobilenet_v1_025", MOBILENET_V1),
    "mobilenet_v2_1.0_224": Original("mobilenet_v2", MOBILENET_V2),
    "mobilenet_v2_1.4_224": Original("mobilenet_v2_140", MOBILENET_V2),
}


def command(arguments, entry, checkpoint, inputs, outputs) -> list[str]:
    original = ORIGINALS[entry.name]
    spec = json.dumps({"options": original.options, "features": original.features})
    network = [arguments.clone, original.network, str(entry.graph.classes)]
    return [arguments.python, str(RUNNER), *network, str(checkpoint), str(inputs), str(outputs), spec]


if __name__ == "__main__":
    clone = ("--clone", "the folder research/slim of tensorflow/models")
    common.main(__doc__.splitlines()[0], "slim", "checkpoint.ckpt", command, [clone])
