"""Frozen TensorFlow graphs: constants under the names of the variables for which they stand."""

from __future__ import annotations

import numpy as np
import pytest

from modelzoo.errors import ConversionError
from modelzoo.formats import FORMATS, frozen_graph
from modelzoo.formats.protobuf import field
from tests.formats.graph_bytes import constant, graph, operation, tensor, variable

ARRAYS = {
    "net/conv/weights": np.arange(12, dtype=np.float32).reshape(2, 3, 2),
    "net/conv/biases": np.float16([1, 2]),
    "net/step": np.array(7, np.int64),
}


def read(content: bytes, tmp_path) -> dict[str, np.ndarray]:
    (tmp_path / "frozen.pb").write_bytes(content)
    with FORMATS["tensorflow"].read(tmp_path / "frozen.pb") as tensors:
        return {name: tensors.read(name) for name in tensors}


def test_a_graph_gives_its_variables_and_no_other_constants(tmp_path):
    found = read(graph(ARRAYS), tmp_path)
    assert found.keys() == ARRAYS.keys()
    for name, array in found.items():
        assert (array.dtype, array.tolist()) == (ARRAYS[name].dtype, ARRAYS[name].tolist())


@pytest.mark.parametrize(
    "name", ["/read", "/ReadVariableOp", "/Read/ReadVariableOp", "/Conv2D/ReadVariableOp_1", "/other"]
)
def test_a_variable_is_what_is_read_as_one(name, tmp_path):
    content = graph(ARRAYS) + variable("mine", tensor(np.float32([1])), name)
    assert ("mine" in read(content, tmp_path)) == (name != "/other")


def test_a_value_that_is_stated_once_stands_for_all(tmp_path):
    shape = np.zeros((2, 5), np.float32)
    floats = tensor(shape, b"")[: -len(field(4, b""))] + field(5, np.float32([3]).tobytes())
    assert read(graph(ARRAYS) + variable("zeros", floats), tmp_path)["zeros"].tolist() == [[3] * 5] * 2


def test_tensorflow_writes_what_is_read(tmp_path):
    tensorflow = pytest.importorskip("tensorflow").compat.v1
    with tensorflow.Graph().as_default(), tensorflow.Session() as session:
        for name, array in ARRAYS.items():
            variable = tensorflow.get_variable(name, initializer=array, use_resource=False)
            tensorflow.identity(variable, name="out")
        session.run(tensorflow.global_variables_initializer())
        outputs = ["out", "out_1", "out_2"]
        frozen = tensorflow.graph_util.convert_variables_to_constants(session, session.graph_def, outputs)
    found = read(frozen.SerializeToString(), tmp_path)
    for name in ("net/conv/weights", "net/conv/biases"):
        assert found[name].tolist() == ARRAYS[name].tolist()


HOSTILE = {
    "terabytes": variable("a", tensor(np.broadcast_to(np.float32(0), (2**20, 2**20)), bytes(4))),
    "too few": variable("a", tensor(np.zeros(8, np.float32), bytes(28))),
    "too long a name": constant("a" * 5000, tensor(np.float32([1]))),
    "truncated": variable("a", tensor(np.zeros(8, np.float32)))[:-3],
    "no UTF-8": operation("b", "Identity", "a").replace(b"a", b"\xff"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_graph_is_refused_in_one_sentence(name, tmp_path):
    with pytest.raises(
        ConversionError, match=r"^[^\n]*frozen\.pb cannot be read as a frozen TensorFlow graph: [^\n]*\.$"
    ):
        read(graph(ARRAYS) + HOSTILE[name], tmp_path)


def test_a_graph_of_too_many_operations_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(frozen_graph, "MAX_NODES", 5)
    with pytest.raises(ConversionError, match="it has more than 5 operations"):
        read(graph(ARRAYS), tmp_path)
