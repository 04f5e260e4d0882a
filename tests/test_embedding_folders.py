"""Embeddings of a folder with one folder a class name the class; ten crops are a mean."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import modelzoo
from modelzoo import cli
from tests.conftest import CAT

NAME = "resnet9_cifar10"


@pytest.fixture
def folder(tmp_path):
    """Two classes with two images each, and one that is no image."""
    for name in ("cats", "dogs"):
        (tmp_path / "data" / name / "more").mkdir(parents=True)
        shutil.copy(CAT, tmp_path / "data" / name / "a.jpg")
        shutil.copy(CAT, tmp_path / "data" / name / "more" / "b.jpg")
    (tmp_path / "data" / "dogs" / "c.jpg").write_bytes(b"no image")
    return tmp_path / "data"


def test_the_rows_beside_an_array_name_the_class(folder, tmp_path, capsys):
    assert cli.main(["embed", str(folder), "-m", NAME, "-o", str(tmp_path / "out.npy")]) == 0
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["class"] for row in rows] == ["cats", "cats", "dogs", "dogs", "dogs"]
    assert [row.get("row") for row in rows] == [0, 1, 2, None, 3]
    assert np.load(tmp_path / "out.npy").shape == (4, 192)


def test_parquet_has_a_column_of_classes(folder, tmp_path):
    from pyarrow import parquet

    modelzoo.embed_files(str(folder), tmp_path / "out.parquet", NAME)
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.column_names == ["image", "model", "class", "embedding", "error"]
    assert table["class"].to_pylist() == ["cats", "cats", "dogs", "dogs", "dogs"]


def test_images_beside_the_folders_are_no_class(folder, tmp_path):
    from pyarrow import parquet

    shutil.copy(CAT, folder / "d.jpg")
    modelzoo.embed_files(str(folder), tmp_path / "out.parquet", NAME)
    assert "class" not in parquet.read_table(tmp_path / "out.parquet").column_names


def test_the_embedding_of_ten_crops_is_the_mean_of_theirs():
    pixels = np.asarray(Image.open(CAT).convert("RGB"))[:240, :300]
    model = "mobilenet_v1_0.25_128.slim"
    embedder = modelzoo.Embedder(model, weights="synthetic", crops=10)
    crops = embedder.pipeline.prepare(pixels).inputs
    single = modelzoo.load(model, weights="synthetic", include_top=False, pooling="avg")(crops)
    found = embedder(pixels)
    assert (found.shape, found.dtype) == ((1, 256), np.float32)
    np.testing.assert_allclose(found[0], np.asarray(single).mean(axis=0), rtol=2e-3, atol=2e-4)
    with pytest.raises(modelzoo.ImageError, match="Ten crops need a network that crops"):
        modelzoo.embed(pixels, "mobilenet_0.25_128.keras", crops=10)
