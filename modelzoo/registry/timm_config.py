"""timm's config.json -> what an entry says: every field that decides a pixel is used, or refused by name.

Source: timm/models/_hub.py (save_config_for_hf, load_model_config_from_hf), _pretrained.py and
timm/data/config.py and transforms_factory.py (transforms_imagenet_eval) of pytorch-image-models.
The file may come from anybody: each value is checked, and nothing in it names a file or a program.
"""

from __future__ import annotations

import difflib
import functools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast, get_args

from modelzoo.errors import RegistryError, UnknownModel, quoted
from modelzoo.registry.dataclass_json import JsonObject, build, check_object
from modelzoo.registry.entries import NEAREST, Entry, Interpolation, Label, Preprocessing
from modelzoo.registry.folders import LARGEST_SIDE, OWN_LABELS
from modelzoo.registry.parsing import labels_of, read_json, refuse_any, wrong_in_preprocessing

CONFIG = "config.json"
CONVERTER = "timm"  # of sources whose files, and whose networks, are proven to be timm's
IMAGENET, IMAGENET_CLASSES = "imagenet", 1000  # as timm takes it where no label has a name
MOST_CLASSES = 100_000
MOST_CHARACTERS = 500  # of one label
CHANNELS = 3
HEAD_FEATURES = {"resnet18": 512, "resnet34": 512}  # what a head sees, where it is not as many as here:
MOST_HEAD_FEATURES = 2048

# What decides the pixels, with timm's defaults.
PIXELS: dict[str, Any] = {
    "input_size": [3, 224, 224],
    "interpolation": "bicubic",
    "crop_pct": 0.875,
    "crop_mode": "center",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}
# What decides none: where the weights come from, names of layers, other sizes at which the network was tried.
NAMES = {"architecture", "num_classes", "label_names", "label_descriptions", "labels"}
FACTS = {"url", "file", "hf_hub_id", "hf_hub_filename", "source", "tag", "custom_load", "num_features"} | {
    *("pool_size", "test_pool_size", "first_conv", "classifier", "global_pool", "model_args"),
    *("min_input_size", "fixed_input_size", "test_input_size", "test_crop_pct"),
    *("license", "description", "origin_url", "paper_name", "paper_ids", "notes"),
}
EMPTY = {"label_offset", "state_dict"}  # would change the outputs or the weights
TRAINING = {"drop_rate", "drop_path_rate", "drop_block_rate", "pretrained"}  # of model_args
POOLS = ("", "avg", None)


@dataclass(frozen=True)
class TimmConfig:
    """What a config.json says."""

    network: Entry  # the packaged one whose network it is
    side: int
    classes: int
    preprocessing: Preprocessing
    labels: str
    table: tuple[Label, ...]
    license: str | None
    note: str | None

    @property
    def parameters(self) -> int:
        """Those of the packaged network, with a head for so many classes."""
        features = HEAD_FEATURES.get(timm_name(self.network), MOST_HEAD_FEATURES)
        return self.network.parameters + (self.classes - self.network.graph.classes) * (features + 1)


@functools.cache
def architectures() -> Mapping[str, Entry]:
    """timm's names of the networks that we have: those whose equality is proven, see scripts.convert.timm."""
    from modelzoo.registry.queries import packaged

    found = (entry for entry in packaged().entries.values() if timm_name(entry))
    return {timm_name(entry): entry for entry in found}


def timm_name(entry: Entry) -> str:
    """The architecture's name in timm, from the address of its file there; "" if there is none.

    >>> from modelzoo.registry import info
    >>> timm_name(info("resnet50_v1d"))
    'resnet50d'
    """
    urls = [source.urls[0] for source in entry.sources if source.converter == CONVERTER and source.urls]
    repository = urls[0].split("/")[4] if urls else ""
    return repository.partition(".")[0]


def parse(text: str) -> TimmConfig:
    """What a config.json says. Raises RegistryError, or UnknownModel for another architecture."""
    root = check_object(CONFIG, read_json(text, f"its {CONFIG}"))
    flat = root.get("pretrained_cfg") is None
    given = root if flat else check_object("pretrained_cfg", root["pretrained_cfg"])
    config = {name: value for name, value in given.items() if value is not None}
    network = _network(root, config)
    _check_names(config)
    _check_graph(root, config)
    classes = _classes(root.get("num_classes", config.get("num_classes", IMAGENET_CLASSES)))
    preprocessing = _preprocessing(PIXELS | {name: config[name] for name in PIXELS if name in config})
    labels, table = _labels(root, config, classes)
    license = config.get("license")
    return TimmConfig(
        network,
        preprocessing.crop_size,
        classes,
        preprocessing,
        labels,
        table,
        license if isinstance(license, str) else None,
        _note(config),
    )


def _network(root: JsonObject, config: JsonObject) -> Entry:
    name = root.get("architecture", config.get("architecture"))
    if name is None:
        raise RegistryError(
            f"expected timm's {CONFIG}, which names an 'architecture', got one with the fields "
            f"{quoted(sorted(root))}."
        )
    known = architectures()
    if not isinstance(name, str) or name not in known:
        nearest = difflib.get_close_matches(str(name)[:100], known, n=NEAREST, cutoff=0.6)
        hint = f" (near: {', '.join(nearest)})" if nearest else ""
        raise UnknownModel(
            f"its architecture {quoted(name)} is not known{hint}; known are {', '.join(known)}."
        )
    return known[name]


def _check_names(config: JsonObject) -> None:
    """What is not known may decide a pixel."""
    for name, value in config.items():
        if name in EMPTY and value:
            raise RegistryError(f"its {name} is {quoted(value)}, which modelzoo does not do.")
        if name not in NAMES | FACTS | EMPTY | PIXELS.keys():
            raise RegistryError(f"its field {quoted(name)} is not known, and may decide the pixels.")


def _check_graph(root: JsonObject, config: JsonObject) -> None:
    """Raises RegistryError for what makes another network of the same name."""
    pool = root.get("global_pool", config.get("global_pool"))
    if pool not in POOLS:
        raise RegistryError(f"expected global_pool to be 'avg', got {quoted(pool)}.")
    arguments: object = root.get("model_args", config.get("model_args"))
    same = {"in_chans": CHANNELS, "global_pool": "avg", "num_classes": root.get("num_classes")}
    for name, value in check_object("model_args", arguments or {}).items():
        if name not in TRAINING and (name not in same or value != same[name]):
            raise RegistryError(f"its model_args set {quoted(name)}, which may make another network.")


def _classes(value: object) -> int:
    if type(value) is not int or not 1 <= value <= MOST_CLASSES:
        raise RegistryError(f"expected num_classes to be from 1 to {MOST_CLASSES:,}, got {quoted(value)}.")
    return value


def _preprocessing(config: JsonObject) -> Preprocessing:
    """As transforms_imagenet_eval: resize to floor(side / crop_pct), then the central square."""
    side, crop_pct = _side(config["input_size"]), config["crop_pct"]
    if type(crop_pct) not in (int, float) or not 0 < crop_pct <= 1:
        raise RegistryError(f"expected crop_pct to be a number above 0, at most 1, got {quoted(crop_pct)}.")
    resize_size: int | None = math.floor(min(side / crop_pct, LARGEST_SIDE + 1))
    if resize_size > LARGEST_SIDE:
        raise RegistryError(
            f"expected crop_pct to give at most {LARGEST_SIDE} pixels, got {quoted(crop_pct)}."
        )
    mode = config["crop_mode"]
    if mode == "squash" and resize_size == side:
        resize_size = None
    elif mode != "center":
        also = f" with crop_pct {crop_pct:g}" if mode == "squash" else ""
        raise RegistryError(
            f"expected crop_mode to be 'center', or 'squash' with crop_pct 1, got {quoted(mode)}{also}."
        )
    found = build(
        Preprocessing,
        {
            "crop_size": side,
            "resize_size": resize_size,
            "crop_start": "even",  # torchvision's CenterCrop rounds half to even
            "interpolation": _interpolation(config["interpolation"]),
            "mean": config["mean"],
            "std": config["std"],
        },
        "pretrained_cfg",
    )
    refuse_any("pretrained_cfg", wrong_in_preprocessing(found))
    return found


def _side(value: object) -> int:
    shown = quoted(value)
    sides = cast("list[object]", value) if isinstance(value, list) else []
    if len(sides) != CHANNELS or any(type(side) is not int for side in sides):
        raise RegistryError(f"expected input_size to be [3, height, width], got {shown}.")
    channels, height, width = cast("list[int]", sides)
    if channels != CHANNELS or height != width or not 1 <= height <= LARGEST_SIDE:
        raise RegistryError(
            f"expected input_size to be 3 channels of a square of at most {LARGEST_SIDE} pixels, got {shown}."
        )
    return height


def _interpolation(value: object) -> str:
    """Pillow's, as torchvision resizes images that are Pillow's."""
    prefix = "pillow_"
    known = [name.removeprefix(prefix) for name in get_args(Interpolation) if name.startswith(prefix)]
    if not isinstance(value, str) or value not in known:
        raise RegistryError(f"expected interpolation to be one of {', '.join(known)}, got {quoted(value)}.")
    return prefix + value


def _labels(root: JsonObject, config: JsonObject, classes: int) -> tuple[str, tuple[Label, ...]]:
    """A packaged set's name, or the labels themselves: names, by which descriptions are found."""
    given = {**config, **{name: value for name, value in root.items() if value is not None}}
    names = given.get("label_names", given.get("labels"))
    if names is None:
        if classes == IMAGENET_CLASSES:
            return IMAGENET, ()
        return OWN_LABELS, tuple(_numbered(number) for number in range(classes))
    descriptions = check_object("label_descriptions", given.get("label_descriptions") or {})
    found = [
        _numbered(place)
        if name is None
        else Label(name, _text("label_descriptions", descriptions.get(name, name)))
        for place, name in enumerate(_names(names, classes))
    ]
    return OWN_LABELS, labels_of("label_names", [{"id": label.id, "name": label.name} for label in found])


def _names(names: object, classes: int) -> list[str | None]:
    """The name of each class; None where an object of numbers leaves a gap."""
    if isinstance(names, dict):
        by_number = cast("dict[str, object]", names)
        if wrong := [key for key in by_number if not re.fullmatch("[0-9]{1,6}", key) or int(key) >= classes]:
            raise RegistryError(f"label_names: expected numbers below {classes:,}, got {quoted(wrong[0])}.")
        given = {int(key): value for key, value in by_number.items()}
        listed: Sequence[object] = [given.get(number) for number in range(classes)]
    elif isinstance(names, list):
        listed = cast("list[object]", names)
    else:
        raise RegistryError(f"expected label_names to be a list, got {quoted(names)}.")
    if len(listed) != classes:
        raise RegistryError(
            f"label_names: expected {classes:,}, as many as num_classes, got {len(listed):,}."
        )
    gaps = isinstance(names, dict)
    return [None if name is None and gaps else _text("label_names", name) for name in listed]


def _text(where: str, value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MOST_CHARACTERS:
        raise RegistryError(f"{where}: expected 1 to {MOST_CHARACTERS} characters, got {quoted(value)}.")
    return value


def _numbered(number: int) -> Label:
    return Label(str(number), f"class {number}")


def _note(config: JsonObject) -> str | None:
    """The other size at which the authors evaluate, which the pixels here are not."""
    size, crop_pct = config.get("test_input_size"), config.get("test_crop_pct")
    if size is None and crop_pct is None:
        return None
    stated = f"test_input_size {quoted(size)}, test_crop_pct {quoted(crop_pct)}"
    return f"timm also states {stated}; images are prepared as for input_size."
