"""Asks every address of the registry whether its file is there, and writes a table of what is available.

    python -m scripts.check_sources [PATTERN] [--json] [-o FILE]

Only headers are sent, or the first byte where a host does not answer HEAD; of a package the index's page.
Exit code 1: a model has addresses, and none of them answers with a file of the right size.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests

from modelzoo import download, registry
from modelzoo.errors import DownloadError
from modelzoo.registry import Entry, Package
from modelzoo.store.packages import wheel_of

TIMEOUTS = (10, 30)  # seconds to connect, and for the answer
PARALLEL = 16
FOUND = (200, 206)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pattern", nargs="?", default="*", help="of the models to ask for")
    parser.add_argument("--json", action="store_true", help="JSON instead of Markdown")
    parser.add_argument("-o", "--output", type=Path, help="default: the terminal")
    arguments = parser.parse_args(arguments)
    entries = [registry.info(key) for key in registry.list_models(arguments.pattern)]
    asked = [(entry.key, url, size) for entry in entries for url, size in addresses(entry)]
    wheels = [(entry.key, package) for entry in entries for package in packages(entry)]
    with ThreadPoolExecutor(PARALLEL) as pool:
        rows = list(pool.map(lambda question: probe(*question), asked))
        rows += pool.map(lambda question: probe_package(*question), wheels)
    text = json.dumps(rows, indent=2) if arguments.json else table(rows)
    if arguments.output:
        arguments.output.write_text(text + "\n", "utf-8")
    else:
        print(text)
    lost = sorted({row["model"] for row in rows} - {row["model"] for row in rows if row["available"]})
    if lost:
        print(f"No address is available for: {', '.join(lost)}", file=sys.stderr)
    return 1 if lost else 0


def addresses(entry: Entry) -> list[tuple[str, int | None]]:
    """Each address of the entry and the size that its file should have."""
    hosted = [(file.url, file.bytes) for file in entry.weights if file.url is not None]
    return hosted + [(url, source.bytes) for source in entry.sources for url in source.urls]


def packages(entry: Entry) -> list[Package]:
    """Each package of the entry."""
    return [package for holder in (*entry.weights, *entry.sources) for package in holder.packages]


def probe_package(model: str, package: Package) -> dict[str, Any]:
    """Whether the package index lists the wheel, and states no other sha256."""
    row = {"model": model, "url": package.address, "bytes": None, "etag": None, "linked_etag": None}
    try:
        download.indexed(wheel_of(package))
    except DownloadError as error:
        return row | {"available": False, "answer": str(error)}
    return row | {"available": True, "answer": "listed"}


def probe(model: str, url: str, expected: int | None) -> dict[str, Any]:
    row = {"model": model, "url": url, "available": False, "bytes": None, "etag": None, "linked_etag": None}
    try:
        answer = requests.head(url, allow_redirects=True, timeout=TIMEOUTS)
        if answer.status_code not in FOUND:
            headers = {"Range": "bytes=0-0"}
            answer = requests.get(url, headers=headers, stream=True, timeout=TIMEOUTS)
            answer.close()
    except requests.RequestException as error:
        return row | {"answer": type(error).__name__}
    row |= {"answer": f"{answer.status_code} {answer.reason}", "bytes": size(answer)}
    row["etag"] = answer.headers.get("ETag")
    row["linked_etag"] = next(
        (a.headers["X-Linked-ETag"] for a in [*answer.history, answer] if "X-Linked-ETag" in a.headers), None
    )
    if answer.status_code not in FOUND:
        return row
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        return row | {"answer": f"{row['answer']}, a web page"}
    if expected is not None and row["bytes"] not in (None, expected):
        return row | {"answer": f"{row['answer']}, expected {expected} bytes"}
    return row | {"available": True}


def size(answer: requests.Response) -> int | None:
    """The file's, also where only a part of it was asked for."""
    total = answer.headers.get("Content-Range", "").rpartition("/")[2] or answer.headers.get("Content-Length")
    return int(total) if total and total.isdigit() else None


def table(rows: list[dict[str, Any]]) -> str:
    columns = ("model", "available", "answer", "bytes", "etag", "linked_etag", "url")
    lines = [" | ".join(columns), " | ".join("---" for _ in columns)]
    for row in rows:
        cells = row | {"available": "yes" if row["available"] else "NO"}
        lines.append(" | ".join("" if cells[name] is None else str(cells[name]) for name in columns))
    return "\n".join(f"| {line} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
