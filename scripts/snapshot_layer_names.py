"""Writes tests/goldens/layer_names/: the names of the layers with weights, of every network in the registry.

Names are public API: users slice by them and weight files are read by them. A test compares.
"""

from __future__ import annotations

from pathlib import Path

import modelzoo
from modelzoo import conversion

FOLDER = Path(__file__).parents[1] / "tests" / "goldens" / "layer_names"


def main() -> None:
    graphs = {(e.graph.family, e.graph.variant): e for e in map(modelzoo.info, modelzoo.list_models())}
    for (family, variant), entry in graphs.items():
        paths = conversion.weight_shapes(entry)
        layers = dict.fromkeys(path.partition("/")[0] for path in paths)
        (FOLDER / f"{family}.{variant}.txt").write_text("\n".join(layers) + "\n")


if __name__ == "__main__":
    main()
