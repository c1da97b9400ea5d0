"""Public names and docstrings keep to docs/words.md: none has a word of its column "not".

The column rules a word out for one meaning. `OTHER_MEANINGS` lists the words that also have a second, standard meaning,
in which they stay; `EXCEPTIONS` lists single uses.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import holdfast
from holdfast.bench.measured.schema import key_of
from holdfast.cli.commands import build_parser
from holdfast.cli.reference import _parsers
from holdfast.core.run import Run, Step
from holdfast.core.settings import settings_of
from holdfast.core.tokens import Tokens
from holdfast.report.records import RECORDS, parts_of

WORDS = Path(__file__).parents[2] / "docs" / "words.md"

OTHER_MEANINGS = {
    "unit": "what a number counts: points, nats, or the dimension of a setting",
    "sample": "a random draw, and the settings `samples` and `level` of methods, as in their papers",
    "teacher": "the setting `teacher` of Train, and the averaged model of OnPolicySDFT",
    "reference": "a citation, the setting `reference` of Train, and the fine-tuned model of TokenForgetting",
    "checkpoint": "a state that a trainer writes, to resume from it",
    "lambda": "the symbol of a paper, beside the name of our setting",
    "beta": "the symbol of a paper, beside the name of our setting",
    "scale": "a factor on a weight or a rate, as in alpha of LoRA",
    "threshold": "the setting `threshold` of methods, as in their papers",
    "pass": "one pass over data or weights",
    "fail": "the verb",
    "log": "a logarithm, and the log of a trainer",
}
"""Words of the column that docstrings use in another meaning than the one that docs/words.md rules out."""

EXCEPTIONS = {
    ("SymptomRow.threshold", "threshold"): "the least effect of a symptom that counts; a user gives no budget for it",
    ("GuardRow.failed", "fail"): "it counts looks that raised an error, and is no verdict",
    ("holdfast diff --fail-on", "fail"): "it chooses the verdicts with an exit code above 0, as flags of test tools do",
}
"""Names or docstrings that may have a word all the same, each with the reason."""


def ruled_out() -> dict[str, str]:
    """Returns the words of the column "not", each with the word to use."""
    rows = [line.split("|") for line in WORDS.read_text(encoding="utf-8").splitlines() if line.startswith("| **")]
    words = {}
    for row in rows:
        listed = re.sub(r"\([^)]*\)| only where.*", "", row[4])
        words |= {word.strip(' "'): row[1].strip(" *") for word in re.split(r"[,;]", listed) if word.strip()}
    return words


NOT = ruled_out()
PATTERNS = {word: re.compile(rf"\b{word}(s|es|ed|ing)?\b", re.IGNORECASE) for word in NOT}


def words_of(name: str) -> str:
    """Returns the words of a name in code or of a flag, separated by spaces."""
    return re.sub(r"[_\-.]+", " ", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)).lower()


def public() -> dict[str, object]:
    """Returns the public objects by name: those of the package, what hooks receive, and the pure functions."""
    objects = {name: getattr(holdfast, name) for name in holdfast.__all__}
    objects |= {cls.__name__: cls for cls in (Tokens, Run, Step)}
    return objects | {f"functional.{name}": value for name, value in holdfast.functional.FUNCTIONS.items()}


def documented() -> Iterator[tuple[str, str]]:
    """Yields each public object and each public member of a class, with its docstring."""
    for name, value in public().items():
        yield name, inspect.getdoc(value) or ""
        for member, inner in vars(value).items() if inspect.isclass(value) else ():
            if not member.startswith("_") and (callable(inner) or isinstance(inner, (property, classmethod))):
                yield f"{name}.{member}", inspect.getdoc(inner) or ""


def named() -> Iterator[tuple[str, str]]:
    """Yields every public name with its place: objects, their fields, fields and keys of records, and flags."""
    for name, value in public().items():
        yield name, name
        if inspect.isclass(value) and dataclasses.is_dataclass(value) and not issubclass(value, holdfast.Method):
            yield from ((f"{name}.{field.name}", field.name) for field in dataclasses.fields(value))
    for record in RECORDS:
        for part in parts_of(record):
            for field in dataclasses.fields(part):
                yield from ((f"{part.__name__}.{name}", name) for name in {field.name, key_of(field)})
    for command, parser in _parsers(build_parser()).items():
        for action in parser._actions:
            yield from ((f"holdfast {command} {flag}", flag) for flag in action.option_strings)


def broken(entries: Iterator[tuple[str, str]], *, allowed: frozenset[str]) -> list[str]:
    """Returns one line for each word that is ruled out in a text, unless the word is allowed or excepted."""
    return [
        f"{where}: {word!r}; write {NOT[word]}"
        for where, text in entries
        for word, pattern in PATTERNS.items()
        if word not in allowed and (where, word) not in EXCEPTIONS and pattern.search(text)
    ]


def test_public_names_have_no_word_that_is_ruled_out():
    entries = ((where, words_of(name)) for where, name in named())
    assert not broken(entries, allowed=frozenset({"unit"}))  # a unit of numbers; a supervised token is a token


def test_settings_of_methods_have_no_word_that_is_ruled_out():
    methods = {name: cls for name, cls in public().items() if inspect.isclass(cls) and issubclass(cls, holdfast.Method)}
    entries = ((f"{name}({key}=)", words_of(key)) for name, cls in methods.items() for key in settings_of(cls))
    assert not broken(entries, allowed=frozenset(OTHER_MEANINGS))


def test_docstrings_of_public_objects_have_no_word_that_is_ruled_out():
    entries = ((where, re.sub(r"`[^`]*`|\"[^\"]*\"", "", text)) for where, text in documented())
    assert not broken(entries, allowed=frozenset(OTHER_MEANINGS))


def test_no_docstring_calls_a_token_a_unit():
    pattern = re.compile(r"(supervised|new|rehearsed|per|each|every) units?\b(?! of)|\[units\]", re.IGNORECASE)
    assert not [where for where, text in documented() if pattern.search(text)]


@pytest.mark.parametrize("word", OTHER_MEANINGS)
def test_a_word_with_another_meaning_is_in_the_column(word):
    assert word in NOT


def test_the_check_finds_words_in_names_and_texts():
    entries = iter([("A", words_of("replayBuffer_size")), ("B", "the leashes of a model"), ("C", "a sample")])
    assert broken(entries, allowed=frozenset({"sample"})) == [
        "A: 'replay buffer'; write old examples",
        "A: 'replay'; write rehearsal",
        "B: 'leash'; write penalty to the base model (KL)",
    ]
