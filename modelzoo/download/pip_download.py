"""pip, as a program of its own, downloads a wheel: all that the user configured for it holds."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from modelzoo import files, settings
from modelzoo.download.addresses import without_password
from modelzoo.download.progress import bar_of
from modelzoo.errors import DownloadError, quoted

if TYPE_CHECKING:
    from modelzoo.download.packages import Wheel

# -P: a pip.py in the working folder is not pip. Of the user's pip only what makes this wheel fail is changed.
PROGRAM = ("-P", "-m", "pip", "download", "--no-input", "--disable-pip-version-check", "--no-color")
WHEEL_ALONE = (
    "--no-deps",
    "--only-binary=:all:",
    "--no-cache-dir",
    "--progress-bar=off",
    "--retries=1",
    "--require-hashes",
)
NO_PIP = re.compile(r"No module named '?pip\b")
OTHER_WHEEL = re.compile(r"\bGot\s+([0-9a-f]{64})\b")
UNREACHABLE = re.compile("Retrying|connection|Could not fetch URL|HTTP error", re.IGNORECASE)
INNERMOST = re.compile(
    r"(?:\[Errno -?\d+\] |: )([^:'\"<>\[\]]+)['\"]\)"
)  # an exception's text, in those around it
POLL_SECONDS = 0.1
PROGRESS = 1 << 16  # bytes; less does not count
ALWAYS_ALLOWED_BYTES = 16 << 20  # beside the wheel twice: pip's own notes
LARGEST_BYTES = 8 << 30  # of a wheel of unknown size
OUTPUT_BYTES = 1 << 20  # of what pip says that are read


def fetch(wheel: Wheel, target: Path) -> bool:
    """Downloads the wheel to `target`, verified; False where there is no pip. Raises DownloadError."""
    if not sys.executable or getattr(sys, "frozen", False):  # Python within another program
        return False
    with files.temporary_directory(settings.cache_home()) as folder:
        for name in ("wheels", "temporary"):
            (folder / name).mkdir()
        code = _run(wheel, folder)
        output = _output(folder)
        if code and NO_PIP.search(output):
            return False
        if code:
            raise DownloadError(_reason(wheel, output))
        found = list((folder / "wheels").iterdir())
        if len(found) != 1 or found[0].suffix != ".whl":
            names = quoted(sorted(path.name for path in found))
            raise DownloadError(f"expected one wheel of {wheel} from pip, got {names}")
        _verify(wheel, found[0])
        files.replace(found[0], target)
    return True


def _run(wheel: Wheel, folder: Path) -> int:
    """pip's exit code; all that it writes is in `folder`."""
    requirement = folder / "requirements.txt"
    requirement.write_text(f"{wheel.distribution}=={wheel.version} --hash=sha256:{wheel.sha256}\n", "utf-8")
    command = [sys.executable, *PROGRAM, *WHEEL_ALONE, "-d", str(folder / "wheels"), "-r", str(requirement)]
    temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder / "temporary"))
    environment = settings.environment(PIP_REQUIRE_VIRTUALENV="0", **temporary)
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
        try:
            return _watch(process, wheel, folder)
        finally:
            process.kill()
            process.wait()


def _watch(process: subprocess.Popen[bytes], wheel: Wheel, folder: Path) -> int:
    """Waits for pip as long as bytes arrive, and not more than a wheel has; shows them."""
    limit, seen, since = settings.timeout(), 0, time.monotonic()
    most = ALWAYS_ALLOWED_BYTES + 2 * (wheel.bytes or LARGEST_BYTES)
    with bar_of(wheel.name, wheel.bytes) as bar:
        while True:
            with suppress(subprocess.TimeoutExpired):
                return process.wait(POLL_SECONDS)
            received = 0
            with suppress(OSError):  # a file that pip removes at this moment
                received = files.size_of(folder)
            if received > most:
                raise DownloadError(f"expected a wheel of {wheel.bytes or LARGEST_BYTES:,} bytes, got more")
            if received - seen >= PROGRESS:
                bar.update(min(received, wheel.bytes or received) - bar.n)
                seen, since = received, time.monotonic()
            if time.monotonic() - since > limit:
                raise DownloadError(f"no progress of pip for {limit:g} s")


def _output(folder: Path) -> str:
    with (folder / "output.txt").open("rb") as file:
        return file.read(OUTPUT_BYTES).decode("utf-8", "replace")


def _reason(wheel: Wheel, output: str) -> str:
    """One sentence of what pip said: the first of its errors, or why nothing answered."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if other := OTHER_WHEEL.search(output):
        return (
            f"the package index has another wheel of {wheel}: expected sha256 {wheel.sha256}, got {other[1]}"
        )
    warnings = [line for line in lines if line.startswith("WARNING") and UNREACHABLE.search(line)]
    errors = [line for line in lines if line.startswith("ERROR")]
    if warnings:
        return f"pip cannot reach its package index: {_escaped(_cause(warnings[-1]))}"
    if any("No matching distribution" in line for line in errors):
        return f"the package index has no wheel of {wheel}: pip says {_escaped(errors[0])}"
    said = (errors or lines or ["nothing"])[0]
    return f"pip did not download {wheel}: it says {_escaped(said)}"


def _cause(warning: str) -> str:
    """What broke a connection, without the objects around it.

    >>> _cause("WARNING: ... broken by 'NewError('<pip.x at 0x7>: Failed: [Errno -2] Unknown host')': /a/")
    'Unknown host'
    """
    said = warning.rpartition("broken by ")[2]
    found = INNERMOST.findall(said)
    return found[-1] if found else said


def _escaped(line: str) -> str:
    """A line of pip's without passwords, escaped and shortened."""
    words = (without_password(word) if "://" in word else word for word in line.split())
    return quoted(" ".join(words).rstrip("."))


def _verify(wheel: Wheel, path: Path) -> None:
    size, digest = path.stat().st_size, files.sha256(path)
    if wheel.bytes not in (None, size):
        raise DownloadError(f"expected a wheel of {wheel} of {wheel.bytes:,} bytes, got {size:,}")
    if digest != wheel.sha256:
        raise DownloadError(
            f"the package index has another wheel of {wheel}: expected sha256 {wheel.sha256}, got {digest}"
        )
