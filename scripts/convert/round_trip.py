"""Writes the upstream files of models with synthetic weights, converts them back, and loads the result.

    python -m scripts.convert.round_trip [MODEL ...]

It proves a converter without the original program: names and layouts are inverse to each other, each weight
is used exactly once, and the file's format is written and read. Whether the original calls its weights so,
only a real file or the original program can say.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import modelzoo
from modelzoo import conversion, registry, weights
from modelzoo.conversion import CONVERTERS
from modelzoo.formats import FORMATS
from modelzoo.registry import Entry, Source
from modelzoo.verification import comparison


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", help="registry names; default: all, in some minutes")
    for name in parser.parse_args(arguments).models or registry.list_models():
        entry = registry.info(name)
        for source in entry.sources:
            with tempfile.TemporaryDirectory() as folder:
                written = write_upstream(entry, source, Path(folder) / "upstream")
                converted = Path(folder) / "converted.h5"
                check_round_trip(entry, written, converted)
                modelzoo.load(entry.key, weights=converted)
            print(f"{entry.key}: {source.format} by converter {source.converter} came back", flush=True)


def write_upstream(entry: Entry, source: Source, path: Path) -> Path:
    """The file of the source with the entry's synthetic weights, at or below `path`; returns `path`."""
    converter, variant = CONVERTERS[source.converter], entry.graph.variant
    upstream = converter.upstream_arrays(variant, comparison.synthetic_weights(entry))
    plan = () if converter.plan is None else (converter.plan(variant),)
    FORMATS[source.format].write(path, upstream, *plan)
    return path


def check_round_trip(entry: Entry, checkpoint: Path, target: Path) -> None:
    """Converts the checkpoint to `target`, which must hold the very arrays that were poured in."""
    conversion.convert(entry, checkpoint, target)
    poured = comparison.synthetic_weights(entry)
    for path, array in weights.read(target):
        if not np.array_equal(array, poured[path]):
            raise SystemExit(f"{entry.key}: {path} came back from {checkpoint.name} with other values.")


if __name__ == "__main__":
    main()
