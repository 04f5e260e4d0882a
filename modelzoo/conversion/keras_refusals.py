"""Files of keras.applications that would pair and still be wrong, or that one sentence can name."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from modelzoo.architectures.keras_applications import IMAGENET_MEAN, IMAGENET_STD
from modelzoo.conversion.keras_applications import upstream_names
from modelzoo.errors import ConversionError
from modelzoo.formats import KerasTensors, Tensors

LARGEST_KERNEL = 11  # side, in pixels; larger first sides are channels, in Theano's order
THEANO_NAME = re.compile(r"th_kernels|th_dim_ordering")
# A kernel whose last side is this number times alpha, and which no other alpha has.
ALPHA = {"mobilenet_v2": ("block_16_project/kernel", 320), "mobilenet": ("conv_pw_13/kernel", 1024)}
NORMALIZATION = re.compile(r"normalization(?:_\d+)?/(mean|variance)")


def check(variant: str, tensors: Tensors) -> None:
    """Raises ConversionError for Theano's kernels, another alpha's, or another normalization of images."""
    _refuse_theano(tensors)
    _refuse_other_alpha(variant, tensors)
    _refuse_other_normalization(tensors)


def _refuse_theano(tensors: Tensors) -> None:
    """Its kernels are transposed and flipped, or only flipped, which nothing but the file's word can tell."""
    for sign in _signs_of_theano(tensors):
        raise ConversionError(
            f"{tensors.path} holds Theano's kernels, transposed and flipped ({sign}); "
            "expected the file of TensorFlow's, usually named ..._tf_dim_ordering_tf_kernels.h5."
        )


def _signs_of_theano(tensors: Tensors) -> Iterator[str]:
    for name, info in tensors.items():
        if len(info.shape) == 4 and info.shape[0] > LARGEST_KERNEL:
            yield f"{name} has shape {info.shape}"
    if isinstance(tensors, KerasTensors) and tensors.backend == "theano":
        yield "it says that its backend was Theano"
    if THEANO_NAME.search(tensors.path.name):
        yield "its name says so"


def _refuse_other_alpha(variant: str, tensors: Tensors) -> None:
    name_of = upstream_names(variant, tensors)
    for model, (path, channels) in ALPHA.items():
        match, name = re.fullmatch(rf"{model}_([\d.]+)", variant), name_of(path)
        if match is None or name not in tensors:
            continue
        alpha = match[1]
        found = tensors[name].shape[-1] / channels
        if abs(found - float(alpha)) > 1 / channels:
            raise ConversionError(
                f"{tensors.path} seems to be a {model} of alpha {found:.2f}; expected alpha {alpha}."
            )
        return


def _refuse_other_normalization(tensors: Tensors) -> None:
    """EfficientNet's files must hold the constants of our graph; see IMAGENET_STD for what they mean."""
    constants = {"mean": IMAGENET_MEAN, "variance": IMAGENET_STD}
    for name in tensors:
        if match := NORMALIZATION.fullmatch(name):
            expected, found = constants[match[1]], tensors.read(name)
            if found.shape != (3,) or not np.allclose(found, expected, rtol=1e-5, atol=0):
                raise ConversionError(
                    f"{tensors.path} normalizes images by the {match[1]} {found.tolist()}; "
                    f"expected {list(expected)}, as this network does."
                )
