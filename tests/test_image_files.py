"""Which files folders, lists and patterns mean, and what is said of the others."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modelzoo import bulk, cli, errors
from modelzoo.images import FORMATS, files, image_files, read_image
from tests.conftest import CAT, ROOT

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")


def write(*paths: Path) -> None:
    """An image at each path, whatever its ending says."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), 99, np.uint8)).save(path, "PNG")


def found(*sources: Path) -> tuple[list[str], dict[str, int]]:
    """The images of these sources, relative to the first, and what was skipped."""
    skipped: Counter[str] = Counter()
    paths = [Path(path).relative_to(sources[0]).as_posix() for path in image_files(*sources, skipped=skipped)]
    return paths, dict(skipped)


# Endings


def test_the_endings_are_those_that_pillow_knows_of_our_formats():
    Image.init()
    expected = {ending for ending, format in Image.registered_extensions().items() if format in FORMATS}
    assert list(files.ENDINGS) == sorted(files.ENDINGS)
    assert expected <= set(files.ENDINGS)
    missing = set(files.ENDINGS) - expected
    assert missing <= ({".avif", ".avifs"} if "AVIF" not in Image.OPEN else set())


@pytest.mark.parametrize("ending", files.ENDINGS)
def test_a_folder_gives_every_ending_that_can_be_read(ending, tmp_path):
    write(tmp_path / f"a{ending}", tmp_path / f"B{ending.upper()}")
    assert found(tmp_path) == ([f"B{ending.upper()}", f"a{ending}"], {})


# What is passed by


def test_what_is_no_image_is_skipped_and_counted(tmp_path):
    write(tmp_path / "a.jpg", tmp_path / "._a.jpg", tmp_path / ".ipynb_checkpoints" / "a-checkpoint.jpg")
    write(*(tmp_path / name / "a.jpg" for name in files.SYSTEM_FOLDERS))
    for name in (".DS_Store", "notes.md", "Thumbs.db"):
        (tmp_path / name).write_text("no image")
    images, skipped = found(tmp_path)
    assert images == ["a.jpg"]
    assert skipped == {"hidden": 3, "system folder": len(files.SYSTEM_FOLDERS), "other ending": 2}


def test_a_hidden_folder_that_is_named_is_gone_through(tmp_path):
    write(tmp_path / ".cache" / "a.jpg", tmp_path / "__MACOSX" / "a.jpg")
    assert len(list(image_files(tmp_path / ".cache", tmp_path / "__MACOSX"))) == 2


def test_a_pattern_skips_folders_of_systems_and_counts_folders(tmp_path):
    write(tmp_path / "a.jpg", tmp_path / "@eaDir" / "b.jpg", tmp_path / "c.jpg" / "d.jpg")
    skipped: Counter[str] = Counter()
    paths = list(image_files(tmp_path / "**" / "*.jpg", skipped=skipped))
    assert paths == [str(tmp_path / "a.jpg"), str(tmp_path / "c.jpg" / "d.jpg")]
    assert skipped == {"system folder": 1, "folder in a pattern": 1}


@posix
@pytest.mark.parametrize("at_top", [False, True])
def test_a_folder_without_permission_stops_nothing(at_top, tmp_path, monkeypatch, caplog):
    write(tmp_path / "a" / "a.jpg", tmp_path / "b" / "b.jpg", tmp_path / "c" / "c.jpg")
    scan, closed = os.scandir, tmp_path / "b"

    def refusing(path):  # not by its mode: tests may run as root
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    if at_top:
        with pytest.raises(errors.ImageError, match=r"cannot be read \(Permission denied\)"):
            found(closed)
        return
    with caplog.at_level(logging.WARNING, "modelzoo"):
        assert found(tmp_path) == (["a/a.jpg", "c/c.jpg"], {"folder without permission": 1})
    assert caplog.messages == [f"The folder {errors.readable(str(closed))} is skipped (Permission denied)."]


# Linked folders


@posix
def test_a_linked_folder_is_followed_once(tmp_path):
    write(tmp_path / "elsewhere" / "x" / "b.jpg", tmp_path / "top" / "a.jpg")
    for name in ("link", "link2"):
        (tmp_path / "top" / name).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "top" / "link3").symlink_to(tmp_path / "elsewhere" / "x")
    assert found(tmp_path / "top") == (["a.jpg", "link/x/b.jpg"], {files.LINKED: 2})


@posix
def test_links_in_circles_end(tmp_path):
    write(tmp_path / "top" / "a" / "a.jpg", tmp_path / "other" / "b.jpg")
    for link, target in (
        ("top/a/up", "top"),
        ("top/root", "."),
        ("top/other", "other"),
        ("other/back", "top"),
        ("other/self", "other"),
        ("top/nowhere", "top/nowhere"),
    ):
        (tmp_path / link).symlink_to(tmp_path / target)
    assert found(tmp_path / "top") == (["a/a.jpg", "other/b.jpg"], {files.LINKED: 4, "other ending": 1})


@posix
def test_a_pattern_gives_a_file_once_though_links_lead_to_it_in_circles(tmp_path):
    write(tmp_path / "a" / "a.jpg")
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a")
    skipped: Counter[str] = Counter()
    paths = list(image_files(tmp_path / "**" / "*.jpg", skipped=skipped))
    assert paths == [str(tmp_path / "a" / "a.jpg")]
    assert skipped[files.LINKED] > 0


# Lists


def test_a_list_with_a_byte_order_mark_keeps_its_first_line(tmp_path):
    (tmp_path / "list.txt").write_text("a.jpg\nb.jpg\n", "utf-8-sig")
    assert list(image_files(tmp_path / "list.txt")) == ["a.jpg", "b.jpg"]


# What is said


def test_the_commands_say_what_was_skipped(tmp_path, capsys):
    write(tmp_path / "in" / "a.jpg", tmp_path / "in" / ".b.jpg")
    (tmp_path / "in" / "notes.md").touch()
    line = "skipped 2: 1 hidden, 1 other ending"
    folder, output = str(tmp_path / "in"), str(tmp_path / "out.jsonl")
    assert cli.main(["classify", folder, "-o", output]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == line
    assert cli.main(["classify", folder, "-o", output, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["skipped"] == {"hidden": 1, "other ending": 1}
    assert cli.main(["classify", folder]) == 0
    assert capsys.readouterr().err == f"modelzoo: {line}\n"
    assert bulk.classify_files(folder, output).skipped == {"hidden": 1, "other ending": 1}


def test_a_folder_without_images_says_what_it_has(tmp_path):
    (tmp_path / "notes.md").touch()
    with pytest.raises(errors.ImageError, match=r"has no images \(skipped 1: 1 other ending\)\."):
        image_files(tmp_path)


# What is no regular file


@pytest.fixture(params=["pipe", "socket", "device"])
def odd(request, tmp_path) -> Path:
    """A folder with an image and a file of this kind that is named as an image is."""
    write(tmp_path / "in" / "a.png")
    path = tmp_path / "in" / "x.jpg"
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.path.relpath(path))
    else:
        path.symlink_to("/dev/zero")
    return tmp_path / "in"


@posix
def test_what_is_no_regular_file_gets_an_error_row(odd, tmp_path, request):
    kind = request.node.callspec.params["odd"]
    summary = bulk.classify_files([odd, odd / "*.jpg"], tmp_path / "out.jsonl")
    assert (summary.images, summary.failed) == (3, 2)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row.get("error", "").endswith(f"x.jpg is a {kind}; expected an image file.") for row in rows] == [
        False,
        True,
        True,
    ]


@posix
def test_what_is_no_regular_file_gets_an_error_line(odd, capsys):
    assert cli.main(["classify", str(odd), "--json"]) == 1
    captured = capsys.readouterr()
    assert ["error" in json.loads(line) for line in captured.out.splitlines()] == [False, True]
    assert captured.err.endswith("; expected an image file.\n")
    with pytest.raises(errors.ImageError, match="expected an image file"):
        read_image(odd / "x.jpg")


@posix
@pytest.mark.parametrize("name", ["/dev/stdin", "-", "/dev/fd/0"])
def test_a_pipe_that_this_process_was_given_is_read(name):
    if name != "-" and not Path(name).exists():
        pytest.skip(f"this system has no {name}")
    command = f"cat {CAT} | {sys.executable} -m modelzoo classify {name} --json"
    run = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=ROOT)
    assert json.loads(run.stdout)["predictions"][0]["name"] == "cat", run.stderr


# Names that somebody else wrote


@posix
def test_a_name_with_escape_sequences_reaches_no_terminal(tmp_path, capsys):
    name = "\x1b[2Jx\nmodelzoo: verified, all is well." + "y" * 150 + ".jpg"
    write(tmp_path / name)
    (tmp_path / f"bad{name}").write_bytes(b"no image")
    assert cli.main(["classify", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out + captured.err
    assert captured.err.count("\n") == 1
    assert max(map(len, captured.err.splitlines())) < 400
    assert "\\x1b" in captured.err or "..." in captured.err
    bulk.classify_files(tmp_path, tmp_path / "out.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [Path(row["image"]).name for row in rows] == [name, f"bad{name}"]
    assert "\x1b" not in rows[1]["error"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take no such names")
def test_a_name_that_is_no_text_is_json_that_every_program_reads(tmp_path, capfd):
    place = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    write(place / "a.jpg")
    (place / "b.jpg").write_bytes(b"no image")
    assert cli.main(["classify", str(place), "--json"]) == 1
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [row["image"].endswith(f"\\udcff/{name}.jpg") for row, name in zip(rows, "ab", strict=True)] == [
        True
    ] * 2
    assert cli.main(["classify", str(place), "-o", str(place / "out.csv"), "--json"]) == 0
    summary = json.loads(capfd.readouterr().out)
    assert summary["output"].encode().endswith(b"\\udcff/out.csv")
