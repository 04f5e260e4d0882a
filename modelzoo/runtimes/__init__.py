"""Networks that answer: compiled by OpenVINO, or by Keras on any of its backends and devices."""

from modelzoo.runtimes.deployment import DEFAULT_MODEL, PRECISIONS, RUNTIMES, Deployment, Precision, Runtime
from modelzoo.runtimes.facts import RANDOM, network_facts
from modelzoo.runtimes.start import Predictor, predictor

__all__ = [
    "DEFAULT_MODEL",
    "PRECISIONS",
    "RANDOM",
    "RUNTIMES",
    "Deployment",
    "Precision",
    "Predictor",
    "Runtime",
    "network_facts",
    "predictor",
]
