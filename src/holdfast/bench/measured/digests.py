"""Digests of files, questions and answers, over canonical JSON: sorted keys, no spaces, UTF-8."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from holdfast.core.errors import HoldfastError
from holdfast.probes.score import Answers
from holdfast.probes.suite import Suite
from holdfast.probes.watch_record import group_of

PLACES = 4
"""Digits of the likelihood of a text that count, because its last digits differ between machines."""


def canonical(value: Any) -> bytes:
    """Returns a JSON value in its canonical form: the same value always gives the same bytes."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain
    ).encode("utf-8", "surrogatepass")


def _plain(value: Any) -> Any:
    """Returns something that JSON lacks as a JSON value."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {type(value).__name__: {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}}
    return sorted(map(repr, value)) if isinstance(value, (set, frozenset)) else repr(value)


def digest_of(value: Any) -> str:
    """Returns the SHA-256 of a value's canonical form, in hexadecimal."""
    return hashlib.sha256(canonical(value)).hexdigest()


def file_digest(path: Path) -> str:
    """Returns the SHA-256 of a file; raises `HoldfastError` if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise HoldfastError(f"{path} cannot be read ({error.strerror or error}); check the folder.") from error


def folder_digests(folder: Path, *, leave_out: Collection[str] = (), suffixes: Sequence[str] = ()) -> dict[str, str]:
    """Returns the SHA-256 of each file in a folder, by name.

    Args:
        folder: The folder; folders inside it do not count.
        leave_out: Names that do not count.
        suffixes: Endings that count; all of them if empty.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name not in leave_out)
    return {path.name: file_digest(path) for path in files if not suffixes or path.suffix in suffixes}


def questions_of(suite: Suite) -> str:
    """Returns a digest of the items and texts of a suite, in their order."""
    texts = [[list(e.input_ids), list(e.labels), repr(group_of(e))] for e in suite.texts]
    return digest_of({"items": list(suite.items), "texts": texts})


def answers_of(answers: Answers, suite: str) -> str:
    """Returns a digest of a model's scores and answers to one suite, in their order."""
    said = {row.item: row.said for row in answers.said if row.suite == suite}
    return digest_of(list(_lines(answers, suite, said)))


def _lines(answers: Answers, suite: str, said: dict[str, str]) -> Iterable[list[Any]]:
    for row in answers.scores:
        if row.suite == suite:
            value = row.value if row.unit == "points" else round(row.value / row.weight, PLACES)
            yield [row.item, value, said.get(row.item, "")]
