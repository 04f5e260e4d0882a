"""detect(): Darknet's own letterboxes and boxes, on every runtime, and what a caller may ask for.

The golden was written by scripts/convert/originals/darknet_detect.py, which ran Darknet.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import modelzoo
from modelzoo import cli, labels, weights
from modelzoo.architectures import synthetic, yolo
from modelzoo.cli.main import NO_SPACE
from modelzoo.conversion import shapes
from modelzoo.images import axes
from modelzoo.runtimes import Deployment
from modelzoo.tasks import BoxesHead, Detection, Detector, Pipeline, boxes, draw_boxes
from modelzoo.tasks.boxes import OVERLAP, best_boxes, read_cells
from modelzoo.tasks.detection import _in_image
from modelzoo.verification.comparison import synthetic_weights
from tests.conftest import CAT, ROOT
from tests.networks import model_of

GOLDEN = np.load(ROOT / "tests" / "goldens" / "detection_darknet.npz")
SIDE = 192
STEP = 5
CLASSES = 80
ENTRY = modelzoo.info("yolo2")
PREPROCESSING = replace(ENTRY.preprocessing, crop_size=SIDE)
ANCHORS = yolo.VARIANTS["2"].anchors
NARROW = ((4,), (8, 4, 8), (8, 4, 8), (16, 8, 16, 8, 16), (16, 8, 16, 8, 16))
LETTERBOXES = [name for name in GOLDEN if name.startswith("letterbox")]
DETECTIONS = [name for name in GOLDEN if name.startswith("detections")]


def generated_image(height, width):
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
    monkeypatch.setattr(shapes, "_known", {})  # it remembers the real one
    weights.write(tmp_path / "small.h5", synthetic_weights(ENTRY).items(), {"model": ENTRY.key})
    return tmp_path / "small.h5"


@pytest.fixture(params=["openvino", "keras"])
def detector(small_yolo, request):
    """It answers at once, if only nonsense."""
    return Detector(weights=small_yolo, size=64, runtime=request.param)


@pytest.mark.parametrize("name", LETTERBOXES)
def test_a_letterbox_is_darknets(name):
    ours = modelzoo.preprocess(generated_image(*sizes(name.split("_")[1])), PREPROCESSING)[0]
    np.testing.assert_allclose(ours[::STEP, ::STEP], GOLDEN[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", DETECTIONS)
def test_labels_scores_and_boxes_are_darknets(name):
    _, size, threshold = name.split("_")
    height, width = sizes(size)
    numbers, scores, *corners = GOLDEN[name].T
    head = BoxesHead(float(threshold), SIDE)
    found = head.decode(generated_predictions(), (height, width), ENTRY)
    names = [label.name for label in labels.read("coco")]
    assert [one.name for one in found] == [names[int(number)] for number in numbers]
    np.testing.assert_allclose([one.score for one in found], scores, rtol=1e-5)
    cut = np.clip(np.transpose(corners), 0, (width, height, width, height))
    np.testing.assert_allclose([one.box for one in found], cut, rtol=1e-5, atol=1e-3)


def test_the_overlaps_of_the_golden_were_suppressed_at_all():
    _, scores = read_cells(generated_predictions(), "2")
    above = int((scores > 0.1).sum())
    assert len(GOLDEN["detections_192x192_0.1"]) < above


def test_an_anchor_says_where_a_box_is_and_its_class():
    output = np.full((2, 4, 5, 85), -20, np.float32)
    output[1, 3, 2] = 0  # a center in the middle of the cell, the anchor's own size, half sure of an object
    output[1, 3, 2, 5 + 16] = 20
    found = best_boxes(*read_cells(output.reshape(2, 4, 425), "2"), 0.4)
    ((number, score, (y0, x0, y1, x1)),) = found
    assert (number, score) == (16, pytest.approx(0.5))
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == (pytest.approx(3.5 / 4), pytest.approx(1.5 / 2))
    assert (x1 - x0, y1 - y0) == (pytest.approx(3.33843 / 4), pytest.approx(5.47434 / 2))


# TensorFlow's suppression and Keras' arithmetic, by which version 0.1 found its boxes, are the reference.


def tensorflow_best_boxes(boxes, scores, threshold):
    """What best_boxes gives, by TensorFlow: class, score and box, best first."""
    kept = tf.image.combined_non_max_suppression(
        boxes[None, :, None],
        scores[None],
        max_output_size_per_class=len(boxes),
        max_total_size=scores.size,
        iou_threshold=OVERLAP,
        score_threshold=threshold,
        clip_boxes=False,
    )
    count = int(kept.valid_detections[0])
    arrays = (kept.nmsed_classes, kept.nmsed_scores, kept.nmsed_boxes)
    classes, scores, boxes = (array[0, :count].numpy() for array in arrays)
    return [
        (int(number), float(score), tuple(box))
        for number, score, box in zip(classes, scores, boxes, strict=True)
    ]


def ours(boxes, scores, threshold):
    return [(number, score, tuple(box)) for number, score, box in best_boxes(boxes, scores, threshold)]


def random_boxes(random, count):
    """Crowded, so that many overlap; a tenth has no area, or no height, or no width."""
    corner = random.uniform(-0.2, 0.8, (count, 2))
    size = random.uniform(0, 0.6, (count, 2)) * (random.random((count, 2)) > 0.05)
    return np.concatenate([corner, corner + size], axis=1).astype(np.float32)


def random_scores(random, count, classes):
    """No two are equal."""
    levels = random.permutation(count * classes).reshape(count, classes)
    return (levels / levels.size).astype(np.float32)


@pytest.mark.parametrize("seeds", [range(n, n + 50) for n in range(0, 400, 50)], ids=lambda seeds: seeds[0])
def test_the_same_boxes_remain_as_after_tensorflows_suppression(seeds):
    for seed in seeds:
        random = np.random.default_rng(seed)
        count, classes = int(random.integers(1, 120)), int(random.integers(1, 8))
        boxes, scores = random_boxes(random, count), random_scores(random, count, classes)
        threshold = float(random.choice([0, 0.005, 0.3, 0.5, 0.9, 0.999]))
        found = ours(boxes, scores, threshold)
        assert found == tensorflow_best_boxes(boxes, scores, threshold), seed


def test_of_boxes_without_an_area_all_remain_as_in_tensorflow():
    boxes = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0.5, 0, 0.5, 1], [0.5, 0, 0.5, 1]], np.float32)
    scores = np.array([[0.9], [0.8], [0.7], [0.6]], np.float32)
    found = ours(boxes, scores, 0.5)
    assert [score for _, score, _ in found] == pytest.approx([0.9, 0.7, 0.6])
    assert found == tensorflow_best_boxes(boxes, scores, 0.5)


def test_a_box_at_the_very_overlap_remains_as_in_tensorflow():
    """Of a union of 20 parts 9 are shared, or in float32 a little more or less than 0.45 of it."""
    for shift in np.linspace(-1e-6, 1e-6, 201, dtype=np.float32):
        boxes = np.array([[0, 0, 1, 14.5], [0, 5.5 + shift, 1, 20 + shift]], np.float32)
        scores = np.array([[0.9], [0.8]], np.float32)
        assert ours(boxes, scores, 0.5) == tensorflow_best_boxes(boxes, scores, 0.5), shift


def test_equal_scores_of_classes_and_of_boxes_apart_are_found_as_by_tensorflow():
    """Their order is the heap's and the sort's there; here it is that of the classes, then of the boxes."""
    for seed in range(100):
        random = np.random.default_rng(seed)
        count, classes = int(random.integers(1, 40)), int(random.integers(1, 6))
        boxes = random_boxes(random, count) + 2 * np.arange(count, dtype=np.float32)[:, None]
        scores = random.integers(0, 4, (count, classes)).astype(np.float32) / 4
        found = ours(boxes, scores, 0.2)
        assert sorted(found) == sorted(tensorflow_best_boxes(boxes, scores, 0.2)), seed
        places = {tuple(box): place for place, box in enumerate(boxes)}
        keys = [(-score, number, places[box]) for number, score, box in found]
        assert keys == sorted(keys)


def test_of_overlapping_boxes_with_equal_scores_the_first_remains():
    box = [0, 0, 1, 1]
    ((_, score, found),) = ours(np.array([box, [0, 0, 1, 0.9], box], np.float32), np.full((3, 1), 0.5), 0.4)
    assert (score, found) == (0.5, (0, 0, 1, 1))


def overlap(first, second):
    return float(boxes.overlaps(np.array(first), np.array(second)[None])[0])


def test_whatever_the_ties_the_result_is_a_suppression_and_as_good_as_tensorflows():
    """Every box that went is overlapped by one of its class that is at least as good; none of the rest is."""
    for seed in range(50):
        random = np.random.default_rng(seed)
        count = int(random.integers(1, 60))
        all_boxes = random_boxes(random, count)
        scores = random.integers(1, 4, (count, 1)).astype(np.float32) / 4
        for found in (ours(all_boxes, scores, 0.2), tensorflow_best_boxes(all_boxes, scores, 0.2)):
            kept = [(score, box) for _, score, box in found]
            for score, box in zip(scores[:, 0], map(tuple, all_boxes), strict=True):
                over = [s for s, other in kept if other != box and overlap(box, other) > OVERLAP]
                assert ((float(score), box) in kept) != any(s >= score for s in over), seed
        assert ours(all_boxes, scores, 0.2)[0][1] == scores.max()


def keras_read_cells(output):
    """What read_cells gives, by Keras on TensorFlow."""
    output = keras.ops.reshape(keras.ops.cast(output, "float32"), (*output.shape[:2], 5, 85))
    rows, columns = output.shape[:2]
    grid = np.array((columns, rows), np.float32)
    corner = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1)[:, :, None]
    center = (keras.ops.sigmoid(output[..., :2]).numpy() + corner) / grid
    size = keras.ops.exp(output[..., 2:4]).numpy() * np.float32(ANCHORS) / grid
    boxes = np.concatenate([center - size / 2, center + size / 2], axis=-1)[..., [1, 0, 3, 2]]
    scores = (keras.ops.sigmoid(output[..., 4:5]) * keras.ops.softmax(output[..., 5:], axis=-1)).numpy()
    return boxes.astype(np.float32).reshape(-1, 4), scores.reshape(-1, CLASSES)


@pytest.mark.parametrize("factor", [1, 20])
def test_cells_are_read_as_by_keras(factor):
    """With the larger factor exponentials leave float32 at both ends."""
    output = generated_predictions() * np.float32(factor)
    with np.errstate(over="ignore"):
        expected = keras_read_cells(output)
    for ours, theirs in zip(read_cells(output, "2"), expected, strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-6)


def test_boxes_are_found_without_keras_and_tensorflow():
    code = (
        "import sys, numpy; from modelzoo.tasks.boxes import best_boxes, read_cells;"
        "output = numpy.zeros((2, 3, 425), numpy.float32);"
        "print(len(list(best_boxes(*read_cells(output, '2'), 0.005))));"
        "print(sorted({'keras', 'tensorflow', 'PIL.ImageDraw'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    count, modules = run.stdout.splitlines()
    assert int(count) > 0
    assert modules == "[]"


def test_every_runtime_finds_what_keras_and_tensorflow_find(detector, small_yolo):
    image, threshold = generated_image(40, 60), 0.005
    model = modelzoo.load("yolo2", weights=small_yolo, input_shape=(64, 64, 3))
    preprocessing = replace(ENTRY.preprocessing, crop_size=64)
    cells = keras_read_cells(model(modelzoo.preprocess(image, preprocessing), training=False)[0])
    expected = tensorflow_best_boxes(*cells, threshold)
    (found,) = detector(image, threshold)
    names = [label.name for label in labels.read("coco")]
    assert [one.name for one in found] == [names[number] for number, _, _ in expected]
    np.testing.assert_allclose([one.score for one in found], [score for _, score, _ in expected], rtol=1e-5)
    rows, columns = axes(preprocessing, 40, 60)
    corners = [_in_image(np.array(box), rows, columns) for _, _, box in expected]
    np.testing.assert_allclose([one.box for one in found], corners, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("options", [{"crops": 10}, {"fast_decode": True}])
def test_boxes_of_a_part_or_of_a_smaller_copy_of_the_image_are_refused(options, small_yolo):
    deployment = Deployment("yolo2", small_yolo, **options)
    with pytest.raises(ValueError, match="Boxes need the whole image: crops=1 and fast_decode=False"):
        Pipeline(deployment, BoxesHead())


def test_nothing_above_the_threshold_is_an_empty_list(detector):
    assert detector(CAT, threshold=0.99) == [[]]


def test_many_images_keep_their_order_and_give_what_each_gives_alone(detector):
    image = generated_image(40, 60)
    together = detector([CAT, image], threshold=0.005)
    assert together == [*detector(CAT, threshold=0.005), *detector(image, threshold=0.005)]
    assert together[0] != together[1]


def test_boxes_lie_in_the_image_and_the_best_comes_first(detector):
    (found,) = detector(generated_image(40, 60), threshold=0.005)
    assert found
    assert all(0 <= d.box[0] <= d.box[2] <= 60 and 0 <= d.box[1] <= d.box[3] <= 40 for d in found)
    assert [d.score for d in found] == sorted((d.score for d in found), reverse=True)


def test_boxes_are_drawn_on_a_copy():
    image = generated_image(120, 160)
    before = image.copy()
    drawn = np.asarray(draw_boxes(image, [Detection("dog", "dog", 0.8, (30.0, 40.0, 100.0, 110.0))]))
    assert np.array_equal(image, before)
    assert len(np.unique(drawn[45:105, 30], axis=0)) == 1  # the left side of the box, in one color
    assert np.array_equal(drawn[:20], image[:20])


def test_an_image_of_any_shape_can_be_looked_at(detector):
    assert len(detector([generated_image(1, 3000), generated_image(3000, 1)])) == 2


@pytest.mark.parametrize("threshold", [-0.1, 1, 2])
def test_a_threshold_that_is_no_score_is_refused(threshold, detector):
    with pytest.raises(ValueError, match="threshold must be from 0 to below 1"):
        detector(CAT, threshold=threshold)


def test_a_classification_model_is_refused():
    with pytest.raises(
        ValueError, match=r"resnet9_cifar10\.modelzoo is a classification model; use Classifier"
    ):
        modelzoo.detect(CAT, "resnet9_cifar10")


def test_a_detection_model_does_not_classify():
    with pytest.raises(ValueError, match=r"yolo2\.darknet is a detection model; use Detector"):
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
    with Image.open(tmp_path / "cat.boxes.jpg") as copy, Image.open(CAT) as image:
        assert copy.size == image.size


def test_the_command_answers_in_json_and_draws_only_what_it_is_told_to(run, tmp_path):
    answer = json.loads(run(CAT, "--json").out)
    assert answer["model"] == "yolo2.darknet"
    assert answer["copy"] is None
    assert answer["detections"][0].keys() == {"id", "name", "score", "box"}
    assert json.loads(run(CAT, "--json", "-o", "x.png").out)["copy"] == "x.png"
    assert sorted(path.name for path in tmp_path.glob("*.*g")) == ["x.png"]


def test_each_image_has_a_copy_of_its_own_and_no_file_is_overwritten(run, tmp_path):
    images = []
    for folder in ("a", "b", "c/a"):
        (tmp_path / folder).mkdir(parents=True)
        images.append(tmp_path / folder / "x.jpg")
        shutil.copy(CAT, images[-1])
    (tmp_path / "x.boxes.jpg").write_text("mine")
    lines = run(*images).out.splitlines()
    copies = [line.removeprefix("drawn: ") for line in lines if line.startswith("drawn: ")]
    assert copies == ["a_x.boxes.jpg", "b_x.boxes.jpg", "x.boxes-2.jpg"]
    assert all((tmp_path / copy).read_bytes().startswith(b"\xff\xd8") for copy in copies)
    assert (tmp_path / "x.boxes.jpg").read_text() == "mine"


def test_a_copy_that_cannot_be_written_whole_leaves_nothing(run, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    result = run(CAT)
    assert (result.code, result.err) == (1, f"modelzoo: {NO_SPACE}\n")
    assert list(tmp_path.glob("*.jpg")) == []


def test_an_image_of_stdin_is_no_file_that_the_copy_could_overwrite(run, tmp_path, monkeypatch):
    (tmp_path / "x.jpg").write_text("of an earlier run")
    with CAT.open("rb") as file:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=file))
        assert run("-", "-o", "x.jpg").out.endswith("drawn: x.jpg\n")


def test_the_command_says_that_nothing_was_found(run):
    assert "nothing scores above 0.9" in run(CAT, "--threshold", 0.9).out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((CAT, "-o", CAT), "is the image itself; give the copy another name"),
        ((CAT, CAT, "-o", "x.jpg"), "--output names one file, and there are 2 images"),
        ((CAT, "-o", "x.xyz"), "unknown file extension"),
        (
            (CAT, "-m", "resnet9_cifar10"),
            "resnet9_cifar10.modelzoo is a classification model; use Classifier",
        ),
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
        ({"input_shape": (None, None, 3)}, "with its top needs the height and width of its images"),
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
    model = model_of(lambda nn, images: yolo.reorg(nn, images, "reorg"), (height, width, channels))
    ours = model(x.reshape(1, channels, height, width).transpose(0, 2, 3, 1)).numpy()[0]
    wanted = expected.reshape(channels * 4, height // 2, width // 2).transpose(1, 2, 0)
    assert np.array_equal(ours, wanted)
