"""Writes the goldens of our own networks, whose original is this package: they show what changed since.

python scripts/convert/own.py
"""

from __future__ import annotations

import common  # puts the repository on the path

from modelzoo import parity, registry


def main() -> None:
    print(common.HEADER)
    for key in registry.list_models(tag="modelzoo"):
        entry = registry.info(key)
        parity.write_golden(entry, parity.outputs(entry))
        print(common.row(entry, parity.compare(entry, parity.original(entry))))


if __name__ == "__main__":
    main()
