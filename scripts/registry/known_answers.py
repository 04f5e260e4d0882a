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

# MMdnn's TestKit, imagenet_test.py: a nearest-neighbor resize to a square, then Keras' arithmetic.
TESTKITS = {"TestKit.Standard": "keras_tf", "TestKit.ZeroCenter": "keras_caffe"}
OUTPUTS = {"logits": "logits", "softmax probabilities": "probabilities"}
AFRICAN_ELEPHANT = 386  # in the ImageNet labels
FEATURES = 2048  # of ResNet-101's last map, after pooling

# How far a right answer may be off. Pixels depend on the JPEG decoder by a level here and there, and
# logits are of order 10. Of an input of zeros the two published columns differ by 2.3e-6.
TOLERANCES = {"logits": 0.2, "probabilities": 0.02, "pool": 1e-5}


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
    return [special.get(fact["id"], mmdnn)(fact) for fact in read("known_answers")["answers"]]


def answer(fact: Json, output: str, expected: list[list[Any]], **others: Any) -> Json:
    tolerance = {"tolerance": TOLERANCES[output]} if output in TOLERANCES else {}
    return {
        "model": fact["model"],
        "image": fact["image"],
        **others,
        "output": output,
        "expected": expected,
        **tolerance,
        "source": ", ".join(fact["source"]),
    }


def mmdnn(fact: Json) -> Json:
    """One of MMdnn's: testkit is its call, TestKit.ZeroCenter(path, 224, True); True swaps to BGR."""
    kit, _, call = fact["testkit"].rstrip(")").partition("(")
    _, size, *swapped = call.split(", ")
    channels = {"channels": "BGR" if swapped == ["True"] else "RGB"} if kit.endswith("ZeroCenter") else {}
    return answer(
        fact,
        OUTPUTS[fact["output"]],
        fact["expected"],
        preprocessing=TESTKITS[kit],
        size=int(size),
        **channels,
    )


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
