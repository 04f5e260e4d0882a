"""Predictions in other classes than the network's own: exact, offline, by WordNet's ids."""

from __future__ import annotations

import json

import numpy as np
import pytest

import modelzoo
from modelzoo import cli, labels
from modelzoo.errors import LabelsError

MLIMAGES, IMAGENET = labels.read("mlimages"), labels.read("imagenet")
IDS = [label.id for label in MLIMAGES]


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def logits() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(4, len(MLIMAGES)))


def test_of_11166_classes_come_the_1000_as_a_softmax_over_them_alone_gives(logits):
    columns = [IDS.index(label.id) for label in IMAGENET]
    found = modelzoo.as_label_set(softmax(logits), "mlimages", "imagenet")
    np.testing.assert_allclose(found, softmax(logits[:, columns]), rtol=1e-12)
    raw = modelzoo.as_label_set(softmax(logits), "resnet101_mlimages", "imagenet", normalize=False)
    assert np.array_equal(raw, softmax(logits)[:, columns])


def test_the_background_can_be_left_out():
    probabilities = softmax(np.random.default_rng(5).normal(size=(2, 1001)))
    found = modelzoo.as_label_set(probabilities, "inception_v3.slim", "imagenet")
    np.testing.assert_allclose(found, probabilities[:, 1:] / probabilities[:, 1:].sum(axis=1, keepdims=True))


def test_classes_that_a_network_does_not_know_are_named():
    with pytest.raises(LabelsError, match=r"imagenet has no classes n00002452, .*, which mlimages has"):
        modelzoo.as_label_set(np.full((1, 1000), 1e-3), "imagenet", "mlimages")


def is_kind_of(id: str, other: str) -> bool:
    """Walks up the table itself, as the code under test does not."""
    place = IDS.index(id) if id in IDS else None
    while place is not None:
        if IDS[place] == other:
            return True
        place = MLIMAGES[place].parent
    return False


@pytest.mark.parametrize(("name", "table"), [("mlimages", MLIMAGES), ("imagenet", IMAGENET)])
def test_the_probability_of_a_dog_is_that_of_all_its_kinds(name, table):
    probabilities = softmax(np.random.default_rng(6).normal(size=(3, len(table))))
    kinds = [place for place, label in enumerate(table) if is_kind_of(label.id, "n02084071")]
    assert len(kinds) > 100
    expected = probabilities[:, kinds].sum(axis=1)
    np.testing.assert_allclose(modelzoo.roll_up(probabilities, name, to="dog"), expected, rtol=1e-12)
    both = modelzoo.roll_up(probabilities, name, to=["n02084071", "cat, true cat"])
    assert both.shape == (3, 2)
    assert np.array_equal(both[:, 0], modelzoo.roll_up(probabilities, name, to="dog"))


@pytest.mark.parametrize(
    ("name", "to", "message"),
    [
        ("imagenet", "crane", r"'crane' is ambiguous in mlimages: choose one of n03126707 .*n02012849"),
        ("imagenet", "tuberose", r"No class of imagenet is a kind of 'tuberose' \(n12480456\)"),
        ("cifar10", "dog", "cifar10 has no hierarchy: its classes have no WordNet ids"),
        ("imagenet", "dgo", "There is no class 'dgo' in mlimages"),
    ],
)
def test_what_cannot_be_rolled_up_is_answered_in_one_sentence(name, to, message):
    with pytest.raises(LabelsError, match=message):
        modelzoo.roll_up(np.full((1, len(labels.read(name))), 1e-4), name, to=to)


def test_the_deepest_class_above_the_threshold_is_as_special_as_the_network_is_sure():
    ids = [label.id for label in IMAGENET]
    chihuahua, spaniel, cat = (ids.index(id) for id in ("n02085620", "n02085782", "n02123045"))
    probabilities = np.zeros((3, 1000))
    probabilities[0, [chihuahua, spaniel]] = 0.9, 0.1
    probabilities[1, [chihuahua, spaniel, cat]] = 0.35, 0.35, 0.3
    probabilities[2, [chihuahua, cat]] = 0.5, 0.5
    sure, dog, carnivore = modelzoo.deepest(probabilities, "imagenet", threshold=0.6)
    assert (sure.id, sure.probability) == ("n02085620", 0.9)
    assert is_kind_of(dog.id, "n02084071")
    assert dog.probability == pytest.approx(0.7)
    assert (carnivore.id, carnivore.probability) == ("n02075296", 1.0)
    assert modelzoo.deepest(np.full((1, 1000), 1e-4), "imagenet", threshold=0.6) == [None]


def test_networks_with_other_label_sets_are_averaged_by_id(logits):
    small = softmax(np.random.default_rng(8).normal(size=(4, 1001)))
    table, mean = modelzoo.average_predictions(
        [(softmax(logits), "mlimages"), (small, "imagenet_background")], weights=[3, 1]
    )
    assert len(table) == 1000
    place = [label.id for label in table].index("n01440764")
    first = modelzoo.as_label_set(softmax(logits), "mlimages", "imagenet")[:, 0]
    second = small[:, 1] / small[:, 1:].sum(axis=1)
    np.testing.assert_allclose(mean[:, place], (3 * first + second) / 4, rtol=1e-12)
    np.testing.assert_allclose(mean.sum(axis=1), 1, rtol=1e-12)
    with pytest.raises(LabelsError, match="Expected label sets with ids in common, got imagenet, cifar10"):
        modelzoo.average_predictions([(np.zeros((1, 1000)), "imagenet"), (np.zeros((1, 10)), "cifar10")])


def test_dog_is_the_animal_and_not_the_andiron():
    assert [MLIMAGES[place].id for place in labels.find(MLIMAGES, "Dog")] == ["n02084071"]
    assert len(labels.find_all(MLIMAGES, "dog")) == 2


def test_classes_shows_an_id_the_synonyms_the_path_and_who_knows_it(capsys):
    assert cli.main(["classes", "tuberose"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("n12480456 tuberose\n")
    for part in (
        "5314 of mlimages",
        "Polianthes tuberosa",
        "plant > ",
        "flower > tuberose",
        "resnet101_mlimages.tencent",
    ):
        assert part in shown
    assert cli.main(["classes", "--json", "tench"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["labels"], one["index"]) for one in found] == [
        ("imagenet", 0),
        ("imagenet_background", 1),
        ("mlimages", IDS.index("n01440764")),
    ]
    assert all(one["models"] == modelzoo.list_models(labels=one["labels"]) for one in found)


def test_classes_finds_parts_of_names_and_says_what_it_does_not_find(capsys):
    assert cli.main(["classes", "polianthes"]) == 0
    assert "tuberose" in capsys.readouterr().out
    assert cli.main(["classes", "dragonet of no sea"]) == 1
    assert "No label set has a class 'dragonet of no sea'" in capsys.readouterr().err


def test_two_cranes_and_262_names_of_ml_images_stand_twice():
    assert labels.repeated_names(IMAGENET) == {"crane"}
    assert len(labels.repeated_names(MLIMAGES)) == 262


def test_the_text_output_tells_two_cranes_apart(capsys):
    from modelzoo.cli.tasks import _print_predictions

    cranes = [modelzoo.Prediction(id, "crane", 0.5) for id in ("n02012849", "n03126707")]
    _print_predictions(
        "a.jpg", [*cranes, modelzoo.Prediction("n01440764", "tench", 0)], labels.repeated_names(IMAGENET)
    )
    shown = capsys.readouterr().out
    assert "crane (n02012849)" in shown
    assert "crane (n03126707)" in shown
    assert "tench  " in shown
