"""What the benchmarks share: programs that take turns, figures with their range, and tables in Markdown."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"  # photographs and real weights, which the project does not ship
CAT = ROOT / "examples" / "cat.jpg"
PACKAGES = ("keras", "tensorflow", "openvino", "onnxruntime", "tf2onnx", "torch", "timm", "numpy", "pillow")
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
UNCOMPILED = "PYTHONDONTWRITEBYTECODE"  # with it every start compiles every module anew, as no user's does


def main(parser: argparse.ArgumentParser, measure: Callable, text: Callable[[dict], str]) -> None:
    """Measures, prints what the report says of it, and writes the figures as JSON if that is wanted."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    options = parser.parse_args()
    figures = {"machine": machine(), **measure(options)}
    print(text(figures))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def machine() -> dict[str, Any]:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {"processor": processor(), "cores": os.cpu_count(), "python": platform.python_version()} | versions


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))


def described(facts: Mapping[str, Any]) -> str:
    """The machine in a sentence."""
    versions = ", ".join(f"{name} {facts[name]}" for name in ("python", *PACKAGES) if name in facts)
    return f"{facts['processor']}, {facts['cores']} cores; {versions}."


def environment(**variables: str) -> dict[str, str]:
    """That of the programs that are measured."""
    ours = {name: value for name, value in os.environ.items() if name != UNCOMPILED}
    return ours | QUIET | variables


class Worker:
    """A program in a process of its own, which answers lines of JSON with lines of JSON."""

    def __init__(self, command: Sequence[str], log: Path, **variables: str):
        self._log = log
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment(**variables),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.greeting = self._answer()

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        with suppress(BrokenPipeError):  # the missing answer says more
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            self.close()
            raise SystemExit(f"{' '.join(self._process.args)} ended:\n{self._log.read_text()[-2000:]}")
        return json.loads(line)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


@contextmanager
def only_answers_on_stdout() -> Iterator[Callable[[dict[str, Any]], None]]:
    """In a worker: the function that answers. Whatever else the program prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    yield say


def whole_process(
    command: Sequence[str], environment: Mapping[str, str], folder: Path = ROOT
) -> dict[str, Any]:
    """Seconds from the start of a program to its end, the MiB that it held at most, and what it printed."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise SystemExit(f"{' '.join(command)} failed:\n{errors.read().decode()[-2000:]}")
        output.seek(0)
        return {"seconds": seconds, "mib": usage.ru_maxrss / 2**10, "output": output.read().decode()}


def peak_memory() -> int | None:
    """MiB that this process held at most; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)


def taking_turns(names: Sequence[str], rounds: int, run: Callable[[str], Any]) -> dict[str, list[Any]]:
    """What run(name) gives, a list for each name with an item for each round; the first one moves on."""
    found: dict[str, list[Any]] = {name: [] for name in names}
    for number in range(rounds):
        start = number % len(names)
        for name in [*names[start:], *names[:start]]:
            found[name].append(run(name))
        print(f"round {number + 1} of {rounds} done", file=sys.stderr, flush=True)
    return found


def ratios(ours: Sequence[float], others: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(ours, others, strict=True)]


def spread(values: Sequence[float], digits: int = 1, unit: str = "") -> str:
    """The median, with the range.

    >>> spread([3, 1, 2.25], 2, " s")
    '2.25 s (1.00 to 3.00)'
    """
    return f"{median(values):.{digits}f}{unit} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown, the first column to the left and the others to the right."""
    marks = ["---", *["--:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, marks, *rows))
