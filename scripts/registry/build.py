"""Builds modelzoo/registry.json from the facts.

    python -m scripts.registry.build [--recount]

What the facts leave open stays null, but for the number of parameters, which is counted on the network.
The figures of the bundled model come from its own provenance; its checksums are written beside it.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from modelzoo import registry, weights
from modelzoo.errors import RegistryError
from modelzoo.store.bundled import record as bundled_record
from scripts.registry import counts, darknet, gluon, keras_applications, slim, tencent, torchvision, tpu
from scripts.registry.preprocessing import PREPROCESSING
from scripts.registry.records import COUNTED, FACTS, Json, graph

ROOT = Path(__file__).parents[2]
TARGET = ROOT / "modelzoo" / "registry.json"
ENTRIES = FACTS / "entries"
BUNDLED = "resnet9_cifar10.modelzoo"
BUNDLED_FILE = ROOT / "modelzoo" / "bundled" / f"{BUNDLED}.h5"
UPSTREAMS = (darknet, gluon, keras_applications, slim, tencent, torchvision, tpu)
# Whose model a bare name means, if several have it: Keras' files have published checksums, slim's have none.
TAGS = ("keras", "gluon", "slim", "tpu", "torchvision", "tencent", "darknet", "modelzoo")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recount", action="store_true", help="count all parameters, not only unknown ones")
    options = parser.parse_args(arguments)
    models = entries()
    known = {} if options.recount else counts.kept()
    try:
        counted = counts.of((entry["graph"] for entry in to_count(models)), known)
        text = document(models, counted)
        registry.parse(text)
    except (RegistryError, ValueError) as error:  # the latter of a family or variant that there is not
        raise SystemExit(f"Nothing was written. {error}") from error
    counts.write(counted)
    TARGET.write_text(text, "utf-8")
    BUNDLED_FILE.with_suffix(".json").write_text(bundled_record(BUNDLED_FILE), "utf-8")
    print(f"{TARGET}: {len(models)} models")


def entries() -> dict[str, Json]:
    """Every model by its key, sorted."""
    models = {BUNDLED: bundled()}
    for upstream in UPSTREAMS:
        models |= upstream.entries()
    for path in sorted(ENTRIES.glob("*.json")):
        key = path.name.removesuffix(".json")
        if key in models:
            raise SystemExit(f"{path}: {key} is already among the models; choose another name or tag.")
        models[key] = json.loads(path.read_text("utf-8"))
    return dict(sorted(models.items()))


def to_count(models: dict[str, Json]) -> list[Json]:
    return [entry for entry in models.values() if entry.get("parameters") is COUNTED]


def document(models: dict[str, Json], counted: counts.Counts) -> str:
    """The text of registry.json."""
    for entry in to_count(models):
        entry["parameters"] = counted[counts.key(entry["graph"])]
    whole = {"preprocessing": PREPROCESSING, "defaults": defaults(models), "models": models}
    return json.dumps(whole, indent=2) + "\n"


def defaults(keys: Iterable[str]) -> dict[str, str]:
    """The tag that a bare name means, for each name that has more than one."""
    tags = defaultdict(list)
    for key in keys:
        name, _, tag = key.rpartition(".")
        tags[name].append(tag)
    return {name: min(found, key=_rank) for name, found in sorted(tags.items()) if len(found) > 1}


def _rank(tag: str) -> tuple[int, str]:
    return TAGS.index(tag) if tag in TAGS else len(TAGS), tag


def bundled() -> Json:
    provenance = weights.provenance(BUNDLED_FILE)
    metric = {
        "name": "top1",
        "value": provenance["accuracy"],
        "dataset": provenance["measured_on"],
        "measured_by": provenance["trained_by"],
        "note": f"trained on {provenance['trained_on']}; weights {provenance['stored_as']}",
    }
    return {
        "graph": graph("resnet", "9", 32, 10),
        "preprocessing": "cifar",
        "labels": "cifar10",
        "parameters": provenance["parameters"],
        "metrics": [metric],
        "licenses": {"code": "Apache-2.0", "weights": "Apache-2.0", "data": None},
        "paper": None,
    }


if __name__ == "__main__":
    main()
