"""Graph and arrays -> a Python program of plain Keras layer calls, and the weight file that it reads.

The program imports keras and h5py, and nothing of modelzoo's. Without its weights, layers begin with what
Keras begins with by default.
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import h5py

from modelzoo import weights
from modelzoo.exporters.metadata import Metadata
from modelzoo.exporters.options import Arrays, Options, Texts
from modelzoo.exporters.python_program import WIDTH, program
from modelzoo.graph import Graph

WEIGHTS = ".h5"  # the ending of the file beside the program
TEXTS = "modelzoo_metadata"  # the group of that file that holds them
LARGEST = 1 << 24  # bytes of a text
HEAD = """\
{documentation}

from pathlib import Path

import h5py
import keras
from keras import layers


"""
FOOT = '''

def load(path=Path(__file__).with_suffix(".h5")):
    """The network with the weights of a file, `layer/weight`, which must hold each in its shape."""
    model = build()
    with h5py.File(path) as file:
        for layer in model.layers:
            for weight in layer.weights:
                weight.assign(file[f"{layer.name}/{weight.name}"][...])
    return model


if __name__ == "__main__":
    load().summary()
'''


def write(path: Path, graph: Graph, arrays: Arrays, texts: Texts, options: Options) -> None:
    """Writes both files. Raises ValueError, with the node's name, for what Keras cannot do."""
    head = HEAD.format(documentation=_documentation(path, graph, Metadata.of(texts)))
    path.write_text(head + "\n".join(program(graph)) + "\n" + FOOT, "utf-8")
    beside = path.with_suffix(WEIGHTS)
    values = {
        f"{node.layer or node.name}/{weight.name}": node.paths[weight.name]
        for node in graph.nodes
        for weight in node.weights
    }
    weights.write(beside, ((name, arrays[value]) for name, value in values.items()), {"model": graph.name})
    for name, text in texts.items():
        add_text(path, name, text)


def add_text(path: Path, name: str, text: str) -> None:
    """Adds a text to the weight file."""
    with h5py.File(path.with_suffix(WEIGHTS), "r+") as file:
        file.require_group(TEXTS).create_dataset(name, data=text.encode(), track_times=False)


def read_texts(path: Path) -> dict[str, str]:
    """The metadata. Raises OSError, and ValueError for a weight file that is not of such a program."""
    beside = path.with_suffix(WEIGHTS)
    beside.open("rb").close()  # says in plain words that it cannot be read
    try:
        with h5py.File(beside) as file:
            found = {name: value for name, value in file[TEXTS].items() if value.nbytes <= LARGEST}
            return {name: bytes(value[()]).decode() for name, value in found.items()}
    except Exception as error:  # of h5py, whatever lies in the file
        raise ValueError(f"{beside.name} beside it does not hold what modelzoo writes") from error


def _documentation(path: Path, graph: Graph, metadata: Metadata) -> str:
    """What the program begins with: how to use it, and where the network comes from."""
    shapes = ", ".join(f"{name} {shape}" for name, shape in graph.inputs.items())
    outputs = ", ".join(f"{name} {shape}" for name, shape in graph.output_shapes.items())
    lines = [
        f"{metadata.name} in plain Keras, written by modelzoo {metadata.modelzoo}, which it does not need.",
        "",
        f"load() gives the keras.Model with its weights, from {path.with_suffix(WEIGHTS).name} beside it;",
        "build() gives it with random ones.",
        "",
        f"inputs: {shapes}, float32",
        f"outputs: {outputs}, float32",
        *_facts("preprocessing", metadata.preprocessing),
        *_facts("license", metadata.license),
    ]
    lines = [part for line in lines for part in textwrap.wrap(line, WIDTH, subsequent_indent="    ") or [""]]
    text = "\n".join(lines).replace("\\", "\\\\").replace('"""', "'''")
    return f'"""{text}\n"""'


def _facts(title: str, facts: object) -> list[str]:
    if not isinstance(facts, dict) or not facts:
        return []
    said = (f"{name} {json.dumps(value)}" for name, value in facts.items() if value is not None)
    return [f"{title}: {', '.join(said)}"]
