"""Where TF-slim's NASNet and PNASNet checkpoints keep our weights: named as nets/nasnet/ names them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from modelzoo.conversion.matching import parts

IGNORED = re.compile(r"aux_\d+/.*")  # the auxiliary head
# The files hold every trained weight twice, raw and as its moving average. nets/nasnet/README.md gives the
# command that measured the published accuracy, and without --moving_average_decay that restores the raw ones.
# Keras' NASNets are a copy of the same tensors (titu1994/Keras-NASNet, weight_translation/
# extract_weights.py drops the averages) and reach the published accuracy as well.
TAKES_AVERAGES = False

PLACES = {"stem": "cell_stem_{}", "cell": "cell_{}", "reduction": "reduction_cell_{}"}
PLACE = re.compile(r"(stem|cell|reduction)(\d+)_(\w+)")
BLOCK = re.compile(r"block(\d+)_(left|right)_(\w+)")
SEPARABLE = re.compile(r"(\dx\d_\d)_(depthwise|pointwise|bn)")
WHOLE = {"stem_conv": "conv0", "stem_bn": "conv0_bn", "logits": "final_layer/FC"}
IN_CELL = {
    "squeeze_conv": "1x1",
    "squeeze_bn": "beginning_bn",
    "fit_conv": "prev_1x1",
    "fit_bn": "prev_bn",
    "reduce_even_conv": "path1_conv",
    "reduce_odd_conv": "path2_conv",
    "reduce_bn": "final_path_bn",
}
IN_BLOCK = {"conv": "1x1", "bn": "bn_1"}
WEIGHTS = {"kernel": "weights", "bias": "biases"}


def upstream_names(variant: str, upstream: Collection[str] = ()) -> Callable[[str], str]:
    """The function from our path to the upstream name, the same for all variants."""
    return upstream_name


def upstream_name(path: str) -> str:
    """The name of the TensorFlow variable.

    >>> upstream_name("stem_conv/kernel")
    'conv0/weights'
    >>> upstream_name("stem_bn/gamma")
    'conv0_bn/gamma'
    >>> upstream_name("stem1_squeeze_conv/kernel")
    'cell_stem_0/1x1/weights'
    >>> upstream_name("reduction2_reduce_bn/moving_mean")
    'reduction_cell_1/final_path_bn/moving_mean'
    >>> upstream_name("cell12_block1_left_5x5_2_depthwise/kernel")
    'cell_11/comb_iter_0/left/separable_5x5_2/depthwise_weights'
    >>> upstream_name("cell12_block1_left_5x5_2_pointwise/kernel")
    'cell_11/comb_iter_0/left/separable_5x5_2/pointwise_weights'
    >>> upstream_name("cell12_block1_left_5x5_2_bn/beta")
    'cell_11/comb_iter_0/left/bn_sep_5x5_2/beta'
    >>> upstream_name("cell4_block5_right_conv/kernel")
    'cell_3/comb_iter_4/right/1x1/weights'
    >>> upstream_name("cell4_block5_right_bn/moving_variance")
    'cell_3/comb_iter_4/right/bn_1/moving_variance'
    >>> upstream_name("logits/bias")
    'final_layer/FC/biases'
    """
    layer, _, weight = path.rpartition("/")
    scope = WHOLE.get(layer) or _within_cell(layer)
    if layer.endswith(("_depthwise", "_pointwise")):
        return f"{scope}_weights"
    return f"{scope}/{WEIGHTS.get(weight, weight)}"


def _within_cell(layer: str) -> str:
    kind, number, part = parts(PLACE, layer)
    place = PLACES[kind].format(int(number) - 1)
    if part in IN_CELL:
        return f"{place}/{IN_CELL[part]}"
    block, side, part = parts(BLOCK, part)
    place = f"{place}/comb_iter_{int(block) - 1}/{side}"
    if part in IN_BLOCK:
        return f"{place}/{IN_BLOCK[part]}"
    convolution, part = parts(SEPARABLE, part)
    if part == "bn":
        return f"{place}/bn_sep_{convolution}"
    return f"{place}/separable_{convolution}/{part}"
