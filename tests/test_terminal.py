"""The command line as a program: on terminals of any width and encoding, in pipes, and at its start."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len

import modelzoo
from modelzoo import cli
from modelzoo.cli import printing
from tests.conftest import CAT, ROOT

HEAVY = {"tensorflow", "keras", "jax", "torch"}
ESCAPE = re.compile("\x1b\\[[0-9;]*m")
PROGRAM = [sys.executable, "-m", "modelzoo"]


def start(*arguments, **options) -> subprocess.CompletedProcess:
    """Runs the program; `env` is added to the environment, output comes as bytes."""
    env = os.environ | options.pop("env", {})
    return subprocess.run([*PROGRAM, *map(str, arguments)], capture_output=True, env=env, cwd=ROOT, **options)


def on_terminal(*arguments, columns: int = 80, **env: str) -> str:
    """What the program shows on a terminal of this width."""
    pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")
    from fcntl import ioctl
    from termios import TIOCSWINSZ

    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = os.environ | {"TERM": "xterm-256color"} | env
    env.pop("COLUMNS", None)
    command = [*PROGRAM, *map(str, arguments)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, cwd=ROOT):
        os.close(theirs)
        shown = b""
        while chunk := _read(ours):
            shown += chunk
    os.close(ours)
    return shown.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux' end of a terminal
        return b""


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Runs a command in this process as if on a terminal, and gives what it shows."""

    def run(*arguments, columns: int = 80) -> str:
        shown = Terminal()
        with monkeypatch.context() as patch:
            patch.setenv("COLUMNS", str(columns))
            patch.setenv("TERM", "xterm-256color")
            patch.delenv("NO_COLOR", raising=False)
            patch.setattr(sys, "stdout", shown)
            assert cli.main(list(arguments)) == 0
        return shown.getvalue()

    return run


def widest(shown: str) -> int:
    return max(cell_len(ESCAPE.sub("", line)) for line in shown.splitlines())


# The width


@pytest.mark.parametrize("arguments", [("list",), ("info", "resnet50_v1d"), ("cache",)], ids=" ".join)
def test_no_line_is_longer_than_the_terminal_is_wide(arguments, resnet18_file):
    modelzoo.add("resnet18_v1b", resnet18_file)
    for columns in (80, 50):
        shown = on_terminal(*arguments, columns=columns)
        assert 0 < widest(shown) <= columns


def test_every_card_fits(terminal):
    for key in modelzoo.list_models():
        assert widest(terminal("info", key)) <= 80, key


def test_a_narrow_table_keeps_names_and_figures_whole(terminal):
    lines = ESCAPE.sub("", terminal("list")).splitlines()
    assert [line.split()[0] for line in lines[1:]] == modelzoo.list_models()
    assert lines[0].split() == ["model", "parameters", "top-1", "weights"]
    entry = modelzoo.info("resnet50_v1d")
    assert any(line.split()[:4] == [entry.key, "25.6", "M", "79.15"] for line in lines)


def test_a_wide_table_has_all_columns(terminal):
    shown = ESCAPE.sub("", terminal("list", columns=200))
    assert shown.split("\n")[0].split() == [
        *("model", "parameters", "input", "labels", "top-1", "license", "weights")
    ]
    assert "…" not in shown


def test_a_path_is_wrapped_but_whole(terminal, resnet18_file):
    place = modelzoo.add("resnet18_v1b", resnet18_file)
    assert str(place) in re.sub(r"\s", "", ESCAPE.sub("", terminal("cache")))


def test_markup_in_a_name_is_shown_as_it_is(monkeypatch):
    shown = Terminal()
    monkeypatch.setattr(sys, "stdout", shown)
    printing.print_table(("model", "note"), [("[bold]a", ":cat: 1.5")])
    assert "[bold]a" in shown.getvalue()
    assert ":cat: 1.5" in shown.getvalue()


# Colors


def test_there_are_colors_on_a_terminal_only():
    assert ESCAPE.search(on_terminal("info", "yolo2"))
    assert b"\x1b" not in start("info", "yolo2").stdout


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_there_are_none_where_they_are_not_wanted(variables):
    for arguments in (("info", "yolo2"), ("list", "vgg")):
        assert "\x1b" not in on_terminal(*arguments, **variables)


def test_what_is_piped_is_plain_and_whole():
    lines = start("list").stdout.decode().splitlines()
    assert [line.split()[0] for line in lines[1:]] == modelzoo.list_models()
    assert lines[0].split()[-1] == "weights"
    assert "…" not in "".join(lines)


# Encodings


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> dict[str, str]:
    """The environment with a cache that has the network compiled, so that the program starts fast."""
    env = {"MODELZOO_CACHE": str(tmp_path_factory.mktemp("compiled"))}
    assert start("classify", CAT, env=env).returncode == 0
    return env


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "cp1252"},
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
    ids=lambda variables: next(iter(variables.values())),
)
def test_a_terminal_that_lacks_the_bar_gets_another(variables, compiled, tmp_path):
    path = tmp_path / "猫 é.jpg"
    shutil.copy(CAT, path)
    run = start("classify", path, env=variables | compiled)
    assert (run.returncode, run.stderr) == (0, b"")
    assert re.search(rb"cat +97\.49%  #{23}\r?\n", run.stdout)
    run = start("classify", path, "--json", env=variables | compiled)
    answer = json.loads(run.stdout.decode("ascii"))
    assert os.fsencode(answer["image"]) == os.fsencode(path)


def test_a_failure_with_a_name_that_cannot_be_shown_is_a_sentence():
    run = start("classify", "猫.jpg", env={"PYTHONIOENCODING": "ascii"})
    assert (run.returncode, run.stderr) == (1, b"modelzoo: No such file: \\u732b.jpg.\n")


# Pipes


@pytest.mark.parametrize(
    "arguments", [("list",), ("list", "--json"), ("info", "yolo2"), ("--help",)], ids=" ".join
)
def test_a_reader_that_closes_early_is_no_error(arguments):
    """Whether more was written than a pipe holds, or all of it waits until the end."""
    process = subprocess.Popen(
        [*PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )
    process.stdout.close()
    assert (process.stderr.read(), process.wait()) == (b"", 0)
    process.stderr.close()


def test_the_first_lines_reach_head():
    command = f"{sys.executable} -m modelzoo list | head -2"
    run = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=ROOT)
    assert run.stdout.splitlines()[1].split()[0] == modelzoo.list_models()[0]
    assert run.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
def test_a_full_disk_is_one_sentence():
    with open("/dev/full", "w") as full:
        run = subprocess.run([*PROGRAM, "list"], stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert run.returncode != 0
    assert run.stderr.splitlines()[0] == "modelzoo: [Errno 28] No space left on device"
    assert "Traceback" not in run.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="its shell closes no streams")
def test_a_closed_stderr_is_no_error():
    command = f"{sys.executable} -m modelzoo classify {CAT} 2>&-"
    run = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=ROOT)
    assert (run.returncode, " cat " in run.stdout) == (0, True)


# The start


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("info", "nosuch"), "There is no model 'nosuch'"),
        (("classify", CAT, "-m", "nosuch"), "There is no model 'nosuch'"),
        (("embed", CAT, "-m", "nosuch", "-o", "out.npy"), "There is no model 'nosuch'"),
        (("detect", CAT, "-m", "nosuch"), "There is no model 'nosuch'"),
        (("download", "nosuch"), "There is no model 'nosuch'"),
        (("verify", "nosuch"), "There is no model 'nosuch'"),
        (("bundle", "nosuch", "-o", "out.tar"), "There is no model 'nosuch'"),
        (("convert", "nosuch", CAT, "-o", "out.h5"), "There is no model 'nosuch'"),
        (("add", "nosuch", CAT), "There is no model 'nosuch'"),
        (("classify", "none.jpg"), "No such file: none.jpg"),
        (("classify", CAT, "-m", "yolo2"), "yolo2.darknet is a detection model; use Detector."),
        (("classify", CAT, "-m", "resnet50"), "MODELZOO_OFFLINE is set"),
        (("embed", CAT, "-m", "resnet50", "-o", "out.npy"), "MODELZOO_OFFLINE is set"),
        (("detect", CAT), "MODELZOO_OFFLINE is set"),
        (("download", "resnet50"), "MODELZOO_OFFLINE is set"),
        (("bundle", "resnet50", "-o", "out.tar"), "MODELZOO_OFFLINE is set"),
    ],
    ids=lambda value: " ".join(Path(word).name for word in value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_done_is_said_before_keras_is_imported(arguments, message, tmp_path):
    code = (
        "import sys; from modelzoo.cli import main; code = main(sys.argv[1:]);"
        f"print(code, sorted({HEAVY} & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    env = os.environ | {"MODELZOO_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path)
    assert run.stdout == "1 []\n"
    assert run.stderr.startswith("modelzoo: ")
    assert message in run.stderr
    assert run.stderr.count("\n") == 1
    assert list(tmp_path.glob("out*")) == []


def test_a_command_leaves_the_process_as_it_found_it(capsys):
    logger = logging.getLogger("modelzoo")
    before = (list(sys.meta_path), list(logger.handlers), logger.propagate)
    stream = sys.stdout = io.TextIOWrapper(io.BytesIO(), "ascii")
    try:
        assert cli.main(["list"]) == 0
    finally:
        sys.stdout = sys.__stdout__
    assert stream.errors == "strict"
    assert (list(sys.meta_path), list(logger.handlers), logger.propagate) == before


# Completion


def completed(*words: str) -> list[str]:
    """What bash offers for the last of the words."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    script = start("completion", "bash").stdout.decode()
    subprocess.run([bash, "-n"], input=script, text=True, check=True)
    function = re.search(r"^complete .*-F (\S+) modelzoo$", script, re.MULTILINE)[1]
    ask = f'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); {function}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    command = [bash, "--norc", "-c", f"{script}\n{ask}", "bash", "modelzoo", *words]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return run.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("down",), ["download"]),
        (("info", "resnet50_v1d."), ["resnet50_v1d.gluon"]),
        (("info", "yolo"), ["yolo2", "yolo2.darknet"]),
        (("classify", "-m", "yolo"), ["yolo2", "yolo2.darknet"]),
        (("classify", "--runtime", "open"), ["openvino"]),
        (("classify", "READ"), ["README.md"]),
        (("classify", "--fast"), ["--fast-decode"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_bash_completes_commands_options_models_and_files(words, offered):
    assert completed(*words) == offered


def test_zsh_accepts_its_script():
    zsh = shutil.which("zsh")
    if zsh is None:
        pytest.skip("there is no zsh")
    subprocess.run([zsh, "-n"], input=start("completion", "zsh").stdout, check=True)


def test_every_command_of_the_help_is_described(capsys):
    assert cli.main(["--help"]) == 0
    commands = re.findall(r"^    (\w+)\s+\w", capsys.readouterr().out, re.MULTILINE)
    assert {"list", "info", "classify", "embed", "detect", "completion"} <= set(commands)
