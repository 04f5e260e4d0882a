"""What is known of a network without building it: its maps, layers, cost, blocks, and a drawing of it."""

from __future__ import annotations

import graphlib
import json
import os
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

import modelzoo
from modelzoo import architectures, cli, settings
from modelzoo.graph import Builder, Graph
from modelzoo.graph.blocks import blocks
from modelzoo.graph.convolutions import Conv, Dense, DepthwiseConv
from modelzoo.graph.drawing import dot
from modelzoo.graph.elementwise import Activation, Add, Multiply, ReLU
from modelzoo.graph.normalization import BatchNorm
from modelzoo.graph.pooling import GlobalPool, MaxPool
from modelzoo.graph.shaping import Concat, ZeroPadding
from modelzoo.graph.summary import label, rows, totals
from scripts.registry import counts
from tests.conftest import ROOT
from tests.test_boundaries import HEAVY
from tests.test_terminal import completed, on_terminal, widest

KEYS = modelzoo.list_models()
NETWORKS = list(  # an entry of each network: some differ only in weights and size
    {(graph.family, graph.variant): key for key in KEYS for graph in [modelzoo.info(key).graph]}.values()
)
MAGIC = {".svg": b"<?xml", ".png": b"\x89PNG", ".pdf": b"%PDF"}
graphviz = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz' program dot is not installed")


def network(key: str, *, top: bool = True, side: int | None = None) -> Graph:
    facts = modelzoo.info(key).graph
    return architectures.build(
        facts.family,
        facts.variant,
        input_shape=facts.input_shape if side is None else (side, side, 3),
        classes=facts.classes if top else None,
        classifier_activation=facts.activation if top else None,
        name=key,
    )


@pytest.fixture
def run(capfd):
    """Runs `modelzoo show` and gives its exit code, output and errors."""

    def run(*arguments):
        code = cli.main(["show", *map(str, arguments)])
        captured = capfd.readouterr()
        return SimpleNamespace(code=code, out=captured.out, err=captured.err)

    return run


def without_framework(code: str) -> str:
    """What a process prints that has imported nothing heavy at its end."""
    code += f"; import sys; heavy = {HEAVY} & sys.modules.keys(); assert not heavy, heavy"
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout


# The registry


@pytest.mark.parametrize("key", KEYS)
def test_the_registry_has_the_graphs_parameters(key):
    entry = modelzoo.info(key)
    graph = entry.graph
    facts = {"family": graph.family, "variant": graph.variant, "classes": graph.classes}
    assert counts.count(facts | {"input_shape": list(graph.input_shape)}) == entry.parameters


# The feature maps


@pytest.mark.parametrize("key", NETWORKS)
def test_feature_info_tells_what_features_give(key):
    graph = network(key, top=False, side=256)
    found = modelzoo.feature_info(key)
    assert {info.name: info.layer for info in found} == graph.maps
    assert [info.channels for info in found] == [graph.shape(info.layer)[-1] for info in found]
    assert [info.stride for info in found] == [2 ** int(info.name[1:]) for info in found]


def test_feature_info_imports_no_framework():
    code = "import modelzoo; c5 = modelzoo.feature_info('resnet50_v1d')[-1]; print(c5.channels, c5.stride)"
    assert without_framework(code) == "2048 32\n"


def test_feature_info_of_an_unknown_model_names_the_nearest():
    with pytest.raises(modelzoo.UnknownModel, match="nearest names are"):
        modelzoo.feature_info("resnet51_v1d")


# The layers


@pytest.mark.parametrize("key", NETWORKS)
def test_the_rows_add_up_to_the_totals(key):
    graph = network(key)
    found, sums = rows(graph), totals(graph)
    assert [row.name for row in found] == [*graph.inputs, *(node.name for node in graph.nodes)]
    assert sum(row.parameters for row in found) == sums.parameters == modelzoo.info(key).parameters
    assert sum(row.multiply_adds for row in found) == sums.multiply_adds > 0
    assert 0 < sums.trainable_parameters <= sums.parameters
    assert sums.bytes == 4 * sums.parameters


@pytest.mark.parametrize(
    ("key", "giga"),
    [
        ("resnet18_v1b", 1.814),
        ("resnet34_v1b", 3.664),
        ("resnet50_v1b", 4.089),
        ("resnet101_v1b", 7.801),
        ("resnet152_v1b", 11.514),
        ("mobilenet_v2_1.0_224.slim", 0.301),
        ("vgg_16.slim", 15.470),
    ],
)
def test_multiply_adds_are_those_that_torchvision_publishes(key, giga):
    """https://docs.pytorch.org/vision/stable/models.html, GFLOPS; slim's extra class rounds away."""
    assert totals(network(key, side=224)).multiply_adds / 1e9 == pytest.approx(giga, abs=6e-4)


def test_shared_weights_count_once():
    builder = Builder()
    x = builder.input("images", (None, 8, 8, 3))
    x = builder.add_node(Conv(3, (3, 3), padding="same"), x, name="first", layer="conv")
    x = builder.add_node(Conv(3, (3, 3), padding="same"), x, name="second", layer="conv")
    found = rows(builder.graph("shared", {"second": x}))
    assert [row.parameters for row in found] == [0, 84, 0]
    assert [row.multiply_adds for row in found] == [0, 5184, 5184]


def test_a_size_that_is_not_known_leaves_the_cost_unknown():
    facts = modelzoo.info("resnet18_v1b").graph
    graph = architectures.build(facts.family, facts.variant, input_shape=(None, None, 3), classes=1000)
    assert totals(graph).multiply_adds is None
    assert {row.multiply_adds for row in rows(graph) if row.operator == "Conv"} == {None}


@pytest.mark.parametrize(
    ("operator", "text"),
    [
        (Conv(64, (7, 7), (2, 2)), "Conv 7x7/2"),
        (Conv(64, (1, 7)), "Conv 1x7"),
        (Conv(64, (3, 3), (2, 1), groups=32, dilation=(2, 2)), "Conv 3x3/2x1 dilated 2x2 in 32 groups"),
        (DepthwiseConv((5, 5)), "DepthwiseConv 5x5"),
        (ReLU(6.0), "ReLU6"),
        (ReLU(), "ReLU"),
        (Activation("softmax"), "softmax"),
        (GlobalPool("max"), "GlobalPool max"),
        (BatchNorm(), "BatchNorm"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_operator_has_a_short_label(operator, text):
    assert label(operator) == text


# The command


def test_show_has_a_row_for_each_layer_and_the_totals(run):
    lines = run("resnet18_v1b").out.splitlines()
    assert lines[0].split() == ["layer", "operator", "output", "parameters", "multiply-adds"]
    assert lines[3].split() == ["stem_conv", "Conv", "7x7/2", "112x112x64", "9,408", "118,013,952"]
    end = lines.index("")
    names = [line.split()[0] for line in lines[1:end]]
    assert names == ["images", *(node.name for node in network("resnet18_v1b.gluon").nodes)]
    card = dict(re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in lines[end + 2 :])
    assert lines[end + 1] == "resnet18_v1b.gluon, 224 x 224 pixels"
    assert card["parameters"] == "11,699,112"
    assert card["trainable parameters"] == "11,689,512"  # what torchvision states
    assert card["multiply-adds"] == "1,814,073,344 for one image"
    assert card["weights"] == "46.8 MB in float32"
    assert card["C5"] == "7x7x512, stage4_block2_relu"


@pytest.mark.parametrize(("text", "size"), [("96", [96, 96]), ("480x640", [480, 640])])
def test_show_takes_any_input_size(text, size, run):
    shown = json.loads(run("resnet50_v1d", "--input-size", text, "--json").out)
    assert shown["input_size"] == size
    shapes = {row["name"]: row["shape"] for row in shown["layers"]}
    assert shapes["images"] == [None, *size, 3]
    assert shapes[shown["feature_maps"]["C5"]] == [None, size[0] // 32, size[1] // 32, 2048]
    assert shown["totals"]["parameters"] == modelzoo.info("resnet50_v1d").parameters


@pytest.mark.parametrize("key", KEYS)
def test_show_has_json_for_every_model(key, run):
    shown = json.loads(run(key, "--json").out)
    assert shown["model"] == key
    assert shown["input_size"] == list(modelzoo.info(key).graph.input_shape[:2])
    assert shown["totals"]["parameters"] == modelzoo.info(key).parameters
    assert set(shown["outputs"].values()) <= {row["name"] for row in shown["layers"]}


def test_show_without_top_ends_with_the_last_map(run):
    shown = json.loads(run("resnet50_v1d", "--no-top", "--json").out)
    assert shown["outputs"] == {"C5": "stage4_block3_relu"}
    assert shown["layers"][-1]["name"] == "stage4_block3_relu"
    head = 2048 * 1000 + 1000
    assert shown["totals"]["parameters"] == modelzoo.info("resnet50_v1d").parameters - head


def test_show_of_features_has_only_what_they_need(run):
    outputs = json.loads(run("resnet50_v1d", "--features", "C2,C3", "--json").out)["outputs"]
    assert outputs == {"C2": "stage1_block3_relu", "C3": "stage2_block4_relu"}
    everything = json.loads(run("resnet50_v1d", "--features", "all", "--json").out)["outputs"]
    assert list(everything) == ["C2", "C3", "C4", "C5"]


BAD = {
    "an unknown model": (("nosuch",), "There is no model 'nosuch'"),
    "too small images": (
        ("vgg_16", "--input-size", 16),
        r"vgg_16\.slim cannot take 16x16 pixels: .* needs images of at least 224 x 224 pixels, got 16 x 16\.",
    ),
    "a size that the head does not take": (
        ("yolo2", "--input-size", 100),
        "cannot take 100x100 pixels: .* multiples of 32",
    ),
    "an unknown feature map": (("resnet18_v1b", "--features", "C2,C9"), "names among C1, C2.* got 'C2,C9'"),
    "an ending of no format": (
        ("resnet18_v1b", "--graph", "net.jpg"),
        r"ends in \.dot, \.svg, \.png, \.pdf, got 'net\.jpg'",
    ),
    "layers of no drawing": (("resnet18_v1b", "--layers"), "--layers needs --graph"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_shown_is_one_sentence(name, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, message = BAD[name]
    result = run(*arguments)
    assert (result.code, result.out, result.err.count("\n")) == (1, "", 1)
    assert re.search(message, result.err)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", ["0", "3x", "x3", "-1", "224x224x3", "large", "9" * 5000])
def test_a_size_that_is_none_is_wrong_usage(size, run):
    result = run("resnet18_v1b", f"--input-size={size}")
    assert result.code == 2
    assert "expected a size such as 224 or 480x640" in result.err
    assert len(result.err) < 1000


def test_no_top_and_features_exclude_each_other(run):
    assert run("resnet18_v1b", "--no-top", "--features", "C2").code == 2


def test_models_of_ones_own_are_shown(run, tmp_path, monkeypatch):
    models = json.loads((ROOT / "modelzoo" / "registry.json").read_text("utf-8"))["models"]
    own = {
        "ours.team": models["resnet18_v1b.gluon"],
        "odd.team": json.loads(json.dumps(models["yolo2.darknet"])),
    }
    own["odd.team"]["graph"]["family"] = "\x1bno"
    path = tmp_path / "own.json"
    path.write_text(json.dumps({"preprocessing": {}, "models": own}))
    monkeypatch.setenv(settings.REGISTRY, str(path))
    assert json.loads(run("ours", "--json").out)["totals"]["parameters"] == 11_699_112
    assert modelzoo.feature_info("ours") == modelzoo.feature_info("resnet18_v1b")
    result = run("odd")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert r"Unknown family '\x1bno'; there are" in result.err


def test_show_imports_no_framework():
    shown = without_framework("from modelzoo.cli import main; main(['show', 'resnet50_v1d', '--json'])")
    assert json.loads(shown)["model"] == "resnet50_v1d.gluon"
    assert without_framework("from modelzoo.cli import main; main(['show', 'yolo2'])").startswith("layer ")


def test_show_fits_the_terminal():
    for columns in (80, 40):
        shown = on_terminal("show", "nasnet_mobile.slim", columns=columns)
        assert 0 < widest(shown) <= columns
        assert "stem1_block1_left_5x5_1_depthwise" in shown


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("sho",), ["show"]),
        (("show", "yolo"), ["yolo2", "yolo2.darknet"]),
        (("show", "yolo2", "--inp"), ["--input-size"]),
        (("show", "yolo2", "--graph", "READ"), ["README.md"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_a_shell_completes_show(words, offered):
    assert completed(*words) == offered


# The blocks


def assert_no_circle(graph: Graph) -> None:
    found = blocks(graph)
    place = {node.name: number for number, block in enumerate(found) for node in block.nodes}
    assert sorted(place) == sorted(graph.node)
    assert sum(len(block.nodes) for block in found) == len(graph.nodes)
    needs: dict[int, set[int]] = {}
    for node in graph.nodes:
        others = {place[name] for name in node.inputs if name in place}
        needs.setdefault(place[node.name], set()).update(others - {place[node.name]})
    list(graphlib.TopologicalSorter(needs).static_order())  # raises CycleError


@pytest.mark.parametrize("key", NETWORKS)
def test_every_layer_is_in_one_block_and_blocks_need_no_later_ones(key):
    graph = network(key)
    assert_no_circle(graph)
    titles = [block.title for block in blocks(graph)]
    assert 5 < len(titles) < len(graph.nodes) / 2
    assert len(set(titles)) == len(titles)


def test_the_blocks_of_a_resnet_are_those_of_its_names():
    stages = [f"stage{stage}_block{block}" for stage in range(1, 5) for block in (1, 2)]
    titles = [block.title for block in blocks(network("resnet18_v1b.gluon"))]
    assert titles == ["stem", *stages, "pool … probabilities"]


class Layers(Builder):
    """A few layers under names that somebody else gave."""

    def conv(self, x, name, channels=8):
        return self.add_node(Conv(channels, (3, 3), padding="same"), x, name=name, layer=name)

    def node(self, operator, *inputs, name):
        return self.add_node(operator, *inputs, name=name, layer=name)


def titles_of(nn: Layers, output) -> list[str]:
    graph = nn.graph("mine", {"output": output})
    assert_no_circle(graph)
    return [block.title for block in blocks(graph)]


def test_blocks_by_keras_names():
    nn = Layers()
    x = nn.conv(nn.input("images", (None, 32, 32, 3)), "conv1_conv")
    for block in ("conv2_block1", "conv2_block2"):
        y = nn.conv(nn.conv(x, f"{block}_1_conv"), f"{block}_2_conv")
        x = nn.node(ReLU(), nn.node(Add(), x, y, name=f"{block}_add"), name=f"{block}_out")
    for block in ("block3a", "block3b"):
        y = nn.conv(x, f"{block}_expand_conv")
        y = nn.node(Multiply(), y, nn.conv(y, f"{block}_se_reduce"), name=f"{block}_se_excite")
        x = nn.node(Add(), x, nn.conv(y, f"{block}_project_conv"), name=f"{block}_add")
    x = nn.node(Dense(10), nn.node(GlobalPool(), x, name="avg_pool"), name="predictions")
    blocks_of_both = ["conv2_block1", "conv2_block2", "block3a", "block3b"]
    assert titles_of(nn, x) == ["conv1", *blocks_of_both, "avg_pool … predictions"]


def test_sums_that_keras_numbers_belong_to_the_blocks_they_end():
    nn = Layers()
    x = nn.conv(nn.input("images", (None, 32, 32, 3)), "net_stem")
    for block in (0, 1):
        y = nn.conv(nn.conv(x, f"net_stage_0_block_{block}_conv"), f"net_stage_0_block_{block}_pointwise")
        x = nn.node(Add(), x, nn.node(Activation("gelu"), y, name=f"gelu_{block}"), name=f"add_{block}")
    assert titles_of(nn, x) == ["net_stem", "net_stage_0_block_0", "net_stage_0_block_1"]


def test_a_shortcut_without_a_name_belongs_to_the_block_of_its_sum():
    nn = Layers()
    x = nn.conv(nn.input("images", (None, 32, 32, 3)), "block1_conv1")
    for block, count in ((2, ""), (3, "_1")):
        shortcut = nn.node(BatchNorm(), nn.conv(x, f"conv2d{count}"), name=f"batch_normalization{count}")
        x = nn.node(Add(), nn.conv(x, f"block{block}_sepconv1"), shortcut, name=f"add{count}")
    assert titles_of(nn, x) == ["block1", "block2", "block3"]


def test_a_node_between_two_of_a_block_belongs_to_it():
    nn = Layers()
    x = nn.conv(nn.input("images", (None, 32, 32, 3)), "conv1_conv")
    x = nn.node(ZeroPadding(((1, 1), (1, 1))), x, name="zero_padding2d_1")
    x = nn.node(MaxPool((3, 3), (2, 2)), x, name="pool1")
    assert titles_of(nn, nn.conv(x, "conv2_block1_1_conv")) == ["conv1", "conv2_block1"]


def test_branches_without_names_are_blocks_by_their_shape():
    nn, number = Layers(), iter(range(100))
    x = nn.conv(nn.input("images", (None, 32, 32, 3)), f"conv2d_{next(number)}")
    x = nn.conv(x, f"conv2d_{next(number)}")
    for block in (0, 1):
        branches = [nn.conv(nn.conv(x, f"conv2d_{next(number)}"), f"conv2d_{next(number)}") for _ in range(3)]
        x = nn.node(Concat(), *branches, name=f"mixed{block}")
    branches = [nn.conv(x, f"conv2d_{next(number)}") for _ in range(2)]
    x = nn.node(ReLU(), nn.node(Add(), *branches, name="sum"), name="relu")
    first, *mixed, last = titles_of(nn, x)
    assert (first, mixed) == ("conv2d_0 … conv2d_1", ["mixed0", "mixed1"])
    assert last.endswith(" … relu")


# The drawing


NASTY = 'a"b\\c&lt;d]; e -> f {"\n<b>"\x1b[31m'


def nasty() -> Graph:
    """A network whose author likes quotes."""
    nn = Layers()
    x = nn.conv(nn.input(f"images {NASTY}", (None, None, None, 3)), f"conv {NASTY}")
    return nn.graph(NASTY, {f"out {NASTY}": x})


@pytest.mark.parametrize("layers", [False, True])
def test_names_are_escaped(layers):
    text = dot(nasty(), layers=layers)
    assert text.isascii()
    assert text.count("\n") == len(text.splitlines())
    assert "\x1b" not in text
    outside = re.sub(r'"(?:[^"\\\n]|\\.)*"', '""', text)
    assert '"' not in outside.replace('""', "")
    assert "e -> f" not in outside
    assert "&lt;" not in text


def test_a_box_says_what_its_block_does_gives_and_has():
    text = dot(network("resnet18_v1b.gluon"))
    box = '[label="stage1_block2\\n2 Conv, 2 BatchNorm, 2 ReLU, Add\\n56x56x64\\n74,240 parameters\\nC2"'
    assert box in text
    assert text.count("subgraph") == 0
    assert text.count("->") == 11  # ten blocks in a row between an input and an output


def test_with_layers_each_has_a_box_in_the_frame_of_its_block():
    graph = network("resnet18_v1b.gluon")
    text = dot(graph, layers=True)
    assert text.count("subgraph cluster_") == 10
    assert '[label="stem_conv\\nConv 7x7/2\\n112x112x64\\n9,408 parameters"]' in text
    assert all(f'label="{node.name}\\n' in text for node in graph.nodes)
    pairs = {(name, node.name) for node in graph.nodes for name in node.inputs}
    assert text.count("->") == len(pairs) + 1


def test_dot_is_written_without_graphviz(run, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "made" / "net.dot"
    result = run("resnet18_v1b", "--graph", path)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"{path}\n")
    assert path.read_text("utf-8") == dot(network("resnet18_v1b.gluon"))


def test_without_graphviz_other_formats_say_how_to_install_it(run, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    result = run("resnet18_v1b", "--graph", tmp_path / "net.svg")
    assert (result.code, result.out, result.err.count("\n")) == (1, "", 1)
    assert "needs Graphviz, whose program `dot` is not found" in result.err
    assert "apt install graphviz" in result.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script is no program there")
def test_where_graphviz_fails_the_old_drawing_stays(run, tmp_path, monkeypatch):
    program = tmp_path / "dot"
    program.write_text("#!/bin/sh\necho half a drawing\necho out of paper >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    path = tmp_path / "net.svg"
    path.write_text("old")
    result = run("resnet18_v1b", "--graph", path)
    assert (result.code, result.err) == (1, "modelzoo: Graphviz failed with exit code 3: 'out of paper'\n")
    assert path.read_text() == "old"
    assert sorted(tmp_path.iterdir()) == [program, path]


@graphviz
@pytest.mark.parametrize("ending", MAGIC)
def test_graphviz_draws_every_format(ending, run, tmp_path):
    path = tmp_path / f"net{ending}"
    result = run("resnet9_cifar10", "--graph", path, "--json")
    assert (result.code, result.err) == (0, "")
    assert json.loads(result.out)["graph"] == str(path)
    assert path.read_bytes().startswith(MAGIC[ending])
    assert list(tmp_path.iterdir()) == [path]


def drawn(text: str) -> str:
    """What Graphviz makes of it, as SVG."""
    command = ["dot", "-Tsvg"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


@graphviz
@pytest.mark.parametrize("layers", [False, True])
def test_graphviz_shows_nasty_names_as_they_are(layers):
    shown = drawn(dot(nasty(), layers=layers))
    assert "&amp;lt;d]; e &#45;&gt; f {" in shown
    assert "&lt;b&gt;" in shown


@graphviz
@pytest.mark.parametrize("key", NETWORKS)
def test_graphviz_draws_every_network(key):
    graph = network(key)
    shown = drawn(dot(graph))
    assert shown.count('class="node"') == len(blocks(graph)) + 2
