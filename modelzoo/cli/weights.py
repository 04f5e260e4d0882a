"""download, add, bundle, unbundle, convert and pack: weight files in and out of the cache."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any, cast

from modelzoo import labels as label_sets
from modelzoo import registry, store
from modelzoo.cli.arguments import add_command, add_file, add_model
from modelzoo.cli.printing import fail, print_card, print_json, say
from modelzoo.errors import ConversionError, ModelZooError, readable

DOWNLOADS = 4  # at a time
INTERRUPTED = 130


def add_commands(commands: Any) -> None:
    command = add_command(
        commands, "download", _download, "downloads (and converts) a model's weights into the cache"
    )
    add_model(command, "names", nargs="+")

    command = add_command(
        commands, "add", _add, "installs a weight file that you have, modelzoo's or the upstream's"
    )
    _add_average(command)
    add_model(command, "name", nargs="?", help="default: the model that the file is recognized as")
    add_file(command, "file", type=Path)

    command = add_command(commands, "bundle", _bundle, "packs models' weights for a place without a network")
    add_model(command, "names", nargs="+")
    add_file(command, "-o", "--output", type=Path, required=True, help="a .tar file")

    command = add_command(commands, "unbundle", _unbundle, "installs the models that a bundle holds")
    add_file(command, "file", type=Path)

    command = add_command(
        commands,
        "convert",
        _convert,
        "converts an upstream file to a modelzoo weight file, or a network's file to another format",
    )
    _add_average(command)
    add_file(command, "--labels", type=Path, metavar="FILE", help="the classes' names, one a line")
    add_model(command, "name", nargs="?", help="the model; without one, the file says what network it holds")
    add_file(command, "file", type=Path, help="a file, archive, folder or checkpoint prefix")
    add_file(command, "-o", "--output", type=Path, required=True)

    command = add_command(commands, "pack", _pack, "makes a model folder of a file that training left")
    add_file(command, "file", type=Path, help="a .keras, .weights.h5 or .h5 file, or of the base's upstream")
    add_model(command, "--base", required=True, help="the model that it was made from, or its folder")
    add_file(command, "--labels", type=Path, metavar="FILE", help="the classes' names, one a line")
    command.add_argument("--license", metavar="SPDX", help="of the weights; default: the base's")
    command.add_argument("--note", help="a sentence for whoever reads the card")
    add_file(command, "-o", "--output", type=Path, required=True, metavar="FOLDER")


def _add_average(command: argparse.ArgumentParser) -> None:
    """--average and --raw: which copy is taken of a checkpoint that holds both."""
    choice = command.add_mutually_exclusive_group()
    choice.add_argument(
        "--average",
        action="store_true",
        default=None,
        help="take a checkpoint's moving averages; default: as its authors evaluated it",
    )
    choice.add_argument("--raw", dest="average", action="store_false", help="take its raw weights")


def _download(options: argparse.Namespace) -> int:
    from concurrent.futures import ThreadPoolExecutor

    failed = 0
    with ThreadPoolExecutor(DOWNLOADS) as pool:
        waiting = [(name, pool.submit(store.weights_file, name)) for name in options.names]
        try:
            for name, result in waiting:
                try:
                    _print_place(options, name, result.result())
                except ModelZooError as error:
                    failed = fail(str(error))
        except KeyboardInterrupt:  # threads cannot be interrupted; what has come is resumed the next time
            os._exit(INTERRUPTED)
    return failed


def _add(options: argparse.Namespace) -> int:
    name = options.name or store.recognize(options.file)
    if options.name is None and not options.json:
        say(f"{options.file} has the weights of {name}")
    _print_place(options, name, store.add(name, options.file, average=options.average))
    return 0


def _bundle(options: argparse.Namespace) -> int:
    store.bundle(options.names, options.output)
    print_json(str(options.output)) if options.json else say(options.output)
    return 0


def _unbundle(options: argparse.Namespace) -> int:
    for key in store.unbundle(options.file):
        _print_place(options, key, store.weights_file(key))
    return 0


def _convert(options: argparse.Namespace) -> int:
    if options.name is None:
        return _convert_network(options)
    entry = registry.info(options.name)
    labels = None if options.labels is None else label_sets.read_names(options.labels)
    provenance = store.convert(
        entry, options.file, options.output, include_top=False, average=options.average, labels=labels
    )
    if options.json:
        print_json(provenance)
    else:
        print_card(str(options.output), ((name, _shown(value)) for name, value in provenance.items()))
    return 0


def _pack(options: argparse.Namespace) -> int:
    names = None if options.labels is None else label_sets.read_names(options.labels)
    entry = store.pack(
        options.file,
        options.output,
        base=options.base,
        labels=names,
        license=options.license,
        note=options.note,
    )
    print_json(entry.facts()) if options.json else say(entry.folder)
    return 0


def _convert_network(options: argparse.Namespace) -> int:
    """A file that holds its network -> the format of the output's ending."""
    from modelzoo.cli.exporting import show_exported
    from modelzoo.tasks.exporting import export

    if not options.file.is_file():
        raise ConversionError(
            f"There is no file {readable(str(options.file))}: to convert a model's weights, name it."
        )
    show_exported(export(options.file, options.output), json=options.json)
    return 0


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(inner)}" for name, inner in cast("dict[str, Any]", value).items())
    if isinstance(value, list | tuple):
        return "; ".join(map(_shown, cast("list[Any]", value))) or "none"
    return "unknown" if value is None else str(value)


def _print_place(options: argparse.Namespace, name: str, path: Path) -> None:
    if options.json:
        print_json({"model": registry.info(name).key, "path": str(path)}, indent=None)
    else:
        say(path)
