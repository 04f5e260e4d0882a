"""The command line as a program: on terminals of any width and encoding, in pipes, and at its start."""

from __future__ import annotations

import ast
import io
import json
import logging
import os
import re
import shutil
import struct
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from rich.cells import cell_len

import modelzoo
from modelzoo import cli, errors, settings
from modelzoo.cli import printing, startup
from modelzoo.cli.main import NO_SPACE
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


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("list",),
        ("list", "--json"),
        ("info", "yolo2"),
        ("info", "yolo2", "--json"),
        ("cache",),
        ("cache", "--json"),
        ("cache", "path"),
        ("cache", "path", "--json"),
        ("cache", "verify"),
        ("verify", "resnet9_cifar10"),
        ("add", "猫.h5"),
        ("completion", "bash"),
        ("--help",),
        ("classify", "--help"),
    ],
    ids=" ".join,
)
def test_every_command_ends_as_in_utf8_where_the_encoding_lacks_characters(
    arguments, encoding, cache, tmp_path, resnet18_file
):
    cache = cache.rename(cache.with_name("猫")) if cache.exists() else cache.with_name("猫")
    variables = {"PYTHONPATH": str(ROOT), "MODELZOO_CACHE": str(cache), "MODELZOO_OFFLINE": "1"}
    (tmp_path / "猫.h5").write_bytes(resnet18_file.read_bytes())
    runs = [
        subprocess.run(
            [*PROGRAM, *arguments],
            env=os.environ | variables | {"PYTHONIOENCODING": name},
            capture_output=True,
            cwd=tmp_path,
        )
        for name in ("utf-8", encoding)
    ]
    assert [run.returncode for run in runs] == [0, 0]
    assert b"Traceback" not in runs[1].stderr
    if arguments[-1] == "--json":
        assert json.loads(runs[1].stdout) == json.loads(runs[0].stdout)
    else:
        assert runs[1].stdout.count(b"\n") == runs[0].stdout.count(b"\n")


# What others wrote

HOSTILE = "\x1b[2K\rmodelzoo: verified, all is well.\n\x9b1m\u202e\x07\x7f" + "x" * 3_000_000


def harmless(shown: str, lines: int) -> bool:
    """Whether it has so many lines, none of them long, and nothing that a terminal obeys."""
    shown = ESCAPE.sub("", shown)
    return (
        shown.count("\n") == lines
        and shown.replace("\n", "").isprintable()
        and all(len(line) <= 2 * errors.LONGEST_LINE + 10 for line in shown.split("\n"))
    )


def test_nothing_that_others_wrote_is_obeyed_by_a_terminal(capsys):
    printing.say(HOSTILE)
    assert harmless(capsys.readouterr().out, 1)
    printing.fail(HOSTILE)
    assert harmless(capsys.readouterr().err, 1)
    printing.print_card(HOSTILE, [(HOSTILE, HOSTILE), ("fact", HOSTILE)])
    assert harmless(capsys.readouterr().out, 3)
    printing.print_table(("a", "b"), [(HOSTILE, HOSTILE)])
    assert harmless(capsys.readouterr().out, 2)
    printing.print_json(HOSTILE)
    shown = capsys.readouterr().out
    assert json.loads(shown) == HOSTILE
    assert shown.rstrip("\n").isprintable()


def test_nothing_is_obeyed_in_a_table_on_a_terminal(monkeypatch):
    shown = Terminal()
    monkeypatch.setattr(sys, "stdout", shown)
    name = HOSTILE[:60]
    printing.print_table(("a", "b"), [(name, name)], wrap=True)
    printing.print_card(name, [(name, name)])
    assert ESCAPE.sub("", shown.getvalue()).replace("\n", "").isprintable()


def test_warnings_are_shown_as_lines(capsys):
    with startup.program():
        logging.getLogger("modelzoo").warning("%s: %s", HOSTILE, HOSTILE)
    assert harmless(capsys.readouterr().err, 1)


def test_every_error_of_ours_is_a_line_without_passwords():
    error = errors.DownloadError(f"https://someone:p@ss@host/a: {HOSTILE}")
    assert str(error).startswith("https://host/a: \\x1b[2K\\rmodelzoo")
    assert harmless(f"{error}\n", 1)
    assert errors.one_line(error) == str(error)


def test_the_end_of_a_long_message_is_kept_because_it_says_what_to_do():
    message = str(errors.WeightsUnavailable("tried " * 10_000 + "run: modelzoo add"))
    assert len(message) <= errors.LONGEST_LINE
    assert message.endswith("run: modelzoo add")


def test_a_hostile_argument_is_no_message_of_ours(capsys):
    assert cli.main(["info", "yolo2", HOSTILE[:60]]) == 2
    assert "\x1b" not in capsys.readouterr().err
    assert cli.main(["classify", HOSTILE[:60]]) == 1
    assert harmless(capsys.readouterr().err, 1)


@pytest.mark.skipif(sys.platform == "win32", reason="its file names hold no such characters")
def test_a_file_name_cannot_speak_for_the_program(tmp_path, capsys):
    path = tmp_path / "x\x1b[2K\rmodelzoo: verified\n.jpg"
    shutil.copy(CAT, path)
    assert cli.main(["classify", str(path)]) == 0
    assert harmless(capsys.readouterr().out, 10)
    assert cli.main(["classify", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["image"] == str(path)


def test_commands_print_through_the_guard_alone():
    for path in (ROOT / "modelzoo" / "cli").glob("*.py"):
        calls = (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call))
        if path.name != "printing.py":
            assert "print" not in {ast.unparse(call.func) for call in calls}, path.name


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        (settings.REGISTRY, "https://someone:s3cret@host:x/custom.json"),
        (settings.REGISTRY, "https://someone:s3/cret@host/custom.json"),
        (settings.MIRROR, "http://someone:s3cret@["),
        (settings.MIRROR, "http://someone:s3/cret@host"),
        ("HTTPS_PROXY", "http://someone:s3cret@127.0.0.1:1"),
        ("HTTPS_PROXY", "http://someone:s3cret@["),
        ("HTTPS_PROXY", "http://someone:s3cret@host:x"),
    ],
)
def test_no_command_shows_a_password(variable, value, monkeypatch, capsys, resnet18_file):
    monkeypatch.setenv(variable, value)
    monkeypatch.setenv(variable.lower(), value)
    for command in (["download", "resnet18_v1b"], ["info", "resnet18_v1b"], ["cache"]):
        cli.main(command)
    shown = capsys.readouterr()
    assert not {"someone", "s3cret", "cret@"} & set(re.findall(r"[\w@]+", shown.out + shown.err))


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
    assert run.stderr.splitlines()[0] == f"modelzoo: {NO_SPACE}"
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


# The backend


@pytest.fixture
def keras_json(tmp_path) -> dict[str, str]:
    """The environment with a keras.json that asks for jax."""
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    return {"KERAS_HOME": str(tmp_path), "KERAS_BACKEND": ""}


@pytest.mark.skipif(find_spec("jax") is None, reason="jax is not installed")
def test_the_backend_of_keras_json_answers(keras_json, cache):
    run = start("classify", CAT, "--json", env=keras_json)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["predictions"][0]["name"] == "cat"


def test_a_backend_that_is_not_installed_is_named_with_what_chose_it(keras_json, cache):
    code = (
        "import sys; sys.modules['jax'] = None; from modelzoo.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, "classify", CAT],
        capture_output=True,
        text=True,
        env=os.environ | keras_json,
    )
    assert (run.returncode, run.stderr.count("\n")) == (1, 1)
    assert "Keras' backend is jax, by KERAS_BACKEND or keras.json: install or change it." in run.stderr


# What takes long


def test_a_first_use_says_on_a_terminal_what_takes_so_long(cache):
    said = "modelzoo: resnet9_cifar10.modelzoo: compiling it for OpenVINO, once\n"
    assert said in on_terminal("classify", CAT)
    assert said not in on_terminal("classify", CAT)


def test_a_first_use_says_nothing_into_a_file(cache):
    assert start("classify", CAT).stderr == b""


def test_every_command_of_the_help_is_described(capsys):
    assert cli.main(["--help"]) == 0
    commands = re.findall(r"^    (\w+)\s+\w", capsys.readouterr().out, re.MULTILINE)
    assert {"list", "info", "classify", "embed", "detect", "completion"} <= set(commands)
