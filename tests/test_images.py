"""Images become the pixels that the original programs gave, or a sentence says why they cannot."""

from __future__ import annotations

import hashlib
import io
import struct
import subprocess
import sys
import tracemalloc
import warnings
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

import modelzoo
from modelzoo import registry
from modelzoo.errors import ImageError
from modelzoo.images import FORMATS, Axis, axes, preprocess, read_image, reading, resampling, resize_and_crop
from modelzoo.images.preprocessing import central_crop
from modelzoo.images.reading import MAX_PIXELS
from modelzoo.images.resampling import INTERPOLATIONS
from modelzoo.registry import Preprocessing
from tests.test_image_memory import png_claiming

HALVES = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
TENCENT = registry.info("resnet101_mlimages").preprocessing
GLUONCV = registry.info("resnet50_v1d").preprocessing
CIFAR10 = registry.info("resnet9_cifar10").preprocessing
SIZES = [(480, 641), (641, 480), (512, 512), (255, 256), (37, 53), (7, 3), (1, 9), (1000, 257), (224, 224)]
GOLDENS = Path(__file__).parent / "goldens" / "images_gluoncv.npz"
GOLDEN_STEP = 9  # as in scripts/convert/originals/gluoncv_images.py
SLIM_GOLDENS = GOLDENS.with_name("images_slim.npz")
SLIM_GOLDEN_STEP = 23  # as in scripts/convert/originals/slim_images.py


def generated_image(height: int, width: int) -> np.ndarray:
    """The same image as in scripts/convert/originals/gluoncv_images.py."""
    rows, columns, channels = np.ogrid[:height, :width, :3]
    slopes = rows * (2 + channels) + columns * (3 - channels)
    noise = np.random.RandomState(height * 10007 + width).randint(0, 64, (height, width, 3))
    return ((slopes + noise) % 256).astype(np.uint8)


def at_size(name: str, size: int) -> Preprocessing:
    return registry.packaged().named_preprocessing(name, size)


def levels(count: float, preprocessing: Preprocessing) -> float:
    """So many of the 255 levels, in the network's input (of the channel where they are least)."""
    return count * preprocessing.max_value / 255 / max(preprocessing.std)


def encoded(image: Image.Image | np.ndarray, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, kind, **options)
    return file.getvalue()


def opencv_reads(content: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def largest_difference(ours: np.ndarray, theirs: np.ndarray) -> int:
    assert ours.shape == theirs.shape
    return int(np.abs(ours.astype(int) - theirs.astype(int)).max())


def golden_sizes() -> list[tuple[int, ...]]:
    with np.load(GOLDENS) as goldens:
        return [tuple(map(int, name.split("x"))) for name in goldens.files if not name.endswith("crc32")]


def slim_goldens() -> list[str]:
    with np.load(SLIM_GOLDENS) as goldens:
        return [name for name in goldens.files if not name.startswith("crc32")]


PIXELS = generated_image(40, 56)

# The original programs


def tencent_demo(image: np.ndarray) -> np.ndarray:
    """The arithmetic of Tencent's image_classification.py, floats and all; RGB in and out."""
    height, width = float(image.shape[0]), float(image.shape[1])
    new_height = new_width = 256.0
    if height <= width:
        new_width = (width / height) * new_height
    else:
        new_height = (height / width) * new_width
    resized = cv2.resize(image, (int(new_width), int(new_height)))
    top, left = int((new_height - 224.0) / 2), int((new_width - 224.0) / 2)
    return (resized[top : top + 224, left : left + 224] / 255.0 - 0.5) * 2.0


@pytest.mark.parametrize("size", SIZES)
def test_the_tencent_preprocessing_gives_what_tencents_demo_gives_within_one_level(size):
    image = generated_image(*size)
    assert np.abs(preprocess(image, TENCENT)[0] - tencent_demo(image)).max() <= 2 / 255 + 1e-6


def test_a_cameras_photo_gives_what_tencents_demo_gives_within_one_level():
    photo = np.tile(generated_image(342, 456), (8, 8, 1))  # 2736 x 3648, quickly
    assert np.abs(preprocess(photo, TENCENT)[0] - tencent_demo(photo)).max() <= 2 / 255 + 1e-6


def test_whole_numbers_give_the_sizes_and_offsets_of_tencents_floats():
    random = np.random.RandomState(0)
    for short, extra in zip(random.randint(1, 9000, 20000), random.randint(0, 9000, 20000), strict=True):
        new_size = (float(short + extra) / float(short)) * 256.0
        axis = axes(TENCENT, int(short), int(short + extra))[1]
        assert (axis.target, axis.start) == (int(new_size), int((new_size - 224.0) / 2))


@pytest.mark.parametrize("size", golden_sizes())
def test_the_gluoncv_preprocessing_gives_what_gluoncv_gave(size):
    image = generated_image(*size)
    with np.load(GOLDENS) as goldens:
        name = f"{size[0]}x{size[1]}"
        assert zlib.crc32(image.tobytes()) == goldens[f"{name}_crc32"], "the test generates another image"
        golden = goldens[name]
    ours = preprocess(image, GLUONCV)[0, ::GOLDEN_STEP, ::GOLDEN_STEP]
    np.testing.assert_allclose(ours, golden, rtol=0, atol=2e-6)  # far below one level, 0.017


@pytest.mark.parametrize("name", slim_goldens())
def test_the_slim_preprocessing_gives_what_slim_gave(name):
    preprocessing, side, size = name.split("/")
    preprocessing = at_size(preprocessing, int(side))
    image = generated_image(*map(int, size.split("x")))
    with np.load(SLIM_GOLDENS) as goldens:
        assert zlib.crc32(image.tobytes()) == goldens[f"crc32/{size}"], "the test generates another image"
        golden = goldens[name]
    ours = preprocess(image, preprocessing)[0, ::SLIM_GOLDEN_STEP, ::SLIM_GOLDEN_STEP]
    np.testing.assert_allclose(ours, golden, rtol=0, atol=levels(1e-4, preprocessing))


@pytest.mark.parametrize("side", [128, 299, 331])
@pytest.mark.parametrize("size", SIZES)
def test_the_slim_inception_preprocessing_gives_what_tensorflow_gives(size, side):
    image = generated_image(*size)
    middle = tf.image.central_crop(tf.image.convert_image_dtype(image, tf.float32), 0.875)
    theirs = (tf.compat.v1.image.resize_bilinear(middle[None], (side, side)) - 0.5) * 2
    preprocessing = at_size("slim_inception", side)
    np.testing.assert_allclose(
        preprocess(image, preprocessing), theirs, rtol=0, atol=levels(1e-4, preprocessing)
    )


def test_slims_sizes_are_rounded_as_tensorflow_rounds_them():
    random = np.random.RandomState(0)
    short = np.concatenate([random.randint(1, 3000, 10000), np.full(1000, 512)])  # 512: halves
    long = short + np.concatenate([random.randint(0, 6000, 10000), np.arange(1000)])
    sides = tf.cast(tf.stack([short, long]), tf.float32)
    theirs = tf.cast(tf.math.rint(sides * (tf.cast(256, tf.float32) / sides[0])), tf.int32).numpy().T.tolist()
    preprocessing = at_size("slim_vgg", 224)
    ours = [
        [axis.target for axis in axes(preprocessing, int(s), int(g))]
        for s, g in zip(short, long, strict=True)
    ]
    assert ours == theirs


@pytest.mark.parametrize(
    ("preprocessing", "module"),
    [
        ("keras_caffe", "vgg16"),
        ("keras_caffe", "resnet"),
        ("keras_torch", "densenet"),
        ("keras_tf", "inception_v3"),
        ("keras_tf", "nasnet"),
        ("keras_raw", "efficientnet"),
        ("keras_raw", "efficientnet_v2"),
        ("keras_raw", "convnext"),
        ("keras_raw", "mobilenet_v3"),
    ],
)
@pytest.mark.parametrize("size", [(480, 641), (255, 256), (37, 53), (7, 3), (1, 9), (224, 224), (331, 331)])
def test_the_preprocessing_of_keras_gives_what_the_examples_of_keras_give(size, preprocessing, module):
    side = 331 if module == "nasnet" else 224
    content, preprocessing = encoded(generated_image(*size), "BMP"), at_size(preprocessing, side)
    pixels = keras.utils.img_to_array(keras.utils.load_img(io.BytesIO(content), target_size=(side, side)))
    theirs = getattr(keras.applications, module).preprocess_input(pixels)
    np.testing.assert_allclose(
        preprocess(content, preprocessing)[0], theirs, rtol=0, atol=levels(1e-4, preprocessing)
    )


def test_a_32_x_32_image_passes_the_cifar_preprocessing_with_pixels_untouched():
    image = generated_image(32, 32)
    np.testing.assert_array_equal(resize_and_crop(image, CIFAR10), image)


# Resampling


@pytest.mark.parametrize("target", [(256, 341), (224, 224), (31, 17), (500, 499)])
@pytest.mark.parametrize("size", SIZES)
def test_opencv_linear_is_within_one_level_of_opencv(size, target):
    image = generated_image(*size)
    ours = resampling.opencv_linear(
        image, *(Axis(old, new, 0, new) for old, new in zip(size, target, strict=True))
    )
    assert largest_difference(ours, cv2.resize(image, target[::-1], interpolation=cv2.INTER_LINEAR)) <= 1


@pytest.mark.parametrize("target", [(256, 341), (224, 224), (31, 17), (500, 499)])
@pytest.mark.parametrize("size", SIZES)
def test_tf1_bilinear_is_what_tensorflow_gives(size, target):
    image = generated_image(*size)
    ours = resampling.tf1_bilinear(
        image, *(Axis(old, new, 0, new) for old, new in zip(size, target, strict=True))
    )
    theirs = tf.compat.v1.image.resize_bilinear(image[None], target)[0]
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("target", [(256, 341), (224, 224), (31, 17), (500, 499)])
@pytest.mark.parametrize("size", SIZES)
def test_tf1_bicubic_is_what_tensorflow_gives(size, target):
    image = generated_image(*size)
    ours = resampling.tf1_bicubic(
        image, *(Axis(old, new, 0, new) for old, new in zip(size, target, strict=True))
    )
    theirs = tf.compat.v1.image.resize_bicubic(image[None], target)[0]
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(300, 451), (451, 300), (256, 256), (33, 257), (1, 9), (2, 3)])
def test_the_square_before_the_resize_is_efficientnets(height, width):
    """As preprocessing.py of tensorflow/tpu computes it, in float32, for 224 pixels and a padding of 32."""
    image = generated_image(height, width)
    preprocessing = replace(modelzoo.info("efficientnet_lite0").preprocessing, crop_size=224)
    side = max(int(224 / 256 * tf.cast(min(height, width), tf.float32)), 1)
    top, left = (height - side + 1) // 2, (width - side + 1) // 2
    square = image[top : top + side, left : left + side]
    theirs = (tf.compat.v1.image.resize_bicubic(square[None], (224, 224))[0].numpy() - 127) / 128
    np.testing.assert_allclose(preprocess(image, preprocessing)[0], theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("width", "start"), [(256, 16), (257, 16), (258, 17), (259, 18), (260, 18), (261, 18)]
)
def test_half_a_pixel_before_the_crop_is_rounded_as_torchvision_does(width, start):
    """int(round((width - 224) / 2)), which Python rounds to the even number."""
    assert start == round((width - 224) / 2)
    preprocessing = modelzoo.info("mobilenet_v2.torchvision").preprocessing
    assert axes(preprocessing, 256, width)[1] == Axis(width, width, start, 224)


@pytest.mark.parametrize("interpolation", ["opencv_linear", "tf1_bicubic", "tf1_bilinear"])
def test_a_crop_has_the_pixels_of_the_whole(interpolation):
    image = generated_image(97, 131)
    resize = INTERPOLATIONS[interpolation]
    whole = resize(image, Axis(97, 60, 0, 60), Axis(131, 201, 0, 201))
    crop = resize(image, Axis(97, 60, 14, 32), Axis(131, 201, 84, 32))
    np.testing.assert_array_equal(crop, whole[14:46, 84:116])


def nearest_columns(resize, source: int, target: int) -> list[int]:
    """Which column of an image each of the resized image shows."""
    columns = np.arange(source)[None, :, None]
    image = np.concatenate([columns // 256, columns % 256, columns * 0], axis=-1).astype(np.uint8)
    resized = resize(image, Axis(1, 1, 0, 1), Axis(source, target, 0, target))
    return (resized[0].astype(int) @ [256, 1, 0]).tolist()


@pytest.mark.parametrize(
    ("source", "target"), [(1360, 224), (1200, 299), (907, 224), (224, 224), (3, 7), (1, 9)]
)
def test_an_old_pillow_adds_the_scale_up_in_double_precision(source, target):
    places, place = [], 0.0
    for _ in range(target):
        places.append(int(place))
        place += source / target
    assert nearest_columns(resampling.pillow3_nearest, source, target) == places


def test_an_old_pillows_pixels_are_neither_todays_nor_those_of_multiplied_positions():
    old = np.array(nearest_columns(resampling.pillow3_nearest, 1360, 224))
    assert (old - np.arange(224) * 1360 // 224).tolist().count(-1) == 10
    assert (old != nearest_columns(resampling.pillow_nearest, 1360, 224)).all()


@pytest.mark.parametrize("fraction", [0.875, 0.5, 0.33, 1.0])
def test_the_middle_is_tensorflows_central_crop(fraction):
    for side in (*range(1, 70), 999, 1000, 4032):
        theirs = tf.image.central_crop(np.arange(side)[:, None, None], fraction)[:, 0, 0]
        assert np.arange(side)[central_crop(side, fraction)].tolist() == theirs.numpy().tolist()


@pytest.mark.parametrize("size", SIZES)
def test_pillow_bicubic_of_the_crop_is_within_one_level_of_cropping_pillows_resize(size):
    image = generated_image(*size)
    preprocessing = Preprocessing(resize_size=48, crop_size=32, interpolation="pillow_bicubic", **HALVES)
    rows, columns = axes(preprocessing, *size)
    whole = Image.fromarray(image).resize((columns.target, rows.target), Image.Resampling.BICUBIC)
    cropped = np.asarray(whole)[rows.start :, columns.start :][:32, :32]
    assert largest_difference(resize_and_crop(image, preprocessing), cropped) <= 1


PILLOW_11 = {  # sha256 of what Pillow 11.3 gives for the whole of the image below, in RGB
    "pillow_bicubic": "e758989ccd946d97a8c7acb2c8adcff5c686e2227ea313e3f78f1352c60b8caf",
    "pillow_bilinear": "f456d5d24179688ad23f82148ae061395733a0d3da307d60953bd35f81745f99",
}


@pytest.mark.parametrize("interpolation", PILLOW_11)
def test_tall_images_have_the_pixels_of_every_pillow(interpolation):
    """From Pillow 13 on, it resizes the rows of such an image first; those before did so for none."""
    noise = np.random.Generator(np.random.Philox(1)).integers(0, 256, (1000, 300, 3), np.uint8)
    kernel = INTERPOLATIONS[interpolation]
    pixels = kernel(noise, Axis(1000, 853, 0, 853), Axis(300, 256, 0, 256))
    assert hashlib.sha256(np.ascontiguousarray(pixels)).hexdigest() == PILLOW_11[interpolation]


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("size", [(1, 10000), (10000, 1), (1, 1), (2, 3_000_000)])
@pytest.mark.parametrize("resize_size", [256, None], ids=["in ratio", "stretched"])
def test_an_extreme_shape_gives_a_crop(size, interpolation, resize_size):
    preprocessing = Preprocessing(
        resize_size=resize_size, crop_size=224, interpolation=interpolation, central_fraction=0.9, **HALVES
    )
    square = resize_and_crop(np.full((*size, 3), 77, np.uint8), preprocessing).round()
    assert square.tolist() == [[[77] * 3] * 224] * 224


# The preprocessing


def test_the_longer_side_is_truncated():
    assert axes(GLUONCV, 480, 641) == (Axis(480, 256, 16, 224), Axis(641, 341, 58, 224))


def test_a_model_name_stands_for_its_preprocessing():
    image = generated_image(60, 80)
    assert np.array_equal(preprocess(image, "resnet50_v1d"), preprocess(image, GLUONCV))


@pytest.mark.parametrize("preprocessing", [TENCENT, GLUONCV, CIFAR10])
def test_the_values_are_scaled_pixels_less_mean_over_deviation(preprocessing):
    image = generated_image(60, 80)
    expected = (resize_and_crop(image, preprocessing) / 255 - np.array(preprocessing.mean)) / np.array(
        preprocessing.std
    )
    np.testing.assert_allclose(preprocess(image, preprocessing)[0], expected, rtol=1e-6, atol=1e-6)


# What is accepted


@pytest.mark.parametrize(
    "images",
    [PIXELS, [PIXELS], (PIXELS,), PIXELS[None], Image.fromarray(PIXELS), encoded(PIXELS)],
    ids=["array", "list", "tuple", "batch", "PIL", "bytes"],
)
def test_one_image_gives_a_float32_batch_of_one(images):
    batch = preprocess(images, TENCENT)
    assert (batch.shape, batch.dtype) == ((1, 224, 224, 3), np.float32)


def test_a_batch_keeps_the_order_of_its_images():
    images = [PIXELS, encoded(PIXELS[::-1]), Image.fromarray(PIXELS[:, ::-1])]
    singles = [preprocess(image, TENCENT)[0] for image in images]
    np.testing.assert_array_equal(preprocess(images, TENCENT), singles)


@pytest.mark.parametrize("kind", [str, Path, "file", "pipe", "bytes", "bytearray"])
def test_every_kind_of_source_gives_the_same_pixels(kind, tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(encoded(PIXELS))

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    sources = {
        "file": lambda: io.BytesIO(path.read_bytes()),
        "pipe": lambda: Pipe(path.read_bytes()),
        "bytes": path.read_bytes,
        "bytearray": lambda: bytearray(path.read_bytes()),
    }
    source = sources[kind]() if kind in sources else kind(path)
    np.testing.assert_array_equal(read_image(source), PIXELS)


def test_a_callers_file_stays_open():
    file = io.BytesIO(encoded(PIXELS))
    read_image(file)
    assert not file.closed


def test_pixels_that_were_read_may_be_written_to():
    assert read_image(encoded(PIXELS)).flags.writeable


def test_an_image_that_was_given_is_not_changed():
    image = Image.fromarray(PIXELS).convert("P")
    read_image(image)
    assert image.mode == "P"


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_an_animation_gives_its_first_frame(kind):
    frames = [Image.new("RGB", (20, 10), color) for color in ("red", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert read_image(content)[5, 5].tolist() == [255, 0, 0]


# EXIF


def with_orientation(number: int, kind: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[reading.EXIF_ORIENTATION] = number
    return encoded(PIXELS, kind, exif=exif)


@pytest.mark.parametrize("number", range(10))
def test_the_exif_orientation_is_applied_as_opencv_does(number):
    content = with_orientation(number)
    np.testing.assert_array_equal(read_image(content), opencv_reads(content))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("number", range(1, 9))
def test_the_exif_orientation_is_applied_as_pillow_does(number, kind):
    content = with_orientation(number, kind)
    with Image.open(io.BytesIO(content)) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(read_image(content), upright)


def test_damaged_exif_turns_nothing():
    content = encoded(PIXELS, "JPEG", exif=b"Exif\x00\x00no EXIF at all")
    np.testing.assert_array_equal(read_image(content), opencv_reads(content))


# Modes


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_a_png_of_this_mode_is_read_as_opencv_reads_it(mode):
    image = Image.fromarray(np.dstack([PIXELS, PIXELS[::-1, :, 0]])).convert(mode)
    content = encoded(image)
    np.testing.assert_array_equal(read_image(content), opencv_reads(content))


def test_a_palette_with_alpha_is_read_as_opencv_reads_it():
    image = Image.fromarray(PIXELS).quantize(16)
    content = encoded(image, transparency=bytes(range(0, 256, 16)))
    np.testing.assert_array_equal(read_image(content), opencv_reads(content))


@pytest.mark.parametrize("mode", ["L", "RGB", "1"])
def test_a_transparent_color_changes_no_pixel(mode):
    image = Image.fromarray(PIXELS).convert(mode)
    transparent = (1, 2, 3) if mode == "RGB" else 0
    np.testing.assert_array_equal(read_image(encoded(image, transparency=transparent)), read_image(image))


@pytest.mark.parametrize("extension", [".png", ".tif", ".pgm"])
def test_16_bit_gray_is_read_as_opencv_reads_it(extension):
    gray = np.random.RandomState(0).randint(0, 65536, (40, 56)).astype(np.uint16)
    content = cv2.imencode(extension, gray)[1].tobytes()
    np.testing.assert_array_equal(read_image(content), opencv_reads(content))


@pytest.mark.parametrize("mode", ["I", "I;16", "I;16L", "I;16B", "I;16N"])
def test_16_bit_modes_keep_the_high_byte(mode):
    assert read_image(Image.new(mode, (1, 1), 0xAB12)).tolist() == [[[0xAB] * 3]]


def test_16_bit_color_keeps_the_high_byte():
    color = np.random.RandomState(0).randint(0, 65536, (40, 56, 3)).astype(np.uint16)
    content = cv2.imencode(".png", color)[1].tobytes()
    np.testing.assert_array_equal(read_image(content), opencv_reads(content))


def test_a_cmyk_jpeg_is_within_one_level_of_opencv():
    content = encoded(Image.fromarray(PIXELS).convert("CMYK"), "JPEG")
    assert largest_difference(read_image(content), opencv_reads(content)) <= 1


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV", "LAB"])
def test_other_color_spaces_go_through_pillow(mode):
    image = Image.new(mode, (2, 2), (200, 100, 50, 25)[: len(Image.new(mode, (1, 1)).getbands())])
    np.testing.assert_array_equal(read_image(image), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize(("mode", "pixel"), [("RGBA", (9, 8, 7, 0)), ("RGBX", (9, 8, 7, 0))])
def test_the_fourth_channel_is_dropped_and_not_blended(mode, pixel):
    assert read_image(Image.new(mode, (1, 1), pixel)).tolist() == [[[9, 8, 7]]]


@pytest.mark.parametrize(("mode", "pixel"), [("RGBa", (50, 50, 50, 128)), ("La", (50, 128))])
def test_premultiplied_alpha_is_divided_out(mode, pixel):
    assert np.abs(read_image(Image.new(mode, (1, 1), pixel)).astype(int) - 100).max() <= 1


def test_a_gray_palette_with_alpha_is_read():
    image = Image.fromarray(PIXELS).convert("L").convert("PA")
    np.testing.assert_array_equal(read_image(image), np.asarray(image.convert("RGB")))


# What is refused


def refused(image, sentence: str) -> None:
    with pytest.raises(ImageError, match=sentence):
        read_image(image)


def test_a_missing_file_is_named(tmp_path):
    refused(tmp_path / "cat.jpg", r"No such file: .*cat\.jpg\.$")


def test_an_address_comes_with_a_hint():
    refused("https://localhost/cat.jpg", "No such file: https://localhost/cat.jpg. Addresses are not opened")


def test_a_folder_is_named(tmp_path):
    refused(tmp_path, f"{tmp_path.name} is a folder; expected an image file")


def test_a_name_that_no_file_can_have_is_refused():
    refused("a\0b", "cannot be opened")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is an empty file"),
        (b"This is not an image.", "is not an image that can be read: expected JPEG, PNG"),
        (encoded(PIXELS, "JPEG")[:700], "is truncated or damaged"),
        (encoded(PIXELS, "PNG")[:700], "is truncated or damaged"),
        (encoded(PIXELS, "GIF")[:900], "is truncated or damaged"),
        (encoded(PIXELS, "TIFF")[:700], r"is truncated or damaged|is not an image"),
        (png_claiming(10, 10), "is truncated or damaged"),
        (png_claiming(20000, 20000), r"is too large .*; the limit is 178956970 pixels"),
    ],
    ids=["empty", "text", "JPEG", "PNG", "GIF", "TIFF", "no pixels", "bomb"],
)
def test_a_bad_file_is_named_with_the_reason(content, sentence, tmp_path):
    path = tmp_path / "cat.jpg"
    path.write_bytes(content)
    refused(path, rf"cat\.jpg {sentence}")


def test_damaged_bytes_never_raise_anything_but_an_image_error():
    random = np.random.RandomState(0)
    for kind in ("JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP", "PPM"):
        whole = np.frombuffer(encoded(PIXELS[:16, :16], kind), np.uint8)
        for _ in range(40):
            damaged = whole.copy()
            damaged[random.randint(0, len(whole), 12)] = random.randint(0, 256, 12)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # Pillow's about damaged metadata
                    read_image(damaged.tobytes())
            except ImageError:
                pass


def bmp_claiming(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


def gif_claiming(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + b",\0\0\0\0\1\0\1\0\0\2\2D\1\0;"


def tiff_claiming(width: int) -> bytes:
    entry = struct.Struct("<HHII")  # tag, type, count, value
    return encoded(PIXELS, "TIFF").replace(entry.pack(256, 4, 1, 56), entry.pack(256, 4, 1, width))


@pytest.mark.parametrize(
    "content",
    [
        png_claiming(31623, 31623),
        bmp_claiming(40000, 25000),
        gif_claiming(40000, 25000),
        b"P6 40000 25000 255\n",
        tiff_claiming(2**30),
    ],
    ids=["PNG", "BMP", "GIF", "PPM", "TIFF"],
)
def test_a_thousand_million_pixels_are_refused_before_any_is_decoded(content):
    tracemalloc.start()
    try:
        refused(
            content, r"is too large \(.*\); the limit is 178956970 pixels, against decompression bombs\.$"
        )
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_text_that_unpacks_to_many_megabytes_is_refused():
    packed = zlib.compress(b"key\0" + bytes(2**27))
    png, text = encoded(PIXELS, "PNG"), b"zTXtkey\0\0" + packed
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    bomb = png[:33] + chunk + png[33:]  # after the header
    tracemalloc.start()
    try:
        refused(bomb, "is truncated or damaged")
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


def test_a_frame_that_goes_beyond_its_animation_is_counted():
    """The limit holds for what is decoded, not for what the header says."""
    content = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0)
    content += b"," + struct.pack("<HHHHB", 0, 0, 40000, 25000, 0) + b"\2\2D\1\0;"
    refused(content, "is too large")


def test_a_later_frame_is_not_even_looked_at(tmp_path):
    frames = [Image.fromarray(PIXELS).convert("P"), Image.new("P", (40, 40))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    whole = (tmp_path / "a.gif").read_bytes()
    first = read_image(whole)
    assert np.array_equal(read_image(whole[:-20]), first)


@pytest.mark.parametrize(
    "content",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n(x) run\n%%EOF\n",
        struct.pack(">IIIIIII", 2**29, 2, 1, 1, 1, 0x47494D50, 10),
    ],
    ids=["PostScript, which Ghostscript would run", "a brush of GIMP with half a gigabyte of comment"],
)
def test_what_no_photograph_comes_in_is_refused(content, monkeypatch, tmp_path):
    monkeypatch.setattr(subprocess, "Popen", None)
    path = tmp_path / "image"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        refused(path, "is not an image that can be read: expected JPEG, PNG")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_every_format_is_one_of_pillows():
    Image.init()
    assert set(FORMATS) - {"AVIF"} <= Image.OPEN.keys()  # AVIF came with Pillow 11.3


def test_the_limit_holds_where_pillows_was_lifted(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    refused(png_claiming(20000, 20000), "is too large .20000 x 20000.; the limit is")


def test_the_limit_is_pillows():
    assert MAX_PIXELS == 2 * Image.MAX_IMAGE_PIXELS


def test_pillows_warning_about_large_images_is_not_shown():
    refused(png_claiming(10000, 10000), "is truncated or damaged")  # warnings are errors here


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (
            np.zeros((4, 5), np.uint8),
            r"uint8 \(4, 5\); expected uint8 \(height, width, 3\), RGB. For gray: np.stack",
        ),
        (np.zeros((4, 5, 3), np.float32), r"float32 \(4, 5, 3\); .* If its values are 0 to 1"),
        (np.zeros((4, 5, 3), np.int64), r"int64 \(4, 5, 3\); expected uint8"),
        (np.zeros((4, 5, 4), np.uint8), r"To drop alpha"),
        (np.zeros((3, 4, 5), np.uint8), r"For channels first"),
        (np.zeros((2, 4, 5, 3), np.uint8), r"Give a batch to preprocess"),
        (np.zeros((0, 5, 3), np.uint8), r"has no pixels: its shape is \(0, 5, 3\)"),
        (np.array("cat.jpg"), r"is an array of <U7 \(\)"),
    ],
)
def test_another_array_is_refused_with_what_was_expected(array, sentence):
    refused(array, sentence)


def test_an_image_without_pixels_is_refused():
    refused(Image.new("RGB", (0, 5)), "has no pixels: it is 0 x 5")


def test_floating_point_pixels_are_refused_by_name():
    refused(Image.new("F", (2, 2)), "floating-point pixels .mode F.")


@pytest.mark.parametrize("level", [-1, 65536])
def test_32_bit_levels_beyond_16_bits_are_refused(level):
    refused(Image.new("I", (2, 2), level), f"levels {level} to {level} .mode I.; expected 0 to 65535")


def test_another_type_is_refused_with_what_is_taken():
    refused(7, "The image is of type int; expected a path")


@pytest.mark.parametrize("text", ["some text", ""])
def test_a_file_opened_as_text_is_refused(text):
    refused(io.StringIO(text), "opened as text; open it with mode 'rb'")


def test_an_image_opened_as_text_is_refused(tmp_path):
    path = tmp_path / "image.jpg"
    path.write_bytes(encoded(PIXELS, "JPEG"))
    with path.open(encoding="utf-8") as file:
        refused(file, "opened as text; open it with mode 'rb'")


def test_a_bad_image_in_a_list_is_named_by_its_place():
    with pytest.raises(ImageError, match="Image 2 of 3 is not an image"):
        preprocess([PIXELS, b"text", PIXELS], TENCENT)


def test_a_bad_array_in_a_batch_is_named_by_its_place():
    with pytest.raises(ImageError, match="Image 1 of 2 is an array of float32"):
        preprocess(np.zeros((2, 4, 5, 3), np.float32), TENCENT)


@pytest.mark.parametrize("images", [[], (), np.zeros((0, 4, 5, 3), np.uint8)], ids=["list", "tuple", "array"])
def test_an_empty_batch_is_refused(images):
    with pytest.raises(ImageError, match="Expected at least one image, got an empty"):
        preprocess(images, TENCENT)


def test_preprocessing_imports_neither_tensorflow_nor_keras():
    code = "import sys, modelzoo.images; print(*{'tensorflow', 'keras', 'cv2'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == ""


def test_no_more_is_asked_of_a_file_than_it_has():
    """A PNG's chunk that claimed gigabytes was asked for at once, which took as much memory."""

    class Asked(io.BytesIO):
        def read(self, count=-1):
            assert count is None or count <= len(self.getvalue())
            return super().read(count)

    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "PNG")
    content = buffer.getvalue()
    at = content.index(b"IDAT") - 4
    claimed = content[:at] + struct.pack(">I", 2**31 - 1) + content[at + 4 :]
    assert np.array_equal(read_image(Asked(claimed)), read_image(Asked(content)))
