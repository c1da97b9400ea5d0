"""The word on what was learned, beside the verdict on what was kept: a run that learned nothing is no success."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.bench.changes import POINTS, SuiteChange, mean_of
from holdfast.bench.records import ScoreRow
from holdfast.stats.learned import BEST_FIRST, Learned, gained, learned_word, little


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a guard saw learned of a run that it took back.

    Attributes:
        most: The most that any look saw learned over the base, in `unit`.
        unit: "points" or "nats".
        started: Whether the model is that of the start.
    """

    most: float
    unit: str
    started: bool


def learning(found: Sequence[SuiteChange], guard: Seen | None = None) -> dict[str, Any]:
    """Returns the word on what was learned, ready for result.json.

    Args:
        found: What became of every suite; those of the role "learned" count.
        guard: What a guard saw learned, if it took the model back.

    Returns:
        `word`: learned, learned little, not learned, not enough evidence, or not measured where no suite measures what
        is learned (the rule: `holdfast.stats.learned.learned_word`); and `of`, an entry for each unit: `unit`, `suites`
        (their names), `before`, `gain` with `low` and `high` (95%; positive where the model is better), `least` (the
        gain below which it is little), `word`, and `reached`, the most that the guard had seen, where it took the model
        back. The word of all is the best of the units: nothing was learned where none shows it.
    """
    units: dict[str, list[SuiteChange]] = {}
    for one in found:
        if one.role == "learned":
            units.setdefault(one.unit, []).append(one)
    entries = [_entry(unit, suites, guard) for unit, suites in units.items()]
    words: list[Learned] = [entry["word"] for entry in entries] or ["not measured"]
    said: dict[str, Any] = {"word": min(words, key=BEST_FIRST.index), "of": entries}
    return said | ({"put_back_to": "start"} if guard is not None and guard.started else {})


def _entry(unit: str, suites: Sequence[SuiteChange], guard: Seen | None) -> dict[str, Any]:
    scale = suites[0].scale
    before = scale * math.fsum(one.evidence.before for one in suites) / len(suites)
    gain, low, high = (scale * end for end in gained(mean_of(suites), higher_is_better=unit == "points"))
    known = all(one.evidence.groups > 1 or getattr(one.evidence, "identical", False) for one in suites)
    reached = guard.most if guard is not None and guard.unit == unit else None
    least = little(unit, before, reached)
    word: Learned = learned_word(gain, low, high, least) if known else "not enough evidence"
    if guard is not None and guard.started:
        word = "not learned"
    about: dict[str, Any] = {"unit": unit, "suites": [one.name for one in suites], "before": before, "gain": gain}
    if known:
        bounds = (-POINTS, POINTS) if unit == "points" else (-math.inf, math.inf)
        about |= {"low": max(bounds[0], low), "high": min(bounds[1], high)}
    return about | {"least": least, "word": word} | ({} if reached is None else {"reached": reached})


def seen(guard: Mapping[str, Any], before: Sequence[ScoreRow]) -> Seen | None:
    """Returns what a guard saw learned of a run that it took back; None where it did not, or looked at no learning.

    Args:
        guard: Its summary, as in result.json, with the names of the suites that it watched; empty without a guard.
        before: All scores of the base, those of the watched side among them; others are passed over.
    """
    if guard.get("model_of") is None:
        return None
    watched = guard.get("watched", ())
    rows = [
        row
        for row in before
        if row.moment == "before" and row.role == "learned" and row.split == "watch" and row.suite in watched
    ]
    answers = [row for row in rows if row.unit == "points"]
    looks = [look["learned"] for look in guard["looks"] if "learned" in look]
    unit = "points" if answers else "nats"
    most = 0.0
    if answers and looks:
        most = max(looks) - math.fsum(row.value for row in answers) / len(answers)
    elif rows and looks:  # a look says nats with a minus, so that more is better
        most = max(looks) + math.fsum(row.value for row in rows) / math.fsum(row.weight for row in rows)
    return Seen(max(0.0, most), unit, guard["model_of"] == 0)
