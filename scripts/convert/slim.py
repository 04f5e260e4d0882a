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


def nasnet(network: str, c3: int, c4: int) -> Original:
    """The numbers are of the last cells before the network strides."""
    cells = {"C2": "cell_stem_0", "C3": f"cell_{c3}", "C4": f"cell_{c4}"}
    features = {name: f"{cell}/cell_output/concat" for name, cell in cells.items()}
    return Original(network, features | {"C5": "final_layer/Relu"})


ORIGINALS: dict[str, Original] = {
    "nasnet_mobile": nasnet("nasnet_mobile", 3, 7),
    "nasnet_large": nasnet("nasnet_large", 5, 11),
    "pnasnet_mobile": nasnet("pnasnet_mobile", 2, 5),
    "pnasnet_large": nasnet("pnasnet_large", 3, 7),
}


def command(arguments, entry, checkpoint, inputs, outputs) -> list[str]:
    original = ORIGINALS[entry.name]
    spec = json.dumps({"options": original.options, "features": original.features})
    network = [arguments.clone, original.network, str(entry.graph.classes)]
    return [arguments.python, str(RUNNER), *network, str(checkpoint), str(inputs), str(outputs), spec]


if __name__ == "__main__":
    clone = ("--clone", "the folder research/slim of tensorflow/models")
    common.main(__doc__.splitlines()[0], "slim", "checkpoint.ckpt", command, [clone])
