"""The scores of the queries of the study of rerankers, small enough to keep beside its rows.

docs/studies/rerank-scores.jsonl has a line for each base, with the queries and what the base reaches on them, and a
line for each run, with what the trained reranker reaches on the same queries. Scores are nDCG@10 in points, with two
decimals. Intervals over seeds (`benchmarks/rerank.py seeds`) need nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from holdfast.bench.machine.files import append_jsonl, read_jsonl
from holdfast.bench.measured.scores import read_scores
from holdfast.probes.score import Score

SCORES = Path("docs/studies/rerank-scores.jsonl")

Queries = dict[str, dict[str, Any]]
"""The queries of each suite: their role, ids, groups and the scores of the base."""


class OtherBaseError(Exception):
    """The base of a run has other scores than the base of the runs before it."""


def keep_scores(base: str, name: str, seed: int, run: Path) -> None:
    """Adds the scores of a run, which are in its file `scores.jsonl`.

    Raises:
        OtherBaseError: The base has other queries or scores than in the runs that are there.
    """
    scores = read_scores(run)
    queries = _queries(scores["before"])
    known = queries_of(base)
    if known is None:
        append_jsonl(SCORES, {"base": base, "queries": queries})
    elif known != queries:
        raise OtherBaseError(f"{run}: the base answers otherwise than in the runs of {SCORES}; delete those of {base}.")
    after: dict[str, list[float]] = {}
    for score in scores["after"]:
        after.setdefault(score.suite, []).append(round(score.value, 2))
    append_jsonl(SCORES, {"base": base, "name": name, "seed": seed, "after": after})


def queries_of(base: str) -> Queries | None:
    """Returns the queries of a base, or None if no run of it is there."""
    return next((line["queries"] for line in _lines() if line["base"] == base and "queries" in line), None)


def seeds_of(base: str, name: str) -> list[int]:
    """Returns the seeds whose scores are there, in order."""
    return sorted(line["seed"] for line in _lines() if line["base"] == base and line.get("name") == name)


def scores_of(base: str, name: str, seeds: Sequence[int]) -> tuple[list[Score], list[list[Score]]]:
    """Returns the scores of the base, and those after training with each seed, in the same order."""
    queries = queries_of(base)
    assert queries is not None
    runs = {line["seed"]: line["after"] for line in _lines() if (line["base"], line.get("name")) == (base, name)}
    before = {suite: of["before"] for suite, of in queries.items()}
    return _scores(queries, before), [_scores(queries, runs[seed]) for seed in seeds]


def _lines() -> list[dict[str, Any]]:
    return read_jsonl(SCORES) if SCORES.exists() else []


def _queries(before: Sequence[Score]) -> Queries:
    queries: Queries = {}
    for score in before:
        empty: dict[str, Any] = {"role": score.role, "items": [], "groups": [], "before": []}
        of = queries.setdefault(score.suite, empty)
        of["items"].append(score.item)
        of["groups"].append(score.group)
        of["before"].append(round(score.value, 2))
    return queries


def _scores(queries: Queries, values: dict[str, list[float]]) -> list[Score]:
    return [score for suite, of in queries.items() for score in _of_suite(suite, of, values[suite])]


def _of_suite(suite: str, of: dict[str, Any], values: Sequence[float]) -> Iterator[Score]:
    for item, group, value in zip(of["items"], of["groups"], values, strict=True):
        yield Score(
            suite=suite, role=of["role"], split="proof", item=item, group=group, value=value, unit="points",
            higher_is_better=True,
        )  # fmt: skip
