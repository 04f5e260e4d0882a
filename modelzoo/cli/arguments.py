"""What the commands' arguments share: types of values, and options of more than one command."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from modelzoo.runtimes import PRECISIONS, RUNTIMES, Deployment

Run = Callable[[argparse.Namespace], int]
# How shells complete arguments: by a function that modelzoo.cli.completion writes into their scripts, and by
# one of shtab's or the shell's own.
MODELS = {"bash": "_modelzoo_models", "zsh": "_modelzoo_models"}
FILES = {"bash": "_shtab_compgen_files", "zsh": "_files"}
IMAGES = "files, folders, .txt lists or patterns, or - for one image on stdin"


def add_command(commands: Any, name: str, run: Run, help: str) -> argparse.ArgumentParser:
    """A command, with --json; `help` is a sentence without its capital and full stop."""
    parser = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
    parser.add_argument("--json", action="store_true", help="print JSON, for other programs")
    parser.set_defaults(run=run)
    return parser


def add_model(command: argparse.ArgumentParser, *names: str, **options: Any) -> None:
    """An argument that takes models' names, which shells complete."""
    _completed(command.add_argument(*names, **options), MODELS)


def add_file(command: argparse.ArgumentParser, *names: str, **options: Any) -> None:
    """An argument that takes files, which shells complete."""
    _completed(command.add_argument(*names, **options), FILES)


def _completed(action: Any, by: dict[str, str]) -> None:
    action.complete = by  # read by shtab


def add_deployment(command: argparse.ArgumentParser, default: str) -> None:
    """--model, --weights, --runtime and --precision."""
    add_model(command, "-m", "--model", help=f"default: {default}")
    add_file(command, "-w", "--weights", default="pretrained", help="a weight file instead")
    command.add_argument("--runtime", choices=RUNTIMES, default="auto", help="default: auto")
    help_ = "that OpenVINO computes in; default: f32"
    command.add_argument("--precision", choices=PRECISIONS, default="f32", help=help_)


def deployment(options: argparse.Namespace, default: str) -> Deployment:
    """The deployment that the options describe."""
    return Deployment(
        options.model or default,
        options.weights,
        options.runtime,
        options.precision,
        getattr(options, "crops", 1),
        getattr(options, "fast_decode", False),
    )


def count(text: str) -> int:
    """A number, maybe in thousands or millions: 25M."""
    factor = {"K": 10**3, "M": 10**6}.get(text[-1:].upper(), 1)
    return round(float(text[:-1] if factor > 1 else text) * factor)


def positive(text: str) -> int:
    """A whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number


def fraction(text: str) -> float:
    """A number from 0 to below 1."""
    number = float(text)
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not from 0 to below 1")
    return number
