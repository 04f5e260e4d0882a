"""Flips bits of files that the cache keeps, and counts what becomes of it.

    python -m tests.damage 200

tries as many flips in the cached weights of a ResNet-18 and in the network that was compiled of them, and
prints the outcomes: an answer that differs would be "wrong".
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

MODEL = "resnet18_v1b.gluon"


def flip(path: Path, random_: random.Random) -> None:
    """Flips one bit of a file, as a disk does: in its place, the size as before."""
    with path.open("r+b") as file:
        bit = random_.randrange(path.stat().st_size * 8)
        file.seek(bit // 8)
        (byte,) = file.read(1)
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))


def flipped_weights(name: str, sound: Path, count: int) -> dict[str, int]:
    """What became of flips in the cached file of a model, whose sound weights are in another file."""
    from modelzoo import registry, store, weights, zoo

    expected, entry = dict(weights.read(sound)), registry.info(name)
    graph = zoo.graph_of(entry, zoo.NetworkOptions())
    outcomes: Counter[str] = Counter()
    for seed in range(count):
        located = store.locate(entry)
        flip(located.path, random.Random(seed))
        with zoo.values(entry, zoo.NetworkOptions(), store.locate(entry), graph) as arrays:
            values = dict(arrays)
        right = all(np.array_equal(values[path], expected[path]) for path in expected)
        outcomes["obtained again" if right else "wrong"] += 1
    return dict(outcomes)


def flipped_networks(name: str, images: np.ndarray, count: int) -> dict[str, int]:
    """What became of flips in the compiled network of a model: it answers, or is compiled again."""
    from modelzoo import runtimes, settings
    from modelzoo.runtimes import Deployment
    from modelzoo.zoo import NetworkOptions

    deployment = Deployment(name, runtime="openvino")
    sound = runtimes.predictor(deployment, NetworkOptions())
    expected = sound.predict(images)
    (path,) = (settings.cache_home() / "compiled").glob("*.blob")
    content = path.read_bytes()
    outcomes: Counter[str] = Counter()
    for seed in range(count):
        path.write_bytes(content)
        flip(path, random.Random(seed))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(runtimes.start, "_compile", lambda *_: sound)  # which takes seconds
            network = runtimes.predictor(deployment, NetworkOptions())
        right = np.array_equal(network.predict(images), expected)
        outcome = "compiled again" if network is sound else "accepted"
        outcomes[outcome if right else "wrong"] += 1
    return dict(outcomes)


def main(count: int) -> None:
    from modelzoo import settings, store
    from modelzoo.architectures import synthetic
    from scripts.convert import publish

    with tempfile.TemporaryDirectory() as folder:
        mirror = Path(folder) / "mirror"
        publish.main([MODEL, "--synthetic", "-o", str(mirror)])
        os.environ |= {settings.CACHE: str(Path(folder) / "cache"), settings.MIRROR: str(mirror)}
        (sound,) = (path for path in mirror.glob("*.h5") if "-notop-" not in path.name)
        store.weights_file(MODEL)
        print(f"{MODEL}, weights: {flipped_weights(MODEL, sound, count)}", flush=True)
        print(f"{MODEL}, compiled: {flipped_networks(MODEL, synthetic.images(224, 224), count)}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
