"""The formats of upstream weight files by their names in the registry, each as a reader and a writer.

Names, shapes and types are known as soon as a file is open; a conversion that reads a tensor, writes
it and forgets it needs the memory of one tensor. Nothing here knows what the tensors are for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modelzoo.formats.darknet import (
    count_darknet_values,
    is_darknet_weights,
    read_darknet_weights,
    write_darknet_weights,
)
from modelzoo.formats.keras_h5 import is_keras_h5, read_keras_h5, write_keras_h5
from modelzoo.formats.mxnet_params import is_mxnet_params, read_mxnet_params, write_mxnet_params
from modelzoo.formats.safetensors import is_safetensors, read_safetensors, write_safetensors
from modelzoo.formats.tensorflow_checkpoint import (
    is_tensorflow,
    read_tensorflow_checkpoint,
    write_tensorflow_checkpoint,
)
from modelzoo.formats.tensors import Tensors
from modelzoo.formats.torch_state_dict import is_torch_state_dict, read_torch_state_dict
from modelzoo.formats.torch_writing import write_torch_state_dict


@dataclass(frozen=True)
class Format:
    """One file format of weights.

    `read(path)` opens a file, or the only one in a folder. `write(path, arrays)` writes {name: array} and
    returns the files: equal arrays give equal bytes, and a file appears when it is whole. Both raise
    ConversionError. `recognize(path)` tells the format from first bytes or names, without reading the file.

    A `planned` format holds no names: then it is `read(path, plan, known_sizes)` and
    `write(path, arrays, plan)`, where `plan` holds the shape of each array by name, in the order of the file,
    and `count_values(path)` says how many values the file has, None if that cannot be told.
    """

    name: str
    read: Callable[..., Tensors]
    write: Callable[..., list[Path]]
    recognize: Callable[[Path], bool]
    planned: bool = False
    count_values: Callable[[Path], int | None] | None = None


FORMATS: dict[str, Format] = {
    format.name: format
    for format in (
        Format("tensorflow", read_tensorflow_checkpoint, write_tensorflow_checkpoint, is_tensorflow),
        Format("mxnet", read_mxnet_params, write_mxnet_params, is_mxnet_params),
        Format("keras_h5", read_keras_h5, write_keras_h5, is_keras_h5),
        Format("safetensors", read_safetensors, write_safetensors, is_safetensors),
        Format("torch", read_torch_state_dict, write_torch_state_dict, is_torch_state_dict),
        Format(
            "darknet",
            read_darknet_weights,
            write_darknet_weights,
            is_darknet_weights,
            planned=True,
            count_values=count_darknet_values,
        ),
    )
}
