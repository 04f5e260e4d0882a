"""A graph as Darknet's sections; what these cannot say exactly is refused by the node's name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from modelzoo.formats.darknet_cfg import Option, Section
from modelzoo.graph import Graph, Node, Operator
from modelzoo.graph.convolutions import Conv, Dense
from modelzoo.graph.elementwise import Activation, Add, Dropout, LeakyReLU, ReLU
from modelzoo.graph.normalization import BatchNorm
from modelzoo.graph.passes import fold_padding
from modelzoo.graph.passes.rewriting import Uses
from modelzoo.graph.pooling import GlobalPool, MaxPool
from modelzoo.graph.shaping import Concat, Permute, Reshape, UpSampling
from modelzoo.graph.windows import Padding, Pair, margins

NORM_EPSILON = 1e-6  # that Darknet, as OpenCV runs it, adds to the variance
SLOPE = 0.1  # of Darknet's leaky activation
REORG = (Permute((3, 1, 2)), Reshape, Permute((3, 5, 1, 2, 4)), Reshape, Permute((2, 3, 1)))
INPUT = -1  # the number of what comes before all sections


@dataclass(frozen=True)
class Weighted:
    """The weights of a section: their shapes in the order of the file, and where they are in the graph."""

    number: int
    shapes: Mapping[str, tuple[int, ...]]
    kernel: str
    bias: str | None
    norm: Node | None = None
    epsilon: float = NORM_EPSILON


@dataclass
class Network:
    """The sections, those with weights, and the sections that give the outputs, by name."""

    graph: Graph
    uses: Uses
    sections: list[Section] = field(default_factory=list)
    weighted: list[Weighted] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)  # the section that gives a value, by its name
    outputs: dict[str, int] = field(default_factory=dict)

    def add(self, kind: str, **options: Option) -> int:
        """The number of a new section."""
        self.sections.append(Section(kind, options))
        return len(self.sections) - 1

    def route(self, *numbers: int) -> int:
        """The section that gives what these gave, one after the other along the channels."""
        here = len(self.sections)
        return self.add("route", layers=[number - here for number in numbers])

    def continue_after(self, node: Node) -> None:
        """Makes the node's input what the section before gives."""
        number = self.numbers[node.inputs[0]]
        if number == len(self.sections) - 1:
            return
        if number == INPUT:
            refuse(node, "only the first section sees the images")
        self.route(number)

    def only_consumer(self, name: str) -> Node | None:
        """The node that takes a value, if nobody else sees it."""
        consumers = self.uses.consumers.get(name, [])
        return consumers[0] if len(consumers) == 1 and name not in self.uses.given else None


def refuse(node: Node, reason: str) -> NoReturn:
    raise ValueError(f"{type(node.operator).__name__} {node.name!r}: {reason}.")


def network_of(graph: Graph) -> Network:
    """The graph as sections. Raises ValueError, with the node's name, for what Darknet cannot say exactly."""
    graph, _ = fold_padding(graph, {})
    if len(graph.inputs) != 1 or len(next(iter(graph.inputs.values()))) != 4:
        raise ValueError("Darknet's networks have one input, of images")
    network = Network(graph, Uses.of(graph))
    network.numbers = dict.fromkeys(graph.inputs, INPUT)
    for node in _in_chains(graph):
        if node.name not in network.numbers:  # what a section before has done already
            _write(network, node)
    network.outputs = {name: network.numbers[value] for name, value in graph.outputs.items()}
    return network


def _in_chains(graph: Graph) -> Iterator[Node]:
    """The nodes in an order in which each comes right after one that it needs, where that can be.

    Of several inputs the last one comes first, as in Darknet's own cfgs.
    """
    waiting, given = [*graph.outputs.values()][::-1], set(graph.inputs)
    while waiting:
        name = waiting[-1]
        missing = [] if name in given else [need for need in graph.node[name].inputs if need not in given]
        if missing:
            waiting += missing
            continue
        waiting.pop()
        if name not in given:
            given.add(name)
            yield graph.node[name]


def _write(network: Network, node: Node) -> None:
    operator = node.operator
    if isinstance(operator, (Conv, Dense)):
        _convolutional(network, node)
    elif isinstance(operator, MaxPool):
        _max_pool(network, node, operator)
    elif isinstance(operator, Add):
        _shortcut(network, node)
    elif isinstance(operator, Concat) and operator.axis % 4 == 3 and len(node.shape) == 4:
        _concat(network, node)
    elif isinstance(operator, Permute):
        _reorg(network, node)
    elif isinstance(operator, Dropout) or operator == Activation("linear"):
        network.numbers[node.name] = network.numbers[node.inputs[0]]
    elif section := _of_one_map(node):
        network.continue_after(node)
        network.numbers[node.name] = network.add(section.kind, **section.options)
    else:
        refuse(node, "Darknet has no such layer")


def _of_one_map(node: Node) -> Section | None:
    """The section of a node that takes one map and has no weights."""
    operator = node.operator
    if isinstance(operator, GlobalPool) and operator.reduction == "avg":
        return Section("avgpool")
    if operator == Activation("softmax") and len(node.shape) == 2:
        return Section("softmax", {"groups": 1})
    if isinstance(operator, UpSampling) and operator == UpSampling((operator.size[0], operator.size[0])):
        return Section("upsample", {"stride": operator.size[0]})
    return None


def _activation(operator: Operator) -> str | None:
    """Darknet's name of an activation that a section can have."""
    if operator in (ReLU(), Activation("relu")):
        return "relu"
    if operator == LeakyReLU(SLOPE):
        return "leaky"
    return "logistic" if operator == Activation("sigmoid") else None


def _followed(network: Network, node: Node) -> tuple[Node, str]:
    """The last node of a section, and the activation with which it ends."""
    following = network.only_consumer(node.name)
    activation = None if following is None else _activation(following.operator)
    return (following, activation) if following is not None and activation else (node, "linear")


def _convolutional(network: Network, node: Node) -> None:
    options, last, norm = _options(network.graph, node), node, None
    following = network.only_consumer(node.name)
    if following is not None and isinstance(following.operator, BatchNorm):
        last = norm = following
    end, activation = _followed(network, last)
    network.continue_after(node)
    batch_normalize: dict[str, Option] = {} if norm is None else {"batch_normalize": 1}
    number = network.add("convolutional", **batch_normalize, **options, activation=activation)
    network.weighted.append(_weighted(number, node, norm))
    network.numbers |= dict.fromkeys({node.name, last.name, end.name}, number)


def _options(graph: Graph, node: Node) -> dict[str, Option]:
    operator, shape = node.operator, graph.shape(node.inputs[0])
    if isinstance(operator, Dense):  # on a map of one pixel, as a convolution
        if len(shape) != 2 and shape[1:-1] != (1, 1):
            refuse(node, "Darknet has convolutions of maps")
        return {"filters": operator.units, "size": 1, "stride": 1, "pad": 0}
    if not isinstance(operator, Conv) or operator.dilation != (1, 1):
        refuse(node, "Darknet has no dilation")
    size, stride = _square(node, operator.kernel), _square(node, operator.stride)
    around = _around(node, operator.padding, operator.kernel, operator.stride, graph)
    pads = {pair[0] for pair in around}
    pad = pads.pop()
    for side, (before, after) in zip(shape[1:3], around, strict=True):
        needed = ((side or 0) + before + after - size) // stride
        if pads or before != pad or ((side or 0) + 2 * pad - size) // stride != needed:
            refuse(node, "Darknet pads all ends of both sides alike")
    found: dict[str, Option] = {"filters": operator.filters, "size": size, "stride": stride}
    padding: dict[str, Option] = {"pad": 1} if pad == size // 2 else {"padding": pad}
    return found | padding | ({} if operator.groups == 1 else {"groups": operator.groups})


def _around(node: Node, padding: Padding, size: Pair, stride: Pair, graph: Graph) -> tuple[Pair, Pair]:
    sides = graph.shape(node.inputs[0])[1:3]
    found = margins(padding, sides, size, stride)
    if None in sides or found is None:
        refuse(node, "name both sides of input_shape, on which it depends")
    return found


def _square(node: Node, pair: Pair) -> int:
    if pair[0] != pair[1]:
        refuse(node, "Darknet's windows are square")
    return pair[0]


def _weighted(number: int, node: Node, norm: Node | None) -> Weighted:
    kernel = next(weight for weight in node.weights if weight.name == "kernel").shape
    filters = kernel[-1]
    names = ("biases",) if norm is None else ("biases", "scales", "rolling_mean", "rolling_variance")
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(names, (filters,))
    shapes["weights"] = (filters, kernel[-2], *(kernel[:2] if len(kernel) == 4 else (1, 1)))
    epsilon = norm.operator.epsilon if norm and isinstance(norm.operator, BatchNorm) else NORM_EPSILON
    return Weighted(number, shapes, node.paths["kernel"], node.paths.get("bias"), norm, epsilon)


def _max_pool(network: Network, node: Node, operator: MaxPool) -> None:
    size, stride = _square(node, operator.size), _square(node, operator.stride)
    around = _around(node, operator.padding, operator.size, operator.stride, network.graph)
    sides = [side or 0 for side in network.graph.shape(node.inputs[0])[1:3]]
    for padding in (size - 1, 2 * around[0][0], 2 * around[0][0] + 1):  # in all, a half of it before
        if all(
            padding // 2 == before
            and (side + padding - size) // stride == (side + before + after - size) // stride
            for side, (before, after) in zip(sides, around, strict=True)
        ):
            break
    else:
        refuse(node, "Darknet pads both sides alike")
    network.continue_after(node)
    more: dict[str, Option] = {} if padding == size - 1 else {"padding": padding}
    network.numbers[node.name] = network.add("maxpool", size=size, stride=stride, **more)


def _shortcut(network: Network, node: Node) -> None:
    """The sum of what the section before gives and of another one."""
    if len(node.inputs) != 2 or len({network.graph.shape(name) for name in node.inputs}) != 1:
        refuse(node, "Darknet adds two maps of one shape")
    other, last = sorted(network.numbers[name] for name in node.inputs)
    if other == INPUT:
        refuse(node, "only the first section sees the images")
    if last != len(network.sections) - 1:
        last = network.route(last)
    end, activation = _followed(network, node)
    from_ = other - len(network.sections)
    number = network.add("shortcut", **{"from": from_}, activation=activation)
    network.numbers |= dict.fromkeys({node.name, end.name}, number)


def _concat(network: Network, node: Node) -> None:
    numbers = [network.numbers[name] for name in node.inputs]
    if INPUT in numbers:
        refuse(node, "only the first section sees the images")
    network.numbers[node.name] = network.route(*numbers)


def _reorg(network: Network, first: Node) -> None:
    """Darknet's [reorg], which our vocabulary writes as five nodes; see architectures.yolo.reorg."""
    chain = [first]
    while len(chain) < len(REORG) and (following := network.only_consumer(chain[-1].name)):
        chain.append(following)
    fits = len(chain) == len(REORG) and all(
        isinstance(node.operator, expected) if isinstance(expected, type) else node.operator == expected
        for node, expected in zip(chain, REORG, strict=True)
    )
    _, height, width, channels = network.graph.shape(first.inputs[0])
    if not fits or height is None or width is None or channels is None:
        refuse(first, "Darknet has no other order of axes")
    larger, smaller = chain[1].operator, chain[3].operator
    if larger != Reshape((channels // 4, height, 2, width, 2)) or smaller != Reshape(
        (4 * channels, height // 2, width // 2)
    ):
        refuse(first, "Darknet has no other order of axes")
    network.continue_after(first)
    number = network.add("reorg", stride=2)
    network.numbers |= {node.name: number for node in chain}
