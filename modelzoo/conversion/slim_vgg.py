"""Where TF-slim's VGG checkpoints keep our weights: named as nets/vgg.py does, and Caffe did before."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

IGNORED = re.compile(r"vgg_\d+/mean_rgb")  # of the training images
TAKES_AVERAGES = False  # slim's README evaluates without --moving_average_decay

WEIGHTS = {"kernel": "weights", "bias": "biases"}


def upstream_names(variant: str, upstream: Collection[str] = ()) -> Callable[[str], str]:
    """The function from our path to the upstream name."""
    return lambda path: upstream_name(path, variant)


def upstream_name(path: str, variant: str) -> str:
    """The name of the TensorFlow variable.

    >>> upstream_name("conv5_3/kernel", "16")
    'vgg_16/conv5/conv5_3/weights'
    >>> upstream_name("fc6/bias", "19")
    'vgg_19/fc6/biases'
    >>> upstream_name("logits/kernel", "16")
    'vgg_16/fc8/weights'
    """
    layer, _, weight = path.rpartition("/")
    if layer.startswith("conv"):
        layer = f"{layer.partition('_')[0]}/{layer}"
    elif layer == "logits":
        layer = "fc8"
    return f"vgg_{variant}/{layer}/{WEIGHTS[weight]}"
