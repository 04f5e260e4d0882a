"""Valid files become hostile ones: numbers too large, parts lost, doubled or moved."""

from __future__ import annotations

from random import Random

NUMBERS = (0, 1, -1, 7, 2**7, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**64 - 1)
WIDTHS = (1, 2, 4, 8)  # bytes
LONGEST_SPAN = 64  # bytes


def mutate(content: bytes, random: Random) -> bytes:
    """The content with one to eight changes."""
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        random.choice(MUTATIONS)(data, random)
    return bytes(data)


def _flip(data: bytearray, random: Random) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _number(data: bytearray, random: Random) -> None:
    """A number of any width becomes one that breaks sums, or the file's own length, or a neighbour."""
    width, order = random.choice(WIDTHS), random.choice(("little", "big"))
    if len(data) < width:
        return
    at = random.randrange(len(data) - width + 1)
    old = int.from_bytes(data[at : at + width], order)
    new = random.choice((*NUMBERS, len(data), len(data) - at, old + 1, old - 1, old * 2, old << 8))
    data[at : at + width] = (new % (1 << 8 * width)).to_bytes(width, order)


def _varint(data: bytearray, random: Random) -> None:
    """A protocol buffer's number, of up to ten bytes."""
    if data:
        at, number = random.randrange(len(data)), random.choice(NUMBERS) % 2**64
        data[at : at + 1] = varint(number)


def varint(number: int) -> bytes:
    groups = [number >> shift & 0x7F for shift in range(0, max(number.bit_length(), 1), 7)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])


def _span(data: bytearray, random: Random) -> slice:
    start = random.randrange(len(data) + 1)
    return slice(start, start + random.randrange(LONGEST_SPAN))


def _delete(data: bytearray, random: Random) -> None:
    del data[_span(data, random)]


def _double(data: bytearray, random: Random) -> None:
    span = _span(data, random)
    data[span.start : span.start] = data[span] * random.choice((1, 1, 2, 50))


def _copy(data: bytearray, random: Random) -> None:
    source, target = data[_span(data, random)], random.randrange(len(data) + 1)
    data[target : target + len(source)] = source


def _insert(data: bytearray, random: Random) -> None:
    at = random.randrange(len(data) + 1)
    data[at:at] = random.randbytes(random.randrange(16))


def _cut(data: bytearray, random: Random) -> None:
    del data[random.randrange(len(data) + 1) :]


MUTATIONS = (_flip, _flip, _number, _number, _number, _varint, _delete, _double, _copy, _insert, _cut)
