"""Image files -> pixels -> the array that a network was trained on.

The names below are imported when they are first used: Pillow is imported while a network is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelzoo.lazy import attach

if TYPE_CHECKING:
    from modelzoo.images.files import encodable as encodable
    from modelzoo.images.files import image_files as image_files
    from modelzoo.images.files import skipped_line as skipped_line
    from modelzoo.images.preprocessing import axes as axes
    from modelzoo.images.preprocessing import check_ten_crops as check_ten_crops
    from modelzoo.images.preprocessing import prepare as prepare
    from modelzoo.images.preprocessing import preprocess as preprocess
    from modelzoo.images.preprocessing import preprocess_crops as preprocess_crops
    from modelzoo.images.preprocessing import read_for as read_for
    from modelzoo.images.preprocessing import resize_and_crop as resize_and_crop
    from modelzoo.images.reading import FORMATS as FORMATS
    from modelzoo.images.reading import ImageInput as ImageInput
    from modelzoo.images.reading import image_name as image_name
    from modelzoo.images.reading import name_images as name_images
    from modelzoo.images.reading import read_image as read_image
    from modelzoo.images.resampling import Axis as Axis

_HOMES = {
    "modelzoo.images.files": ("encodable", "image_files", "skipped_line"),
    "modelzoo.images.preprocessing": (
        "axes",
        "check_ten_crops",
        "prepare",
        "preprocess",
        "preprocess_crops",
        "read_for",
        "resize_and_crop",
    ),
    "modelzoo.images.reading": ("FORMATS", "ImageInput", "image_name", "name_images", "read_image"),
    "modelzoo.images.resampling": ("Axis",),
}
__getattr__, __dir__ = attach(_HOMES)
__all__ = sorted(name for names in _HOMES.values() for name in names)  # pyright: ignore
