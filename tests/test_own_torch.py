"""Checkpoints of torch programs: other classes, prefixes, averages, and what lies beside the weights."""

from __future__ import annotations

import argparse
import logging
import pickle
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import modelzoo
from modelzoo import cli, conversion, registry, store, weights
from modelzoo.conversion import CONVERTERS
from modelzoo.errors import ConversionError
from modelzoo.formats import FORMATS, read_torch_state_dict
from modelzoo.verification.comparison import synthetic_weights
from tests.formats import torch_bytes
from tests.formats.torch_bytes import View
from tests.test_conversion import upstream_arrays
from tests.test_own_files import CLASSES, of_five

CONVERTED = {  # from torch's files, and by which converter
    "efficientnet_lite0.tpu": "efficientnet_lite.torch",
    "mobilenet_v2.torchvision": "torchvision",
    "resnet18_v1b.gluon": "timm",
}


def arrays_of_five(key: str) -> dict[str, np.ndarray]:
    return upstream_arrays(of_five(registry.info(key)), CONVERTERS[CONVERTED[key]])


class File:
    """Bytes of a torch file from before 1.6, with the storages of all dicts in it."""

    def __init__(self) -> None:
        self.storages: dict[str, np.ndarray] = {}

    def state(self, arrays: Mapping[str, np.ndarray], prefix: str = "") -> bytes:
        items: dict[str, bytes] = {}
        for name, array in arrays.items():
            key, flat = str(len(self.storages)), np.float32(array).ravel()
            strides = tuple(stride // 4 for stride in np.empty(array.shape, np.float32).strides)
            self.storages[key] = flat
            items[prefix + name] = torch_bytes.tensor(key, View(flat, 0, array.shape, strides))
        return torch_bytes.state(items)

    def write(self, path: Path, items: Mapping[str, bytes]) -> Path:
        path.write_bytes(torch_bytes.legacy(torch_bytes.state(items), self.storages))
        return path


def adam(file: File, arrays: Mapping[str, np.ndarray]) -> bytes:
    """As torch.optim.Adam keeps its moments: by a parameter's number."""
    first = next(iter(arrays.values()))
    moments = {"exp_avg": first, "exp_avg_sq": first, "step": np.array(7)}
    return torch_bytes.state({"state": torch_bytes.state({"0": file.state(moments)})})


def write_checkpoint(path: Path, key: str, prefix: str = "") -> Path:
    """A training program's: weights, their averages, which are larger by one, and an optimizer."""
    file, arrays = File(), arrays_of_five(key)
    averages = {name: array + np.float32(1) for name, array in arrays.items()}
    items = {
        "epoch": torch_bytes.number(3),
        "state_dict": file.state(arrays | {"bn1.num_batches_tracked": np.array(7)}, prefix),
        "best_acc1": torch_bytes.tensor("best", View(np.float32([0.5]), 0, (), ())),
        "state_dict_ema": file.state(averages, "module."),
        "optimizer": adam(file, arrays),
    }
    file.storages["best"] = np.float32([0.5])
    return file.write(path, items)


@pytest.mark.parametrize("key", CONVERTED)
@pytest.mark.parametrize("average", [None, True, False])
def test_both_copies_of_a_training_checkpoint_convert(key, average, tmp_path, caplog):
    entry = registry.info(key)
    file = write_checkpoint(tmp_path / "model_best.pth.tar", key, "module.model.")
    with caplog.at_level(logging.INFO):
        provenance = conversion.convert(entry, file, tmp_path / "out.h5", average=average)
    copy = "raw" if average is False else "moving average"
    assert (provenance["classes"], provenance["weights"]) == (CLASSES, copy)
    assert provenance["left_out"] == ["epoch", "best_acc1", "optimizer"]
    assert "beside the weights it holds epoch, best_acc1, optimizer." in caplog.text
    assert "left_over" not in provenance
    expected = synthetic_weights(of_five(entry))
    for path, array in weights.read(tmp_path / "out.h5"):
        np.testing.assert_array_equal(array, expected[path] + np.float32(copy != "raw"))


@pytest.mark.parametrize("key", CONVERTED)
def test_a_training_checkpoint_is_recognized_and_loads_with_its_classes(key, tmp_path):
    file = write_checkpoint(tmp_path / "last.pt", key)
    assert key in [entry.key for entry in conversion.by_tensors(file, registry.current().entries.values())]
    assert modelzoo.load(key, weights=file).output_shape == (None, CLASSES)


@pytest.mark.parametrize("format", ["torch", "safetensors"])
@pytest.mark.parametrize("key", CONVERTED)
def test_torchs_networks_are_read_in_both_of_its_formats(key, format, tmp_path):
    (file,) = FORMATS[format].write(tmp_path / "own", arrays_of_five(key))
    provenance = conversion.convert(registry.info(key), file, tmp_path / "out.h5")
    assert provenance["classes"] == CLASSES
    assert "left_out" not in provenance


def test_a_head_of_ones_own_is_left_over_and_named(tmp_path, capsys):
    arrays = arrays_of_five("mobilenet_v2.torchvision")
    arrays = {name: array for name, array in arrays.items() if not name.startswith("classifier")}
    arrays |= {"head.0.weight": np.zeros((9, 1280), np.float32), "head.0.bias": np.zeros(9, np.float32)}
    (file,) = FORMATS["torch"].write(tmp_path / "own.pth", arrays)
    command = ["convert", "mobilenet_v2.torchvision", str(file), "-o", str(tmp_path / "own.h5"), "--json"]
    assert cli.main(command) == 0
    assert '"left_over": [\n    "head.0.bias",\n    "head.0.weight"' in capsys.readouterr().out


def test_the_options_of_the_program_that_trained_are_passed_by(tmp_path):
    """timm's programs keep an argparse.Namespace in each checkpoint, torch's schedulers a Counter."""
    options = argparse.Namespace(lr=0.1, model="resnet18", mean=(0.5, 0.5), resume=None, amp=True)
    plain = pickle.dumps(options, 2)[2:-1], pickle.dumps(Counter({30: 1}), 2)[2:-1]
    array = np.float32([[1, 2]])
    file = File()
    items = {"args": plain[0], "state_dict": file.state({"w": array}), "milestones": plain[1]}
    with read_torch_state_dict(file.write(tmp_path / "a.pth", items)) as tensors:
        assert tensors.beside == ("args", "milestones")
        np.testing.assert_array_equal(tensors.read("w"), array)


def test_a_file_deep_in_somebodys_archive_is_found(tmp_path):
    """As in the wheels of a package index."""
    (file,) = FORMATS["torch"].write(tmp_path / "net.pth", arrays_of_five("mobilenet_v2.torchvision"))
    with zipfile.ZipFile(tmp_path / "net.whl", "w") as archive:
        archive.write(file, "package/models/weights/net.pth")
        archive.writestr("package-1.0.dist-info/METADATA", b"Name: package")
    assert store.recognize(tmp_path / "net.whl") == "mobilenet_v2.torchvision"
    entry = registry.info("mobilenet_v2.torchvision")
    assert conversion.convert(entry, tmp_path / "net.whl", tmp_path / "out.h5")["classes"] == CLASSES


TORCHSCRIPT = ("net/data.pkl", "net/code/__torch__.py", "net/constants.pkl", "net/data/0")
LATER = (*TORCHSCRIPT[1:], TORCHSCRIPT[0])
MODULE = Path(torch_bytes.__file__).with_name("torch") / "module.pth"


@pytest.mark.parametrize("names", [TORCHSCRIPT, LATER], ids=["since 1.6", "before"])
@pytest.mark.parametrize("key", [*CONVERTED, "mobilenet_0.25_128.keras"])
def test_a_torchscript_archive_is_named(key, names, tmp_path):
    with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    with pytest.raises(ConversionError, match=r"net\.pt .*is a TorchScript archive, which holds a program"):
        store.convert(registry.info(key), tmp_path / "net.pt", tmp_path / "out.h5")
    with pytest.raises(ConversionError, match=r"net\.pt .*is a TorchScript archive, which holds a program"):
        store.recognize(tmp_path / "net.pt")


def test_a_whole_model_is_named():
    words = (
        r"is a whole object of the Python class 'torch\.nn\.modules\.linear\.Linear'.*model\.state_dict\(\)"
    )
    for key in CONVERTED:
        with pytest.raises(ConversionError, match=words):
            store.convert(registry.info(key), MODULE, Path("out.h5"))
    with pytest.raises(ConversionError, match=words):
        store.recognize(MODULE)
