"""Converts models into a folder that any static host can serve: what MODELZOO_MIRROR points at.

    python -m scripts.convert.publish resnet50_v1d resnet101_mlimages --from downloads -o mirror
    python -m scripts.convert.publish resnet101_mlimages --synthetic -o mirror
    python -m scripts.convert.publish mobilenet_0.25_224 --wheels --f16 -o wheels
    python -m scripts.convert.publish ./clothes --wheels -o wheels

The upstreams' files are taken from the folder --from, under their own names, or downloaded as load() does.
Each model gives MODEL-DIGITS.h5, the digits from its sha256, and MODEL-notop-DIGITS.h5 if much of it is head;
beside each lies its provenance as JSON. index.json lists them, and keeps what was published there before.
Running it again gives the same bytes.

With --wheels each model gives wheels for a package index instead, several if one would have 100 MB, and
weights.json says what `weights` of a registry's entries name them by. --f16 stores kernels in half the bytes
and prints what that changes. A model folder gives a wheel of it as it is, and the name by which modelzoo
takes it from any index: pkg:pypi/NAME@VERSION#sha256=DIGEST.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from modelzoo import conversion, registry, store, weights
from modelzoo.architectures import synthetic, top_weights
from modelzoo.files import atomic_write
from modelzoo.registry import Entry, FolderEntry
from modelzoo.registry.parsing import VERSION
from modelzoo.store import mirror, weights_file
from scripts.convert import wheels

SYNTHETIC = "it has synthetic weights: predictions are meaningless"
WHEELS_INDEX = "weights.json"
HEAD_SHARE = 0.25  # of the parameters; from here on a file without the head is worth its place


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", help="registry names, or with --wheels model folders")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the mirror's folder")
    parser.add_argument("--from", dest="folder", type=Path, help="the folder with the upstreams' files")
    parser.add_argument("--synthetic", action="store_true", help="the tests' weights instead, marked as such")
    parser.add_argument("--wheels", action="store_true", help="wheels for a package index, not a mirror")
    parser.add_argument("--f16", action="store_true", help="wheels with kernels in float16")
    parser.add_argument("--version", type=version, default="1.0", help="of the wheels; default: 1.0")
    arguments = parser.parse_args(arguments)
    if arguments.f16 and not arguments.wheels:
        parser.error("--f16 is for --wheels")
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name in arguments.models:
        entry = registry.info(name)
        if isinstance(entry, FolderEntry):
            publish_folder(entry, arguments)
            continue
        with tempfile.TemporaryDirectory(prefix=".publish-", dir=arguments.output) as folder:
            whole = Path(folder) / "whole.h5"
            write_whole(entry, whole, arguments)
            add = publish_wheels if arguments.wheels else publish_to_mirror
            for line in add(entry, whole, arguments):
                print(line, flush=True)


def version(text: str) -> str:
    if not VERSION.fullmatch(text):
        raise argparse.ArgumentTypeError(f"expected a version like 1.0, got {text!r}")
    return text


def publish_folder(entry: FolderEntry, arguments: argparse.Namespace) -> None:
    """Adds the wheel of a model folder, and prints by which name modelzoo takes it."""
    if not arguments.wheels or arguments.f16 or arguments.synthetic or arguments.folder:
        raise SystemExit(
            f"{entry.folder} is a model folder: expected --wheels alone; see `modelzoo bundle`, too."
        )
    store.check_folder(entry)
    print(wheels.write_folder(entry, arguments.output, arguments.version, wheels.distribution(entry.owner)))


def write_whole(entry: Entry, whole: Path, arguments: argparse.Namespace) -> None:
    """The weight file that is published."""
    if arguments.synthetic:
        write_synthetic(entry, whole)
    elif arguments.folder:
        conversion.convert(entry, upstream_file(entry, arguments.folder), whole, official=True)
    else:
        shutil.copyfile(weights_file(entry.key), whole)


def publish_to_mirror(entry: Entry, whole: Path, arguments: argparse.Namespace) -> Iterator[str]:
    """Adds the file to the mirror; yields what to print."""
    index = arguments.output / mirror.INDEX
    models = json.loads(index.read_text("utf-8"))["models"] if index.exists() else {}
    models[entry.key] = publish(whole, arguments.output)
    with atomic_write(index) as temporary:
        temporary.write_text(mirror.index_text(models), "utf-8")
    yield str(arguments.output / models[entry.key]["file"])


def publish_wheels(entry: Entry, whole: Path, arguments: argparse.Namespace) -> Iterator[str]:
    """Adds the file's wheels to the folder; yields what to print."""
    if entry.licenses.weights is None:
        yield f"{entry.key}: its authors state no license of the weights; make sure that you may publish them"
    if arguments.f16:
        half = whole.with_name("half.h5")
        error = wheels.write_half(whole, entry, half)
        before, after = whole.stat().st_size, half.stat().st_size
        yield f"{entry.key}: in float16 {after:,} bytes instead of {before:,}"
        yield f"{entry.key}: relative L2 error of the logits {error:.1e}"
        whole = half
    name = wheels.distribution(entry.key, half=arguments.f16)
    stated = wheels.write(whole, entry, arguments.output, arguments.version, name)
    index = arguments.output / WHEELS_INDEX
    models = json.loads(index.read_text("utf-8")) if index.exists() else {}
    models[entry.key] = [stated]
    with atomic_write(index) as temporary:
        temporary.write_text(json.dumps(dict(sorted(models.items())), indent=2) + "\n", "utf-8")
    for package in stated["packages"]:
        yield f"{package['distribution']} {package['version']}: {package['bytes']:,} bytes"


def write_synthetic(entry: Entry, target: Path) -> None:
    shapes = conversion.weight_shapes(entry)
    array = synthetic.values_of(entry.graph)
    stated = {"model": entry.key, "converter": "synthetic", weights.WARNING: SYNTHETIC}
    provenance = stated | counts(shapes)
    weights.write(target, ((path, array(path, shape)) for path, shape in shapes.items()), provenance)


def upstream_file(entry: Entry, folder: Path) -> Path:
    urls = [url.partition("?")[0] for source in entry.sources for url in source.urls]
    members = [package.member for source in entry.sources for package in source.packages]
    names = [place.rpartition("/")[2] for place in (*urls, *members)]
    found = [folder / name for name in names if (folder / name).is_file()]
    if not found:
        raise SystemExit(f"{folder} has no file of {entry.key}; expected {' or '.join(names)}.")
    return found[0]


def publish(whole: Path, folder: Path) -> dict[str, Any]:
    """Moves the file to its place, with its provenance, and one without top if that is worth it."""
    provenance = weights.provenance(whole)
    shapes = {path: array.shape for path, array in weights.read(whole)}
    top, _ = top_weights(registry.info(provenance["model"]).graph, shapes)
    rest = {path: shape for path, shape in shapes.items() if path not in top}
    notop = None
    if counts(rest)["parameters"] <= (1 - HEAD_SHARE) * counts(shapes)["parameters"]:
        notop = whole.with_name("notop.h5")
        kept = ((path, array) for path, array in weights.read(whole) if path in rest)
        weights.write(notop, kept, provenance | {"top": False, **counts(rest)})
    stated = mirror.entry(whole, provenance, notop)
    for path, name in ((whole, stated["file"]), (notop, stated.get("notop", {}).get("file"))):
        if path is not None:
            with atomic_write((folder / name).with_suffix(".json")) as temporary:
                temporary.write_text(
                    json.dumps(weights.provenance(path), indent=2, sort_keys=True) + "\n", "utf-8"
                )
            os.replace(path, folder / name)
    return stated


def counts(shapes: dict[str, tuple[int, ...]]) -> dict[str, int]:
    return {"tensors": len(shapes), "parameters": sum(map(math.prod, shapes.values()))}


if __name__ == "__main__":
    main()
