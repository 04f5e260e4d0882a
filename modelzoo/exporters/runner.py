"""Runs an exported file in its own runtime. A program: it imports that and NumPy, and nothing of modelzoo's.

    python -P runner.py RUNTIME FILE INPUTS.npz OUTPUTS.npz BYTES NAMES

INPUTS holds arrays number/name; OUTPUTS gets arrays number/position of the output, in the order of NAMES, a
JSON list, where the runtime gives them by name. BYTES bounds the memory.
"""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

Inputs = dict[str, Any]
Run = Callable[[Inputs], list[Any]]  # inputs by name -> outputs in order


def onnxruntime(path: str, names: list[str]) -> Run:
    import onnxruntime as runtime

    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors only
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(names, inputs)


def openvino(path: str, names: list[str]) -> Run:
    import openvino as ov

    hints = {"INFERENCE_PRECISION_HINT": ov.Type.f32}
    network = ov.Core().compile_model(path, "CPU", hints)

    def run(inputs: Inputs) -> list[Any]:
        found = network(inputs)
        return [found[name] for name in names]

    return run


def keras(path: str, names: list[str]) -> Run:
    import keras as runtime

    model = runtime.saving.load_model(
        path, compile=False, safe_mode=True
    )  # which this program's caller has just written

    def run(inputs: Inputs) -> list[Any]:
        given = next(iter(inputs.values())) if len(inputs) == 1 else inputs
        found = model(given, training=False)
        values = [found[name] for name in names] if isinstance(found, dict) else [found]
        return [runtime.ops.convert_to_numpy(value) for value in values]

    return run


def litert(path: str, names: list[str]) -> Run:
    try:
        module = import_module("ai_edge_litert.interpreter")
    except ImportError:
        module = import_module("tensorflow.lite.python.interpreter")
    interpreter = module.Interpreter(model_path=path)
    runner = interpreter.get_signature_runner()

    def run(inputs: Inputs) -> list[Any]:
        found = runner(**inputs)
        return [found[name] for name in names]

    return run


def python(path: str, names: list[str]) -> Run:
    program = runpy.run_path(path)  # which this program's caller has just written
    model = program["load"]()

    def run(inputs: Inputs) -> list[Any]:
        given = next(iter(inputs.values())) if len(inputs) == 1 else inputs
        found = model(given, training=False)
        return [np.asarray(found[name] if isinstance(found, dict) else found) for name in names]

    return run


RUNTIMES = {
    "onnxruntime": onnxruntime,
    "openvino": openvino,
    "keras": keras,
    "litert": litert,
    "python": python,
}


def main(name: str, path: str, inputs: str, outputs: str, most_bytes: str, names: str) -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (int(most_bytes), int(most_bytes)))
    except (ImportError, ValueError, OSError):  # Windows; a limit that may not be raised
        pass
    run, batches, found = RUNTIMES[name](path, json.loads(names)), {}, {}
    for key, array in np.load(inputs).items():
        number, _, input_ = key.partition("/")
        batches.setdefault(int(number), {})[input_] = array
    for number, batch in batches.items():
        for position, array in enumerate(run(batch)):
            found[f"{number}/{position}"] = np.asarray(array)
    np.savez(outputs, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
