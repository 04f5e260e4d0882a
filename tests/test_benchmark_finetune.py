"""benchmarks.finetune measures the training's own input and step, and tells what it measured."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from benchmarks import finetune
from tests.test_finetuning import make_images


@pytest.fixture
def options(tmp_path):
    make_images(tmp_path / "train", 6)
    make_images(tmp_path / "test", 2, seed=1)
    return SimpleNamespace(
        model="resnet9_cifar10",
        weights="pretrained",
        train=tmp_path / "train",
        test=tmp_path / "test",
        only="speed",
        steps=2,
        rounds=2,
        batch_size=4,
        augment=["mixup"],
    )


def test_input_step_and_both_are_measured_in_turns(options):
    found = finetune.measure(options)
    speed = found["speed"]
    assert speed["images"] == 15
    assert list(speed["images_per_second"]) == ["input", "step", "both"]
    assert all(len(rates) == 2 and min(rates) > 0 for rates in speed["images_per_second"].values())
    assert len(finetune.text(found).splitlines()) == 7


def test_the_share_is_that_of_the_slower_one():
    rates = {"input": [100.0, 300.0], "step": [200.0, 200.0], "both": [90.0, 180.0]}
    shown = finetune.speed_table({"images": 1234, "augment": ["cutmix"], "images_per_second": rates})
    assert "a training with 1,234 images, cutmix |" in shown
    assert shown.splitlines()[-1] == "| both, as they are | 135.0 (90.0 to 180.0) | 0.90 (0.90 to 0.90) |"


def test_the_table_says_what_each_program_reached():
    ours = {"accuracy": 0.9, "minutes": 2.0, "random_init": 0.25}
    found = {
        "seeds": [1],
        "options": "--random-init",
        "lines": {finetune.OURS: 1, "the guide, 2+1 epochs": 36},
        "programs": {
            finetune.OURS: [ours],
            "the guide, 2+1 epochs": [{"accuracy": 0.5, "frozen": 0.4, "minutes": 3.0}],
        },
    }
    lines = finetune.guide_table(found).splitlines()[2:]
    assert lines[0].startswith("| `modelzoo finetune --random-init` | 90.0 % ")
    assert lines[0].endswith(" | 1 |")
    assert lines[1].startswith("| the guide, 2+1 epochs | 50.0 % ")
    assert lines[2].startswith("| the same from random weights | 25.0 % ")


def test_lines_of_code_have_code_on_them():
    text = '"""What\n\nit is."""\n\nimport sys  # a comment\n\n# one\ndef f(\n    x,\n):\n    """Doc."""\n'
    text += "    return x\n"
    assert finetune.lines_of_code(text) == 5
    assert 30 < finetune.lines_of_code(finetune.GUIDE.read_text("utf-8")) < 50
