"""What a network is, before any framework: operators, and graphs of them. Standard library only."""

from modelzoo.graph.builder import Builder, Tensor
from modelzoo.graph.graph import Graph, Node
from modelzoo.graph.operator import Initializer, Operator, Shape, Weight
from modelzoo.graph.operators import OPERATORS

__all__ = ["OPERATORS", "Builder", "Graph", "Initializer", "Node", "Operator", "Shape", "Tensor", "Weight"]
