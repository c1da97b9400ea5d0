"""A base that answers hardly any of `general` has nothing to lose there."""

from __future__ import annotations

import math
from collections.abc import Sequence

from holdfast.general.making import PREFIX
from holdfast.general.names import KINDS
from holdfast.probes.score import Score

LEAST = 20.0
"""Percent of right answers, in the mean of the kinds, below which a note appears. A model that knows no English answers
about 7%: half of the two kinds that compare sentences, by chance. Gemma 3 270M answers 49%
(docs/studies/general.md)."""


def floor_note(scores: Sequence[Score]) -> str:
    """Returns a sentence if a base answers hardly any item of `general`; empty otherwise.

    Args:
        scores: The scores of the base. Only the whole suite counts, because a single kind may be hard.
    """
    kinds: dict[str, list[float]] = {}
    for score in scores:
        if score.suite.startswith(PREFIX):
            kinds.setdefault(score.suite, []).append(score.value)
    if len(kinds) < len(KINDS):
        return ""
    mean = math.fsum(math.fsum(values) / len(values) for values in kinds.values()) / len(kinds)
    if mean >= LEAST:
        return ""
    return (
        f"The base answers {mean:.0f}% of general, which is plain English: it has hardly anything to lose there. Give "
        "--keep with questions that this model knows."
    )
