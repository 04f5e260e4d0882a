"""The options of Keras' layers: each is asked for once, translated, and refused where no operator has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import keras

from modelzoo.errors import quoted, readable
from modelzoo.graph import Initializer, Operator, Shape
from modelzoo.graph.elementwise import Activation, Function, LeakyReLU
from modelzoo.graph.operator import GLOROT_UNIFORM, ONES, ZEROS

FUNCTIONS: dict[str, Operator] = {
    **{name: Activation(cast(Function, name)) for name in ("elu", "gelu", "hard_sigmoid", "hard_silu")},
    **{name: Activation(cast(Function, name)) for name in ("linear", "relu", "relu6", "sigmoid", "silu")},
    **{name: Activation(cast(Function, name)) for name in ("softmax", "softplus", "softsign", "tanh")},
    "hard_swish": Activation("hard_silu"),
    "swish": Activation("silu"),
    "leaky_relu": LeakyReLU(0.2),  # Keras' default there; its layer's is 0.3
}
NAMED = {"Zeros": ZEROS, "Ones": ONES, "GlorotUniform": GLOROT_UNIFORM}
SCALED: dict[str, tuple[float, str, str]] = {
    "GlorotNormal": (1.0, "fan_avg", "truncated_normal"),
    "HeNormal": (2.0, "fan_in", "truncated_normal"),
    "HeUniform": (2.0, "fan_in", "uniform"),
    "LecunNormal": (1.0, "fan_in", "truncated_normal"),
    "LecunUniform": (1.0, "fan_in", "uniform"),
}
TRAINING = ("kernel", "bias", "depthwise", "pointwise", "beta", "gamma", "alpha")  # what may be regularized
OF_ANY_LAYER = ("name", "trainable", "dtype")  # states, and what the caller chooses


@dataclass(frozen=True)
class Described:
    """A layer of which there is a description only: its name, and its class's."""

    name: str
    kind: str


@dataclass(frozen=True)
class Call:
    """A layer, its options that have not been looked at yet, and the shape of its first input."""

    layer: keras.Layer | Described
    options: dict[str, Any]
    shape: Shape
    inference: bool

    def refusal(self, what: str) -> ValueError:
        """The error that names the layer and its class."""
        return refusal(self.layer, what)

    def take(self, name: str, default: Any = None) -> Any:
        """An option, lists made tuples."""
        return as_tuple(self.options.pop(name, default))

    def expect(self, name: str, *allowed: Any) -> None:
        """Raises ValueError if an option has another value; one that is not there has the first."""
        found = self.take(name, allowed[0])
        if found not in allowed:
            raise self.refusal(f"no operator has {name}={quoted(found)}")

    def in_training(self, name: str, default: Any) -> None:
        """Raises ValueError if the graph is to be trained, and this option is another than an operator's."""
        found = self.take(name, default)
        if found != default and not self.inference:
            raise self._only_in_training(name, found)

    def initializer(self, name: str, default: Initializer | None = None) -> Initializer:
        """An initializer; if there is a default, only that one, as operators have no other."""
        if name not in self.options:
            return default or GLOROT_UNIFORM
        config = self.options.pop(name)
        found = _initializer(config)
        if found is not None and default in (None, found):
            return found
        if not self.inference:
            raise self._only_in_training(name, config)
        return default or GLOROT_UNIFORM

    def _only_in_training(self, name: str, value: Any) -> ValueError:
        shown = value.get("class_name") if isinstance(value, dict) else value
        return training_refusal(self.layer, f"{name}={quoted(shown)}")

    def activation(self, name: str = "activation") -> Operator:
        """The operator of an activation that is given by its name."""
        found = self.take(name, "linear")
        if not isinstance(found, str) or found not in FUNCTIONS:
            shown = found.get("registered_name") or found.get("config") if isinstance(found, dict) else found
            raise self.refusal(f"no operator has {name}={quoted(shown)}")
        given = getattr(self.layer, name, None)
        if given is not None and given is not keras.activations.get(found):
            raise self.refusal(f"{name}={quoted(found)} is not Keras' own function of that name")
        return FUNCTIONS[found]

    def last_axis(self, name: str = "axis") -> None:
        """Raises ValueError unless the option is the last axis."""
        found = self.take(name, -1)
        axes = found if isinstance(found, tuple) else (found,)
        if len(axes) != 1 or axes[0] not in (-1, len(self.shape) - 1):
            raise self.refusal(f"no operator has {name}={quoted(found)}, only the last one")

    def finish(self) -> None:
        """Raises ValueError for an option that nothing asked for."""
        for name in OF_ANY_LAYER:
            self.options.pop(name, None)
        self.expect("data_format", "channels_last")
        self.expect("lora_rank", None)
        self.in_training("activity_regularizer", None)
        for part in TRAINING:
            self.in_training(f"{part}_regularizer", None)
            self.in_training(f"{part}_constraint", None)
        left = [name for name, value in self.options.items() if value not in (None, False)]
        if left:
            raise self.refusal(f"no operator has {left[0]}={quoted(self.options[left[0]])}")


def refusal(operation: Any, what: str) -> ValueError:
    """The error that names a layer or operation, and its class."""
    kind = readable(operation.kind) if isinstance(operation, Described) else type(operation).__name__
    return ValueError(f"Cannot express the layer {quoted(operation.name)} ({kind}): {what}.")


def training_refusal(operation: Any, option: str) -> ValueError:
    """The error for an option that matters in training only."""
    what = f"no operator keeps {option}, which matters in training only"
    return refusal(operation, f"{what}; inference=True leaves it out")


def is_kerass_own(operation: Any) -> bool:
    """Whether Keras defines this class, and not a user."""
    return type(operation).__module__.partition(".")[0] == "keras"


def as_tuple(value: Any) -> Any:
    return tuple(as_tuple(item) for item in value) if isinstance(value, (list, tuple)) else value


def _initializer(config: Any) -> Initializer | None:
    """That of Keras' serialized form; None for one that is not expressed. Its seed chooses values only."""
    if not isinstance(config, Mapping) or config.get("module") != "keras.initializers":
        return None
    name, options = config["class_name"], config["config"]
    if name in NAMED:
        return NAMED[name]
    if name in SCALED:
        scale, fan, distribution = SCALED[name]
        return Initializer(cast(Any, distribution), scale, cast(Any, fan))
    if name == "Constant" and isinstance(options["value"], (int, float)):
        return Initializer("constant", float(options["value"]))
    if name == "VarianceScaling":
        distribution: Any = {"normal": "truncated_normal"}.get(
            options["distribution"], options["distribution"]
        )
        return Initializer(distribution, float(options["scale"]), options["mode"])
    if name == "RandomUniform" and options["minval"] == -options["maxval"]:
        return Initializer("uniform", float(options["maxval"]))
    if name in ("RandomNormal", "TruncatedNormal") and options["mean"] == 0:
        distribution = "normal" if name == "RandomNormal" else "truncated_normal"
        return Initializer(distribution, float(options["stddev"]))
    return None
