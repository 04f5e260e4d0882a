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
CAPABILITIES = {"f32": "FP32", "bf16": "BF16", "f16": "FP16"}  # our words and OpenVINO's
ASK_CAPABILITIES = """
import json, openvino
print(json.dumps(list(openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))))
"""
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
SECONDS_TO_END = 60  # for a worker, once nothing more is asked
UNCOMPILED = "PYTHONDONTWRITEBYTECODE"  # with it every start compiles every module anew, as no user's does


def main(
    parser: argparse.ArgumentParser,
    measure: Callable[[argparse.Namespace], dict[str, Any]],
    text: Callable[[dict[str, Any]], str],
) -> None:
    """Measures, prints what the report says of it, and writes the figures as JSON on request."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    options = parser.parse_args()
    figures = {"machine": machine(), **measure(options)}
    print(text(figures))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def machine() -> dict[str, Any]:
    """The processor, its cores, and the versions of Python and of the packages that are installed."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {"processor": processor(), "cores": os.cpu_count(), "python": platform.python_version()} | versions


def processor() -> str:
    """Its name as Linux has it, or Python's word for it elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())  # ARM's has no such line


def described(facts: Mapping[str, Any]) -> str:
    """The machine in a sentence."""
    versions = ", ".join(f"{name} {facts[name]}" for name in ("python", *PACKAGES) if name in facts)
    return f"{facts['processor']}, {facts['cores']} cores; {versions}."


def not_measured(precision: str) -> str | None:
    """Why a precision is not measured on this machine; None if it is."""
    return None if CAPABILITIES[precision] in capabilities() else f"this CPU has no {precision}"


def capabilities() -> list[str]:
    """What OpenVINO says that this CPU computes in, in its own words.

    Asked in another process: the memory of this one would count as that of the programs that it starts.
    """
    asked = [sys.executable, "-c", ASK_CAPABILITIES]
    run = subprocess.run(asked, env=environment(), stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(run.stdout)


def environment(**variables: str) -> dict[str, str]:
    """That of the programs that are measured."""
    ours = {name: value for name, value in os.environ.items() if name != UNCOMPILED}
    return ours | QUIET | variables


class Worker:
    """A program in its own process that answers lines of JSON with lines of JSON.

    A context manager: at its end, as after any error, the process has ended and its pipes are closed. A
    program that ends without an answer raises SystemExit with the tail of `log`, to which its stderr goes.
    """

    def __init__(self, command: Sequence[str], log: Path, **variables: str):
        self._log = log
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment(**variables),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        try:
            self.greeting = self._answer()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        with suppress(BrokenPipeError):  # the missing answer says more
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if not line:
            self.close()
            command, status = " ".join(self.process.args), self.process.returncode
            raise SystemExit(f"{command} ended with status {status} and no answer:\n{tail(self._log)}")
        return json.loads(line)

    def close(self) -> None:
        """Ends the process, dead or alive, and may be called again: the end of its input asks it to stop."""
        with suppress(BrokenPipeError):  # closing writes what a dead process did not read
            self.process.stdin.close()
        self.process.stdout.close()
        try:
            self.process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def tail(log: Path, characters: int = 2000) -> str:
    """The last lines of a program's stderr, whatever bytes they are."""
    return log.read_text("utf-8", errors="replace")[-characters:] or "(it wrote nothing to stderr)"


@contextmanager
def only_answers_on_stdout() -> Iterator[Callable[[dict[str, Any]], None]]:
    """In a worker: the function that answers. Whatever else the program prints goes to stderr."""
    with os.fdopen(os.dup(1), "w") as answers:
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
            raise SystemExit(f"{' '.join(command)} failed:\n{errors.read().decode(errors='replace')[-2000:]}")
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
    """Of each round, ours divided by the other's."""
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
