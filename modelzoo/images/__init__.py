"""Image files -> pixels -> the array that a network was trained on."""

from modelzoo.images.files import encodable, image_files, skipped_line
from modelzoo.images.preprocessing import (
    axes,
    check_ten_crops,
    prepare,
    preprocess,
    preprocess_crops,
    read_for,
    resize_and_crop,
)
from modelzoo.images.reading import FORMATS, ImageInput, image_name, name_images, read_image
from modelzoo.images.resampling import Axis

__all__ = [
    "FORMATS",
    "Axis",
    "ImageInput",
    "axes",
    "check_ten_crops",
    "encodable",
    "image_files",
    "image_name",
    "name_images",
    "prepare",
    "preprocess",
    "preprocess_crops",
    "read_for",
    "read_image",
    "resize_and_crop",
    "skipped_line",
]
