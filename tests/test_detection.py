"""detect(): Darknet's own letterboxes and boxes, and what a caller may ask for.

The golden was written by scripts/convert/originals/darknet_detect.py, which ran Darknet.
"""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from PIL import Image

import modelzoo
from modelzoo import cli, conversion, labels, preprocessing, synthetic, weights
from modelzoo.architectures import yolo
from modelzoo.architectures.layers import Layers
from modelzoo.detection import Detection, Detector, best, draw, read_cells
from tests.conftest import CAT, ROOT

GOLDEN = np.load(ROOT / "tests" / "goldens" / "detection_darknet.npz")
SIDE = 192
STEP = 5
CLASSES = 80
ENTRY = modelzoo.info("yolo2")
RECIPE = replace(ENTRY.pictures, crop=SIDE)
ANCHORS = yolo.VARIANTS["2"].anchors
NARROW = ((4,), (8, 4, 8), (8, 4, 8), (16, 8, 16, 8, 16), (16, 8, 16, 8, 16))
LETTERBOXES = [name for name in GOLDEN if name.startswith("letterbox")]
DETECTIONS = [name for name in GOLDEN if name.startswith("detections")]


def generated_picture(height, width):
    """As in scripts/convert/originals/darknet_detect.py."""
    rows, columns, channels = np.ogrid[:height, :width, :3]
    slopes = rows * (2 + channels) + columns * (3 - channels)
    noise = np.random.RandomState(height * 10007 + width).randint(0, 64, (height, width, 3))
    return ((slopes + noise) % 256).astype(np.uint8)


def generated_predictions():
    """As in scripts/convert/originals/darknet_detect.py."""
    grid = SIDE // yolo.STRIDE
    raw = np.random.RandomState(2).normal(0, 1.5, (grid, grid, 5, 5 + CLASSES))
    raw[..., 2:4] *= 0.3
    raw[..., 5:8] += 6
    return raw.reshape(grid, grid, -1).astype(np.float32)


def sizes(text):
    return tuple(int(side) for side in text.split("x"))


@pytest.fixture
def small_yolo(monkeypatch, tmp_path):
    """The weight file of a yolo2 with few channels, which takes its place: the real one has 200 MB."""
    monkeypatch.setitem(yolo.VARIANTS, "2", yolo.Variant(8, NARROW, 4, ANCHORS))
    monkeypatch.setattr(conversion, "_shapes", conversion._shapes.__wrapped__)  # it remembers the real one
    arrays = ((name, synthetic.array(name, shape)) for name, shape in conversion.weight_shapes(ENTRY).items())
    weights.write(tmp_path / "small.h5", arrays, {"model": ENTRY.key})
    return tmp_path / "small.h5"


@pytest.fixture
def detector(small_yolo):
    """It answers at once, if only nonsense."""
    return Detector(weights=small_yolo, size=64)


@pytest.fixture
def decoder():
    """What Detector.decode needs, without a network."""
    return SimpleNamespace(entry=ENTRY, recipe=RECIPE)


@pytest.mark.parametrize("name", LETTERBOXES)
def test_a_letterbox_is_darknets(name):
    ours = preprocessing.preprocess(generated_picture(*sizes(name.split("_")[1])), RECIPE)[0]
    np.testing.assert_allclose(ours[::STEP, ::STEP], GOLDEN[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", DETECTIONS)
def test_labels_scores_and_boxes_are_darknets(name, decoder):
    _, size, threshold = name.split("_")
    height, width = sizes(size)
    numbers, scores, *corners = GOLDEN[name].T
    found = Detector.decode(decoder, generated_predictions(), (height, width), float(threshold))
    names = [label.name for label in labels.read("coco")]
    assert [one.name for one in found] == [names[int(number)] for number in numbers]
    np.testing.assert_allclose([one.score for one in found], scores, rtol=1e-5)
    cut = np.clip(np.transpose(corners), 0, (width, height, width, height))
    np.testing.assert_allclose([one.box for one in found], cut, rtol=1e-5, atol=1e-3)


def test_the_overlaps_of_the_golden_were_suppressed_at_all():
    _, scores = read_cells(generated_predictions(), ANCHORS)
    above = int((scores > 0.1).sum())
    assert len(GOLDEN["detections_192x192_0.1"]) < above


def test_an_anchor_says_where_a_box_is_and_its_class():
    output = np.full((2, 4, 5, 85), -20, np.float32)
    output[1, 3, 2] = 0  # a centre in the middle of the cell, the anchor's own size, half sure of an object
    output[1, 3, 2, 5 + 16] = 20
    boxes, scores = read_cells(output.reshape(2, 4, 425), ANCHORS)
    ((number, score, (y0, x0, y1, x1)),) = best(boxes, scores, 0.4)
    assert (number, score) == (16, pytest.approx(0.5))
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == (pytest.approx(3.5 / 4), pytest.approx(1.5 / 2))
    assert (x1 - x0, y1 - y0) == (pytest.approx(3.33843 / 4), pytest.approx(5.47434 / 2))


def test_nothing_above_the_threshold_is_an_empty_list(detector):
    assert detector(CAT, threshold=0.99) == [[]]


def test_many_pictures_keep_their_order_and_give_what_each_gives_alone(detector):
    picture = generated_picture(40, 60)
    together = detector([CAT, picture], threshold=0.005)
    assert together == [*detector(CAT, threshold=0.005), *detector(picture, threshold=0.005)]
    assert together[0] != together[1]


def test_boxes_lie_in_the_picture_and_the_best_comes_first(detector):
    (found,) = detector(generated_picture(40, 60), threshold=0.005)
    assert found
    assert all(0 <= d.box[0] <= d.box[2] <= 60 and 0 <= d.box[1] <= d.box[3] <= 40 for d in found)
    assert [d.score for d in found] == sorted((d.score for d in found), reverse=True)


def test_boxes_are_drawn_on_a_copy():
    picture = generated_picture(120, 160)
    before = picture.copy()
    drawn = np.asarray(draw(picture, [Detection("dog", "dog", 0.8, (30.0, 40.0, 100.0, 110.0))]))
    assert np.array_equal(picture, before)
    assert len(np.unique(drawn[45:105, 30], axis=0)) == 1  # the left side of the box, in one colour
    assert np.array_equal(drawn[:20], picture[:20])


def test_a_picture_of_any_shape_can_be_looked_at(detector):
    assert len(detector([generated_picture(1, 3000), generated_picture(3000, 1)])) == 2


@pytest.mark.parametrize("threshold", [-0.1, 1, 2])
def test_a_threshold_that_is_no_score_is_refused(threshold, detector):
    with pytest.raises(ValueError, match="threshold must be from 0 to below 1"):
        detector(CAT, threshold=threshold)


def test_a_classifier_finds_no_objects():
    with pytest.raises(
        ValueError, match=r"resnet9_cifar10\.modelzoo finds no objects: it is for classification"
    ):
        modelzoo.detect(CAT, "resnet9_cifar10")


def test_a_detector_names_no_pictures():
    with pytest.raises(ValueError, match=r"yolo2\.darknet names no pictures: it is for detection"):
        modelzoo.classify(CAT, "yolo2")


# The command


@pytest.fixture
def run(small_yolo, capfd, monkeypatch, tmp_path):
    """Runs `modelzoo detect` with the small network, in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        options = ("-w", small_yolo, "--size", 64, "--threshold", 0.006)
        code = cli.main(["detect", *map(str, (*options, *arguments))])
        return SimpleNamespace(code=code, **capfd.readouterr()._asdict())

    return run


def test_the_command_prints_a_table_and_draws_on_a_copy(run, tmp_path):
    result = run(CAT)
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[2].split() == ["object", "score", "x0", "y0", "x1", "y1"]
    assert lines[-1] == "drawn: cat.boxes.jpg"
    with Image.open(tmp_path / "cat.boxes.jpg") as copy, Image.open(CAT) as picture:
        assert copy.size == picture.size


def test_the_command_answers_in_json_and_draws_only_what_it_is_told_to(run, tmp_path):
    answer = json.loads(run(CAT, "--json").out)
    assert answer["model"] == "yolo2.darknet"
    assert answer["copy"] is None
    assert answer["detections"][0].keys() == {"id", "name", "score", "box"}
    assert json.loads(run(CAT, "--json", "-o", "x.png").out)["copy"] == "x.png"
    assert sorted(path.name for path in tmp_path.glob("*.*g")) == ["x.png"]


def test_the_command_says_that_nothing_was_found(run):
    assert "nothing scores above 0.9" in run(CAT, "--threshold", 0.9).out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((CAT, "-o", CAT), "is the picture itself; give the copy another name"),
        ((CAT, CAT, "-o", "x.jpg"), "--output names one file, and there are 2 pictures"),
        ((CAT, "-o", "x.xyz"), "unknown file extension"),
        ((CAT, "-m", "resnet9_cifar10"), "resnet9_cifar10.modelzoo finds no objects"),
        ((CAT, "--size", 100), "multiples of 32"),
        (("none.jpg",), "none.jpg"),
    ],
)
def test_the_command_refuses_in_one_sentence(arguments, message, run):
    before = CAT.read_bytes()
    result = run(*arguments)
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert message in result.err
    assert CAT.read_bytes() == before


# The network


@pytest.mark.parametrize(
    ("options", "output"),
    [
        ({}, (None, 4, 2, 425)),
        ({"classes": 3}, (None, 4, 2, 5 * 8)),
        ({"include_top": False}, (None, 4, 2, 16)),
        ({"include_top": False, "pooling": "avg"}, (None, 16)),
    ],
)
def test_the_backbone_and_other_classes_take_the_same_file(options, output, small_yolo):
    model = modelzoo.load("yolo2", weights=small_yolo, input_shape=(128, 64, 3), **options)
    assert model.output_shape == output
    kernel = model.get_layer("stage5_conv5").kernel.numpy()
    assert np.array_equal(kernel, synthetic.array("stage5_conv5/kernel", kernel.shape))


def test_without_the_top_the_size_may_be_open(small_yolo):
    model = modelzoo.load("yolo2", weights=small_yolo, features=True, input_shape=(None, None, 3))
    maps = model(np.zeros((1, 96, 160, 3), np.float32))
    assert {name: tuple(x.shape[1:3]) for name, x in maps.items()} == {
        "C2": (24, 40),
        "C3": (12, 20),
        "C4": (6, 10),
        "C5": (3, 5),
    }


def test_a_saved_model_is_plain_keras(small_yolo, tmp_path):
    model = modelzoo.load("yolo2", weights=small_yolo, input_shape=(96, 64, 3))
    model.save(tmp_path / "saved.keras")
    images = synthetic.images(96, 64)
    assert np.array_equal(keras.models.load_model(tmp_path / "saved.keras")(images), model(images))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_shape": (None, None, 3)}, "with its top needs the height and width of its pictures"),
        ({"input_shape": (208, 208, 3)}, "multiples of 32"),
        ({"classifier_activation": "softmax"}, "its output has no one activation"),
    ],
)
def test_what_the_detector_cannot_be_is_refused(options, message, small_yolo):
    with pytest.raises(ValueError, match=message):
        modelzoo.load("yolo2", weights=small_yolo, **options)


def test_reorg_moves_pixels_as_the_loop_of_darknet_does():
    height, width, channels, stride = 6, 10, 8, 2
    x = np.arange(height * width * channels, dtype=np.float32)
    expected = np.empty_like(x)
    for k, j, i in np.ndindex(channels, height, width):  # reorg_cpu with forward = 0
        quarter = channels // stride**2
        row, column = j * stride + k // quarter // stride, i * stride + k // quarter % stride
        place = column + width * stride * (row + height * stride * (k % quarter))
        expected[i + width * (j + height * k)] = x[place]
    images = keras.Input((height, width, channels))
    model = keras.Model(images, yolo.reorg(Layers(), images, "reorg"))
    ours = model(x.reshape(1, channels, height, width).transpose(0, 2, 3, 1)).numpy()[0]
    wanted = expected.reshape(channels * 4, height // 2, width // 2).transpose(1, 2, 0)
    assert np.array_equal(ours, wanted)
