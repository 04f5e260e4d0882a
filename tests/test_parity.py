"""Every network gives the original program's numbers, with the same synthetic weights."""

from __future__ import annotations

import gc

import keras
import pytest

from tests import parity


@pytest.fixture(autouse=True)
def _free_memory():
    yield
    keras.backend.clear_session()
    gc.collect()


@pytest.mark.parametrize("entry", parity.proven(), ids=lambda entry: entry.key)
def test_logits_and_feature_maps_are_the_original_programs(entry):
    figures = parity.compare(entry, parity.read_golden(entry.key))
    assert figures.pop("argmax_equal")
    assert figures.pop("logits_std") > 0.1  # a constant output would agree with anything
    assert max(figures.values()) <= parity.limit(entry)


def test_every_golden_belongs_to_an_entry():
    assert {path.stem for path in parity.GOLDENS.glob("*.*.npz")} == {e.key for e in parity.proven()}


@pytest.mark.parametrize("entry", parity.proven(), ids=lambda entry: entry.key)
def test_the_goldens_logits_depend_on_the_picture(entry):
    """Else any network with the same last bias would pass."""
    golden = parity.read_golden(entry.key)
    first, second = (golden[f"{name}/logits"][0] for name in parity.inputs(entry))
    if (
        entry.task == "detection"
    ):  # the middle cells of the grids, far from what the padding does at their edges
        first, second = (grid[len(grid) // 2, grid.shape[1] // 2] for grid in (first, second))
    assert parity.relative(second, first) > 0.05
