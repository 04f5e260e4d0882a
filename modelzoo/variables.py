"""Keras variables that have shapes before they have values: none is initialized just to be overwritten.

A variable made in Keras' StatelessScope has no value. Keras keeps a list of these for each thread, to
initialize them when a later scope ends, and for each thread it counts the names that it gives to layers. So
a network is built in a thread of its own: the list ends with it, and the names count from the network's
beginning, not the process's. The values then come to be in the caller's thread, where its device and
distribution are in force.

How a variable gets its first value late is no part of Keras' public API: its private names are here and
nowhere else. Where a Keras has other ones, found out on a small variable, networks are built with values
from the beginning, and these are overwritten: slower, and the same in the end.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from modelzoo.errors import UnsupportedKeras

if TYPE_CHECKING:
    import keras

Result = TypeVar("Result")


def without_values(build: Callable[[], Result]) -> Result:
    """What build() returns; its variables have shapes and initializers, but no values yet if Keras can wait.

    Raises UnsupportedKeras, and what build() raises.
    """
    return _in_own_thread(functools.partial(_stateless, build) if can_wait() else build)


def set_value(variable: keras.Variable, array: Any) -> None:
    """A variable's first value, or another one."""
    if can_wait() and _is_empty(variable):
        _set_first_value(variable, array)
    else:
        variable.assign(array)


def initialize(model: keras.Model) -> None:
    """Gives values to all variables that have none, each by its own initializer."""
    if not can_wait():
        return
    for variable in model.variables:
        if _is_empty(variable):
            variable._deferred_initialize()


@functools.cache
def can_wait() -> bool:
    """Whether this Keras' variables can get their first value late; else they can be overwritten.

    Raises UnsupportedKeras if they can do neither.
    """
    import keras

    reasons = []
    for attempt, answer in ((_wait_once, True), (_overwrite_once, False)):
        try:
            _in_own_thread(attempt)
            return answer
        except Exception as error:  # of whatever a Keras that nobody has seen yet may raise
            reasons.append(f"{type(error).__name__}: {error}")
    raise UnsupportedKeras(
        "Expected a Keras whose variables can be given values after they are made; "
        f"Keras {keras.__version__} on {keras.backend.backend()} refused both ways that are known "
        f"({'; '.join(reasons)}). Install another version of Keras."
    )


def _stateless(build: Callable[[], Result]) -> Result:
    import keras

    with keras.StatelessScope(initialize_variables=False):
        return build()


def _in_own_thread(call: Callable[[], Result]) -> Result:
    with ThreadPoolExecutor(max_workers=1) as executor:
        return executor.submit(_in_scope(call)).result()


def _in_scope(call: Callable[[], Result]) -> Callable[[], Result]:
    """The call in the tf.distribute scope of this thread: a model remembers the one that it was made in."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return call
    import tensorflow as tf

    if not tf.distribute.has_strategy():
        return call
    strategy = tf.distribute.get_strategy()

    def within() -> Result:
        with strategy.scope():
            return call()

    return within


def _is_empty(variable: keras.Variable) -> bool:
    return variable._value is None


def _set_first_value(variable: keras.Variable, array: Any) -> None:
    import keras

    variable._initializer = lambda shape, dtype: keras.ops.convert_to_tensor(array, dtype)
    variable._deferred_initialize()


def _wait_once() -> None:
    variable = _stateless(_small_variable)
    if not _is_empty(variable):
        raise ValueError("a variable of a stateless scope has a value already")
    _set_first_value(variable, [1.0, 2.0])
    if _is_empty(variable):
        raise ValueError("a variable that was given a value has none")


def _overwrite_once() -> None:
    variable = _small_variable()
    variable.assign([1.0, 2.0])


def _small_variable() -> keras.Variable:
    import keras

    return keras.Variable(keras.initializers.Zeros(), shape=(2,), dtype="float32", name="small")
