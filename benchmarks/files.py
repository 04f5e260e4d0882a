"""Weight files with synthetic weights, in our format and in the upstreams'.

python -m benchmarks.files MODEL SOURCE FOLDER     # writes the upstream's file, and prints its name
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

from modelzoo import conversion, registry, weights
from modelzoo.architectures import synthetic
from modelzoo.formats import FORMATS
from modelzoo.registry import Entry, Source
from modelzoo.verification.comparison import synthetic_weights

NAMES = {  # of the files, or of their prefix
    "keras_h5": "model.h5",
    "tensorflow": "model.ckpt",
    "mxnet": "model.params",
    "safetensors": "model.safetensors",
    "darknet": "model.weights",
}


def ours(entry: Entry, path: Path) -> Path:
    array, shapes = synthetic.values_of(entry.graph), conversion.weight_shapes(entry)
    arrays = ((name, array(name, shape)) for name, shape in shapes.items())
    weights.write(path, arrays, {"model": entry.key})
    return path


def upstream(entry: Entry, source: Source, folder: Path) -> Path:
    """A file of the source's format, packed as the upstream's, with synthetic weights."""
    converter, format = conversion.converter_of(source), FORMATS[source.format]
    arrays = converter.upstream_arrays(entry.graph.variant, synthetic_weights(entry))
    plan = [converter.plan(entry.graph.variant)] if converter.plan is not None else []
    written = format.write(folder / NAMES[source.format], arrays, *plan)
    if len(written) == 1 and not source.member:
        return written[0]
    if source.urls[0].endswith((".tar.gz", ".tgz")):
        with tarfile.open(folder / "model.tar.gz", "w:gz", compresslevel=1) as archive:
            for path in written:
                archive.add(path, path.name)
        return folder / "model.tar.gz"
    with zipfile.ZipFile(folder / "model.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in written:
            archive.write(path, source.member or path.name)
    return folder / "model.zip"


if __name__ == "__main__":
    named = registry.info(sys.argv[1])
    print(upstream(named, named.sources[int(sys.argv[2])], Path(sys.argv[3])).name)
