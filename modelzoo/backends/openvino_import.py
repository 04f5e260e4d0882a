"""OpenVINO without the parts of it that report to Google Analytics when they are imported.

While OpenVINO is imported for the first time, these cannot be found; it passes over that by itself, and
nothing of it is changed: its converter works without its reports. Whoever imported OpenVINO before has it
as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from types import ModuleType

TELEMETRY = "openvino_telemetry"  # starts threads and connections
CONVERTER = "openvino.tools.ovc"  # what reports; importing it takes a twentieth of a second


class _Absent(MetaPathFinder):
    def __init__(self, names: tuple[str, ...]):
        self.names = names

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if fullname in self.names:
            raise ModuleNotFoundError(f"{fullname} is left out by modelzoo", name=fullname)


@contextmanager
def absent(*names: str) -> Generator[None]:
    """Modules of these names are not found while the block lasts, unless they are imported already."""
    finder = _Absent(names)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def import_openvino() -> ModuleType:
    """OpenVINO. Raises ImportError where it is not installed, or not for this machine."""
    with absent(TELEMETRY):
        import openvino

    return openvino
