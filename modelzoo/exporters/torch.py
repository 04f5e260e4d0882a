"""Graph and arrays -> a .pt2 file: a program of torch.export, which PyTorch runs without modelzoo."""

from __future__ import annotations

import zipfile
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

from modelzoo.exporters.options import Arrays, Options, Texts
from modelzoo.exporters.samples import DEFAULT_SIDE, another_size
from modelzoo.graph import Graph, Shape
from modelzoo.graph.passes import fold_batch_norms_lazily, fold_padding

FOLDER = "extra/modelzoo/"  # of the archive, below its own folder: what torch.export calls extra files
LARGEST = 1 << 24  # bytes of a text
STAMP = (1980, 1, 1, 0, 0, 0)  # the earliest that an archive can hold
OBLIVIOUS = "backed_size_oblivious"  # an option that older PyTorch does not have
BATCH = 2  # images of the example; torch.export takes one for a batch that is always one


def write(path: Path, graph: Graph, arrays: Arrays, texts: Texts, options: Options) -> None:
    """Writes the program, for batches of any size, and images of any size where the graph's are open.

    It takes images as (batch, channels, height, width). "f16" keeps kernels and matrices in float16. Raises
    ValueError for what torch.export cannot trace.
    """
    from modelzoo.backends.torch import Network
    from modelzoo.backends.torch_import import torch

    lazily = arrays
    if options.fold:
        graph, lazily = fold_batch_norms_lazily(graph, arrays)
    graph, _ = fold_padding(graph, {})
    network = Network(graph, lazily, half=options.precision == "f16").eval()
    example = tuple(torch.zeros(_example(graph, shape)) for shape in graph.inputs.values())
    try:
        with torch.no_grad(), _one_as_any():
            program = torch.export.export(network, example, dynamic_shapes=(_open_axes(graph),), strict=False)
    except (RuntimeError, torch.export.ExportError, torch._dynamo.exc.UserError) as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"torch.export cannot trace it: {line}") from error
    torch.export.save(program, path, extra_files={f"modelzoo/{name}": text for name, text in texts.items()})


def _one_as_any() -> AbstractContextManager[object]:
    """While it lasts a side of one pixel, of a map within, is traced as any other.

    Else the program is for that one alone, or for all but it: VGG's last map at 224 pixels has one.
    """
    config: Any = import_module("torch.fx.experimental._config")
    return config.patch({OBLIVIOUS: True}) if hasattr(config, OBLIVIOUS) else nullcontext()


def _example(graph: Graph, shape: Shape) -> tuple[int, ...]:
    """The shape of an input of two images, of sides that differ where they are open."""
    sides = next(iter(another_size(graph, (DEFAULT_SIDE, DEFAULT_SIDE))), (DEFAULT_SIDE, DEFAULT_SIDE))
    if len(shape) != 4:
        return (BATCH, *(side or DEFAULT_SIDE for side in shape[1:]))
    height, width = (side or other for side, other in zip(shape[1:3], sides, strict=True))
    return BATCH, shape[3] or 1, height, width


def _open_axes(graph: Graph) -> tuple[dict[int, Any], ...]:
    """Of each input the axes that are open, as torch.export takes them."""
    from modelzoo.backends.torch_import import torch

    orders = ((0, 3, 1, 2) if len(shape) == 4 else range(len(shape)) for shape in graph.inputs.values())
    return tuple(
        {place: torch.export.Dim.DYNAMIC for place, axis in enumerate(order) if shape[axis] is None}
        for order, shape in zip(orders, graph.inputs.values(), strict=True)
    )


def add_text(path: Path, name: str, text: str) -> None:
    """Adds a text to the archive, in the folder of its other members."""
    with zipfile.ZipFile(path, "a") as archive:
        root = archive.namelist()[0].partition("/")[0]
        archive.writestr(zipfile.ZipInfo(f"{root}/{FOLDER}{name}", STAMP), text)


def read_texts(path: Path) -> dict[str, str]:
    """The metadata: texts of the archive, in which nothing is unpickled or run.

    Raises OSError, and ValueError for a file that is no archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = {info.filename.partition("/")[2]: info for info in archive.infolist()}
            members = {name[len(FOLDER) :]: info for name, info in found.items() if name.startswith(FOLDER)}
            if any(info.file_size > LARGEST for info in members.values()):
                raise ValueError("its metadata is too large")
            return {name: archive.read(info).decode() for name, info in members.items()}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ValueError("it is not an archive that can be read") from error
