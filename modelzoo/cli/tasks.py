"""classify, embed and detect: what models answer."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelzoo.cli.arguments import (
    IMAGES,
    add_command,
    add_deployment,
    add_file,
    deployment,
    fraction,
    positive,
)
from modelzoo.cli.copies import save_copy
from modelzoo.cli.printing import bar, fail, note, plural, print_json, print_table, say
from modelzoo.runtimes import DEFAULT_MODEL, default_model
from modelzoo.store import PRETRAINED

if TYPE_CHECKING:
    from modelzoo.tasks import Unreadable

STDIN = "-"
BUNDLED = "the one that comes with the package"
DETECTOR = "yolo2"


def add_commands(commands: Any) -> None:
    command = add_command(commands, "classify", _classify, "the most likely labels of images")
    add_file(command, "images", nargs="+", help=IMAGES)
    add_deployment(command, BUNDLED)
    command.add_argument("--top", type=positive, default=5, metavar="N", help="labels for each image")
    _add_bulk_options(command, "labels into a .jsonl, .csv or .parquet file", required=False)

    command = add_command(commands, "embed", _embed, "image embeddings: vectors to search or train on")
    add_file(command, "images", nargs="+", help="files, folders, .txt lists or patterns")
    add_deployment(command, BUNDLED)
    crops_help = "10: the mean of corners, center and mirror images"
    command.add_argument("--crops", type=int, choices=(1, 10), default=1, help=crops_help)
    _add_bulk_options(command, "embeddings into an .npy or .parquet file", required=True)

    command = add_command(commands, "detect", _detect, "the objects in images, also drawn on a copy of each")
    add_file(command, "images", nargs="+", help=IMAGES)
    add_deployment(command, DETECTOR)
    add_file(command, "-o", "--output", type=Path, help="the copy; default: a new file IMAGE.boxes.jpg here")
    command.add_argument("--threshold", type=fraction, default=0.5, metavar="SCORE", help="default: 0.5")
    command.add_argument("--size", type=positive, metavar="N", help="of the square that the network sees")


def _add_bulk_options(command: argparse.ArgumentParser, what: str, *, required: bool) -> None:
    help_ = f"{what}; rerun the same command to resume after an interruption"
    add_file(command, "-o", "--output", required=required, metavar="FILE", help=help_)
    fast = "decode JPEGs at reduced resolution: faster, slightly different pixels"
    command.add_argument("--fast-decode", action="store_true", help=fast)
    command.add_argument("--engine", choices=("local", "ray"), default="local", help="ray: on a cluster")
    command.add_argument("--workers", type=positive, metavar="N", help="of ray; default: one a machine")


def _classify(options: argparse.Namespace) -> int:
    from modelzoo import labels
    from modelzoo.images import encodable
    from modelzoo.tasks import LabelsHead, Pipeline, Unreadable

    bulk = options.fast_decode or options.engine != "local" or options.workers
    if bulk and options.output is None:
        raise ValueError("--fast-decode, --engine and --workers need -o FILE.")
    deployed = deployment(options, _default(options))
    if options.output is not None:
        from modelzoo.bulk import classify_files

        run = classify_files(
            options.images, options.output, deployed, top=options.top, execution=_execution(options)
        )
        return _print_summary(options, run)
    start = time.perf_counter()
    paths = _paths(options.images)
    pipeline = Pipeline(deployed, LabelsHead(options.top))
    loaded = time.perf_counter()
    entry, repeated = pipeline.entry, labels.repeated_names(labels.of(pipeline.entry))
    if not options.json:
        say(f"{entry.key} ({entry.labels}, {len(paths)} {plural('image', paths)})")
    answers = pipeline.each_or_error(_progress(map(_content, paths), len(paths)))
    failed, model = 0, deployed.entry.key
    for path, answer in zip(paths, answers, strict=True):
        if isinstance(answer, Unreadable):
            failed += _print_error(path, model, answer, options)
        elif options.json:
            found = [dataclasses.asdict(prediction) for prediction in answer]
            print_json({"image": encodable(path), "model": model, "predictions": found}, indent=None)
        else:
            _print_predictions(path, answer, repeated)
    done = time.perf_counter()
    if not options.json:
        each = 1e3 * (done - loaded) / len(paths)
        say()
        say(f"loaded in {1e3 * (loaded - start):.0f} ms, {each:.1f} ms an image")
    return min(failed, 1)


def _default(options: argparse.Namespace) -> str:
    """The model where none is named; says on stderr which and why. A weight file is the bundled model's."""
    if options.model is not None or options.weights != PRETRAINED:
        return DEFAULT_MODEL
    chosen = default_model()
    if chosen.reason is not None:
        note(f"{chosen.model}: {chosen.reason}")
    return chosen.model


def _print_error(path: str, model: str, why: Unreadable, options: argparse.Namespace) -> int:
    """Says why an image has no answer, where the others have theirs; returns the command's exit code, 1."""
    from modelzoo.images import encodable

    if options.json:
        print_json({"image": encodable(path), "model": model, "error": why.reason}, indent=None)
    return fail(why.reason)


def _embed(options: argparse.Namespace) -> int:
    from modelzoo.bulk import embed_files

    deployed = deployment(options, _default(options))
    return _print_summary(
        options, embed_files(options.images, options.output, deployed, execution=_execution(options))
    )


def _execution(options: argparse.Namespace) -> Any:
    from modelzoo.bulk import Execution

    return Execution(options.engine, options.workers, progress=sys.stderr.isatty())


def _print_summary(options: argparse.Namespace, summary: Any) -> int:
    """Bad images are counted, not fatal: the exit code is 0."""
    from modelzoo.images import encodable, skipped_line

    if options.json:
        facts = dataclasses.asdict(summary)
        print_json({**facts, "output": encodable(summary.output)}, indent=None)
        return 0
    new = summary.images - summary.resumed
    say(f"{summary.output}: {summary.images} images, {summary.failed} of them have an error")
    say(f"{new} in {summary.seconds:.1f} s ({new / summary.seconds:.1f} images/s)")
    if summary.skipped:
        say(skipped_line(summary.skipped))
    return 0


def _detect(options: argparse.Namespace) -> int:
    from modelzoo.images import encodable
    from modelzoo.tasks import BoxesHead, Pipeline, Unreadable, draw_boxes

    paths = _paths(options.images)
    _check_output(paths, options.output)
    pipeline = Pipeline(
        deployment(options, DETECTOR), BoxesHead(threshold=options.threshold, size=options.size)
    )
    failed = 0
    for path in paths:
        image = _content(path)
        (found,) = pipeline.each_or_error([image])
        if isinstance(found, Unreadable):
            failed += _print_error(path, pipeline.entry.key, found, options)
            continue
        copy = options.output
        if copy is not None:
            draw_boxes(image, found).save(copy)
        elif not options.json:  # programs that read JSON get a copy if they name it
            copy = save_copy(draw_boxes(image, found), "stdin" if path == STDIN else path)
        if options.json:
            print_json(
                {
                    "image": encodable(path),
                    "model": pipeline.entry.key,
                    "detections": [dataclasses.asdict(detection) for detection in found],
                    "copy": None if copy is None else encodable(str(copy)),
                },
                indent=None,
            )
        else:
            _print_detections(path, found, options.threshold)
            say(f"drawn: {copy}")
    return min(failed, 1)


def _check_output(paths: Sequence[str], output: Path | None) -> None:
    """Raises ValueError if the copies cannot have the name that --output gives them."""
    if output is None:
        return
    if len(paths) > 1:
        raise ValueError(f"--output names one file, and there are {len(paths)} images.")
    if paths[0] != STDIN and output.exists() and output.samefile(paths[0]):
        raise ValueError(f"{output} is the image itself; give the copy another name.")


def _paths(names: Sequence[str]) -> list[str]:
    """The files that are named, and - as it is; says on stderr what was skipped."""
    from modelzoo.images import image_files, skipped_line

    skipped: Counter[str] = Counter()
    paths: list[str] = []
    for name in names:
        paths += [name] if name == STDIN else image_files(name, skipped=skipped)
    if skipped:
        note(skipped_line(skipped))
    return paths


def _content(path: str) -> str | bytes:
    return sys.stdin.buffer.read() if path == STDIN else path


def _progress(images: Iterator[Any], total: int) -> Iterator[Any]:
    if total < 2 or not sys.stderr.isatty() or sys.stdout.isatty():
        return images  # the results themselves show progress
    from tqdm import tqdm

    return iter(tqdm(images, total=total, unit="image"))


def _print_predictions(path: str, predictions: Sequence[Any], repeated: Collection[str]) -> None:
    """The predictions; a name that several classes have comes with the id."""
    say()
    say(path)
    names = [f"{found.name} ({found.id})" if found.name in repeated else found.name for found in predictions]
    width = max(len(name) for name in names)
    for name, prediction in zip(names, predictions, strict=True):
        say(f"  {name:<{width}}  {prediction.probability:7.2%}  {bar(prediction.probability)}")


def _print_detections(path: str, detections: Sequence[Any], threshold: float) -> None:
    say()
    say(path)
    if not detections:
        say(f"nothing scores above {threshold:g}")
    rows = [(d.name, f"{d.score:.1%}", *(f"{side:.0f}" for side in d.box)) for d in detections]
    print_table(("object", "score", "x0", "y0", "x1", "y1"), rows, right={1, 2, 3, 4, 5})
