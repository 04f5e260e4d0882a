"""Core ML's model files (.mlmodel, in a package): the texts of their metadata.

Fields as in https://github.com/apple/coremltools/tree/main/mlmodel/format (Model.proto): a Model has a
specificationVersion (1) and a description (2); that has metadata (100); that has userDefined (100), a map.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from modelzoo.formats.protobuf import field, fields

VERSION, DESCRIPTION, METADATA, USER_DEFINED = 1, 2, 100, 100
KEY, VALUE = 1, 2


def metadata_bytes(texts: Mapping[str, str]) -> bytes:
    """What adds texts to a model file where it ends: of a message that comes twice, both count."""
    pairs = b"".join(
        field(USER_DEFINED, field(KEY, name.encode()) + field(VALUE, text.encode()))
        for name, text in texts.items()
    )
    return field(DESCRIPTION, field(METADATA, pairs))


def read_metadata(data: bytes) -> dict[str, str]:
    """The texts. Raises ValueError for what is no model file."""
    if not any(number == VERSION and isinstance(value, int) for number, value in fields(data)):
        raise ValueError("it has no version")
    found: dict[str, str] = {}
    for description in _messages(data, DESCRIPTION):
        for metadata in _messages(description, METADATA):
            for pair in _messages(metadata, USER_DEFINED):
                parts = {number: bytes(part) for number in (KEY, VALUE) for part in _messages(pair, number)}
                found[parts.get(KEY, b"").decode()] = parts.get(VALUE, b"").decode()
    return found


def _messages(data: bytes | memoryview, number: int) -> Iterator[memoryview]:
    """The contents of the fields of this number that have a length."""
    for found, value in fields(data):
        if found == number and not isinstance(value, int):
            yield value
