"""What comes from the environment: read in one module, told in one table, and never needed."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

import platformdirs
import pytest

import modelzoo
from modelzoo import settings, store
from modelzoo.errors import WeightsUnavailable
from tests.conftest import ROOT

PACKAGE = ROOT / "modelzoo"
VARIABLES = {value for name, value in vars(settings).items() if name.isupper() and str(value).isupper()}
OF_REQUESTS = {"HTTPS_PROXY", "REQUESTS_CA_BUNDLE"}  # which the table names and nothing here reads
# Modules that may set what TensorFlow, Ray and their workers read, for their own process.
SWITCHES = {Path("cli/startup.py"), Path("cli/verification.py"), Path("bulk/ray.py")}
OTHERS = re.compile("(TF|RAY|CUDA|OMP|KMP)_[A-Z_]+")
READERS = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv", "expandvars"}
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def strings(tree: ast.AST) -> set[str]:
    values = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {value for value in values if isinstance(value, str)}


def uses_of_the_environment(tree: ast.AST) -> set[str]:
    """Names by which the module reaches the environment, as attributes of os or imported from it."""
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return READERS & (names | {alias.name for node in imports for alias in node.names})


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_only_settings_reads_the_environment(path):
    tree = ast.parse((PACKAGE / path).read_text("utf-8"))
    if path in SWITCHES:
        in_capitals = {string for string in strings(tree) if re.fullmatch("[A-Z]+_[A-Z_]+", string)}
        assert {name for name in in_capitals if not OTHERS.fullmatch(name)} == set()
    elif path != Path("settings.py"):
        assert uses_of_the_environment(tree) == set()


def test_every_variable_of_settings_is_read():
    tree = ast.parse((PACKAGE / "settings.py").read_text("utf-8"))
    gets = (n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "os.environ.get")
    assert {vars(settings)[ast.unparse(call.args[0])] for call in gets} == VARIABLES


def test_the_table_of_the_readme_names_exactly_these_variables():
    rows = re.findall(
        r"^\| ((?:`[A-Z_]+`(?:, )?)+) \|", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE
    )
    named = [name for row in rows for name in re.findall("[A-Z_]+", row)]
    assert sorted(named) == sorted(VARIABLES | OF_REQUESTS)


def raises(error: Exception):
    def user_cache_dir(*arguments: object) -> str:
        raise error

    return user_cache_dir


@pytest.fixture(
    params=[
        raises(RuntimeError("Could not determine home directory.")),
        raises(KeyError("getpwuid(): uid not found: 54321")),
        lambda *arguments: "~/.cache/modelzoo",
    ],
    ids=["RuntimeError", "KeyError", "not expanded"],
)
def _homeless(request, monkeypatch):
    """A user id without a name and without HOME, as in many a container."""
    for name in (settings.CACHE, "HOME", "USERPROFILE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(platformdirs, "user_cache_dir", request.param)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)


@pytest.mark.usefixtures("_homeless")
def test_without_a_home_there_is_no_cache_and_the_bundled_model_is_found():
    assert settings.cache_roots() == []
    bundled = modelzoo.info("resnet9_cifar10")
    assert store.locate(bundled).path.is_file()
    assert (store.availability(bundled), store.trust(bundled)) == ("bundled", "bundled")
    assert store.availability(modelzoo.info("resnet50_v1d")) == "converts from upstream"


@pytest.mark.usefixtures("_homeless")
def test_without_a_home_what_needs_a_cache_says_what_to_set():
    with pytest.raises(
        WeightsUnavailable, match="no home folder for a cache: set MODELZOO_CACHE to a folder"
    ):
        modelzoo.weights_file("resnet50_v1d")


@pytest.mark.usefixtures("_homeless")
def test_a_cache_below_a_home_that_does_not_exist_is_none(monkeypatch):
    monkeypatch.setenv(settings.CACHE, f"~/cache{os.pathsep}{ROOT}")
    assert settings.cache_roots() == [ROOT]


@pytest.mark.parametrize("value", ["", "0", "false", "No", "OFF"])
def test_these_values_of_offline_mean_online(value, monkeypatch):
    monkeypatch.setenv(settings.OFFLINE, value)
    assert not settings.offline()


@pytest.mark.parametrize("value", ["1", "true", "yes", "2"])
def test_any_other_value_of_offline_means_offline(value, monkeypatch):
    monkeypatch.setenv(settings.OFFLINE, value)
    assert settings.offline()


@pytest.mark.parametrize(
    ("text", "backend"),
    [
        ('{"backend": "jax"}', "jax"),
        ('{"backend": "torch", "floatx": "float32"}', "torch"),
        ("{}", "tensorflow"),
        ('{"backend": null}', "tensorflow"),
        ("[]", "tensorflow"),
        ('{"backend": "jax"', "tensorflow"),
        ("", "tensorflow"),
        ("\xff", "tensorflow"),
    ],
)
def test_the_backend_of_keras_json_is_asked_for_as_keras_does(text, backend, tmp_path, monkeypatch):
    monkeypatch.delenv(settings.BACKEND, raising=False)
    monkeypatch.setenv(settings.KERAS_HOME, str(tmp_path))
    assert settings.keras_backend() == "tensorflow"
    (tmp_path / "keras.json").write_bytes(text.encode("latin-1"))
    assert settings.keras_backend() == backend
    monkeypatch.setenv(settings.BACKEND, "openvino")
    assert settings.keras_backend() == "openvino"


def test_keras_json_lies_in_the_home_folder(tmp_path, monkeypatch):
    for name in (settings.BACKEND, settings.KERAS_HOME):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text('{"backend": "jax"}')
    assert settings.keras_backend() == "jax"
    assert modelzoo.Deployment().runtime == "keras"


def test_mirrors_are_separated_by_bars_and_keep_their_order(monkeypatch):
    monkeypatch.setenv(settings.MIRROR, " https://one/a b | /mnt/two || file:///three ")
    assert settings.mirrors() == ["https://one/a b", "/mnt/two", "file:///three"]
