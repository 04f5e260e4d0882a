"""Networks in other processes: after a fork, in a pickle, by spawn; what cannot answer there says so."""

from __future__ import annotations

import multiprocessing
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import modelzoo
from modelzoo import runtimes
from modelzoo.architectures import synthetic
from modelzoo.runtimes import Deployment
from modelzoo.tasks import LabelsHead, Pipeline
from modelzoo.zoo import NetworkOptions
from tests.conftest import CAT, ROOT

SECONDS = 120  # until a process counts as hung; on a busy machine a start takes ten
SMALL = "resnet9_cifar10"
IMAGES = synthetic.images(32, 32)
forks = pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
# Python 3.12 and TensorFlow's threads: a fork is what these tests are about.
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")


def answer_in(method: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function returns, or the error that it raises, in a process started by this method."""
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(theirs, function, arguments))
    process.start()
    try:
        assert ours.poll(SECONDS), "the process hangs"
        answer = ours.recv()
        process.join(SECONDS)
        assert process.exitcode == 0
        return answer
    finally:
        process.kill()
        process.join()
        ours.close()
        theirs.close()


def _send(connection: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        answer = function(*arguments)
    except Exception as error:
        answer = error
    connection.send(answer)


def classify(classifier: modelzoo.Classifier) -> list[list[modelzoo.Prediction]]:
    return classifier([CAT, CAT])


def several(predictor: Any) -> list[np.ndarray]:
    return [*predictor.predict_each([IMAGES] * 5), predictor.predict(IMAGES)]


def test_networks_are_pickled_as_what_they_are_made_of():
    classifier = modelzoo.Classifier(runtime="openvino")
    content = pickle.dumps(classifier)
    assert len(content) < 10_000
    again = pickle.loads(content)
    assert again(CAT) == classifier(CAT)
    assert again.pipeline.deployment == classifier.pipeline.deployment


def test_whatever_holds_a_network_can_be_pickled():
    embedder = modelzoo.Embedder(SMALL)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(embedder))(CAT), embedder(CAT))
    detector = modelzoo.Detector("yolo2", weights="synthetic", size=96)
    again = pickle.loads(pickle.dumps(detector))
    assert (again.head, again.pipeline.deployment) == (detector.head, detector.pipeline.deployment)
    assert len(again(CAT, threshold=0)[0]) == len(detector(CAT, threshold=0)[0])


@pytest.mark.parametrize("runtime", ["openvino", "keras"])
def test_what_spawn_takes_along_answers_the_same(runtime):
    classifier = modelzoo.Classifier(runtime=runtime)
    expected, found = classify(classifier), answer_in("spawn", classify, classifier)
    assert [p.name for p in found[0]] == [p.name for p in expected[0]]
    assert found[0][0].probability == pytest.approx(expected[0][0].probability, abs=1e-5)


@forks
def test_a_classifier_made_before_a_fork_answers_in_the_child():
    classifier = modelzoo.Classifier(runtime="openvino")
    expected = classify(classifier)
    assert answer_in("fork", classify, classifier) == expected
    assert classify(classifier) == expected


@forks
def test_a_network_that_was_compiled_here_and_not_kept_answers_in_the_child():
    deployment = Deployment(SMALL, "synthetic", "openvino")
    predictor = runtimes.predictor(deployment, NetworkOptions())
    for expected, found in zip(several(predictor), answer_in("fork", several, predictor), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def _fork_again(classifier: modelzoo.Classifier) -> Any:
    multiprocessing.current_process()._config["daemon"] = False
    return classify(classifier), answer_in("fork", classify, classifier)


@forks
def test_a_child_of_a_child_answers():
    classifier = modelzoo.Classifier(runtime="openvino")
    expected = classify(classifier)
    assert answer_in("fork", _fork_again, classifier) == (expected, expected)


@forks
def test_a_child_that_ends_as_programs_do_ends():
    """gunicorn's workers run Python's own end, which destroys what OpenVINO left; with it, its threads."""
    code = (
        "import os, sys, modelzoo\n"
        "classifier = modelzoo.Classifier(runtime='openvino')\n"
        f"classifier({str(CAT)!r})\n"
        "for answers in (False, True):\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        f"        answers and classifier({str(CAT)!r})\n"
        "        sys.exit(7)\n"
        "    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    modelzoo.classify(CAT, runtime="openvino")  # compiled now: TensorFlow is no part of this
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS)
    assert run.stdout.split() == ["7", "7"], run.stderr


def _classify_anew() -> Any:
    return modelzoo.classify(CAT, runtime="openvino")


@forks
def test_where_openvino_would_hang_it_says_what_to_do():
    """It gives a network that is loaded the threads of one that is gone, and these stayed in the parent."""
    code = (
        "import modelzoo; from tests.test_processes import CAT, _classify_anew, answer_in\n"
        "print(answer_in('fork', _classify_anew)[0][0].name)\n"
        "kept = modelzoo.Classifier(runtime='openvino'); kept(CAT)\n"
        "print(answer_in('fork', _classify_anew)[0][0].name)\n"
        "del kept\n"
        "print(repr(answer_in('fork', _classify_anew)))\n"
    )
    modelzoo.classify(CAT, runtime="openvino")
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS, cwd=ROOT
    )
    first, second, third = run.stdout.splitlines()
    assert (first, second) == ("cat", "cat")
    assert third.startswith("RuntimeError('This process was forked after a network had been used and dropped")


@forks
def test_threads_of_a_child_share_a_network():
    classifier = modelzoo.Classifier(runtime="openvino")
    assert answer_in("fork", _in_threads, classifier) == [classify(classifier)] * 8


def _in_threads(classifier: modelzoo.Classifier) -> list[Any]:
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(classify, [classifier] * 8))


@forks
def test_keras_says_after_a_fork_what_to_do():
    error = answer_in("fork", classify, modelzoo.Classifier(runtime="keras"))
    assert isinstance(error, RuntimeError)
    assert "load it in the child process" in str(error)


def test_random_weights_are_not_pickled_because_they_would_be_others():
    pipeline = Pipeline(Deployment(SMALL, None), LabelsHead())
    for thing in (pipeline, pipeline.network):
        with pytest.raises(TypeError, match=r"random weights cannot be pickled.*give that as weights="):
            pickle.dumps(thing)


def test_another_head_shares_the_network():
    pipeline = Pipeline(Deployment(SMALL), LabelsHead())
    other = pipeline.with_head(LabelsHead(1))
    assert other.network is pipeline.network
    assert (pipeline.head.top, other.head.top) == (5, 1)
