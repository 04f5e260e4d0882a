"""What a file is that is not of the format which was expected: told by its first and last bytes, in words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from modelzoo.formats.archives import zip_names
from modelzoo.formats.format import FORMATS
from modelzoo.formats.frozen_graph import is_graph
from modelzoo.formats.protobuf import LENGTH, VARINT, first_fields
from modelzoo.formats.torch_files import LEGACY_START

HEAD_BYTES = 4096
TAIL_BYTES = 16  # a pickle's end
WORDS = {  # the formats that are read
    "darknet": "a Darknet .weights file",
    "keras_h5": "a Keras 1 or 2 .h5 file",
    "mxnet": "an MXNet .params file",
    "safetensors": "a safetensors file",
    "tensorflow": "a TensorFlow checkpoint",
    "torch": "a PyTorch file",
}
KERAS_ADVICE = "Load it in Keras, and write it as .h5: model.save('model.h5')"
TORCH_ADVICE = (
    "Load it in torch, and write it as safetensors: safetensors.torch.save_file(model.state_dict(), FILE)"
)
ORIGINAL = "the checkpoint or .h5 file that it was made of is needed"
STARTS = {  # -> what it is, and what to do
    LEGACY_START: (WORDS["torch"], ""),
    b"version https://git-lfs.github.com/spec/": (
        "a Git LFS pointer, which stands for the file",
        "`git lfs pull` puts the file in its place",
    ),
    b"\x93NUMPY": ("a NumPy .npy file", ""),
    b"GGUF": ("a GGUF file", ""),
    b"\xff\xd8\xff": ("a JPEG image", ""),
    b"\x89PNG\r\n": ("a PNG image", ""),
    b"%PDF": ("a PDF document", ""),
}
MARKUP = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<error")
PICKLE = re.compile(rb"\x80[\x02-\x05].*\.\Z", re.DOTALL)
PRINTABLE = re.compile(rb"[\x20-\x7e]+")
CAFFE_FIELDS = (2, 3, 4, 5, 6, 7, 8, 100)  # of a NetParameter, after its name


class Kind(NamedTuple):
    """What a file is, as an error may say it after "is", and what to do with it, or nothing."""

    words: str
    advice: str = ""
    into: str | None = None  # the format that the advice leads to; None if it holds for all


def kind_of(path: Path) -> Kind | None:
    """What the file or folder is; None if that is not known, or if it is not there."""
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        return None
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL_BYTES))
        tail = file.read()
        file.seek(0)
        head = file.read(HEAD_BYTES)
    if not head:
        return Kind("empty", "Download it again")
    return _by_bytes(path, head, tail) or _by_format(path) or _message(head)


def words_of(format: str) -> str:
    """What a format of FORMATS is called in messages."""
    return WORDS.get(format, f"a file of the format {format}")


def _folder(path: Path) -> Kind | None:
    if (path / "saved_model.pb").is_file():
        return Kind("a TensorFlow SavedModel", f"Its variables have other names: {ORIGINAL}")
    return None if any(path.iterdir()) else Kind("an empty folder")


def _by_bytes(path: Path, head: bytes, tail: bytes) -> Kind | None:
    for start, (words, advice) in STARTS.items():
        if head.startswith(start):
            return Kind(words, advice)
    if head[4:8] == b"TFL3":
        return Kind("a TensorFlow Lite model", f"Its weights are fused: {ORIGINAL}")
    if head.startswith(b"PK"):
        return _zip(path)
    text = head.lstrip().lower()
    if text.startswith(MARKUP):
        return Kind("a web page, which servers send instead of a file", "Download it from another address")
    if text.startswith((b"{", b"[")):
        return Kind("JSON text, without any weights")
    if PICKLE.fullmatch(head[:2] + tail[-1:]):
        return Kind("a pickle, which is not executed here", TORCH_ADVICE, "safetensors")
    return None


def _zip(path: Path) -> Kind | None:
    names = zip_names(path)
    of_torch = {name.partition("/")[2] for name in names}
    if {"constants.pkl", "data.pkl"} <= of_torch:
        return Kind("a TorchScript archive, which holds a program", TORCH_ADVICE, "safetensors")
    if "data.pkl" in of_torch:
        return Kind(WORDS["torch"])
    if {"model.weights.h5", "config.json"} <= set(names):
        return Kind(
            "a Keras 3 .keras file, which stores weights by order and not by name", KERAS_ADVICE, "keras_h5"
        )
    if names and all(name.endswith(".npy") for name in names):
        return Kind("a NumPy .npz file")
    return None  # an archive, whose contents count


def _by_format(path: Path) -> Kind | None:
    found = (name for name, format in FORMATS.items() if format.recognize(path))
    return next((Kind(words_of(name)) for name in found), None)


def _message(head: bytes) -> Kind | None:
    """Files that are protocol buffers have no marks: what their first fields are tells them apart."""
    if is_graph(head):
        return Kind("a TensorFlow graph (.pb)")
    found = first_fields(head, 2)
    if len(found) < 2 or found[0][0] != 1:
        return None
    (_, first, value), (number, second, more) = found
    if first == VARINT and second == LENGTH:
        named = isinstance(more, bytes) and PRINTABLE.fullmatch(more)
        if number in (7, 8) or (number == 2 and named):
            return Kind("an ONNX model", f"Its weights have other names: {ORIGINAL}")
        return Kind("the graph of a TensorFlow SavedModel", f"Its variables have other names: {ORIGINAL}")
    if isinstance(value, bytes) and PRINTABLE.fullmatch(value) and number in CAFFE_FIELDS:
        return Kind("a Caffe model")
    return None
