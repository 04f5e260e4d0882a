"""Images take no more memory than is said, one at a time and several together."""

from __future__ import annotations

import io
import os
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, features

from modelzoo import registry
from modelzoo.errors import ImageError
from modelzoo.images import memory, prepare, preprocessing, read_image, reading
from modelzoo.images.memory import MAX_BYTES, SMALL_BYTES, Budget, bytes_to_decode
from modelzoo.images.reading import MAX_PIXELS
from tests.memory import MEBIBYTE, peak_growth

SIDE = 3000
OVERHEAD = 8 * MEBIBYTE  # tiles, tables, the file's own bytes


def saved(mode: str, kind: str, **options) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (SIDE, SIDE), 77).save(file, kind, **options)
    return file.getvalue()


def written(ending: str, *options: int, depth: int = 16, channels: int = 4) -> bytes:
    """By OpenCV, with more than 8 bits."""
    pixels = np.full((SIDE, SIDE, channels), 2**depth // 3, np.uint16)
    return cv2.imencode(ending, pixels, list(options))[1].tobytes()


ONE_STRIP = (cv2.IMWRITE_TIFF_COMPRESSION, 8, cv2.IMWRITE_TIFF_ROWSPERSTRIP, SIDE)
KINDS = {
    "JPEG": lambda: saved("RGB", "JPEG"),
    "progressive JPEG": lambda: saved("RGB", "JPEG", progressive=True, subsampling=0),
    "progressive JPEG in CMYK": lambda: saved("CMYK", "JPEG", progressive=True, subsampling=0),
    "PNG": lambda: saved("RGBA", "PNG"),
    "PNG with a palette": lambda: saved("P", "PNG", transparency=3),
    "PNG of 16 bits": lambda: written(".png"),
    "lossless WebP": lambda: saved("RGBA", "WEBP", lossless=True, quality=0, method=0),
    "WebP": lambda: saved("RGB", "WEBP", method=0),
    "GIF": lambda: saved("P", "GIF"),
    "BMP": lambda: saved("RGB", "BMP"),
    "TIFF": lambda: saved("RGB", "TIFF", compression="tiff_lzw"),
    "TIFF of 16 bits in one strip": lambda: written(".tiff", *ONE_STRIP),
    "TIFF of 32 bits": lambda: saved("I", "TIFF"),
    "JPEG 2000": lambda: saved("RGB", "JPEG2000"),
    "JPEG 2000 of 16 bits": lambda: written(".jp2"),
    "PPM": lambda: saved("RGB", "PPM"),
    "TGA": lambda: saved("RGB", "TGA", compression="tga_rle"),
    "AVIF": lambda: saved("RGBA", "AVIF", speed=10, subsampling="4:4:4"),
    "AVIF of 12 bits": lambda: written(".avif", cv2.IMWRITE_AVIF_DEPTH, 12, depth=12, channels=3),
}
READS = "from PIL import Image; from modelzoo.images import read_image; Image.init()"
READ = "pixels = read_image(sys.argv[1])"


def written_to(path: Path, kind: str) -> Path:
    if kind.startswith("AVIF") and not features.check("avif"):
        pytest.skip("this Pillow does not read AVIF")
    path.write_bytes(KINDS[kind]())
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_takes_no_more_memory_than_is_reckoned_with(kind, tmp_path):
    path = written_to(tmp_path / "image", kind)
    with Image.open(path) as image:
        reckoned = bytes_to_decode(image)
    grown = peak_growth(READS, READ, path)
    print(f"{kind}: {grown / SIDE**2:.1f} bytes a pixel, {reckoned / SIDE**2:.1f} reckoned with")
    assert grown <= reckoned + OVERHEAD


@pytest.mark.parametrize("orientation", [3, 6])
def test_an_image_that_is_turned_takes_no_more(orientation, tmp_path):
    exif = Image.Exif()
    exif[reading.EXIF_ORIENTATION] = orientation
    (tmp_path / "image").write_bytes(saved("RGB", "JPEG", exif=exif))
    assert peak_growth(READS, READ, tmp_path / "image") <= 8 * SIDE**2 + OVERHEAD


def test_an_image_of_one_row_takes_no_more(tmp_path):
    """Its only row is not converted at once."""
    Image.new("RGBA", (SIDE**2, 1), 77).save(tmp_path / "image.png")
    assert peak_growth(READS, READ, tmp_path / "image.png") <= 20 * SIDE**2 + OVERHEAD


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_claiming(width: int, height: int) -> bytes:
    """A PNG whose header is right and which has next to no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(9)))


def jpeg_2000_claiming(side: int) -> bytes:
    """The header of the codestream says the size, and that of the file."""
    content = saved("RGB", "JPEG2000")
    return content.replace(struct.pack(">I", SIDE), struct.pack(">I", side))


def test_every_image_within_the_limits_of_pixels_may_be_decoded_but_for_two_formats():
    """What SECURITY.md says of them."""
    image = Image.new("RGB", (1, 1))
    allowed = {}
    for format in (*reading.FORMATS, None):
        image.format = format
        allowed[format] = MAX_BYTES / (bytes_to_decode(image) - memory.PER_PIXEL_OF_A_ROW)
    assert {format for format, pixels in allowed.items() if pixels < MAX_PIXELS} == {
        "AVIF",
        "JPEG2000",
        "ICO",
    }
    assert (allowed["AVIF"], allowed["JPEG2000"]) == (150e6, 100e6)


@pytest.mark.parametrize(
    "content",
    [png_claiming(150_000_000, 1), jpeg_2000_claiming(10_500)],
    ids=["one row of PNG", "JPEG 2000"],
)
def test_an_image_that_would_take_more_is_refused(content):
    message = r"is too large \(\d+ x \d+\): as \S+ it takes [34],\d+,\d+,\d+ bytes of memory"
    with pytest.raises(ImageError, match=message):
        read_image(content)


def test_a_file_larger_than_any_image_is_not_even_opened(tmp_path):
    with (tmp_path / "image.webp").open("wb") as file:
        file.write(b"RIFF\0\0\0\0WEBPVP8 ")
        file.truncate(reading.MAX_FILE_BYTES + 1)
    message = r"is too large \(1,000,000,001 bytes\); the limit is 1,000,000,000 bytes"
    with pytest.raises(ImageError, match=message):
        read_image(tmp_path / "image.webp")


class Endless(io.RawIOBase):
    """A pipe that never ends."""

    def __init__(self):
        self.given = 0

    def seekable(self) -> bool:
        return False

    def read(self, count: int = -1) -> bytes:
        assert count >= 0
        self.given += count
        return bytes(count)


def test_a_pipe_that_never_ends_is_given_up(monkeypatch):
    monkeypatch.setattr(reading, "MAX_FILE_BYTES", 10_000)
    pipe = Endless()
    with pytest.raises(ImageError, match=r"is too large \(10,001 bytes\)"):
        read_image(pipe)
    assert pipe.given <= 10_001


# Several at a time


THREADS = """
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from PIL import Image
from modelzoo import registry
from modelzoo.images import memory, prepare, reading
Image.init()
reading.SMALL_BYTES, reading.LARGE_IMAGES = 10**6, memory.Budget(int(sys.argv[2]))
work = partial(prepare, preprocessing=registry.info("resnet50_v1d").preprocessing)
"""


MAP = "list(ThreadPoolExecutor(4).map(work, [sys.argv[1]] * 4))"


def large_webp(path: Path, side: int) -> Path:
    """A few bytes of a single color."""
    Image.new("RGB", (side, side), 77).save(path, "WEBP", lossless=True, quality=0, method=0)
    return path


def test_large_images_of_several_threads_take_no_more_than_one(tmp_path):
    """Four at once took four times as much."""
    path = large_webp(tmp_path / "image", 5000)
    with Image.open(path) as image:
        reckoned = bytes_to_decode(image)
    assert peak_growth(THREADS, MAP, path, reckoned) <= reckoned + 8 * OVERHEAD


@pytest.mark.skipif(not os.environ.get("MODELZOO_LARGE"), reason="takes three gigabytes: MODELZOO_LARGE=1")
@pytest.mark.parametrize("measured", [READ, MAP], ids=["one", "four at a time"])
def test_the_largest_webp_takes_what_is_allowed(measured, tmp_path, capsys):
    path = large_webp(tmp_path / "large.webp", 13000)
    before = THREADS.replace("reading.SMALL_BYTES", "_") if measured == MAP else READS
    grown = peak_growth(before, measured, path, MAX_BYTES)
    with capsys.disabled():
        print(f"\na WebP of 13000 x 13000 in {path.stat().st_size:,} bytes: {grown:,} bytes")
    assert grown <= MAX_BYTES


def test_a_large_image_waits_until_another_ones_memory_is_free_and_a_small_one_does_not(monkeypatch):
    large, small = (Image.new("RGB", (side, side)) for side in (200, 20))
    monkeypatch.setattr(reading, "SMALL_BYTES", 100_000)
    monkeypatch.setattr(reading, "LARGE_IMAGES", Budget(600_000))
    record = registry.info("resnet50_v1d").preprocessing
    begun, go = threading.Event(), threading.Event()
    first = preprocessing.preprocess_crops

    def held(*arguments, **options):
        begun.set()
        go.wait(60)
        return first(*arguments, **options)

    monkeypatch.setattr(preprocessing, "preprocess_crops", held)
    with ThreadPoolExecutor(2) as threads:
        one = threads.submit(prepare, large, record)
        begun.wait(60)
        monkeypatch.setattr(preprocessing, "preprocess_crops", first)
        another = threads.submit(prepare, large, record)
        prepare(small, record)
        time.sleep(0.2)
        assert not another.done()
        go.set()
        np.testing.assert_array_equal(one.result(60)[0], another.result(60)[0])


def test_what_an_image_took_is_given_back_after_an_error():
    budget = reading.LARGE_IMAGES
    with pytest.raises(ImageError):
        read_image(png_claiming(10_000, 10_000))  # large enough to wait, and damaged
    assert bytes_to_decode(Image.new("RGB", (10_000, 10_000))) > SMALL_BYTES
    with budget.taking(MAX_BYTES):
        pass


def test_the_first_that_waits_is_the_first_that_gets_something():
    budget, order = Budget(10), []

    def take(count):
        with budget.taking(count):
            order.append(count)

    with ThreadPoolExecutor(3) as threads, budget.taking(6):
        waiting = []
        for number, count in enumerate((10, 2, 4), start=1):  # 2 and 4 would fit
            waiting.append(threads.submit(take, count))
            while len(budget._waiting) < number:
                time.sleep(0.001)
        assert order == []
    assert [future.result() for future in waiting] == [None] * 3
    assert order[0] == 10


def test_who_gives_up_waiting_is_not_waited_for(monkeypatch):
    budget = Budget(10)
    with budget.taking(10):
        monkeypatch.setattr(
            budget._changed, "wait_for", lambda condition: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt), budget.taking(1):
            pass
        monkeypatch.undo()
    with budget.taking(10):
        pass


def test_more_than_there_is_means_all():
    with Budget(10).taking(11):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_does_not_wait_for_threads_that_it_does_not_have():
    with memory.LARGE_IMAGES.taking(MAX_BYTES):
        child = os.fork()
        if not child:
            with memory.LARGE_IMAGES.taking(MAX_BYTES):
                os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
