"""What stands behind a piece of advice: its evidence, its source, and rows of our studies."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

from holdfast.bench.plan.situation import Situation

Evidence = Literal["measured here", "published", "folk"]
EVIDENCE: tuple[Evidence, ...] = ("measured here", "published", "folk")
"""The kinds of evidence, the strongest first. "Measured here" means our studies of small models, "published" a paper,
whose arXiv id is the source, and "folk" a rule that people repeat without a measurement that we know."""

Topic = Literal[
    "recipe", "rate", "batch", "epochs", "warm-up", "layers", "rank", "rehearsal", "old examples", "data", "measure"
]
TOPICS: tuple[Topic, ...] = (
    "recipe",
    "rate",
    "batch",
    "epochs",
    "warm-up",
    "layers",
    "rank",
    "rehearsal",
    "old examples",
    "data",
    "measure",
)
"""The topics of advice, in the order in which a plan lists them."""

Standing = Literal["followed", "confirmed", "mixed", "contradicted", "not tested"]

STUDY = "docs/which-method.md"
"""The page with the study that figures come from; docs/studies/effect-tables.md has its tables."""

REAL = "docs/studies/real.md"
"""The page of the study on two real models, of 0.27 and 0.5 billion parameters."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """A row of the effect study: what one recipe learned and lost on one task.

    Attributes:
        task: Task of the ground: people, language, science, labels or noisy.
        recipe: Name of the recipe in docs/studies/effect-tables.md.
        learned: Learned, in percent of the test questions.
        lost: Lost, in points of the mean of 16 suites.
        rate: Learning rate, for a row of plain training at that rate; None for the chosen rate of a recipe.
        world: Seed of the world.
    """

    task: str
    recipe: str
    learned: float
    lost: float
    rate: float | None = None
    world: int = 0

    def words(self) -> str:
        """Returns the figure as text."""
        at = "" if self.rate is None else f" at {self.rate:g}"
        return f"{self.recipe}{at}: {self.learned:.1f} learned, {self.lost:.1f} lost ({self.task})"


@dataclasses.dataclass(frozen=True)
class Rule:
    """A rule as data: when it applies, what it advises, and what is known about it.

    Attributes:
        name: Name of the rule, unique.
        topic: What it is about.
        when: The condition in words.
        applies: The condition.
        advice: The advice in words; braces hold the value (`{value}`).
        evidence: What kind of evidence it has.
        source: Source: a page of ours, an arXiv id, or who repeats it.
        value: The value that a plan sets if it follows the rule; None for a rule that sets nothing.
        standing: What other evidence says of the rule; "followed" if a plan follows it wherever it applies.
        because: What that evidence is.
        figures: Rows of our study behind the rule or against it.
    """

    name: str
    topic: Topic
    when: str
    applies: Callable[[Situation], bool]
    advice: str
    evidence: Evidence
    source: str
    value: Callable[[Situation], Any] | None = None
    standing: Standing = "followed"
    because: str = ""
    figures: tuple[Figure, ...] = ()

    def words(self, situation: Situation) -> str:
        """Returns the advice for a situation."""
        value = None if self.value is None else self.value(situation)
        return self.advice.format(value=f"{value:g}" if isinstance(value, float) else value)
