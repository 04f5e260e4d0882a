"""modelzoo: old and new pretrained image networks as clean Keras 3 models.

    import modelzoo
    model = modelzoo.load("resnet50_v1d")
    modelzoo.classify("photo.jpg")
    modelzoo.list_models("resnet*")

The names below are imported when they are first used, so that importing and listing stay fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelzoo.lazy import attach

if TYPE_CHECKING:
    from modelzoo import labels as labels
    from modelzoo.architectures import FeatureInfo as FeatureInfo
    from modelzoo.architectures import feature_info as feature_info
    from modelzoo.architectures import map_sizes as map_sizes
    from modelzoo.architectures import minimum_size as minimum_size
    from modelzoo.backends.keras_preprocessing import preprocessing_layer as preprocessing_layer
    from modelzoo.bulk import Execution as Execution
    from modelzoo.bulk import Summary as Summary
    from modelzoo.bulk import classify_files as classify_files
    from modelzoo.bulk import embed_files as embed_files
    from modelzoo.errors import ConversionError as ConversionError
    from modelzoo.errors import DownloadError as DownloadError
    from modelzoo.errors import ExportError as ExportError
    from modelzoo.errors import ImageError as ImageError
    from modelzoo.errors import LabelsError as LabelsError
    from modelzoo.errors import ModelZooError as ModelZooError
    from modelzoo.errors import OutputError as OutputError
    from modelzoo.errors import RegistryError as RegistryError
    from modelzoo.errors import UnknownModel as UnknownModel
    from modelzoo.errors import UnsupportedKeras as UnsupportedKeras
    from modelzoo.errors import WeightsMismatch as WeightsMismatch
    from modelzoo.errors import WeightsUnavailable as WeightsUnavailable
    from modelzoo.evaluation import Evaluation as Evaluation
    from modelzoo.evaluation import evaluate as evaluate
    from modelzoo.images import preprocess as preprocess
    from modelzoo.registry import info as info
    from modelzoo.registry import list_models as list_models
    from modelzoo.runtimes import Deployment as Deployment
    from modelzoo.store import add as add
    from modelzoo.store import pack as pack
    from modelzoo.store import save as save
    from modelzoo.store import weights_file as weights_file
    from modelzoo.tasks import Classifier as Classifier
    from modelzoo.tasks import Detection as Detection
    from modelzoo.tasks import Detector as Detector
    from modelzoo.tasks import Embedder as Embedder
    from modelzoo.tasks import Prediction as Prediction
    from modelzoo.tasks import as_label_set as as_label_set
    from modelzoo.tasks import average_predictions as average_predictions
    from modelzoo.tasks import classify as classify
    from modelzoo.tasks import decode_predictions as decode_predictions
    from modelzoo.tasks import deepest as deepest
    from modelzoo.tasks import detect as detect
    from modelzoo.tasks import embed as embed
    from modelzoo.tasks import roll_up as roll_up
    from modelzoo.tasks.diffing import Difference as Difference
    from modelzoo.tasks.diffing import diff as diff
    from modelzoo.tasks.exporting import Exported as Exported
    from modelzoo.tasks.exporting import export as export
    from modelzoo.training import Finetuned as Finetuned
    from modelzoo.training import TrainingOptions as TrainingOptions
    from modelzoo.training import apply_delta as apply_delta
    from modelzoo.training import finetune as finetune
    from modelzoo.training import freeze as freeze
    from modelzoo.training import unfreeze as unfreeze
    from modelzoo.verification import Check as Check
    from modelzoo.verification import verify as verify
    from modelzoo.zoo import load as load

__version__ = "0.2.0"
__all__ = [
    "Check",
    "Classifier",
    "ConversionError",
    "Deployment",
    "Detection",
    "Detector",
    "Difference",
    "DownloadError",
    "Embedder",
    "Evaluation",
    "Execution",
    "ExportError",
    "Exported",
    "FeatureInfo",
    "Finetuned",
    "ImageError",
    "LabelsError",
    "ModelZooError",
    "OutputError",
    "Prediction",
    "RegistryError",
    "Summary",
    "TrainingOptions",
    "UnknownModel",
    "UnsupportedKeras",
    "WeightsMismatch",
    "WeightsUnavailable",
    "add",
    "apply_delta",
    "as_label_set",
    "average_predictions",
    "classify",
    "classify_files",
    "decode_predictions",
    "deepest",
    "detect",
    "diff",
    "embed",
    "embed_files",
    "evaluate",
    "export",
    "feature_info",
    "finetune",
    "freeze",
    "info",
    "labels",
    "list_models",
    "load",
    "map_sizes",
    "minimum_size",
    "pack",
    "preprocess",
    "preprocessing_layer",
    "roll_up",
    "save",
    "unfreeze",
    "verify",
    "weights_file",
]

__getattr__, __dir__ = attach(
    {
        "modelzoo.architectures": ("FeatureInfo", "feature_info", "map_sizes", "minimum_size"),
        "modelzoo.backends.keras_preprocessing": ("preprocessing_layer",),
        "modelzoo.bulk": ("Execution", "Summary", "classify_files", "embed_files"),
        "modelzoo.errors": (
            "ConversionError",
            "DownloadError",
            "ExportError",
            "ImageError",
            "LabelsError",
            "ModelZooError",
            "OutputError",
            "RegistryError",
            "UnknownModel",
            "UnsupportedKeras",
            "WeightsMismatch",
            "WeightsUnavailable",
        ),
        "modelzoo.evaluation": ("Evaluation", "evaluate"),
        "modelzoo.images": ("preprocess",),
        "modelzoo.labels": ("labels",),
        "modelzoo.registry": ("info", "list_models"),
        "modelzoo.runtimes": ("Deployment",),
        "modelzoo.store": ("add", "pack", "save", "weights_file"),
        "modelzoo.tasks": (
            "Classifier",
            "Detection",
            "Detector",
            "Embedder",
            "Prediction",
            "as_label_set",
            "average_predictions",
            "classify",
            "decode_predictions",
            "deepest",
            "detect",
            "embed",
            "roll_up",
        ),
        "modelzoo.tasks.diffing": ("Difference", "diff"),
        "modelzoo.tasks.exporting": ("Exported", "export"),  # by itself: most tasks need nothing of it
        "modelzoo.training": (
            "Finetuned",
            "TrainingOptions",
            "apply_delta",
            "finetune",
            "freeze",
            "unfreeze",
        ),
        "modelzoo.verification": ("Check", "verify"),
        "modelzoo.zoo": ("load",),
    }
)
