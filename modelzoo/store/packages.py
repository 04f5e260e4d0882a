"""A weight file out of a wheel of a package index: both must have the sha256 that the registry states."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from modelzoo import download, files
from modelzoo.download import Wheel
from modelzoo.errors import ConversionError, DownloadError, quoted
from modelzoo.registry import HostedFile, Package
from modelzoo.store import cache

COPIED_BYTES = 1 << 20  # at a time


def wheel_of(package: Package) -> Wheel:
    """The wheel, as the downloader takes it."""
    return Wheel(package.distribution, package.version, package.sha256, package.bytes)


@contextmanager
def member(package: Package) -> Generator[Path]:
    """The package's file, verified, for as long as the block lasts. Raises DownloadError, with nothing kept.

    The wheel is removed after it; what broke off stays for the next try where that can be resumed.
    """
    wheel, folder = wheel_of(package), cache.download_folder(package.address)
    path = folder / wheel.name
    try:
        download.fetch_wheel(wheel, path)
        with _unpacked(path, wheel) as content:
            yield _verified(package, content)
    finally:
        path.unlink(missing_ok=True)
        with suppress(OSError):  # not empty: the beginning of a file
            folder.rmdir()


def joined(file: HostedFile, target: Path) -> None:
    """Writes a hosted file from its packages' members; raises DownloadError unless it has its sha256."""
    with target.open("xb") as output:
        for package in file.packages:
            with member(package) as part, part.open("rb") as content:
                while block := content.read(COPIED_BYTES):
                    output.write(block)
    size, digest = target.stat().st_size, files.sha256(target)
    if (size, digest) != (file.bytes, file.sha256):
        raise DownloadError(
            f"expected {file.bytes:,} bytes with sha256 {file.sha256} from the wheels, "
            f"got {size:,} with {digest}"
        )


def addresses(packages: Sequence[Package]) -> str:
    """Where the file comes from, in one line."""
    return " + ".join(package.address for package in packages)


@contextmanager
def _unpacked(path: Path, wheel: Wheel) -> Generator[Path]:
    """The folder of the wheel's members. A wheel is an archive, and an untrusted one."""
    from modelzoo.formats import archives  # brings NumPy and h5py

    with _without_path(path), archives.unpacked(path) as folder:
        if folder == path:
            raise DownloadError(f"expected a wheel of {wheel}, which is a zip archive, got another file")
        yield folder


@contextmanager
def _without_path(path: Path) -> Generator[None]:
    """Names the wheel, not the place where it lies for a moment."""
    try:
        yield
    except ConversionError as error:
        if not str(error).startswith(f"{path} cannot be unpacked"):  # of what is done with the member
            raise
        raise DownloadError(str(error).replace(str(path), path.name)) from error


def _verified(package: Package, folder: Path) -> Path:
    path = folder / package.member
    if not path.is_file():
        raise DownloadError(f"{wheel_of(package).name} has no member {quoted(package.member)}")
    if (digest := files.sha256(path)) != package.member_sha256:
        raise DownloadError(
            f"the member {quoted(package.member)} of {wheel_of(package).name} is another: "
            f"expected sha256 {package.member_sha256}, got {digest}"
        )
    return path
