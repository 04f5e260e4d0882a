"""Builds modelzoo/verification/known_answers.json: what others published that a model answers for an image.

    python -m scripts.registry.known_answers

The facts hold the answers for files that the registry has, with numbers, for images whose sha256 is known.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from modelzoo import labels
from scripts.registry.build import ROOT
from scripts.registry.records import Json, read

TARGET = ROOT / "modelzoo" / "verification" / "known_answers.json"

# MMdnn's TestKit, imagenet_test.py: Pillow's resize to a square, then Keras' arithmetic. Its Pillow was older
# than 3.4, as the answers themselves show: see MMDNN_TOLERANCES.
TESTKITS = {"TestKit.Standard": "keras_tf", "TestKit.ZeroCenter": "keras_caffe"}
TESTKIT_INTERPOLATION = "pillow3_nearest"
OUTPUTS = {"logits": "logits", "softmax probabilities": "probabilities"}
AFRICAN_ELEPHANT = 386  # in the ImageNet labels
FEATURES = 2048  # of ResNet-101's last map, after pooling

# Of an answer's norm: what rounding does to a program's logits on other machines.
NORM_TOLERANCE = 2e-6

# How far a right answer may be off. Pixels depend on the JPEG decoder by a level here and there. Of an input
# of zeros the two published columns differ by 2.3e-6.
TOLERANCES = {"probabilities": 0.02, "pool": 1e-5}
# Of MMdnn's. Measured with the genuine MobileNet v1 1.0 of 2017 (inside nudity 0.2.3 on PyPI; Keras' file has
# the same weights less the background class), on the seagull and the elephant: off by 7.6e-6 and 9.5e-6 in
# logits, 6.0e-7 and 2.2e-6 in probability. Today's Pillow: 1.2 and 1.7, 0.059 and 0.067; positions that are
# multiplied instead of added up: 0.13 and 0.60, 0.035 and 0.052. The rest is for deeper networks and other
# machines, whose kernels add in another order.
MMDNN_TOLERANCES = {"logits": 2e-3, "probabilities": 5e-4}


def main(arguments: Sequence[str] | None = None) -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args(arguments)
    TARGET.write_text(document(), "utf-8")
    print(f"{TARGET}: {len(answers())} answers")


def document() -> str:
    """The text of known_answers.json."""
    images = {
        image["name"]: {"sha256": image["sha256"], "url": image["url"]}
        for image in read("known_answers")["images"]
    }
    return json.dumps({"images": images, "answers": answers()}, indent=1) + "\n"


def answers() -> list[Json]:
    special = {
        "tencent_keras_zeros": tencent_zeros,
        "tencent_keras_im_0": tencent,
        "gluoncv_docs_resnet50_v1d": gluon,
        "keras_applications_test_elephant": keras_elephant,
    }
    facts = read("known_answers")["answers"]
    return [special.get(fact["id"], with_norm if "norm" in fact else mmdnn)(fact) for fact in facts]


def answer(fact: Json, output: str, expected: list[list[Any]], **others: Any) -> Json:
    tolerance = others.pop("tolerance", TOLERANCES.get(output))
    return {
        "model": fact["model"],
        "image": fact["image"],
        **others,
        "output": output,
        "expected": expected,
        **({} if tolerance is None else {"tolerance": tolerance}),
        "source": ", ".join(fact["source"]),
    }


def mmdnn(fact: Json) -> Json:
    """One of MMdnn's: testkit is its call, TestKit.ZeroCenter(path, 224, True); True swaps to BGR."""
    kit, _, call = fact["testkit"].rstrip(")").partition("(")
    _, size, *swapped = call.split(", ")
    channels = {"channels": "BGR" if swapped == ["True"] else "RGB"} if kit.endswith("ZeroCenter") else {}
    output = OUTPUTS[fact["output"]]
    return answer(
        fact,
        output,
        fact["expected"],
        preprocessing=TESTKITS[kit],
        size=int(size),
        **channels,
        interpolation=TESTKIT_INTERPOLATION,
        tolerance=MMDNN_TOLERANCES[output],
    )


def with_norm(fact: Json) -> Json:
    """Of an original program that was run on the real weights: its largest logits, and the norm of all."""
    how = {"interpolation": fact["interpolation"]} if "interpolation" in fact else {}
    tolerance = float(f"{NORM_TOLERANCE * fact['norm']:.2g}")
    return answer(fact, fact["output"], fact["expected"], tolerance=tolerance, **how)


def tencent_zeros(fact: Json) -> Json:
    """The first and the last features, of no image but an input of zeros."""
    head, tail = fact["expected"]["head"], fact["expected"]["tail"]
    expected = [*enumerate(head), *enumerate(tail, start=FEATURES - len(tail))]
    return answer(fact, "pool", [list(pair) for pair in expected], size=224)


def tencent(fact: Json) -> Json:
    ids = [label.id for label in labels.read("mlimages")]
    expected = [[ids.index(id_), value] for id_, value in fact["expected"]]
    return answer(fact, "probabilities", expected, preprocessing="tencent_demo", size=224)


def gluon(fact: Json) -> Json:
    names = [label.name.partition(",")[0] for label in labels.read("imagenet")]
    expected = [[names.index(name), value] for name, value in fact["expected"]]
    return answer(fact, "probabilities", expected, preprocessing="gluoncv_eval", size=224)


def keras_elephant(fact: Json) -> Json:
    """Every model of keras.applications has it among its first three."""
    return answer(fact, "rank", [[AFRICAN_ELEPHANT, 3]])


if __name__ == "__main__":
    main()
