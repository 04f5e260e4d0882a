"""load(): a model's name -> a keras.Model with its weights. The one module that knows the others."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from modelzoo import pretrained, registry
from modelzoo.errors import WeightsMismatch
from modelzoo.registry import Entry

if TYPE_CHECKING:
    import keras

FROM_ENTRY = "entry"
SYNTHETIC = "synthetic"
PRETRAINED = "pretrained"


def load(
    name: str,
    *,
    include_top: bool = True,
    weights: str | os.PathLike | None = PRETRAINED,
    pooling: str | None = None,
    classes: int | None = None,
    classifier_activation: str | None = FROM_ENTRY,
    input_shape: tuple[int | None, int | None, int] | None = None,
    features: bool | Sequence[str] | None = None,
    dtype: str | None = None,
) -> keras.Model:
    """A functional keras.Model of the registry's model `name` ("resnet50_v1d" or "resnet50_v1d.gluon").

    Its input is float, (batch, height, width, channels), prepared as `modelzoo.preprocess` does.

    include_top: True gives (batch, classes), or what a detector says of each cell. False gives the last
        feature map, (batch, height / 32, width / 32, channels), or (batch, channels) with `pooling`
        "avg" or "max".
    weights: "pretrained"; None, random, for training from scratch; "synthetic", the deterministic
        rule of modelzoo.synthetic, for tests; or a path to one of our files or to the upstream's own.
    classes: another number than the entry's gives a new, randomly initialised head on the same backbone.
    classifier_activation: "entry" means what the registry says (softmax, mostly); None means logits;
        otherwise the name of a Keras activation.
    input_shape: (height, width, channels); None for a side of any length. Default: the entry's.
        Other than three channels only with weights=None.
    features: names of feature maps, for example ("C2", "C3", "C4", "C5") with strides 4, 8, 16 and
        32, or True for all from C2 on. The model then returns a dict of them.
    dtype: a Keras dtype or dtype policy, for example "mixed_bfloat16"; default: Keras' global one.

    Raises UnknownModel; WeightsUnavailable if pretrained weights cannot be had (never random
    weights instead); WeightsMismatch or ConversionError for a file that does not fit; ValueError for
    arguments that contradict each other.
    """
    entry = registry.info(name)
    graph = entry.graph
    input_shape = tuple(input_shape) if input_shape is not None else graph.input_shape
    _check_arguments(include_top, weights, pooling, classes, input_shape, features)
    fresh_head = classes not in (None, graph.classes)
    activation = graph.activation if classifier_activation == FROM_ENTRY else classifier_activation
    top = include_top and not features
    with _weights_path(entry, weights, top, top and not fresh_head) as path:
        from modelzoo import architectures
        from modelzoo import weights as weight_files
        from modelzoo.architectures import deferred

        network = architectures.build(
            graph.family,
            graph.variant,
            input_shape=input_shape,
            classes=(classes or graph.classes) if top else None,
            pooling=pooling,
            classifier_activation=activation,
            dtype=dtype,
            initialise=False,
            name=entry.key.replace(".", "_"),
        )
        model = network.model()
        if weights == SYNTHETIC:
            weight_files.assign_synthetic(model, fresh_head=fresh_head)
        elif path is not None:
            _assign(model, entry, path, fresh_head)
        deferred.initialise(model)  # what has no value yet: all, a fresh head, the seeds of layers that drop
    return network.feature_model(features) if features else model


def is_synthetic(entry: Entry, weights: str | os.PathLike, *, top: bool = True) -> bool:
    """Whether the pretrained weights, or those of a file, are said to be synthetic by their receipt."""
    from modelzoo import weights as weight_files

    path = pretrained.find(entry, top=top) if weights == PRETRAINED else Path(weights)
    return weight_files.is_ours(path) and bool(weight_files.receipt(path).get("synthetic"))


def warn_of_synthetic(entry: Entry) -> None:
    print(f"modelzoo: {entry.key} has synthetic weights: what it answers means nothing", file=sys.stderr)


def _check_arguments(include_top, weights, pooling, classes, input_shape, features) -> None:
    if include_top and pooling is not None and not features:
        raise ValueError("pooling needs include_top=False: with the top, the pooling is the network's own.")
    if classes is not None and not include_top:
        raise ValueError("classes needs include_top=True.")
    if features and (pooling is not None or classes is not None):
        raise ValueError("features gives feature maps: it goes with neither pooling nor classes.")
    if classes is not None and (type(classes) is not int or classes < 1):
        raise ValueError(f"classes must be a positive int, not {classes!r}.")
    if len(input_shape) != 3:
        raise ValueError(f"input_shape must be (height, width, channels), not {input_shape!r}.")
    if weights is not None and input_shape[2] != 3:
        raise ValueError(
            f"The weights are for 3 channels, not {input_shape[2]}; with weights=None any will do."
        )


def _assign(model, entry: Entry, path: Path, fresh_head: bool) -> None:
    """Sets the weights from one of our files; a file of the cache that turns out damaged is fetched again."""
    from modelzoo import weights as weight_files

    try:
        pretrained.check_owner(entry, path)
        weight_files.assign(model, path, fresh_head=fresh_head)
    except (OSError, WeightsMismatch):
        if not pretrained.set_aside_if_damaged(entry, path):
            raise
        path = pretrained.weights_file(entry.key)
        weight_files.assign(model, path, fresh_head=fresh_head)
    if weight_files.receipt(path).get("synthetic"):
        warn_of_synthetic(entry)


@contextmanager
def _weights_path(
    entry: Entry, weights: str | os.PathLike | None, top: bool, head: bool
) -> Iterator[Path | None]:
    """Our weight file for load()'s `weights`; None where there is nothing to read.

    Without `top` a file without those weights will do, and of the upstream's without `head`.
    """
    if weights in (None, SYNTHETIC):
        yield None
    elif weights == PRETRAINED:
        yield pretrained.find(entry, top=top)
    else:
        from modelzoo import conversion
        from modelzoo import weights as weight_files

        path = Path(weights)
        if weight_files.is_ours(path):
            yield path
            return
        with tempfile.TemporaryDirectory(prefix="modelzoo-") as folder:
            converted = Path(folder) / "converted.h5"
            conversion.convert(entry, path, converted, head=head)
            yield converted
