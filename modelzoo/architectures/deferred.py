"""Networks whose weights have shapes before they have values, so that none is drawn just to be overwritten.

A variable made in Keras' StatelessScope has no value. Keras keeps a list of these for each thread, to draw
their values when a later scope ends, and for each thread it counts the names that it gives to layers. So a
network is built in a thread of its own: the list ends with it, and the names count from the network's
beginning, not the process's. The values then come to be in the caller's thread, where its device and
distribution are in force. What a variable without a value is called is known here only.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import keras

Result = TypeVar("Result")


def without_values(build: Callable[[], Result]) -> Result:
    """What build() returns; its variables have shapes and initialisers, but no values yet."""

    def stateless() -> Result:
        with keras.StatelessScope(initialize_variables=False):
            return build()

    with ThreadPoolExecutor(max_workers=1) as executor:
        return executor.submit(stateless).result()


def set_value(variable: keras.Variable, array: Any) -> None:
    """A variable's first value, or another one."""
    if variable._value is not None:
        variable.assign(array)
        return
    variable._initializer = lambda shape, dtype: keras.ops.convert_to_tensor(array, dtype)
    variable._deferred_initialize()


def initialise(model: keras.Model) -> None:
    """Draws the values of all variables that have none, each by its own initialiser."""
    for variable in model.variables:
        if variable._value is None:
            variable._deferred_initialize()
