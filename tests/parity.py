"""Prints the whole table of modelzoo.parity, and fails if a model is beyond its limit.

python -m tests.parity            # every model
python -m tests.parity resnet50_v1d
"""

from __future__ import annotations

import gc
import os
import sys

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # TensorFlow's plain kernels round less

import modelzoo
from modelzoo import parity
from modelzoo.registry import Entry

HEADER = f"{'model':<40} {'original program':<44} {'std':>7} {'logits':>8} {'C2..C4':>8} {'C5':>8}  argmax"


def row(entry: Entry, figures: dict[str, float | bool]) -> str:
    middle = max(figures[name] for name in ("C2", "C3", "C4"))
    return (
        f"{entry.key:<40} {parity.ORIGINALS[entry.tag]:<44} {figures['logits_std']:7.2f} "
        f"{figures['logits']:8.1e} {middle:8.1e} {figures['C5']:8.1e}  "
        f"{'equal' if figures['argmax_equal'] else 'DIFFERS'}"
    )


def main() -> None:
    import keras

    entries = [modelzoo.info(name) for name in sys.argv[1:] or modelzoo.list_models()]
    print(HEADER)
    beyond = []
    for entry in entries:
        figures = parity.compare(entry, parity.original(entry))
        print(row(entry, figures), flush=True)
        if parity.worst(figures) > parity.limit(entry) or not figures["argmax_equal"]:
            beyond.append(entry.key)
        keras.backend.clear_session()
        gc.collect()
    exceptions = ", ".join(f"{family} {value:.0e}" for family, value in parity.LIMITS.items())
    print(f"{len(entries)} models, limit {parity.LIMIT:.0e} ({exceptions})")
    if beyond:
        raise SystemExit(f"beyond the limit: {', '.join(beyond)}")


if __name__ == "__main__":
    main()
