"""Many images: the right row for each, in order, also after an interruption and from several workers."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

import modelzoo
from modelzoo import bulk, cli, registry
from modelzoo.bulk import Execution, outputs
from modelzoo.bulk.journal import Journal
from modelzoo.bulk.rows import Request, rows_of
from modelzoo.errors import ImageError, OutputError
from modelzoo.images import Axis, image_files, preprocess_crops, preprocessing, read_for, reading
from modelzoo.images.resampling import INTERPOLATIONS
from modelzoo.runtimes import Deployment
from modelzoo.tasks import EmbeddingsHead, LabelsHead, pipeline
from tests.conftest import ROOT

IMAGES, BAD = 70, 17  # three batches; the place of the one that cannot be read
FORMATS = [("labels", ".jsonl"), ("labels", ".csv"), ("labels", ".parquet"), ("embeddings", ".npy")]


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """IMAGES images in a tree, one of them truncated."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for number in range(IMAGES):
        path = folder / f"{number // 20}" / f"{number:03}.jpg"
        path.parent.mkdir(exist_ok=True)
        coarse = Image.fromarray(random.integers(0, 256, (4, 5, 3), np.uint8))
        coarse.resize((50 + number, 40), Image.Resampling.BICUBIC).save(path)
        if number == BAD:
            path.write_bytes(path.read_bytes()[:300])
    (folder / "0" / "notes.md").write_text("no image")
    return folder


@pytest.fixture
def simple_network(monkeypatch):
    """In place of the bundled model one loaded at once: ten numbers of 0 to 1 that depend on the image."""

    def predict(images):
        return np.abs(images[:, ::4, ::16].reshape(len(images), -1)[:, :10]) / 4

    network = SimpleNamespace(predict=predict)
    monkeypatch.setattr(pipeline, "predictor", lambda *_: network)


def run(kind: str, images, output, **arguments) -> bulk.Summary:
    start = bulk.classify_files if kind == "labels" else bulk.embed_files
    return start(images, output, **arguments)


def read_rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def names(folder: Path) -> list[str]:
    return [str(path) for path in sorted(folder.rglob("*.jpg"))]


# What comes out


def test_each_image_gets_the_labels_that_classify_gives_it(folder, tmp_path):
    summary = modelzoo.classify_files(folder, tmp_path / "out.jsonl", top=3)
    assert (summary.images, summary.resumed, summary.failed) == (IMAGES, 0, 1)
    rows = read_rows(tmp_path / "out.jsonl")
    assert [row["image"] for row in rows] == names(folder)
    assert "truncated or damaged" in rows[BAD]["error"]
    good = [row for row in rows if "error" not in row]
    alone = modelzoo.classify([row["image"] for row in good], top=3)
    for row, predictions in zip(good, alone, strict=True):
        assert row["model"] == "resnet9_cifar10.modelzoo"
        assert [p["id"] for p in row["predictions"]] == [p.id for p in predictions]
        assert np.allclose(
            [p["probability"] for p in row["predictions"]], [p.probability for p in predictions]
        )


def test_embeddings_are_what_the_network_pools(folder, tmp_path):
    modelzoo.embed_files(folder / "1", tmp_path / "out.npy")
    model = modelzoo.load("resnet9_cifar10", include_top=False, pooling="avg")
    expected = model(modelzoo.preprocess(names(folder / "1"), "resnet9_cifar10"))
    assert np.allclose(np.load(tmp_path / "out.npy", mmap_mode="r"), expected, atol=1e-5)


@pytest.mark.usefixtures("simple_network")
def test_a_table_has_a_line_for_each_image(folder, tmp_path):
    run("labels", folder, tmp_path / "out.jsonl", top=2)
    run("labels", folder, tmp_path / "out.csv", top=2)
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    for line, row in zip(table, read_rows(tmp_path / "out.jsonl"), strict=True):
        assert (line["image"], line["error"]) == (row["image"], row.get("error", ""))
        for rank, prediction in enumerate(row.get("predictions", ()), start=1):
            assert line[f"name_{rank}"] == prediction["name"]
            assert float(line[f"probability_{rank}"]) == prediction["probability"]


@pytest.mark.usefixtures("simple_network")
def test_parquet_has_the_same_rows(folder, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra 'parquet' is not installed")
    run("labels", folder, tmp_path / "out.jsonl")
    run("labels", folder, tmp_path / "out.parquet")
    rows = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert [{k: v for k, v in row.items() if v is not None} for row in rows] == read_rows(
        tmp_path / "out.jsonl"
    )
    run("embeddings", folder, tmp_path / "embeddings.npy")
    run("embeddings", folder, tmp_path / "embeddings.parquet")
    table = parquet.read_table(tmp_path / "embeddings.parquet")
    embeddings = [e for e in table["embedding"].to_pylist() if e is not None]
    assert np.array_equal(np.array(embeddings, np.float32), np.load(tmp_path / "embeddings.npy"))
    assert table["error"].null_count == IMAGES - 1


@pytest.mark.usefixtures("simple_network")
def test_the_rows_of_an_array_have_their_images_beside_it(folder, tmp_path):
    run("embeddings", folder, tmp_path / "out.npy")
    array, rows = np.load(tmp_path / "out.npy"), read_rows(tmp_path / "out.jsonl")
    assert (array.shape, array.dtype) == ((IMAGES - 1, 10), np.float32)
    assert [row["image"] for row in rows] == names(folder)
    assert [row["row"] for row in rows if "error" not in row] == list(range(IMAGES - 1))
    assert "row" not in rows[BAD]
    (alone,) = rows_alone(Request(Deployment(), EmbeddingsHead()), {"it": rows[40]["image"]})
    assert np.array_equal(array[rows[40]["row"]], alone["embedding"])


def rows_alone(request: Request, images: dict) -> list[dict]:
    """The rows of named images."""
    return [row for batch in rows_of(request.pipeline(), images.items()) for row in batch]


def test_a_row_depends_on_nothing_but_its_image():
    """Byte for byte: whatever else is in the batch, and in whatever order."""
    request = Request(Deployment(), LabelsHead(10))
    random = np.random.default_rng(0)
    images = {str(n): random.integers(0, 256, (40, 50, 3), np.uint8) for n in range(32)}
    together = {row["image"]: row for row in rows_alone(request, images)}
    backwards = dict(reversed(images.items()))
    alone = {name: images[name] for name in ("7",)}
    for some in (backwards, alone):
        assert all(row == together[row["image"]] for row in rows_alone(request, some))


# Interruptions


@pytest.fixture(scope="module")
def killed(folder, tmp_path_factory) -> Path:
    """A folder with what a process left that was killed in the middle of writing its second batch."""
    place = tmp_path_factory.mktemp("killed")
    program = f"""
        import os, signal
        from modelzoo import bulk
        from modelzoo.bulk.journal import Journal
        append, calls = Journal.append, []
        def killing(journal, rows):
            append(journal, rows)
            if calls.append(1) or len(calls) == 2:
                journal.file.write(b'{{"image": "cut')
                journal.file.flush()
                os.kill(os.getpid(), {getattr(signal, "SIGKILL", 9)})
        Journal.append = killing
        bulk.classify_files({str(folder)!r}, {str(place / "out.jsonl")!r})
    """
    process = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT)
    assert process.returncode != 0
    return place


def test_a_killed_run_leaves_no_output(killed):
    assert not (killed / "out.jsonl").exists()
    assert (killed / "out.jsonl.unfinished").is_file()


def test_a_killed_run_is_resumed_and_ends_as_if_nothing_had_been(killed, folder, tmp_path):
    modelzoo.classify_files(folder, tmp_path / "whole.jsonl")
    summary = modelzoo.classify_files(folder, killed / "out.jsonl")
    assert (summary.images, summary.resumed, summary.failed) == (IMAGES, 64, 1)
    assert (killed / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert [path.name for path in killed.iterdir()] == ["out.jsonl"]


@pytest.mark.usefixtures("simple_network")
@pytest.mark.parametrize(("kind", "ending"), FORMATS)
def test_a_journal_truncated_anywhere_is_resumed(kind, ending, folder, tmp_path, monkeypatch):
    if ending == ".parquet":
        pytest.importorskip("pyarrow", reason="the extra 'parquet' is not installed")
    whole, again = tmp_path / f"whole{ending}", tmp_path / f"again{ending}"
    journal = tmp_path / f"again{ending}.unfinished"
    kept = []
    finish = Journal.finish
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "finish", lambda self: (kept.append(self.path.read_bytes()), finish(self)))
        run(kind, folder, whole)
    (content,) = kept
    first = content.index(b"\n") + 1
    for length in (0, 5, first, first + 1, len(content) // 2, len(content) - 1, len(content)):
        journal.write_bytes(content[:length])
        summary = run(kind, folder, again)
        assert summary.images == IMAGES
        assert summary.resumed == max(0, content[:length].count(b"\n") - 1)
        assert again.read_bytes() == whole.read_bytes()
        assert not journal.exists()
    journal.write_bytes(content[: len(content) // 2] + bytes(4096))  # what a loss of power may leave
    run(kind, folder, again)
    assert again.read_bytes() == whole.read_bytes()


@pytest.mark.usefixtures("simple_network")
def test_what_was_begun_otherwise_is_not_mixed(folder, tmp_path):
    output = tmp_path / "out.jsonl"
    interrupt(folder, output)
    with pytest.raises(OutputError, match=r"begun with other settings: top was 5 and is 1\."):
        bulk.classify_files(folder, output, top=1)
    with pytest.raises(OutputError, match=r"the images have changed. Remove it"):
        bulk.classify_files(folder / "1", output)
    bulk.classify_files(folder, output)
    assert len(read_rows(output)) == IMAGES


def interrupt(folder: Path, output: Path) -> None:
    """Leaves a journal with the first batch."""
    request = Request(Deployment(), LabelsHead())
    with Journal(output, request) as journal:
        named = ((name, name) for name in journal.remaining(image_files(folder)))
        batches = rows_of(request.pipeline(), named)
        journal.append(next(batches))
        batches.close()


@pytest.mark.usefixtures("simple_network")
def test_a_finished_output_is_made_anew_and_replaced_at_the_end(folder, tmp_path):
    output = tmp_path / "out.jsonl"
    output.write_text("old")
    interrupt(folder, output)
    assert output.read_text() == "old"
    bulk.classify_files(folder, output)
    assert bulk.classify_files(folder, output).resumed == 0
    assert len(read_rows(output)) == IMAGES


@pytest.mark.usefixtures("simple_network")
def test_two_runs_do_not_write_the_same_file(folder, tmp_path):
    with (
        FileLock(tmp_path / "out.jsonl.unfinished.lock"),
        pytest.raises(OutputError, match="Another process is writing"),
    ):
        bulk.classify_files(folder, tmp_path / "out.jsonl")


@pytest.mark.usefixtures("simple_network")
def test_a_disk_that_is_full_at_the_end_costs_no_row(folder, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(outputs.LABELS, ".jsonl", full)
    with pytest.raises(OSError, match="No space left"):
        bulk.classify_files(folder, tmp_path / "out.jsonl")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["out.jsonl.unfinished"]
    assert not (tmp_path / "out.jsonl").exists()
    monkeypatch.setitem(outputs.LABELS, ".jsonl", outputs.write_jsonl)
    assert bulk.classify_files(folder, tmp_path / "out.jsonl").resumed == IMAGES


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
@pytest.mark.usefixtures("simple_network")
def test_a_full_disk_gets_one_sentence_and_leaves_no_lock(folder, tmp_path, monkeypatch):
    opened = Journal._opened

    def full(journal):
        opened(journal).close()
        return open("/dev/full", "r+b", buffering=0)

    sentence = r"cannot be written \(No space left.* rerun the same command to resume from .*unfinished\.$"
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "_opened", full)
        patch.setattr(Journal, "remaining", lambda journal, names: iter(names))
        with pytest.raises(OutputError, match=sentence):
            bulk.classify_files(folder, tmp_path / "out.jsonl")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["out.jsonl.unfinished"]
    assert bulk.classify_files(folder, tmp_path / "out.jsonl").images == IMAGES


# The files that are meant


def test_a_folder_comes_in_the_order_of_its_paths(folder):
    assert list(image_files(folder)) == names(folder)


def test_lists_patterns_and_files_are_read_in_their_order(folder, tmp_path):
    chosen = names(folder)[5:0:-1]
    (tmp_path / "list.txt").write_text("\n".join(chosen) + "\n\n", "utf-8")
    pattern = str(folder / "**" / "00?.jpg")
    found = list(image_files(tmp_path / "list.txt", pattern, chosen[0]))
    assert found == chosen + names(folder)[:10] + [chosen[0]]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("none", "No such file: none"),
        ("s3://bucket/a.jpg", "Addresses are not opened"),
        ("no*.jpg", "No file matches"),
        ("empty.txt", "names no images"),
        (".", "has no images"),
        ("bytes.txt", "not UTF-8"),
    ],
)
def test_a_source_without_images_is_refused_before_the_network_is_loaded(
    source, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("empty.txt").touch()
    Path("bytes.txt").write_bytes(b"\xff\xfe\n")
    with pytest.raises(ImageError, match=message):
        bulk.classify_files(source, "out.jsonl")
    assert sorted(os.listdir()) == ["bytes.txt", "empty.txt"]


@pytest.mark.usefixtures("simple_network")
def test_a_line_of_a_list_that_is_no_file_is_a_bad_image(folder, tmp_path):
    lines = [names(folder)[0], str(tmp_path / "none.jpg"), str(tmp_path), names(folder)[1]]
    (tmp_path / "list.txt").write_text("\n".join(lines), "utf-8")
    summary = bulk.classify_files(tmp_path / "list.txt", tmp_path / "out.jsonl")
    assert (summary.images, summary.failed) == (4, 2)
    assert ["error" in row for row in read_rows(tmp_path / "out.jsonl")] == [False, True, True, False]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take no such names")
@pytest.mark.usefixtures("simple_network")
@pytest.mark.parametrize(("kind", "ending"), FORMATS)
def test_a_name_that_is_no_text_is_spelt_out(kind, ending, folder, tmp_path):
    if ending == ".parquet":
        pytest.importorskip("pyarrow", reason="the extra 'parquet' is not installed")
    place = tmp_path / "images"
    place.mkdir()
    odd = os.fsencode(place) + b"/\xff \xc3\xa9.jpg"
    Path(os.fsdecode(odd)).write_bytes(Path(names(folder)[0]).read_bytes())
    assert run(kind, place, tmp_path / f"out{ending}").failed == 0
    if ending == ".jsonl":
        assert read_rows(tmp_path / "out.jsonl")[0]["image"].endswith("\\udcff é.jpg")


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("labels", "out.npy", r"must end in .jsonl or .csv or .parquet"),
        ("embeddings", "out.csv", r"must end in .npy or .parquet"),
        ("labels", "out", "must end in"),
    ],
)
def test_another_format_is_refused(kind, name, message, folder, tmp_path):
    with pytest.raises(OutputError, match=message):
        run(kind, folder, tmp_path / name)


@pytest.mark.parametrize(
    ("package", "arguments", "message"),
    [
        ("pyarrow", ["-o", "out.parquet"], r"Parquet needs pyarrow: pip install 'modelzoo-keras\[parquet\]'"),
        ("ray", ["-o", "out.csv", "--engine", "ray"], r"needs Ray: pip install 'modelzoo-keras\[ray\]'"),
    ],
)
def test_a_missing_package_is_one_sentence(package, arguments, message, folder, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    assert cli.main(["classify", str(folder), *arguments]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error)


# Overlap


def test_results_come_in_order_and_only_so_far_ahead():
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    results = pipeline.in_order(lambda number: number * number, items(), ahead=7, threads=3)
    for number, result in enumerate(results):
        assert result == number * number
        assert len(taken) <= number + 7
    assert len(taken) == 100


def test_images_are_prepared_while_the_network_runs():
    """With one thread for both this would hang."""
    begun = threading.Event()
    results = pipeline.in_order(lambda item: begun.set() if item == 1 else None, range(9), ahead=2, threads=1)
    next(results)
    assert begun.wait(60)
    results.close()


def test_another_engine_is_refused():
    with pytest.raises(ValueError, match="engine must be one of local, ray, not 'spark'"):
        Execution("spark")


def test_a_model_of_another_task_is_refused_before_anything_is_written(folder, tmp_path):
    with pytest.raises(ValueError, match=r"yolo2\.darknet is a detection model; use Detector"):
        bulk.classify_files(folder, tmp_path / "out.jsonl", "yolo2")
    assert list(tmp_path.iterdir()) == []


# Crops and decoding


@pytest.mark.parametrize(("model", "full"), [("resnet50_v1d", (256, 341)), ("inception_v1.slim", (256, 256))])
def test_ten_crops_are_corners_center_and_mirror_images(model, full):
    record = registry.info(model).preprocessing
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    axes = (Axis(side, to, 0, to) for side, to in zip((300, 400), full, strict=True))
    resized = INTERPOLATIONS[record.interpolation](pixels, *axes)
    low, right = full[0] - 224, full[1] - 224
    corners = [(0, 0), (0, right), (low, 0), (low, right), (low // 2, right // 2)]
    squares = [resized[y : y + 224, x : x + 224] for y, x in corners]
    expected = preprocessing._network_values(np.stack(squares), record)
    crops = preprocess_crops(pixels, record, ten=True)
    assert np.array_equal(crops[:5], expected)
    assert np.array_equal(crops[5:], expected[:, :, ::-1])


def test_one_crop_is_what_preprocess_gives(folder):
    path = names(folder)[0]
    record = registry.info("inception_v1.slim").preprocessing
    crops = preprocess_crops(read_for(path, record), record)
    assert np.array_equal(crops, modelzoo.preprocess(path, record))


def test_ten_crops_of_a_network_that_sees_everything_are_refused(folder, tmp_path):
    with pytest.raises(ImageError, match="sees the whole image in 224 x 224"):
        bulk.embed_files(folder, tmp_path / "out.npy", Deployment("resnet50.keras", crops=10))
    assert list(tmp_path.iterdir()) == []


def test_the_embedding_of_ten_crops_is_their_mean(folder):
    deployment = Deployment(crops=10)
    path = names(folder)[69]
    record = deployment.entry.preprocessing
    images = preprocess_crops(read_for(path, record), record, ten=True)
    model = modelzoo.load("resnet9_cifar10", include_top=False, pooling="avg")
    (row,) = rows_alone(Request(deployment, EmbeddingsHead()), {"it": path})
    assert np.allclose(row["embedding"], np.mean(model(images), axis=0), atol=1e-5)


def decoded(path: Path, fast_decode: bool) -> np.ndarray:
    """What the bundled model, of 32 pixels, gets of an image."""
    record = registry.info("resnet9_cifar10").preprocessing
    return preprocess_crops(read_for(path, record, fast_decode=fast_decode), record)


def test_fast_decoding_keeps_what_the_network_needs(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    image = Image.fromarray(pixels).resize((800, 600), Image.Resampling.BICUBIC)
    for ending, same in ((".png", True), (".jpg", False)):
        image.save(tmp_path / f"a{ending}")
        exact, fast = (decoded(tmp_path / f"a{ending}", flag) for flag in (False, True))
        assert np.array_equal(exact, fast) is same
        assert np.abs(exact - fast).max() < 0.2  # a twentieth of all levels
    shape = reading.read_named(tmp_path / "a.jpg", "it", 32).shape
    assert shape == (75, 100, 3)  # 32 would be below


def test_fast_decoding_leaves_small_images_alone(folder):
    exact, fast = (decoded(names(folder)[0], flag) for flag in (False, True))
    assert np.array_equal(exact, fast)


# The command line


def test_the_commands_write_files(folder, tmp_path, capsys):
    assert cli.main(["classify", str(folder), "-o", str(tmp_path / "out.csv"), "--top", "1"]) == 0
    assert f"out.csv: {IMAGES} images, 1 of them have an error" in capsys.readouterr().out
    command = ["embed", str(folder / "3"), "-o", str(tmp_path / "out.npy"), "--crops", "10", "--json"]
    assert cli.main(command) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["images"], summary["failed"]) == (10, 0)
    assert np.load(tmp_path / "out.npy").shape[0] == 10


def test_options_for_files_need_an_output(folder, capsys):
    assert cli.main(["classify", str(folder), "--fast-decode"]) == 1
    assert "need -o FILE" in capsys.readouterr().err


# Ray


@pytest.fixture(scope="module")
def ray_installed():
    return pytest.importorskip("ray.data", reason="the extra 'ray' is not installed")


# The worker that gets the first of six blocks dies of it, without a word, so that this block is done last.
ON_RAY = """
import os, signal, sys
from pathlib import Path
import ray
from modelzoo import bulk, errors
from modelzoo.bulk import Execution
from modelzoo.bulk import ray as engine

images, place = sys.argv[1], Path(sys.argv[2])

engine.IMAGES = 12

class Mortal(engine.Worker):
    def __call__(self, block):
        for table in super().__call__(block):
            if table["image"][0].as_py().endswith("000.jpg") and (place / "alive").exists():
                (place / "alive").unlink()
                os.kill(os.getpid(), signal.SIGKILL)
            yield table

os.environ["RAY_worker_niceness"] = "0"  # as fast as the rest of the tests
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ.update(engine.QUIET)
ray.init("local", num_cpus=4, log_to_driver=False)  # never a cluster that happens to be there
for name in engine.QUIET:
    del os.environ[name]
before = dict(os.environ)
(place / "alive").touch()
worker, engine.Worker = engine.Worker, Mortal
print(bulk.classify_files(images, place / "two.jsonl", execution=Execution("ray", workers=2)))
assert not (place / "alive").exists()
engine.Worker = worker
assert os.environ == before
options = ray.data.DataContext.get_current()
assert not options.execution_options.preserve_order
assert options.enable_progress_bars
source = ray.data.read_binary_files(images, include_paths=True, file_extensions=["jpg"])
source.write_parquet(place / "in.parquet")
one = Execution("ray", workers=1)
print(bulk.embed_files(place / "in.parquet", f"{place}/out/", execution=one))
for model, output in (("resnet9_cifar10", "out"), ("resnet50_v1d", "none")):
    try:
        bulk.embed_files(images, f"{place}/{output}/", model, execution=Execution("ray"))
    except errors.OutputError as error:
        print(error)
"""


@pytest.mark.usefixtures("ray_installed")
def test_two_workers_of_ray_give_the_same_bytes_though_one_is_killed(folder, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    modelzoo.classify_files(folder, tmp_path / "one.jsonl")
    command = [sys.executable, "-c", ON_RAY, str(folder), str(tmp_path)]
    alone = {**os.environ, "MODELZOO_OFFLINE": "1"}
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=alone)
    assert process.returncode == 0, process.stderr
    assert f"images={IMAGES}, resumed=0, failed=1" in process.stdout
    assert (tmp_path / "two.jsonl").read_bytes() == (tmp_path / "one.jsonl").read_bytes()
    assert (tmp_path / "out" / "_SUCCESS").is_file()
    assert "out/ is not empty; give another folder" in process.stdout
    assert "A worker of Ray failed: The pretrained weights of resnet50_v1d.gluon are not" in process.stdout
    modelzoo.embed_files(folder, tmp_path / "one.npy")
    rows = parquet.read_table(tmp_path / "out").sort_by("image").to_pylist()
    embeddings = [row["embedding"] for row in rows if row["error"] is None]
    assert np.array_equal(np.array(embeddings, np.float32), np.load(tmp_path / "one.npy"))
