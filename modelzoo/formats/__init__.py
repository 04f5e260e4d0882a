"""File formats of weights: one module each, which reads and writes {name: array} and knows no model."""

from modelzoo.formats.darknet import is_darknet_weights, read_darknet_weights, write_darknet_weights
from modelzoo.formats.format import FORMATS, Format
from modelzoo.formats.keras_h5 import KerasTensors, is_keras_h5, read_keras_h5, write_keras_h5
from modelzoo.formats.mxnet_params import is_mxnet_params, read_mxnet_params, write_mxnet_params
from modelzoo.formats.safetensors import is_safetensors, read_safetensors, write_safetensors
from modelzoo.formats.tensorflow_checkpoint import (
    is_tensorflow_checkpoint,
    read_tensorflow_checkpoint,
    write_tensorflow_checkpoint,
)
from modelzoo.formats.tensors import AVERAGE, TensorInfo, Tensors
from modelzoo.formats.torch_state_dict import is_torch_state_dict, read_torch_state_dict
from modelzoo.formats.torch_writing import write_torch_state_dict

__all__ = [
    "AVERAGE",
    "FORMATS",
    "Format",
    "KerasTensors",
    "TensorInfo",
    "Tensors",
    "is_darknet_weights",
    "is_keras_h5",
    "is_mxnet_params",
    "is_safetensors",
    "is_tensorflow_checkpoint",
    "is_torch_state_dict",
    "read_darknet_weights",
    "read_keras_h5",
    "read_mxnet_params",
    "read_safetensors",
    "read_tensorflow_checkpoint",
    "read_torch_state_dict",
    "write_darknet_weights",
    "write_keras_h5",
    "write_mxnet_params",
    "write_safetensors",
    "write_tensorflow_checkpoint",
    "write_torch_state_dict",
]
