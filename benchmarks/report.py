"""Writes docs/benchmarks.md and its plot from the figures that the benchmarks left in docs/benchmarks/.

python -m benchmarks.report     # needs matplotlib: pip install -e '.[benchmarks]'
"""

from __future__ import annotations

import json
from statistics import median
from typing import Any

from benchmarks import bulk, cold, convert, export, finetune, inference, measuring, precision

FOLDER = measuring.ROOT / "docs" / "benchmarks"
PAGE = measuring.ROOT / "docs" / "benchmarks.md"
PLOT = FOLDER / "inference.svg"
OURS, OTHERS = "#2a78b8", "#9aa3ab"
SECTIONS = (
    ("From a cold start to the top five", "cold", cold),
    ("Images per second", "inference", inference),
    ("What bf16 and f16 change", "precision", precision),
    ("Folders of images", "bulk", bulk),
    ("From the upstream's file to ours", "convert", convert),
    ("From ours to ONNX", "export", export),
    ("Fine-tuning", "finetune", finetune),
)
INTRODUCTION = """# Benchmarks

Written by `python -m benchmarks.report` from the figures in [benchmarks/](benchmarks), which the commands
below wrote with `--json`. All programs of a table took turns in one run on one machine; a figure is the
median of its rounds, with the range. Ratios hold from one machine to another far better than seconds do.

Convolutions skip the zeros of their padding, so that a network can exceed the share of a matrix product. A
processor multiplies in bf16 at most twice as often as in f32, which bounds what bf16 can gain where f32 is at
its peak already. torch and timm ran in an environment of their own (torch 2.13, timm 1.0, CPU).

On a GPU nothing was measured. int8 is not offered: it needs images to calibrate with, and changes answers.
"""


def main() -> None:
    PAGE.write_text(page(), "utf-8")
    plot(read("inference"))


def read(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))


def page() -> str:
    parts = [INTRODUCTION]
    for title, name, module in SECTIONS:
        figures = read(name)
        parts += [
            f"## {title}\n",
            f"`python -m benchmarks.{name}`: {module.__doc__.partition('.')[0].strip()}.\n",
            measuring.described(figures["machine"]) + "\n",
            module.text(figures) + "\n",
        ]
        if name == "inference":
            parts.append(f"![images per second](benchmarks/{PLOT.name})\n")
    return "\n".join(parts)


def plot(figures: dict[str, Any]) -> None:
    """Images/s of each program: a panel for each network, a bar for each size of batch."""
    import matplotlib as mpl
    import numpy as np

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "modelzoo", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot as plt

    networks = figures["networks"]
    last = str(inference.BATCHES[-1])
    found = networks[0]["images_per_second"]
    names = sorted(found, key=lambda name: median(found[name][last]))
    panels, every = plt.subplots(1, len(networks), figsize=(10, 4.2), layout="constrained", sharey=True)
    for axes, network in zip(np.ravel(every), networks, strict=True):
        for offset, batch in ((0.2, inference.BATCHES[0]), (-0.2, inference.BATCHES[-1])):
            rates = [median(network["images_per_second"][name][str(batch)]) for name in names]
            colors = [OURS if "modelzoo" in name else OTHERS for name in names]
            places = [place + offset for place in range(len(names))]
            bars = axes.barh(places, rates, 0.36, color=colors, alpha=0.6 if batch == 1 else 1)
            axes.bar_label(bars, fmt=f"%.1f  (batch {batch})", padding=3, fontsize=7)
        axes.set_yticks(range(len(names)), names)
        axes.set_title(network["model"], loc="left")
        axes.set_xlabel("images per second")
        axes.margins(x=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    where = f"{figures['machine']['processor']}, {figures['machine']['cores']} cores"
    panels.suptitle(f"{where}; float32 but where bf16 is said")
    panels.savefig(PLOT, metadata={"Date": None})


if __name__ == "__main__":
    main()
