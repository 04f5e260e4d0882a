"""Prints a skeleton entry, with null for what is unknown, and says where it goes and what comes next.

    python -m scripts.registry.new resnet10_v1b.mine --like resnet18_v1b --variant 10_v1b

The entry goes to the standard output, the advice to the standard error, so the first can be sent to its file.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from modelzoo import labels, registry
from modelzoo.registry.parsing import KEY
from scripts.registry.build import ENTRIES, ROOT
from scripts.registry.preprocessing import PREPROCESSING
from scripts.registry.records import COUNTED, Json

NEXT = """\
Save it as {path},
replace every null that you know and leave the others: never invent an address, a checksum, a figure or a
license. A model without a file to convert has no sources: []. Then

    python -m scripts.registry.build             counts the parameters and writes modelzoo/registry.json
    python -m scripts.snapshot_layer_names       records the names of its layers, which are public
    python -m scripts.convert.round_trip {key}   writes its upstream's file and converts it back
    python -m scripts.docs                       updates the tables

CONTRIBUTING.md says the rest."""


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    if not KEY.fullmatch(options.name):
        raise SystemExit(f"expected NAME.TAG in lower case, like resnet10_v1b.mine, got {options.name!r}.")
    print(json.dumps(skeleton(options), indent=1))
    path = (ENTRIES / f"{options.name}.json").relative_to(ROOT)
    print(NEXT.format(path=path, key=options.name), file=sys.stderr)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="NAME.TAG; the tag says who trained it")
    parser.add_argument("--like", help="an entry with the same images, labels and kind of file")
    parser.add_argument("--family", help="a file of modelzoo/architectures")
    parser.add_argument("--variant", help="one of the family's VARIANTS")
    parser.add_argument("--size", type=int, help="of the input, in pixels")
    parser.add_argument("--labels", choices=labels.NAMES)
    parser.add_argument("--preprocessing", choices=PREPROCESSING)
    parser.add_argument("--converter", help="a key of modelzoo.conversion.CONVERTERS")
    parser.add_argument("--format", help="a key of modelzoo.formats.FORMATS")
    return parser.parse_args(arguments)


def skeleton(options: argparse.Namespace) -> Json:
    """An entry of the options, then of what the entry `like` has, then of nulls."""
    like = registry.info(options.like) if options.like else None
    source = like.sources[0] if like and like.sources else None
    size = options.size or (like and like.graph.input_shape[0])
    table = options.labels or (like and like.labels)
    task = {} if like is None or like.task == "classification" else {"task": like.task}
    return {
        **task,
        "graph": {
            "family": options.family or (like and like.graph.family),
            "variant": options.variant or (like and like.graph.variant),
            "input_shape": [size, size, 3],
            "classes": len(labels.read(table)) if table else None,
            "activation": like.graph.activation if like else "softmax",
        },
        "preprocessing": options.preprocessing or (like and name_of(like)),
        "labels": table,
        "sources": [
            {
                "converter": options.converter or (source and source.converter),
                "format": options.format or (source and source.format),
                "urls": [],
                "checksums": [],
                "bytes": None,
                "member": None,
                "packages": [],
            }
        ],
        "parameters": COUNTED,
        "metrics": [],
        "licenses": {"code": None, "weights": None, "data": None},
        "paper": None,
        "note": None,
    }


def name_of(entry: registry.Entry) -> str:
    """The name of the entry's preprocessing; parsing replaced it by the values."""
    size = entry.graph.input_shape[0]
    return next(
        name
        for name in PREPROCESSING
        if registry.packaged().named_preprocessing(name, size) == entry.preprocessing
    )


if __name__ == "__main__":
    main()
