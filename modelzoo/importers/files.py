"""opened(): a file of another program -> its network. What a file is, its content says."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from modelzoo.errors import ConversionError, readable
from modelzoo.formats.graph_def import is_graph_def
from modelzoo.formats.keras_h5 import is_keras_h5
from modelzoo.formats.mmdnn_ir import is_mmdnn_ir
from modelzoo.formats.onnx_reading import is_onnx
from modelzoo.formats.tensors import first_bytes
from modelzoo.importers.imported import Imported, imported, refused

ZIP = b"PK\x03\x04"
KERAS = "a Keras model"
MOST_BYTES = 2**26  # of an architecture


@dataclass(frozen=True)
class Reader:
    """What reads one kind of file. `recognize` looks at its content only."""

    title: str
    recognize: Callable[[Path], bool]
    open: Callable[[Path, Path | None], AbstractContextManager[Imported]]


@contextmanager
def opened(path: Path, architecture: Path | None = None) -> Generator[Imported]:
    """The network of a file while the block lasts, in which its weights are read.

    architecture: the JSON of a Keras model whose weights alone the file holds. Raises ConversionError for a
    file that is of no kind that is read here, that is damaged, or whose network no operators express.
    """
    with reader_of(path).open(path, architecture) as found:
        yield found


def is_network(path: Path) -> bool:
    """Whether a file is of a kind that is read here."""
    return any(reader.recognize(path) for reader in READERS)


def reader_of(path: Path) -> Reader:
    """What reads a file. Raises ConversionError for one that nothing reads."""
    if not path.is_file():
        raise ConversionError(f"There is no file {readable(str(path))}.")
    found = next((reader for reader in READERS if reader.recognize(path)), None)
    if found is None:
        kinds = ", ".join(reader.title for reader in READERS)
        raise ConversionError(f"Expected one of {kinds}; {readable(str(path))} is something else.")
    return found


@contextmanager
def _keras_h5(path: Path, architecture: Path | None) -> Generator[Imported]:
    from modelzoo.formats.keras_model import KerasModelFile
    from modelzoo.importers.keras_config import parsed
    from modelzoo.importers.keras_model import graph_of

    with KerasModelFile(path) as file:
        with refused(path, KERAS):
            config = file.config if architecture is None else _text(architecture)
            if not config:
                raise ValueError(
                    "it holds weights alone: give the model's architecture, the JSON of model.to_json() "
                    "(--architecture FILE)"
                )
            found = imported(*graph_of(parsed(config), file), KERAS)
        yield found


def _text(path: Path) -> str:
    """The text of an architecture. Raises ValueError for one that is too large or no text."""
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"{readable(str(path))} has more than {MOST_BYTES:,} bytes")
    return content.decode()


def _is_keras_zip(path: Path) -> bool:
    return first_bytes(path, len(ZIP)) == ZIP and path.suffix.lower() == ".keras" and zipfile.is_zipfile(path)


@contextmanager
def _keras_zip(path: Path, architecture: Path | None) -> Generator[Imported]:
    from modelzoo.formats.keras_zip import KerasZipFile, keras_version

    with refused(path, KERAS):
        old = keras_version(path).startswith("2.")
    if not old:
        from modelzoo.backends import keras_files

        graph, arrays = keras_files.imported(keras_files.opened(path))
        yield Imported(graph, arrays, KERAS)
        return
    from modelzoo.importers.keras_config import parsed
    from modelzoo.importers.keras_model import graph_of

    with ExitStack() as stack:
        with refused(path, KERAS):
            file = stack.enter_context(KerasZipFile(path))
            found = imported(*graph_of(parsed(file.config), file), KERAS)
        yield found


def _onnx(path: Path, architecture: Path | None) -> AbstractContextManager[Imported]:
    from modelzoo.importers import onnx

    return onnx.opened(path, architecture)


def _tensorflow(path: Path, architecture: Path | None) -> AbstractContextManager[Imported]:
    from modelzoo.importers import tensorflow

    return tensorflow.opened(path, architecture)


def _mmdnn(path: Path, architecture: Path | None) -> AbstractContextManager[Imported]:
    from modelzoo.importers import mmdnn

    return mmdnn.opened(path, architecture)


READERS = (
    Reader("a Keras model in .keras", _is_keras_zip, _keras_zip),
    Reader("a Keras model in .h5", is_keras_h5, _keras_h5),
    Reader("an ONNX file", is_onnx, _onnx),
    Reader("MMdnn's intermediate representation", is_mmdnn_ir, _mmdnn),
    Reader("a frozen TensorFlow graph", is_graph_def, _tensorflow),
)
