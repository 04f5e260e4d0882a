"""python -m tests.fuzz READER --minutes N: coverage-guided fuzzing of one reader, or of all in turn.

It needs Linux and atheris, in an environment of its own:

    uv venv --python 3.11 /tmp/fuzz
    uv pip install --python /tmp/fuzz/bin/python \\
        atheris keras jax numpy h5py safetensors google-crc32c pillow filelock platformdirs
    KERAS_BACKEND=numpy /tmp/fuzz/bin/python -m tests.fuzz mxnet --minutes 5

What breaks the rule of targets.py is kept under --findings, one file each, and the run goes on. Exit
status 1 if there was any.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.targets import TARGETS

MAX_BYTES = 2**15  # of a fuzzed file
FINDING = "Test unit written to"
EXECUTIONS = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
NOISE = re.compile(r"stat::|INFO|#\d|0x[0-9a-f]+,|\\\\|Base64|MS:|NOTE|\s+Combine")  # libFuzzer's own
REASON = re.compile(r"^ ?(=== Uncaught Python exception|==\d+== ?ERROR|ALARM)", re.MULTILINE)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("reader", choices=[*TARGETS, "all"])
    parser.add_argument("--minutes", type=float, default=1.0, help="for each reader")
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    parser.add_argument("--findings", type=Path, default=Path(tempfile.gettempdir()) / "modelzoo-fuzz")
    arguments = parser.parse_args()
    found = 0
    for name in TARGETS if arguments.reader == "all" else [arguments.reader]:
        found += fuzz(name, arguments.minutes * 60, arguments.seed, arguments.findings / name)
    return 1 if found else 0


def fuzz(name: str, seconds: float, seed: int, findings: Path) -> int:
    """The number of findings."""
    findings.mkdir(parents=True, exist_ok=True)
    executions, found, began = 0, 0, time.monotonic()
    with tempfile.TemporaryDirectory() as corpus:
        for number, content in enumerate(TARGETS[name].seeds()):
            Path(corpus, f"seed-{number}").write_bytes(content)
        while (left := int(seconds - (time.monotonic() - began))) > 0:
            options = {
                "max_total_time": left,
                "max_len": MAX_BYTES,
                "seed": seed + found if seed else 0,
                "timeout": 10,
                "rss_limit_mb": 4096,
                "print_final_stats": 1,
                "artifact_prefix": f"{findings}/",
            }
            flags = [f"-{option}={value}" for option, value in options.items()]
            run = subprocess.run(
                [sys.executable, "-m", "tests.fuzz.worker", name, *flags, corpus],
                capture_output=True,
                text=True,
                errors="replace",
                env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONUNBUFFERED": "1"},
            )
            executions += sum(map(int, EXECUTIONS.findall(run.stderr)))
            if run.returncode:
                if FINDING not in run.stderr:
                    sys.exit(f"The fuzzer did not run.\n{run.stderr[-2000:]}")
                found += 1
                print(f"{name}: finding {found}\n{_excerpt(run.stdout + run.stderr)}", flush=True)
    minutes = (time.monotonic() - began) / 60
    print(f"{name}: {executions} executions in {minutes:.1f} minutes, {found} findings", flush=True)
    return found


def _excerpt(output: str) -> str:
    """From where libFuzzer says what happened, without its statistics."""
    at = REASON.search(output)
    lines = output[at.start() if at else -3000 :].splitlines()
    return "\n".join(f"    {line}" for line in lines if line and not NOISE.match(line))[:2000]


if __name__ == "__main__":
    sys.exit(main())
