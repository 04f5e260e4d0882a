"""The command line: it parses, calls the public functions and prints.

Exit codes: 0 done, 1 it could not be done (one sentence on stderr says why), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from modelzoo import __version__, registry, runtimes
from modelzoo.errors import ModelZooError

PICTURES = "files, folders, .txt lists or patterns, or - for one picture on stdin"
BAR = 24  # characters of a probability of 1
EIGHTHS = " ▏▎▍▌▋▊▉"
VERDICTS = {True: "passed", False: "FAILED", None: "not run"}
DOWNLOADS = 4  # at a time
INTERRUPTED = 130  # the shell's exit code for Ctrl-C


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (ModelZooError, ValueError, OSError) as error:
        if isinstance(error, BrokenPipeError):  # the reader, `head` say, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        print(f"modelzoo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    from modelzoo import pretrained

    parser = argparse.ArgumentParser(
        prog="modelzoo",
        description="Pretrained image networks as Keras models: list, load, classify, convert.",
    )
    parser.add_argument("--version", action="version", version=f"modelzoo {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = _command(commands, "list", _list, "the models, their size and where their weights come from")
    command.add_argument("pattern", nargs="?", default="*", help='a shell pattern, like "resnet50*"')
    command.add_argument("--tag", help="who trained it: gluon, tencent, modelzoo ...")
    command.add_argument("--labels", help="the label set: imagenet, mlimages, cifar10 ...")
    command.add_argument("--licence", metavar="SPDX", help='the weights\' licence, or "unknown"')
    command.add_argument("--max-parameters", type=_count, metavar="N", help="a number, or 25M")
    command.add_argument("--min-top1", type=float, metavar="PERCENT", help="published top-1 accuracy")
    command.add_argument("--max-size", type=_positive, metavar="PIXELS", help="side of the input")
    places = [where.replace(" ", "-") for where in pretrained.WHEREABOUTS]
    command.add_argument("--from", dest="whereabouts", choices=places, help="where the weights come from")
    command.add_argument("--sort", choices=tuple(registry.SORTS), default="name", help="default: name")

    command = _command(commands, "info", _info, "all that is known of one model")
    command.add_argument("name")

    command = _command(commands, "classify", _classify, "the most likely labels of pictures")
    command.add_argument("pictures", nargs="+", help=PICTURES)
    command.add_argument("-m", "--model", help="default: the one that comes with the package")
    command.add_argument("-w", "--weights", default="pretrained", help="a weight file instead")
    command.add_argument("--top", type=_positive, default=5, metavar="N", help="labels for each picture")
    _add_runtime_options(command)
    _add_bulk_options(command, "labels into a .jsonl, .csv or .parquet file", required=False)

    command = _command(commands, "features", _features, "what a network sees in pictures, as vectors")
    command.add_argument("pictures", nargs="+", help="files, folders, .txt lists or patterns")
    command.add_argument("-m", "--model", help="default: the one that comes with the package")
    command.add_argument("-w", "--weights", default="pretrained", help="a weight file instead")
    crops_help = "10: the mean of corners, centre and mirror images"
    command.add_argument("--crops", type=int, choices=(1, 10), default=1, help=crops_help)
    _add_runtime_options(command)
    _add_bulk_options(command, "features into an .npy or .parquet file", required=True)

    command = _command(commands, "detect", _detect, "the objects in pictures, also drawn on a copy of each")
    command.add_argument("pictures", nargs="+", help=PICTURES)
    command.add_argument("-m", "--model", help="default: yolo2")
    command.add_argument("-w", "--weights", default="pretrained", help="a weight file instead")
    command.add_argument("-o", "--output", type=Path, help="the copy; default: PICTURE.boxes.jpg here")
    command.add_argument("--threshold", type=_fraction, default=0.5, metavar="SCORE", help="default: 0.5")
    command.add_argument("--size", type=_positive, metavar="N", help="of the square that the network sees")

    command = _command(commands, "verify", _verify, "checks models against their originals and known answers")
    command.add_argument("names", nargs="+")
    command.add_argument("--pictures", type=Path, metavar="FOLDER", help="may hold the answers' pictures")

    command = _command(
        commands, "download", _download, "fetches (and converts) a model's weights into the cache"
    )
    command.add_argument("names", nargs="+")

    command = _command(commands, "add", _add, "installs a weight file that you have, ours or the upstream's")
    command.add_argument("name", nargs="?", help="default: the model that the file is recognised as")
    command.add_argument("file", type=Path)

    command = _command(commands, "bundle", _bundle, "packs models' weights for a place without a network")
    command.add_argument("names", nargs="+")
    command.add_argument("-o", "--output", type=Path, required=True, help="a .tar file")

    command = _command(commands, "unbundle", _unbundle, "installs the models that a bundle holds")
    command.add_argument("file", type=Path)

    command = _command(
        commands, "convert", _convert, "turns an upstream file into one of ours; prints the receipt"
    )
    command.add_argument("name")
    command.add_argument("file", type=Path, help="a file, archive, folder or checkpoint prefix")
    command.add_argument("-o", "--output", type=Path, required=True)

    command = _command(commands, "cache", _cache, "what the cache holds, where it is, and how to empty it")
    command.add_argument("action", nargs="?", choices=tuple(CACHE_ACTIONS), default="list")
    command.add_argument("names", nargs="*", help="for list, verify and remove: the models")
    command.add_argument("--older-than", type=float, metavar="DAYS", help="for prune: also models not used")
    return parser


def _command(commands, name: str, run, help_: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=help_, description=help_[0].upper() + help_[1:] + ".")
    parser.add_argument("--json", action="store_true", help="print JSON, for other programs")
    parser.set_defaults(run=run)
    return parser


def _add_runtime_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--runtime", choices=runtimes.RUNTIMES, default="auto", help="default: auto")
    help_ = "that OpenVINO computes in; default: f32"
    command.add_argument("--precision", choices=runtimes.PRECISIONS, default="f32", help=help_)


def _add_bulk_options(command: argparse.ArgumentParser, what: str, *, required: bool) -> None:
    help_ = f"{what}; when interrupted, the same command goes on"
    command.add_argument("-o", "--output", required=required, metavar="FILE", help=help_)
    command.add_argument(
        "--fast-decode", action="store_true", help="JPEG's decoder leaves out detail: faster, other pixels"
    )
    command.add_argument("--engine", choices=("local", "ray"), default="local", help="ray: on a cluster")
    command.add_argument("--workers", type=_positive, metavar="N", help="of ray; default: one a machine")


def _count(text: str) -> int:
    """A number, maybe in thousands or millions."""
    factor = {"K": 10**3, "M": 10**6}.get(text[-1:].upper(), 1)
    return round(float(text[:-1] if factor > 1 else text) * factor)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number


def _fraction(text: str) -> float:
    number = float(text)
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not from 0 to below 1")
    return number


def _import_keras() -> None:
    """Imports Keras without the notes that TensorFlow's C++ writes to stderr, past every log level."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as devnull:
            os.dup2(devnull.fileno(), 2)
        import keras  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _list(options) -> int:
    from modelzoo import pretrained

    keys = registry.list_models(
        options.pattern,
        tag=options.tag,
        labels=options.labels,
        licence=options.licence,
        max_parameters=options.max_parameters,
        min_top1=options.min_top1,
        max_size=options.max_size,
        sort=options.sort,
    )
    found = [(registry.info(key), pretrained.whereabouts(registry.info(key))) for key in keys]
    if options.whereabouts:
        found = [pair for pair in found if pair[1].replace(" ", "-") == options.whereabouts]
    if options.json:
        _print_json([dataclasses.asdict(entry) | {"whereabouts": where} for entry, where in found])
        return 0
    rows = [
        (
            entry.key,
            f"{entry.parameters / 1e6:.1f} M",
            "x".join(map(str, entry.graph.input_shape[:2])),
            entry.labels,
            _percent(entry.metric("top1")),
            entry.licences.weights or registry.UNKNOWN,
            where,
        )
        for entry, where in found
    ]
    header = ("model", "parameters", "input", "labels", "top-1", "licence", "weights")
    _print_table(header, rows, right={1, 2, 4})
    return 0 if rows else _fail("No model fits; `modelzoo list` shows all.")


def _info(options) -> int:
    from modelzoo import pretrained

    entry = registry.info(options.name)
    facts = dataclasses.asdict(entry) | {
        "whereabouts": pretrained.whereabouts(entry),
        "trust": pretrained.trust(entry),
    }
    if options.json:
        _print_json(facts)
    else:
        for name, value in facts.items():
            _print_fact(name, value)
    return 0


def _classify(options) -> int:
    from modelzoo.classification import DEFAULT_MODEL, Classifier

    if options.output is not None:
        from modelzoo.bulk import classify_files

        return _bulk(options, classify_files, {}, top=options.top)
    if options.fast_decode or options.engine != "local" or options.workers:
        raise ValueError("--fast-decode, --engine and --workers need -o FILE.")
    start = time.perf_counter()
    paths = list(_pictures(options.pictures))
    model, network = options.model or DEFAULT_MODEL, (options.weights, options.runtime, options.precision)
    if not runtimes.is_compiled(registry.info(model), *network):
        _import_keras()
    classifier = Classifier(
        model, weights=options.weights, runtime=options.runtime, precision=options.precision
    )
    loaded = time.perf_counter()
    if not options.json:
        print(f"{classifier.entry.key} ({classifier.entry.labels}, {len(paths)} {_plural('picture', paths)})")
    inputs = (sys.stdin.buffer.read() if path == "-" else path for path in paths)
    for path, predictions in zip(
        paths, classifier.each(_progress(inputs, len(paths)), options.top), strict=True
    ):
        if options.json:
            _print_json(
                {
                    "picture": str(path),
                    "model": classifier.entry.key,
                    "predictions": [dataclasses.asdict(p) for p in predictions],
                },
                indent=None,
            )
        else:
            _print_predictions(path, predictions)
    done = time.perf_counter()
    if not options.json:
        print(
            f"\nloaded in {1e3 * (loaded - start):.0f} ms, "
            f"{1e3 * (done - loaded) / len(paths):.1f} ms a picture"
        )
    return 0


def _features(options) -> int:
    from modelzoo import bulk

    return _bulk(options, bulk.features_of_files, bulk.FEATURES, crops=options.crops)


def _bulk(options, run, network: dict[str, object], **arguments) -> int:
    """Bad pictures are counted, not fatal: the exit code is 0."""
    from modelzoo.classification import DEFAULT_MODEL

    model, how = options.model or DEFAULT_MODEL, (options.weights, options.runtime, options.precision)
    if options.engine == "local" and not runtimes.is_compiled(registry.info(model), *how, **network):
        _import_keras()
    summary = run(
        options.pictures,
        options.output,
        model,
        weights=options.weights,
        runtime=options.runtime,
        precision=options.precision,
        fast_decode=options.fast_decode,
        engine=options.engine,
        workers=options.workers,
        progress=sys.stderr.isatty(),
        **arguments,
    )
    if options.json:
        _print_json(dataclasses.asdict(summary), indent=None)
        return 0
    new = summary.pictures - summary.resumed
    print(f"{summary.output}: {summary.pictures} pictures, {summary.failed} of them could not be read")
    print(f"{new} in {summary.seconds:.1f} s ({new / summary.seconds:.1f} pictures/s)")
    return 0


def _detect(options) -> int:
    from modelzoo.detection import DEFAULT_MODEL, Detector, draw

    paths = list(_pictures(options.pictures))
    copies = _copies(paths, options)
    _import_keras()
    detector = Detector(options.model or DEFAULT_MODEL, weights=options.weights, size=options.size)
    for path, copy in zip(paths, copies, strict=True):
        picture = sys.stdin.buffer.read() if path == "-" else path
        (found,) = detector(picture, options.threshold)
        if copy is not None:
            draw(picture, found).save(copy)
        if options.json:
            _print_json(
                {
                    "picture": str(path),
                    "model": detector.entry.key,
                    "detections": [dataclasses.asdict(detection) for detection in found],
                    "copy": None if copy is None else str(copy),
                },
                indent=None,
            )
        else:
            _print_detections(path, found, options.threshold)
            print(f"drawn: {copy}")
    return 0


def _copies(paths: Sequence[Path | str], options) -> list[Path | None]:
    """Where the copy of each picture goes; programs that read JSON get one if they name it."""
    if options.output is None:
        stems = ["stdin" if path == "-" else Path(path).stem for path in paths]
        return [None if options.json else Path(f"{stem}.boxes.jpg") for stem in stems]
    if len(paths) > 1:
        raise ValueError(f"--output names one file, and there are {len(paths)} pictures.")
    if options.output.exists() and options.output.samefile(paths[0]):
        raise ValueError(f"{options.output} is the picture itself; give the copy another name.")
    return [options.output]


def _verify(options) -> int:
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # TensorFlow's plain kernels round less
    entries = [registry.info(name) for name in options.names]
    _import_keras()
    from modelzoo import verification

    failed = False
    for entry in entries:
        if not options.json:
            print(entry.key)
        for check in verification.verify(entry.key, pictures=options.pictures):
            failed |= check.passed is False
            if options.json:
                _print_json({"model": entry.key, **dataclasses.asdict(check)}, indent=None)
            else:
                print(f"  {VERDICTS[check.passed]:<7}  {check.name}: {check.detail}", flush=True)
    return _fail("A check failed.") if failed else 0


def _download(options) -> int:
    from concurrent.futures import ThreadPoolExecutor

    from modelzoo import pretrained

    _import_keras()
    failed = 0
    with ThreadPoolExecutor(DOWNLOADS) as pool:
        waiting = [(name, pool.submit(pretrained.weights_file, name)) for name in options.names]
        try:
            for name, result in waiting:
                try:
                    _print_place(options, name, result.result())
                except ModelZooError as error:
                    failed = _fail(str(error))
        except KeyboardInterrupt:  # threads cannot be interrupted; what has come is resumed the next time
            os._exit(INTERRUPTED)
    return failed


def _add(options) -> int:
    from modelzoo import pretrained

    _import_keras()
    name = options.name or pretrained.recognise(options.file)
    if options.name is None and not options.json:
        print(f"{options.file} has the weights of {name}")
    _print_place(options, name, pretrained.add(name, options.file))
    return 0


def _bundle(options) -> int:
    from modelzoo import pretrained

    _import_keras()
    pretrained.bundle(options.names, options.output)
    _print_json(str(options.output)) if options.json else print(options.output)
    return 0


def _unbundle(options) -> int:
    from modelzoo import pretrained

    _import_keras()
    for key in pretrained.unbundle(options.file):
        _print_place(options, key, pretrained.weights_file(key))
    return 0


def _convert(options) -> int:
    _import_keras()
    from modelzoo import conversion

    receipt = conversion.convert(registry.info(options.name), options.file, options.output)
    if options.json:
        _print_json(receipt)
    else:
        for name, value in receipt.items():
            _print_fact(name, value)
        print(f"\nwritten: {options.output}")
    return 0


def _cache(options) -> int:
    return CACHE_ACTIONS[options.action](options)


def _cache_path(options) -> int:
    from modelzoo import cache

    roots = [str(root) for root in cache.roots()]
    _print_json(roots) if options.json else print("\n".join(roots))
    return 0


def _held(names: Sequence[str]) -> list:
    """The files that the cache holds of the models named, or of all."""
    from modelzoo import cache

    keys = {registry.info(name).key for name in names}
    return [h for h in cache.everything() if (h.model in keys or not names) and h.path.is_file()]


def _cache_list(options) -> int:
    facts = [
        {
            "model": held.model,
            "top": held.top,
            "path": str(held.path),
            "last_use": datetime.fromtimestamp(held.last_use).isoformat(" ", "seconds"),
            **dataclasses.asdict(held.pointer),
        }
        for held in _held(options.names)
    ]
    if options.json:
        _print_json(facts)
        return 0
    rows = [
        (f["model"], f"{f['bytes'] / 2**20:.1f} MiB", f["last_use"], f["trust"], f["path"]) for f in facts
    ]
    _print_table(("model", "size", "last use", "trust", "path"), rows, right={1})
    return 0


def _cache_verify(options) -> int:
    from modelzoo import cache

    damaged = 0
    for held in _held(options.names):
        sound = held.has_its_sha256()
        damaged += not sound
        place = None if sound else cache.set_aside(held)
        if options.json:
            moved = None if place is None else str(place)
            _print_json({"model": held.model, "path": str(held.path), "sound": sound, "moved": moved}, None)
        elif sound:
            print(f"{held.model}: sound")
        else:
            print(f"{held.model}: {held.path} is damaged{f'; it is now {place.name}' if place else ''}")
    return 1 if damaged else 0


def _cache_remove(options) -> int:
    from modelzoo import cache

    if not options.names:
        return _fail("Say which models to remove; `modelzoo cache list` shows what there is.")
    keys = {registry.info(name).key for name in options.names}
    for held in [held for held in cache.everything() if held.model in keys]:
        cache.remove(held)
        _print_json({"removed": held.model}, None) if options.json else print(f"removed {held.model}")
    return 0


def _cache_prune(options) -> int:
    from modelzoo import cache

    total = 0
    for path, size in cache.prune(options.older_than):
        total += size
        _print_json({"removed": str(path), "bytes": size}, None) if options.json else print(f"removed {path}")
    if not options.json:
        print(f"{total / 2**20:.1f} MiB freed")
    return 0


CACHE_ACTIONS = {
    "list": _cache_list,
    "path": _cache_path,
    "verify": _cache_verify,
    "remove": _cache_remove,
    "prune": _cache_prune,
}


def _pictures(names: Sequence[str]) -> Iterator[Path | str]:
    """The files that are named, and - as it is."""
    from modelzoo.bulk.sources import picture_files

    for name in names:
        if name == "-":
            yield name
        else:
            yield from picture_files(name)


def _progress(pictures: Iterator, total: int) -> Iterator:
    if total < 2 or not sys.stderr.isatty() or sys.stdout.isatty():
        return pictures  # the results themselves show progress
    from tqdm import tqdm

    return tqdm(pictures, total=total, unit="picture")


def _print_predictions(path: Path | str, predictions) -> None:
    print(f"\n{path}")
    width = max(len(prediction.name) for prediction in predictions)
    for prediction in predictions:
        bar = _bar(prediction.probability)
        print(f"  {prediction.name:<{width}}  {prediction.probability:7.2%}  {bar}".rstrip())


def _print_detections(path: Path | str, detections, threshold: float) -> None:
    print(f"\n{path}")
    if not detections:
        print(f"nothing scores above {threshold:g}")
    rows = [(d.name, f"{d.score:.1%}", *(f"{side:.0f}" for side in d.box)) for d in detections]
    _print_table(("object", "score", "x0", "y0", "x1", "y1"), rows, right={1, 2, 3, 4, 5})


def _bar(probability: float) -> str:
    full, eighths = divmod(round(probability * BAR * 8), 8)
    return "█" * full + EIGHTHS[eighths].strip()


def _print_place(options, name: str, path: Path) -> None:
    if options.json:
        _print_json({"model": registry.info(name).key, "path": str(path)}, indent=None)
    else:
        print(path)


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str]], right: set[int]) -> None:
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    for row in (header, *rows) if rows else ():
        cells = [
            f"{cell:>{w}}" if i in right else f"{cell:<{w}}"
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def _print_fact(name: str, value: object, indent: int = 0) -> None:
    """One fact a line; what is unknown is said to be unknown."""
    label = " " * indent + name
    if isinstance(value, dict):
        print(label)
        for inner_name, inner in value.items():
            _print_fact(inner_name, inner, indent + 2)
    elif isinstance(value, list | tuple) and value and isinstance(value[0], dict):
        for number, inner in enumerate(value, start=1):
            _print_fact(f"{name} {number}", inner, indent)
    elif isinstance(value, list | tuple):
        print(f"{label:<16} {', '.join(map(str, value)) or 'none'}")
    else:
        print(f"{label:<16} {'unknown' if value is None else value}")


def _print_json(value: object, indent: int | None = 2) -> None:
    print(json.dumps(value, indent=indent, ensure_ascii=False))


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f} %"


def _plural(word: str, things: Sequence) -> str:
    return word if len(things) == 1 else f"{word}s"


def _fail(sentence: str) -> int:
    print(f"modelzoo: {sentence}", file=sys.stderr)
    return 1
