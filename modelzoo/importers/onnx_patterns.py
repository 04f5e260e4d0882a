"""Operators of a graph that are several operations in ONNX: the GELU, x / 2 * (1 + erf(x / sqrt 2))."""

from __future__ import annotations

import math
from collections.abc import Mapping

from modelzoo.formats.networks import Network, Node, Tensor

NEAR = 1e-3  # of a constant that was rounded


def gelus(network: Network) -> list[Node]:
    """The operations, each GELU as one operation of that name, where the last one of its own stood."""
    makers = {output: node for node in network.nodes for output in node.outputs}
    uses: dict[str, list[Node]] = {}
    for node in network.nodes:
        for name in node.inputs:
            uses.setdefault(name, []).append(node)
    constants = dict(network.tensors) | {
        node.outputs[0]: node.attributes["value"]
        for node in network.nodes
        if node.kind == "Constant" and node.outputs and isinstance(node.attributes.get("value"), Tensor)
    }
    replaced: dict[int, Node | None] = {}
    for node in network.nodes:
        found = _gelu(node, makers, uses, constants) if node.kind == "Erf" else None
        if found is not None:
            *inner, last, x = found
            gone = {id(each): None for each in inner}
            gelu = Node("Gelu", "", last.name, (x,), last.outputs, {})
            replaced |= gone | {id(last): gelu}
    kept = (replaced.get(id(node), node) for node in network.nodes)
    return [node for node in kept if node is not None]


def _gelu(
    erf: Node, makers: Mapping[str, Node], uses: Mapping[str, list[Node]], constants: Mapping[str, Tensor]
) -> tuple | None:
    """The operations of a GELU around its error function, the last one at the end, and its input."""
    scaled = makers.get(erf.inputs[0]) if erf.inputs else None
    if scaled is None or len(scaled.inputs) != 2 or not erf.outputs:
        return None
    x, factor = _apart(scaled, constants)
    expected = {"Div": math.sqrt(2), "Mul": math.sqrt(0.5)}.get(scaled.kind)
    if x is None or expected is None or abs(factor - expected) > NEAR:
        return None
    more = _only(uses, erf)
    if more is None or more.kind != "Add" or abs(_apart(more, constants)[1] - 1) > NEAR:
        return None
    product = _only(uses, more)
    if product is None or product.kind != "Mul" or len(product.inputs) != 2:
        return None
    other = next((name for name in product.inputs if name != more.outputs[0]), None)
    half = makers.get(other or "")
    if half is not None and half.kind == "Mul" and _apart(half, constants) == (x, 0.5):
        return scaled, erf, more, half, product, x
    last = _only(uses, product)
    if other != x or last is None or last.kind != "Mul" or _apart(last, constants)[1] != 0.5:
        return None
    return scaled, erf, more, product, last, x


def _only(uses: Mapping[str, list[Node]], node: Node) -> Node | None:
    """What alone takes the output."""
    found = uses.get(node.outputs[0], [])
    return found[0] if len(found) == 1 and found[0].outputs else None


def _apart(node: Node, constants: Mapping[str, Tensor]) -> tuple[str | None, float]:
    """The input that is no constant, and the one number that is the other."""
    names = [name for name in node.inputs if name not in constants]
    numbers = [constants[name] for name in node.inputs if name in constants]
    if len(names) != 1 or len(numbers) != 1 or math.prod(numbers[0].shape) != 1:
        return None, math.nan
    return names[0], float(numbers[0].array().reshape(()))
