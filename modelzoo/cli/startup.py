"""What a program may do with its own process, and a library may not: where output goes, what is imported."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from modelzoo.backends.openvino_import import CONVERTER, TELEMETRY, absent
from modelzoo.errors import one_line

LOG = logging.getLogger("modelzoo")
TENSORFLOW = "tensorflow"


@contextmanager
def program() -> Generator[None]:
    """Warnings on stderr, names that every terminal can show, and quiet and fast imports."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with ExitStack() as stack:
        stack.enter_context(_every_name_shown())
        stack.enter_context(_warnings_on_stderr())
        stack.enter_context(_quiet_tensorflow())
        stack.enter_context(absent(TELEMETRY, CONVERTER))  # nothing here needs it, and it takes time
        yield


@contextmanager
def _every_name_shown() -> Generator[None]:
    """What the terminal's encoding lacks is printed as an escape, not an error."""
    streams: list[Any] = [s for s in (sys.stdout, sys.stderr) if isinstance(s, io.TextIOWrapper)]
    errors = [stream.errors for stream in streams]
    for stream in streams:
        stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        for stream, before in zip(streams, errors, strict=True):
            with suppress(OSError, ValueError):  # a full disk, a closed stream
                stream.reconfigure(errors=before)


@contextmanager
def _warnings_on_stderr() -> Generator[None]:
    """And on a terminal, what takes so long: a first use downloads, converts and compiles."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine("modelzoo: %(message)s"))
    LOG.addHandler(handler)
    propagate, LOG.propagate = LOG.propagate, False
    level = LOG.level
    if sys.stderr is not None and sys.stderr.isatty():
        LOG.setLevel(logging.INFO)
    try:
        yield
    finally:
        LOG.setLevel(level)
        LOG.propagate = propagate
        LOG.removeHandler(handler)


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return one_line(super().format(record))


@contextmanager
def _quiet_tensorflow() -> Generator[None]:
    """TensorFlow's C++ writes notes to stderr while it is imported, past every log level: they are hidden."""
    finder = _TensorFlowFinder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _TensorFlowFinder(MetaPathFinder):
    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname == TENSORFLOW else None
        if spec is not None and spec.loader is not None:
            spec.loader = _QuietLoader(spec.loader)
        return spec


class _QuietLoader(Loader):
    """The loader itself, but for silence while the module is executed."""

    def __init__(self, loader: Any):
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        with _silent_stderr():
            self._loader.exec_module(module)


@contextmanager
def _silent_stderr() -> Generator[None]:
    if sys.stderr is None:  # closed by whoever started the program
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as devnull:
            os.dup2(devnull.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
