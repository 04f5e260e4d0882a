"""A process may be killed at any step: nothing is lost or damaged, and nothing stays behind for long."""

from __future__ import annotations

import os
import tempfile

import pytest

from modelzoo import settings
from tests import kills

COUNT = 2  # of each kind; python -m tests.kills 20 takes more
OF_THE_USER = ("convert", "download")  # what they leave is beside the user's file, or is continued


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for name in (settings.CACHE, settings.MIRROR):
            patch.setenv(name, "")
        patch.setattr(tempfile, "tempdir", None)
        yield kills.prepare(tmp_path_factory.mktemp("kills"))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
@pytest.mark.parametrize("kind", kills.KINDS)
def test_what_a_killed_process_leaves_is_removed_by_the_next_command(
    kind, place, monkeypatch, record_property
):
    monkeypatch.setenv(settings.CACHE, str(place.cache))
    outcome = kills.killed(kind, place, COUNT)
    record_property("kills", f"{kind}: {outcome}")
    assert outcome.kills == COUNT
    assert outcome.lost == []
    assert set(outcome.after_same) == {0}
    if kind not in OF_THE_USER:
        assert set(outcome.after_any) == {0}
