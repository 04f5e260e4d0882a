"""completion: a script by which a shell completes commands, options, models' names and files."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from modelzoo import registry
from modelzoo.cli.arguments import MODELS

SHELLS = ("bash", "zsh")
INSTALL = (
    "bash: modelzoo completion bash > ~/.local/share/bash-completion/completions/modelzoo; "
    "zsh: into a file _modelzoo in a folder of $fpath"
)


def add_commands(commands: Any) -> None:
    help_ = "prints a script by which a shell completes commands, options and models' names"
    command = commands.add_parser("completion", help=help_, description=f"{help_[0].upper()}{help_[1:]}.")
    command.add_argument("shell", choices=SHELLS, help=INSTALL)
    command.set_defaults(run=_completion)


def _completion(options: argparse.Namespace) -> int:
    import shtab

    from modelzoo.cli.main import parser

    keys = registry.list_models()
    names = " ".join(sorted({*keys, *(registry.info(key).name for key in keys)}))
    preamble: Any = {
        "bash": f'{MODELS["bash"]}() {{ compgen -W "{names}" -- "$1"; }}',
        "zsh": f"{MODELS['zsh']}() {{ compadd {names}; }}",
    }
    sys.stdout.write(shtab.complete(parser(), shell=options.shell, preamble=preamble) + "\n")
    return 0
