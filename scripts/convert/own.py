"""Writes the goldens of our own networks, whose original is this package: they show what changed since.

python -m scripts.convert.own
"""

from __future__ import annotations

from modelzoo import registry
from modelzoo.verification import comparison, originals
from scripts.convert import common


def main() -> None:
    print(common.HEADER)
    for key in registry.list_models(tag="modelzoo"):
        entry = registry.info(key)
        originals.write_golden(entry, comparison.outputs(entry))
        print(common.row(entry, comparison.compare(entry, originals.outputs(entry))))


if __name__ == "__main__":
    main()
