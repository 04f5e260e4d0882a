"""Processes that may only read and write what their user may: root's, too."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT


def prefix() -> tuple[str, ...]:
    """What to start a process with, so that the modes of files count for it."""
    if os.name == "nt":
        pytest.skip("Windows has no modes of files")
    if os.geteuid() != 0:
        return ()
    words = (
        "setpriv",
        "--bounding-set=-dac_override,-dac_read_search",
        "--inh-caps=-dac_override,-dac_read_search",
    )
    if shutil.which("setpriv") is None or subprocess.run([*words, "true"], capture_output=True).returncode:
        pytest.skip("root may read and write everything, and there is no setpriv that can take that from it")
    return words


@contextmanager
def unreadable(path: Path) -> Iterator[None]:
    """The file cannot be opened, as if it were locked, or another user's."""
    mode = path.stat().st_mode
    path.chmod(0)
    try:
        yield
    finally:
        path.chmod(mode)


def run(code: str, *words: str, **variables: str | None) -> subprocess.CompletedProcess[str]:
    """Runs Python code in such a process, after `import modelzoo`; variables that are None are not set."""
    environment = {name: value for name, value in (os.environ | variables).items() if value is not None}
    command = [*prefix(), *words, sys.executable, "-c", f"import modelzoo\n{code}"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
