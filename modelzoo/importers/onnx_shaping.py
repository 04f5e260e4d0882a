"""Operations of ONNX that move values and compute none -> operators."""

from __future__ import annotations

import math
from collections.abc import Sequence

from modelzoo.errors import quoted
from modelzoo.graph.shaping import Concat, Cropping, Flatten, Reshape, UpSampling, ZeroPadding
from modelzoo.graph.windows import Pair
from modelzoo.importers.constants import BATCH
from modelzoo.importers.network import Site
from modelzoo.importers.values import CHANNELS_FIRST, Value, plain

NEAREST = {("asymmetric", "floor"), ("half_pixel", "round_prefer_floor")}
NEAREST |= {("pytorch_half_pixel", "round_prefer_floor"), ("half_pixel", "floor")}
LINEAR = ("half_pixel", "pytorch_half_pixel")


def concat(at: Site) -> Value:
    return joined(at, [at.value(number) for number in range(len(at.node.inputs))], at.option("axis", -1))


def joined(at: Site, values: Sequence[Value], along: int) -> Value:
    """The values one after the other."""
    tensors, order = at.reading.alike(values)
    axis = values[0].axis(along)
    return Value(at.add(Concat(-1 if axis == len(order) - 1 else axis), *tensors), order)


def _flat(at: Site, x: Value) -> Value:
    """All values of an image in a row; nothing is moved where all but one side are 1."""
    sides = [side for side in x.tensor.shape[1:] if side != 1]
    tensor = x.tensor if len(sides) <= 1 and None not in sides else at.reading.plain(x)
    return Value(tensor if x.rank == 2 else at.add(Flatten(), tensor), plain(2))


def flatten(at: Site) -> Value:
    x = at.value()
    if at.option("axis", 1) not in (1, 1 - x.rank):
        raise ValueError(f"no operator has axis={quoted(at.option('axis'))}, only 1")
    return _flat(at, x)


def reshape(at: Site) -> Value:
    x = at.value()
    target = [int(side) for side in (at.array(1).reshape(-1) if at.given(1) else at.option("shape", ()))]
    sides = [x.shape[place] if side == 0 and place < x.rank else side for place, side in enumerate(target)]
    rest = _rest(x, target, sides)
    if len(rest) == 1:
        return _flat(at, x)
    if len(rest) == 3 and rest[1:] == [1, 1]:
        found = at.add(Reshape((1, 1, rest[0])), at.reading.plain(x) if x.rank > 2 else x.tensor)
        return Value(found, CHANNELS_FIRST)
    return Value(at.add(Reshape(tuple(rest)), at.reading.plain(x)), plain(1 + len(rest)))


def _rest(x: Value, target: Sequence[int], sides: Sequence[int | None]) -> list[int]:
    """The sides but for the batch, which must stay where it is."""
    rest = [side for side in sides[1:] if side is not None]
    known, whole = math.prod(side for side in rest if side != -1), x.shape[1:]
    total = None if None in whole else math.prod(side for side in whole if side is not None)
    batch = bool(target) and (target[0] in (0, BATCH, 1) or (target[0] == -1 and -1 not in rest))
    fits = total is None or (total % known == 0 if -1 in rest else known == total) if known > 0 else False
    if (
        not batch
        or len(rest) != len(sides) - 1
        or not fits
        or rest.count(-1) > 1
        or min(rest, default=1) < -1
    ):
        raise ValueError(f"no operator reshapes values of shape {x.shape} to {quoted(list(target))}")
    if total is not None:
        rest = [total // known if side == -1 else side for side in rest]
    return rest


def _axes(at: Site) -> list[int]:
    found = at.array(1).reshape(-1).tolist() if at.given(1) else at.option("axes")
    if found is None:
        raise ValueError("expected axes")
    return [int(axis) for axis in found]


def squeeze(at: Site) -> Value:
    return squeezed(at, _axes(at))


def squeezed(at: Site, axes: Sequence[int]) -> Value:
    """The value without these axes, which are of one side; only what leaves a row for each image."""
    x = at.value()
    gone = {axis % x.rank for axis in axes}
    if 0 in gone or any(x.shape[axis] != 1 for axis in gone) or x.rank - len(gone) != 2:
        raise ValueError(f"no operator takes the axes {quoted(axes)} of values of shape {x.shape} away")
    return _flat(at, x)


def unsqueeze(at: Site) -> Value:
    """Only what makes a map of one pixel of a row."""
    x, axes = at.value(), _axes(at)
    if x.rank != 2 or sorted(axis % 4 for axis in axes) != [2, 3]:
        raise ValueError(f"no operator adds the axes {quoted(axes)} to values of shape {x.shape}")
    return Value(at.add(Reshape((1, 1, x.tensor.channels)), x.tensor), CHANNELS_FIRST)


def transpose(at: Site) -> Value:
    """Nothing moves: the axes have other names from now on."""
    return turned(at, at.option("perm", tuple(reversed(range(at.value().rank)))))


def turned(at: Site, axes: Sequence[int]) -> Value:
    """The value with its axes in this order."""
    x = at.value()
    if sorted(axes) != list(range(x.rank)) or axes[0] != 0:
        raise ValueError(f"no operator has perm={quoted(list(axes))}: the batch must stay first")
    return Value(x.tensor, tuple(x.order[axis] for axis in axes))


def pad(at: Site) -> Value:
    at.expect("mode", "constant")
    pads = at.array(1).reshape(-1).tolist() if at.given(1) else list(at.option("pads", ()))
    value = float(at.array(2).reshape(())) if at.given(2) else at.option("value", 0.0)
    if at.given(3):
        raise ValueError("no operator pads the axes that another input names")
    return padded(at, pads, value)


def padded(at: Site, pads: Sequence[int], value: float) -> Value:
    """The value with so many zeros before each axis, and after each."""
    x = at.value()
    if value != 0 or x.rank != 4 or len(pads) != 8 or min(pads) < 0:
        raise ValueError(f"no operator has pads={quoted(list(pads))} of {quoted(value)}")
    if not any(pads):
        return x
    x = _spatial(at, x, [axis for axis in range(4) if pads[axis] or pads[axis + 4]])
    own = {x.order[axis]: (pads[axis], pads[axis + 4]) for axis in range(4)}
    return Value(at.add(ZeroPadding((own[1], own[2])), x.tensor), x.order)


def _spatial(at: Site, x: Value, axes: list[int]) -> Value:
    """The value with these axes as its height and width."""
    if all(x.order[axis] in (1, 2) for axis in axes):
        return x
    rest = [axis for axis in (1, 2, 3) if axis not in axes]
    if 0 in axes or not rest:
        raise ValueError(f"no operator pads or crops the axes {quoted(axes)}, only height and width")
    return at.reading.last(x, rest[0])


def crop(at: Site) -> Value:
    x = at.value()
    if at.opset < 10:
        starts, ends = list(at.option("starts")), list(at.option("ends"))
        axes, steps = list(at.option("axes", range(len(starts)))), [1]
    else:
        starts, ends = (at.array(number).reshape(-1).tolist() for number in (1, 2))
        axes = at.array(3).reshape(-1).tolist() if at.given(3) else list(range(len(starts)))
        steps = at.array(4).reshape(-1).tolist() if at.given(4) else [1]
    if set(steps) != {1} or x.rank != 4 or not len(axes) == len(starts) == len(ends):
        raise ValueError(f"no operator takes steps of {quoted(steps)} along the axes {quoted(axes)}")
    axes = [axis % 4 for axis in axes]
    x = _spatial(at, x, axes)
    margins: dict[int, Pair] = {1: (0, 0), 2: (0, 0)}
    for axis, start, end in zip(axes, starts, ends, strict=True):
        margins[x.order[axis]] = _cut(x.shape[axis], start, end)
    return Value(at.add(Cropping((margins[1], margins[2])), x.tensor), x.order)


def _cut(side: int | None, start: int, end: int) -> Pair:
    """The pixels that are cropped before and after a side."""
    if start >= 0 and (end < 0 or end >= 2**31 - 1):
        return start, -end if end < 0 else 0
    if side is None:
        raise ValueError("what is cut depends on the size of images, which is open")
    first, last, _ = slice(start, end).indices(side)
    return first, side - last


def resize(at: Site) -> Value:
    x = at.value()
    if x.rank != 4:
        raise ValueError(f"expected a map, got values of shape {x.shape}")
    x = at.reading.laid(x, CHANNELS_FIRST)
    size, mode = _scales(at, x), at.option("mode", "nearest")
    asked = at.option("coordinate_transformation_mode", "half_pixel" if at.opset >= 11 else "asymmetric")
    rounding = at.option("nearest_mode", "round_prefer_floor" if at.opset >= 11 else "floor")
    if mode == "nearest" and (asked, rounding) in NEAREST:
        return Value(at.add(UpSampling(size), x.tensor), x.order)
    if mode == "linear" and asked in LINEAR:
        return Value(at.add(UpSampling(size, "bilinear"), x.tensor), x.order)
    raise ValueError(f"no operator has mode={quoted(mode)} with {quoted(asked)} and {quoted(rounding)}")


def _scales(at: Site, x: Value) -> Pair:
    """By how much the height and width grow: whole numbers."""
    number = 2 if at.node.kind == "Resize" and at.opset >= 11 else 1
    if at.given(3):
        sides = at.array(3).reshape(-1).tolist()
        known = x.shape[2:]
        if len(sides) != 4 or None in known:
            raise ValueError("the size that it makes depends on that of images, which is open")
        scales = [1, 1, *(new / (old or 1) for new, old in zip(sides[2:], known, strict=True))]
    else:
        scales = at.array(number).reshape(-1).tolist() if at.given(number) else list(at.option("scales", ()))
    if len(scales) != 4 or scales[:2] != [1, 1] or any(s != int(s) or not 0 < s < 2**16 for s in scales):
        raise ValueError(f"no operator makes a map {quoted(scales)} times as large")
    return int(scales[2]), int(scales[3])
