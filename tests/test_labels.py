"""The label tables hold what the networks were trained with, and the builder still makes them."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from modelzoo import labels
from modelzoo.errors import LabelsError

ROOT = Path(__file__).parents[1]
NOUNS = Path("/usr/share/wordnet/data.noun")

SIZES = {"imagenet": 1000, "imagenet_background": 1001, "mlimages": 11166, "cifar10": 10, "coco": 80}
TABLES = ("imagenet.tsv", "mlimages.tsv", "cifar10.tsv", "coco.tsv")


@pytest.mark.parametrize("name", labels.NAMES)
def test_a_set_has_one_label_per_output(name: str) -> None:
    assert len(labels.read(name)) == SIZES[name]


@pytest.mark.parametrize("name", labels.NAMES)
def test_ids_are_unique(name: str) -> None:
    assert len({label.id for label in labels.read(name)}) == len(labels.read(name))


@pytest.mark.parametrize("name", labels.NAMES)
def test_no_label_is_blank_or_padded(name: str) -> None:
    strings = [string for label in labels.read(name) for string in (label.id, label.name)]
    assert all(string and string == string.strip() for string in strings)


def test_imagenet_is_in_the_order_of_its_ids() -> None:
    ids = [label.id for label in labels.read("imagenet")]
    assert ids == sorted(ids)


@pytest.mark.parametrize(
    ("index", "name"),
    [
        (0, "tench, Tinca tinca"),
        (2, "great white shark, white shark, man-eater, man-eating shark, Carcharodon carcharias"),
        (388, "giant panda, panda, panda bear, coon bear, Ailuropoda melanoleuca"),
        (999, "toilet tissue, toilet paper, bathroom tissue"),
    ],
)
def test_imagenet_names_are_whole(index: int, name: str) -> None:
    assert labels.read("imagenet")[index].name == name


def test_crane_is_the_one_name_that_imagenet_repeats() -> None:
    counts = Counter(label.name for label in labels.read("imagenet"))
    assert {name: count for name, count in counts.items() if count > 1} == {"crane": 2}


def test_background_comes_first() -> None:
    assert labels.read("imagenet_background")[0] == labels.Label("background", "background")


def test_background_shifts_imagenet_by_one() -> None:
    assert labels.read("imagenet_background")[1:] == labels.read("imagenet")


def test_cifar10_is_in_the_order_of_the_data_set() -> None:
    words = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    assert labels.read("cifar10") == tuple(labels.Label(word, word) for word in words)


def test_coco_has_darknets_order_and_spelling() -> None:
    names = [label.name for label in labels.read("coco")]
    assert (names[0], names[3], names[16], names[62], names[79]) == (
        "person",
        "motorbike",
        "dog",
        "tvmonitor",
        "toothbrush",
    )


@pytest.mark.parametrize("name", ["imagenet", "imagenet_background", "cifar10", "coco"])
def test_only_mlimages_has_a_hierarchy(name: str) -> None:
    assert {label.parent for label in labels.read(name)} == {None}


def test_mlimages_has_four_roots() -> None:
    roots = [label.name for label in labels.read("mlimages") if label.parent is None]
    assert roots == ["thing", "matter", "object, physical object", "atmospheric phenomenon"]


def test_mlimages_parents_are_classes() -> None:
    parents = {label.parent for label in labels.read("mlimages")} - {None}
    assert parents <= set(range(SIZES["mlimages"]))


def test_mlimages_parents_lead_to_a_root() -> None:
    mlimages = labels.read("mlimages")
    for index in range(len(mlimages)):
        seen: set[int | None] = set()
        while index is not None:
            assert index not in seen, f"{mlimages[index]} is its own ancestor"
            seen.add(index)
            index = mlimages[index].parent


def test_mlimages_knows_every_imagenet_class() -> None:
    known = {label.id for label in labels.read("mlimages")}
    assert [label.id for label in labels.read("imagenet") if label.id not in known] == []


def test_tables_agree_on_the_names_of_shared_ids() -> None:
    names = {label.id: label.name for label in labels.read("mlimages")}
    imagenet = labels.read("imagenet")
    assert [label for label in imagenet if names.get(label.id, label.name) != label.name] == []


def test_an_unknown_set_is_answered_with_the_known_ones() -> None:
    with pytest.raises(LabelsError) as caught:
        labels.read("imagnet")
    assert str(caught.value) == (
        "There is no label set 'imagnet'; there are imagenet, imagenet_background, mlimages, cifar10, coco."
    )


def test_a_label_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        labels.read("cifar10")[0].name = "aeroplane"  # type: ignore[misc]


def test_importing_the_reader_loads_no_numpy() -> None:
    code = "import sys, modelzoo.labels; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def run_builder(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.labels.build", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def stand_in(path: Path) -> Path:
    """Nouns in WordNet's format with the shipped names, for machines without WordNet."""
    names = {label.id: label.name for name in ("mlimages", "imagenet") for label in labels.read(name)}
    lines = ["  1 This software and database is being provided to you\n"]
    for id_, name in names.items():
        lemmas = [lemma.replace(" ", "_") for lemma in name.split(", ")]
        listed = " ".join(f"{lemma} 0" for lemma in lemmas)
        lines.append(f"{id_.removeprefix('n')} 03 n {len(lemmas):02x} {listed} 000 | a gloss\n")
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module", params=["WordNet 3.0", "a stand-in"])
def rebuilt(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("labels")
    nouns = NOUNS if request.param == "WordNet 3.0" else stand_in(output.parent / "data.noun")
    if not nouns.exists():
        pytest.skip(f"WordNet 3.0 (Debian: wordnet-base) is not installed: {nouns} is missing")
    done = run_builder("--wordnet", nouns, "--output", output)
    assert done.returncode == 0, done.stderr
    return output


@pytest.mark.parametrize("table", TABLES)
def test_the_builder_reproduces_the_shipped_table(rebuilt: Path, table: str) -> None:
    assert (rebuilt / table).read_bytes() == (ROOT / "modelzoo" / "labels" / table).read_bytes()


def test_the_shipped_tables_are_those_the_builder_makes(rebuilt: Path) -> None:
    shipped = {path.name for path in (ROOT / "modelzoo" / "labels").glob("*.tsv")}
    assert shipped == {path.name for path in rebuilt.iterdir()}


def test_the_builder_names_a_missing_input_in_one_sentence(tmp_path: Path) -> None:
    missing = tmp_path / "data.noun"
    done = run_builder("--wordnet", missing, "--output", tmp_path)
    assert done.stderr == (
        f"scripts.labels.build: cannot read {missing} "
        "(WordNet 3.0's nouns; Debian has them in the package wordnet-base): No such file or directory.\n"
    )


def test_the_builder_refuses_another_wordnet(tmp_path: Path) -> None:
    nouns = tmp_path / "data.noun"
    nouns.write_text("00001740 03 n 01 entity 0 000 | that which is perceived\n", encoding="utf-8")
    (tmp_path / "imagenet1k_wnids.txt").write_text("n01440764\n", encoding="utf-8")
    (tmp_path / "mlimages_classes.tsv").write_text("index\twnid\tparent_index\n", encoding="utf-8")
    done = run_builder("--wordnet", nouns, "--facts", tmp_path, "--output", tmp_path)
    assert done.stderr == (
        f"scripts.labels.build: {nouns} has no synset n01440764, so it is not WordNet 3.0's data.noun.\n"
    )
