"""Registry entries of keras.applications: every model of which a file with its head was published.

The file without the head (`..._notop`) holds nothing beyond; `modelzoo.load` takes one that the user has.
"""

from __future__ import annotations

import re
from functools import cache

from common import checksums, graph, links, metrics, parameters, source

from modelzoo.architectures.keras_applications import VARIANTS

FAMILY = "keras_applications"
# keras_MobileNet_a0.25_128_top: the function, its alpha, if minimalistic, and the size if there are several
FACT = re.compile(r"keras_(\w+?)(?:_a([\d.]+))?(?:_(minimalistic))?(?:_(\d+))?_top")
CONVOLUTIONAL_HEADS = ("MobileNet", "MobileNetV3Small", "MobileNetV3Large")
BUILT_IN = "builtin_"  # the network itself normalises the pixels, so it wants them raw
NORMALISATION = 7  # numbers that EfficientNet B0 to B7 count as parameters: mean, variance and a count
UNCONFIRMED = "unconfirmed"  # in the source of a checksum that one stranger's program holds, and nobody else
WEIGHT_LICENCES = {  # by how the facts begin
    "weights ported from VGG": "CC-BY-4.0",
    "weights ported from Kaiming He's: MIT": "MIT",
    "MIT per fchollet/deep-learning-models": "MIT",
}
PRETRAINING = "pre-trained on ImageNet-21k"


def entries(facts: dict[str, dict]) -> dict[str, dict]:
    models = {}
    for identifier, fact in facts.items():
        if match := FACT.fullmatch(identifier):
            model, alpha, minimalistic, size = match.groups()
            variant = variant_of(model, float(alpha or 1), bool(minimalistic))
            models[f"{variant}_{size}.keras" if size else f"{variant}.keras"] = entry(variant, fact)
    return models


def variant_of(model: str, alpha: float, minimalistic: bool) -> str:
    """The adapter's variant that calls this function with these options."""
    wanted = (model, alpha, minimalistic)
    return next(
        name
        for name, facts in VARIANTS.items()
        if (facts.model, facts.options.get("alpha", 1.0), facts.options.get("minimalistic", False)) == wanted
    )


def entry(variant: str, fact: dict) -> dict:
    size = fact["input_size"][0]
    preprocessing = fact["preprocessing"]["name"]
    convolutional = VARIANTS[variant].model in CONVOLUTIONAL_HEADS
    confirmed = [checksum for checksum in fact["checksums"] if UNCONFIRMED not in checksum["source"]]
    pretraining = [note for note in fact["notes"] if note.startswith(PRETRAINING)]
    return {
        "graph": graph(FAMILY, variant, size, fact["num_classes"]),
        "pictures": "keras_raw" if preprocessing.startswith(BUILT_IN) else preprocessing,
        "labels": "imagenet",
        "sources": [
            source(
                "keras_mobilenets" if convolutional else "keras_applications",
                "keras_h5",
                links(fact),
                checksums=checksums(fact | {"checksums": confirmed}, "file"),
                bytes=fact["size_bytes"],
            )
        ],
        "parameters": counted(variant, fact),
        "metrics": metrics(fact["accuracy"], f"ImageNet validation, {size} px"),
        "licences": {"code": "Apache-2.0", "weights": weight_licence(fact), "data": None},
        "paper": fact["paper"],
        "note": pretraining[0] if pretraining else None,
    }


def counted(variant: str, fact: dict) -> int:
    """Counted on the network, and compared with what Keras' own program counts."""
    number = _counted(variant)
    constants = NORMALISATION if variant.startswith("efficientnet_b") else 0
    if number + constants != fact["params"]:
        raise SystemExit(f"{variant} has {number} parameters; the facts say {fact['params']}.")
    return number


@cache
def _counted(variant: str) -> int:
    """Of any size: it does not change the weights, and a MobileNet is published at four or five."""
    return parameters(graph(FAMILY, variant, 224, 1000))


def weight_licence(fact: dict) -> str | None:
    return next((name for text, name in WEIGHT_LICENCES.items() if fact["license"].startswith(text)), None)
