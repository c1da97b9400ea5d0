"""The word on what was learned, beside the verdict on what was kept: a run that learned nothing is no success."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

from holdfast.bench.measured.outcome import LearnedUnit, Learning
from holdfast.probes.changes import SuiteChange, mean_of
from holdfast.stats.learned import BEST_FIRST, Learned, learned_word, little


@dataclasses.dataclass(frozen=True)
class LearnedBeforeRewind:
    """What a guard saw learned of a run that it took back.

    Attributes:
        most: The most that any look saw learned over the base, in `unit`.
        unit: "points" or "nats".
        started: Whether the model is that of the start.
    """

    most: float
    unit: str
    started: bool


def learning_of(found: Sequence[SuiteChange], guard: LearnedBeforeRewind | None = None) -> Learning:
    """Returns the word on what was learned, of all units and of each.

    The word of all is the best of the units: nothing was learned where none shows it. It is "not measured" where no
    suite measures what is learned; the rule of the others is `holdfast.stats.learned.learned_word`.

    Args:
        found: What became of every suite; those of the role "learned" count.
        guard: What a guard saw learned, if it took the model back.
    """
    by_unit: dict[str, list[SuiteChange]] = {}
    for one in found:
        if one.role == "learned":
            by_unit.setdefault(one.unit, []).append(one)
    units = tuple(_of_unit(unit, suites, guard) for unit, suites in by_unit.items())
    words: list[Learned] = [one.word for one in units] or ["not measured"]
    back: Literal["start"] | None = "start" if guard is not None and guard.started else None
    return Learning(word=min(words, key=BEST_FIRST.index), units=units, put_back_to=back)


def _of_unit(unit: str, suites: Sequence[SuiteChange], guard: LearnedBeforeRewind | None) -> LearnedUnit:
    before = math.fsum(one.before for one in suites) / len(suites)
    mean = mean_of(suites)
    gain, (low, high) = -mean.lost, mean.interval()
    if unit != "points":  # fewer nats are better
        low, high = -high, -low
    known = all(one.known for one in suites)
    reached = guard.most if guard is not None and guard.unit == unit else None
    least = little(unit, before, reached)
    word: Learned = learned_word(gain, low, high, least) if known else "not enough evidence"
    if guard is not None and guard.started:
        word = "not learned"
    return LearnedUnit(
        unit=unit,
        suites=tuple(one.name for one in suites),
        before=before,
        gain=gain,
        low=low if known else None,
        high=high if known else None,
        least=least,
        word=word,
        reached=reached,
    )
