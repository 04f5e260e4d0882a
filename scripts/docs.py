"""Writes what the documentation says of the models: README's table, docs/models.md and docs/accuracy.svg.

    python -m scripts.docs            # the plot needs matplotlib: pip install -e '.[docs]'

All of it comes from the registry; tests check that it was run.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections import Counter
from pathlib import Path

import modelzoo
from modelzoo.registry import UNKNOWN, Entry, Source

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGE = ROOT / "docs" / "models.md"
PLOT = ROOT / "docs" / "accuracy.svg"
START, END = "<!-- models: scripts/docs.py writes this -->", "<!-- end of models -->"
AUTHORS = {
    "darknet": "Darknet",
    "gluon": "GluonCV",
    "keras": "keras.applications",
    "modelzoo": "this package",
    "slim": "TF-slim",
    "tencent": "Tencent ML-Images",
    "torchvision": "torchvision",
    "tpu": "TensorFlow's TPU models",
}
COLORS = {"gluon": "#2a78b8", "keras": "#d1495b", "slim": "#3b8f5a", "tencent": "#8a5fb5"}
OTHER_COLOR = "#777777"
SERIES = re.compile(r"[a-z]+(_resnet)?(_v\d)?")  # of a name: what it has before depth, width and size
APART = 0.9  # percent of accuracy between two points of the plot that are labeled
TICKS = (40, 50, 60, 65, 70, 75, 80, 82, 84, 86, 88)
IMAGENET = ("imagenet", "imagenet_background")


def main() -> None:
    README.write_text(updated(README.read_text("utf-8")), "utf-8")
    PAGE.write_text(page(), "utf-8")
    if importlib.util.find_spec("matplotlib") is None:
        print(f"{PLOT} was not drawn: it needs matplotlib, pip install -e '.[docs]'", file=sys.stderr)
    else:
        plot(PLOT)


def entries() -> list[Entry]:
    return [modelzoo.info(key) for key in modelzoo.list_models()]


def updated(readme: str) -> str:
    """The README's text with the table of today's registry."""
    before, _, rest = readme.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{summary()}\n{END}{after}"


def summary() -> str:
    """A row for each author."""
    found = entries()
    rows = [
        f"{len(found)} models:\n",
        "| author | tag | models | parameters | published top-1 | networks |",
        "|---|---|--:|--:|--:|---|",
    ]
    for tag in sorted({entry.tag for entry in found}, key=lambda tag: author(tag).lower()):
        members = [entry for entry in found if entry.tag == tag]
        series = Counter(SERIES.match(entry.name)[0] for entry in members)
        rows.append(
            f"| {author(tag)} | `{tag}` | {len(members)} | {millions(members)} | {accuracies(members)} | "
            f"{', '.join(f'{name} ({count})' for name, count in sorted(series.items()))} |"
        )
    return "\n".join(rows)


def author(tag: str) -> str:
    """Who trained the models of a tag; a tag without a name of its own goes by itself."""
    return AUTHORS.get(tag, tag)


def millions(members: list[Entry]) -> str:
    numbers = sorted({round(entry.parameters / 1e6, 1) for entry in members})
    return " to ".join(f"{number:g}" for number in dict.fromkeys((numbers[0], numbers[-1]))) + " M"


def accuracies(members: list[Entry]) -> str:
    known = sorted(value for entry in members if (value := entry.metric("top1")) is not None)
    if not known:
        return UNKNOWN
    return " to ".join(f"{value:.1f}" for value in dict.fromkeys((known[0], known[-1]))) + " %"


def page() -> str:
    """docs/models.md: the plot and every model."""
    rows = [
        "| model | parameters | input | labels | top-1 | top-5 | weights' license | published weights |",
        "|---|--:|--:|---|--:|--:|---|---|",
        *map(row, entries()),
    ]
    return "\n".join(
        [
            "# Models",
            "",
            "Written by `scripts/docs.py` from the registry. `modelzoo info NAME` shows where each figure,",
            "file and license comes from; `modelzoo list --sort top1 --max-parameters 10M` searches.",
            "",
            "Accuracy is what the author states, on ImageNet's validation images and at the model's own",
            "input size (of `resnet9_cifar10` our own measurement on CIFAR-10's test images).",
            "",
            "![published top-1 accuracy against parameters](accuracy.svg)",
            "",
            *rows,
            "",
        ]
    )


def row(entry: Entry) -> str:
    height, width, _ = entry.graph.input_shape
    return (
        f"| `{entry.key}` | {entry.parameters / 1e6:.1f} M | {height}x{width} | {entry.labels} "
        f"({entry.graph.classes:,}) | {percent(entry.metric('top1'))} | {percent(entry.metric('top5'))} | "
        f"{entry.licenses.weights or UNKNOWN} | {weights(entry)} |"
    )


def percent(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.2f} %"


def weights(entry: Entry) -> str:
    if entry.tag == "modelzoo":
        return "in the package"
    return "; ".join(map(published, entry.sources)) or "none: the graph only"


def published(source: Source) -> str:
    checksums = {checksum.algorithm for checksum in source.checksums}
    packages = "".join(f", package {package.distribution}" for package in source.packages)
    if source.packages and not source.urls:
        return f"{source.format}{packages}, with sha256"
    return (
        f"{source.format}, {'with ' + ', '.join(sorted(checksums)) if checksums else 'no checksum'}{packages}"
    )


def plotted() -> list[Entry]:
    """Those of which an accuracy on ImageNet is published."""
    return [e for e in entries() if e.labels in IMAGENET and e.metric("top1") is not None]


def plot(path: Path) -> None:
    """Published top-1 accuracy against parameters; each point's group is named after its model."""
    import matplotlib as mpl
    import numpy as np

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "modelzoo", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FuncFormatter

    figure, axes = plt.subplots(figsize=(10, 6.5), layout="constrained")
    points = sorted(plotted(), key=lambda entry: (entry.parameters, -entry.metric("top1")))
    labeled = 0.0
    for entry in points:
        top1 = entry.metric("top1")
        at = (entry.parameters / 1e6, top1)
        axes.plot(*at, "o", color=COLORS.get(entry.tag, OTHER_COLOR), alpha=0.7, markersize=5, gid=entry.key)
        if top1 > labeled + APART:  # and nothing smaller is as good
            labeled = top1
            axes.annotate(entry.name, at, xytext=(-4, 4), textcoords="offset points", ha="right", fontsize=7)
    for tag in sorted({entry.tag for entry in points}):
        axes.plot([], [], "o", color=COLORS.get(tag, OTHER_COLOR), label=author(tag))
    axes.set_xscale("log")
    # By the share of errors: from 80 to 90 % is as far as from 60 to 80 %.
    axes.set_yscale("function", functions=(lambda y: -np.log(100 - y), lambda y: 100 - np.exp(-y)))
    axes.set_yticks(TICKS)
    axes.margins(x=0.1)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} M"))
    axes.set(xlabel="parameters", ylabel="published top-1 accuracy on ImageNet, %")
    axes.grid(alpha=0.25, which="both", linewidth=0.5)
    axes.legend(loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
