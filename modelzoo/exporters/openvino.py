"""Graph and arrays -> OpenVINO's files: NAME.xml, the network, and NAME.bin, its weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from modelzoo.backends import openvino as backend
from modelzoo.backends.openvino_import import import_openvino
from modelzoo.exporters.options import Arrays, Options, Texts
from modelzoo.graph import Graph

if TYPE_CHECKING:
    import openvino as ov
else:
    ov = import_openvino()

SECTION = "modelzoo"  # of the network's rt_info


def write(path: Path, graph: Graph, arrays: Arrays, texts: Texts, options: Options) -> None:
    """Writes both files; "f16" keeps the weights in float16. Raises as backends.openvino.model does."""
    network = backend.model(graph, arrays)
    for name, text in texts.items():
        network.set_rt_info(text, [SECTION, name])
    ov.save_model(network, str(path), compress_to_fp16=options.precision == "f16")


def add_text(path: Path, name: str, text: str) -> None:
    """Adds a text to the metadata; the weights stay as they are."""
    content = path.read_text("utf-8")
    end = f"</{SECTION}>"
    if content.count(end) != 1:
        raise ValueError(f"Expected one section {SECTION} in {path}, got {content.count(end)}.")
    path.write_text(content.replace(end, f"<{name} value={quoteattr(text)} />{end}"), "utf-8")


def read_texts(path: Path) -> dict[str, str]:
    """The metadata. Raises OSError, and ValueError for a file that is not OpenVINO's."""
    found: dict[str, str] = {}
    above: list[str] = []  # the elements that are open
    try:
        for event, element in ElementTree.iterparse(path, ("start", "end")):
            if event == "start":
                above.append(element.tag)
                continue
            above.pop()
            if above[1:] == ["rt_info", SECTION] and "value" in element.attrib:
                found[element.tag] = element.attrib["value"]
            element.clear()
    except ElementTree.ParseError as error:
        raise ValueError("it is not XML") from error
    return found
