"""The options of layers of Keras 1 and 2 in the words of Keras 3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from modelzoo.backends.keras_import_options import Described, refusal
from modelzoo.errors import quoted
from modelzoo.importers.keras_config import Layer

CLASSES = {  # of Keras 1
    "Convolution2D": "Conv2D",
    "AtrousConvolution2D": "Conv2D",
    "AtrousConv2D": "Conv2D",
    "SeparableConvolution2D": "SeparableConv2D",
    "Deconvolution2D": "Conv2DTranspose",
    "Convolution2DTranspose": "Conv2DTranspose",
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "DepthwiseConvolution2D": "DepthwiseConv2D",
}
RENAMED = {
    "nb_filter": "filters",
    "border_mode": "padding",
    "subsample": "strides",
    "bias": "use_bias",
    "output_dim": "units",
    "atrous_rate": "dilation_rate",
    "init": "kernel_initializer",
}
FORMATS = {"th": "channels_first", "tf": "channels_last"}
UNUSED = {  # shapes, training, and what the file's weights tell
    *("batch_input_shape", "batch_shape", "input_dtype", "input_dim", "input_length", "input_shape"),
    *("weights", "W_regularizer", "b_regularizer", "W_constraint", "b_constraint", "build_config"),
    *("kernel_initializer", "depthwise_initializer", "pointwise_initializer", "bias_initializer"),
    *("depthwise_regularizer", "pointwise_regularizer", "stateful", "autocast", "fused"),
    *("beta_init", "gamma_init", "virtual_batch_size", "adjustment", "renorm_clipping", "implementation"),
    *("alpha_initializer", "beta_initializer", "gamma_initializer", "synchronized", "ragged", "sparse"),
    *("moving_mean_initializer", "moving_variance_initializer", "seed", "batch_size", "_keras_shape"),
    "module",
}
PAIRS = ("kernel_size", "strides", "pool_size", "dilation_rate", "size")
DEFAULTS: dict[str, dict[str, Any]] = {  # what earlier versions do not write
    "DepthwiseConv2D": {"dilation_rate": (1, 1), "depth_multiplier": 1},
    "SeparableConv2D": {"dilation_rate": (1, 1), "depth_multiplier": 1},
    "Conv2D": {"dilation_rate": (1, 1)},
    "GlobalAveragePooling2D": {"keepdims": False},
    "GlobalMaxPooling2D": {"keepdims": False},
    "UpSampling2D": {"interpolation": "nearest"},
    "BatchNormalization": {"center": True, "scale": True, "momentum": 0.99, "epsilon": 1e-3},
}
ACTIVATIONS = {"hard_sigmoid": "old_hard_sigmoid"}  # of Keras 3, which has another function of this name


@dataclass(frozen=True)
class Origin:
    """The program that wrote a file: Keras' version and backend, and where channels are if not said."""

    version: str = ""
    backend: str = ""
    data_format: str = "channels_last"

    @property
    def before_3(self) -> bool:
        return not self.version.startswith("3")

    @property
    def first(self) -> bool:
        """Whether it is Keras 1."""
        return self.version.startswith("1") or not self.version

    @property
    def theano(self) -> bool:
        return self.backend == "theano"


def kind_of(layer: Layer) -> str:
    """The class in the words of Keras 3."""
    return CLASSES.get(
        layer.kind, layer.kind.partition(">")[2] if layer.kind.startswith("Keras>") else layer.kind
    )


def described(layer: Layer) -> Described:
    """The layer as messages name it."""
    return Described(layer.name, kind_of(layer))


def options_of(layer: Layer) -> dict[str, Any]:
    """The options by Keras 3's names, without those that say nothing of the network for inference."""
    kind = kind_of(layer)
    found = {RENAMED.get(name, name): _value(value) for name, value in layer.options.items()}
    if {"nb_row", "nb_col"} <= found.keys():
        found["kernel_size"] = (found.pop("nb_row"), found.pop("nb_col"))
    if "dim_ordering" in found:
        ordering = found.pop("dim_ordering")
        if ordering not in FORMATS:
            raise refusal(described(layer), f"no operator has dim_ordering={quoted(ordering)}")
        found["data_format"] = FORMATS[ordering]
    if kind in ("Dropout", "SpatialDropout2D", "GaussianDropout") and "p" in found:
        found["rate"] = found.pop("p")
    if kind in ("LeakyReLU",) and "alpha" in found:
        found["negative_slope"] = found.pop("alpha")
    if kind == "Conv2DTranspose":
        found.pop("output_shape", None)
    if kind == "BatchNormalization" and found.pop("mode", 0) != 0:
        raise refusal(described(layer), "no operator normalizes each image by itself, as its mode says")
    for name in ("padding", "cropping"):
        if kind in ("ZeroPadding2D", "Cropping2D") and name in found:
            found[name] = _margins(found[name])
    found = {name: value for name, value in found.items() if name not in UNUSED}
    for name in PAIRS:
        if type(found.get(name)) is int:
            found[name] = (found[name],) * 2
    return DEFAULTS.get(kind, {}) | found


def _margins(value: Any) -> Any:
    """Margins as Keras 3 has them; earlier versions have one number, one a direction, or four."""
    if isinstance(value, Mapping):
        facts = cast("Mapping[str, Any]", value)
        value = [facts.get(f"{side}_pad", 0) for side in ("top", "bottom", "left", "right")]
    match value:
        case int(side):
            return ((side, side), (side, side))
        case [int(rows), int(columns)]:
            return ((rows, rows), (columns, columns))
        case [int(top), int(bottom), int(left), int(right)]:
            return ((top, bottom), (left, right))
        case _:
            return value


def _value(value: Any) -> Any:
    """An option; NumPy's numbers and arrays were written in several ways."""
    if not isinstance(value, Mapping):
        return value
    facts = cast("Mapping[str, Any]", value)
    if facts.get("type") == "ndarray" and "value" in facts:
        return facts["value"]
    if facts.get("class_name") in ("__numpy__", "__tuple__"):
        return facts.get("items", cast("Mapping[str, Any]", facts.get("config", {})).get("value"))
    if facts.get("class_name") == "TypeSpec":
        return None
    return facts


def named_activation(layer: Layer, options: Mapping[str, Any], origin: Origin) -> str:
    """The name of the layer's activation, "linear" where it has none."""
    found = options.get("activation") or "linear"
    if isinstance(found, Mapping):
        facts = cast("Mapping[str, Any]", found)
        found = facts.get("config") if facts.get("class_name") == "function" else facts.get("class_name")
    if not isinstance(found, str):
        raise refusal(described(layer), f"no operator has activation={quoted(found)}")
    return ACTIVATIONS.get(found, found) if origin.before_3 else found
