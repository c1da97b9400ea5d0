"""What stands behind a piece of advice: its evidence, its source, and rows of our studies."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, Literal, TypeVar, get_args

Case = TypeVar("Case")
"""What a rule reads: the `Situation` of a language model, or that of a reranker."""

Evidence = Literal["measured here", "published", "folk"]
EVIDENCE: tuple[Evidence, ...] = get_args(Evidence)
"""The kinds of evidence, the strongest first. "Measured here" means our studies of small models, "published" a paper,
whose arXiv id is the source, and "folk" a rule that people repeat without a measurement that we know."""

Topic = Literal[
    "recipe",
    "loss",
    "rate",
    "batch",
    "epochs",
    "warm-up",
    "layers",
    "rank",
    "rehearsal",
    "old examples",
    "negatives",
    "data",
    "measure",
]
TOPICS: tuple[Topic, ...] = get_args(Topic)
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
class Rule(Generic[Case]):
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
    applies: Callable[[Case], bool]
    advice: str
    evidence: Evidence
    source: str
    value: Callable[[Case], Any] | None = None
    standing: Standing = "followed"
    because: str = ""
    figures: tuple[Figure, ...] = ()

    def words(self, situation: Case) -> str:
        """Returns the advice for a situation."""
        value = None if self.value is None else self.value(situation)
        return self.advice.format(value=f"{value:g}" if isinstance(value, float) else value)


def applying(rules: Sequence[Rule[Case]], situation: Case, topic: Topic | None = None) -> Iterator[Rule[Case]]:
    """Yields the rules that apply, of one topic or of all, the strongest first."""
    found = (rule for rule in rules if topic in (None, rule.topic) and rule.applies(situation))
    yield from sorted(found, key=lambda rule: EVIDENCE.index(rule.evidence))


def heading(rules: Sequence[Rule[Case]], situation: Case, topic: Topic) -> Rule[Case] | None:
    """Returns the rule that sets the value of a topic: the strongest that applies; None if none does."""
    return next((rule for rule in applying(rules, situation, topic) if rule.value is not None), None)
