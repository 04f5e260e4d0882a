"""Many pictures: the right row for each, in order, also after an interruption and from several workers."""

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
from modelzoo import bulk, cli, preprocessing, registry, runtimes
from modelzoo.bulk import formats, pipeline
from modelzoo.bulk.job import Job, RowMaker
from modelzoo.bulk.journal import Journal
from modelzoo.bulk.sources import picture_files
from modelzoo.errors import OutputError, PictureError
from tests.conftest import ROOT

PICTURES, BAD = 70, 17  # three batches; the place of the one that cannot be read
FORMATS = [("labels", ".jsonl"), ("labels", ".csv"), ("labels", ".parquet"), ("features", ".npy")]


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """PICTURES pictures in a tree, one of them cut short."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for number in range(PICTURES):
        path = folder / f"{number // 20}" / f"{number:03}.jpg"
        path.parent.mkdir(exist_ok=True)
        coarse = Image.fromarray(random.integers(0, 256, (4, 5, 3), np.uint8))
        coarse.resize((50 + number, 40), Image.Resampling.BICUBIC).save(path)
        if number == BAD:
            path.write_bytes(path.read_bytes()[:300])
    (folder / "0" / "notes.md").write_text("no picture")
    return folder


@pytest.fixture
def simple_network(monkeypatch):
    """In place of the bundled model one that is loaded at once: ten numbers that depend on the picture."""

    def predict(images):
        return np.abs(images[:, ::4, ::16].reshape(len(images), -1)[:, :10])

    network = SimpleNamespace(predict=predict)
    monkeypatch.setattr(runtimes, "predictor", lambda *_, **__: network)


def run(kind: str, pictures, output, **arguments) -> bulk.Summary:
    start = bulk.classify_files if kind == "labels" else bulk.features_of_files
    return start(pictures, output, **arguments)


def read_rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def names(folder: Path) -> list[str]:
    return [str(path) for path in sorted(folder.rglob("*.jpg"))]


# What comes out


def test_each_picture_gets_the_labels_that_classify_gives_it(folder, tmp_path):
    summary = modelzoo.classify_files(folder, tmp_path / "out.jsonl", top=3)
    assert (summary.pictures, summary.resumed, summary.failed) == (PICTURES, 0, 1)
    rows = read_rows(tmp_path / "out.jsonl")
    assert [row["picture"] for row in rows] == names(folder)
    assert "cut short or damaged" in rows[BAD]["error"]
    good = [row for row in rows if "error" not in row]
    alone = modelzoo.classify([row["picture"] for row in good], top=3)
    for row, predictions in zip(good, alone, strict=True):
        assert row["model"] == "resnet9_cifar10.modelzoo"
        assert [p["id"] for p in row["predictions"]] == [p.id for p in predictions]
        assert np.allclose(
            [p["probability"] for p in row["predictions"]], [p.probability for p in predictions]
        )


def test_features_are_what_the_network_pools(folder, tmp_path):
    modelzoo.features_of_files(folder / "1", tmp_path / "out.npy")
    model = modelzoo.load("resnet9_cifar10", include_top=False, pooling="avg")
    expected = model(modelzoo.preprocess(names(folder / "1"), "resnet9_cifar10"))
    assert np.allclose(np.load(tmp_path / "out.npy", mmap_mode="r"), expected, atol=1e-5)


@pytest.mark.usefixtures("simple_network")
def test_a_table_has_a_line_for_each_picture(folder, tmp_path):
    run("labels", folder, tmp_path / "out.jsonl", top=2)
    run("labels", folder, tmp_path / "out.csv", top=2)
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    for line, row in zip(table, read_rows(tmp_path / "out.jsonl"), strict=True):
        assert (line["picture"], line["error"]) == (row["picture"], row.get("error", ""))
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
    run("features", folder, tmp_path / "features.npy")
    run("features", folder, tmp_path / "features.parquet")
    table = parquet.read_table(tmp_path / "features.parquet")
    features = [f for f in table["features"].to_pylist() if f is not None]
    assert np.array_equal(np.array(features, np.float32), np.load(tmp_path / "features.npy"))
    assert table["error"].null_count == PICTURES - 1


@pytest.mark.usefixtures("simple_network")
def test_the_rows_of_an_array_have_their_pictures_beside_it(folder, tmp_path):
    run("features", folder, tmp_path / "out.npy")
    array, rows = np.load(tmp_path / "out.npy"), read_rows(tmp_path / "out.jsonl")
    assert (array.shape, array.dtype) == ((PICTURES - 1, 10), np.float32)
    assert [row["picture"] for row in rows] == names(folder)
    assert [row["row"] for row in rows if "error" not in row] == list(range(PICTURES - 1))
    assert "row" not in rows[BAD]
    maker = RowMaker(Job(top=None))
    (alone,) = maker.rows(["it"], [maker.prepare(rows[40]["picture"], "it")])
    assert np.array_equal(array[rows[40]["row"]], alone["features"])


def test_a_row_depends_on_nothing_but_its_picture():
    """Byte for byte: whatever else is in the batch, and in whatever order."""
    maker = RowMaker(Job(top=10))
    random = np.random.default_rng(0)
    pictures = {str(n): random.integers(0, 256, (40, 50, 3), np.uint8) for n in range(32)}
    together = {row["picture"]: row for row in maker.rows(*prepared(maker, pictures))}
    backwards = dict(reversed(pictures.items()))
    alone = {name: pictures[name] for name in ("7",)}
    for some in (backwards, alone):
        assert all(row == together[row["picture"]] for row in maker.rows(*prepared(maker, some)))


def prepared(maker: RowMaker, pictures: dict[str, np.ndarray]):
    return list(pictures), [maker.prepare(picture, name) for name, picture in pictures.items()]


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
                journal.file.write(b'{{"picture": "cut')
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


def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_been(killed, folder, tmp_path):
    modelzoo.classify_files(folder, tmp_path / "whole.jsonl")
    summary = modelzoo.classify_files(folder, killed / "out.jsonl")
    assert (summary.pictures, summary.resumed, summary.failed) == (PICTURES, 64, 1)
    assert (killed / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert [path.name for path in killed.iterdir()] == ["out.jsonl"]


@pytest.mark.usefixtures("simple_network")
@pytest.mark.parametrize(("kind", "ending"), FORMATS)
def test_a_journal_cut_anywhere_is_taken_up_again(kind, ending, folder, tmp_path, monkeypatch):
    if ending == ".parquet":
        pytest.importorskip("pyarrow", reason="the extra 'parquet' is not installed")
    whole, again = tmp_path / f"whole{ending}", tmp_path / f"again{ending}"
    journal = tmp_path / f"again{ending}.unfinished"
    kept = []
    publish = Journal.publish
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "publish", lambda self: (kept.append(self.path.read_bytes()), publish(self)))
        run(kind, folder, whole)
    (content,) = kept
    first = content.index(b"\n") + 1
    for length in (0, 5, first, first + 1, len(content) // 2, len(content) - 1, len(content)):
        journal.write_bytes(content[:length])
        summary = run(kind, folder, again)
        assert summary.pictures == PICTURES
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
    with pytest.raises(OutputError, match=r'begun with other settings: .*"top": 5'):
        bulk.classify_files(folder, output, top=1)
    with pytest.raises(OutputError, match=r"the pictures have changed. Remove it"):
        bulk.classify_files(folder / "1", output)
    bulk.classify_files(folder, output)
    assert len(read_rows(output)) == PICTURES


def interrupt(folder: Path, output: Path) -> None:
    """Leaves a journal with the first batch."""
    journal = Journal(output, Job())
    with journal:
        maker = RowMaker(Job())
        batches = pipeline.rows(((n, n) for n in journal.remaining(picture_files(folder))), maker)
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
    assert len(read_rows(output)) == PICTURES


@pytest.mark.usefixtures("simple_network")
def test_two_runs_do_not_write_the_same_file(folder, tmp_path):
    with (
        FileLock(tmp_path / "out.jsonl.unfinished.lock"),
        pytest.raises(OutputError, match="Another process is writing"),
    ):
        bulk.classify_files(folder, tmp_path / "out.jsonl")


@pytest.mark.usefixtures("simple_network")
def test_a_disk_that_is_full_at_the_end_costs_no_row(folder, tmp_path, monkeypatch):
    jsonl = formats.jsonl

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(formats.LABELS, ".jsonl", full)
    with pytest.raises(OSError, match="No space left"):
        bulk.classify_files(folder, tmp_path / "out.jsonl")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["out.jsonl.unfinished"]
    assert not (tmp_path / "out.jsonl").exists()
    monkeypatch.setitem(formats.LABELS, ".jsonl", jsonl)
    assert bulk.classify_files(folder, tmp_path / "out.jsonl").resumed == PICTURES


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
@pytest.mark.usefixtures("simple_network")
def test_a_full_disk_gets_one_sentence_and_leaves_no_lock(folder, tmp_path, monkeypatch):
    opened = Journal._opened

    def full(journal):
        opened(journal).close()
        return open("/dev/full", "r+b", buffering=0)

    sentence = r"out\.jsonl cannot be written \(No space left.* it goes on from"
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "_opened", full)
        patch.setattr(Journal, "remaining", lambda journal, names: iter(names))
        with pytest.raises(OutputError, match=sentence):
            bulk.classify_files(folder, tmp_path / "out.jsonl")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["out.jsonl.unfinished"]
    assert bulk.classify_files(folder, tmp_path / "out.jsonl").pictures == PICTURES


# The files that are meant


def test_a_folder_comes_in_the_order_of_its_paths(folder):
    assert list(picture_files(folder)) == names(folder)


def test_lists_patterns_and_files_are_read_in_their_order(folder, tmp_path):
    chosen = names(folder)[5:0:-1]
    (tmp_path / "list.txt").write_text("\n".join(chosen) + "\n\n", "utf-8")
    pattern = str(folder / "**" / "00?.jpg")
    found = list(picture_files(tmp_path / "list.txt", pattern, chosen[0]))
    assert found == chosen + names(folder)[:10] + [chosen[0]]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("none", "No such file: none"),
        ("s3://bucket/a.jpg", "Addresses are not opened"),
        ("no*.jpg", "No file matches"),
        ("empty.txt", "names no pictures"),
        (".", "has no pictures"),
        ("bytes.txt", "not UTF-8"),
    ],
)
def test_a_source_without_pictures_is_refused_before_the_network_is_loaded(
    source, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("empty.txt").touch()
    Path("bytes.txt").write_bytes(b"\xff\xfe\n")
    with pytest.raises(PictureError, match=message):
        bulk.classify_files(source, "out.jsonl")
    assert sorted(os.listdir()) == ["bytes.txt", "empty.txt"]


@pytest.mark.usefixtures("simple_network")
def test_a_line_of_a_list_that_is_no_file_is_a_bad_picture(folder, tmp_path):
    lines = [names(folder)[0], str(tmp_path / "none.jpg"), str(tmp_path), names(folder)[1]]
    (tmp_path / "list.txt").write_text("\n".join(lines), "utf-8")
    summary = bulk.classify_files(tmp_path / "list.txt", tmp_path / "out.jsonl")
    assert (summary.pictures, summary.failed) == (4, 2)
    assert ["error" in row for row in read_rows(tmp_path / "out.jsonl")] == [False, True, True, False]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take no such names")
@pytest.mark.usefixtures("simple_network")
@pytest.mark.parametrize(("kind", "ending"), FORMATS)
def test_a_name_that_is_no_text_is_spelt_out(kind, ending, folder, tmp_path):
    if ending == ".parquet":
        pytest.importorskip("pyarrow", reason="the extra 'parquet' is not installed")
    place = tmp_path / "pictures"
    place.mkdir()
    odd = os.fsencode(place) + b"/\xff \xc3\xa9.jpg"
    Path(os.fsdecode(odd)).write_bytes(Path(names(folder)[0]).read_bytes())
    assert run(kind, place, tmp_path / f"out{ending}").failed == 0
    if ending == ".jsonl":
        assert read_rows(tmp_path / "out.jsonl")[0]["picture"].endswith("\\udcff é.jpg")


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("labels", "out.npy", r"must end in .jsonl or .csv or .parquet"),
        ("features", "out.csv", r"must end in .npy or .parquet"),
        ("labels", "out", "must end in"),
    ],
)
def test_another_format_is_refused(kind, name, message, folder, tmp_path):
    with pytest.raises(OutputError, match=message):
        run(kind, folder, tmp_path / name)


@pytest.mark.parametrize(
    ("package", "arguments", "message"),
    [
        ("pyarrow", ["-o", "out.parquet"], r"Parquet needs pyarrow: pip install 'modelzoo\[parquet\]'"),
        ("ray", ["-o", "out.csv", "--engine", "ray"], r"needs Ray: pip install 'modelzoo\[ray\]'"),
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


def test_pictures_are_prepared_while_the_network_runs():
    """With one thread for both this would wait for ever."""
    begun = threading.Event()
    results = pipeline.in_order(lambda item: begun.set() if item == 1 else None, range(9), ahead=2, threads=1)
    next(results)
    assert begun.wait(60)
    results.close()


# Crops and decoding


@pytest.mark.parametrize(("model", "full"), [("resnet50_v1d", (256, 341)), ("inception_v1.slim", (256, 256))])
def test_ten_crops_are_corners_centre_and_mirror_images(model, full):
    recipe = registry.info(model).pictures
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    axes = (preprocessing.Axis(side, to, 0, to) for side, to in zip((300, 400), full, strict=True))
    resized = preprocessing.KERNELS[recipe.kernel](pixels, *axes)
    low, right = full[0] - 224, full[1] - 224
    corners = [(0, 0), (0, right), (low, 0), (low, right), (low // 2, right // 2)]
    squares = [resized[y : y + 224, x : x + 224] for y, x in corners]
    expected = preprocessing._network_values(np.stack(squares), recipe)
    crops = preprocessing.preprocess_crops(pixels, recipe, ten=True)
    assert np.array_equal(crops[:5], expected)
    assert np.array_equal(crops[5:], expected[:, :, ::-1])


def test_one_crop_is_what_preprocess_gives(folder):
    path = names(folder)[0]
    recipe = registry.info("inception_v1.slim").pictures
    assert np.array_equal(
        preprocessing.preprocess_crops(path, recipe), preprocessing.preprocess(path, recipe)
    )


def test_ten_crops_of_a_network_that_sees_everything_are_refused(folder, tmp_path):
    with pytest.raises(PictureError, match="sees the whole picture in 224 x 224"):
        bulk.features_of_files(folder, tmp_path / "out.npy", "resnet50.keras", crops=10)


def test_features_of_ten_crops_are_their_mean(folder):
    maker = RowMaker(Job(top=None, crops=10))
    path = names(folder)[69]
    images = preprocessing.preprocess_crops(path, maker.entry.pictures, ten=True)
    model = modelzoo.load("resnet9_cifar10", include_top=False, pooling="avg")
    (row,) = maker.rows(["it"], [maker.prepare(path, "it")])
    assert np.allclose(row["features"], np.mean(model(images), axis=0), atol=1e-5)


def test_fast_decoding_keeps_what_the_network_needs(tmp_path):
    recipe = registry.info("resnet9_cifar10").pictures  # 32 pixels
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    picture = Image.fromarray(pixels).resize((800, 600), Image.Resampling.BICUBIC)
    for ending, same in ((".png", True), (".jpg", False)):
        picture.save(tmp_path / f"a{ending}")
        exact, fast = (
            preprocessing.preprocess_crops(tmp_path / f"a{ending}", recipe, fast_decode=flag)
            for flag in (False, True)
        )
        assert np.array_equal(exact, fast) is same
        assert np.abs(exact - fast).max() < 0.2  # a twentieth of all levels
    assert preprocessing._read(tmp_path / "a.jpg", "it", 32).shape == (75, 100, 3)  # 32 would be below


def test_fast_decoding_leaves_small_pictures_alone(folder):
    recipe = registry.info("resnet9_cifar10").pictures
    exact, fast = (
        preprocessing.preprocess_crops(names(folder)[0], recipe, fast_decode=flag) for flag in (False, True)
    )
    assert np.array_equal(exact, fast)


# The command line


def test_the_commands_write_files(folder, tmp_path, capsys):
    assert cli.main(["classify", str(folder), "-o", str(tmp_path / "out.csv"), "--top", "1"]) == 0
    assert f"out.csv: {PICTURES} pictures, 1 of them could not be read" in capsys.readouterr().out
    command = ["features", str(folder / "3"), "-o", str(tmp_path / "out.npy"), "--crops", "10", "--json"]
    assert cli.main(command) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["pictures"], summary["failed"]) == (10, 0)
    assert np.load(tmp_path / "out.npy").shape[0] == 10


def test_options_for_files_need_an_output(folder, capsys):
    assert cli.main(["classify", str(folder), "--fast-decode"]) == 1
    assert "need -o FILE" in capsys.readouterr().err


# Ray


@pytest.fixture(scope="module")
def ray_installed():
    return pytest.importorskip("ray.data", reason="the extra 'ray' is not installed")


# The first worker that gets to its second batch dies of it, without a word.
ON_RAY = """
import os, signal, sys
from pathlib import Path
import ray
from modelzoo import bulk, errors
from modelzoo.bulk import cluster

pictures, place = sys.argv[1], Path(sys.argv[2])

class Mortal(cluster.Worker):
    def __call__(self, block):
        for number, table in enumerate(super().__call__(block)):
            if number and (place / "alive").exists():
                (place / "alive").unlink()
                os.kill(os.getpid(), signal.SIGKILL)
            yield table

cluster.QUIET["RAY_worker_niceness"] = "0"  # as fast as the rest of the tests
cluster.QUIET["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ.update(cluster.QUIET)
ray.init("local", num_cpus=4, log_to_driver=False)  # never a cluster that happens to be there
(place / "alive").touch()
worker, cluster.Worker = cluster.Worker, Mortal
print(bulk.classify_files(pictures, place / "two.jsonl", engine="ray", workers=2))
assert not (place / "alive").exists()
cluster.Worker = worker
source = ray.data.read_binary_files(pictures, include_paths=True, file_extensions=["jpg"])
source.write_parquet(place / "in.parquet")
print(bulk.features_of_files(place / "in.parquet", f"{place}/out/", engine="ray", workers=1))
for model, output in (("resnet9_cifar10", "out"), ("resnet50_v1d", "none")):
    try:
        bulk.features_of_files(pictures, f"{place}/{output}/", model, engine="ray")
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
    assert f"pictures={PICTURES}, resumed=0, failed=1" in process.stdout
    assert (tmp_path / "two.jsonl").read_bytes() == (tmp_path / "one.jsonl").read_bytes()
    assert (tmp_path / "out" / "_SUCCESS").is_file()
    assert "out/ is not empty; give another folder" in process.stdout
    assert "A worker of Ray failed: The pretrained weights of resnet50_v1d.gluon cannot" in process.stdout
    modelzoo.features_of_files(folder, tmp_path / "one.npy")
    rows = parquet.read_table(tmp_path / "out").sort_by("picture").to_pylist()
    features = [row["features"] for row in rows if row["error"] is None]
    assert np.array_equal(np.array(features, np.float32), np.load(tmp_path / "one.npy"))
