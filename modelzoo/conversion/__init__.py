"""The upstream's own weight file <-> ours: converters, layouts, pairing, recognition."""

from modelzoo.conversion.classes import OtherClasses, with_classes
from modelzoo.conversion.convert import convert, head_classes
from modelzoo.conversion.converter import Converter
from modelzoo.conversion.converters import CONVERTERS, converter_of
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
    "head_classes",
    "unrecognized",
    "weight_shapes",
    "with_classes",
]
