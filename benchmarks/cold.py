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
from typing import Any
from unittest import mock

from benchmarks import measuring

MODEL = "resnet101.keras"
# timm wants torchvision, which does not start without CUDA's libraries unless these operators are there.
OPERATORS = """for operator in ("nms", "qnms"):
    torch.library.define("torchvision::" + operator, "(Tensor boxes, Tensor scores, float t) -> Tensor")
"""
KERAS_SCRIPT = """
import sys, keras, numpy as np
from keras.applications import resnet
model = resnet.ResNet101(weights=sys.argv[1])
picture = keras.utils.load_img(sys.argv[2], target_size=(224, 224), interpolation="bilinear")
images = resnet.preprocess_input(np.expand_dims(keras.utils.img_to_array(picture), 0))
print(*np.argsort(-model.predict(images, verbose=0)[0])[:5])
"""
OPENVINO_SCRIPT = """
import sys, numpy as np, openvino as ov
from PIL import Image
core = ov.Core()
options = {"CACHE_DIR": sys.argv[3], "INFERENCE_PRECISION_HINT": "f32"}
network = core.compile_model(sys.argv[1], "CPU", options)
picture = np.asarray(Image.open(sys.argv[2]).convert("RGB").resize((224, 224), 2), np.float32)
images = np.ascontiguousarray(picture[None, :, :, ::-1] - np.float32([103.939, 116.779, 123.68]))
print(*np.argsort(-network(images)[0][0])[:5])
"""
TIMM_SCRIPT = f"""
import sys, torch
{OPERATORS}import timm, numpy as np
from PIL import Image
model = timm.create_model("resnet101", checkpoint_path=sys.argv[1]).eval()
picture = np.asarray(Image.open(sys.argv[2]).convert("RGB").resize((224, 224), 2), np.float32)
images = torch.from_numpy((picture[None] / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).float()
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
        programs, missing = commands(folder, environment, options)

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


def commands(folder: Path, environment: dict[str, str], options) -> tuple[dict[str, list], dict[str, str]]:
    """Each program's command line, its files having been made; and why a program is not measured."""
    prepare = [sys.executable, "-m", "benchmarks.peers", "prepare", MODEL, str(folder)]
    subprocess.run(prepare, cwd=measuring.ROOT, env=environment, check=True)
    python, cat = sys.executable, str(measuring.CAT)
    modelzoo = [python, "-m", "modelzoo"]
    weights, network = str(folder / "model.h5"), str(folder / "model.xml")
    subprocess.run(
        [*modelzoo, "add", MODEL, weights],
        cwd=measuring.ROOT,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    ours = [*modelzoo, "classify", cat, "--json"]
    programs = {
        "python -c pass": [python, "-c", "pass"],
        IMPORT: [python, "-c", "import modelzoo"],
        BUNDLED: ours,
        OURS: [*ours, "-m", MODEL],
        f"{OURS} --precision bf16": [*ours, "-m", MODEL, "--precision", "bf16"],
        PLAIN: [python, "-c", OPENVINO_SCRIPT, network, cat, str(folder / "openvino")],
        f"{OURS} --runtime keras": [*ours, "-m", MODEL, "--runtime", "keras"],
        SCRIPT: [python, "-c", KERAS_SCRIPT, weights, cat],
    }
    checkpoint = str(folder / "timm.safetensors")
    made = subprocess.run(
        [options.torch_python, "-c", TIMM_WEIGHTS, checkpoint], capture_output=True, text=True, check=False
    )
    if made.returncode:
        return programs, {TIMM: made.stderr.strip().splitlines()[-1]}
    return {**programs, TIMM: [options.torch_python, "-c", TIMM_SCRIPT, checkpoint, cat]}, {}


def indices(line: str) -> str:
    """The five classes of our JSON line, as the scripts print them."""
    from modelzoo import labels

    places = {label.id: place for place, label in enumerate(labels.read("imagenet"))}
    return " ".join(str(places[p["id"]]) for p in json.loads(line)["predictions"]) + "\n"


def loading_of(model: str, options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of both ways, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.cold", "--load", model, "--rounds", str(options.rounds)]
    environment = measuring.environment()
    run_ = subprocess.run(
        command, cwd=measuring.ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(run_.stdout)


def load_once(options: argparse.Namespace) -> dict[str, list[float]]:
    import h5py
    import keras

    import modelzoo
    from benchmarks import files
    from modelzoo import keras_originals

    entry = modelzoo.info(options.load)
    with tempfile.TemporaryDirectory(prefix="modelzoo-cold-") as folder:
        path = files.ours(entry, Path(folder) / "model.h5")

        def zeros(initializer, shape, dtype=None):
            return keras.ops.zeros(shape, dtype)

        def read(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                item[()]

        def load() -> keras.Model:
            return modelzoo.load(entry.key, weights=path)

        def build_and_read() -> keras.Model:
            with mock.patch.object(keras.initializers.VarianceScaling, "__call__", zeros):
                model = keras_originals.original(entry, *entry.graph.input_shape[:2])
            with h5py.File(path) as file:
                file.visititems(read)
            return model

        def timed(name: str) -> float:
            keras.backend.clear_session()
            gc.collect()
            start = time.perf_counter()
            {"load()": load, "build and read": build_and_read}[name]()
            return time.perf_counter() - start

        return measuring.taking_turns(["load()", "build and read"], options.rounds + 1, timed)


def text(figures: dict[str, Any]) -> str:
    processes = figures["processes"]
    rows = [
        [
            f"`{name}`" if name.startswith(("modelzoo", "python")) else name,
            measuring.spread(found["seconds"], 2, " s"),
            f"{median(found['mib']):,.0f}",
        ]
        for name, found in sorted(processes.items(), key=lambda item: median(item[1]["seconds"]))
    ]
    rows += [[name, "not measured", ""] for name in figures["missing"]]
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


if __name__ == "__main__":
    main()
