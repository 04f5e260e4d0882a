"""Every network gives the original program's numbers, with the same synthetic weights."""

from __future__ import annotations

import gc

import keras
import pytest

import modelzoo
from modelzoo.verification import comparison, keras_originals, originals
from tests.parity import row

ENTRIES = [modelzoo.info(key) for key in modelzoo.list_models()]
WITH_GOLDEN = [entry for entry in ENTRIES if not keras_originals.has(entry)]


@pytest.fixture(autouse=True)
def _free_memory():
    yield
    keras.backend.clear_session()
    gc.collect()


@pytest.mark.parametrize("entry", WITH_GOLDEN, ids=lambda entry: entry.key)
def test_logits_and_feature_maps_are_the_original_programs(entry, record_property):
    """Those of keras.applications are in test_keras_applications.py."""
    figures = comparison.compare(entry, originals.outputs(entry))
    record_property("parity", row(entry, figures))
    assert figures["argmax_equal"]
    assert figures["logits_std"] > 0.1  # a constant output would agree with anything
    assert comparison.worst(figures) <= comparison.limit(entry)


def test_every_golden_belongs_to_an_entry():
    assert {path.stem for path in originals.GOLDENS.glob("*.npz")} == {entry.key for entry in WITH_GOLDEN}


@pytest.mark.parametrize("entry", WITH_GOLDEN, ids=lambda entry: entry.key)
def test_the_goldens_logits_depend_on_the_image(entry):
    """Else any network with the same last bias would pass."""
    golden = originals.outputs(entry)
    first, second = (golden[f"{name}/logits"][0] for name in comparison.inputs(entry))
    if entry.task == "detection":  # the grids' middle cells, far from what padding does at the edges
        first, second = (grid[len(grid) // 2, grid.shape[1] // 2] for grid in (first, second))
    assert comparison.relative(second, first) > 0.05
