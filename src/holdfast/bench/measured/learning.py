"""The word on what a run learned, beside the verdict on what it kept: a run that learned nothing did not succeed."""

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
    """What a run had learned before its guard restored an earlier model.

    Attributes:
        most: The largest gain over the base at any look, in `unit`.
        unit: "points" or "nats".
        started: Whether the guard restored the model of the start.
    """

    most: float
    unit: str
    started: bool


def learning_of(changes: Sequence[SuiteChange], guard: LearnedBeforeRewind | None = None) -> Learning:
    """Returns the word on what was learned, over all units and in each.

    The overall word is the best word of the units. It is "not measured" if no suite measures learning;
    `holdfast.stats.learned.learned_word` gives the other words.

    Args:
        changes: The change of every suite; those of the role "learned" count.
        guard: What the run had learned before its guard restored an earlier model; None if it did not.
    """
    by_unit: dict[str, list[SuiteChange]] = {}
    for change in changes:
        if change.role == "learned":
            by_unit.setdefault(change.unit, []).append(change)
    units = tuple(_of_unit(unit, suites, guard) for unit, suites in by_unit.items())
    words: list[Learned] = [unit.word for unit in units] or ["not measured"]
    put_back: Literal["start"] | None = "start" if guard is not None and guard.started else None
    return Learning(word=min(words, key=BEST_FIRST.index), units=units, put_back_to=put_back)


def _of_unit(unit: str, suites: Sequence[SuiteChange], guard: LearnedBeforeRewind | None) -> LearnedUnit:
    before = math.fsum(change.before for change in suites) / len(suites)
    mean = mean_of(suites)
    gain, (low, high) = -mean.lost, mean.interval()
    if unit != "points":  # fewer nats are better
        low, high = -high, -low
    known = all(change.known for change in suites)
    reached = guard.most if guard is not None and guard.unit == unit else None
    least = little(unit, before, reached)
    word: Learned = learned_word(gain, low, high, least) if known else "not enough evidence"
    if guard is not None and guard.started:
        word = "not learned"
    return LearnedUnit(
        unit=unit,
        suites=tuple(change.name for change in suites),
        before=before,
        gain=gain,
        low=low if known else None,
        high=high if known else None,
        least=least,
        word=word,
        reached=reached,
    )
