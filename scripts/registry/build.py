"""Builds modelzoo/registry.json from the collected facts about upstream files.

    python scripts/registry/build.py [--facts ../shared/facts/upstream.json]

What the facts leave open stays null. The figures of the bundled model come from its own receipt.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import darknet
import gluon
import keras_applications
import slim
import tencent
from common import graph
from pictures import PICTURES

from modelzoo import registry, weights

ROOT = Path(__file__).parents[2]
FACTS = ROOT.parent / "shared" / "facts" / "upstream.json"
TARGET = ROOT / "modelzoo" / "registry.json"
BUNDLED = "resnet9_cifar10.modelzoo"
UPSTREAMS = (darknet, gluon, keras_applications, slim, tencent)
DEFAULT_TAG = "keras"  # of a name that has several: its files have published checksums, slim's have none


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--facts", type=Path, default=FACTS)
    records = json.loads(parser.parse_args().facts.read_text("utf-8"))
    facts = {record["id"]: record for record in records if record["record"] == "weights"}

    models = {BUNDLED: bundled()}
    for upstream in UPSTREAMS:
        models |= upstream.entries(facts)
    document = {"pictures": PICTURES, "defaults": defaults(models), "models": dict(sorted(models.items()))}
    text = json.dumps(document, indent=2) + "\n"
    registry.parse(text)
    TARGET.write_text(text, "utf-8")
    print(f"{TARGET}: {len(models)} models")


def defaults(keys: Iterable[str]) -> dict[str, str]:
    """The tag that a bare name means, for each name that has more than one."""
    counts = Counter(key.rpartition(".")[0] for key in keys)
    return {name: DEFAULT_TAG for name, count in sorted(counts.items()) if count > 1}


def bundled() -> dict:
    receipt = weights.receipt(ROOT / "modelzoo" / "bundled" / f"{BUNDLED}.h5")
    metric = {
        "name": "top1",
        "value": receipt["accuracy"],
        "dataset": receipt["measured_on"],
        "measured_by": "scripts/train/cifar10.py",
        "note": f"trained on {receipt['trained_on']}; weights {receipt['stored_as']}",
    }
    return {
        "graph": graph("resnet", "9", 32, 10),
        "pictures": "cifar",
        "labels": "cifar10",
        "parameters": receipt["parameters"],
        "metrics": [metric],
        "licences": {"code": "Apache-2.0", "weights": "Apache-2.0", "data": None},
        "paper": None,
    }


if __name__ == "__main__":
    main()
