"""Darknet's .cfg: sections, one a layer, of options; what begins with # is a comment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modelzoo.formats.commented import comments

Option = int | float | str | Sequence[int | float]


@dataclass(frozen=True)
class Section:
    """A layer: its kind, and its options."""

    kind: str
    options: Mapping[str, Option] = field(default_factory=dict)


def write_cfg(path: Path, sections: Sequence[Section], texts: Mapping[str, str]) -> None:
    """Writes the sections; texts are comments before them."""
    lines = comments(texts)
    for section in sections:
        lines += [f"[{section.kind}]", *(f"{name}={_text(v)}" for name, v in section.options.items()), ""]
    path.write_text("\n".join(lines), "utf-8")


def _text(value: Option) -> str:
    return str(value) if isinstance(value, (int, float, str)) else ",".join(map(str, value))
