"""How good a model is on labeled images: one folder a class -> accuracy, confusions, calibration."""

from modelzoo.evaluation.figures import Bin, ClassFigures, Confusion, Failure, Mistake, Proportion
from modelzoo.evaluation.run import Dataset, Evaluation, evaluate

__all__ = [
    "Bin",
    "ClassFigures",
    "Confusion",
    "Dataset",
    "Evaluation",
    "Failure",
    "Mistake",
    "Proportion",
    "evaluate",
]
