"""Images/s of our runtimes and of others, with the same weights, beside what the processor could do.

    python -m benchmarks.inference [--models resnet50_v1b resnet101_v1b] [--torch-python PYTHON] [--json FILE]

Keras, TensorFlow, OpenVINO, ONNX Runtime and timm get the same synthetic weights; each peer's output is
compared with that of Keras first. All stay loaded, each in a process of its own, and wait while another runs.
PyTorch may live in an environment of its own: `--torch-python` is its interpreter, with torch and timm.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import measuring
from benchmarks.peers import GEMM, LARGEST, PEERS

BATCHES = (1, LARGEST)
COMPILED = OURS, BF16 = "modelzoo, OpenVINO f32", "modelzoo, OpenVINO bf16"
KERAS, PLAIN = "keras predict", "plain OpenVINO f32"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    help_ = "timm runs those of the tag gluon, too"
    parser.add_argument("--models", nargs="+", default=["resnet50_v1b", "resnet101_v1b"], help=help_)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each peer, batch and round, at least")
    parser.add_argument("--torch-python", default=sys.executable, help="interpreter with torch and timm")
    measuring.main(parser, measure, text)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    return {"networks": [measured(model, options) for model in options.models]}


def measured(model: str, options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="modelzoo-inference-") as place, ExitStack() as stack:
        folder = Path(place)
        prepare = [sys.executable, "-m", "benchmarks.peers", "prepare", model, place]
        subprocess.run(prepare, cwd=measuring.ROOT, check=True)
        workers, missing = started(folder, options, stack)
        memory: dict[str, dict[str, int]] = {name: {} for name in workers}

        def run(name: str) -> dict[str, float]:
            rates = {}
            for batch in BATCHES:
                answer = workers[name].ask({"batch": batch, "seconds": options.seconds})
                rates[str(batch)] = answer["rate"]
                memory[name].setdefault(str(batch), answer["memory"])
            return rates

        found = measuring.taking_turns(list(workers), options.rounds, run)
        gemm = [2 * GEMM**3 * round_["1"] / 1e9 for round_ in found.pop("GEMM")]
        return {
            "model": (folder / "model.txt").read_text(),
            "gflop_per_image": float((folder / "gflop.txt").read_text()),
            "gemm_gflops": gemm,
            "images_per_second": {
                name: {str(b): [r[str(b)] for r in rounds] for b in BATCHES} for name, rounds in found.items()
            },
            "memory_mib": {name: memory[name] for name in found},
            "relative_error": {name: workers[name].greeting["error"] for name in found},
            "missing": missing,
        }


def started(
    folder: Path, options: argparse.Namespace, stack: ExitStack
) -> tuple[dict[str, measuring.Worker], dict[str, str]]:
    """Each peer's worker, which ends with `stack`; and why a peer is not measured."""
    workers, missing = {}, {}
    for number, name in enumerate(PEERS):
        if name == BF16 and (reason := measuring.not_measured("bf16")):
            missing[name] = reason
            continue
        python = options.torch_python if name.startswith("timm") else sys.executable
        command, log = [python, "-m", "benchmarks.peers", name, str(folder)], folder / f"{number}.log"
        start = partial(measuring.Worker, command, log, MODELZOO_CACHE=str(folder / "cache"))
        if name in COMPILED:  # the process that compiles has TensorFlow in its memory; later ones have not
            start().close()
        worker = stack.enter_context(start())
        if "missing" in worker.greeting:
            missing[name] = worker.greeting["missing"]
        else:
            workers[name] = worker
    return workers, missing


def text(figures: dict[str, Any]) -> str:
    return "\n\n".join(map(text_of, figures["networks"]))


def text_of(figures: dict[str, Any]) -> str:
    rates, peak = figures["images_per_second"], median(figures["gemm_gflops"])
    work = figures["gflop_per_image"]
    small, large = map(str, BATCHES)
    header = [
        "",
        *(f"images/s, batch {batch}" for batch in BATCHES),
        *(f"x {KERAS}, batch {batch}" for batch in BATCHES),
        "of the GEMM peak",
        "memory, MiB",
        "error",
    ]
    rows = []
    for name, found in sorted(rates.items(), key=lambda item: -median(item[1][large])):
        times = (
            f"{median(measuring.ratios(found[batch], rates[KERAS][batch])):.2f}" for batch in (small, large)
        )
        share = "" if name == BF16 else f"{median(found[large]) * work / peak:.0%}"
        memory, error = figures["memory_mib"][name][large], figures["relative_error"][name]
        speeds = (measuring.spread(found[batch]) for batch in (small, large))
        rows.append([name, *speeds, *times, share, f"{memory:,}", f"{error:.0e}"])
    rows += [[name, f"not measured: {why}", *[""] * 6] for name, why in figures["missing"].items()]
    return "\n".join(
        [
            f"`{figures['model']}`, {work:.1f} GFLOP an image; a product of two f32 matrices reaches "
            f"{measuring.spread(figures['gemm_gflops'], 0, ' GFLOP/s')}.",
            "",
            measuring.table(header, rows),
            "",
            *ratio_lines(rates),
        ]
    )


def ratio_lines(rates: dict[str, dict[str, list[float]]]) -> list[str]:
    """A line for each ratio of ours to another, of the same rounds."""
    asked = [(OURS, KERAS), (OURS, PLAIN), (OURS, "ONNX Runtime"), (OURS, "timm, torch.compile")]
    return [
        f"- {ours} / {other}: "
        + "; ".join(
            f"batch {batch}: {measuring.spread(measuring.ratios(rates[ours][batch], rates[other][batch]), 2)}"
            for batch in map(str, BATCHES)
        )
        for ours, other in [*asked, (BF16, OURS)]
        if ours in rates and other in rates
    ]


if __name__ == "__main__":
    main()
