"""How much memory something takes, what NumPy, Pillow and HDF5 allocate included, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT

MEBIBYTE = 2**20
PROGRAM = """
import sys
{before}
def bytes_of(key):
    with open("/proc/self/status") as status:
        return 1024 * int(status.read().split(key)[1].split()[0])
held = bytes_of("VmRSS:")
with open("/proc/self/clear_refs", "w") as peak:
    peak.write("5")  # the peak starts over
{measured}
print(bytes_of("VmHWM:") - held)
"""


def peak_growth(before: str, measured: str, *arguments: object) -> int:
    """Bytes by which the memory of a process grows, at its peak, from one piece of code to the next.

    The code finds the arguments in sys.argv[1:].
    """
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux tells a process's peak memory this way")
    program = PROGRAM.format(before=before, measured=measured)
    command = [sys.executable, "-c", program, *map(str, arguments)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return int(run.stdout.splitlines()[-1])
