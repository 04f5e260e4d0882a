"""Writes tests/goldens/layer_names/: the names of the layers with weights, of every network in the registry.

    python -m scripts.snapshot_layer_names [MODEL ...]

Names are public API: users slice by them and weight files are read by them. A test compares.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from modelzoo import conversion, registry

FOLDER = Path(__file__).parents[1] / "tests" / "goldens" / "layer_names"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", help="registry names; default: all, in a minute")
    names = parser.parse_args(arguments).models or registry.list_models()
    graphs = {(e.graph.family, e.graph.variant): e for e in map(registry.info, names)}
    for (family, variant), entry in graphs.items():
        layers = dict.fromkeys(path.partition("/")[0] for path in conversion.weight_shapes(entry))
        (FOLDER / f"{family}.{variant}.txt").write_text("\n".join(layers) + "\n", "utf-8")


if __name__ == "__main__":
    main()
