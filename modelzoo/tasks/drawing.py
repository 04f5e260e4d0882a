"""draw_boxes(): what was detected, drawn on a copy of the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from zlib import crc32

from modelzoo.images import ImageInput, read_image
from modelzoo.tasks.detection import Detection

if TYPE_CHECKING:
    from PIL import Image

LINE_WIDTH, TEXT_HEIGHT = 0.004, 0.02  # in parts of the image's longer side
SMALLEST_TEXT = 10  # pixels


def draw_boxes(image: ImageInput, detections: Sequence[Detection]) -> Image.Image:
    """A copy of the image with the boxes on it, each with its label and score, the best on top."""
    from PIL import Image, ImageDraw, ImageFont

    copy = Image.fromarray(read_image(image))
    canvas = ImageDraw.Draw(copy)
    line = max(1, round(LINE_WIDTH * max(copy.size)))
    font = ImageFont.load_default(max(SMALLEST_TEXT, TEXT_HEIGHT * max(copy.size)))
    for detection in reversed(detections):
        x0, y0, x1, y1 = detection.box
        color = f"hsl({crc32(detection.id.encode()) % 360}, 100%, 35%)"
        canvas.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=color, width=line)
        text = f" {detection.name} {detection.score:.0%} "
        _, _, width, height = canvas.textbbox((0, 0), text, font)
        left, top = min(x0, max(0, copy.width - width)), max(0, y0 - height)
        canvas.rectangle((left, top, left + width, top + height), fill=color)
        canvas.text((left, top), text, "white", font)
    return copy
