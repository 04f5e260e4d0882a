"""load(): a model's name -> a keras.Model with its weights. The one module that knows the others."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from modelzoo import download, registry
from modelzoo.errors import ConversionError, DownloadError, WeightsMismatch, WeightsUnavailable
from modelzoo.files import appearing
from modelzoo.registry import Entry, Source

if TYPE_CHECKING:
    import keras

FROM_ENTRY = "entry"
SYNTHETIC = "synthetic"
PRETRAINED = "pretrained"
WHEREABOUTS = ("bundled", "cached", "hosted", "converts from upstream", "file needed", "none published")


def load(
    name: str,
    *,
    include_top: bool = True,
    weights: str | os.PathLike | None = PRETRAINED,
    pooling: str | None = None,
    classes: int | None = None,
    classifier_activation: str | None = FROM_ENTRY,
    input_shape: tuple[int | None, int | None, int] | None = None,
    features: bool | Sequence[str] | None = None,
    dtype: str | None = None,
) -> keras.Model:
    """A functional keras.Model of the registry's model `name` ("resnet50_v1d" or "resnet50_v1d.gluon").

    Its input is float, (batch, height, width, channels), prepared as `modelzoo.preprocess` does.

    include_top: True gives (batch, classes), or what a detector says of each cell. False gives the last
        feature map, (batch, height / 32, width / 32, channels), or (batch, channels) with `pooling`
        "avg" or "max".
    weights: "pretrained"; None, random, for training from scratch; "synthetic", the deterministic
        rule of modelzoo.synthetic, for tests; or a path to one of our files or to the upstream's own.
    classes: another number than the entry's gives a new, randomly initialised head on the same backbone.
    classifier_activation: "entry" means what the registry says (softmax, mostly); None means logits;
        otherwise the name of a Keras activation.
    input_shape: (height, width, channels); None for a side of any length. Default: the entry's.
        Other than three channels only with weights=None.
    features: names of feature maps, for example ("C2", "C3", "C4", "C5") with strides 4, 8, 16 and
        32, or True for all from C2 on. The model then returns a dict of them.
    dtype: a Keras dtype or dtype policy, for example "mixed_bfloat16"; default: Keras' global one.

    Raises UnknownModel; WeightsUnavailable if pretrained weights cannot be had (never random
    weights instead); WeightsMismatch or ConversionError for a file that does not fit; ValueError for
    arguments that contradict each other.
    """
    entry = registry.info(name)
    graph = entry.graph
    input_shape = tuple(input_shape) if input_shape is not None else graph.input_shape
    _check_arguments(include_top, weights, pooling, classes, input_shape, features)
    fresh_head = classes not in (None, graph.classes)
    activation = graph.activation if classifier_activation == FROM_ENTRY else classifier_activation
    head = include_top and not features and not fresh_head
    with _weights_path(entry, weights, head) as path:
        from modelzoo import architectures
        from modelzoo import weights as weight_files

        network = architectures.build(
            graph.family,
            graph.variant,
            input_shape=input_shape,
            classes=(classes or graph.classes) if include_top and not features else None,
            pooling=pooling,
            classifier_activation=activation,
            dtype=dtype,
            initialise=weights is None,
            initialise_head=fresh_head,
            name=entry.key.replace(".", "_"),
        )
        model = network.model()
        if weights == SYNTHETIC:
            weight_files.assign_synthetic(model, fresh_head=fresh_head)
        elif path is not None:
            _check_owner(entry, path)
            weight_files.assign(model, path, fresh_head=fresh_head)
    return network.feature_model(features) if features else model


def weights_file(name: str) -> Path:
    """The path of the model's pretrained weights, one of our HDF5 files, fetched and converted if need be.

    Looked for in this order: bundled with the package, in the cache, on our hosts, and at the upstream,
    whose file is then converted on this machine and kept in the cache. Raises WeightsUnavailable
    with everything that was tried.
    """
    entry = registry.info(name)
    for path in (_bundled_path(entry), cached_path(entry)):
        if path.is_file():
            return path
    target = cached_path(entry)
    tried = [f"{target} is not there"]
    for file in entry.weights:
        try:
            download.fetch(file.url, target, checksums={"sha256": file.sha256}, size=file.bytes)
            return target
        except DownloadError as error:
            tried.append(f"{file.url}: {error}")
    for source in entry.sources:
        for url in source.urls:
            try:
                return _fetch_and_convert(entry, source, url, target)
            except (DownloadError, ConversionError) as error:
                tried.append(f"{url}: {error}")
    raise WeightsUnavailable(
        f"The pretrained weights of {entry.key} cannot be had: {'; '.join(tried)}. {_advice(entry)}"
    )


def add(name: str, path: str | os.PathLike) -> Path:
    """Installs a file that the user owns as the model's pretrained weights; returns its place in the cache.

    The file is one of ours, or the upstream's own: a file, archive, folder or checkpoint prefix,
    which must have the published checksums and is converted. Raises WeightsMismatch or ConversionError.
    """
    entry, path = registry.info(name), Path(path)
    from modelzoo import conversion
    from modelzoo import weights as weight_files

    target = cached_path(entry)
    if not weight_files.is_ours(path):
        conversion.convert(entry, path, target, official=True)
        return target
    _check_owner(entry, path)
    weight_files.check(path, conversion.weight_shapes(entry))
    with appearing(target) as temporary:
        shutil.copyfile(path, temporary)
    return target


def cached_path(entry: Entry) -> Path:
    """Where the cache keeps the entry's weights, whether they are there or not."""
    return download.cache_folder() / "weights" / f"{entry.key}.h5"


def whereabouts(entry: Entry) -> str:
    """Where `load` would take pretrained weights from: one of WHEREABOUTS, found without any network."""
    if _bundled_path(entry).is_file():
        return "bundled"
    if cached_path(entry).is_file():
        return "cached"
    if entry.weights:
        return "hosted"
    if any(source.urls for source in entry.sources):
        return "converts from upstream"
    return "file needed" if entry.sources else "none published"


def _check_arguments(include_top, weights, pooling, classes, input_shape, features) -> None:
    if include_top and pooling is not None and not features:
        raise ValueError("pooling needs include_top=False: with the top, the pooling is the network's own.")
    if classes is not None and not include_top:
        raise ValueError("classes needs include_top=True.")
    if features and (pooling is not None or classes is not None):
        raise ValueError("features gives feature maps: it goes with neither pooling nor classes.")
    if classes is not None and (type(classes) is not int or classes < 1):
        raise ValueError(f"classes must be a positive int, not {classes!r}.")
    if len(input_shape) != 3:
        raise ValueError(f"input_shape must be (height, width, channels), not {input_shape!r}.")
    if weights is not None and input_shape[2] != 3:
        raise ValueError(
            f"The weights are for 3 channels, not {input_shape[2]}; with weights=None any will do."
        )


def _check_owner(entry: Entry, path: Path) -> None:
    """Names and shapes are not enough: ResNet v1c and v1d share all of them."""
    from modelzoo import weights as weight_files

    owner = weight_files.receipt(path).get("model")
    if owner != entry.key:
        raise WeightsMismatch(f"{path} holds the weights of {owner}, not of {entry.key}.")


@contextmanager
def _weights_path(entry: Entry, weights: str | os.PathLike | None, head: bool) -> Iterator[Path | None]:
    """Our weight file for load()'s `weights`, maybe without a head; None where there is nothing to read."""
    if weights in (None, SYNTHETIC):
        yield None
    elif weights == PRETRAINED:
        yield weights_file(entry.key)
    else:
        from modelzoo import conversion
        from modelzoo import weights as weight_files

        path = Path(weights)
        if weight_files.is_ours(path):
            yield path
            return
        with tempfile.TemporaryDirectory(prefix="modelzoo-") as folder:
            converted = Path(folder) / "converted.h5"
            conversion.convert(entry, path, converted, head=head)
            yield converted


def _bundled_path(entry: Entry) -> Path:
    return Path(str(resources.files("modelzoo") / "bundled" / f"{entry.key}.h5"))


def _fetch_and_convert(entry: Entry, source: Source, url: str, target: Path) -> Path:
    """The upstream file is removed after its conversion: the cache keeps one copy of the weights."""
    from modelzoo import conversion

    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".upstream-", dir=target.parent) as folder:
        upstream = Path(folder) / (Path(url.partition("?")[0]).name or "upstream")
        checksums = {c.algorithm: c.value for c in source.checksums if c.of == "file"}
        stated = download.fetch(url, upstream, checksums=checksums, size=source.bytes)
        conversion.convert(entry, upstream, target, official=True, verified=stated)
    return target


def _advice(entry: Entry) -> str:
    if not entry.weights and not entry.sources:
        return "None were ever published: use weights=None or train your own."
    return f"If you have the file, run: modelzoo add {entry.key} FILE"
