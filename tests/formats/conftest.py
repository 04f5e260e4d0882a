"""The files that the formats' tests share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from modelzoo.formats import write_safetensors
from tests.formats.files import VARIABLES


@pytest.fixture
def params(tmp_path):
    def write(content: bytes) -> Path:
        path = tmp_path / "net.params"
        path.write_bytes(content)
        return path

    return write


@pytest.fixture(scope="session")
def tensorflow():
    return pytest.importorskip("tensorflow")


@pytest.fixture(scope="session")
def checkpoints(tensorflow, tmp_path_factory) -> Path:
    """A folder with v1.ckpt and v2.ckpt, as TensorFlow writes them."""
    folder, tf1 = tmp_path_factory.mktemp("checkpoints"), tensorflow.compat.v1
    with tf1.Graph().as_default(), tf1.Session() as session:
        for name, value in VARIABLES.items():
            tf1.get_variable(name, initializer=value)
        session.run(tf1.global_variables_initializer())
        for version in (1, 2):
            tf1.train.Saver(write_version=version).save(
                session, str(folder / f"v{version}.ckpt"), latest_filename="checkpoint"
            )
    (folder / "checkpoint").unlink()
    return folder


@pytest.fixture
def safetensors(tmp_path):
    arrays = {"a": np.float32([[1, 2, 3]]), "h": np.float16([4]), "count": np.array(5)}
    return write_safetensors(tmp_path / "net.safetensors", arrays)[0]
