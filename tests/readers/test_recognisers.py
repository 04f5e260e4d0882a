"""Which format a file has."""

from __future__ import annotations

import pytest

from modelzoo.conversion.readers import READERS, RECOGNISERS
from tests.readers.files import float32_file


@pytest.mark.parametrize("format", RECOGNISERS)
def test_a_format_recognises_its_own_files_and_no_others(format, safetensors, params, checkpoints, tmp_path):
    (tmp_path / "text").write_bytes(b"{}")
    files = {
        "safetensors": safetensors,
        "mxnet": params(float32_file("a")),
        "tensorflow": checkpoints / "v2.ckpt",
        "text": tmp_path / "text",
        "nothing": tmp_path / "nothing",
    }
    assert [name for name, path in files.items() if RECOGNISERS[format](path)] == [format]


def test_the_readers_are_named_as_in_the_registry():
    assert set(READERS) == {"tensorflow", "mxnet", "safetensors", "keras_h5", "darknet"}
