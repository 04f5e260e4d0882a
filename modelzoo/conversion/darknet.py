"""Where Darknet's .weights files keep our weights: one value after the other, in the order of the cfg.

The files have no names. Ours are the cfg's section, Darknet's number of the layer and its name of the array:
convolutional_0/scales. Source: pjreddie/darknet, cfg/yolov2.cfg, and load_convolutional_weights in
src/parser.c.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple


class Convolution(NamedTuple):
    """One [convolutional] section of a cfg: our layer and Darknet's number of it, then its facts."""

    layer: str
    number: int
    inputs: int
    filters: int
    side: int
    norm: bool = True


ANCHORS, BOX, CLASSES = 5, 5, 80  # of yolov2.cfg: boxes a cell, values a box beside the classes, COCO's
YOLOV2 = (
    Convolution("stem_conv", 0, 3, 32, 3),
    Convolution("stage1_conv1", 2, 32, 64, 3),
    Convolution("stage2_conv1", 4, 64, 128, 3),
    Convolution("stage2_conv2", 5, 128, 64, 1),
    Convolution("stage2_conv3", 6, 64, 128, 3),
    Convolution("stage3_conv1", 8, 128, 256, 3),
    Convolution("stage3_conv2", 9, 256, 128, 1),
    Convolution("stage3_conv3", 10, 128, 256, 3),
    Convolution("stage4_conv1", 12, 256, 512, 3),
    Convolution("stage4_conv2", 13, 512, 256, 1),
    Convolution("stage4_conv3", 14, 256, 512, 3),
    Convolution("stage4_conv4", 15, 512, 256, 1),
    Convolution("stage4_conv5", 16, 256, 512, 3),
    Convolution("stage5_conv1", 18, 512, 1024, 3),
    Convolution("stage5_conv2", 19, 1024, 512, 1),
    Convolution("stage5_conv3", 20, 512, 1024, 3),
    Convolution("stage5_conv4", 21, 1024, 512, 1),
    Convolution("stage5_conv5", 22, 512, 1024, 3),
    Convolution("detector_conv1", 23, 1024, 1024, 3),
    Convolution("detector_conv2", 24, 1024, 1024, 3),
    Convolution("detector_passthrough_conv", 26, 512, 64, 1),
    Convolution("detector_conv3", 29, 1024 + 4 * 64, 1024, 3),
    Convolution("predictions", 30, 1024, ANCHORS * (BOX + CLASSES), 1, norm=False),
)
PLANS = {"2": YOLOV2}
KNOWN_SIZES = {  # of the files that Darknet's own cfgs make, counted from the cfgs: how another file is known
    50_983_561: "yolov2.cfg",
    11_237_145: "yolov2-tiny.cfg",
    15_867_885: "yolov2-tiny-voc.cfg",
    48_807_501: "yolo9000.cfg",
    62_001_757: "yolov3.cfg",
    61_678_657: "yolov3-voc.cfg",
    63_052_381: "yolov3-spp.cfg",
    8_858_734: "yolov3-tiny.cfg",
    20_856_776: "darknet19.cfg, the classifier",
    19_831_776: "darknet19_448.conv.23, the backbone that YOLOv2's training starts from",
    41_645_640: "darknet53.cfg, a classifier",
}
WEIGHTS = {
    "kernel": "weights",
    "bias": "biases",
    "gamma": "scales",
    "beta": "biases",
    "moving_mean": "rolling_mean",
    "moving_variance": "rolling_variance",
}


def plan(variant: str, values: int | None = None) -> dict[str, tuple[int, ...]]:
    """The shape of every array by name, in the order of the file: Darknet keeps a kernel after its norm.

    The number of classes is that by which the cfg has so many values, if there is one.

    >>> list(plan("2").items())[:5]  # doctest: +NORMALIZE_WHITESPACE
    [('convolutional_0/biases', (32,)), ('convolutional_0/scales', (32,)),
     ('convolutional_0/rolling_mean', (32,)), ('convolutional_0/rolling_variance', (32,)),
     ('convolutional_0/weights', (32, 3, 3, 3))]
    """
    shapes = {}
    for layer in _with_classes(PLANS[variant], values):
        vectors = ("biases", "scales", "rolling_mean", "rolling_variance") if layer.norm else ("biases",)
        shapes |= {f"convolutional_{layer.number}/{name}": (layer.filters,) for name in vectors}
        kernel = (layer.filters, layer.inputs, layer.side, layer.side)
        shapes[f"convolutional_{layer.number}/weights"] = kernel
    return shapes


def _with_classes(layers: tuple[Convolution, ...], values: int | None) -> tuple[Convolution, ...]:
    """With as many filters in the last convolution as make so many values, if it is a number of classes.

    >>> _with_classes(YOLOV2, 50_676_061)[-1].filters  # yolov2-voc.cfg
    125
    """
    *others, last = layers
    if values is None or values in KNOWN_SIZES:
        return layers
    left = values - sum(_values(layer) for layer in others)
    filters, rest = divmod(left, last.inputs * last.side**2 + 1)
    classes, odd = divmod(filters - ANCHORS * BOX, ANCHORS)
    return layers if rest or odd or classes < 1 else (*others, last._replace(filters=filters))


def _values(layer: Convolution) -> int:
    return layer.filters * (layer.inputs * layer.side**2 + (4 if layer.norm else 1))


def upstream_names(variant: str, upstream: Collection[str] = ()) -> Callable[[str], str]:
    """The function from our path to the upstream name."""
    numbers = {layer.layer: layer.number for layer in PLANS[variant]}
    return lambda path: upstream_name(path, numbers)


def upstream_name(path: str, numbers: dict[str, int]) -> str:
    """The name of the array.

    >>> upstream_name("stage1_conv1/kernel", {"stage1_conv1": 2})
    'convolutional_2/weights'
    >>> upstream_name("stage1_bn1/beta", {"stage1_conv1": 2})
    'convolutional_2/biases'
    """
    layer, _, weight = path.rpartition("/")
    return f"convolutional_{numbers[layer.replace('bn', 'conv')]}/{WEIGHTS[weight]}"
