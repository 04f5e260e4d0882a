"""modelzoo diff and modelzoo.diff: what two names, files or models are, what is printed, and how it ends."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import modelzoo
from modelzoo import cli
from modelzoo.exporters import FORMATS
from modelzoo.exporters.diff import comparison, sides
from tests.conftest import CAT
from tests.planted import REAL, kernel, network_of
from tests.test_conversion import GLUON, upstream_arrays, write_params
from tests.test_diff import exported


def run(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """The small network with a turned kernel, and the bundled model, as ONNX files."""
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("files")
    whole, half = folder / "whole.onnx", folder / "half.onnx"
    modelzoo.export("resnet9_cifar10", whole)
    modelzoo.export("resnet9_cifar10", half, precision="f16")
    modelzoo.export("resnet9_cifar10", folder / "whole.xml")
    theirs, _ = kernel(*network_of(REAL[1]))
    return {
        "whole": whole,
        "openvino": folder / "whole.xml",
        "half": half,
        "wrong": exported(theirs, "onnx", folder),
    }


def test_equal_networks_end_with_0_and_others_with_1(files, capsys):
    assert run("diff", "resnet9_cifar10", files["whole"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "is equal to resnet9_cifar10 within 1e-05" in lines[0]
    assert lines[-1].endswith("first label cat in both")
    assert run("diff", files["wrong"], f"{REAL[1]}=synthetic") == 1
    lines = capsys.readouterr().out.splitlines()
    assert f"differs from {REAL[1]} (57 of 88 nodes compared)" in lines[0]
    assert lines[1].startswith("  first node that differs: conv_dw_1 (DepthwiseConv)")
    assert "before it" in lines[2]
    assert (
        "cause: transposed or flipped kernel: conv_dw_1/kernel with height and width transposed" in lines[3]
    )
    assert run("diff", REAL[1], files["wrong"], "-w", "synthetic", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["equal"], found["first"]["node"]) == (False, "conv_dw_1")


@pytest.mark.parametrize("arguments", [(), ("resnet9_cifar10",), ("a", "b", "c"), ("a", "b", "--to", "c")])
def test_wrong_usage_ends_with_2(arguments, capsys):
    assert run("diff", *arguments) == 2
    assert "usage: modelzoo" in capsys.readouterr().err


def test_half_precision_is_equal_within_its_own_tolerance(files):
    found = modelzoo.diff("resnet9_cifar10", files["half"])
    assert found.equal
    assert found.tolerance == 5e-2
    assert max(output.relative_l2 for output in found.outputs) > 1e-6


def test_two_files_are_compared_by_the_names_of_their_tensors(files):
    found = modelzoo.diff(files["whole"], files["half"])
    assert found.nodes > 10
    assert found.equal
    assert found.tolerance == 5e-2
    assert modelzoo.diff(files["whole"], files["openvino"]).nodes == 0
    with pytest.raises(modelzoo.ExportError, match="says how images are prepared"):
        modelzoo.diff(files["wrong"], files["wrong"])


def test_an_image_of_the_users_is_what_both_are_given(files):
    """The errors of rounding are others."""
    errors = {
        str(image): modelzoo.diff("resnet9_cifar10", files["whole"], image).outputs[0].relative_l2
        for image in (None, CAT, np.full((32, 32, 3), 200, np.uint8))
    }
    assert len(set(errors.values())) > 1
    assert max(errors.values()) < 1e-5


@pytest.mark.parametrize(
    ("a", "b", "sentence"),
    [
        ("resnet9_cifar10", "nothing", "There is no model 'nothing'"),
        ("resnet9_cifar10", "resnet9_cifar10=nowhere.h5", "There is no weight file 'nowhere.h5'"),
        ("resnet9_cifar10", REAL[1] + "=synthetic", "Expected images of shape"),
        ("resnet9_cifar10", "{damaged}", "damaged.onnx"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(a, b, sentence, tmp_path, capsys):
    (tmp_path / "damaged.onnx").write_bytes(b"\x08\x08nothing")
    assert run("diff", a, b.format(damaged=tmp_path / "damaged.onnx")) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert sentence in printed.err
    assert printed.err.count("\n") == 1


def test_an_upstream_file_is_converted(tmp_path):
    params = write_params(tmp_path / "upstream.params", upstream_arrays(GLUON))
    found = modelzoo.diff("resnet18_v1b=synthetic", f"resnet18_v1b={params}")
    assert found.equal
    assert found.stated == ()


def test_a_keras_file_is_read_as_a_network(tmp_path):
    """Its paddings are layers of their own, which is no difference."""
    modelzoo.export("resnet9_cifar10", tmp_path / "a.keras")
    found = modelzoo.diff(tmp_path / "a.keras", "resnet9_cifar10")
    assert found.equal
    assert found.stated == ()
    assert found.nodes > 0.5 * found.all_nodes


def test_an_output_that_is_missing_is_a_difference():
    found = list(comparison._outputs({"a": np.ones((1, 2)), "b": np.ones((1, 2))}, {"a": np.ones((1, 2))}))
    assert [(each.name, each.other_shape, each.relative_l2) for each in found] == [
        ("a", (1, 2), 0.0),
        ("b", (), float("inf")),
    ]


def test_a_program_is_not_run(tmp_path):
    path = tmp_path / "a.py"
    path.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    program = dataclasses.replace(FORMATS["onnx"], runtime=sides.PROGRAMS[0])
    with pytest.raises(modelzoo.ExportError, match=r"a\.py is a program, which diff does not run"):
        sides.tensors_of(sides.FileSide("a.py", path, program), np.zeros((1, 32, 32, 3), np.float32))
    assert not (tmp_path / "ran").exists()
