"""The base is asked once: what it answered is kept, and read where another run would ask it the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from holdfast.bench.measured.answers import read_answers, write_answers
from holdfast.probes.score import Answers
from holdfast.probes.suite import Suite
from holdfast.probes.watched import group_of

SCORED = "choices by their own tokens"
"""How answers are scored: answers that were scored in another way are not read."""


def questions_digest(suites: Sequence[Suite], raw: bool) -> str:
    """Returns a digest of what is asked: every token of every example, every item, and how it is put and scored."""
    digest = hashlib.sha256(repr((raw, SCORED)).encode())
    for suite in suites:
        digest.update(repr((suite.name, suite.role)).encode())
        for example in suite.texts:
            tokens = list(example.input_ids), list(example.labels)
            digest.update(repr((*tokens, example.origin, group_of(example))).encode())
        for item in suite.items:
            digest.update(repr((item, item.split)).encode())
    return digest.hexdigest()[:16]


def model_digest(name: str) -> str:
    """Returns a digest of a model: of the files of a folder by name, size and time, else of its name."""
    from holdfast.bench.given.model_files import folder_or_name

    folder = Path(folder_or_name(name)).expanduser()
    told = [name]
    if folder.is_dir():
        files = sorted(path for path in folder.iterdir() if path.is_file())
        told += [f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


def cached_answers(path: Path, ask: Callable[[], Answers]) -> Answers:
    """Returns what was answered before; asks and keeps it where it is not there."""
    if path.exists():
        return read_answers(str(path))
    answers = ask()
    write_answers(path, answers, "base", "before")
    return answers
