"""The field's words: a reader who knows torchvision, timm and Keras meets no private ones here."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT

FOLDERS = ("modelzoo", "docs", "scripts", "benchmarks")
ENDINGS = (".py", ".md", ".json", ".toml", ".sh")
# Each with what to write instead. Regular expressions; capital letters count only where there are any.
WORDS = {
    r"pictures?": "image",
    r"Recipe|\brecipes?\b": "preprocessing",
    r"shorter_side": "resize_size",
    r"licen[c]e": "license",
    r"(initial|recogn|normal)is(e|ed|es|er|ers|ing|ation)\b": "-ize",
    r"\b(colour|centre|grey)": "color, center, gray",
    r"publisher": "source, author",
    r"whereabouts": "availability",
    r"\breceipts?\b": "provenance",
    r"\bHeld\b|\bworkroom\b|\bappearing\b|\bset_aside": "CachedFile, temporary_directory, atomic_write, ...",
    r"RowMaker|\bcomma_separated\b|MAY_GET_BETTER|NUMBERS_IN": "ImagePipeline, csv, RETRYABLE_STATUS, ...",
    r"FeatureExtractor|features_of_files|feature_extraction": "Embedder, embed_files",
    r"what (a|the) network sees": "image embeddings",
    r"(cannot|can not|could not) be had": "is not available",
    r"\bstrangers?\b": "untrusted files",
    r"\bfor ever\b": "hung",
    r"\bcut (short|off)\b": "truncated",
    r"(fetch|fetched|fetches) (it )?again": "download it again",
    r"\bwanted\b": "expected",
    r"beyond the model": "unexpected",
    r"\b(one|none|some) of ours\b": "(not) written by modelzoo",
    r"names no images:|finds no objects": "is a ... model; use ...",
    r"what it answers": "predictions",
    r"command goes on|the same to go on": "rerun the same command to resume",
    r"begin anew": "start over",
    r"leaves out detail|other pixels": "decodes JPEGs at reduced resolution",
    r"runtime that is at hand": "the fastest available runtime",
    r"hardly anything came": "no progress",
    r"pixels it was trained on": "preprocessed as in training",
    r"everybody else": "other sources",
    r"processors are alike": "identical CPUs",
    r"who may import whom": "the allowed imports",
    r"\bmended\b|\bmend\b": "fix",
    r"\bas on any\b": "as with any Keras model",
}
QUOTATIONS = {  # (file, part of the line): others' words, which stay as they are
    ("scripts/registry/facts/", "licence"),
}
FILES = sorted(
    [ROOT / "README.md"]
    + [path for name in FOLDERS for path in (ROOT / name).rglob("*") if path.suffix in ENDINGS]
)


def lines_with(pattern: str) -> list[str]:
    """The lines of all files in which the pattern is found, names of files included."""
    known = re.compile(pattern, re.IGNORECASE if pattern == pattern.lower() else 0)
    found = []
    for path in FILES:
        name = path.relative_to(ROOT).as_posix()
        lines = [name, *path.read_text("utf-8").splitlines()]
        for number, line in enumerate(lines):
            quoted = any(name.startswith(place) and part in line for place, part in QUOTATIONS)
            if known.search(line) and not quoted:
                found.append(f"{name}:{number}: {line.strip()[:120]}")
    return found


@pytest.mark.parametrize("pattern", WORDS)
def test_a_word_of_ours_is_not_used(pattern):
    found = "\n".join(lines_with(pattern))
    assert not found, f"write {WORDS[pattern]!r}:\n{found}"
