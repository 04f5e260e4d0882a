"""Any bytes are read or refused in one sentence: a short, repeatable run of the fuzzing in this folder."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.fuzz.mutations import mutate
from tests.fuzz.targets import TARGETS, attempt

ROUNDS = 150  # of each format
SEEDS = Path(__file__).parent / "seeds"


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_are_read(name, tmp_path):
    for seed in TARGETS[name].seeds():
        assert attempt(TARGETS[name], seed, tmp_path)


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes_are_read_or_refused_in_one_sentence(name, tmp_path):
    target, random = TARGETS[name], Random(4)
    seeds = target.seeds()
    for _ in range(ROUNDS):
        content = mutate(random.choice(seeds), random)
        if target.repair is not None:
            content = target.repair(content)
        attempt(target, content, tmp_path)


@pytest.mark.parametrize("path", sorted(SEEDS.iterdir()), ids=lambda path: path.stem)
def test_what_fuzzing_found_stays_refused(path, tmp_path):
    """TensorFlow's reader ended the process at these checkpoints; HDF5 hung at weights-2.

    Pillow took the memory that images-1 claims.
    """
    name = path.stem.rpartition("-")[0]
    assert not attempt(TARGETS[name], path.read_bytes(), tmp_path)
