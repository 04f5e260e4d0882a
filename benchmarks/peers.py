"""The programs that benchmarks.inference compares, each in a process of its own.

    python -m benchmarks.peers prepare MODEL FOLDER     # the same weights in everybody's format
    python -m benchmarks.peers PEER FOLDER              # answers lines of JSON; see serve()

A peer is a function from the folder to a function from images, float32 (batch, height, width, 3), to
probabilities, (batch, classes). Nothing but the peer's own packages is imported in its process.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import measuring

Peer = Callable[[np.ndarray], np.ndarray]
LARGEST = 32  # images at once
GEMM = 4096  # the side of the matrices whose product tells what the processor can do


def modelzoo_classifier(folder: Path, runtime: str, precision: str = "f32") -> Peer:
    import modelzoo

    name, weights = (folder / "model.txt").read_text(), folder / "model.h5"
    classifier = modelzoo.Classifier(name, weights=weights, runtime=runtime, precision=precision)
    return classifier.pipeline.network.predict


def keras_predict(folder: Path) -> Peer:
    model = _keras_model(folder)
    return lambda images: model.predict(images, batch_size=len(images), verbose=0)


def tf_function(folder: Path) -> Peer:
    import tensorflow as tf

    model = _keras_model(folder)
    function = tf.function(lambda images: model(images, training=False))
    return lambda images: function(tf.constant(images)).numpy()


def _keras_model(folder: Path):
    import modelzoo

    return modelzoo.load((folder / "model.txt").read_text(), weights=folder / "model.h5")


def openvino(folder: Path) -> Peer:
    """As its documentation says, but for the precision, which it would otherwise choose itself."""
    import openvino as ov

    options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    network = ov.Core().compile_model(folder / "model.xml", "CPU", options)
    return lambda images: network(images)[0]


def onnx_runtime(folder: Path) -> Peer:
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})[0]


def timm(folder: Path, compiled: bool) -> Peer:
    """Channels last, which is faster on a CPU, so that our images need not be copied."""
    import torch

    _register_torchvisions_operators(torch)
    import timm

    weights = np.load(folder / "timm.npz")
    network = timm.create_model((folder / "timm.txt").read_text(), pretrained=False)
    missing, unexpected = network.load_state_dict(
        {name: torch.from_numpy(array) for name, array in weights.items()}, strict=False
    )
    if unexpected or not all(name.endswith("num_batches_tracked") for name in missing):
        raise SystemExit(f"timm's network wants {missing} and has no {unexpected}")
    model = torch.nn.Sequential(network, torch.nn.Softmax(-1)).eval().to(memory_format=torch.channels_last)
    if compiled:
        model = torch.compile(model, dynamic=False)

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()

    return run


def _register_torchvisions_operators(torch) -> None:
    """timm wants torchvision, which without CUDA's libraries does not start unless these are there."""
    for operator in ("nms", "qnms"):
        torch.library.define(
            f"torchvision::{operator}", "(Tensor boxes, Tensor scores, float threshold) -> Tensor"
        )


def gemm(folder: Path) -> Peer:
    """Not a network: the product of two matrices by oneDNN, in f32."""
    import openvino as ov
    from openvino import opset13

    a, b = (opset13.parameter([GEMM, GEMM], np.float32) for _ in range(2))
    product = ov.Model([opset13.matmul(a, b, False, False)], [a, b])
    request = (
        ov.Core().compile_model(product, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    )
    matrices = list(np.random.default_rng(0).random((2, GEMM, GEMM), np.float32))
    return lambda images: request.infer(matrices, share_inputs=True, share_outputs=True)[0]


PEERS: dict[str, Callable[[Path], Peer]] = {
    "modelzoo, OpenVINO f32": partial(modelzoo_classifier, runtime="openvino"),
    "modelzoo, OpenVINO bf16": partial(modelzoo_classifier, runtime="openvino", precision="bf16"),
    "modelzoo, Keras": partial(modelzoo_classifier, runtime="keras"),
    "keras predict": keras_predict,
    "tf.function": tf_function,
    "ONNX Runtime": onnx_runtime,
    "plain OpenVINO f32": openvino,
    "timm, eager": partial(timm, compiled=False),
    "timm, torch.compile": partial(timm, compiled=True),
    "GEMM": gemm,
}


def prepare(name: str, folder: Path) -> None:
    """Writes the model with synthetic weights as each peer wants it, images, and Keras' answer to them."""
    import modelzoo
    from benchmarks import files
    from modelzoo import conversion
    from modelzoo.verification.comparison import synthetic_weights

    entry = modelzoo.info(name)
    model = modelzoo.load(name, weights="synthetic")
    files.ours(entry, folder / "model.h5")
    (folder / "model.txt").write_text(entry.key)
    images = np.concatenate([modelzoo.preprocess(measuring.CAT, name)] * LARGEST)
    images *= np.linspace(0.5, 1, LARGEST, dtype=np.float32)[:, None, None, None]
    np.save(folder / "images.npy", images)
    np.save(folder / "answer.npy", model.predict(images, verbose=0))
    (folder / "gflop.txt").write_text(str(gflop(model)))
    if "gluon" in entry.key:
        hub = entry.sources[-1].urls[0].split("/")[4]  # https://huggingface.co/timm/NAME/resolve/...
        (folder / "timm.txt").write_text(hub)
        timm = conversion.CONVERTERS["timm"]
        upstream = timm.upstream_arrays(entry.graph.variant, synthetic_weights(entry))
        np.savez(folder / "timm.npz", **upstream)
    import openvino as ov

    ov.save_model(ov.convert_model(model), folder / "model.xml", compress_to_fp16=False)
    try:
        model.export(folder / "model.onnx", format="onnx", verbose=False)
    except ImportError as error:
        print(f"no ONNX file: {error}", file=sys.stderr)


def gflop(model) -> float:
    """10^9 multiplications and additions for one image, in convolutions and dense layers."""
    total = 0
    for layer in model.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is not None:
            total += 2 * np.prod(kernel.shape) * np.prod(layer.output.shape[1:-1])
    return float(total) / 1e9


def serve(name: str, folder: Path) -> None:
    """Answers {"batch": images, "seconds": at least} with images/s and peak memory in MiB.

    Greets with the relative L2 error of the output, or with what is missing.
    """
    with measuring.only_answers_on_stdout() as say:
        try:
            run = PEERS[name](folder)
        except (ImportError, FileNotFoundError, ValueError) as error:
            say({"missing": str(error)})
            return
        images, answer = np.load(folder / "images.npy"), np.load(folder / "answer.npy")
        error = None
        if name != "GEMM":
            error = float(np.linalg.norm(run(images) - answer) / np.linalg.norm(answer))
        say({"error": error})
        warm = set()
        for line in sys.stdin:
            question = json.loads(line)
            batch = np.ascontiguousarray(images[: question["batch"]])
            if len(batch) not in warm:
                run(batch), run(batch)
                warm.add(len(batch))
            runs, start = 0, time.perf_counter()
            while runs < 3 or time.perf_counter() - start < question["seconds"]:
                run(batch)
                runs += 1
            rate = runs * len(batch) / (time.perf_counter() - start)
            say({"rate": rate, "memory": measuring.peak_memory()})


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare(sys.argv[2], Path(sys.argv[3]))
    else:
        serve(sys.argv[1], Path(sys.argv[2]))
