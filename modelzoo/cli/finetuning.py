"""finetune and restore: a model for one's own classes, and the same again of the tensors that changed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from modelzoo.cli.arguments import add_command, add_file, add_model, positive
from modelzoo.cli.printing import note, percent, print_card, print_json, say
from modelzoo.errors import readable
from modelzoo.runtimes import DEFAULT_MODEL
from modelzoo.training.options import AUGMENTATIONS, TrainingOptions, seconds_of

if TYPE_CHECKING:
    from modelzoo.evaluation import Proportion
    from modelzoo.training import Finetuned

DEFAULTS = TrainingOptions()


def add_commands(commands: Any) -> None:
    help_ = "a model for your own classes, from images in one folder a class"
    command = add_command(commands, "finetune", _finetune, help_)
    add_file(command, "folder", help="with one folder a class")
    add_model(command, "-m", "--model", help="where training starts; default: the one of the package")
    add_file(command, "-w", "--weights", default="pretrained", help="a weight file instead")
    output = "the model folder; rerun the same command to resume"
    add_file(command, "-o", "--output", required=True, metavar="FOLDER", help=output)
    for part in ("test", "validation"):
        add_file(command, f"--{part}", metavar="FOLDER", help="default: a tenth of the images")
    _add_schedule(command)
    command.add_argument(
        "--augment", nargs="+", choices=AUGMENTATIONS, default=(), help="beside random crops"
    )
    command.add_argument("--class-weights", action="store_true", help="all classes count alike")
    random = "train from random weights, too, to see what the pretraining is worth"
    command.add_argument("--random-init", action="store_true", help=random)
    delta = "write OUTPUT.delta.safetensors, too: the tensors that changed"
    command.add_argument("--delta", action="store_true", help=delta)
    command.add_argument("--tensorboard", action="store_true", help="write logs for TensorBoard, too")

    help_ = "a model folder again from a delta and its base's weights"
    command = add_command(commands, "restore", _restore, help_)
    add_file(command, "delta", help="that `modelzoo finetune --delta` wrote")
    add_file(command, "-w", "--weights", default="pretrained", help="of the base, if they were given")
    add_file(command, "-o", "--output", required=True, metavar="FOLDER", help="the model folder")


def _add_schedule(command: argparse.ArgumentParser) -> None:
    length = command.add_mutually_exclusive_group()
    length.add_argument("--time", type=_duration, metavar="10m", help="for all: chooses the number of epochs")
    length.add_argument(
        "--epochs", type=positive, default=DEFAULTS.epochs, help=f"default: {DEFAULTS.epochs}"
    )
    length.add_argument("--head-only", action="store_true", help="leave the backbone as it is: seconds")
    from_ = "the first feature level that changes, such as C4; default: all do"
    command.add_argument("--from", dest="from_level", metavar="LEVEL", help=from_)
    norm = "keep the batch norms of the pretraining: for small batches"
    command.add_argument("--freeze-batch-norm", action="store_true", help=norm)
    command.add_argument("--size", type=positive, metavar="N", help="of the square that the network takes")
    for name, type_ in (
        ("batch_size", positive),
        ("learning_rate", float),
        ("seed", int),
        ("patience", positive),
    ):
        default = getattr(DEFAULTS, name)
        told = "by the weights' size" if default is None else default
        command.add_argument(
            f"--{name.replace('_', '-')}", type=type_, default=default, help=f"default: {told}"
        )


def _duration(text: str) -> float:
    try:
        return seconds_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _finetune(options: argparse.Namespace) -> int:
    from modelzoo.training import finetune

    found = finetune(
        options.folder,
        options.model or DEFAULT_MODEL,
        options.output,
        test=options.test,
        validation=options.validation,
        weights=options.weights,
        options=_training_options(options),
        random_init=options.random_init,
        delta_file=options.delta,
        tensorboard=options.tensorboard,
        progress=sys.stderr.isatty(),
    )
    for sentence in found.notes:
        note(sentence)
    if options.json:
        print_json(found.to_dict())
    else:
        print_card(f"{found.folder}, a model of {len(found.classes)} classes", _facts(found))
    return 0


def _training_options(options: argparse.Namespace) -> TrainingOptions:
    same = ("epochs", "head_only", "from_level", "size", "batch_size", "learning_rate", "seed", "patience")
    given = {name: getattr(options, name) for name in (*same, "class_weights")}
    return TrainingOptions(
        **given,
        seconds=options.time,
        batch_norm=not options.freeze_batch_norm,
        augment=tuple(options.augment),
    )


def _facts(found: Finetuned) -> Iterator[tuple[str, str]]:
    counts = found.images
    yield "images", ", ".join(f"{count:,} for {part}" for part, count in counts.items())
    if found.epochs:
        best = f"{found.best_epoch} was the best" if found.best_epoch else "none was better than the head"
        yield "epochs", f"{found.epochs}, of which {best}"
    if found.head_accuracy is not None:
        yield "head alone", f"{percent(100 * found.head_accuracy)} of the validation images"
    yield "validation", percent(100 * found.validation_accuracy)
    yield "test", _with_interval(found.accuracy)
    if found.random_init is not None:
        yield "random init", f"{_with_interval(found.random_init.top1)}, the same without the pretraining"
    yield "seconds", ", ".join(f"{phase} {seconds:.0f}" for phase, seconds in found.seconds.items())
    yield "report", readable(found.run)
    if found.delta is not None:
        yield "delta", readable(found.delta)


def _with_interval(part: Proportion) -> str:
    return f"{percent(100 * part.value)} (95 % interval {100 * part.low:.2f} to {100 * part.high:.2f})"


def _restore(options: argparse.Namespace) -> int:
    from modelzoo.training import apply_delta

    entry = apply_delta(options.delta, options.output, weights=options.weights)
    if options.json:
        print_json({"folder": entry.folder, "weights": entry.file.sha256})
    else:
        say(f"restored {readable(entry.folder)}")
    return 0
