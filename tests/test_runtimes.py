"""Every runtime gives Keras' numbers; what OpenVINO compiled serves later processes, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading

import google_crc32c
import keras
import numpy as np
import pytest

import modelzoo
from modelzoo import registry, runtimes, store, weights
from modelzoo.architectures import synthetic
from modelzoo.cli import main
from modelzoo.runtimes import Deployment, compiled, openvino, start
from modelzoo.runtimes.openvino import ov
from modelzoo.zoo import NetworkOptions
from tests import parity
from tests.conftest import CAT, ROOT

SMALL = "mobilenet_v1_0.25_128.slim"
IMAGES = synthetic.images(128, 128)
ONE_OF_EACH_FAMILY = [
    ("inception_v1.slim", {}),
    ("inception_resnet_v2.slim", {"input_shape": (139, 139, 3)}),
    ("efficientnet_b0.keras", {}),
    ("efficientnet_lite0.tpu", {"input_shape": (96, 96, 3)}),
    ("convnext_tiny.keras", {"input_shape": (64, 64, 3)}),
    ("mobilenet_v2_1.0_224.slim", {}),
    ("pnasnet_mobile.slim", {"input_shape": (96, 96, 3)}),
    ("resnet18_v1b.gluon", {}),
    ("vgg_16.slim", {"include_top": False, "pooling": "avg", "input_shape": (64, 64, 3)}),
    ("yolo2.darknet", {"input_shape": (96, 96, 3)}),
]


def write_file(path, factor: float = 1.0, **provenance):
    """A weight file of SMALL; with a `factor` its answers are others."""
    from modelzoo import conversion

    shapes = conversion.weight_shapes(registry.info(SMALL))
    arrays = ((name, synthetic.array(name, shape) * np.float32(factor)) for name, shape in shapes.items())
    weights.write(path, arrays, {"model": SMALL, **provenance})
    return path


@pytest.fixture(scope="module")
def small_file(tmp_path_factory):
    return write_file(tmp_path_factory.mktemp("files") / "small.h5")


def predictor(given, runtime="openvino", precision="f32", **options):
    return runtimes.predictor(Deployment(SMALL, given, runtime, precision), NetworkOptions(**options))


def kept(cache) -> list:
    """The files of the networks that were compiled and kept."""
    return sorted((cache / "compiled").glob("*"))


def run_elsewhere(code: str, *arguments, **variables: str) -> str:
    """What a new process prints."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    run = subprocess.run(command, env=os.environ | variables, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@pytest.mark.parametrize(("name", "arguments"), ONE_OF_EACH_FAMILY, ids=[n for n, _ in ONE_OF_EACH_FAMILY])
def test_openvino_computes_what_keras_computes(name, arguments):
    assert parity.runtime_error(registry.info(name), "openvino", **arguments) <= parity.RUNTIME_LIMIT


def test_the_traced_function_computes_what_keras_computes():
    assert parity.runtime_error(registry.info(SMALL), "keras") <= parity.RUNTIME_LIMIT


def test_there_is_a_model_of_each_family():
    from modelzoo.architectures import FAMILIES

    assert {registry.info(name).graph.family for name, _ in ONE_OF_EACH_FAMILY} == set(FAMILIES)


def test_a_second_process_answers_without_tensorflow_keras_or_h5py(cache, tmp_path):
    first = modelzoo.classify(CAT)
    heavy = "{'tensorflow', 'keras', 'h5py', 'requests', 'openvino_telemetry'}"
    heavy += " | {'tqdm', 'filelock', 'PIL.PdfImagePlugin'}"  # a tenth of a second together
    code = (
        "import sys, modelzoo; from modelzoo.cli import main;"
        f"print(modelzoo.classify({str(CAT)!r})); main(['classify', {str(CAT)!r}, '--json']);"
        f"print(sorted(({heavy}) & sys.modules.keys()))"
    )
    (tmp_path / "tmp").mkdir()  # what others left in the system's would be looked at
    again, line, modules = run_elsewhere(
        code, KERAS_BACKEND="tensorflow", TMPDIR=str(tmp_path / "tmp")
    ).splitlines()
    assert (again, modules) == (str(first), "[]")
    assert json.loads(line)["predictions"][0]["name"] == "cat"


def test_importing_openvino_reports_nothing_to_anybody(tmp_path):
    """Its own import starts a thread that tells Google Analytics, and leaves an identity in the home."""
    code = (
        "import sys, threading; from modelzoo.runtimes.openvino import ov; import openvino;"
        "print(ov is openvino, openvino.convert_model.__module__, threading.active_count(),"
        "     'openvino_telemetry' in sys.modules)"
    )
    variables = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}
    said = run_elsewhere(code, **variables, CI="", TF_BUILD="", JENKINS_URL="")
    assert said == "True openvino.tools.ovc.convert 1 False"
    assert list(tmp_path.iterdir()) == []


def test_importing_openvino_changes_nothing_of_it():
    """Its converter is its own function and works; what could be imported before can be afterwards."""
    code = """
import importlib.util, sys, threading
from modelzoo.runtimes.openvino import ov
assert not any(type(finder).__module__.startswith("modelzoo") for finder in sys.meta_path)
assert all(module is not None for module in sys.modules.values())
assert importlib.util.find_spec("openvino_telemetry") is not None
from openvino.tools.ovc import convert_model
assert ov.convert_model is convert_model
import tensorflow as tf
threads = threading.active_count()
function = tf.function(lambda x: x + 1).get_concrete_function(tf.TensorSpec([1, 2]))
print(len(ov.convert_model(function).outputs), threading.active_count() == threads)
"""
    assert run_elsewhere(code) == "1 True"


def test_whoever_imported_openvino_before_keeps_it_as_it_is():
    code = """
import sys, types
reports = types.ModuleType("openvino_telemetry")
reports.Telemetry = lambda **_: types.SimpleNamespace(send_event=print)
sys.modules["openvino_telemetry"] = reports
sys.modules["openvino_telemetry.backend"] = types.ModuleType("openvino_telemetry.backend")
reports.backend = sys.modules["openvino_telemetry.backend"]
reports.backend.backend_ga4 = None
import openvino
from modelzoo.runtimes.openvino import ov
print(ov is openvino, sys.modules["openvino_telemetry"] is reports)
"""
    assert run_elsewhere(code).splitlines() == ["ov import general_import", "True True"]


def test_the_command_line_leaves_the_converter_out(cache):
    modelzoo.classify(CAT)
    code = (
        f"import sys; from modelzoo.cli import main; code = main(['classify', {str(CAT)!r}, '--json']);"
        "print(code, 'openvino' in sys.modules, 'openvino.tools.ovc' in sys.modules)"
    )
    assert run_elsewhere(code).splitlines()[-1] == "0 True False"


def test_auto_is_openvino_unless_another_backend_is_chosen(monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    assert Deployment().runtime == "openvino"
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert Deployment().runtime == "keras"
    assert Deployment(runtime="openvino").runtime == "openvino"


def test_auto_is_keras_where_openvino_cannot_be_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert modelzoo.Classifier().pipeline.network.runtime == "keras"
    with pytest.raises(
        ValueError, match=r"cannot be imported .*: pip install openvino, or use runtime 'keras'"
    ):
        modelzoo.Classifier(runtime="openvino")


def test_f32_is_computed_in_f32_also_from_the_cache(small_file):
    for _ in range(2):
        network = predictor(small_file)._network
        assert network.get_property("INFERENCE_PRECISION_HINT") == ov.Type.f32


@pytest.mark.skipif(
    "BF16" not in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"), reason="this CPU has no bf16"
)
def test_each_precision_is_compiled_by_itself(cache, small_file):
    expected = predictor(small_file).predict(IMAGES)
    rough = predictor(small_file, precision="bf16")
    assert rough.precision == "bf16"
    assert len(kept(cache)) == 2
    assert 1e-5 < np.abs(rough.predict(IMAGES) - expected).max() / expected.max() < 0.1
    np.testing.assert_array_equal(predictor(small_file).predict(IMAGES), expected)


def test_a_file_with_other_weights_is_compiled_anew(cache, tmp_path, small_file):
    path = tmp_path / "own.h5"
    path.write_bytes(small_file.read_bytes())
    first = predictor(path).predict(IMAGES)
    path.unlink()
    write_file(path, factor=0.9)
    assert not np.allclose(predictor(path).predict(IMAGES), first, rtol=1e-3)
    assert len(kept(cache)) == 2


def test_weights_of_the_cache_are_told_apart_by_their_sha256(cache, tmp_path, small_file):
    modelzoo.add(SMALL, small_file)
    first = predictor("pretrained").predict(IMAGES)
    modelzoo.add(SMALL, write_file(tmp_path / "other.h5", factor=0.9))
    assert not np.allclose(predictor("pretrained").predict(IMAGES), first, rtol=1e-3)
    modelzoo.add(SMALL, small_file)
    np.testing.assert_array_equal(predictor("pretrained").predict(IMAGES), first)
    assert len(kept(cache)) == 2


def test_another_architecture_openvino_or_machine_is_compiled_anew(cache, small_file, monkeypatch):
    predictor(small_file)
    monkeypatch.setattr(compiled, "architectures", lambda: "0")
    predictor(small_file)
    monkeypatch.setattr(openvino, "_machine", lambda: ["abacus"])
    predictor(small_file)
    monkeypatch.setattr(ov, "__version__", "0")
    predictor(small_file)
    assert len(kept(cache)) == 4


def key(name: str) -> compiled.Key:
    entry = registry.info(name)
    weights = store.Located(entry, CAT, entry.key, "content")
    return compiled.key(weights, NetworkOptions(), openvino.facts("f32"))


def test_an_edit_of_any_architecture_changes_the_key_of_every_network(tmp_path, monkeypatch):
    """One family uses another's blocks: inception_resnet those of inception."""
    before = key("inception_resnet_v2.slim")
    folder = tmp_path / "architectures"
    for name in compiled.DEFINING:
        shutil.copytree(ROOT / "modelzoo" / name, tmp_path / name)
    monkeypatch.setattr(compiled.resources, "files", lambda package: tmp_path)
    compiled.architectures.cache_clear()
    try:
        assert key("inception_resnet_v2.slim") == before
        with (folder / "inception.py").open("a") as file:
            file.write("# edited")
        compiled.architectures.cache_clear()
        assert key("inception_resnet_v2.slim") != before
    finally:
        compiled.architectures.cache_clear()


def test_the_version_of_keras_which_builds_nothing_of_it_is_not_in_the_key(monkeypatch):
    names = ("resnet50.keras", "resnet50_v1d.gluon")
    before = [key(name) for name in names]
    monkeypatch.setattr(compiled, "keras_version", lambda: "0")
    assert [key(name) for name in names] == before


def test_a_network_without_its_head_is_compiled_by_itself(cache, small_file):
    predictor(small_file)
    assert predictor(small_file, include_top=False, pooling="avg").predict(IMAGES).shape == (1, 256)
    assert len(kept(cache)) == 2


def test_a_file_of_another_model_is_refused_even_if_it_was_compiled(small_file):
    predictor(small_file)
    with pytest.raises(modelzoo.WeightsMismatch, match=r"holds the weights of mobilenet_v1_0\.25_128"):
        modelzoo.Classifier("mobilenet_v1_0.5_160.slim", weights=small_file, runtime="openvino")


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1000])


def empty(path):
    path.write_bytes(b"")


def overwrite_header(path):
    path.write_bytes(b"x" * 64 + path.read_bytes()[64:])


def take_another(path):
    """A file that is whole but of another precision, under this name."""
    content = path.read_bytes()
    mine, others = (rf"\"precision\": \"{name}\"".encode() for name in ("f32", "f16"))
    assert content.count(mine) == 1
    begin = content.replace(mine, others)[: -compiled.CRC32C.size - len(compiled.MARK)]
    path.write_bytes(begin + compiled.CRC32C.pack(google_crc32c.value(begin)) + compiled.MARK)


@pytest.mark.parametrize("damage", [truncate, empty, overwrite_header, take_another])
def test_a_damaged_file_is_compiled_again(cache, small_file, damage, monkeypatch):
    expected = predictor(small_file).predict(IMAGES)
    [path] = kept(cache)
    damage(path)
    np.testing.assert_array_equal(predictor(small_file).predict(IMAGES), expected)
    assert kept(cache) == [path]
    monkeypatch.setattr(start, "_compile", None)
    np.testing.assert_array_equal(predictor(small_file).predict(IMAGES), expected)


def test_nothing_needs_to_be_written(tmp_path, monkeypatch, small_file):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MODELZOO_CACHE", str(tmp_path / "file" / "cache"))
    assert predictor(small_file).predict(IMAGES).shape == (1, 1001)
    assert predictor("synthetic").predict(IMAGES).shape == (1, 1001)


def test_a_network_is_also_found_in_a_root_that_is_not_written_to(tmp_path, monkeypatch, small_file, cache):
    expected = predictor(small_file).predict(IMAGES)
    monkeypatch.setenv("MODELZOO_CACHE", os.pathsep.join([str(tmp_path / "mine"), str(cache)]))
    monkeypatch.setattr(start, "_compile", None)
    np.testing.assert_array_equal(predictor(small_file).predict(IMAGES), expected)


def test_synthetic_weights_are_said_to_be_so_each_time(tmp_path, caplog):
    path = write_file(tmp_path / "synthetic.h5", synthetic=True)
    for _ in range(2):
        caplog.clear()
        predictor(path)
        assert [record.getMessage() for record in caplog.records] == [
            f"{SMALL}: it has synthetic weights: predictions are meaningless"
        ]


@pytest.mark.parametrize("runtime", ["openvino", "keras"])
def test_threads_share_a_predictor(runtime, small_file):
    ready = predictor(small_file, runtime)
    batches = [IMAGES * np.float32(factor) for factor in (0.2, 0.5, 1, 2)]
    expected = [ready.predict(batch) for batch in batches]
    answers: dict[int, list] = {}

    def work(number):
        answers[number] = [ready.predict(batches[number]) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(batches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, array in enumerate(expected):
        for answer in answers[number]:
            np.testing.assert_array_equal(answer, array)


@pytest.mark.parametrize("runtime", ["openvino", "keras"])
def test_batches_of_any_size_come_back_in_order(runtime, small_file):
    ready = predictor(small_file, runtime)
    batches = [np.repeat(IMAGES, size, axis=0) * np.float32(size) for size in (1, 3, 2, 5)]
    answers = list(ready.predict_each(batches))
    for batch, answer in zip(batches, answers, strict=True):
        np.testing.assert_allclose(answer, np.repeat(ready.predict(batch[:1]), len(batch), axis=0), atol=1e-6)


def test_predict_each_may_be_left_and_passes_errors_on(small_file):
    ready = predictor(small_file)

    def batches():
        yield IMAGES
        yield IMAGES
        raise KeyError("the third")

    answers = ready.predict_each(batches())
    next(answers)
    with pytest.raises(KeyError, match="the third"):
        next(answers)
    next(ready.predict_each([IMAGES] * 3))
    assert ready.predict(IMAGES).shape == (1, 1001)


def test_keras_traces_one_function_for_all_batches(small_file):
    ready = predictor(small_file, "keras")
    for size in (1, 2, 3, 4, 5):
        ready.predict(np.repeat(IMAGES, size, axis=0))
    assert ready.model.predict_function.experimental_get_tracing_count() <= 2


def test_an_f32_network_stays_one_under_another_global_policy(small_file):
    expected = predictor(small_file, "keras").predict(IMAGES)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        for runtime in ("keras", "openvino"):
            answer = predictor(small_file, runtime).predict(IMAGES)
            np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-7)
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {"runtime": "tensorrt"},
            "runtime must be one of auto, openvino, keras, onnxruntime, litert, tensorflow, coreml, "
            "not 'tensorrt'",
        ),
        ({"precision": "int8"}, "precision must be one of f32, bf16, f16, not 'int8'"),
        ({"runtime": "keras", "precision": "bf16"}, "precision 'bf16' is OpenVINO's; runtime 'keras'"),
    ],
)
def test_bad_input_gets_one_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        modelzoo.Classifier(**arguments)


def test_a_deployment_is_one_value(tmp_path):
    one = Deployment("resnet9_cifar10", tmp_path / "own.h5", runtime="keras", crops=10, fast_decode=True)
    assert (one.model, one.weights) == ("resnet9_cifar10.modelzoo", str(tmp_path / "own.h5"))
    assert Deployment.from_json(one.to_json()) == one
    assert len({one, Deployment.from_json(one.to_json()), Deployment("resnet9_cifar10")}) == 2
    with pytest.raises(ValueError, match="crops must be one of 1, 10, not 5"):
        Deployment(crops=5)
    with pytest.raises(modelzoo.UnknownModel):
        Deployment("resnet")


def test_a_precision_that_the_cpu_lacks_is_refused_before_weights_are_obtained(monkeypatch, small_file):
    monkeypatch.setitem(openvino.CAPABILITIES, "f16", "FP17")
    for given in (small_file, "pretrained"):  # of the pretrained there are none
        with pytest.raises(ValueError, match=r"precision 'f16' is not what this CPU computes in; it has f32"):
            predictor(given, precision="f16")
    with pytest.raises(ValueError, match=r"computes in .*float32.* on this machine where bf16 is asked for"):
        openvino._checked("bf16", predictor(small_file)._network)


def test_networks_are_compiled_without_keras_or_any_framework_of_it(small_file):
    heavy = "{'jax', 'keras', 'tensorflow', 'torch'}"
    code = (
        "import sys, numpy as np; from modelzoo import runtimes; from modelzoo.runtimes import Deployment;"
        "from modelzoo.zoo import NetworkOptions;"
        f"deployment = Deployment({SMALL!r}, {str(small_file)!r}, 'openvino');"
        "network = runtimes.predictor(deployment, NetworkOptions());"
        "print(network.predict(np.ones((1, 128, 128, 3), np.float32)).shape,"
        f"      sorted({heavy} & sys.modules.keys()))"
    )
    assert run_elsewhere(code, KERAS_BACKEND="jax").splitlines()[-1] == "(1, 1001) []"


def test_embeddings_are_the_pooled_feature_map():
    model = modelzoo.load("resnet9_cifar10", include_top=False, pooling="avg")
    images = modelzoo.preprocess([CAT, CAT], "resnet9_cifar10")
    expected = keras.ops.convert_to_numpy(model(images, training=False))
    for runtime in ("openvino", "keras"):
        found = modelzoo.embed([CAT, CAT], "resnet9_cifar10", runtime=runtime)
        assert found.shape == expected.shape
        assert np.linalg.norm(found - expected) <= 1e-5 * np.linalg.norm(expected)


def test_the_command_line_chooses_runtime_and_precision(capsys):
    for choice in (["--runtime", "keras"], ["--runtime", "openvino", "--precision", "f32"]):
        assert main(["classify", str(CAT), "--json", *choice]) == 0
        assert json.loads(capsys.readouterr().out)["predictions"][0]["name"] == "cat"
    assert main(["classify", str(CAT), "--runtime", "keras", "--precision", "bf16"]) == 1
    assert "precision 'bf16' is OpenVINO's" in capsys.readouterr().err


def test_removing_a_model_removes_what_was_compiled_of_it(cache, small_file):
    modelzoo.add(SMALL, small_file)
    predictor("pretrained")
    assert len(kept(cache)) == 1
    assert main(["cache", "remove", SMALL]) == 0
    assert kept(cache) == []


def test_prune_removes_compiled_networks_that_nobody_uses(cache, small_file):
    predictor(small_file)
    predictor(small_file, include_top=False, pooling="avg")
    new, old = kept(cache)
    os.utime(old, (0, 0))
    assert main(["cache", "prune"]) == 0
    assert kept(cache) == [new]


def test_a_network_compiled_before_answers_whatever_backend_is_chosen(cache, small_file, monkeypatch):
    expected = predictor(small_file).predict(IMAGES)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    np.testing.assert_array_equal(predictor(small_file).predict(IMAGES), expected)
    assert Deployment(SMALL).runtime == "keras"


def test_what_takes_long_is_said_once_and_not_by_the_library_itself(cache, small_file, caplog, capfd):
    predictor(small_file)
    assert capfd.readouterr() == ("", "")
    for path in kept(cache):
        path.unlink()
    with caplog.at_level("INFO", "modelzoo"):
        predictor(small_file)
        predictor(small_file)
    assert [record.getMessage() for record in caplog.records] == [f"{SMALL}: compiling it for OpenVINO, once"]
