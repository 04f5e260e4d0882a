"""Builds modelzoo/labels/*.tsv from WordNet 3.0's nouns and the lists of class ids.

    python -m scripts.labels.build [--wordnet data.noun]

A class is a WordNet 3.0 synset, and its name is that synset's lemmas. The upstream projects' own dictionaries
are not used: Tencent's for ImageNet splits names at every space ("great" for the great white shark).
The same inputs give the same bytes.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FACTS = ROOT / "scripts" / "registry" / "facts"
NOUNS = Path("/usr/share/wordnet/data.noun")  # where Debian's package wordnet-base puts it
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# pjreddie/darknet, data/coco.names: the 80 classes of COCO's detection task, with Darknet's spelling
COCO = """
    person, bicycle, car, motorbike, aeroplane, bus, train, truck, boat, traffic light, fire hydrant,
    stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe,
    backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite,
    baseball bat, baseball glove, skateboard, surfboard, tennis racket, bottle, wine glass, cup, fork,
    knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake,
    chair, sofa, pottedplant, bed, diningtable, toilet, tvmonitor, laptop, mouse, remote, keyboard,
    cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear,
    hair drier, toothbrush
"""

MARKER = re.compile(r"\([a-z]+\)$")  # "(a)", "(p)", "(ip)": where an adjective may stand


class BadInput(Exception):
    """An input is missing or is not what it should be; the message is one sentence and names the file."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Builds modelzoo/labels/*.tsv.")
    parser.add_argument("--wordnet", type=Path, default=NOUNS, help="WordNet 3.0's data.noun (%(default)s)")
    parser.add_argument("--facts", type=Path, default=FACTS, help="the folder of class ids (%(default)s)")
    parser.add_argument("--output", type=Path, default=ROOT / "modelzoo" / "labels", help="(%(default)s)")
    options = parser.parse_args(arguments)
    try:
        tables = build(options.wordnet, options.facts)
    except BadInput as error:
        sys.exit(f"scripts.labels.build: {error}")
    for name, text in tables.items():
        (options.output / name).write_bytes(text.encode())


def build(wordnet: Path, facts: Path) -> dict[str, str]:
    """The text of every table, by file name."""
    names = read_names(wordnet)
    imagenet = read_imagenet(facts / "imagenet1k_wnids.txt")
    mlimages = read_mlimages(facts / "mlimages_classes.tsv")
    for wnid in (*imagenet, *(wnid for wnid, _ in mlimages)):
        if wnid not in names:
            raise BadInput(f"{wordnet} has no synset {wnid}, so it is not WordNet 3.0's data.noun.")
    return {
        "imagenet.tsv": table(("id", "name"), ((wnid, names[wnid]) for wnid in imagenet)),
        "mlimages.tsv": table(("id", "name", "parent"), ((w, names[w], parent) for w, parent in mlimages)),
        "cifar10.tsv": table(("id", "name"), ((word, word) for word in CIFAR10)),
        "coco.tsv": table(("id", "name"), ((name, name) for name in " ".join(COCO.split()).split(", "))),
    }


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "".join("\t".join(row) + "\n" for row in (header, *rows))


def read_names(path: Path) -> dict[str, str]:
    """The lemmas of every noun synset, by WordNet id: "n" and the byte offset that starts its line."""
    names = {}
    for line in read_lines(path, "WordNet 3.0's nouns; Debian has them in the package wordnet-base"):
        if line.startswith("  "):  # the license, at the top
            continue
        # offset, file number, "n", number of lemmas in hexadecimal, then each lemma and its sense number
        offset, _, _, count, *rest = line.split(" ")
        lemmas = rest[: 2 * int(count, 16) : 2]
        names[f"n{offset}"] = ", ".join(MARKER.sub("", lemma).replace("_", " ") for lemma in lemmas)
    return names


def read_imagenet(path: Path) -> list[str]:
    return read_lines(path, "the ImageNet ids in class order, one a line")


def read_mlimages(path: Path) -> list[tuple[str, str]]:
    """The id and the parent's index of every class, in class order."""
    _, *lines = read_lines(path, "the ML-Images classes: index, id, parent's index")
    rows = [line.split("\t") for line in lines]
    for expected, (index, *_) in enumerate(rows):
        if index != str(expected):  # a parent is named by its row, so the order is part of the data
            raise BadInput(f"{path}: expected class {expected}, got {index}; a row is missing or misplaced.")
    return [(wnid, parent) for _, wnid, parent in rows]


def read_lines(path: Path, content: str) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise BadInput(f"cannot read {path} ({content}): {error.strerror}.") from error


if __name__ == "__main__":
    main()
