"""The upstream's own weight file <-> ours: converters, layouts, pairing, recognition."""

from modelzoo.conversion.classes import OtherClasses, with_classes
from modelzoo.conversion.convert import convert, head_classes
from modelzoo.conversion.converter import Converter
from modelzoo.conversion.converters import CONVERTERS, converter_of
from modelzoo.conversion.exports import exported_by, keras_model_of
from modelzoo.conversion.keras_2 import constants as keras_constants
from modelzoo.conversion.layouts import Layout
from modelzoo.conversion.recognition import by_checksum, by_file_name, by_tensors, unrecognized
from modelzoo.conversion.shapes import weight_shapes

__all__ = [
    "CONVERTERS",
    "Converter",
    "Layout",
    "OtherClasses",
    "by_checksum",
    "by_file_name",
    "by_tensors",
    "convert",
    "converter_of",
    "exported_by",
    "head_classes",
    "keras_constants",
    "keras_model_of",
    "unrecognized",
    "weight_shapes",
    "with_classes",
]
