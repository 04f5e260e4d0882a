"""The card of a model folder: README.md, with the YAML metadata that model hubs read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from modelzoo.registry import UNKNOWN, FolderEntry, Metric

SHOWN_LABELS = 20
METRICS = {"top1": "accuracy", "top5": "top-5 accuracy"}  # what hubs call them


def card(entry: FolderEntry) -> str:
    """The text of README.md."""
    return "\n".join(["---", *_metadata(entry), "---", "", *_text(entry)]) + "\n"


def _metadata(entry: FolderEntry) -> Iterator[str]:
    """Lines of YAML; a JSON value is one of YAML, too, whatever is in it."""
    yield "library_name: keras"
    yield "pipeline_tag: image-classification"
    yield f"license: {json.dumps((entry.licenses.weights or UNKNOWN).lower())}"
    yield 'tags: ["image-classification", "keras", "modelzoo"]'
    if entry.metrics:
        results = [
            {
                "task": {"type": "image-classification"},
                "dataset": {"name": metric.dataset, "type": metric.dataset},
                "metrics": [
                    {
                        "type": METRICS.get(metric.name, metric.name),
                        "value": metric.value,
                        "name": metric.name,
                    }
                ],
                "source": {"name": metric.measured_by},
            }
            for metric in entry.metrics
        ]
        yield f"model-index: {json.dumps([{'name': entry.name, 'results': results}])}"


def _text(entry: FolderEntry) -> Iterator[str]:
    side, graph = entry.graph.input_shape[0], entry.graph
    yield f"# {entry.name}"
    yield ""
    yield f"An image classifier: {graph.classes:,} classes, {entry.parameters:,} parameters, "
    yield f"images of {side} x {side} pixels."
    if entry.note:
        yield from ("", _line(entry.note))
    yield from ("", "```", "import modelzoo", 'modelzoo.Classifier("THIS FOLDER")("photo.jpg")', "```", "")
    yield "Or on the command line: `modelzoo classify photo.jpg -m THIS/FOLDER`."
    yield from ("", "| | |", "|---|---|")
    for name, value in _facts(entry):
        yield f"| {name} | {_line(value)} |"


def _facts(entry: FolderEntry) -> Iterator[tuple[str, str]]:
    if entry.base is not None:
        digest = f", weights of sha256 {entry.base.sha256}" if entry.base.sha256 else ""
        yield "made from", f"{entry.base.model}{digest}"
    shown = [label.name for label in entry.table[:SHOWN_LABELS]]
    more = len(entry.table) - len(shown)
    yield "labels", ", ".join(shown) + (f" and {more} more" if more else "") if shown else entry.labels
    for metric in entry.metrics:
        yield metric.name, _measured(metric)
    known: dict[str, Any] = entry.facts()["preprocessing"]
    yield "preprocessing", ", ".join(f"{name} {value}" for name, value in known.items() if value is not None)
    yield "output", entry.graph.activation or "logits"
    yield "license of the weights", entry.licenses.weights or UNKNOWN
    yield "license of the code", entry.licenses.code or UNKNOWN
    yield "weights.h5", f"{entry.file.bytes:,} bytes, sha256 {entry.file.sha256}"
    yield "saved", f"{entry.saved or UNKNOWN}, by modelzoo {entry.modelzoo}"


def _measured(metric: Metric) -> str:
    """A metric with all that is known of its measurement."""
    low, high = metric.interval or (metric.value, metric.value)
    interval = f" (95 % interval {low:.4g} to {high:.4g})" if metric.interval else ""
    digest = f", sha256 {metric.dataset_sha256}" if metric.dataset_sha256 else ""
    facts = (f"measured by {metric.measured_by}", metric.date, metric.machine, metric.note)
    return f"{metric.value:.6g}{interval}, {metric.dataset}{digest} ({'; '.join(filter(None, facts))})"


def _line(text: str) -> str:
    """A text as one cell of a table."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())
