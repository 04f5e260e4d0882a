"""load(): a model's name -> a keras.Model with its weights."""

from __future__ import annotations

import glob
import logging
import operator
import os
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from modelzoo import registry, store
from modelzoo.errors import ConversionError, WeightsMismatch, quoted
from modelzoo.registry import Entry
from modelzoo.store import PRETRAINED, Located

if TYPE_CHECKING:
    import keras
    import numpy as np

    from modelzoo.graph import Graph

LOG = logging.getLogger("modelzoo")
FROM_ENTRY = "entry"
SYNTHETIC: Final = "synthetic"
SOFTMAX = "softmax"

Pooling = Literal["avg", "max"]
InputShape = tuple[int | None, int | None, int]
InputSides = Sequence[int | None]  # an InputShape as a user may write it
Weights = Located | Literal["synthetic"] | None  # at hand: a file, the deterministic rule, or random


@dataclass(frozen=True)
class NetworkOptions:
    """Which part of an entry's network is built, and how: load()'s arguments beside the weights."""

    include_top: bool = True
    pooling: Pooling | None = None
    classes: int | None = None
    classifier_activation: str | None = FROM_ENTRY
    input_shape: InputShape | None = None
    features: bool | Sequence[str] | None = None
    dtype: str | None = None
    name: str | None = None

    @property
    def top(self) -> bool:
        """Whether the network has what comes after its last feature map."""
        return self.include_top and not self.features


def load(
    model: str | os.PathLike[str],
    /,
    *,
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = PRETRAINED,
    pooling: Pooling | None = None,
    classes: int | None = None,
    classifier_activation: str | None = FROM_ENTRY,
    input_shape: InputSides | None = None,
    features: bool | str | Sequence[str] | None = None,
    dtype: str | None = None,
    name: str | None = None,
) -> keras.Model:
    """A functional keras.Model of a name ("resnet50_v1d"), a model folder, or a hub's ("hf://owner/name").

    Its input is float, (batch, height, width, channels), prepared as `modelzoo.preprocess` does.
    include_top: True gives (batch, classes), or what a detector predicts for each cell; False the last map,
        (batch, height / 32, width / 32, channels), or with `pooling` "avg" or "max" (batch, channels).
    weights: "pretrained"; None, random, for training from scratch; "synthetic", a deterministic rule, for
        tests; or a path to a modelzoo weight file or to the upstream's own, with the classes of its head.
    classes: another number than the weights' gives a new, randomly initialized head on the same backbone.
    classifier_activation: "entry" means what the registry states (softmax, mostly; of one class, for which
        that is always 1, sigmoid); None means logits; otherwise the name of an activation, such as "sigmoid".
    input_shape: (height, width, channels); None for a side of any length. Default: the entry's.
        Other than three channels only with weights=None.
    features: names of feature maps, ("C2", "C3", "C4", "C5") with strides 4, 8, 16 and 32, or one, or
        True for all from C2 on. The model then returns a dict of them.
    dtype: a Keras dtype or dtype policy, for example "mixed_bfloat16"; default: Keras' global one. With a
        mixed one logits, probabilities and pooled maps are float32, and feature maps in the compute dtype.
    name: of the Keras model. To use several in one, call each as a layer: `load(..., name="left")(images)`.
    Raises UnknownModel; WeightsUnavailable (never random weights instead); WeightsMismatch or
    ConversionError for a file that does not fit; ValueError for arguments that contradict each other.
    """
    entry = store.entry_of(registry.info(model), weights)
    shape = _input_shape(entry.graph.input_shape if input_shape is None else input_shape)
    maps = _feature_names(features)
    options = NetworkOptions(include_top, pooling, classes, classifier_activation, shape, maps, dtype, name)
    _check(options, weights)
    return load_entry(entry, options, find_weights(entry, options, weights))


def find_weights(entry: Entry, options: NetworkOptions, weights: str | os.PathLike[str] | None) -> Weights:
    """What load()'s `weights` are, obtained if need be. Raises WeightsUnavailable."""
    if weights is None:
        return None
    _check_weights(weights)
    if weights == SYNTHETIC:
        return SYNTHETIC
    return store.locate(entry, weights, top=options.top)


def load_entry(entry: Entry, options: NetworkOptions, weights: Weights) -> keras.Model:
    """The network of an entry with weights that find_weights() gave; see load()."""
    from modelzoo import architectures, variables
    from modelzoo.backends import keras as backend
    from modelzoo.backends import keras_values
    from modelzoo.backends.keras_sizes import state_smallest

    facts, network = entry.graph, graph_of(entry, options)
    model = backend.model(network, dtype=options.dtype, as_dict=bool(options.features))
    if None in network.inputs[architectures.IMAGES][1:3]:
        smallest = architectures.smallest_side_of(facts, top=options.top)
        state_smallest(model, smallest)
    with values(entry, options, weights, network) as arrays:
        keras_values.assign(model, arrays.items())
    variables.initialize(model)  # what has no value yet: all, a new head, the seeds of layers that drop
    return model


def graph_of(entry: Entry, options: NetworkOptions) -> Graph:
    """The part of an entry's network that the options ask for."""
    from modelzoo import architectures

    facts = entry.graph
    graph = architectures.network(
        facts,
        input_shape=options.input_shape,
        classes=(options.classes or facts.classes) if options.top else None,
        pooling=options.pooling,
        classifier_activation=_activation(entry, options),
        name=options.name or entry.key.replace(".", "_"),
    )
    return graph.features(options.features) if options.features else graph


@contextmanager
def values(
    entry: Entry, options: NetworkOptions, weights: Weights, graph: Graph
) -> Generator[Mapping[str, np.ndarray]]:
    """The weights of the graph by path, as far as `weights` gives them, read one by one.

    Random ones it does not give, nor those of a head for another number of classes. A file must be the
    entry's and have all that its network has, what the graph leaves out aside.
    """
    from modelzoo import architectures
    from modelzoo.architectures import synthetic
    from modelzoo.weights import Arrays

    top = architectures.top_layers(entry.graph)
    new_head = options.classes not in (None, entry.graph.classes)
    skip = (top.head if new_head else ()) if options.top else top.layers
    shapes = {path: s for path, s in graph.weight_shapes.items() if path.rpartition("/")[0] not in skip}
    if isinstance(weights, Located):
        with _opened(weights, skip) as arrays:
            yield Arrays(shapes, arrays.__getitem__)
    elif weights == SYNTHETIC:
        array = synthetic.values_of(entry.graph)
        yield Arrays(shapes, lambda path: array(path, shapes[path]))
    else:
        yield {}


def _activation(entry: Entry, options: NetworkOptions) -> str | None:
    """What comes after the logits; raises ValueError for a softmax of one class."""
    asked, known = options.classifier_activation, entry.graph.activation
    activation = known if asked == FROM_ENTRY else asked
    if activation != SOFTMAX or (options.classes or entry.graph.classes) > 1 or not options.top:
        return activation
    if asked == SOFTMAX:
        raise ValueError("softmax of one class is always 1: use classifier_activation='sigmoid' or None.")
    return "sigmoid"


def _check(options: NetworkOptions, weights: object) -> None:
    """Raises ValueError for arguments of load() that contradict each other."""
    top, classes, shape = options.include_top, options.classes, options.input_shape
    if top and options.pooling is not None and not options.features:
        raise ValueError("pooling needs include_top=False: with the top, the pooling is the network's own.")
    if classes is not None and not top:
        raise ValueError("classes needs include_top=True.")
    if options.features and (options.pooling is not None or classes is not None):
        raise ValueError("features gives feature maps: it goes with neither pooling nor classes.")
    if classes is not None and (type(classes) is not int or classes < 1):
        raise ValueError(f"classes must be a positive int, not {classes!r}.")
    if weights is not None and shape is not None and shape[2] != 3:
        raise ValueError(f"The weights are for 3 channels, not {shape[2]}; use weights=None for others.")


def _input_shape(given: object) -> InputShape:
    """The shape as it was given; raises ValueError that says what to write instead."""
    sentence = (
        f"input_shape must be (height, width, channels), None for a side of any length; got {quoted(given)}"
    )
    sides = _sides(given)
    if len(sides) in (1, 2):
        raise ValueError(f"{sentence}: write {(sides[0], sides[-1], 3)}.")
    if len(sides) == 4:
        raise ValueError(f"{sentence}: write {sides[1:]}.")
    if len(sides) == 3 and sides[0] == 3 and sides[2] not in (None, 3):
        raise ValueError(f"{sentence}: write {(sides[1], sides[2], 3)}.")
    if len(sides) != 3 or sides[2] is None:
        raise ValueError(f"{sentence}.")
    return cast(InputShape, sides)


def _sides(given: object) -> tuple[int | None, ...]:
    """Positive whole numbers and None, of a sequence or one alone; nothing if anything else is there."""
    items: tuple[Any, ...] = tuple(cast(Iterable[Any], given)) if _is_iterable(given) else (given,)
    if any(isinstance(item, bool) for item in items):
        return ()
    try:
        sides = tuple(None if item is None else operator.index(item) for item in items)
    except TypeError:
        return ()
    return sides if all(side is None or side > 0 for side in sides) else ()


def _feature_names(given: object) -> bool | Sequence[str] | None:
    """load()'s `features`, of which one needs no list."""
    if given is None or isinstance(given, bool):
        return given
    return tuple(cast(Iterable[str], given) if _is_iterable(given) else (cast(str, given),))


def _is_iterable(given: object) -> bool:
    return isinstance(given, Iterable) and not isinstance(given, str | bytes)


def _check_weights(weights: object) -> None:
    """Raises ConversionError for what is neither a word nor the path of a file, folder or checkpoint."""
    if isinstance(weights, str | os.PathLike):
        weights = os.fsdecode(cast(str, weights))
        path = Path(weights)
        if weights in (PRETRAINED, SYNTHETIC):
            return
        if weights and (path.exists() or any(path.parent.glob(f"{glob.escape(path.name)}*"))):
            return
    raise ConversionError(
        f"There is no weight file {quoted(weights)}: weights must be 'pretrained', 'synthetic', "
        "None for random ones, or the path of a file."
    )


@contextmanager
def _opened(located: Located, skip: Collection[str]) -> Generator[Mapping[str, np.ndarray]]:
    """The weights in the file, layers of `skip` aside; a damaged file of the cache is replaced."""
    from modelzoo import conversion, weights

    entry = located.entry
    with store.checked(located).file(include_top=not skip) as path:
        store.check_owner(entry, path)
        if located.may_be_upstream and not skip:
            _require_top(located, path)
        with weights.opened(path, conversion.weight_shapes(entry), skip=skip) as arrays:
            yield arrays
        warn(entry, weights.warning(path))


def _require_top(located: Located, path: Path) -> None:
    """Raises WeightsMismatch for a modelzoo weight file of a user's that has nothing of the top."""
    from modelzoo import architectures, weights

    top = architectures.top_layers(located.entry.graph).layers
    if top and not weights.has_layers(path, top):
        raise WeightsMismatch(
            f"{located.path} has the weights of {located.entry.key} without its top: use include_top=False, "
            "or `modelzoo embed`."
        )


def warn(entry: Entry, warning: str | None) -> None:
    """Logs what the provenance of an entry's weights warns of."""
    if warning:
        LOG.warning("%s: %s", entry.key, warning)
