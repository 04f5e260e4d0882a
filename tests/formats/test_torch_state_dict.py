"""torch state dicts: what is read, of both kinds of files, and what is refused."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from modelzoo.errors import ConversionError
from modelzoo.formats import FORMATS, archives, pickles, read_torch_state_dict, torch_state_dict
from modelzoo.formats.torch_writing import write_torch_state_dict
from tests.formats import torch_bytes
from tests.formats.torch_bytes import View

WRITTEN_BY_TORCH = Path(__file__).parent / "torch"
FLOATS = np.arange(20, dtype=np.float32)
TENSORS = {
    "permuted": np.arange(24, dtype=np.float32).reshape(3, 4, 2).transpose(2, 0, 1),
    "channels_last": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "part": FLOATS[3:9],
    "every_third": FLOATS[1::3],
    "count": np.array(7),
    "half": np.arange(3, dtype=np.float16),
    "bfloat16": np.arange(3, dtype=np.float32),
    "double": np.arange(3, dtype=np.float64),
    "parameter": np.arange(3, dtype=np.float32),
    "empty": np.empty((0, 3), np.float32),
    "flags": np.array([True, False]),
    "bytes": np.uint8([1, 2]),
}
VALUES = np.arange(6, dtype=np.float32)
WHOLE = View(VALUES, 0, (2, 3), (3, 1))


@pytest.fixture
def written(tmp_path):
    """Writes bytes as a file; returns its path."""

    def write(content: bytes) -> Path:
        path = tmp_path / "net.pth"
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("kind", ["zip", "legacy"])
def test_what_torch_wrote_is_read_in_whatever_order_it_lies(kind):
    with read_torch_state_dict(WRITTEN_BY_TORCH / f"{kind}.pth") as tensors:
        assert list(tensors) == list(TENSORS)
        for name, array in TENSORS.items():
            assert (tensors[name].shape, tensors[name].dtype) == (array.shape, array.dtype)
            np.testing.assert_array_equal(tensors.read(name), array, strict=True)
            assert tensors.read(name).flags.c_contiguous


def test_of_a_checkpoint_the_state_dict_is_read_and_the_optimizer_is_not():
    with read_torch_state_dict(WRITTEN_BY_TORCH / "checkpoint.pth") as tensors:
        assert list(tensors) == ["weight", "bias"]
        np.testing.assert_array_equal(tensors.read("weight"), np.zeros((1, 2), np.float32), strict=True)


@pytest.mark.parametrize("keys", [("state_dict",), ("model",), ("model", "state_dict"), ("net", "module")])
def test_a_state_dict_is_found_where_training_programs_put_it(keys, written):
    value = torch_bytes.state({"w": torch_bytes.tensor("0", WHOLE)})
    for key in reversed(keys):
        value = torch_bytes.state({"epoch": torch_bytes.number(3), key: value})
    with read_torch_state_dict(written(torch_bytes.legacy(value, {"0": VALUES}))) as tensors:
        np.testing.assert_array_equal(tensors.read("w"), VALUES.reshape(2, 3), strict=True)


def test_tensors_that_share_a_storage_are_read_each_from_its_place(written):
    views = {"a": View(VALUES, 0, (3,), (1,)), "b": View(VALUES, 1, (2,), (2,)), "c": View(VALUES, 5, (), ())}
    items = {name: torch_bytes.tensor("7", view) for name, view in views.items()}
    with read_torch_state_dict(
        written(torch_bytes.legacy(torch_bytes.state(items), {"7": VALUES}))
    ) as tensors:
        assert [tensors.read(name).tolist() for name in views] == [[0, 1, 2], [1, 3], 5]


def test_a_torch_zip_is_a_weight_file_and_no_archive_to_unpack(tmp_path):
    path = WRITTEN_BY_TORCH / "zip.pth"
    with archives.unpacked(path) as unpacked:
        assert unpacked == path
    other = tmp_path / "net.zip"
    with zipfile.ZipFile(other, "w") as archive:
        archive.write(WRITTEN_BY_TORCH / "legacy.pth", "net/legacy.pth")
    with archives.unpacked(other) as unpacked, read_torch_state_dict(unpacked) as tensors:
        assert list(tensors) == list(TENSORS)


def test_nothing_that_a_file_names_is_executed():
    name = r"torch\.nn\.modules\.linear\.Linear"
    message = rf"is a whole object of the Python class '{name}', and nothing is executed here"
    with pytest.raises(ConversionError, match=rf"^[^\n]*module\.pth[^\n]*{message}[^\n]*\.$"):
        read_torch_state_dict(WRITTEN_BY_TORCH / "module.pth")


HOSTILE = {
    "a forbidden global": b"cos\nsystem\n(" + torch_bytes.text("true") + b"tR",
    "a global with a line feed missing": b"cos" + b"x" * 600,
    "a storage type that is called": b"ctorch\nFloatStorage\n)R",
    "a call of text": torch_bytes.text("os.system") + b")R",
    "an object that is made": b"ccollections\nOrderedDict\n)\x81",
    "a persistent id that is no storage": b"(" + torch_bytes.text("module") + b"tQ",
    "a key that is a tuple": b"}((t" + torch_bytes.number(1) + b"u",
    "a key without a value": b"}(" + torch_bytes.text("a") + b"u",
    "items of no dict": b"](" + torch_bytes.text("a") + torch_bytes.number(1) + b"u",
    "a mark that is not there": b"t",
    "a value that is not there": b"\x85",
    "a memo that is not there": b"h\x07",
    "a text longer than the file": b"X\xff\xff\xff\x7f",
    "a text that is not UTF-8": b"X\x01\x00\x00\x00\xff",
    "no dict": b"](" + torch_bytes.number(1) + b"e",
    "no tensors": torch_bytes.state({"epoch": torch_bytes.number(3)}),
    "no text as a name": b"}(" + torch_bytes.number(1) + torch_bytes.tensor("0", WHOLE) + b"u",
    "an empty name": torch_bytes.state({"": torch_bytes.tensor("0", WHOLE)}),
    "a dict in itself": b"}q\x00(" + torch_bytes.text("model") + b"h\x00u",
    "a view of another storage": torch_bytes.state(
        {"a": torch_bytes.tensor("0", WHOLE, view_of=b"(" + torch_bytes.text("0") + b"t")}
    ),
    "a storage of two sizes": torch_bytes.state(
        {"a": torch_bytes.tensor("0", WHOLE), "b": torch_bytes.tensor("0", WHOLE, count=7)}
    ),
    "a storage with other values than it says": torch_bytes.state(
        {"a": torch_bytes.tensor("0", WHOLE, count=7)}
    ),
    **{
        name: torch_bytes.state({"a": torch_bytes.tensor("0", View(VALUES, *place))})
        for name, place in {
            "a tensor that ends outside": (1, (2, 3), (3, 1)),
            "a tensor that strides outside": (0, (2, 3), (4, 1)),
            "a tensor that begins outside": (2**62, (1,), (1,)),
            "more values than the storage has": (0, (2**40, 2**20), (0, 0)),
            "a negative stride": (5, (6,), (-1,)),
            "a negative side": (0, (-1,), (1,)),
            "fewer strides than sides": (0, (2, 3), (1,)),
            "more sides than an array can have": (0, (1,) * 40, (1,) * 40),
        }.items()
    },
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_pickle_that_is_no_state_dict_is_refused_in_one_sentence(name, written):
    path = written(torch_bytes.legacy(HOSTILE[name], {"0": VALUES}))
    with pytest.raises(
        ConversionError, match=r"^[^\n]*net\.pth cannot be read as a torch state dict: [^\n]*\.$"
    ):
        read_torch_state_dict(path)


DAMAGED = {
    "truncated in the values": lambda content: content[:-1],
    "truncated in a pickle": lambda content: content[:60],
    "nothing": lambda content: b"",
    "another magic number": lambda content: content[:4] + b"x" + content[5:],
    "big-endian": lambda content: torch_bytes.legacy(b"}", {}, little_endian=False),
    "protocol 4": lambda content: content[:1] + b"\x04" + content[2:],
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_of_the_old_kind_is_refused_in_one_sentence(name, written):
    path = written(DAMAGED[name](torch_bytes.legacy_of({"a": WHOLE})))
    with pytest.raises(
        ConversionError, match=r"^[^\n]*net\.pth cannot be read as a torch state dict: [^\n]*\.$"
    ):
        read_torch_state_dict(path)


def rezipped(path: Path, target: Path, change, method: int = zipfile.ZIP_STORED) -> Path:
    """The archive again; `change` gives the new name and content of a member, or None to leave it out."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", method) as new:
        for info in old.infolist():
            if (changed := change(info.filename, old.read(info))) is not None:
                new.writestr(*changed)
    return target


CHANGES = {
    "a storage is missing": lambda name, content: None if name.endswith("/0") else (name, content),
    "a storage is shorter": lambda name, content: (name, content[:-4] if name.endswith("/0") else content),
    "big-endian": lambda name, content: (name, b"big" if name.endswith("byteorder") else content),
    "two pickles": lambda name, content: (name.replace("archive/version", "b/data.pkl"), content),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_zip_that_contradicts_itself_is_refused_in_one_sentence(name, tmp_path):
    write_torch_state_dict(tmp_path / "whole.pth", {"a": VALUES})
    path = rezipped(tmp_path / "whole.pth", tmp_path / "net.pth", CHANGES[name])
    with pytest.raises(
        ConversionError, match=r"^[^\n]*net\.pth cannot be read as a torch state dict: [^\n]*\.$"
    ):
        read_torch_state_dict(path)


def test_a_compressed_zip_is_refused_by_that_name(tmp_path):
    write_torch_state_dict(tmp_path / "whole.pth", {"a": VALUES})
    path = rezipped(tmp_path / "whole.pth", tmp_path / "net.pth", lambda *both: both, zipfile.ZIP_DEFLATED)
    with pytest.raises(ConversionError, match="is compressed or encrypted, which torch does not do"):
        read_torch_state_dict(path)


def test_a_truncated_zip_is_refused_in_one_sentence(written):
    content = (WRITTEN_BY_TORCH / "zip.pth").read_bytes()
    for length in (100, len(content) // 2, len(content) - 1):
        with pytest.raises(
            ConversionError, match=r"^[^\n]*net\.pth cannot be read as a torch state dict: [^\n]*\.$"
        ):
            read_torch_state_dict(written(content[:length]))


@pytest.mark.parametrize("limit", ["MAX_STEPS", "MAX_TENSORS"])
def test_what_would_take_too_long_is_refused(limit, written, monkeypatch):
    monkeypatch.setattr(pickles if limit == "MAX_STEPS" else torch_state_dict, limit, 10)
    path = written(torch_bytes.legacy_of({str(number): WHOLE for number in range(11)}))
    with pytest.raises(ConversionError, match=r"more than 10 instructions|at most 10 tensors, got 11"):
        read_torch_state_dict(path)


def test_values_that_overlap_in_memory_of_shared_tuples_take_no_time(written):
    """Tuples of tuples, each twice the one before: 2**60 values to whoever walks through them."""
    doubled = b"(t" + b"".join(b"q\x00h\x00\x86" for _ in range(60))
    value = torch_bytes.state({"a": torch_bytes.tensor("0", WHOLE), "b": doubled})
    with read_torch_state_dict(written(torch_bytes.legacy(value, {"0": VALUES}))) as tensors:
        assert list(tensors) == ["a"]


def test_a_file_that_became_shorter_says_so(written):
    path = written(torch_bytes.legacy_of({"a": View(VALUES, 0, (3, 2), (1, 3))}))
    with read_torch_state_dict(path) as tensors:
        path.write_bytes(path.read_bytes()[:-4])
        with pytest.raises(ConversionError, match="became shorter"):
            tensors.read("a")


def test_a_dtype_that_torch_does_not_have_is_not_written(tmp_path):
    with pytest.raises(ConversionError, match=re.escape("'a' cannot be written into a torch state dict")):
        write_torch_state_dict(tmp_path / "net.pth", {"a": np.uint32([1])})
    assert not list(tmp_path.iterdir())
    assert FORMATS["torch"].write is write_torch_state_dict
