"""Networks that answer: compiled by OpenVINO, or by Keras on any of its backends and devices."""

from modelzoo.runtimes.default_model import PREFERRED_MODEL, DefaultModel, default_model
from modelzoo.runtimes.deployment import (
    DEFAULT_MODEL,
    PRECISIONS,
    RUNTIMES,
    Crops,
    Deployment,
    Precision,
    Runtime,
)
from modelzoo.runtimes.facts import RANDOM, network_facts
from modelzoo.runtimes.start import Predictor, predictor

__all__ = [
    "DEFAULT_MODEL",
    "PRECISIONS",
    "PREFERRED_MODEL",
    "RANDOM",
    "RUNTIMES",
    "Crops",
    "DefaultModel",
    "Deployment",
    "Precision",
    "Predictor",
    "Runtime",
    "default_model",
    "network_facts",
    "predictor",
]
