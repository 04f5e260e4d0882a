"""Names of a package that are imported when they are first used (PEP 562)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def attach(homes: Mapping[str, tuple[str, ...]]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A package's __getattr__ and __dir__, from the public names by the module that defines them.

    A name that is its module's own means the module.
    """
    home_of = {name: module for module, names in homes.items() for name in names}
    package = next(iter(homes)).partition(".")[0]

    def get(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = import_module(home_of[name])
        return home if home.__name__ == f"{package}.{name}" else getattr(home, name)

    return get, lambda: sorted(home_of)
