"""A cache of the base's answers, which runs with the same questions share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from holdfast.bench.measured.answers import read_answers, write_answers
from holdfast.core.precision import Precision
from holdfast.probes.score import Answers
from holdfast.probes.suite import Suite
from holdfast.probes.watch_record import group_of

SCORED = "choices by their own tokens, with their Brier terms, and answers behind their thoughts"
"""The rule by which answers are scored, and what is kept of them; another rule gives another digest."""


ROWS = "rows"
"""Folder, beside the answers, of what the base says of the rows that runs train on; who made the runs deletes it."""


def questions_digest(suites: Sequence[Suite], raw: bool, precision: Precision = "fp32") -> str:
    """Returns a digest of all questions: the tokens of every example, every item, and how they are asked and scored."""
    digest = hashlib.sha256(repr((raw, SCORED, *([] if precision == "fp32" else [precision]))).encode())
    for suite in suites:
        digest.update(repr((suite.name, suite.role)).encode())
        for example in suite.texts:
            tokens = list(example.input_ids), list(example.labels)
            digest.update(repr((*tokens, example.origin, group_of(example))).encode())
        for item in suite.items:
            digest.update(repr((item, item.split)).encode())
    return digest.hexdigest()[:16]


def cached_answers(path: Path, ask: Callable[[], Answers]) -> Answers:
    """Returns the answers in a file; if it is missing, calls `ask` and writes it."""
    if path.exists():
        return read_answers(str(path))
    answers = ask()
    write_answers(path, answers, "base", "before")
    return answers
