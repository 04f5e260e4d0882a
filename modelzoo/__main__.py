"""python -m modelzoo: the command line."""

from modelzoo.cli import program

program()
