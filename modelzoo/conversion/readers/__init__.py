"""An upstream weight file as a mapping of tensor names, whose values are read one at a time.

Names, shapes and types are known as soon as a file is open; a conversion that reads a tensor, writes
it and forgets it needs the memory of one tensor. Nothing here knows what the tensors are for.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from modelzoo.conversion.readers.common import TensorInfo, Tensors
from modelzoo.conversion.readers.darknet_weights import open_darknet_weights
from modelzoo.conversion.readers.keras_h5 import KerasTensors, open_keras_h5
from modelzoo.conversion.readers.mxnet_params import is_mxnet_params, open_mxnet_params
from modelzoo.conversion.readers.safetensors_file import is_safetensors, open_safetensors
from modelzoo.conversion.readers.tensorflow_checkpoint import (
    is_tensorflow_checkpoint,
    open_tensorflow_checkpoint,
)

__all__ = [
    "READERS",
    "RECOGNISERS",
    "KerasTensors",
    "TensorInfo",
    "Tensors",
    "is_mxnet_params",
    "is_safetensors",
    "is_tensorflow_checkpoint",
    "open_darknet_weights",
    "open_keras_h5",
    "open_mxnet_params",
    "open_safetensors",
    "open_tensorflow_checkpoint",
]

READERS: dict[str, Callable[..., Tensors]] = {
    "tensorflow": open_tensorflow_checkpoint,
    "mxnet": open_mxnet_params,
    "keras_h5": open_keras_h5,
    "safetensors": open_safetensors,
    "darknet": open_darknet_weights,
}

# Which format a file has, told from its name or its first bytes; only models with several sources ask.
RECOGNISERS: dict[str, Callable[[Path], bool]] = {
    "tensorflow": is_tensorflow_checkpoint,
    "mxnet": is_mxnet_params,
    "safetensors": is_safetensors,
}
