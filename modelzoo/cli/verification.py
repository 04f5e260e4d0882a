"""verify: models against their original programs and known answers."""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path
from typing import Any

from modelzoo import registry
from modelzoo.cli.arguments import add_command, add_file, add_model
from modelzoo.cli.printing import fail, print_json, say

VERDICTS = {True: "passed", False: "FAILED", None: "not run"}


def add_commands(commands: Any) -> None:
    command = add_command(commands, "verify", _verify, "checks models against originals and known answers")
    add_model(command, "names", nargs="+")
    add_file(command, "--images", type=Path, metavar="FOLDER", help="may hold the answers' images")


def _verify(options: argparse.Namespace) -> int:
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # TensorFlow's plain kernels round less
    entries = [registry.info(name) for name in options.names]
    from modelzoo.verification import verify

    failed = False
    for entry in entries:
        if not options.json:
            say(entry.key)
        for check in verify(entry.reference, images=options.images):
            failed |= check.passed is False
            if options.json:
                print_json({"model": entry.key, **dataclasses.asdict(check)}, indent=None)
            else:
                say(f"  {VERDICTS[check.passed]:<7}  {check.name}: {check.detail}", flush=True)
    return fail("A check failed.") if failed else 0
