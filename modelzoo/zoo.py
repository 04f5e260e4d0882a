"""load(): a model's name -> a keras.Model with its weights."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast, get_args

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

OUTPUT_STRIDES = (8, 16, 32)

Pooling = Literal["avg", "max"]
Head = Literal["linear", "mlp", "conv"]
HEADS: tuple[Head, ...] = get_args(Head)
InputShape = tuple[int | None, int | None, int]
InputSides = Sequence[int | None]  # an InputShape as a user may write it
Weights = Located | Literal["synthetic"] | None  # at hand: a file, the deterministic rule, or random


@dataclass(frozen=True)
class NetworkOptions:
    """Which part of an entry's network is built, and how: load()'s arguments beside the weights.

    kept: of the entry's classes, those that the head has; None for all.
    channels: of the images, where the weights are for others: those of input_shape.
    """

    include_top: bool = True
    pooling: Pooling | None = None
    classes: int | None = None
    classifier_activation: str | None = FROM_ENTRY
    input_shape: InputShape | None = None
    features: bool | Sequence[str | int] | None = None
    dtype: str | None = None
    name: str | None = None
    kept: tuple[int, ...] | None = None
    channels: int | None = None
    head: Head = "linear"
    dropout: float = 0.0
    output_stride: int | None = None
    include_preprocessing: bool = False

    @property
    def classifies(self) -> bool:
        """Whether the network has a head, its own or another."""
        return self.include_top and not self.features

    @property
    def top(self) -> bool:
        """Whether the network has its family's layers after its last feature map."""
        return self.classifies and self.head == "linear"


def load(
    model: str | os.PathLike[str],
    /,
    *,
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = PRETRAINED,
    pooling: Pooling | None = None,
    classes: int | Sequence[str] | None = None,
    head: Head = "linear",
    dropout: float = 0.0,
    classifier_activation: str | None = FROM_ENTRY,
    input_shape: InputSides | None = None,
    features: bool | str | int | Sequence[str | int] | None = None,
    output_stride: int | None = None,
    include_preprocessing: bool = False,
    dtype: str | None = None,
    name: str | None = None,
) -> keras.Model:
    """A functional keras.Model of a name ("resnet50_v1d"), a model folder, or a hub's ("hf://owner/name").

    Its input is float, (batch, height, width, channels), as `modelzoo.preprocess` gives it; with
    include_preprocessing uint8 images of any size. docs/guide/backbones.md shows all arguments at work.
    include_top: False gives the last feature map, or with `pooling` "avg" or "max" (batch, channels).
    weights: "pretrained"; None, random; "synthetic", by a rule, for tests; or the path of a weight file.
    classes: another number, for a new random head; or ids or names of those that the pretrained head keeps.
    head, dropout: of a new head, see architectures.NewHead; "linear" is the network's own form.
    classifier_activation: "entry", the registry's; None for logits; or a name, such as "sigmoid".
    input_shape: None for a side of any length; default: the entry's. Weights fit any number of channels.
    features: levels such as ("C2", "C5"), or -1, the coarsest, or True, all from C2 on: a dict of maps.
    output_stride: 8 or 16: finer maps by dilation, with the same weights, of residual networks.
    dtype: a Keras dtype or policy; with a mixed one logits and probabilities are float32.
    Raises UnknownModel, WeightsUnavailable, WeightsMismatch, ConversionError, LabelsError, ValueError.
    """
    entry = store.entry_of(registry.info(model), weights)
    number, kept = _classes(entry, classes)
    shape, channels, maps = _shapes(entry, input_shape, features, weights)
    asked = (include_top, pooling, number, classifier_activation, shape, maps, dtype, name, kept, channels)
    options = NetworkOptions(*asked, head, dropout, output_stride, include_preprocessing)
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
    images = _images(entry, options) if options.include_preprocessing else None
    model = backend.model(network, dtype=options.dtype, as_dict=bool(options.features), images=images)
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

    facts, activation = entry.graph, _activation(entry, options)
    graph = architectures.network(
        facts,
        input_shape=options.input_shape,
        classes=(options.classes or facts.classes) if options.top else None,
        pooling=options.pooling,
        classifier_activation=activation if options.top else None,
        name=options.name or entry.key.replace(".", "_"),
    )
    if options.classifies and (kind := options.head) != "linear":
        classes = options.classes or facts.classes
        graph = architectures.with_head(graph, architectures.NewHead(kind, classes, activation))
    if options.dropout:
        graph = architectures.with_dropout(graph, options.dropout)
    if options.output_stride is not None or options.channels is not None:
        graph = _adapted(graph, options)
    return graph.features(options.features) if options.features else graph


def _adapted(graph: Graph, options: NetworkOptions) -> Graph:
    """The network with another output stride, and for other channels, than it was trained with."""
    from modelzoo.graph import passes  # with NumPy

    if options.output_stride is not None:
        graph = passes.with_output_stride(graph, options.output_stride)
    return graph if options.channels is None else passes.with_channels(graph, options.channels)


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
    new_head = options.kept is None and options.classes not in (None, entry.graph.classes)
    skip = (top.head if new_head else ()) if options.top else (*top.layers, *architectures.HEAD_LAYERS)
    paths = [path for path in graph.weights if path.rpartition("/")[0] not in skip]
    fitted = _fitting(entry, options, graph)
    if isinstance(weights, Located):
        with _opened(weights, skip) as arrays:
            yield Arrays(paths, lambda path: fitted(path, arrays[path]))
    elif weights == SYNTHETIC:
        array, shapes = synthetic.values_of(entry.graph), _native(entry, options, graph).weight_shapes
        yield Arrays(paths, lambda path: fitted(path, array(path, shapes[path])))
    else:
        yield {}


def _native(entry: Entry, options: NetworkOptions, graph: Graph) -> Graph:
    """The network whose weights there are, of which `graph` has adapted ones."""
    if options.kept is None and options.channels is None:
        return graph
    classes = None if options.kept is not None else options.classes
    return graph_of(entry, replace(options, classes=classes, kept=None, channels=None))


def _fitting(entry: Entry, options: NetworkOptions, graph: Graph) -> Callable[[str, np.ndarray], np.ndarray]:
    """A function of a path and the weight that the entry has there, which gives the graph's."""
    if options.kept is None and options.channels is None:
        return lambda path, array: array
    from modelzoo import architectures
    from modelzoo.graph import passes

    nodes = {path: node for node in graph.nodes for path in node.paths.values()}
    head = architectures.top_layers(entry.graph).head

    def fitted(path: str, array: np.ndarray) -> np.ndarray:
        if options.kept is not None and path.rpartition("/")[0] in head:
            return array[..., list(options.kept)]
        return passes.adapted(nodes[path], array, graph.weights[path].shape)

    return fitted


def _activation(entry: Entry, options: NetworkOptions) -> str | None:
    """What comes after the logits; raises ValueError for a softmax of one class."""
    asked, known = options.classifier_activation, entry.graph.activation
    activation = known if asked == FROM_ENTRY else asked
    if activation != SOFTMAX or (options.classes or entry.graph.classes) > 1 or not options.classifies:
        return activation
    if asked == SOFTMAX:
        raise ValueError("softmax of one class is always 1: use classifier_activation='sigmoid' or None.")
    return "sigmoid"


def _check(options: NetworkOptions, weights: object) -> None:
    """Raises ValueError for arguments of load() that contradict each other."""
    top, classes = options.include_top, options.classes
    new = classes is not None or options.head != "linear" or options.dropout
    if top and options.pooling is not None and not options.features:
        raise ValueError("pooling needs include_top=False: with the top, the pooling is the network's own.")
    if new and not top:
        raise ValueError("classes, head and dropout need include_top=True.")
    if options.features and (options.pooling is not None or new):
        raise ValueError("features gives feature maps: it goes with neither pooling nor a head of any kind.")
    if options.head not in HEADS:
        raise ValueError(f"head must be one of {', '.join(HEADS)}, not {quoted(options.head)}.")
    if options.head != "linear" and (classes is None or options.kept is not None):
        raise ValueError(f"head={options.head!r} is a new one: say by classes=N for how many classes.")
    if options.output_stride not in (None, *OUTPUT_STRIDES):
        raise ValueError(f"output_stride must be 8, 16 or 32, not {quoted(options.output_stride)}.")
    shape = options.input_shape
    if options.include_preprocessing and (options.channels or (shape is not None and shape[2] != 3)):
        raise ValueError("include_preprocessing is for images of three channels: prepare others yourself.")


def _classes(entry: Entry, given: int | Sequence[str] | None) -> tuple[int | None, tuple[int, ...] | None]:
    """load()'s `classes`: how many, and which of the entry's. Raises ValueError and LabelsError."""
    if given is None:
        return None, None
    if isinstance(given, Iterable) and not isinstance(given, str | bytes):
        if entry.task != "classification":
            raise ValueError(f"{entry.key} is a {entry.task} model: its classes cannot be chosen by name.")
        from modelzoo import labels

        kept = labels.choose_all(labels.of(entry), given, entry.labels)
        return len(kept), kept
    if type(given) is not int or given < 1:
        raise ValueError(f"classes must be a positive int, or a list of ids or names, not {quoted(given)}.")
    return given, None


def _shapes(
    entry: Entry, given: InputSides | None, features: object, weights: object
) -> tuple[InputShape, int | None, bool | Sequence[str | int] | None]:
    """The shape a network is built for, other channels that its weights are adapted to, and its maps."""
    from modelzoo.architectures.arguments import feature_names, input_shape

    known, maps = entry.graph.input_shape, feature_names(features)
    shape = known if given is None else input_shape(given)
    if weights is None or shape[2] == known[2]:
        return shape, None, maps
    height, width, channels = shape
    return (height, width, known[2]), channels, maps


def _images(entry: Entry, options: NetworkOptions) -> Callable[[str], tuple[Any, Any]]:
    """What makes the input that takes images as they are; see backends.keras.model."""
    from modelzoo.backends.keras_preprocessing import image_input

    height, width, _ = options.input_shape or entry.graph.input_shape
    return lambda name: image_input(entry.preprocessing, (height, width), name)


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
