"""What models answer: labels, embeddings, boxes; each is a head on one pipeline."""

from modelzoo.runtimes.deployment import DEFAULT_MODEL, Deployment
from modelzoo.tasks.classification import Classifier, LabelsHead, Prediction, classify, decode_predictions
from modelzoo.tasks.detection import BoxesHead, Detection, Detector, detect
from modelzoo.tasks.drawing import draw_boxes
from modelzoo.tasks.embeddings import Embedder, EmbeddingsHead, embed
from modelzoo.tasks.label_algebra import as_label_set, average_predictions, deepest, roll_up
from modelzoo.tasks.pipeline import BATCH_SIZE, Head, Pipeline, Unreadable, network_options

__all__ = [
    "BATCH_SIZE",
    "DEFAULT_MODEL",
    "BoxesHead",
    "Classifier",
    "Deployment",
    "Detection",
    "Detector",
    "Embedder",
    "EmbeddingsHead",
    "Head",
    "LabelsHead",
    "Pipeline",
    "Prediction",
    "Unreadable",
    "as_label_set",
    "average_predictions",
    "classify",
    "decode_predictions",
    "deepest",
    "detect",
    "draw_boxes",
    "embed",
    "network_options",
    "roll_up",
]
