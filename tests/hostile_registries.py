"""Registries of one's own that are wrong in one to three places, generated from real entries; each is asked
everything that a command or a program asks.

`python -m tests.hostile_registries 1000` tells how many of so many ended in an error that is none of ours.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from random import Random
from typing import Any

from modelzoo import cli, labels, registry, settings, verification, zoo
from modelzoo.errors import ModelZooError
from modelzoo.registry import Entry
from modelzoo.registry.custom import with_custom
from modelzoo.runtimes import Deployment

BASES = (
    "resnet9_cifar10.modelzoo",
    "resnet18_v1b.gluon",
    "vgg_16.slim",
    "yolo2.darknet",
    "mobilenet_0.25_128.keras",
)
LABELS = {"clothing": [{"id": "s1", "name": "shirt"}, "sock", {"id": "t3", "name": "trousers", "parent": 0}]}
OWN = "own"  # the tag of the registry's models
VALUES: tuple[Any, ...] = (
    None,
    *([], [[]], [None], ["x"], [0], [1, 2, 3], [{}], {}, {"x": None}, {"x": []}, {"clothing": {}}),
    *("", " ", "x", "resnet", "softmax", "imagenet", "coco", "../../x", "-x", "a\0b", "\x1b[2K\r\n"),
    *("\ud800", "猫", "x" * 100_000, "file:///etc/passwd", "https://[", "http://x:y/"),
    *(True, False, 0, 1, -1, 2, 3, 224, 2**31, 2**63, 10**20, 10**400, 10**4000),
    *(0.5, -0.0, 1e-320, 1e308, -1e308, float("nan"), float("inf"), float("-inf")),
)
FEW = 20_000  # parameters, classes and pixels up to which a network is built


def base() -> dict[str, Any]:
    """A registry of one's own that has nothing wrong."""
    packaged = json.loads((resources.files("modelzoo") / "registry.json").read_text("utf-8"))
    models = {f"{key.rpartition('.')[0]}.{OWN}": copy.deepcopy(packaged["models"][key]) for key in BASES}
    dresser = copy.deepcopy(packaged["models"]["resnet9_cifar10.modelzoo"])
    dresser["labels"], dresser["graph"]["classes"] = "clothing", 3
    models[f"dresser.{OWN}"] = dresser
    named = {models[key]["preprocessing"] for key in models}
    preprocessing = {
        f"{name}_{OWN}": copy.deepcopy(packaged["preprocessing"][name]) for name in sorted(named)
    }
    for model in models.values():
        model["preprocessing"] += f"_{OWN}"
    return {
        "preprocessing": preprocessing,
        "labels": copy.deepcopy(LABELS),
        "models": models,
        "defaults": {"dresser": OWN},
    }


def texts(count: int, seed: int = 0) -> Iterator[bytes]:
    """So many registries' files, always the same ones: all but a few are JSON."""
    random, sound = Random(seed), base()
    for _ in range(count):
        document: Any = copy.deepcopy(sound)
        for _ in range(random.choice((1, 1, 1, 1, 2, 3))):
            document = _changed(document, random)
        content = json.dumps(document, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")
        yield _damaged(content, random) if random.random() < 0.1 else content


def _changed(document: Any, random: Random) -> Any:
    """The document after one of its values, or one of its names, became another."""
    places = list(_places(document))
    if not places:
        return random.choice(VALUES)
    field = random.choice(sorted({str(key) for _, key in places}))  # rare ones as often as common ones
    holder, key = random.choice([place for place in places if str(place[1]) == field])
    kind = random.random()
    if kind < 0.02:
        return random.choice(VALUES)
    if kind < 0.06:
        del holder[key]
    elif kind < 0.1 and isinstance(holder, dict):
        holder[random.choice(("", "x", "key", "crop_size", "\x1b[2K", "imagenet", "x" * 1000))] = holder[key]
    elif kind < 0.2:
        source, at = random.choice(places)
        holder[key] = copy.deepcopy(source[at])
    else:
        alike = kind < 0.8
        fitting = [value for value in VALUES if not alike or type(value) is type(holder[key])]
        holder[key] = copy.deepcopy(random.choice(fitting))
    return document


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every key of every object and index of every list inside."""
    if isinstance(value, dict | list):
        for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
            yield value, key
            yield from _places(inner)


def _damaged(content: bytes, random: Random) -> bytes:
    at = random.randrange(len(content))
    return random.choice(
        (
            content[:at],
            content[:at] + bytes([random.randrange(256)]) + content[at + 1 :],
            b"\xef\xbb\xbf" + content,
            b"[" * 100_000 + content,
            content.replace(b"{", b'{"x": 1, "x": 1, ', 1),
            content.decode("utf-8", "surrogatepass").encode("utf-16", "surrogatepass"),
        )
    )


def raw_errors(path: Path, *, build: bool) -> list[str]:
    """What a registry answered that is no sentence of ours; with `build` its models are also built."""
    os.environ[settings.REGISTRY] = str(path)
    with_custom.cache_clear()
    found: list[str] = []
    for command in (["list", f"*.{OWN}", "--sort", "top1"], ["list", "--json"], ["cache"]):
        _ask(found, " ".join(command), _command, command)
    for sort in registry.SORTS:
        _ask(found, f"list_models by {sort}", registry.list_models, sort=sort)
    try:
        entries = [entry for entry in registry.current().entries.values() if entry.tag == OWN]
    except ModelZooError:
        return found
    except Exception as error:
        return [*found, f"current: {error!r}"]
    for entry in entries:
        _ask(found, f"repr {entry.key}", repr, entry)
        for command in (["info", entry.key], ["info", entry.key, "--json"]):
            _ask(found, " ".join(command), _command, command)
        _ask(found, f"labels of {entry.key}", labels.read, entry.labels)
        _ask(found, f"deployment of {entry.key}", Deployment, entry.key)
        is_sound = entry == _sound().get(entry.key)  # as it was, which other tests build
        if build and not is_sound and max(entry.graph.classes, entry.graph.input_shape[0]) < FEW:
            _ask(found, f"load {entry.key}", zoo.load, entry.key, weights=None)
            _ask(found, f"verify {entry.key}", lambda key: list(verification.verify(key)), entry.key)
    return found


@functools.cache
def _sound() -> Mapping[str, Entry]:
    return registry.parse(json.dumps(base())).entries


def is_accepted() -> bool:
    """Whether the registry that was asked last was read."""
    try:
        registry.current()
    except ModelZooError:
        return False
    return True


def _ask(found: list[str], what: str, function: Any, *arguments: Any, **options: Any) -> None:
    try:
        function(*arguments, **options)
    except ModelZooError:
        pass
    except Exception as error:
        if not (isinstance(error, ValueError) and what.startswith(("load", "verify"))):
            found.append(f"{what[:100]}: {error!r}"[:500])


def _command(arguments: list[str]) -> None:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        cli.main(arguments)


def main(count: int, build: bool, seed: int = 0) -> int:
    """Prints each raw error, and at the end how many registries had one; returns that number."""
    hit = read = 0
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update({settings.CACHE: folder, settings.OFFLINE: "1"})
        path = Path(folder) / "registry.json"
        for number, content in enumerate(texts(count, seed)):
            path.write_bytes(content)
            errors = raw_errors(path, build=build)
            read += is_accepted()
            hit += bool(errors)
            for error in errors:
                print(f"{number}: {error}", flush=True)
    print(f"{count} registries, {read} of them accepted, {hit} with a raw error")
    return hit


if __name__ == "__main__":
    sys.exit(min(main(int(sys.argv[1]), build="--build" in sys.argv[2:]), 1))
