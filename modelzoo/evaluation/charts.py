"""The confusion matrix, the reliability diagram and a training's curves as SVG, small: written by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape

from modelzoo.errors import readable
from modelzoo.evaluation.figures import Bin, Confusion

RIGHT, WRONG, INK, GRID = "#2a6f97", "#c8553d", "#333333", "#d9d9d9"
NAMED = 60  # classes, up to which a matrix has their names beside it
CELL, SMALLEST, WIDEST = 22, 2, 900  # pixels of a cell, and of a matrix of many
LETTER, LINE = 6.2, 11  # pixels of a letter's width and of a font
SIDE = 360  # pixels of the reliability diagram
WIDE = 560  # of the curves
LINES = (RIGHT, WRONG, "#6a994e", "#7b2cbf")
MARGIN = 56
SMALL = ('font-size="8" text-anchor="middle"', 'font-size="8" text-anchor="middle" fill="white"')


def confusion_svg(confusions: Iterable[Confusion], names: Mapping[str, str], title: str) -> str:
    """A heat map: each row a class, each cell the part of its images that is taken for the column's class.

    `names` are the classes' names by id, in the order of rows and columns. Cells without images are left out.
    """
    found = list(confusions)
    places = {identifier: place for place, identifier in enumerate(names)}
    shown = [readable(name) for name in names.values()]
    named = len(shown) <= NAMED
    side = CELL if named else max(SMALLEST, WIDEST // len(shown))
    left = MARGIN + (max(map(len, shown)) * LETTER if named else 0)
    extent = side * len(shown)
    totals: Counter[str] = Counter()
    for confusion in found:
        totals[confusion.truth] += confusion.images
    order = "rows: the class; columns: what its images are taken for, in the same order"
    body = [_text(MARGIN, 20, title), _text(MARGIN, 38, order), _frame(left, MARGIN, extent, extent)]
    for confusion in found:
        row, column = places[confusion.truth], places[confusion.predicted]
        tip = f"{shown[row]} taken for {shown[column]}: {confusion.images} of {totals[confusion.truth]}"
        part = (confusion.images / totals[confusion.truth]) ** 0.5  # so that rare mistakes are seen
        style = f'fill="{RIGHT if row == column else WRONG}" fill-opacity="{part:.3f}"'
        x, y = left + side * column, MARGIN + side * row
        body.append(_rect(x, y, side, side, style, tip))
        if named:
            body.append(_text(x + side / 2, y + side / 2 + 3, str(confusion.images), SMALL[row == column]))
    if named:
        body += _names(shown, left, side)
    width = max(left + extent, MARGIN + LETTER * max(len(title), len(order))) + MARGIN
    return _svg(width, extent + MARGIN + left, body)


def _names(shown: Sequence[str], left: float, side: float) -> Iterator[str]:
    bottom = MARGIN + side * len(shown) + LINE
    for place, name in enumerate(shown):
        middle = side * (place + 0.5) + LINE / 3
        yield _text(left - 6, MARGIN + middle, name, 'text-anchor="end"')
        x = left + middle
        yield _text(x, bottom, name, f'text-anchor="end" transform="rotate(-90 {x:.1f} {bottom:.1f})"')


def reliability_svg(bins: Sequence[Bin], title: str) -> str:
    """Bars of each bin's accuracy against its confidence; on the diagonal a model is calibrated."""
    width = SIDE / len(bins)
    body = [_text(MARGIN, 20, title), _frame(MARGIN, MARGIN, SIDE, SIDE)]
    for place, found in enumerate(bins):
        if found.accuracy is None or found.confidence is None:
            continue
        x, height = MARGIN + width * place, SIDE * found.accuracy
        tip = f"{found.images} images: confidence {found.confidence:.1%}, accuracy {found.accuracy:.1%}"
        style = f'fill="{RIGHT}" stroke="white"'
        body.append(_rect(x, MARGIN + SIDE - height, width, height, style, tip))
        y = MARGIN + SIDE * (1 - found.confidence)
        body.append(f'<path d="M{x:.1f} {y:.1f}h{width:.1f}" stroke="{WRONG}" stroke-width="3"/>')
    body.append(f'<path d="M{MARGIN} {MARGIN + SIDE}L{MARGIN + SIDE} {MARGIN}" stroke="{INK}"/>')
    for part in (0.0, 0.5, 1.0):
        body.append(_text(MARGIN + SIDE * part, MARGIN + SIDE + 16, f"{part:.0%}", 'text-anchor="middle"'))
        body.append(_text(MARGIN - 6, MARGIN + SIDE * (1 - part) + 4, f"{part:.0%}", 'text-anchor="end"'))
    body.append(_text(MARGIN, 2 * MARGIN + SIDE - 18, "across: probability of the first label"))
    body.append(_text(MARGIN, 2 * MARGIN + SIDE - 4, "bars: accuracy; red: mean probability"))
    return _svg(SIDE + 2 * MARGIN, SIDE + 2 * MARGIN + 4, body)


def curves_svg(curves: Mapping[str, Sequence[float]], title: str) -> str:
    """A line for each name, a point for each epoch; from 0 to the greatest value."""
    highest = max((value for values in curves.values() for value in values), default=0.0) or 1.0
    body = [_text(MARGIN, 20, title), _frame(MARGIN, MARGIN, WIDE, SIDE)]
    epochs = max(map(len, curves.values()), default=0)
    for place, (name, values) in enumerate(curves.items()):
        color = LINES[place % len(LINES)]
        points = [
            (MARGIN + WIDE * (n + 1) / epochs, MARGIN + SIDE * (1 - value / highest))
            for n, value in enumerate(values)
        ]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        body.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"/>')
        for (x, y), value in zip(points, values, strict=True):
            tip = f"<title>{escape(f'{name}: {value:.4f}')}</title>"
            body.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}">{tip}</circle>')
        body.append(_text(MARGIN + WIDE + 10, MARGIN + 14 * (place + 1), name, f'style="fill:{color}"'))
    for part in (0.0, 0.5, 1.0):
        y = MARGIN + SIDE * (1 - part) + 4
        body.append(_text(MARGIN - 6, y, f"{highest * part:.2f}", 'text-anchor="end"'))
    body.append(_text(MARGIN, MARGIN + SIDE + 16, f"across: epochs 1 to {epochs}"))
    return _svg(WIDE + 4 * MARGIN, SIDE + 2 * MARGIN, body)


def _rect(x: float, y: float, width: float, height: float, style: str, tip: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f"<rect {place} {style}><title>{escape(tip)}</title></rect>"


def _frame(x: float, y: float, width: float, height: float) -> str:
    return f'<path d="M{x:.1f} {y}h{width}v{height}h-{width}z" fill="none" stroke="{GRID}"/>'


def _text(x: float, y: float, text: str, style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'


def _svg(width: float, height: float, body: Iterable[str]) -> str:
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    font = f'font-family="Helvetica, Arial, sans-serif" font-size="{LINE}" fill="{INK}"'
    return "\n".join((f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>', *body, "</svg>", ""))
