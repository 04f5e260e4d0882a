"""YOLOv2: Darknet-19 as the backbone, and a detector that also sees the finer map before it.

Sources: Redmon and Farhadi 2016, "YOLO9000: Better, Faster, Stronger", https://arxiv.org/abs/1612.08242;
pjreddie/darknet, cfg/yolov2.cfg and src/.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelzoo.architectures.family import Family, NormOptions, Proof, Tensor

if TYPE_CHECKING:
    from modelzoo.architectures.layers import Layers

STRIDE = 32  # of the grid of cells, and so what both sides of an image are multiples of
SLOPE = 0.1  # of the leaky ReLU below zero
# OpenCV's epsilon. Darknet on a CPU adds as much to the deviation instead of the variance (normalize_cpu in
# blas.c), and on a GPU adds 1e-5 to the variance (normalize_kernel in blas_kernels.cu).
NORM: NormOptions = {"epsilon": 1e-6, "momentum": 0.99}


@dataclass(frozen=True)
class Variant:
    """The widths of the convolutions, and the shapes that the detector starts from."""

    stem: int
    stages: tuple[tuple[int, ...], ...]  # of each, 3x3 and 1x1 in turn
    passthrough: int
    anchors: tuple[tuple[float, float], ...]  # width and height, in cells of the grid


def backbone(nn: Layers, images: Tensor, variant: str) -> dict[str, Tensor]:
    """The feature maps by name: C1 has stride 2, C2 stride 4, and so on to C5."""
    facts = VARIANTS[variant]
    x = conv_norm_leaky(nn, images, facts.stem, 3, "stem_conv")
    features = {}
    for stage, widths in enumerate(facts.stages, start=1):
        x = nn.max_pool(x, 2, stride=2, padding="same", name=f"stage{stage}_pool")
        for number, width in enumerate(widths, start=1):
            kernel = 3 if number % 2 else 1
            x = conv_norm_leaky(nn, x, width, kernel, f"stage{stage}_conv{number}")
        features[f"C{stage}"] = x
    return features


def detector(nn: Layers, maps: dict[str, Tensor], variant: str, classes: int) -> Tensor:
    """What each cell says, (batch, height / 32, width / 32, anchors * (5 + classes)), before any activation.

    For each anchor x, y, width, height, whether there is an object, and the classes. Raises ValueError if
    the images' height and width are not known, or no multiples of 32.
    """
    facts = VARIANTS[variant]
    _check_size(maps["C4"].sides)
    width = facts.stages[-1][0]
    x = conv_norm_leaky(nn, maps["C5"], width, 3, "detector_conv1")
    x = conv_norm_leaky(nn, x, width, 3, "detector_conv2")
    fine = conv_norm_leaky(nn, maps["C4"], facts.passthrough, 1, "detector_passthrough_conv")
    fine = reorg(nn, fine, "detector_reorg")
    x = nn.concat([fine, x], name="detector_concat")
    x = conv_norm_leaky(nn, x, width, 3, "detector_conv3")
    return nn.conv(x, len(facts.anchors) * (5 + classes), 1, bias=True, name="predictions", output=True)


def reorg(nn: Layers, x: Tensor, name: str) -> Tensor:
    """Half the height and width and four times the channels, in the order of Darknet's reorg_cpu.

    It is no plain space-to-depth. Darknet's [reorg] runs the loop of the reverse direction
    (https://github.com/pjreddie/darknet/blob/master/src/blas.c), so it takes its input, channels first, for
    an array of a quarter of the channels, twice as high and wide; which pixels meet which depends on the
    image's size. The weights are trained with it.
    """
    (height, width), channels = x.known_sides, x.channels
    x = nn.permute(x, (3, 1, 2), name=f"{name}_channels_first")
    x = nn.reshape(x, (channels // 4, height, 2, width, 2), name=f"{name}_taken_as_larger")
    x = nn.permute(x, (3, 5, 1, 2, 4), name=f"{name}_space_to_depth")
    x = nn.reshape(x, (4 * channels, height // 2, width // 2), name=f"{name}_taken_as_smaller")
    return nn.permute(x, (2, 3, 1), name=name)


def conv_norm_leaky(nn: Layers, x: Tensor, filters: int, kernel: int, name: str) -> Tensor:
    """Convolution, batch norm and leaky ReLU, named stage1_conv1, stage1_bn1 and stage1_leaky1."""
    x = nn.conv(x, filters, kernel, name=name)
    x = nn.norm(x, name=name.replace("conv", "bn"), **NORM)
    return nn.leaky_relu(x, SLOPE, name=name.replace("conv", "leaky"))


def _check_size(fine: tuple[int | None, int | None]) -> None:
    if None in fine:
        raise ValueError(
            "A YOLOv2 with its top needs the height and width of its images (Darknet's reorg depends on "
            "them); without the top they may be None."
        )
    if any(side is not None and side % 2 for side in fine):
        raise ValueError(f"A YOLOv2 with its top needs a height and width that are multiples of {STRIDE}.")


VARIANTS = {
    "2": Variant(
        stem=32,
        stages=(
            (64,),
            (128, 64, 128),
            (256, 128, 256),
            (512, 256, 512, 256, 512),
            (1024, 512, 1024, 512, 1024),
        ),
        passthrough=64,
        anchors=(
            (0.57273, 0.677385),
            (1.87446, 2.06253),
            (3.33843, 5.47434),
            (7.88282, 3.52778),
            (9.77052, 9.16828),
        ),
    ),
}

PROOF = Proof(
    # A chain without any shortcut: with these its logits depend on the image by a tenth of their spread. With
    # larger ones rounding grows beyond the limit, on TensorFlow's oneDNN kernels to 3.5e-6.
    gammas={r"stage\d+_bn\d+|detector_(passthrough_)?bn\d*": (0.5, 1.0)},
    native_size=(416, 416),  # at the entry's own the golden would be large
    odd_size=(224, 320),  # both are multiples of 32
    any_size=False,  # what reorg does depends on it
)
FAMILY = Family(VARIANTS, backbone, detector=detector, proof=PROOF)
