"""Scores as lines of a file, each with its run and its moment."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from holdfast.bench.given.options import describe_type, hints_of, matches_type
from holdfast.bench.machine.files import read_jsonl, write_jsonl
from holdfast.core.errors import HoldfastError, nearest
from holdfast.probes.score import Score

Moment = Literal["before", "after"]
"""The model that was asked: the base (`before`) or the tuned model (`after`)."""


def record_of(score: Score, run: str, moment: Moment) -> dict[str, Any]:
    """Returns a score as a line of a file."""
    return {"run": run, "moment": moment, **dataclasses.asdict(score)}


def score_of(record: Mapping[str, Any], where: str = "a score") -> Score:
    """Returns the score of a line.

    Raises:
        HoldfastError: A field is unknown, missing or of the wrong type; the message begins with `where`.
    """
    optional = [field.name for field in dataclasses.fields(Score) if field.default is not dataclasses.MISSING]
    hints = {"run": str, "moment": Moment, **hints_of(Score)}
    for key in record:
        if key not in hints:
            raise HoldfastError(f"Unknown field {key!r} in {where}.{nearest(str(key), hints)}")
    if missing := hints.keys() - record.keys() - {*optional}:
        raise HoldfastError(f"Missing in {where}: {', '.join(sorted(missing))}.")
    for key, value in record.items():
        if not matches_type(value, hints[key]):
            name = f"Score of {record['item']!r} in {record['suite']!r}"
            raise HoldfastError(f"{name}: {key} is {value!r}, which is not {describe_type(hints[key])}.")
    return Score(**{key: value for key, value in record.items() if key not in ("run", "moment")})


def write_scores(path: str | os.PathLike[str], run: str, scores: Mapping[Moment, Sequence[Score]]) -> None:
    """Writes the scores of a run atomically, one per line; raises `HoldfastError` if the file cannot be written."""
    write_jsonl(path, (record_of(score, run, moment) for moment, of_moment in scores.items() for score in of_moment))


def read_scores(path: str | os.PathLike[str]) -> dict[Moment, list[Score]]:
    """Returns the scores of a file for both moments; raises `HoldfastError` with the first bad line."""
    scores: dict[Moment, list[Score]] = {moment: [] for moment in get_args(Moment)}
    for number, record in enumerate(read_jsonl(path), start=1):
        score = score_of(record, f"{path}:{number}")
        scores[record["moment"]].append(score)
    return scores
