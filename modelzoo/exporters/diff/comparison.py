"""compare(): the first node of a network whose value differs on the other side, and what explains it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from modelzoo.backends import numpy as reference
from modelzoo.exporters import proof
from modelzoo.exporters.diff import matching
from modelzoo.exporters.diff.causes import Guess, Part, guesses
from modelzoo.exporters.diff.matching import relative
from modelzoo.exporters.diff.sides import FileSide, GraphSide, tensors_of
from modelzoo.graph import Graph, Node
from modelzoo.graph.passes.rewriting import Computed

TOLERANCE = 1e-5  # of the relative L2 error of a node, computed on the other side's own inputs
ROUNDING = 1e-6  # below which nothing is looked into
UNSAID = {"initializer", "momentum", "rate", "shape_of_noise"}  # attributes that matter in training only
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class FirstNode:
    """The first node in the network's order whose value differs by more than its inputs' errors explain.

    before: the largest relative L2 error of its inputs; after: that of its value, infinite where the other
        side's has another shape.
    cause: one of CAUSES, or "" where none explains the value; words: what the other side has instead.
    remaining: the error of the other side's value where the cause is taken into account.
    """

    node: str
    operator: str
    shape: tuple[int, ...]
    other_shape: tuple[int, ...]
    before: float
    after: float
    cause: str = ""
    words: str = ""
    remaining: float | None = None


@dataclass(frozen=True)
class OutputDifference:
    """An output on both sides; the labels are the classes of the largest values, if there are classes."""

    name: str
    shape: tuple[int, ...]
    other_shape: tuple[int, ...]
    relative_l2: float
    label: int | None = None
    other_label: int | None = None


@dataclass(frozen=True)
class Difference:
    """What a comparison found. `nodes` of the reference's were compared, of `all_nodes`.

    stated: attributes and weights that two graphs say are different, in words.
    """

    reference: str
    other: str
    tolerance: float
    nodes: int
    all_nodes: int
    first: FirstNode | None
    outputs: tuple[OutputDifference, ...]
    stated: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()  # the names of classes, where a side knows them

    @property
    def equal(self) -> bool:
        """Whether neither a node nor an output differs by more than the tolerance."""
        return self.first is None and all(each.relative_l2 <= self.tolerance for each in self.outputs)

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON: errors that are infinite are null."""
        facts = _finite(asdict(self))
        del facts["labels"]
        return {"equal": self.equal, **facts}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def compare(
    side: GraphSide, other: GraphSide | FileSide, images: np.ndarray, *, tolerance: float = TOLERANCE
) -> Difference:
    """The first node of the network that differs on the other side, and the outputs of both.

    images: (batch, height, width, channels), as the network takes them. Raises ValueError for images that a
    side cannot take, and ExportError for a file that cannot be run.
    """
    values = _all_values(side, images)
    pairs: dict[str, str] = {}
    if isinstance(other, GraphSide):
        pairs = matching.of_graph(side.graph, other.graph)
        theirs = _all_values(other, images)
        found = {ours: theirs[its] for ours, its in pairs.items()}
        outputs = {name: theirs[value] for name, value in other.graph.outputs.items()}
    else:
        tensors = tensors_of(other, images, side.graph)
        found = matching.of_file(
            side.graph, values, tensors.values, tensors.outputs, channels_first=tensors.channels_first
        )
        outputs = tensors.outputs
    first = _Comparison(side, values, found, tolerance).first()
    return Difference(
        side.name,
        other.name,
        tolerance,
        len(found),
        len(side.graph.nodes),
        first,
        tuple(_outputs({name: values[v] for name, v in side.graph.outputs.items()}, outputs)),
        tuple(_stated(side, other, pairs, first)) if isinstance(other, GraphSide) else (),
    )


def compare_files(
    side: FileSide, other: FileSide, images: np.ndarray, *, tolerance: float = TOLERANCE
) -> Difference:
    """The same for two files: their tensors by name, in the order of the first; nothing tells the cause.

    Of files in two formats only the outputs: each joins nodes in its own way.
    """
    ours, theirs = tensors_of(side, images), tensors_of(other, images)
    alike = ours.values.keys() & theirs.values.keys() if side.format is other.format else set[str]()
    first, before = None, 0.0
    for name, value in ours.values.items():
        if name not in alike:
            continue
        found = theirs.values[name]
        error = relative(found, value)
        if error > max(tolerance, 4 * before):
            first = FirstNode(name, "tensor", value.shape, found.shape, before, error)
            break
        before = max(before, error)
    outputs = tuple(_outputs(ours.outputs, theirs.outputs))
    return Difference(side.name, other.name, tolerance, len(alike), len(ours.values), first, outputs)


def _all_values(side: GraphSide, images: np.ndarray) -> dict[str, np.ndarray]:
    """The values of all nodes and of the input by name."""
    inputs = _inputs(side.graph, images)
    nodes_only = replace(side.graph, outputs={}, maps={})  # whose names may be those of other nodes
    names = [*side.graph.node, *side.graph.inputs]
    return dict(reference.run(nodes_only, side.arrays, inputs, values=names))


def _inputs(graph: Graph, images: np.ndarray) -> dict[str, np.ndarray]:
    """The images by the name of the only input; raises ValueError if there are several."""
    if len(graph.inputs) != 1:
        raise ValueError(f"Expected one input of {graph.name}, got {len(graph.inputs)}.")
    return dict.fromkeys(graph.inputs, images)


def _stated(
    side: GraphSide, other: GraphSide, pairs: Mapping[str, str], first: FirstNode | None
) -> Iterator[str]:
    """Attributes that differ, of nodes that are paired, and weights by how much.

    Padding only of the first node that differs: it may be another node's matter.
    """
    for ours, theirs in pairs.items():
        node, its = side.graph.node[ours], other.graph.node[theirs]
        unsaid = UNSAID if first is not None and first.node == ours else UNSAID | {"padding"}
        if type(node.operator) is type(its.operator):
            for field in fields(node.operator):  # type: ignore[arg-type]
                mine, others = (getattr(each.operator, field.name) for each in (node, its))
                if mine != others and field.name not in unsaid:
                    yield f"{ours}: {field.name} {mine} and {others}"
        for name, path in node.paths.items():
            if name in its.paths:
                error = relative(np.asarray(other.arrays[its.paths[name]]), np.asarray(side.arrays[path]))
                if error > ROUNDING:
                    yield f"{ours}: {name} differs by {error:.1e}"


def _outputs(ours: Arrays, theirs: Arrays) -> Iterator[OutputDifference]:
    """Each output beside the one of its name, the only ones whatever they are called."""
    alone = len(ours) == len(theirs) == 1
    if alone:
        theirs = dict(zip(ours, theirs.values(), strict=True))
    for name in dict.fromkeys((*ours, *theirs)):
        if name not in ours or name not in theirs:
            shape, other = (each[name].shape if name in each else () for each in (ours, theirs))
            yield OutputDifference(name, shape, other, float("inf"))
            continue
        mine = ours[name]
        found = matching.in_order(theirs[name], mine)
        labels = [None, None]
        if mine.ndim == found.ndim == 2 and mine.shape[1] > 1:
            labels = [int(each[0].argmax()) for each in (mine, found)]
        yield OutputDifference(name, mine.shape, found.shape, relative(found, mine), *labels)


@dataclass(frozen=True)
class _Comparison:
    """A network's values, and those of them that the other side has, by the network's names."""

    side: GraphSide
    values: Arrays
    found: Arrays
    tolerance: float

    def first(self) -> FirstNode | None:
        for node in self.side.graph.nodes:
            if node.name in self.found and self._differs(node):
                return self._described(node)
        return None

    def _differs(self, node: Node) -> bool:
        """Whether the value is other than the network's on the inputs that the other side has."""
        value = self.found[node.name]
        if relative(value, self.values[node.name]) <= ROUNDING:
            return False
        nodes, given = self._part(node)
        return relative(value, self._computed(nodes, given, {}, {})) > self.tolerance

    def _part(self, node: Node) -> tuple[tuple[Node, ...], dict[str, np.ndarray]]:
        """The nodes that lead to a node from what the other side has, and that: its values of them."""
        inside: set[str] = set()
        given: dict[str, np.ndarray] = {}
        waiting = [node.name]
        while waiting:
            name = waiting.pop()
            if name in inside or name in given:
                continue
            there = name != node.name and self._is_known(name)
            if there:
                given[name] = self.found.get(name, self.values[name])
            else:
                inside.add(name)
                waiting += self.side.graph.node[name].inputs
        return tuple(each for each in self.side.graph.nodes if each.name in inside), given

    def _is_known(self, name: str) -> bool:
        found = self.found.get(name)
        return name in self.side.graph.inputs or (
            found is not None and found.shape == self.values[name].shape
        )

    def _computed(
        self, nodes: Sequence[Node], given: Arrays, changed: Mapping[str, Node], arrays: Arrays
    ) -> np.ndarray:
        """The value of the last of the nodes; empty where these cannot be computed one after the other."""
        values = {name: np.asarray(value, np.float64) for name, value in given.items()}
        weights = Computed(self.side.arrays, {path: lambda a=a: a for path, a in arrays.items()})
        try:
            for node in nodes:
                inputs = [values[name] for name in node.inputs]
                values[node.name] = reference.computed(changed.get(node.name, node), weights, inputs)
        except ValueError:  # windows that do not fit, maps of other sizes
            return np.empty(0)
        return values[nodes[-1].name]

    def _described(self, node: Node) -> FirstNode:
        nodes, given = self._part(node)
        value = self.found[node.name]
        errors = [relative(given[name], self.values[name]) for name in given]
        guess, remaining = self._explained(nodes, given, value)
        named = node if guess is None else self.side.graph.node[guess.node]
        return FirstNode(
            named.name,
            type(named.operator).__name__,
            self.values[node.name].shape,
            value.shape,
            max(errors, default=0.0),
            relative(value, self.values[node.name]),
            "" if guess is None else guess.cause,
            "" if guess is None else guess.words,
            remaining,
        )

    def _explained(
        self, nodes: tuple[Node, ...], given: Arrays, value: np.ndarray
    ) -> tuple[Guess | None, float | None]:
        """The guess that meets the other side's value best, and its error; None if none does."""
        shapes = {name: array.shape for name, array in self.values.items()}
        part = Part(self.side.graph, nodes, self.side.arrays, shapes)
        best, least = None, self.tolerance
        for guess in guesses(part):
            inputs = {
                name: array[..., ::-1] if name in guess.reversed_inputs else array
                for name, array in given.items()
            }
            error = relative(value, self._computed(nodes, inputs, guess.nodes, guess.arrays))
            if error < least:
                best, least = guess, error
        return best, None if best is None else least


def precision_tolerance(precision: str) -> float:
    """The tolerance for a file whose weights are kept in this precision."""
    return TOLERANCE if precision == "f32" else proof.TOLERANCES.get(precision, TOLERANCE)
