"""Registry entries of keras.applications: every model of which a file with its head was published.

The file without the head (`..._notop`) holds nothing beyond; `modelzoo.load` takes one that the user has.
"""

from __future__ import annotations

from scripts.registry.records import COUNTED, Json, addresses, checksums, graph, metrics, read, source

FAMILY = "keras_applications"
# Variants whose head is a 1x1 convolution in the file.
CONVOLUTIONAL_HEADS = ("mobilenet_0", "mobilenet_1", "mobilenet_v3_")
BUILT_IN = "builtin_"  # the network itself normalizes the pixels, so it takes them raw


def entries() -> dict[str, Json]:
    return {f"{name}.keras": entry(record) for name, record in read("keras").items()}


def entry(record: Json) -> Json:
    variant, size = record["variant"], record["input_size"]
    convolutional = variant.startswith(CONVOLUTIONAL_HEADS)
    raw = record["preprocessing"].startswith(BUILT_IN)
    license_ = record["weights_license"]
    return {
        "graph": graph(FAMILY, variant, size, 1000),
        "preprocessing": "keras_raw" if raw else record["preprocessing"],
        "labels": "imagenet",
        "sources": [
            source(
                "keras_mobilenets" if convolutional else "keras_applications",
                "keras_h5",
                addresses(record),
                checksums=checksums(record, "file"),
                bytes=record["bytes"],
            )
        ],
        "parameters": COUNTED,
        "metrics": metrics(record, f"ImageNet validation, {size} px"),
        "licenses": {"code": "Apache-2.0", "weights": license_ and license_["spdx"], "data": None},
        "paper": record["paper"],
        "note": record["note"],
    }
