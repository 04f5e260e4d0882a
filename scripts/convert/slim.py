"""Proves and converts TF-slim's networks against research/slim itself, on TensorFlow 2.21.

    uv venv --python 3.11 /tmp/slim
    uv pip install --python /tmp/slim/bin/python tensorflow==2.21.0 tf_keras tf_slim==1.1.0
    python -m scripts.convert.slim --python /tmp/slim/bin/python --clone models/research/slim

Add a model, --checkpoint FILE and --output FOLDER to convert a real file.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from modelzoo.registry import Entry
from scripts.convert import common

RUNNER = Path(__file__).parent / "originals" / "slim_run.py"


@dataclass(frozen=True)
class Original:
    """A network of nets_factory: the operations that give our feature maps, and arguments it needs."""

    network: str
    features: dict[str, str]
    options: dict[str, object] = field(default_factory=dict)
    odd_options: dict[str, object] = field(default_factory=dict)  # beyond those, for the odd size alone


V1_BLOCKS = {"C2": 3, "C3": 5, "C4": 11, "C5": 13}
MOBILENET_V1 = {
    name: f"MobilenetV1/MobilenetV1/Conv2d_{block}_pointwise/Relu6" for name, block in V1_BLOCKS.items()
}
V2_BLOCKS = {"C2": 2, "C3": 5, "C4": 12}
MOBILENET_V2 = {name: f"MobilenetV2/expanded_conv_{block}/output" for name, block in V2_BLOCKS.items()} | {
    "C5": "MobilenetV2/Conv_1/Relu6"
}


def inception(network: str, scope: str, maps: str, **options: dict[str, object]) -> Original:
    """`maps` are the operations of C1, C2, ... within `scope`, which slim opens twice."""
    features = {f"C{n}": f"{scope}/{scope}/{name}" for n, name in enumerate(maps.split(), start=1)}
    return Original(network, features, **options)


ANY_SIZE = {"global_pool": True}  # the head's fixed windows fit the native size alone
NO_AUXILIARY = {"create_aux_logits": False}  # the auxiliary head's windows do not fit the odd size


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


def nasnet(network: str, c3: int, c4: int) -> Original:
    """The numbers are of the last cells before the network strides."""
    cells = {"C2": "cell_stem_0", "C3": f"cell_{c3}", "C4": f"cell_{c4}"}
    features = {name: f"{cell}/cell_output/concat" for name, cell in cells.items()}
    return Original(network, features | {"C5": "final_layer/Relu"})


ORIGINALS: dict[str, Original] = {
    "mobilenet_v1_1.0_224": Original("mobilenet_v1", MOBILENET_V1),
    "mobilenet_v1_1.0_224_2017": Original("mobilenet_v1", MOBILENET_V1),
    "mobilenet_v1_0.5_160": Original("mobilenet_v1_050", MOBILENET_V1),
    "mobilenet_v1_0.25_128": Original("mobilenet_v1_025", MOBILENET_V1),
    "mobilenet_v2_1.0_224": Original("mobilenet_v2", MOBILENET_V2),
    "mobilenet_v2_1.4_224": Original("mobilenet_v2_140", MOBILENET_V2),
    "inception_v1": inception(
        "inception_v1",
        "InceptionV1",
        "Conv2d_1a_7x7/Relu Conv2d_2c_3x3/Relu Mixed_3c/concat Mixed_4f/concat Mixed_5c/concat",
        options=ANY_SIZE,
    ),
    "inception_v2": inception(
        "inception_v2",
        "InceptionV2",
        "Conv2d_1a_7x7/Relu Conv2d_2c_3x3/Relu Mixed_3c/concat Mixed_4e/concat Mixed_5c/concat",
        options=ANY_SIZE,
    ),
    "inception_v3": inception(
        "inception_v3",
        "InceptionV3",
        "Conv2d_2b_3x3/Relu Conv2d_4a_3x3/Relu Mixed_5d/concat Mixed_6e/concat Mixed_7c/concat",
        options=ANY_SIZE,
        odd_options=NO_AUXILIARY,
    ),
    "inception_v4": inception(
        "inception_v4",
        "InceptionV4",
        "Conv2d_2b_3x3/Relu Mixed_4a/concat Mixed_5e/concat Mixed_6h/concat Mixed_7d/concat",
        odd_options=NO_AUXILIARY,
    ),
    "inception_resnet_v2": inception(
        "inception_resnet_v2",
        "InceptionResnetV2",
        "Conv2d_2b_3x3/Relu Conv2d_4a_3x3/Relu Repeat/block35_10/Relu Repeat_1/block17_20/Relu "
        "Conv2d_7b_1x1/Relu",
        odd_options=NO_AUXILIARY,
    ),
    "resnet_v1_50": resnet(1, 50),
    "resnet_v1_101": resnet(1, 101),
    "resnet_v1_152": resnet(1, 152),
    "resnet_v2_50": resnet(2, 50),
    "resnet_v2_101": resnet(2, 101),
    "resnet_v2_152": resnet(2, 152),
    "vgg_16": vgg(16),
    "vgg_19": vgg(19),
    "nasnet_mobile": nasnet("nasnet_mobile", 3, 7),
    "nasnet_large": nasnet("nasnet_large", 5, 11),
    "pnasnet_mobile": nasnet("pnasnet_mobile", 2, 5),
    "pnasnet_large": nasnet("pnasnet_large", 3, 7),
}


def command(
    arguments: argparse.Namespace, entry: Entry, checkpoint: Path, inputs: Path, outputs: Path
) -> list[str]:
    original = ORIGINALS[entry.name]
    spec = json.dumps(asdict(original))
    network = [arguments.clone, original.network, str(entry.graph.classes)]
    return [arguments.python, str(RUNNER), *network, str(checkpoint), str(inputs), str(outputs), spec]


if __name__ == "__main__":
    clone = ("--clone", "the folder research/slim of tensorflow/models")
    common.main(__doc__.splitlines()[0], "slim", "checkpoint.ckpt", command, [clone])
