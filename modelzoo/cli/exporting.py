"""export and inspect: files for other runtimes, and what they say of themselves."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from modelzoo.cli.arguments import add_command, add_file, add_model
from modelzoo.cli.printing import print_card, print_json, say
from modelzoo.errors import readable

if TYPE_CHECKING:
    from modelzoo.exporters import Comparison, Exported, Inspection

PRECISIONS = ("f32", "f16")
# As modelzoo.exporters lists them, which imports NumPy.
FORMATS = (
    *("onnx", "openvino", "keras", "litert", "python", "torch", "safetensors", "saved_model", "coreml"),
    *("tf_checkpoint", "mxnet", "caffe", "darknet", "keras_h5", "ir"),
)
RETIRED = ("cntk",)
ENDINGS = (
    ".onnx, .xml, .keras, .tflite, .py, .pt2, .safetensors, .mlpackage, .index (checkpoint), .params, "
    ".caffemodel, .weights, .h5 or .pb (MMdnn's)"
)


def add_commands(commands: Any) -> None:
    help_ = "writes a model for another runtime, which must answer as the model does before the file is there"
    command = add_command(commands, "export", _export, help_)
    add_model(command, "model", help="a name, a modelzoo weight file, or a network's file")
    command.add_argument(
        "--to",
        choices=(*FORMATS, *RETIRED),
        metavar="FORMAT",
        help=f"{', '.join(FORMATS)}; default: the file's ending",
    )
    add_file(
        command,
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help=f"{ENDINGS}; of a SavedModel a folder",
    )
    add_file(command, "-w", "--weights", default="pretrained", help="a weight file instead")
    help_ = "f16: half of the bytes; computed with in f32"
    command.add_argument("--precision", choices=PRECISIONS, default="f32", help=help_)
    help_ = "Core ML: take images, one at a time, instead of prepared values"
    command.add_argument("--image-input", action="store_true", help=help_)
    help_ = "of ONNX's operators, 17 or 9 (for CNTK's last release); default: 17"
    command.add_argument("--opset", type=int, help=help_)
    help_ = "leave a file that does not answer as the model does, for a look at it"
    command.add_argument("--keep", action="store_true", help=help_)

    help_ = "the interpreter of another environment, which has the format's runtime, to prove the file there"
    add_file(command, "--python", metavar="PYTHON", help=help_)

    _add_rescue(commands)

    command = add_command(commands, "inspect", _inspect, "what an exported file says of itself")
    add_file(command, "file", type=Path)


def _add_rescue(commands: Any) -> None:
    help_ = "an old Keras model -> a .keras file that opens in Keras 3, or any format of export"
    command = add_command(commands, "rescue", _rescue, help_)
    add_file(command, "file", type=Path, help="a model of Keras 1, 2 or 3, or its weights alone")
    help_ = "the JSON of the model whose weights alone FILE holds"
    add_file(command, "--architecture", type=Path, metavar="JSON", help=help_)
    add_file(command, "-o", "--output", type=Path, required=True, metavar="FILE", help="as of export")
    help_ = "leave a file that does not answer as the model does, for a look at it"
    command.add_argument("--keep", action="store_true", help=help_)


def _export(options: argparse.Namespace) -> int:
    from modelzoo.tasks.exporting import export

    found = export(
        options.model,
        options.output,
        format=options.to,
        weights=options.weights,
        precision=options.precision,
        image_input=options.image_input,
        opset=options.opset,
        keep=options.keep,
        python=options.python,
    )
    show_exported(found, json=options.json)
    return 0


def _rescue(options: argparse.Namespace) -> int:
    from modelzoo.errors import ConversionError
    from modelzoo.importers import reader_of
    from modelzoo.tasks.exporting import export

    if not options.file.is_file():
        raise ConversionError(f"There is no file {readable(str(options.file))}.")
    reader_of(options.file)  # which says what is read; export's own advice is of weights for a name
    found = export(options.file, options.output, architecture=options.architecture, keep=options.keep)
    show_exported(found, json=options.json)
    return 0


def show_exported(found: Exported, *, json: bool) -> None:
    """Prints what was written, and its proof."""
    if json:
        from modelzoo.images import encodable

        print_json({**dataclasses.asdict(found), "path": encodable(str(found.path))})
    else:
        _print_exported(found)


def _print_exported(found: Exported) -> None:
    say(f"{found.path}: {found.bytes:,} bytes, written in {found.seconds:.2f} s")
    proof = found.proof
    if proof.checked:
        say(f"checked in {found.proof_seconds:.1f} s, {proof.runtime}: {proof.checked}")
        return
    say(f"proven in {found.proof_seconds:.1f} s: {proof.runtime} beside {proof.reference}")
    if proof.images:
        say(f"  {proof.images}")
    for comparison in proof.comparisons:
        say(f"  {_sizes(comparison)}: {comparison}")


def _sizes(comparison: Comparison) -> str:
    return ", ".join("x".join(map(str, shape[1:-1] or shape[1:])) or "files" for shape in comparison.inputs)


def _inspect(options: argparse.Namespace) -> int:
    from modelzoo.exporters import inspect
    from modelzoo.images import encodable

    found = inspect(options.file)
    if options.json:
        facts = {"path": encodable(str(found.path)), "format": found.format.name, "proof": found.proof}
        print_json(facts | dataclasses.asdict(found.metadata))
    else:
        print_card(readable(str(options.file)), _facts(found))
    return 0


def _facts(found: Inspection) -> Iterator[tuple[str, str]]:
    """The card of a file; what is unknown is said to be unknown."""
    metadata = found.metadata
    yield "format", f"{found.format.title}, {metadata.precision}"
    yield "model", f"{metadata.name}, exported by modelzoo {metadata.modelzoo}"
    yield "task", metadata.task or "unknown"
    yield "input", "x".join(map(str, metadata.input_shape)) or "unknown"
    yield "preprocessing", _pairs(metadata.preprocessing) or "unknown"
    yield "labels", _labels(found)
    for name, value in metadata.license.items():
        yield f"license of {name}", str(value or "unknown")
    for name, value in metadata.provenance.items():
        yield name, str(value)
    proof = found.proof
    if proof.get("checked"):
        yield "proof", f"{proof.get('runtime')}: {proof['checked']}"
        return
    yield "proof", f"{proof.get('runtime', 'unknown')} beside {proof.get('reference', 'nothing')}"
    if proof.get("images"):
        yield "", str(proof["images"])
    for comparison in proof.get("comparisons", []):
        yield "", _compared(comparison)


def _labels(found: Inspection) -> str:
    labels = found.metadata.labels
    if not labels:
        return "unknown"
    return f"{len(labels):,} of {found.metadata.label_set or 'its own'}: {labels[0][1]}, ..."


def _pairs(facts: Mapping[str, Any] | None) -> str:
    return ", ".join(f"{name} {value}" for name, value in (facts or {}).items() if value is not None)


def _compared(comparison: Any) -> str:
    """A comparison as the file tells it, whoever wrote it."""
    if not isinstance(comparison, dict):
        return str(comparison)
    known = cast("dict[str, Any]", comparison)
    line = f"{known.get('output')} {known.get('shape')}: relative L2 {known.get('relative_l2')}"
    same = known.get("same_labels")
    return line if same is None else f"{line}, first label equal in {same}"
