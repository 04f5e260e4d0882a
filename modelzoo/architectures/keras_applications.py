"""keras.applications' networks: data, read off Keras' own models by scripts/graphs.py, and their heads.

Layer names are Keras' own; those that Keras numbers by itself (`conv2d_17`) count from the beginning of the
network.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Any

from modelzoo.architectures.family import CHAINED_GAMMA, Family, Proof, average_pool
from modelzoo.architectures.layers import Layers
from modelzoo.graph import Graph, Operator, Tensor
from modelzoo.graph.normalization import Normalization, Rescale
from modelzoo.graph.serialization import from_bytes

GRAPHS = "graphs"  # the folder beside this file
# EfficientNet's files keep their normalization beside the weights, the same in all of them: the mean, and the
# standard deviation where the variance belongs. Keras makes up for that with one more division, but only when
# it loads a file itself (https://github.com/tensorflow/tensorflow/issues/49930). Here they are constants.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CHANNELS = len(IMAGENET_MEAN)
FUNCTIONS = {"hard_swish": "hard_silu"}  # Keras' older name, which layers' names keep
VGG_GRID = 7  # rows and columns of the last map that VGG's first dense layer covers
SMALLEST = {"Xception": 71, "InceptionV3": 75, "InceptionResNetV2": 75}  # pixels; of all others 32


@dataclass(frozen=True)
class Variant:
    """The facts of one network of keras.applications."""

    model: str  # the function's name there
    maps: Mapping[str, str]  # C1, C2, ... -> the layer (or operation) there that puts it out
    options: Mapping[str, Any] = field(default_factory=dict)
    top: Callable[[Layers, Tensor], Tensor] | None = None  # from the last map to the logits; None: average
    pads: str | None = None  # layers there that pad by the size of the image, where the next one can do it
    fixed_size: bool = False  # built for one size of images only
    other_rescale: Rescale | None = None  # the first layer's, of images without three channels


def backbone(nn: Layers, images: Tensor, variant: str) -> dict[str, Tensor]:
    """The feature maps by name: Cn is the trunk's last map of stride 2**n; the last one feeds the head.

    In a network of blocks the trunk is what the blocks put out, not what is inside them.
    """
    facts, graph = VARIANTS[variant], stored_graph(variant)
    channels = images.shape[-1]
    if channels is not None and channels != CHANNELS:
        graph = _for_channels(graph, channels, facts)
    values = nn.replay(graph, dict.fromkeys(graph.inputs, images))
    return {name: values[node] for name, node in graph.maps.items()}


@functools.cache
def stored_graph(variant: str) -> Graph:
    """The network without its head, for RGB images of any size."""
    return from_bytes(
        (resources.files("modelzoo.architectures") / GRAPHS / f"{variant}.json.gz").read_bytes()
    )


def _for_channels(graph: Graph, channels: int, facts: Variant) -> Graph:
    """The graph for images of so many channels, of which nothing is known that could normalize them."""
    first = next((node.name for node in graph.nodes if isinstance(node.operator, Rescale)), None)

    def operator(name: str, found: Operator) -> Operator:
        if isinstance(found, Normalization):
            return Normalization((0.0,) * channels, (1.0,) * channels)
        return facts.other_rescale if name == first and facts.other_rescale is not None else found

    return replace(graph, nodes=tuple(replace(n, operator=operator(n.name, n.operator)) for n in graph.nodes))


def top(nn: Layers, x: Tensor, variant: str) -> Tensor:
    """The vector that the logits are computed from."""
    head = VARIANTS[variant].top
    return average_pool(nn, x, variant) if head is None else head(nn, x)


def smallest_side(variant: str, with_top: bool) -> int:
    """What Keras' own function takes; VGG's head, written as convolutions, needs the size of training."""
    facts = VARIANTS[variant]
    if with_top and facts.top is vgg_top:
        return 32 * VGG_GRID
    return SMALLEST.get(facts.model, 32)


def vgg_top(nn: Layers, x: Tensor) -> Tensor:
    """Two dense layers, as convolutions: the first one's weights are Keras' after Flatten, in the same order.

    So images may be larger than 224 x 224: the head then looks at every place, and the average decides.
    """
    x = nn.conv(x, 4096, VGG_GRID, padding="valid", bias=True, name="fc1")
    x = nn.relu(x, name="fc1_relu")
    x = nn.conv(x, 4096, 1, bias=True, name="fc2")
    x = nn.relu(x, name="fc2_relu")
    return nn.global_pool(x, "avg", name="pool")


def mobilenet_v3_top(units: int, activation: str) -> Callable[[Layers, Tensor], Tensor]:
    """A dense layer after the average; Keras writes it as a 1x1 convolution."""

    def head(nn: Layers, x: Tensor) -> Tensor:
        x = nn.global_pool(x, "avg", name="pool")
        x = nn.dense(x, units, name="conv_2")
        return nn.activation(x, FUNCTIONS.get(activation, activation), name=f"conv_2_{activation}")

    return head


def convnext_top(nn: Layers, x: Tensor) -> Tensor:
    x = nn.global_pool(x, "avg", name="pool")
    return nn.layer_norm(x, epsilon=1e-6, name="head_layernorm")


def _maps(*layers: str, first: int = 1) -> dict[str, str]:
    return {f"C{number}": layer for number, layer in enumerate(layers, start=first)}


def _vgg(model: str, convs: int) -> Variant:
    """The maps before the poolings, and the last pooling's."""
    names = (f"block{block}_conv{last}" for block, last in ((2, 2), (3, convs), (4, convs), (5, convs)))
    return Variant(model, _maps(*names, "block5_pool"), top=vgg_top)


def _resnet(model: str, blocks: tuple[int, int, int, int]) -> Variant:
    stages = (f"conv{stage}_block{last}_out" for stage, last in enumerate(blocks, start=2))
    return Variant(model, _maps("conv1_relu", *stages))


def _resnet_v2(model: str, blocks: tuple[int, int, int]) -> Variant:
    """A stage's last block strides already, so that the last map of its size is the last but one's."""
    stages = (f"conv{stage}_block{last - 1}_out" for stage, last in enumerate(blocks, start=2))
    return Variant(model, _maps("conv1_conv", *stages, "post_relu"))


def _densenet(model: str, blocks: tuple[int, int, int]) -> Variant:
    stages = (f"conv{stage}_block{last}_concat" for stage, last in enumerate(blocks, start=2))
    return Variant(model, _maps("conv1_relu", *stages, "relu"))


def _mobilenet(alpha: float) -> Variant:
    names = (f"conv_pw_{block}_relu" for block in (1, 3, 5, 11, 13))
    return Variant("MobileNet", _maps(*names), {"alpha": alpha})


def _mobilenet_v2(alpha: float) -> Variant:
    blocks = ("expanded_conv_project_BN", "block_2_add", "block_5_add", "block_12_add")
    maps = _maps(*blocks, "out_relu")
    return Variant("MobileNetV2", maps, {"alpha": alpha}, pads=r"block_\d+_pad")


def _mobilenet_v3_small(first: str, last: str, **options) -> Variant:
    blocks = ("expanded_conv_project_bn", "expanded_conv_2_add", "expanded_conv_7_add")
    return _mobilenet_v3("MobileNetV3Small", 1024, (first, *blocks, last), options)


def _mobilenet_v3_large(last: str, **options) -> Variant:
    blocks = ("expanded_conv_add", "expanded_conv_2_add", "expanded_conv_5_add", "expanded_conv_11_add")
    return _mobilenet_v3("MobileNetV3Large", 1280, (*blocks, last), options)


def _mobilenet_v3(model: str, units: int, names: tuple[str, ...], options: dict[str, Any]) -> Variant:
    head = mobilenet_v3_top(units, "relu" if options.get("minimalistic") else "hard_swish")
    return Variant(model, _maps(*names), options, head, pads=r"expanded_conv_(\d+_)?depthwise_pad")


def _nasnet(model: str, cells: int, last: str) -> Variant:
    names = (
        "stem_bn1",
        "reduction_concat_stem_1",
        f"normal_concat_{cells - 1}",
        f"normal_concat_{2 * cells}",
    )
    return Variant(model, _maps(*names, last), fixed_size=True)


def _efficientnet(model: str, *blocks: str) -> Variant:
    names = (f"block{block}" for block in blocks)
    pads = r"(stem_conv|block\w+_dwconv)_pad"
    return Variant(model, _maps(*names, "top_activation"), pads=pads)


def _efficientnet_v2(model: str, *blocks: str) -> Variant:
    """Keras normalizes the images of some of them by constants, if they have three channels."""
    names = (f"block{block}" for block in blocks)
    return Variant(model, _maps(*names, "top_activation"), other_rescale=Rescale(1 / 128, -1.0))


def _convnext(model: str, stage_3: int) -> Variant:
    """Sums are operations that Keras counts: 3 blocks, 3 blocks, `stage_3` blocks and 3 blocks. No C1."""
    maps = _maps("add_2", "add_5", f"add_{5 + stage_3}", f"add_{8 + stage_3}", first=2)
    return Variant(model, maps, top=convnext_top)


VARIANTS: dict[str, Variant] = {
    "vgg16": _vgg("VGG16", 3),
    "vgg19": _vgg("VGG19", 4),
    "resnet50": _resnet("ResNet50", (3, 4, 6, 3)),
    "resnet101": _resnet("ResNet101", (3, 4, 23, 3)),
    "resnet152": _resnet("ResNet152", (3, 8, 36, 3)),
    "resnet50_v2": _resnet_v2("ResNet50V2", (3, 4, 6)),
    "resnet101_v2": _resnet_v2("ResNet101V2", (3, 4, 23)),
    "resnet152_v2": _resnet_v2("ResNet152V2", (3, 8, 36)),
    "inception_v3": Variant(
        "InceptionV3", _maps("activation_2", "activation_4", "mixed2", "mixed7", "mixed10")
    ),
    "inception_resnet_v2": Variant(
        "InceptionResNetV2",
        _maps("activation_2", "activation_4", "block35_10_ac", "block17_20_ac", "conv_7b_ac"),
    ),
    "xception": Variant(
        "Xception", _maps("block1_conv2_act", "add", "add_1", "add_10", "block14_sepconv2_act")
    ),
    "densenet121": _densenet("DenseNet121", (6, 12, 24)),
    "densenet169": _densenet("DenseNet169", (6, 12, 32)),
    "densenet201": _densenet("DenseNet201", (6, 12, 48)),
    "nasnet_mobile": _nasnet("NASNetMobile", 4, "activation_187"),
    "nasnet_large": _nasnet("NASNetLarge", 6, "activation_259"),
    "mobilenet_0.25": _mobilenet(0.25),
    "mobilenet_0.5": _mobilenet(0.5),
    "mobilenet_0.75": _mobilenet(0.75),
    "mobilenet_1.0": _mobilenet(1.0),
    "mobilenet_v2_0.35": _mobilenet_v2(0.35),
    "mobilenet_v2_0.5": _mobilenet_v2(0.5),
    "mobilenet_v2_0.75": _mobilenet_v2(0.75),
    "mobilenet_v2_1.0": _mobilenet_v2(1.0),
    "mobilenet_v2_1.3": _mobilenet_v2(1.3),
    "mobilenet_v2_1.4": _mobilenet_v2(1.4),
    "mobilenet_v3_small_0.75": _mobilenet_v3_small("activation", "activation_17", alpha=0.75),
    "mobilenet_v3_small_1.0": _mobilenet_v3_small("activation", "activation_17"),
    "mobilenet_v3_small_minimalistic": _mobilenet_v3_small("re_lu", "re_lu_22", minimalistic=True),
    "mobilenet_v3_large_0.75": _mobilenet_v3_large("activation_19", alpha=0.75),
    "mobilenet_v3_large_1.0": _mobilenet_v3_large("activation_19"),
    "mobilenet_v3_large_minimalistic": _mobilenet_v3_large("re_lu_30", minimalistic=True),
    "efficientnet_b0": _efficientnet("EfficientNetB0", "1a_project_bn", "2b_add", "3b_add", "5c_add"),
    "efficientnet_b1": _efficientnet("EfficientNetB1", "1b_add", "2c_add", "3c_add", "5d_add"),
    "efficientnet_b2": _efficientnet("EfficientNetB2", "1b_add", "2c_add", "3c_add", "5d_add"),
    "efficientnet_b3": _efficientnet("EfficientNetB3", "1b_add", "2c_add", "3c_add", "5e_add"),
    "efficientnet_b4": _efficientnet("EfficientNetB4", "1b_add", "2d_add", "3d_add", "5f_add"),
    "efficientnet_b5": _efficientnet("EfficientNetB5", "1c_add", "2e_add", "3e_add", "5g_add"),
    "efficientnet_b6": _efficientnet("EfficientNetB6", "1c_add", "2f_add", "3f_add", "5h_add"),
    "efficientnet_b7": _efficientnet("EfficientNetB7", "1d_add", "2g_add", "3g_add", "5j_add"),
    "efficientnet_v2_b0": _efficientnet_v2(
        "EfficientNetV2B0", "1a_project_activation", "2b_add", "3b_add", "5e_add"
    ),
    "efficientnet_v2_b1": _efficientnet_v2("EfficientNetV2B1", "1b_add", "2c_add", "3c_add", "5f_add"),
    "efficientnet_v2_b2": _efficientnet_v2("EfficientNetV2B2", "1b_add", "2c_add", "3c_add", "5f_add"),
    "efficientnet_v2_b3": _efficientnet_v2("EfficientNetV2B3", "1b_add", "2c_add", "3c_add", "5g_add"),
    "efficientnet_v2_s": _efficientnet_v2("EfficientNetV2S", "1b_add", "2d_add", "3d_add", "5i_add"),
    "efficientnet_v2_m": _efficientnet_v2("EfficientNetV2M", "1c_add", "2e_add", "3e_add", "5n_add"),
    "efficientnet_v2_l": _efficientnet_v2("EfficientNetV2L", "1d_add", "2g_add", "3g_add", "5s_add"),
    "convnext_tiny": _convnext("ConvNeXtTiny", 9),
    "convnext_small": _convnext("ConvNeXtSmall", 27),
    "convnext_base": _convnext("ConvNeXtBase", 27),
    "convnext_large": _convnext("ConvNeXtLarge", 27),
    "convnext_xlarge": _convnext("ConvNeXtXLarge", 27),
}

# Squeeze and excitation halves what passes; in EfficientNet and MobileNet v3 the norm before makes up for it.
# Not in EfficientNet's blocks with a shortcut (b, c, ...): over B7's 48 of them the activations would grow to
# hundreds, where the gates flip at a rounding error.
EXPANDED_GAMMA = (0.5, 1.3)
PROOF = Proof(
    gammas={
        r"conv_dw_\d+_bn|block_\d+_depthwise_BN|expanded_conv_(\d+_)?depthwise_(bn|BN)": CHAINED_GAMMA,
        r"block\d+[a-z]_bn": CHAINED_GAMMA,
        r"(block\d+a|expanded_conv_\d+)_expand_bn": EXPANDED_GAMMA,
    },
    depthwise="depthwise|conv_dw|dwconv",
)
FAMILY = Family(
    VARIANTS,
    backbone,
    top,
    smallest_side=smallest_side,
    proof=PROOF,
    other_proofs={
        name: replace(
            PROOF,
            odd_size=None if facts.top is vgg_top else PROOF.odd_size,  # Keras' own head fits one size only
            any_size=not facts.fixed_size,
        )
        for name, facts in VARIANTS.items()
        if facts.fixed_size or facts.top is vgg_top
    },
)
