"""A modelzoo weight file -> wheels that hold nothing but data, for any package index or folder.

A wheel has the file, or a part of one that is too large, and beside it the provenance as JSON. Equal files
give equal bytes: members are stored as they are, without dates and owners.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from modelzoo import weights
from modelzoo.download import PACKAGE
from modelzoo.files import atomic_write, sha256
from modelzoo.registry import UNKNOWN, Entry, FolderEntry
from modelzoo.registry.folders import CARD, MODEL, WEIGHTS
from modelzoo.registry.queries import WHEEL
from modelzoo.registry.wheels import PARTS
from modelzoo.verification import comparison
from scripts.registry.build import ROOT
from scripts.registry.records import Json

HALF = "-f16"
PART_BYTES = 99_000_000  # of a weight file in one wheel: most indexes take wheels below 100 MB
DATE = (1980, 1, 1, 0, 0, 0)  # the first that a zip archive can state
MODE = stat.S_IFREG | 0o644
UNIX = 3  # as ZipInfo.create_system
TAG = "py3-none-any"
APACHE = "Apache-2.0"


def distribution(key: str, *, half: bool = False) -> str:
    """The name on the index, as PEP 503 normalizes it."""
    return WHEEL + re.sub("[._-]+", "-", key) + (HALF if half else "")


def write(file: Path, entry: Entry, folder: Path, version: str, name: str) -> Json:
    """Writes the wheels of a weight file; returns what an entry's `weights` says of it."""
    whole = {"url": None, "sha256": sha256(file), "bytes": file.stat().st_size}
    provenance = weights.provenance(file)
    count = math.ceil(whole["bytes"] / PART_BYTES)
    packages: list[Json] = []
    with file.open("rb") as content:
        for number in range(1, count + 1):
            part = "" if count == 1 else f"part{number}"
            called = f"{name}-{part}".rstrip("-")
            member = f"{module(called)}/{entry.key}.h5{part and '.' + part}"
            data = content.read(PART_BYTES)
            said = f", part {number} of {count}" if part else ""
            text = metadata(entry, provenance, called, version, said)
            path = pack(folder, called, version, {member: data, **beside(entry, provenance, called)}, text)
            packages.append(package(path, called, version, member, data))
    return whole | {"packages": packages}


def write_folder(entry: FolderEntry, folder: Path, version: str, name: str) -> str:
    """Writes the wheel of a model folder, and wheels of the parts of large weights; returns its address.

    Installed by pip, the wheel is the model folder; of parts it has a list.
    """
    provenance, source = weights.provenance(entry.weights_path), Path(entry.folder)
    members = {f"{module(name)}/{each}": (source / each).read_bytes() for each in (MODEL, CARD)}
    if entry.file.bytes > PART_BYTES:
        parts = write(entry.weights_path, entry, folder, version, name)["packages"]
        members[f"{module(name)}/{PARTS}"] = f"{json.dumps(parts, indent=2)}\n".encode()
    else:
        members[f"{module(name)}/{WEIGHTS}"] = entry.weights_path.read_bytes()
    path = pack(folder, name, version, members, metadata(entry, provenance, name, version, ""))
    return f"{PACKAGE}{name}@{version}#sha256={sha256(path)}"


def beside(entry: Entry, provenance: Mapping[str, object], name: str) -> dict[str, bytes]:
    """What lies beside the weights: their provenance, and the license if it demands a copy."""
    stated = json.dumps(provenance, indent=2, sort_keys=True) + "\n"
    files = {f"{module(name)}/{entry.key}.json": stated.encode()}
    if entry.licenses.weights == APACHE:
        files[f"{module(name)}/LICENSE"] = (ROOT / "LICENSE").read_bytes()
    return files


def package(path: Path, name: str, version: str, member: str, data: bytes) -> Json:
    """What a registry says of a wheel."""
    return {
        "distribution": name,
        "version": version,
        "member": member,
        "sha256": sha256(path),
        "member_sha256": hashlib.sha256(data).hexdigest(),
        "bytes": path.stat().st_size,
    }


def module(name: str) -> str:
    """A distribution's name as it stands in file names."""
    return name.replace("-", "_")


def pack(folder: Path, name: str, version: str, members: Mapping[str, bytes], text: str) -> Path:
    """Writes one wheel with these members and this METADATA; returns its path."""
    base = f"{module(name)}-{version}"
    info = f"{base}.dist-info"
    said = f"Wheel-Version: 1.0\nGenerator: modelzoo\nRoot-Is-Purelib: true\nTag: {TAG}\n"
    files = {**members, f"{info}/METADATA": text.encode(), f"{info}/WHEEL": said.encode()}
    record = "".join(f"{path},sha256={digest(data)},{len(data)}\n" for path, data in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    target = folder / f"{base}-{TAG}.whl"
    with atomic_write(target) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for path, data in files.items():
            member = zipfile.ZipInfo(path, DATE)
            member.external_attr, member.create_system = MODE << 16, UNIX
            archive.writestr(member, data, zipfile.ZIP_STORED)
    return target


def digest(data: bytes) -> str:
    """A sha256 as RECORD has it."""
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def metadata(entry: Entry, provenance: Mapping[str, object], name: str, version: str, said: str) -> str:
    """METADATA: what the file is, its license, where it comes from."""
    license_ = entry.licenses.weights or UNKNOWN
    warning = weights.stated_warning(provenance)
    facts = [
        f"Weights of the model `{entry.key}` for [modelzoo](https://pypi.org/project/modelzoo-keras/){said}.",
        "The wheel holds data and no code. It needs no installation: modelzoo reads it from the index.",
        f"License of the weights: {license_}. License of the code: {entry.licenses.code or UNKNOWN}. "
        f"License of the training data: {entry.licenses.data or UNKNOWN}.",
        *([f"Warning: {' '.join(warning.split())}."] if warning else []),
        *([f"Paper: {entry.paper}"] if entry.paper else []),
        "Provenance:",
        f"```json\n{json.dumps(provenance, indent=2, sort_keys=True)}\n```",
    ]
    head = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        f"Summary: Weights of {entry.key} for modelzoo{said}",
        f"License: {license_}",
        "Keywords: modelzoo,weights",
        "Description-Content-Type: text/markdown",
    ]
    return "\n".join(head) + "\n\n" + "\n\n".join(facts) + "\n"


def write_half(file: Path, entry: Entry, target: Path) -> float:
    """Writes the weight file with kernels in float16; returns the relative L2 error of the logits.

    Biases and the statistics of batch norms stay as they are: they are few, and small variances matter. The
    worst error over the inputs of the golden is measured, and a bound of it goes into the provenance. Raises
    WeightsMismatch where a value is too large for float16.
    """
    provenance = weights.provenance(file)
    stored = {"stored_as": "float16, biases and statistics as they were"}
    weights.write(target, halved(file), provenance | stored)
    before, after = (comparison.outputs(entry, path) for path in (file, target))
    error = max(comparison.relative(after[name], before[name]) for name in before if name.endswith("/logits"))
    bound = {"float16_logits_error_below": bound_of(error)}
    weights.write(target, halved(file), provenance | stored | bound)
    return error


def halved(file: Path) -> Iterator[tuple[str, np.ndarray]]:
    """The file's weights, kernels in float16."""
    for path, array in weights.read(file):
        with np.errstate(over="ignore"):  # what becomes infinite is refused when it is written
            yield path, array.astype(np.float16) if array.ndim > 1 else array


def bound_of(error: float) -> float:
    """The error rounded up to one digit: the same on machines whose last bits differ."""
    if error == 0:
        return 0.0
    unit = 10.0 ** math.floor(math.log10(error))
    return float(f"{math.ceil(error / unit) * unit:.0e}")
