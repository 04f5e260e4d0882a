"""Writes docs/benchmarks.md and its plot from the figures that the benchmarks left in docs/benchmarks/.

python -m benchmarks.report     # needs matplotlib: pip install -e '.[benchmarks]'
"""

from __future__ import annotations

import json
from statistics import median
from typing import Any

from benchmarks import bulk, cold, convert, inference, measuring, precision

FOLDER = measuring.ROOT / "docs" / "benchmarks"
PAGE = measuring.ROOT / "docs" / "benchmarks.md"
PLOT = FOLDER / "inference.svg"
OURS, OTHERS = "#2a78b8", "#9aa3ab"
SECTIONS = (
    ("From a cold start to the top five", "cold", cold),
    ("Pictures per second", "inference", inference),
    ("What bf16 and f16 change", "precision", precision),
    ("Folders of pictures", "bulk", bulk),
    ("From the upstream's file to ours", "convert", convert),
)
INTRODUCTION = """# Benchmarks

Written by `python -m benchmarks.report` from the figures in [benchmarks/](benchmarks), which the commands
below wrote with `--json`. All programs of a table took turns in one run on one machine; a figure is the
median of its rounds, with the range. Ratios hold from one machine to another far better than seconds do.

On a GPU nothing was measured. int8 is not offered: it needs pictures to calibrate with, and changes answers.
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
            parts.append(f"![pictures per second](benchmarks/{PLOT.name})\n")
    return "\n".join(parts)


def plot(figures: dict[str, Any]) -> None:
    """Pictures/s of each program: a bar for each size of batch."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "modelzoo", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot as plt

    found = figures["pictures_per_second"]
    batches = [str(batch) for batch in inference.BATCHES]
    names = sorted(found, key=lambda name: median(found[name][batches[-1]]))
    panels, every = plt.subplots(1, len(batches), figsize=(10, 3.6), layout="constrained", sharey=True)
    for axes, batch in zip(every, batches, strict=True):
        rates = [median(found[name][batch]) for name in names]
        bars = axes.barh(names, rates, color=[OURS if "modelzoo" in name else OTHERS for name in names])
        axes.bar_label(bars, fmt="%.1f", padding=3)
        axes.set_title(f"batch {batch}", loc="left")
        axes.set_xlabel("pictures per second")
        axes.margins(x=0.12)
        axes.spines[["top", "right"]].set_visible(False)
    where = f"{figures['machine']['processor']}, {figures['machine']['cores']} cores"
    panels.suptitle(f"{figures['model']} on {where}; float32 but where bf16 is said")
    panels.savefig(PLOT, metadata={"Date": None})


if __name__ == "__main__":
    main()
