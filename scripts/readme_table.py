"""Writes README.md's table of models from the registry, between its two markers.

python scripts/readme_table.py            # a test checks that it was run
"""

from __future__ import annotations

from pathlib import Path

import modelzoo
from modelzoo.registry import Entry, Source

README = Path(__file__).parents[1] / "README.md"
START, END = "<!-- models: scripts/readme_table.py writes this -->", "<!-- end of models -->"


def main() -> None:
    README.write_text(updated(README.read_text("utf-8")), "utf-8")


def updated(text: str) -> str:
    """The README's text with the table of today's registry."""
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{table()}\n{END}{after}"


def table() -> str:
    rows = [
        "| model | parameters | input | labels | top-1 | published weights |",
        "|---|--:|--:|---|--:|---|",
    ]
    keys = modelzoo.list_models()
    return "\n".join([f"{len(keys)} models:\n", *rows, *(row(modelzoo.info(key)) for key in keys)])


def row(entry: Entry) -> str:
    top1 = entry.metric("top1")
    height, width, _ = entry.graph.input_shape
    return (
        f"| `{entry.key}` | {entry.parameters / 1e6:.1f} M | {height}x{width} | {entry.labels} "
        f"({entry.graph.classes:,}) | {'unknown' if top1 is None else f'{top1:.2f} %'} | {weights(entry)} |"
    )


def weights(entry: Entry) -> str:
    if entry.tag == "modelzoo":
        return "in the package"
    return "; ".join(map(published, entry.sources)) or "none: the graph only"


def published(source: Source) -> str:
    checksums = {checksum.algorithm for checksum in source.checksums}
    return f"{source.format}, {'with ' + ', '.join(sorted(checksums)) if checksums else 'no checksum'}"


if __name__ == "__main__":
    main()
