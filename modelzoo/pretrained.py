"""weights_file(): a model's name -> a file of ours with its pretrained weights, from the nearest source.

In this order: bundled with the package, the cache, the mirrors of MODELZOO_MIRROR, our hosts, and the
upstream, whose file is converted on this machine. Whatever comes from outside is checked and then kept in
the cache, with a note of why it is trusted.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from functools import partial
from importlib import resources
from pathlib import Path

from modelzoo import cache, download, mirror, registry
from modelzoo.errors import ConversionError, DownloadError, WeightsMismatch, WeightsUnavailable
from modelzoo.registry import Entry, HostedFile, Source

PINNED = "pinned on first use"
WHEREABOUTS = (
    "bundled",
    "cached",
    "cached without top",
    "hosted",
    "converts from upstream",
    "none published",
)
_converting = threading.Lock()  # one conversion at a time: each builds a network


def weights_file(name: str) -> Path:
    """The path of the model's pretrained weights, one of our HDF5 files, fetched and converted if need be.

    Raises WeightsUnavailable with everything that was tried.
    """
    return find(registry.info(name))


def find(entry: Entry, *, top: bool = True) -> Path:
    """The same; with `top=False` a file without the head's weights will do, if it is the nearest."""
    bundled = bundled_path(entry)
    return bundled if bundled.is_file() else _cached(entry, top) or _obtain(entry, top)


def add(name: str, path: str | os.PathLike) -> Path:
    """Installs a file that the user owns as the model's pretrained weights; returns its place in the cache.

    The file is one of ours, or the upstream's own: a file, archive, folder or checkpoint prefix,
    which must have the published checksums and is converted. Raises WeightsMismatch or ConversionError.
    """
    entry, path = registry.info(name), Path(path)
    from modelzoo import conversion, weights

    by_hand = f"added by hand {date.today().isoformat()}"
    if weights.is_ours(path):
        check(entry, path)
        with cache.workroom() as folder:
            shutil.copyfile(path, folder / "copy.h5")
            return cache.keep(folder / "copy.h5", entry.key, source=str(path), trust=by_hand).path
    with cache.workroom() as folder:
        receipt = conversion.convert(entry, path, folder / "converted.h5", official=True)
        trust = _published(receipt["verified"]) or by_hand
        return cache.keep(folder / "converted.h5", entry.key, source=str(path), trust=trust).path


def recognise(path: str | os.PathLike) -> str:
    """The key of the model whose weights a file has: by our receipt, a published checksum, or its tensors.

    Raises ConversionError if there is none, or more than one.
    """
    path = Path(path)
    from modelzoo import weights
    from modelzoo.conversion import recognition

    if weights.is_ours(path):
        return registry.info(weights.receipt(path).get("model")).key
    entries = [registry.info(key) for key in registry.list_models()]
    found = recognition.by_checksum(path, entries) or recognition.by_tensors(path, entries)
    if len(found) == 1:
        return found[0].key
    if not found:
        raise ConversionError(
            f"{path} holds the weights of no model that is known; `modelzoo convert NAME FILE` says why not."
        )
    keys = ", ".join(entry.key for entry in found)
    raise ConversionError(f"{path} fits several models: {keys}; say which: modelzoo add NAME {path}")


def bundle(names: Sequence[str], target: Path) -> None:
    """Packs the models' weight files as a tar that unbundle() takes and that, unpacked, is a mirror."""
    from modelzoo import weights

    paths = {registry.info(name).key: weights_file(name) for name in names}
    models = {key: mirror.entry(path, weights.receipt(path)) for key, path in paths.items()}
    files = {models[key]["file"]: path for key, path in sorted(paths.items())}
    mirror.pack(target, {mirror.INDEX: mirror.index_text(models).encode(), **files})


def unbundle(path: Path) -> list[str]:
    """Installs the models of a bundle in the cache; returns their keys."""
    from modelzoo.conversion import archives

    with archives.unpacked(path) as folder:
        if not folder.is_dir():
            raise ConversionError(f"{path} is no bundle: `modelzoo bundle NAMES -o FILE` writes one.")
        entries = [registry.info(model) for model, top in mirror.index(str(folder)) if top]
        for entry in entries:
            try:
                _from_mirror(entry, str(folder), True, source=str(path))
            except (DownloadError, WeightsMismatch) as error:
                raise ConversionError(f"{path}: {entry.key}: {error}") from error
    return [entry.key for entry in entries]


def check(entry: Entry, path: Path, *, top: bool = True) -> None:
    """Raises WeightsMismatch unless one of our files has the entry's weights by name, shape and receipt."""
    from modelzoo import conversion, weights

    check_owner(entry, path)
    shapes = conversion.weight_shapes(entry)
    without = () if top else weights.top(shapes)
    weights.check(path, {name: shape for name, shape in shapes.items() if name not in without})


def check_owner(entry: Entry, path: Path) -> None:
    """Names and shapes are not enough: ResNet v1c and v1d share all of them."""
    from modelzoo import weights

    owner = weights.receipt(path).get("model")
    if owner != entry.key:
        raise WeightsMismatch(f"{path} holds the weights of {owner}, not of {entry.key}.")


def set_aside_if_damaged(entry: Entry, path: Path) -> bool:
    """Whether the file is the cache's and has other bytes than when it came; then it is moved away."""
    for top in (True, False):
        for held in cache.pointers(entry.key, top):
            if held.path == path and not held.has_its_sha256():
                _set_aside(held)
                return True
    return False


def whereabouts(entry: Entry) -> str:
    """Which of WHEREABOUTS `load` would take pretrained weights from; no network, no heavy import."""
    if bundled_path(entry).is_file():
        return "bundled"
    if cache.find(entry.key):
        return "cached"
    if cache.find(entry.key, top=False):
        return "cached without top"
    if entry.weights:
        return "hosted"
    return "converts from upstream" if entry.sources else "none published"


def trust(entry: Entry) -> str | None:
    """Why the file that load() would take is believed, or will be; None where there is no file."""
    if bundled_path(entry).is_file():
        return "bundled"
    if held := cache.find(entry.key) or cache.find(entry.key, top=False):
        return held.pointer.trust
    if entry.weights:
        return "published sha256"
    sums = [f"{sum_.algorithm} of the {sum_.of}" for source in entry.sources for sum_ in source.checksums]
    if entry.sources:
        return _published(sums) or f"no checksum is published: {PINNED}"
    return None


def bundled_path(entry: Entry) -> Path:
    return Path(str(resources.files("modelzoo") / "bundled" / f"{entry.key}.h5"))


def _cached(entry: Entry, top: bool, *, move_damaged: bool = False) -> Path | None:
    """The first sound file of the cache; what is damaged is passed by, or moved away."""
    for with_top in (True,) if top else (True, False):
        for held in cache.pointers(entry.key, with_top):
            if held.has_its_size() and _can_be_opened(held.path):
                cache.use(held)
                return held.path
            if move_damaged and held.path.is_file():
                _set_aside(held)
    return None


def _can_be_opened(path: Path) -> bool:
    from modelzoo import weights

    try:
        return weights.is_ours(path)
    except OSError:
        return False


def _set_aside(held: cache.Held) -> None:
    if place := cache.set_aside(held):
        print(f"modelzoo: {held.path} is damaged; it is now {place.name}", file=sys.stderr)


def _obtain(entry: Entry, top: bool) -> Path:
    with cache.lock(entry.key):
        if path := _cached(entry, top, move_damaged=True):  # another process was quicker
            return path
        tried = [f"the cache {cache.home()} does not have them"]
        for address, take in _sources(entry, top):
            if download.offline() and download.needs_network(address):
                continue
            try:
                return take().path
            except (OSError, ConversionError, WeightsMismatch) as error:  # DownloadError, a full disk
                tried.append(f"{download.without_password(address)}: {error}")
        if path := _cached(entry, top):  # of another process, where locks do nothing
            return path
    if download.offline():
        tried.append(f"{download.OFFLINE} is set, so that nothing is fetched")
    tried = [part.rstrip(".") for part in tried]
    raise WeightsUnavailable(
        f"The pretrained weights of {entry.key} cannot be had: {'; '.join(tried)}. {_advice(entry)}"
    )


def _sources(entry: Entry, top: bool) -> Iterator[tuple[str, Callable[[], cache.Held]]]:
    """Addresses in the order in which they are tried, and how the file is taken from there."""
    for base in mirror.bases():
        yield base, partial(_from_mirror, entry, base, top)
    for file in entry.weights:
        yield file.url, partial(_from_host, entry, file)
    for source in entry.sources:
        for url in source.urls:
            yield url, partial(_from_upstream, entry, source, url)


def _from_mirror(entry: Entry, base: str, top: bool, source: str | None = None) -> cache.Held:
    """`source` is what to call the mirror, if not by its address."""
    files = mirror.index(base)
    file = (None if top else files.get((entry.key, False))) or files.get((entry.key, True))
    if file is None:
        raise DownloadError(f"its {mirror.INDEX} does not have {entry.key}")
    url = mirror.url(base, file.name)
    path = cache.place(entry.key, file.sha256, file.top)
    download.fetch(url, path, checksums={"sha256": file.sha256}, size=file.bytes)
    try:
        with _converting:
            check(entry, path, top=file.top)
    except WeightsMismatch:
        path.unlink(missing_ok=True)
        raise
    source = source or download.without_password(url)
    trust = f"sha256 in the {mirror.INDEX}"
    return cache.point(entry.key, file.sha256, top=file.top, source=source, trust=trust)


def _from_host(entry: Entry, file: HostedFile) -> cache.Held:
    path = cache.place(entry.key, file.sha256)
    download.fetch(file.url, path, checksums={"sha256": file.sha256}, size=file.bytes)
    return cache.point(entry.key, file.sha256, source=file.url, trust="published sha256")


def _from_upstream(entry: Entry, source: Source, url: str) -> cache.Held:
    """The upstream file is removed after its conversion: the cache keeps one copy of the weights."""
    from modelzoo import conversion

    checksums = {c.algorithm: c.value for c in source.checksums if c.of == "file"}
    pin = None if source.checksums else _pin(entry, url)
    if pin is not None:
        checksums = {"sha256": pin.upstream_sha256}
    with _downloaded(url, Path(url.partition("?")[0]).name) as path, cache.workroom() as folder:
        try:
            stated = download.fetch(url, path, checksums=checksums, size=source.bytes)
        except DownloadError as error:
            if pin is None:
                raise
            forget = f"`modelzoo cache remove {entry.key}` forgets it"
            raise DownloadError(f"{error} (the sha256 was {pin.trust}; {forget})") from error
        with _converting:
            receipt = conversion.convert(entry, path, folder / "converted.h5", official=True, verified=stated)
        upstream = receipt["source"][0]["sha256"]
        trust = _published(receipt["verified"]) or (pin.trust if pin else f"{PINNED} {date.today()}")
        if trust.startswith(PINNED) and pin is None:
            print(f"modelzoo: {url} has no published checksum; {trust}: sha256 {upstream}", file=sys.stderr)
        return cache.keep(
            folder / "converted.h5", entry.key, source=url, trust=trust, upstream_sha256=upstream
        )


def _pin(entry: Entry, url: str) -> cache.Pointer | None:
    """What the address delivered the first time, where no checksum tells what it should deliver."""
    known = (held.pointer for held in cache.pointers(entry.key))
    return next((p for p in known if p.source == url and p.trust.startswith(PINNED)), None)


@contextmanager
def _downloaded(url: str, name: str) -> Iterator[Path]:
    """Where to download to; what broke off stays there for the next try, what is whole is removed."""
    folder = cache.download_folder(url)
    path = folder / (name if name.strip(".") else "file")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
        with suppress(OSError):  # not empty: the beginning of a file
            folder.rmdir()


def _published(verified: Sequence[str]) -> str | None:
    """In words why a file is believed, from a receipt's list of what was verified."""
    if not verified:
        return None
    return verified[0] if verified[0].endswith("by the host") else f"published {verified[0]}"


def _advice(entry: Entry) -> str:
    if not entry.weights and not entry.sources:
        return "None were ever published: use weights=None or train your own."
    return f"If you have the file, run: modelzoo add {entry.key} FILE"
