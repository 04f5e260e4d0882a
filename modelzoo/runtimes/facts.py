"""What a network's answers depend on, as JSON: equal facts, equal answers on identical CPUs."""

from __future__ import annotations

from dataclasses import asdict
from importlib.util import find_spec
from typing import Any

import modelzoo
from modelzoo import settings, zoo
from modelzoo.runtimes.deployment import Deployment
from modelzoo.store import Located
from modelzoo.zoo import NetworkOptions

RANDOM = "random"


def network_facts(deployment: Deployment, options: NetworkOptions) -> dict[str, Any]:
    """All that decides the network's output for an input: weights by content, graph, versions, precision.

    Obtains the weights, if need be, and reads them; imports no runtime. Raises WeightsUnavailable.
    """
    from modelzoo.runtimes import compiled

    entry = deployment.entry
    facts = {
        "model": entry.key,
        "weights": _weights(deployment, options),
        "modelzoo": modelzoo.__version__,
        "runtime": _runtime(deployment),
        "precision": deployment.precision,
        "graph": entry.graph.facts(),
        "options": asdict(options),
        "architectures": compiled.architectures(),  # also the rule of synthetic weights
    }
    if deployment.runtime == "keras":
        facts["keras"] = compiled.keras_version()
    return facts


def _weights(deployment: Deployment, options: NetworkOptions) -> str:
    if deployment.file is not None:
        from modelzoo.exporters import format_of
        from modelzoo.files import sha256

        parts = format_of(deployment.file).files(deployment.file)
        return ", ".join(f"{part.suffix} sha256 {sha256(part)}" for part in parts)
    found = zoo.find_weights(deployment.entry, options, deployment.weights)
    if isinstance(found, Located):
        return f"sha256 {found.digest()}"
    return found or RANDOM


def _runtime(deployment: Deployment) -> str:
    if deployment.runtime in ("openvino", "onnxruntime", "tensorflow"):
        return _with_version(deployment.runtime)
    if deployment.runtime == "litert":
        own = find_spec("ai_edge_litert") is not None  # as runtimes.exported chooses
        return f"litert of {_with_version('ai-edge-litert' if own else 'tensorflow')}"
    return f"keras on {_with_version(settings.keras_backend())}"


def _with_version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:  # installed under another name, such as tensorflow-cpu
        return package
