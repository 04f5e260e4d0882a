"""Whole processes, from their start to the top five labels of a photograph; import; and load() of big models.

    python -m benchmarks.cold [--torch-python PYTHON] [--json FILE]

Every program gets the same photograph, and where it runs ResNet-101 the same synthetic weights; those that
share them must name the same five classes. Ours has compiled its network before, as after any first call.
load() is compared with Keras' own building of the same graph, with zeros instead of random numbers, and
reading all arrays of the file with h5py.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any
from unittest import mock

from benchmarks import measuring

if TYPE_CHECKING:
    import keras

    from modelzoo.registry import Entry

MODEL = "resnet101.keras"
# timm wants torchvision, which does not start without CUDA's libraries unless these operators are there.
OPERATORS = """for operator in ("nms", "qnms"):
    torch.library.define("torchvision::" + operator, "(Tensor boxes, Tensor scores, float t) -> Tensor")
"""
KERAS_SCRIPT = """
import sys, keras, numpy as np
from keras.applications import resnet
model = resnet.ResNet101(weights=sys.argv[1])
image = keras.utils.load_img(sys.argv[2], target_size=(224, 224), interpolation="bilinear")
images = resnet.preprocess_input(np.expand_dims(keras.utils.img_to_array(image), 0))
print(*np.argsort(-model.predict(images, verbose=0)[0])[:5])
"""
OPENVINO_SCRIPT = """
import sys, numpy as np, openvino as ov
from PIL import Image
core = ov.Core()
options = {"CACHE_DIR": sys.argv[3], "INFERENCE_PRECISION_HINT": "f32"}
network = core.compile_model(sys.argv[1], "CPU", options)
image = np.asarray(Image.open(sys.argv[2]).convert("RGB").resize((224, 224), 2), np.float32)
images = np.ascontiguousarray(image[None, :, :, ::-1] - np.float32([103.939, 116.779, 123.68]))
print(*np.argsort(-network(images)[0][0])[:5])
"""
TIMM_SCRIPT = f"""
import sys, torch
{OPERATORS}import timm, numpy as np
from PIL import Image
model = timm.create_model("resnet101", checkpoint_path=sys.argv[1]).eval()
image = np.asarray(Image.open(sys.argv[2]).convert("RGB").resize((224, 224), 2), np.float32)
images = torch.from_numpy((image[None] / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).float()
with torch.inference_mode():
    print(*model(images.permute(0, 3, 1, 2))[0].topk(5).indices.tolist())
"""
TIMM_WEIGHTS = f"""
import sys, torch
{OPERATORS}import timm
from safetensors.torch import save_file
save_file(timm.create_model("resnet101").state_dict(), sys.argv[1])
"""
OURS, SCRIPT = "modelzoo classify -m resnet101", "a keras.applications script, ResNet101"
BUNDLED, IMPORT = "modelzoo classify", 'python -c "import modelzoo"'
BF16 = f"{OURS} --precision bf16"
PLAIN = "a plain OpenVINO script, network in its cache"
TIMM = "a timm script, resnet101"
LOADED = ("resnet101", "resnet152_v2", "densenet201", "inception_resnet_v2", "efficientnet_b7", "vgg19")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--torch-python", default=sys.executable, help="interpreter with torch and timm")
    parser.add_argument("--load", metavar="MODEL", help=argparse.SUPPRESS)
    if "--load" in sys.argv:
        print(json.dumps(load_once(parser.parse_args())))
        return
    measuring.main(parser, measure, text)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="modelzoo-cold-") as place:
        folder = Path(place)
        environment = measuring.environment(MODELZOO_CACHE=str(folder / "cache"))
        prepare(folder, environment)
        programs, missing = commands(folder, options.torch_python)

        def run(name: str) -> dict[str, Any]:
            return measuring.whole_process(programs[name], environment)

        answers = {name: run(name)["output"] for name in programs}
        if len({answers[SCRIPT], answers[PLAIN], indices(answers[OURS])}) != 1:
            raise SystemExit(f"The programs disagree: {answers}")
        found = measuring.taking_turns(list(programs), options.rounds, run)
        loading = [loading_of(model, options) for model in LOADED]
    return {
        "processes": {
            name: {key: [one[key] for one in runs] for key in ("seconds", "mib")}
            for name, runs in found.items()
        },
        "load": dict(zip(LOADED, loading, strict=True)),
        "missing": missing,
    }


def prepare(folder: Path, environment: dict[str, str]) -> None:
    """Writes the same weights as each program wants them, and adds ours to the cache."""
    make = [sys.executable, "-m", "benchmarks.peers", "prepare", MODEL, str(folder)]
    add = [sys.executable, "-m", "modelzoo", "add", MODEL, str(folder / "model.h5")]
    for command in (make, add):
        subprocess.run(command, cwd=measuring.ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)


def commands(folder: Path, torch_python: str) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Each program's command line; and why a program is not measured."""
    python, cat = sys.executable, str(measuring.CAT)
    weights, network = str(folder / "model.h5"), str(folder / "model.xml")
    checkpoint = str(folder / "timm.safetensors")
    ours = [python, "-m", "modelzoo", "classify", cat, "--json"]
    programs = {
        "python -c pass": [python, "-c", "pass"],
        IMPORT: [python, "-c", "import modelzoo"],
        BUNDLED: ours,
        OURS: [*ours, "-m", MODEL],
        BF16: [*ours, "-m", MODEL, "--precision", "bf16"],
        PLAIN: [python, "-c", OPENVINO_SCRIPT, network, cat, str(folder / "openvino")],
        f"{OURS} --runtime keras": [*ours, "-m", MODEL, "--runtime", "keras"],
        SCRIPT: [python, "-c", KERAS_SCRIPT, weights, cat],
        TIMM: [torch_python, "-c", TIMM_SCRIPT, checkpoint, cat],
    }
    missing = {}
    if reason := measuring.not_measured("bf16"):
        missing[BF16] = reason
    make = [torch_python, "-c", TIMM_WEIGHTS, checkpoint]
    made = subprocess.run(make, capture_output=True, text=True, check=False)
    if made.returncode:
        missing[TIMM] = (made.stderr.strip() or f"status {made.returncode}").splitlines()[-1]
    return {name: command for name, command in programs.items() if name not in missing}, missing


def indices(line: str) -> str:
    """The five classes of our JSON line, as the scripts print them."""
    from modelzoo import labels

    places = {label.id: place for place, label in enumerate(labels.read("imagenet"))}
    return " ".join(str(places[p["id"]]) for p in json.loads(line)["predictions"]) + "\n"


def loading_of(model: str, options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of both ways, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.cold", "--load", model, "--rounds", str(options.rounds)]
    environment = measuring.environment()
    run = subprocess.run(
        command, cwd=measuring.ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(run.stdout)


def load_once(options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of both ways, which take turns in this process."""
    import keras

    import modelzoo
    from benchmarks import files

    entry = modelzoo.info(options.load)
    with tempfile.TemporaryDirectory(prefix="modelzoo-cold-") as folder:
        path = files.ours(entry, Path(folder) / "model.h5")
        ways = {
            "load()": lambda: modelzoo.load(entry.key, weights=path),
            "build and read": lambda: build_and_read(entry, path),
        }

        def timed(name: str) -> float:
            keras.backend.clear_session()
            gc.collect()
            start = time.perf_counter()
            ways[name]()
            return time.perf_counter() - start

        return measuring.taking_turns(list(ways), options.rounds + 1, timed)


def build_and_read(entry: Entry, path: Path) -> keras.Model:
    """Keras' own network of the same graph, its weights zeros, after h5py has read all arrays of the file."""
    import h5py
    import keras

    from modelzoo.verification import keras_originals

    def zeros(initializer, shape, dtype=None):
        return keras.ops.zeros(shape, dtype)

    def read(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            item[()]

    with mock.patch.object(keras.initializers.VarianceScaling, "__call__", zeros):
        model = keras_originals.original(entry, *entry.graph.input_shape[:2])
    with h5py.File(path) as file:
        file.visititems(read)
    return model


def text(figures: dict[str, Any]) -> str:
    processes = figures["processes"]
    rows = [
        [
            cell(name),
            measuring.spread(found["seconds"], 2, " s"),
            f"{median(found['mib']):,.0f}",
        ]
        for name, found in sorted(processes.items(), key=lambda item: median(item[1]["seconds"]))
    ]
    rows += [[cell(name), f"not measured: {why}", ""] for name, why in figures["missing"].items()]
    faster = measuring.ratios(processes[SCRIPT]["seconds"], processes[OURS]["seconds"])
    smaller = measuring.ratios(processes[OURS]["mib"], processes[SCRIPT]["mib"])
    loading = [
        [
            f"`{model}`",
            *(measuring.spread(found[name], 2, " s") for name in ("load()", "build and read")),
            measuring.spread(measuring.ratios(found["load()"], found["build and read"]), 2),
        ]
        for model, found in figures["load"].items()
    ]
    return "\n".join(
        [
            measuring.table(["from start to end of a process", "seconds", "memory, MiB"], rows),
            "",
            f"- `{OURS}` is {measuring.spread(faster)} times as fast as the script, with "
            f"{measuring.spread(smaller, 2)} of its memory.",
            "",
            measuring.table(["", "`modelzoo.load()`", "Keras builds, h5py reads", "ratio"], loading),
        ]
    )


def cell(name: str) -> str:
    """A command is set as code, a description as it is."""
    return f"`{name}`" if name.startswith(("modelzoo", "python")) else name


if __name__ == "__main__":
    main()
