"""Runs an exported file in its own runtime. A program: it imports that and NumPy, and nothing of modelzoo's.

    python runner.py RUNTIME FILE INPUTS.npz OUTPUTS.npz BYTES NAMES

INPUTS holds arrays number/name; OUTPUTS gets arrays number/position of the output, in the order of NAMES, a
JSON list, where the runtime gives them by name. BYTES bounds the memory.
"""

from __future__ import annotations

import json
import re
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


def _litert_module() -> Any:
    """LiteRT's interpreter: its own package's, or TensorFlow's."""
    try:
        return import_module("ai_edge_litert.interpreter")
    except ImportError:
        return import_module("tensorflow.lite.python.interpreter")


def keras_applications(path: str, names: list[str]) -> Run:
    """keras.applications' own network with the weights of the file; Keras 2's, tf_keras, if that is there."""
    import h5py

    try:
        runtime: Any = import_module("tf_keras")
    except ImportError:
        runtime = import_module("keras")
    with h5py.File(path) as file:
        facts = json.loads(file["modelzoo/original"][()].tobytes())
    model = getattr(runtime.applications, facts.pop("model"))(weights=None, **facts)
    model.load_weights(path)
    return lambda inputs: [model.predict_on_batch(next(iter(inputs.values())))]


def litert(path: str, names: list[str]) -> Run:
    interpreter = _litert_module().Interpreter(model_path=path)
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


def litert_tensors(path: str, names: list[str]) -> Run:
    """All tensors that depend on the batch, by LiteRT's plain kernels; their names come first.

    The names of outputs have "output " before them. The only input goes by any name.
    """
    module = _litert_module()
    interpreter = module.Interpreter(
        model_path=path,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    runner = interpreter.get_signature_runner()
    outputs = {f"output {name}": each["index"] for name, each in runner.get_output_details().items()}
    (input_,) = interpreter.get_input_details()

    def run(inputs: Inputs) -> list[Any]:
        (batch,) = inputs.values()
        interpreter.resize_tensor_input(input_["index"], batch.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(input_["index"], batch)
        interpreter.invoke()
        found = {
            each["name"]: each["index"]
            for each in interpreter.get_tensor_details()
            if list(each["shape_signature"][:1]) == [-1] and each["dtype"] == np.float32
        } | outputs
        return [np.array(list(found)), *(interpreter.get_tensor(index) for index in found.values())]

    return run


def tensorflow(path: str, names: list[str]) -> Run:
    runtime = import_module("tensorflow")
    loaded = runtime.saved_model.load(path)  # which this program's caller has just written

    def run(inputs: Inputs) -> list[Any]:
        found: dict[str, Any] = {}
        for signature in loaded.signatures.values():  # all that take these inputs
            if signature.structured_input_signature[1].keys() == inputs.keys():
                found |= signature(**{name: runtime.constant(array) for name, array in inputs.items()})
        return [_plain(found[name].numpy()) for name in names]

    return run


def caffe(path: str, names: list[str]) -> Run:
    """OpenCV 4 reads Caffe's files; maps have the channels first there."""
    cv2: Any = import_module("cv2")
    stem = path.rpartition(".")[0]
    return _opencv(cv2.dnn.readNetFromCaffe(f"{stem}.prototxt", path), names)


def mxnet(path: str, names: list[str]) -> Run:
    """MXNet's SymbolBlock reads the weights, and beside them the symbol."""
    mx: Any = import_module("mxnet")
    symbol = re.sub(r"(-\d{4})?\.params$", "-symbol.json", path)
    known: list[Any] = []

    def run(inputs: Inputs) -> list[Any]:
        if not known:
            known.append(mx.gluon.SymbolBlock.imports(symbol, list(inputs), path))
        found = known[0](*(mx.nd.array(array) for array in inputs.values()))
        return [value.asnumpy() for value in (found if isinstance(found, (list, tuple)) else [found])]

    return run


def darknet(path: str, names: list[str]) -> Run:
    """OpenCV 4 reads Darknet's files; a comment of the .cfg says which section gives an output."""
    cv2: Any = import_module("cv2")
    stem = path.rpartition(".")[0]
    with open(f"{stem}.cfg", encoding="utf-8") as file:
        (line,) = (line for line in file if line.startswith("# modelzoo outputs "))
    sections = json.loads(json.loads(line.removeprefix("# modelzoo outputs ")))
    network = cv2.dnn.readNetFromDarknet(f"{stem}.cfg", path)
    layers = network.getLayerNames()
    last = [[layer for layer in layers if layer.endswith(f"_{sections[name]}")][-1] for name in names]
    run = _opencv(network, last)

    def run_squeezed(inputs: Inputs) -> list[Any]:
        """Vectors are maps of one pixel there; the images' name is not known."""
        (images,) = inputs.values()
        found = run({"": images})
        return [array[:, 0, 0] if array.shape[1:3] == (1, 1) else array for array in found]

    return run_squeezed


def _opencv(network: Any, names: list[str]) -> Run:
    network.enableWinograd(False)  # its error is larger

    def run(inputs: Inputs) -> list[Any]:
        for name, array in inputs.items():
            network.setInput(np.ascontiguousarray(_channels(array, first=True)), name)
        return [_channels(array, first=False) for array in network.forward(names)]

    return run


def _channels(array: Any, *, first: bool) -> Any:
    return array if array.ndim != 4 else array.transpose((0, 3, 1, 2) if first else (0, 2, 3, 1))


def torch(path: str, names: list[str]) -> Run:
    runtime: Any = import_module("torch")

    return _channels_first(runtime.export.load(path).module(), names)  # which the caller has just written


def torchvision(path: str, names: list[str]) -> Run:
    return _state_dict(path, names)


def timm(path: str, names: list[str]) -> Run:
    return _state_dict(path, names)


def _state_dict(path: str, names: list[str]) -> Run:
    """The class that the file names, with exactly its tensors."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        facts = json.loads(file.metadata()["class"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if facts["package"] == "timm":
        model = import_module("timm").create_model(facts["name"], pretrained=False, **facts["arguments"])
    else:
        models = import_module("torchvision.models")
        model = models.get_model(facts["name"], weights=None, **facts["arguments"])
    model.load_state_dict(tensors, strict=True)
    return _channels_first(model.eval(), names)


def _channels_first(model: Any, names: list[str]) -> Run:
    """Images and maps have their channels second in PyTorch, and last in what is compared."""
    runtime: Any = import_module("torch")

    def run(inputs: Inputs) -> list[Any]:
        given = [runtime.from_numpy(array) for array in inputs.values()]
        with runtime.no_grad():
            found = model(*(x.permute(0, 3, 1, 2) if x.ndim == 4 else x for x in given))
        values = [found[name] for name in names] if isinstance(found, dict) else [found]
        return [(y.permute(0, 2, 3, 1) if y.ndim == 4 else y).numpy() for y in values]

    return run


def _plain(array: Any) -> Any:
    """Texts as NumPy can store them without pickling."""
    return array.astype(np.bytes_) if array.dtype == object else array


RUNTIMES = {
    "onnxruntime": onnxruntime,
    "openvino": openvino,
    "keras": keras,
    "litert": litert,
    "python": python,
    "keras_applications": keras_applications,
    "mxnet": mxnet,
    "caffe": caffe,
    "darknet": darknet,
    "litert_tensors": litert_tensors,
    "torch": torch,
    "torchvision": torchvision,
    "timm": timm,
    "tensorflow": tensorflow,
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
