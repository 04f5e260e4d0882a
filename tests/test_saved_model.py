"""SavedModels: TensorFlow alone answers with one, images' bytes included; a foreign one is not run."""

from __future__ import annotations

import dataclasses
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import modelzoo
from modelzoo import cli, exporters, registry, zoo
from modelzoo.errors import ExportError, OutputError
from modelzoo.exporters import FORMATS, Options, proof_images
from modelzoo.exporters.delivery import deliver
from modelzoo.images import preprocess, read_image
from modelzoo.images.resampling import INTERPOLATIONS
from modelzoo.tasks import networks
from tests.conftest import CAT
from tests.test_export import network, one_sentence, with_write

MODEL = "resnet9_cifar10"
LEVEL = 1.0  # of 255: what the preprocessing in a SavedModel may differ by
EXACT = 1e-3  # of a level, for the kernels whose arithmetic is the same
SIZES = ((300, 451), (451, 300), (37, 53), (1, 9), (600, 800), (257, 256))  # height, width
# A registry's preprocessing for each interpolation, at a small size; the exotic attributes are among them.
PREPROCESSING = {
    "darknet_linear": "yolo2",
    "opencv_linear": "resnet101_mlimages",
    "pillow3_nearest": "vgg16",
    "pillow_bicubic": MODEL,
    "pillow_bilinear": "mobilenet_v2.torchvision",
    "pillow_nearest": "vgg16",
    "tf1_bicubic": "efficientnet_lite0",
    "tf1_bilinear": "vgg_16.slim",
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> exporters.Exported:
    return modelzoo.export(MODEL, tmp_path_factory.mktemp("saved") / "network", format="saved_model")


def encoded(height: int, width: int, format: str = "PNG", **options) -> bytes:
    """The photograph in another size, as a file."""
    file = io.BytesIO()
    with Image.open(CAT) as image:
        image.resize((width, height)).save(file, format, **options)
    return file.getvalue()


# Images' bytes


def test_every_interpolation_is_tested():
    from modelzoo.exporters import saved_model_resampling

    assert PREPROCESSING.keys() == INTERPOLATIONS.keys() == saved_model_resampling.INTERPOLATIONS.keys()


@pytest.mark.parametrize("interpolation", PREPROCESSING)
def test_images_are_prepared_in_tensorflow_as_here(interpolation):
    """To a thousandth of a level, but for Pillow's bilinear: Pillow chooses whether rows come first."""
    import tensorflow as tf

    from modelzoo.exporters.saved_model_images import network_input

    entry = registry.info(PREPROCESSING[interpolation])
    ours = dataclasses.replace(entry.preprocessing, interpolation=interpolation)
    facts = json.loads(json.dumps(dataclasses.asdict(ours)))
    spec = [tf.TensorSpec((), tf.string)]
    prepare = tf.function(lambda image: network_input(image, facts), autograph=False, input_signature=spec)
    scale = 255 * np.array(ours.std)[:: -1 if ours.channels == "BGR" else 1] / ours.max_value
    for image in (CAT.read_bytes(), *(encoded(*size) for size in SIZES)):
        mine = preprocess(image, ours)[0].astype(np.float64)
        difference = np.abs(prepare(image).numpy() - mine) * scale
        assert difference.max() <= (LEVEL + EXACT if interpolation == "pillow_bilinear" else EXACT)


@pytest.mark.parametrize(
    "image",
    [
        *(pytest.param(("JPEG", {"orientation": n}), id=f"orientation {n}") for n in range(1, 9)),
        pytest.param(("JPEG", {"progressive": True, "subsampling": 2}), id="progressive"),
        pytest.param(("PNG", {"mode": "RGBA"}), id="alpha"),
        pytest.param(("PNG", {"mode": "P"}), id="palette"),
        pytest.param(("PNG", {"mode": "I;16"}), id="16 bits"),
        pytest.param(("JPEG", {"mode": "L"}), id="gray"),
    ],
)
def test_pixels_are_those_that_a_person_sees(image):
    """Each level equal, EXIF's orientation applied."""
    from modelzoo.exporters.saved_model_images import decoded

    format, options = image
    mode, exif = options.pop("mode", "RGB"), Image.Exif()
    exif[0x0112] = options.pop("orientation", 1)
    file = io.BytesIO()
    with Image.open(CAT) as photograph:
        small = photograph.resize((120, 90)).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        small = Image.fromarray(np.asarray(small).astype(np.uint16) * 200)
    small.save(file, format, exif=exif, **options)
    assert np.array_equal(decoded(file.getvalue()).numpy(), read_image(file.getvalue()))


PROGRAM = """
import json, sys
sys.modules |= {"keras": None, "tf_keras": None, "modelzoo": None}  # importing one of them is an error
import tensorflow as tf
classify = tf.saved_model.load(sys.argv[1]).signatures["classify"]
image = tf.io.read_file(sys.argv[2])
found = classify(image_bytes=tf.stack([image, image]))
print(json.dumps({
    "classes": [name.decode() for name in found["classes"].numpy()[1]],
    "ids": [name.decode() for name in found["ids"].numpy()[1]],
    "scores": found["scores"].numpy()[1].tolist(),
}))
"""


def test_a_process_that_imports_only_tensorflow_answers_with_ids_and_names(saved, tmp_path):
    words = [sys.executable, "-P", "-W", "ignore", "-c", PROGRAM, str(saved.path), str(CAT)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, check=True)
    found = json.loads(done.stdout)
    (ours,) = modelzoo.Classifier(MODEL)([CAT])
    assert found["classes"] == [prediction.name for prediction in ours]
    assert found["ids"] == [prediction.id for prediction in ours]
    assert np.allclose(found["scores"], [prediction.probability for prediction in ours], rtol=1e-4)


def test_the_proof_compares_outputs_pixels_and_names(saved):
    comparisons = saved.proof.comparisons
    assert {c.output for c in comparisons} == {"probabilities", "classify"}
    assert max(c.relative_l2 for c in comparisons) < 1e-5
    assert {c.inputs for c in comparisons if c.output == "probabilities"} == {
        ((batch, *size, 3),) for batch in (1, 3) for size in ((32, 32), (32, 64))
    }
    assert saved.proof.images.startswith("pixels differ from modelzoo's by at most 0 of 255 levels")
    assert exporters.inspect(saved.path).proof["images"] == saved.proof.images


def test_pixels_that_differ_by_more_than_a_level_are_no_proof():
    facts = {"std": [1.0, 1.0, 1.0], "channels": "RGB", "max_value": 255}
    ours = np.zeros((2, 2, 3), np.float32)
    assert "at most 1 of 255" in proof_images._pixels(ours[None] + 1, ours, facts)
    with pytest.raises(ExportError, match=r"within 1 level of 255, got a difference of 1\.50"):
        proof_images._pixels(ours[None] + 1.5, ours, facts)


# The folder


def test_a_folder_says_what_it_is_and_answers(saved, tmp_path, capsys, monkeypatch):
    """Also where it lies under a name of the registry, which means the model."""
    assert (saved.path / "assets.extra" / "labels.txt").read_text().splitlines()[3] == "cat"
    assert exporters.inspect(saved.path).metadata.name == registry.info(MODEL).key
    deployment = modelzoo.Deployment(str(saved.path))
    assert deployment.runtime == "tensorflow"
    (ours,), (theirs,) = (modelzoo.Classifier(name)([CAT]) for name in (MODEL, str(saved.path)))
    assert [p.name for p in ours] == [p.name for p in theirs]
    monkeypatch.chdir(tmp_path)
    (tmp_path / MODEL).symlink_to(saved.path)
    assert modelzoo.Deployment(MODEL).file is None
    assert cli.main(["inspect", str(saved.path)]) == 0
    assert "SavedModel, f32" in capsys.readouterr().out


@pytest.fixture
def quick(monkeypatch):
    """What writes a folder without TensorFlow, which nothing runs."""
    monkeypatch.setattr(
        "modelzoo.exporters.delivery._proven", lambda *arguments: exporters.Proof("", "f32", 0, ())
    )

    def write(path, graph, arrays, texts, options):
        (path / "assets.extra").mkdir(parents=True)
        (path / "saved_model.pb").write_bytes(graph.name.encode())
        (path / "assets.extra" / "modelzoo.json").write_text(json.dumps(dict(texts)))

    return with_write(FORMATS["saved_model"], write)


def test_a_folder_of_ours_is_replaced_as_a_whole(quick, tmp_path):
    path = tmp_path / "network"
    deliver(network(), path, quick, Options())
    (path / "more").write_text("of the former")
    assert deliver(network(), path, quick, Options()).path == path
    assert exporters.inspect(path).metadata.name == "small"
    assert not (path / "more").exists()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("there", ["a file", "an empty folder", "a folder", "another SavedModel"])
def test_what_modelzoo_did_not_export_is_never_replaced(there, quick, tmp_path):
    path = tmp_path / "network"
    path.write_text("mine") if there == "a file" else path.mkdir()
    if there not in ("a file", "an empty folder"):
        (path / ("saved_model.pb" if there == "another SavedModel" else "mine")).write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputError, match=r"network is there and was not exported by modelzoo to SavedModel"):
        deliver(network(), path, quick, Options())
    assert sorted(tmp_path.rglob("*")) == before


def test_a_full_disk_leaves_no_part_and_the_former_folder(quick, tmp_path):
    path = tmp_path / "network"
    deliver(network(), path, quick, Options())

    def write(path, *arguments):
        path.mkdir()
        (path / "saved_model.pb").write_bytes(b"a part")
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match=r"network cannot be written: No space left on device\."):
        deliver(network(), path, with_write(quick, write), Options())
    assert exporters.inspect(path).metadata.name == "small"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["a.onnx", "a.tflite"])
def test_a_folder_is_not_called_as_another_formats_files_are(name, tmp_path, capsys):
    assert cli.main(["export", MODEL, "--to", "saved_model", "-o", str(tmp_path / name)]) == 1
    assert "Expected a name with another ending for SavedModel" in one_sentence(capsys)


@pytest.mark.parametrize("command", [("inspect",), ("classify", str(CAT), "-m")])
@pytest.mark.parametrize("content", ["nothing", "foreign", "cut", "list", "large", "binary"])
def test_a_foreign_or_damaged_folder_is_one_sentence(command, content, tmp_path, capsys, monkeypatch):
    path = tmp_path / "network"
    (path / "assets.extra").mkdir(parents=True)
    texts = path / "assets.extra" / "modelzoo.json"
    if content != "nothing":
        (path / "saved_model.pb").write_bytes(b"")
    if content == "large":
        monkeypatch.setattr("modelzoo.exporters.saved_model.LARGEST", 3)
    if content not in ("nothing", "foreign"):
        texts.write_bytes(
            {"cut": b'{"modelzoo": "0', "list": b"[1]", "large": b'{"a": "b"}'}.get(content, b"\xff")
        )
    assert cli.main([*command, str(path)]) == 1
    assert "network" in one_sentence(capsys)


def test_a_network_whose_padding_depends_on_the_size_is_written_for_its_own():
    """NASNet's; Keras, which makes the file, has no layer for it."""
    options = networks.open_sides(registry.info("nasnet_mobile.keras"), FORMATS["saved_model"])
    assert options == zoo.NetworkOptions()
