"""What a SavedModel's program may do before it is run: it is read here, and TensorFlow sees it afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelzoo.errors import ExportError
from modelzoo.exporters import saved_model
from modelzoo.formats import saved_model as file_format
from modelzoo.formats.protobuf import field
from modelzoo.graph import OPERATORS, Builder
from modelzoo.graph.convolutions import Conv, Dense, DepthwiseConv, SeparableConv, TransposedConv
from modelzoo.graph.elementwise import ELU, FUNCTIONS, Activation, Dropout, LeakyReLU, PReLU, ReLU
from modelzoo.graph.normalization import BatchNorm, ChannelScale, LayerNorm, Normalization, Rescale
from modelzoo.graph.pooling import AveragePool, GlobalPool, MaxPool
from modelzoo.graph.shaping import (
    Cropping,
    Flatten,
    Permute,
    Reshape,
    SamePadding,
    UpSampling,
    ZeroPadding,
)
from modelzoo.runtimes.saved_model import check_program
from tests.operators import arrays_of

EXAMPLES = (
    Conv(4, (3, 3), padding="same", dilation=(2, 2)),
    Conv(4, (3, 3), padding=((1, 1), (1, 1)), groups=2),
    DepthwiseConv((3, 3), padding="same"),
    DepthwiseConv((3, 3), padding="same", dilation=(2, 2)),
    SeparableConv(4, (3, 3), padding="same"),
    TransposedConv(4, (3, 3), (2, 2), "same"),
    *(BatchNorm(), LayerNorm(), ChannelScale(), Rescale(2.0, 1.0)),
    Normalization((0.0,) * 4, (1.0,) * 4),
    *(MaxPool((2, 2), (2, 2)), AveragePool((3, 3), (1, 1), "same")),
    *map(Activation, FUNCTIONS),
    *(ReLU(), ReLU(6.0), ReLU(3.0), LeakyReLU(), ELU(), ELU(2.0), PReLU((1, 2)), Dropout(0.5)),
    *(ZeroPadding(((1, 2), (2, 1))), SamePadding((3, 3), (2, 2)), Cropping(((1, 1), (1, 1)))),
    *(UpSampling((2, 2)), UpSampling((2, 2), "bilinear"), Permute((2, 1, 3))),
    *(Reshape((-1, 4, 8)), GlobalPool("max", keep_sides=True), GlobalPool(), Flatten(), Dense(5)),
)


def message(*operators: str, calls: str = "", objects: int = 4, content: bytes = b"") -> bytes:
    """A SavedModel with a function f of these operators, one that calls `calls`, and an object."""
    nodes = b"".join(field(3, field(2, name.encode())) for name in operators)
    call = field(3, field(2, b"If") + field(5, field(2, field(10, field(1, calls.encode())))))
    functions = field(1, field(1, field(1, b"f")) + nodes) + field(1, field(1, field(1, b"g")) + call)
    kept = field(7, field(1, field(objects, content)))
    return field(2, field(2, field(2, functions)) + kept)


def check(path: Path, content: bytes) -> None:
    (path / "saved_model.pb").write_bytes(content)
    check_program(path)


def test_a_program_that_computes_is_run(tmp_path):
    check(tmp_path, message("Conv2D", "Relu"))
    check(tmp_path, message("SaveV2"))


def test_a_network_of_any_operator_is_run(tmp_path):
    """What Keras makes of them is among what computes."""
    several = {kind for kind in OPERATORS.values() if kind.arity != (1, 1)}
    assert {type(operator) for operator in EXAMPLES} | several == set(OPERATORS.values())
    nn = Builder()
    x = nn.input("images", (None, 16, 16, 4))
    for number, operator in enumerate(EXAMPLES):
        if isinstance(operator, Reshape):
            for kind in several:
                x = nn.add_node(kind(), x, x, name=kind.__name__, layer=kind.__name__)
        x = nn.add_node(operator, x, name=f"n{number}", layer=f"n{number}")
    graph = nn.graph("all", {"y": x})
    saved_model.save(tmp_path / "all", graph, arrays_of(graph))
    check_program(tmp_path / "all")
    _compare_with_tensorflow(tmp_path / "all")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (message("Relu", "WriteFile"), "the operator 'WriteFile'"),
        (message("PyFunc"), "the operator 'PyFunc'"),
        (message("SaveV2", calls="f"), "functions that save"),
        (message("Relu", objects=10), "functions that save, or that run when it is loaded"),
        (message("Relu", objects=11), "functions that save, or that run when it is loaded"),
        (message("Relu", objects=13, content=b"a class"), "that run when it is loaded"),
        (b"", "expected one graph, got 0"),
        (message("Relu") * 2, "expected one graph, got 2"),
        (message("Relu")[:-3], "malformed"),
        (b"\x12\xff\xff\xff\x7f", "malformed"),
    ],
)
def test_a_program_that_does_more_is_refused_before_tensorflow_sees_it(content, reason, tmp_path):
    with pytest.raises(ExportError, match=reason):
        check(tmp_path, content)


def _compare_with_tensorflow(path: Path) -> None:
    """Operators are read as TensorFlow reads them."""
    from tensorflow.core.protobuf import saved_model_pb2

    theirs = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    (graph,) = (meta_graph.graph_def for meta_graph in theirs.meta_graphs)
    ours = file_format.read(path / "saved_model.pb")
    assert ours.main.operators == {node.op for node in graph.node}
    assert {name: function.operators for name, function in ours.functions.items()} == {
        function.signature.name: {node.op for node in function.node_def}
        for function in graph.library.function
    }
