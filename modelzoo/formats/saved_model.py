"""SavedModels' programs (saved_model.pb): which operators each function has, and which functions it calls.

Fields as in TensorFlow's saved_model.proto, meta_graph.proto, graph.proto, function.proto, node_def.proto,
attr_value.proto and saved_object_graph.proto. Nothing is run, and TensorFlow is not imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from modelzoo.formats.protobuf import fields

LARGEST = 1 << 28  # bytes of a program; weights lie in other files
META_GRAPHS = 2  # of a SavedModel
GRAPH, OBJECTS = 2, 7  # of a meta graph
NODES, LIBRARY = 1, 2  # of a graph, and of what is kept of objects the nodes
FUNCTIONS = 1  # of a library
SIGNATURE, BODY = 1, 3  # of a function
OPERATOR, ATTRIBUTES = 2, 5  # of a node
LIST, CALLED, LISTED = 1, 10, 9  # of an attribute's value: a list, a function; and of a list its functions
REGISTERED = 13  # of an object that is kept: the name of its class
NAME, VALUE = 1, 2  # of what is named, and of maps


@dataclass
class Function:
    """The operators that a function has, and the names of the functions that it calls."""

    operators: set[str] = field(default_factory=set[str])
    calls: set[str] = field(default_factory=set[str])


@dataclass(frozen=True)
class Program:
    """What a SavedModel can do: its main graph and its functions by name.

    objects: the fields of the objects that it keeps; registered: the classes by which some are made again.
    """

    main: Function
    functions: dict[str, Function]
    objects: frozenset[int]
    registered: frozenset[str]


def read(path: Path) -> Program:
    """The program of a saved_model.pb. Raises OSError, and ValueError for what is none or has several."""
    if path.stat().st_size > LARGEST:
        raise ValueError("its program is too large")
    meta_graphs = list(_messages(path.read_bytes(), META_GRAPHS))
    if len(meta_graphs) != 1:
        raise ValueError(f"expected one graph, got {len(meta_graphs)}")
    functions: dict[str, Function] = {}
    main = Function()
    for graph in _messages(meta_graphs[0], GRAPH):
        for node in _messages(graph, NODES):
            _add(main, node)
        for library in _messages(graph, LIBRARY):
            for message in _messages(library, FUNCTIONS):
                name = _name(next(_messages(message, SIGNATURE), memoryview(b"")))
                for node in _messages(message, BODY):
                    _add(functions.setdefault(name, Function()), node)
    objects = [node for kept in _messages(meta_graphs[0], OBJECTS) for node in _messages(kept, NODES)]
    kinds = frozenset(number for node in objects for number, _ in fields(node))
    registered = frozenset(str(name, "utf-8") for node in objects for name in _messages(node, REGISTERED))
    return Program(main, functions, kinds, registered)


def _add(function: Function, node: memoryview) -> None:
    """Adds a node's operator, and the functions that its attributes name."""
    function.operators |= {str(operator, "utf-8") for operator in _messages(node, OPERATOR)}
    for attribute in _messages(node, ATTRIBUTES):
        for value in _messages(attribute, VALUE):
            function.calls |= {_name(called) for called in _messages(value, CALLED)}
            for listed in _messages(value, LIST):
                function.calls |= {_name(called) for called in _messages(listed, LISTED)}


def _name(message: memoryview) -> str:
    return str(next(_messages(message, NAME), memoryview(b"")), "utf-8")


def _messages(data: bytes | memoryview, number: int) -> Iterator[memoryview]:
    """The contents of the fields of this number that have a length."""
    for found, value in fields(data):
        if found == number and not isinstance(value, int):
            yield value
