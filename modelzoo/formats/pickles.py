"""The values of a pickle that holds plain data, read by carrying out the few instructions it may have.

A pickle is a program: Python's own unpickler calls whatever it names. Here a name only means something
if the caller gave it a meaning, nothing is imported, and every instruction but those below is refused. An
instruction makes at most one object, so their number bounds the memory and the time.

The instructions are described in Lib/pickletools.py of CPython.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from modelzoo.errors import quoted

MAX_STEPS = 5_000_000  # instructions of one pickle; a state dict of 100,000 tensors has about 4,000,000
MAX_TEXT = 2**20  # bytes of one text
SHORT = 2**10  # bytes of a text that is no content of an array
MAX_LINE = 512  # bytes of a module or of a name in it
MODULE = "module"  # in torch's older files, before the class and the text of a module

Meaning = Callable[..., Any]  # what a global stands for, called with the arguments that the pickle gives it


class RefusedPickle(ValueError):
    """A pickle that is damaged, or that wants more than plain data."""


@dataclass(frozen=True)
class PlainObject:
    """The meaning of a class whose objects are only made and given attributes, which are left out."""

    make: Meaning


class Reader:
    """A part of a file, from where it stands up to `end`."""

    def __init__(self, file: BinaryIO, end: int | None = None):
        self._file = file
        self.offset = file.tell()
        self.end = os.fstat(file.fileno()).st_size if end is None else end

    def take(self, count: int) -> bytes:
        """The next bytes; raises RefusedPickle if there are fewer."""
        if not 0 <= count <= self.end - self.offset:
            raise RefusedPickle(f"expected {count} bytes more, got {self.end - self.offset}")
        self.offset += count
        return self._file.read(count)

    def number(self, format: str) -> Any:
        return struct.unpack("<" + format, self.take(struct.calcsize("<" + format)))[0]

    def skip(self, count: int) -> int:
        """The offset of the next bytes, which are passed by."""
        if not 0 <= count <= self.end - self.offset:
            raise RefusedPickle(f"expected {count} bytes of values, got {self.end - self.offset}")
        self.offset += count
        self._file.seek(self.offset)
        return self.offset - count

    def text(self, count: int, encoding: str = "utf-8") -> str:
        if count > MAX_TEXT:
            raise RefusedPickle(f"expected texts of at most {MAX_TEXT} bytes, got {count}")
        try:
            return self.take(count).decode(encoding)
        except UnicodeDecodeError as error:
            raise RefusedPickle(f"a text is not {encoding}") from error

    def line(self) -> str:
        """Up to a line feed, which is left out."""
        found = self._file.readline(min(MAX_LINE, self.end - self.offset))
        self.offset += len(found)
        if not found.endswith(b"\n"):
            raise RefusedPickle(f"expected a name of at most {MAX_LINE} bytes and the end of its line")
        return found[:-1].decode("utf-8", errors="backslashreplace")


@dataclass(frozen=True)
class Content:
    """Bytes in a file, read when they are asked for; those of a text are its characters in UTF-8."""

    offset: int
    length: int
    is_text: bool = False

    def read(self, file: BinaryIO) -> bytes:
        """The bytes; raises RefusedPickle for a text with a character beyond one byte."""
        file.seek(self.offset)
        found = file.read(self.length)
        if not self.is_text:
            return found
        try:
            return found.decode().encode("latin-1")
        except UnicodeError as error:
            raise RefusedPickle("bytes that are written as a text have other characters") from error


class Built:
    """The base of what a meaning makes, if the pickle may state more of it afterwards."""

    def set_state(self, state: Any) -> None:
        """Takes what the pickle states; raises RefusedPickle for anything else than expected."""
        raise NotImplementedError


def read_pickle(
    reader: Reader, meanings: Mapping[str, Meaning], persistent: Meaning, *, arrays: bool = False
) -> Any:
    """The value of the pickle that begins here: dicts, lists, tuples, text, numbers, what `meanings` give.

    `meanings` are by "module.name"; `persistent` makes a value of what the pickle says lies elsewhere. With
    `arrays` it may be of protocol 3, and its bytes and long texts are given as Content. Raises RefusedPickle,
    also for a global without a meaning.
    """
    return _Machine(
        reader, meanings, persistent, {**INSTRUCTIONS, **OF_ARRAYS} if arrays else INSTRUCTIONS
    ).run()


class _Machine:
    """A stack of values and a memo of those that are used again."""

    def __init__(
        self, reader: Reader, meanings: Mapping[str, Meaning], persistent: Meaning, known: Instructions
    ):
        self._reader = reader
        self._known = known
        self._meanings = meanings
        self._persistent = persistent
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        for _ in range(MAX_STEPS):
            code = self._reader.take(1)
            if code == b".":
                return self._pop()
            if code not in self._known:
                raise RefusedPickle(f"it has the instruction {quoted(code)}, which plain data does not need")
            self._known[code](self)
        raise RefusedPickle(f"it has more than {MAX_STEPS} instructions")

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise RefusedPickle("it takes a value that it never made")
        return self._stack.pop()

    def _top(self, kind: type, what: str) -> Any:
        value = self._pop()
        if not isinstance(value, kind):
            raise RefusedPickle(f"expected {what}, got {type(value).__name__}")
        self._push(value)
        return value

    def _pop_to_mark(self) -> list[Any]:
        if not self._marks:
            raise RefusedPickle("it ends a list that it never began")
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def mark(self) -> None:
        self._marks.append(len(self._stack))

    def protocol(self) -> None:
        version = self._reader.number("B")
        newest = 2 if self._known is INSTRUCTIONS else 3
        if version > newest:
            raise RefusedPickle(f"expected a pickle of protocol {newest}, got {version}")

    def global_(self) -> None:
        name = f"{self._reader.line()}.{self._reader.line()}"
        if name not in self._meanings:
            whole = not self._stack or self._stack == [MODULE]
            what = "is a whole object of the Python class" if whole else "asks for the Python object"
            raise RefusedPickle(
                f"it {what} {quoted(name)}, and nothing is executed here: "
                "save what model.state_dict() returns, and nothing else"
            )
        self._push(self._meanings[name])

    def reduce(self) -> None:
        arguments, meaning = self._pop(), self._pop()
        if not isinstance(arguments, tuple) or not callable(meaning):
            raise RefusedPickle("it calls something that is no function")
        self._push(meaning(*arguments))

    def new(self) -> None:
        arguments, meaning = self._pop(), self._pop()
        if not isinstance(arguments, tuple) or not isinstance(meaning, PlainObject):
            raise RefusedPickle("it makes an object of something that is no class of plain data")
        self._push(meaning.make(*arguments))

    def build(self) -> None:
        """An attribute of a state dict, `_metadata`: which version of each layer wrote it."""
        state = self._pop()
        value = self._pop()
        self._push(value)
        if isinstance(value, Built):
            value.set_state(state)
        elif not isinstance(value, dict):
            raise RefusedPickle(f"expected attributes of a dict, got those of {type(value).__name__}")

    def persistent(self) -> None:
        self._push(self._persistent(self._pop()))

    def set_item(self) -> None:
        value, key = self._pop(), self._pop()
        self._set([key, value])

    def set_items(self) -> None:
        self._set(self._pop_to_mark())

    def _set(self, flat: list[Any]) -> None:
        target = self._top(dict, "a dict")
        if len(flat) % 2:
            raise RefusedPickle("a dict has a key without a value")
        target.update(checked_pairs(zip(flat[::2], flat[1::2], strict=True)))

    def append(self) -> None:
        value = self._pop()
        self._top(list, "a list").append(value)

    def appends(self) -> None:
        values = self._pop_to_mark()
        self._top(list, "a list").extend(values)

    def make_tuple(self, length: int) -> None:
        values = [self._pop() for _ in range(length)]
        self._push(tuple(reversed(values)))

    def put(self, format: str) -> None:
        value = self._pop()
        self._memo[self._reader.number(format)] = value
        self._push(value)

    def get(self, format: str) -> None:
        number = self._reader.number(format)
        if number not in self._memo:
            raise RefusedPickle(f"it uses value {number} again, which it never made")
        self._push(self._memo[number])

    def number(self, format: str) -> None:
        self._push(self._reader.number(format))

    def real(self) -> None:
        self._push(struct.unpack(">d", self._reader.take(8))[0])

    def long(self) -> None:
        self._push(int.from_bytes(self._reader.take(self._reader.number("B")), "little", signed=True))

    def text(self, format: str, encoding: str = "utf-8") -> None:
        self._push(self._reader.text(self._reader.number(format), encoding))

    def content(self, format: str, *, is_text: bool = False) -> None:
        """Bytes, or a text that may be long, which stay in the file."""
        length = self._reader.number(format)
        if is_text and length <= SHORT:
            self._push(self._reader.text(length))
        else:
            self._push(Content(self._reader.skip(length), length, is_text))

    def old_text(self, format: str) -> None:
        """What Python 2 called a string: a text where it is short and ASCII, and else bytes."""
        length = self._reader.number(format)
        start = self._reader.offset
        found = self._reader.take(length) if length <= SHORT else b"\xff"
        if found.isascii():
            self._push(found.decode("ascii"))
        else:
            if length > SHORT:
                self._reader.skip(length)
            self._push(Content(start, length))

    def constant(self, make: Callable[[], Any]) -> None:
        self._push(make())

    def tuple_to_mark(self) -> None:
        self._push(tuple(self._pop_to_mark()))


def checked_pairs(pairs: Any) -> dict[str | int, Any]:
    """The dict of these pairs; raises RefusedPickle for a key that is neither text nor a whole number.

    The hash of a tuple of tuples could take forever.
    """
    result: dict[str | int, Any] = {}
    for key, value in pairs:
        if not isinstance(key, (str, int)):
            raise RefusedPickle(f"expected texts or numbers as keys, got {type(key).__name__}")
        result[key] = value
    return result


Instructions = Mapping[bytes, Callable[[_Machine], None]]
INSTRUCTIONS: Instructions = {
    b"\x80": _Machine.protocol,
    b"(": _Machine.mark,
    b"c": _Machine.global_,
    b"R": _Machine.reduce,
    b"\x81": _Machine.new,
    b"b": _Machine.build,
    b"Q": _Machine.persistent,
    b"s": _Machine.set_item,
    b"u": _Machine.set_items,
    b"a": _Machine.append,
    b"e": _Machine.appends,
    b"t": _Machine.tuple_to_mark,
    b")": lambda machine: machine.make_tuple(0),
    b"\x85": lambda machine: machine.make_tuple(1),
    b"\x86": lambda machine: machine.make_tuple(2),
    b"\x87": lambda machine: machine.make_tuple(3),
    b"q": lambda machine: machine.put("B"),
    b"r": lambda machine: machine.put("I"),
    b"h": lambda machine: machine.get("B"),
    b"j": lambda machine: machine.get("I"),
    b"K": lambda machine: machine.number("B"),
    b"M": lambda machine: machine.number("H"),
    b"J": lambda machine: machine.number("i"),
    b"G": _Machine.real,
    b"\x8a": _Machine.long,
    b"X": lambda machine: machine.text("I"),
    b"U": lambda machine: machine.text("B", "ascii"),  # of Python 2
    b"N": lambda machine: machine.constant(lambda: None),
    b"\x88": lambda machine: machine.constant(lambda: True),
    b"\x89": lambda machine: machine.constant(lambda: False),
    b"}": lambda machine: machine.constant(dict),
    b"]": lambda machine: machine.constant(list),
}
OF_ARRAYS: Instructions = {  # NumPy's: bytes, of any length, and texts in place of bytes
    b"B": lambda machine: machine.content("I"),
    b"C": lambda machine: machine.content("B"),
    b"X": lambda machine: machine.content("I", is_text=True),
    b"T": lambda machine: machine.old_text("I"),
    b"U": lambda machine: machine.old_text("B"),
}
