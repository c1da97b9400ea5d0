"""The atom of every measurement: the score of one item or text, and the model's answer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Sequence
from typing import Literal

from holdfast.core.errors import HoldfastError
from holdfast.probes.items import Split

Role = Literal["learned", "transfer", "retained"]

POINTS = 100.0
"""Points of a share of 1: scores are in points, and `holdfast.stats` computes with shares."""


def in_unit(value: float, unit: str = "points") -> float:
    """Returns a number of `holdfast.stats` in a unit: a share in points, every other number as it is."""
    return POINTS * value if unit == "points" else value


def for_stats(value: float, unit: str = "points") -> float:
    """Returns a number in a unit as `holdfast.stats` counts it: points as a share, every other number as it is."""
    return value / POINTS if unit == "points" else value


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
    """The score of one item, or of one text.

    Attributes:
        suite: Name of its suite.
        role: What the suite measures: the learned skill, its transfer to a shifted domain, or retained abilities.
        split: `watch` items may steer a run; `proof` items are read once per model.
        item: Name of the item within its suite.
        group: Name that dependent items share (the document that they ask about); the item's own name without one.
        value: The score, finite, in `unit`, summed over `weight` tokens.
        unit: Unit of `value`: "nats", "points" (percent, 0 to 100), or "1" for a pure number.
        higher_is_better: Whether a higher value is better.
        weight: Number of tokens that `value` sums over; 1 for a score of the item as a whole.
        choices: Number of choices of the item, 0 if the answer was generated; None if unknown.

    Raises:
        HoldfastError: The value is not finite, or weight or choices are out of range.
    """

    suite: str
    role: Role
    split: Split
    item: str
    group: str
    value: float
    unit: str
    higher_is_better: bool
    weight: float = 1.0
    choices: int | None = None

    def __post_init__(self) -> None:
        """Raises `HoldfastError` for a value that a score cannot have."""
        where = f"Score of {self.item!r} in {self.suite!r}"
        if not math.isfinite(self.value):
            raise HoldfastError(f"{where}: {self.value} is not a measurement; leave the row out instead.")
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise HoldfastError(f"{where}: a weight of {self.weight} counts nothing; leave the row out instead.")
        if self.choices is not None and self.choices not in (0, *range(2, 10_000)):
            raise HoldfastError(f"{where}: {self.choices} choices; give 0 for a generated answer, or at least 2.")


@dataclasses.dataclass(frozen=True)
class Said:
    """The answer of a model to an item.

    Attributes:
        suite: Suite of the item.
        item: Its name.
        asked: The last question of the item; empty where choices are compared without one.
        said: The generated answer, or the picked choice.
        right: The right answer, if the item gives one.
        confidence: Probability of the picked choice among the choices; None for a generated answer.
        tokens: Number of tokens of a generated answer; None for a choice, and where a file does not tell, likewise
            below.
        cut: Whether a generated answer reached the most tokens that it may have before it ended.
        tools: Names of the tools that the model may call.
        refusal: Whether a refusal is right (True) or wrong (False); None where the item does not ask for either.
    """

    suite: str
    item: str
    asked: str
    said: str
    right: str
    confidence: float | None = None
    tokens: int | None = None
    cut: bool | None = None
    tools: tuple[str, ...] | None = None
    refusal: bool | None = None


@dataclasses.dataclass(frozen=True)
class Answers:
    """The scores and answers of one model.

    Attributes:
        scores: The score of every item and text.
        said: The answers to the items, without texts.
    """

    scores: Sequence[Score] = ()
    said: Sequence[Said] = ()


def proof(scores: Sequence[Score], watched: Collection[str]) -> list[Score]:
    """Returns the scores that steered nothing: the proof side of watched suites, and all of the other suites.

    Args:
        scores: Scores of any suites.
        watched: Names of the suites whose watched side steered the run.
    """
    return [score for score in scores if score.suite not in watched or score.split == "proof"]


def level(scores: Sequence[Score]) -> float:
    """Returns the mean score, higher is better: points of answers or, without answers, negative nats per token.

    Returns:
        NaN without scores.
    """
    answers = [score.value for score in scores if score.unit == "points"]
    if answers:
        return math.fsum(answers) / len(answers)
    tokens = math.fsum(score.weight for score in scores)
    return -math.fsum(score.value for score in scores) / tokens if tokens else math.nan
