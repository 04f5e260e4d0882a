"""main(): runs one command.

Exit codes: 0 done, 1 failed (one sentence on stderr says why), 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from modelzoo import __version__, settings
from modelzoo.cli import (
    cache,
    classes,
    completion,
    diffing,
    evaluation,
    exporting,
    finetuning,
    models,
    show,
    startup,
    tasks,
    verification,
    weights,
)
from modelzoo.cli.printing import fail
from modelzoo.errors import ModelZooError, one_line

INTERRUPTED = 130  # the shell's exit code for Ctrl-C
GROUPS = (  # of commands, in the help's order
    models,
    classes,
    show,
    tasks,
    evaluation,
    finetuning,
    verification,
    weights,
    exporting,
    diffing,
    cache,
    completion,
)

FULL = (errno.ENOSPC, errno.EDQUOT)
NO_SPACE = "The output cannot be written: no space is left on its disk. Free some, or write it elsewhere."


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    with startup.program():
        try:
            code = _run(arguments)
            sys.stdout.flush()
            return code
        except BrokenPipeError:  # the reader, `head` say, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except (ModelZooError, ValueError, OSError) as error:
            return fail(NO_SPACE if isinstance(error, OSError) and error.errno in FULL else str(error))
        except ImportError as error:
            return fail(f"A package cannot be imported: {error}. {_advice(error)}")
        except KeyboardInterrupt:
            return INTERRUPTED


def program() -> NoReturn:
    """Runs the command of this process, and ends it: to free a network first takes a tenth of a start."""
    code = main()
    with suppress(AttributeError, OSError, ValueError):  # there may be no stderr
        sys.stderr.flush()
    os._exit(code)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        options = parser().parse_args(arguments)
    except SystemExit as stop:  # after the help, or for wrong usage
        return int(stop.code or 0)
    return options.run(options)


def _advice(error: ImportError) -> str:
    backend = settings.keras_backend()
    if error.name == backend:
        return f"Keras' backend is {backend}, by {settings.BACKEND} or keras.json: install or change it."
    return "Install it, or modelzoo again."


class Parser(argparse.ArgumentParser):
    """A parser, also of the commands, whose errors quote arguments as printing.py shows names of files."""

    def error(self, message: str) -> NoReturn:
        super().error(one_line(message))


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; each sets `run`, the function that takes the parsed options."""
    found = Parser(
        prog="modelzoo",
        description="Pretrained image networks as Keras models: list, load, classify, convert.",
    )
    found.add_argument("--version", action="version", version=f"modelzoo {__version__}")
    commands = found.add_subparsers(required=True, metavar="COMMAND")
    for group in GROUPS:
        group.add_commands(commands)
    return found
