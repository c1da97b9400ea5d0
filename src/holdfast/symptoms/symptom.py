"""A symptom: what a test of the answers of two models against each other has shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from holdfast.symptoms.evidence import Pair

SURE = 0.05
"""Adjusted p-value below which a symptom may be present."""
QUOTED = 3
"""Most quoted pairs of a symptom."""


@dataclasses.dataclass(frozen=True)
class Quote:
    """A quoted pair of answers.

    Attributes:
        suite: Suite of the item.
        item: Its name.
        asked: Its last question.
        before: The base's answer.
        after: The tuned model's answer.
    """

    suite: str
    item: str
    asked: str
    before: str
    after: str


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a test has measured, before the adjustment for the other tests; effects are shares of the answers, 0 to 1.

    Attributes:
        sentence: What was measured, in words, for a symptom that is present.
        effect: The effect, positive towards the symptom.
        p: One-sided p-value of "no effect towards the symptom".
        answers: Number of answers that it rests on.
        low: Lower end of the effect's two-sided 95% interval; None without one.
        high: Upper end.
        before: The base's level; None without one.
        after: The tuned model's level.
        quotes: Pairs that show the symptom, most telling or evenly chosen.
    """

    sentence: str
    effect: float
    p: float
    answers: int
    low: float | None = None
    high: float | None = None
    before: float | None = None
    after: float | None = None
    quotes: tuple[Quote, ...] = ()


@dataclasses.dataclass(frozen=True)
class Symptom:
    """What became of one symptom.

    Attributes:
        name: Its name (`holdfast.symptoms.names`).
        family: The failure that it belongs to.
        threshold: Least effect that counts, in points (percent of answers, or of likeness).
        unchecked: Why it was not checked; empty if it was. The fields below are then empty.
        sentence: What was measured, in words.
        effect: The effect in points, positive towards the symptom.
        low: Lower end of its two-sided 95% interval; None without one.
        high: Upper end.
        p: One-sided p-value.
        p_holm: The p-value, adjusted for all symptoms that were checked (Holm).
        before: The base's level; None without one.
        after: The tuned model's level.
        answers: Number of answers that it rests on.
        quotes: Pairs that show it.
    """

    name: str
    family: str
    threshold: float
    unchecked: str = ""
    sentence: str = ""
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    before: float | None = None
    after: float | None = None
    answers: int = 0
    quotes: tuple[Quote, ...] = ()

    @property
    def present(self) -> bool:
        """Returns whether the effect reaches the threshold and its adjusted p-value is below `SURE`."""
        if self.effect is None or self.p_holm is None:
            return False
        return self.effect >= self.threshold and self.p_holm < SURE


def quoted(pairs: Sequence[Pair]) -> tuple[Quote, ...]:
    """Returns up to `QUOTED` of some pairs as quotes, evenly chosen."""
    step = max(1, len(pairs) // QUOTED)
    return tuple(
        Quote(pair.suite, pair.item, pair.asked, pair.before.text, pair.after.text) for pair in pairs[::step][:QUOTED]
    )
