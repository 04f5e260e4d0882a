"""Training on two devices, virtual ones of this CPU: the same as on one, as docs/guide/devices.md has it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "guide" / "devices.md").read_text("utf-8")
SNIPPETS = dict(zip(("jax", "tensorflow"), re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL), strict=True))
ROUNDING = 5e-3  # of what training changes in a tensor; up to 7e-4 measured, 1e-12 in float64
OTHER_STATISTICS = 0.1  # 0.45 measured
TWO = {
    "jax": "",  # XLA_FLAGS
    "tensorflow": """
        import tensorflow as tf
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    """,
}
COMPARED = """
    import contextlib, json, sys, keras, numpy as np, modelzoo
    backend, name, norms = sys.argv[1:]
    side = modelzoo.info(name).graph.input_shape[0]
    images = np.random.default_rng(0).normal(size=(32, side, side, 3)).astype("float32")
    values = lambda model: [np.array(keras.ops.convert_to_numpy(v)) for v in model.weights]

    def trained(scope, synchronized):
        with scope:
            model = modelzoo.load(name, weights="synthetic", classifier_activation=None)
            for layer in model.layers:
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.trainable = norms != "frozen"
                    layer.synchronized = synchronized
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(keras.optimizers.SGD(1e-3), loss)
        before = values(model)
        model.fit(images, np.arange(32) % 10, batch_size=16, epochs=2, shuffle=False, verbose=0)
        return model, before, values(model)

    _, before, one = trained(contextlib.nullcontext(), False)
    if backend == "jax":
        keras.distribution.set_distribution(keras.distribution.DataParallel())
        scope, count = contextlib.nullcontext(), len(keras.distribution.list_devices())
    else:
        strategy = tf.distribute.MirroredStrategy()
        scope, count = strategy.scope(), strategy.num_replicas_in_sync
    _, again, two = trained(scope, norms == "synchronized")
    changes = [(a - s, b - s) for s, a, b in zip(before, one, two) if (a != s).any()]
    error = max(np.linalg.norm(a - b) / np.linalg.norm(a) for a, b in changes)
    same = all(map(np.array_equal, before, again))
    print(json.dumps({"devices": count, "error": float(error), "same": same, "changed": len(changes)}))
"""
FINETUNED = """
    import sys, json, keras, numpy as np, modelzoo
    from tests.test_finetuning import make_images
    make_images(__import__("pathlib").Path("photos"), 12)
    options = modelzoo.TrainingOptions(epochs=2, batch_size=8, batch_norm=False, learning_rate=1e-3)
    found = []
    for name in ("one", "two"):
        found.append(modelzoo.finetune("photos", "resnet9_cifar10", name, options=options))
        keras.distribution.set_distribution(keras.distribution.DataParallel())
    logs = [[float(x) for x in open(f"{name}.run/log.csv").read().split("\\n")[2].split(",")[1:3]]
            for name in ("one", "two")]
    print(json.dumps({"epochs": [f.epochs for f in found], "losses": logs}))
"""


def run(backend: str, code: str, folder, *arguments: str) -> str:
    """The last line that the code prints, in a process of its own with two devices."""
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    environment = {**os.environ, **flags, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}
    program = textwrap.dedent(TWO[backend]) + "\n" + textwrap.dedent(code)
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return (done.stdout.splitlines() or [""])[-1]


@pytest.mark.parametrize("backend", SNIPPETS)
def test_the_snippets_run_on_two_devices(backend, tmp_path):
    used = {
        "jax": "\nassert len(model.weights[0].value.devices()) == 2",
        "tensorflow": "\nassert model.distribute_strategy.num_replicas_in_sync == 2",
    }
    run(backend, SNIPPETS[backend] + used[backend], tmp_path)


@pytest.mark.parametrize(
    ("backend", "name", "norms"),
    [
        ("jax", "resnet9_cifar10", "trained"),
        ("jax", "mobilenet_0.25_128", "frozen"),
        ("tensorflow", "mobilenet_0.25_128", "frozen"),
        ("tensorflow", "resnet9_cifar10", "synchronized"),
    ],
)
def test_two_devices_train_as_one(backend, name, norms, tmp_path):
    found = json.loads(run(backend, COMPARED, tmp_path, backend, name, norms))
    assert (found["devices"], found["same"]) == (2, True)
    assert found["changed"] > 10
    assert found["error"] < ROUNDING


def test_mirrored_batch_norms_see_their_own_part_alone(tmp_path):
    found = json.loads(run("tensorflow", COMPARED, tmp_path, "tensorflow", "resnet9_cifar10", "trained"))
    assert found["error"] > OTHER_STATISTICS


def test_finetuning_on_jax_is_the_same_on_two_devices(tmp_path):
    found = json.loads(run("jax", FINETUNED, tmp_path))
    assert found["epochs"] == [2, 2]
    assert found["losses"][1] == pytest.approx(found["losses"][0], rel=1e-3)
