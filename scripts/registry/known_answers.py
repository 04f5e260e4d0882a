"""Builds modelzoo/known_answers.json: what others published that a model answers for a picture.

    python scripts/registry/known_answers.py [--facts ../shared/facts/upstream.json]

Taken are the answers for files that the registry has, with numbers, for pictures whose sha256 is known.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import build
import keras_applications
import slim

from modelzoo import labels

TARGET = build.ROOT / "modelzoo" / "known_answers.json"
GITHUB = "https://raw.githubusercontent.com/"  # a file of a repository at a commit
MMDNN = GITHUB + "microsoft/MMdnn/{}/mmdnn/conversion/{}"
PICTURES = {  # sha256 from the facts; addresses of the repositories' own copies
    "mmdnn_seagull": MMDNN.format("19562a381c27545984a216eda7591430e274e518", "examples/data/seagull.jpg"),
    "mmdnn_elephant_2017": MMDNN.format(
        "62d25f51fcfe8dca57a696598cd97075c85c8b79", "examples/data/elephant.jpg"
    ),
    "tencent_im_0": GITHUB
    + "Tencent/tencent-ml-images/182631879cdb3d44d594d13d3f29a98bf7acdf81/data/images/im_0.jpg",
    "gluoncv_classification-demo": GITHUB
    + "dmlc/gluon-cv/567775619f3b97d47e7c360748912a4fd883ff52/docs/_static/classification-demo.png",
    "keras_applications_elephant": GITHUB
    + "keras-team/keras-applications/06fbeb0f16e1304f239b2296578d1c50b15a983a/tests/data/elephant.jpg",
}
ZEROS = "zeros"  # no picture: the network's input is all zeros

# MMdnn's TestKit, imagenet_test.py: a nearest-neighbour resize to a square, then Keras' arithmetic.
STANDARD, ZERO_CENTER = "keras_tf", "keras_caffe"
TESTKITS = {"TestKit.Standard": STANDARD, "TestKit.ZeroCenter": ZERO_CENTER}
MMDNN_2017 = {  # of the elephant the facts know no sizes: those that imagenet_test.py gives for the seagull
    "mmdnn_elephant2017_tensorflow_vgg19": "TestKit.ZeroCenter(path, 224)",
    "mmdnn_elephant2017_tensorflow_resnet": "TestKit.Standard(path, 299)",
    "mmdnn_elephant2017_tensorflow_inception_v3": "TestKit.Standard(path, 299)",
    "mmdnn_elephant2017_tensorflow_mobilenet": "TestKit.Standard(path, 224)",
    "mmdnn_elephant2017_keras_vgg19": "TestKit.ZeroCenter(path, 224, True)",
    "mmdnn_elephant2017_keras_inception_v3": "TestKit.Standard(path, 299)",
    "mmdnn_elephant2017_keras_xception": "TestKit.Standard(path, 299)",
    "mmdnn_elephant2017_keras_mobilenet": "TestKit.Standard(path, 224)",
}
MODELS = {"mmdnn_elephant2017_tensorflow_resnet": "resnet_v2_152.slim"}  # MMdnn calls it only "resnet"
AFRICAN_ELEPHANT = 386  # in the ImageNet labels

# How far a right answer may be off. Pixels depend on the JPEG decoder by a level here and there, and
# logits are of order 10. Of an input of zeros the two published columns differ by 2.3e-6.
TOLERANCES = {"logits": 0.2, "probabilities": 0.02, "pool": 1e-5}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--facts", type=Path, default=build.FACTS)
    records = json.loads(parser.parse_args().facts.read_text("utf-8"))
    facts = {record["id"]: record for record in records if record["record"] == "known_answer"}
    keys = keys_by_fact({r["id"]: r for r in records if r["record"] == "weights"})

    answers = [
        *(answer for fact in facts.values() if (answer := mmdnn(fact, keys))),
        *tencent(facts),
        gluon(facts["gluoncv_docs_resnet50_v1d"]),
        keras_elephant(facts["keras_applications_test_elephant"]),
    ]
    pictures = {
        name: {"sha256": next(f["image_sha256"] for f in facts.values() if is_of(f, name)), "url": url}
        for name, url in PICTURES.items()
    }
    TARGET.write_text(json.dumps({"pictures": pictures, "answers": answers}, indent=1) + "\n", "utf-8")
    print(f"{TARGET}: {len(answers)} answers")


def keys_by_fact(weights: dict[str, dict]) -> dict[str, str]:
    """The registry's key of each of the facts' weight files that one of these answers is about."""
    keys = {model.fact: f"{name}.slim" for name, model in slim.MODELS.items()}
    for identifier in weights:
        if match := keras_applications.FACT.fullmatch(identifier):
            model, alpha, minimalistic, size = match.groups()
            variant = keras_applications.variant_of(model, float(alpha or 1), bool(minimalistic))
            keys[identifier] = f"{variant}_{size}.keras" if size else f"{variant}.keras"
    return keys


def is_of(fact: dict, picture: str) -> bool:
    return f"shared/data/photos/{picture}." in (fact["image_location"] or "")


def answer(fact: dict, model: str, picture: str, output: str, expected: list, **others) -> dict:
    tolerance = {"tolerance": TOLERANCES[output]} if output in TOLERANCES else {}
    return {
        "model": model,
        "picture": picture,
        **others,
        "output": output,
        "expected": expected,
        **tolerance,
        "source": ", ".join(fact["provenance"]),
    }


def mmdnn(fact: dict, keys: dict[str, str]) -> dict | None:
    model = MODELS.get(fact["id"]) or keys.get(fact["weights_id"])
    testkit = MMDNN_2017.get(fact["id"], fact["preprocessing"])
    if model is None or not fact["id"].startswith("mmdnn_") or not testkit.startswith(tuple(TESTKITS)):
        return None
    if not fact.get("in_scope"):
        return None
    kit, _, arguments = testkit.rstrip(")").partition("(")
    _, size, *transposed = arguments.split(", ")
    channels = {"channels": "BGR" if transposed == ["True"] else "RGB"} if kit.endswith("ZeroCenter") else {}
    return answer(
        fact,
        model,
        next(name for name in PICTURES if is_of(fact, name)),
        {"logits": "logits", "softmax probabilities": "probabilities"}[fact["output"]],
        [[expected["index"], expected["value"]] for expected in fact["expected"]],
        recipe=TESTKITS[kit],
        size=int(size),
        **channels,
    )


def tencent(facts: dict[str, dict]) -> list[dict]:
    key = "resnet101_mlimages.tencent"
    zeros, photo = facts["tencent_keras_zeros"], facts["tencent_keras_im_0"]
    checkpoint = next(e for e in zeros["expected"] if e["framework"] == "TensorFlow checkpoint")
    last = 2048 - len(checkpoint["tail"])
    values = [*enumerate(checkpoint["head"]), *enumerate(checkpoint["tail"], start=last)]
    ids = [label.id for label in labels.read("mlimages")]
    expected = [[ids.index(e["wnid"]), e["value"]] for e in photo["expected"]]
    return [
        answer(zeros, key, ZEROS, "pool", [list(pair) for pair in values], size=224),
        answer(photo, key, "tencent_im_0", "probabilities", expected, recipe="tencent_demo", size=224),
    ]


def gluon(fact: dict) -> dict:
    names = [label.name.partition(",")[0] for label in labels.read("imagenet")]
    expected = [[names.index(e["label"]), e["value"]] for e in fact["expected"]]
    picture = "gluoncv_classification-demo"
    return answer(
        fact, "resnet50_v1d.gluon", picture, "probabilities", expected, recipe="gluoncv_eval", size=224
    )


def keras_elephant(fact: dict) -> dict:
    """Every model of keras.applications has it among its first three."""
    return answer(fact, "*.keras", "keras_applications_elephant", "rank", [[AFRICAN_ELEPHANT, 3]])


if __name__ == "__main__":
    main()
