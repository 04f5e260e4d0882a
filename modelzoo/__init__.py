"""modelzoo: old and new pretrained image networks as clean Keras 3 models.

    import modelzoo
    model = modelzoo.load("resnet50_v1d")
    modelzoo.classify("photo.jpg")
    modelzoo.list_models("resnet*")

The names below are imported when they are first used, so that importing and listing stay fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelzoo.bulk import Summary, classify_files, features_of_files
    from modelzoo.classification import Classifier, Prediction, classify, decode_predictions
    from modelzoo.detection import Detection, Detector, detect
    from modelzoo.errors import (
        ConversionError,
        DownloadError,
        LabelsError,
        ModelZooError,
        OutputError,
        PictureError,
        RegistryError,
        UnknownModel,
        WeightsMismatch,
        WeightsUnavailable,
    )
    from modelzoo.feature_extraction import FeatureExtractor, features
    from modelzoo.preprocessing import preprocess
    from modelzoo.pretrained import add, weights_file
    from modelzoo.registry import info, list_models
    from modelzoo.verification import Check, verify
    from modelzoo.zoo import load

_HOMES = {
    "bulk": ("Summary", "classify_files", "features_of_files"),
    "classification": ("Classifier", "Prediction", "classify", "decode_predictions"),
    "detection": ("Detection", "Detector", "detect"),
    "errors": (
        "ConversionError",
        "DownloadError",
        "LabelsError",
        "ModelZooError",
        "OutputError",
        "PictureError",
        "RegistryError",
        "UnknownModel",
        "WeightsMismatch",
        "WeightsUnavailable",
    ),
    "feature_extraction": ("FeatureExtractor", "features"),
    "preprocessing": ("preprocess",),
    "pretrained": ("add", "weights_file"),
    "registry": ("info", "list_models"),
    "verification": ("Check", "verify"),
    "zoo": ("load",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__version__ = "0.1.0"
__all__ = [
    "Check",
    "Classifier",
    "ConversionError",
    "Detection",
    "Detector",
    "DownloadError",
    "FeatureExtractor",
    "LabelsError",
    "ModelZooError",
    "OutputError",
    "PictureError",
    "Prediction",
    "RegistryError",
    "Summary",
    "UnknownModel",
    "WeightsMismatch",
    "WeightsUnavailable",
    "add",
    "classify",
    "classify_files",
    "decode_predictions",
    "detect",
    "features",
    "features_of_files",
    "info",
    "list_models",
    "load",
    "preprocess",
    "verify",
    "weights_file",
]


def __getattr__(name: str):
    if name not in _HOME_OF:
        raise AttributeError(f"module 'modelzoo' has no attribute {name!r}")
    return getattr(import_module(f"modelzoo.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
