"""predictor(): a deployment -> a network that is ready to answer.

There is one way down: the weights are located; a network compiled of them before is taken from the cache; or
else its graph is compiled with them, and kept.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from modelzoo import store, zoo
from modelzoo.errors import readable
from modelzoo.registry import Entry
from modelzoo.runtimes.anew import MakingCall
from modelzoo.runtimes.deployment import Deployment, Precision, Runtime
from modelzoo.store import Located
from modelzoo.zoo import NetworkOptions, Weights

if TYPE_CHECKING:
    import numpy as np

    from modelzoo.runtimes import compiled
    from modelzoo.runtimes.exported import LitertPredictor, OnnxPredictor
    from modelzoo.runtimes.keras import KerasPredictor
    from modelzoo.runtimes.openvino import OpenVINOPredictor
    from modelzoo.runtimes.saved_model import SavedModelPredictor

LOG = logging.getLogger("modelzoo")


class Predictor(Protocol):
    """A network that is ready; which runtime it is on, and what that computes in."""

    runtime: Runtime
    precision: Precision
    made_by: MakingCall | None

    def predict(self, images: np.ndarray) -> np.ndarray:
        """The network's float32 output for a batch (batch, height, width, channels) of any size."""
        ...

    def predict_each(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The output for each batch, in order; the next one is fetched while the network computes."""
        ...


def predictor(deployment: Deployment, options: NetworkOptions) -> Predictor:
    """The network that modelzoo.load gives of the same model, weights and options; threads may share it.

    In another process it is made anew: pickled, as this call; after a fork, OpenVINO's answers as it is.

    Keras computes in f32, whatever its global dtype policy is; OpenVINO in the deployment's precision.
    Raises as modelzoo.load does, and ValueError for a precision that this CPU does not compute in.
    """
    entry, options = deployment.entry, replace(options, dtype="float32")
    network = _of_file(deployment, options) or _predictor(deployment, entry, options)
    if deployment.weights is not None:  # random ones would be others
        network.made_by = (predictor, (deployment, options))
    return network


def _of_file(
    deployment: Deployment, options: NetworkOptions
) -> OnnxPredictor | LitertPredictor | OpenVINOPredictor | KerasPredictor | SavedModelPredictor | None:
    """The network of an exported file, which is as it was exported; None for a name of the registry."""
    if deployment.file is None:
        return None
    if options != NetworkOptions(dtype="float32"):
        raise ValueError(
            f"{readable(str(deployment.file))} answers with labels; name the model for the rest."
        )
    from modelzoo.runtimes.exported import file_predictor

    return file_predictor(deployment.file, deployment.runtime, deployment.precision)


def _predictor(
    deployment: Deployment, entry: Entry, options: NetworkOptions
) -> OpenVINOPredictor | KerasPredictor:
    if deployment.runtime == "keras":
        weights = zoo.find_weights(entry, options, deployment.weights)
        from modelzoo.runtimes.keras import KerasPredictor

        return KerasPredictor(zoo.load_entry(entry, options, weights))
    from modelzoo.runtimes import openvino

    openvino.check_process()
    openvino.check_precision(deployment.precision)
    weights = zoo.find_weights(entry, options, deployment.weights)
    return _compiled(entry, deployment.precision, options, weights)


def _compiled(
    entry: Entry, precision: Precision, options: NetworkOptions, weights: Weights
) -> OpenVINOPredictor:
    """The network as an earlier call compiled and kept it, or else compiled now."""
    from modelzoo.runtimes import compiled, openvino

    if not isinstance(weights, Located):  # random and synthetic weights are not kept
        return _compile(entry, precision, options, weights)
    key = compiled.key(weights, options, openvino.facts(precision))
    if found := _kept(entry, key, precision):
        return found
    with compiled.lock(entry):  # another process may be quicker
        if found := _kept(entry, key, precision):
            return found
        weights = store.checked(weights)  # damaged ones are obtained again, and may be others then
        key = compiled.key(weights, options, openvino.facts(precision))
        LOG.info("%s: compiling it for OpenVINO, once", entry.key)
        network = _compile(entry, precision, options, weights)
        compiled.keep(key, network.export, weights.warning())
        return network


def _compile(
    entry: Entry, precision: Precision, options: NetworkOptions, weights: Weights
) -> OpenVINOPredictor:
    from modelzoo.graph.initialization import initial_values
    from modelzoo.runtimes import openvino
    from modelzoo.weights import Arrays

    graph = zoo.graph_of(entry, options)
    with zoo.values(entry, options, weights, graph) as given:
        random = initial_values(graph, skip=given)
        arrays = Arrays(graph.weights, lambda path: random[path] if path in random else given[path])
        return openvino.compile_graph(graph, arrays, precision)


def _kept(entry: Entry, key: compiled.Key, precision: Precision) -> OpenVINOPredictor | None:
    from modelzoo.runtimes import compiled, openvino

    stored = compiled.find(key)
    network = None if stored is None else openvino.import_network(stored, precision)
    if stored is not None and network is not None:
        zoo.warn(entry, stored.warning)
    return network
