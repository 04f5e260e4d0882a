"""The upstream's own weight file <-> ours: converters, layouts, pairing, recognition."""

from modelzoo.conversion.convert import convert
from modelzoo.conversion.converter import Converter
from modelzoo.conversion.converters import CONVERTERS, converter_of
from modelzoo.conversion.layouts import Layout
from modelzoo.conversion.recognition import by_checksum, by_tensors
from modelzoo.conversion.shapes import weight_shapes

__all__ = [
    "CONVERTERS",
    "Converter",
    "Layout",
    "by_checksum",
    "by_tensors",
    "convert",
    "converter_of",
    "weight_shapes",
]
