"""diff: the first node in which two networks differ, and why.

Exit codes, as diff(1) has them: 0 they are equal within the tolerance; 1 they differ; 2 it failed, which one
sentence on stderr says, or wrong usage.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from modelzoo.cli.arguments import add_command, add_file, add_model
from modelzoo.cli.printing import fail, print_json, say
from modelzoo.errors import ModelZooError, readable

if TYPE_CHECKING:
    from modelzoo.exporters.diff import Difference, OutputDifference

DIFFERS, FAILED = 1, 2
MOST = 5  # differences that graphs state which are printed


def add_commands(commands: Any) -> None:
    help_ = "the first node in which two networks differ, by how much, and what may have caused it"
    command = add_command(commands, "diff", _diff, help_)
    side = "a name, NAME=WEIGHTS, a modelzoo weight file, a .keras file or an exported file"
    add_model(command, "a", help=side)
    add_model(command, "b", help="the same, of the other one")
    add_file(command, "--image", metavar="FILE", help="what both are given; default: a photograph of a cat")
    add_file(command, "-w", "--weights", default="pretrained", help="of names that come without")


def _diff(options: argparse.Namespace) -> int:
    from modelzoo.tasks.diffing import diff

    try:
        found = diff(options.a, options.b, options.image, weights=options.weights)
    except (ModelZooError, ValueError, OSError) as error:
        fail(str(error))
        return FAILED
    if options.json:
        print_json(found.to_dict())
    else:
        for line in lines(found):
            say(line)
    return 0 if found.equal else DIFFERS


def lines(found: Difference) -> Iterator[str]:
    """The result for people: a verdict, the node and its cause, what the graphs state, and the outputs."""
    ours, theirs = readable(found.reference), readable(found.other)
    compared = f"{found.nodes} of {found.all_nodes} nodes compared"
    if found.equal:
        yield f"{theirs} is equal to {ours} within {found.tolerance:.0e} ({compared})"
    else:
        yield f"{theirs} differs from {ours} ({compared})"
    yield from _node(found)
    for each in found.stated[:MOST]:
        yield f"  stated: {each}"
    if len(found.stated) > MOST:
        yield f"  stated: {len(found.stated) - MOST} more"
    for output in found.outputs:
        yield f"  output {_output(output, found.labels)}"


def _node(found: Difference) -> Iterator[str]:
    first = found.first
    if first is None:
        if not found.equal:
            yield "  no single node differs by more than its inputs' errors explain"
        return
    yield f"  first node that differs: {first.node} ({first.operator})"
    if first.shape != first.other_shape:
        yield f"  shape: {first.other_shape} in place of {first.shape}"
    else:
        yield f"  relative L2: {first.before:.1e} before it, {first.after:.1e} after it"
    if first.cause:
        yield f"  cause: {first.cause}: {first.words} (explains it up to {first.remaining:.1e})"
    else:
        yield "  cause: unexplained"


def _output(output: OutputDifference, labels: Sequence[str]) -> str:
    if output.shape != output.other_shape:
        return f'"{output.name}": shape {output.other_shape} in place of {output.shape}'
    line = f'"{output.name}" {output.shape}: relative L2 {output.relative_l2:.1e}'
    if output.label is None or output.other_label is None:
        return line
    names = [labels[each] if each < len(labels) else str(each) for each in (output.label, output.other_label)]
    same = output.label == output.other_label
    return f"{line}, first label {names[0]}" + (" in both" if same else f", and {names[1]} in the other")
