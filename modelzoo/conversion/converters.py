"""CONVERTERS: the one list of the sources whose files we convert."""

from __future__ import annotations

import re
from types import ModuleType

from modelzoo.conversion import (
    darknet,
    efficientnet_lite,
    gluon2tf,
    gluoncv,
    keras_applications,
    keras_refusals,
    slim_inception,
    slim_inception_resnet,
    slim_mobilenet,
    slim_nasnet,
    slim_resnet,
    slim_vgg,
    tencent,
    timm,
    torchvision,
)
from modelzoo.conversion.converter import Converter, UpstreamNames
from modelzoo.conversion.layouts import DENSE_AS_CONV, FLATTENED, KERAS, OIHW, Layout
from modelzoo.conversion.leftovers import NOTHING
from modelzoo.errors import ConversionError
from modelzoo.registry import Entry, Source


def _tensorflow(
    name: str, names: ModuleType, layout: Layout, ignored: re.Pattern[str] = NOTHING
) -> Converter:
    """Of checkpoints, in which training may have left moving averages."""
    return Converter(name, names.upstream_names, layout, ignored, takes_averages=names.TAKES_AVERAGES)


def _torch(name: str, names: UpstreamNames) -> Converter:
    """Of state dicts; timm and torchvision evaluate the averages of a checkpoint that has some."""
    return Converter(name, names, OIHW, takes_averages=True)


# Names stand in registries, also in people's own, and in the provenance of converted files: keep them.
_ALL = (
    Converter(
        "darknet",
        darknet.upstream_names,
        OIHW,
        plan=darknet.plan,
        known_sizes=darknet.KNOWN_SIZES,
    ),
    _tensorflow("efficientnet_lite", efficientnet_lite, KERAS),
    _torch("efficientnet_lite.torch", efficientnet_lite.torch_names),
    Converter("gluoncv", gluoncv.upstream_names, OIHW),
    Converter(
        "keras_applications",
        keras_applications.upstream_names,
        FLATTENED,  # of VGG's; the other families have no such layers
        keras_applications.IGNORED,
        check=keras_refusals.check,
    ),
    Converter(  # MobileNet v1 and v3
        "keras_mobilenets",
        keras_applications.upstream_names,
        DENSE_AS_CONV,
        keras_applications.IGNORED,
        check=keras_refusals.check,
    ),
    _tensorflow("slim.inception", slim_inception, DENSE_AS_CONV, slim_inception.IGNORED),
    _tensorflow("slim.inception_resnet", slim_inception_resnet, KERAS, slim_inception_resnet.IGNORED),
    # Named as v1 to v3 are; its logits are dense.
    _tensorflow("slim.inception_v4", slim_inception, KERAS, slim_inception.IGNORED),
    _tensorflow("slim.mobilenet", slim_mobilenet, DENSE_AS_CONV),
    _tensorflow("slim.nasnet", slim_nasnet, KERAS, slim_nasnet.IGNORED),
    _tensorflow("slim.resnet", slim_resnet, DENSE_AS_CONV, slim_resnet.IGNORED),
    # fc6 and fc7 are convolutions on both sides.
    _tensorflow("slim.vgg", slim_vgg, DENSE_AS_CONV, slim_vgg.IGNORED),
    _tensorflow("tencent", tencent, KERAS),
    _torch("timm", timm.upstream_names),
    _torch("torchvision", torchvision.upstream_names),
)
CONVERTERS: dict[str, Converter] = {converter.name: converter for converter in _ALL}

# Of files that no registry lists: people made them of others with a program.
MADE = {"gluon2tf": Converter("gluon2tf", gluon2tf.upstream_names, KERAS)}


def converter_of(source: Source) -> Converter:
    """The converter that a registry names for a source; raises ConversionError if there is none."""
    if source.converter in MADE:
        return MADE[source.converter]
    if source.converter not in CONVERTERS:
        raise ConversionError(
            f"There is no converter {source.converter!r}; expected one of {', '.join(CONVERTERS)}."
        )
    return CONVERTERS[source.converter]


def sources_of(entry: Entry) -> tuple[Source, ...]:
    """The sources of an entry, and after them what a program makes of their files."""
    if any(source.converter == "gluoncv" for source in entry.sources) and gluon2tf.has(entry.graph.variant):
        return *entry.sources, Source("gluon2tf", "tensorflow", urls=())
    return entry.sources
