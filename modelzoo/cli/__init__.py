"""The command line: it parses, calls the public functions and prints."""

from modelzoo.cli.main import main, program

__all__ = ["main", "program"]
