"""Environments of programs that no longer run beside ours; exported files are tested in those there are.

MODELZOO_TEST_MXNET is the interpreter of one with mxnet 1.9.1 and numpy < 1.24, MODELZOO_TEST_OPENCV4 that of
one with opencv-python-headless < 5; docs/forerunners.md says how they are made.
"""

from __future__ import annotations

import os

import pytest

PYTHONS = {
    name: os.environ.get(variable)
    for name, variable in (
        ("mxnet", "MODELZOO_TEST_MXNET"),
        ("caffe", "MODELZOO_TEST_OPENCV4"),
        ("darknet", "MODELZOO_TEST_OPENCV4"),
    )
}
FILES = {"mxnet": "net-0000.params", "caffe": "net.caffemodel", "darknet": "net.weights"}


def in_their_environments(*names: str) -> list:
    """Parameters: the names of formats, skipped where there is no environment for their runtime."""
    return [
        pytest.param(
            name,
            marks=pytest.mark.skipif(PYTHONS[name] is None, reason=f"no environment that runs {name} files"),
        )
        for name in names or PYTHONS
    ]
