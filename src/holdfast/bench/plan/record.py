"""`PlanRecord`, the typed content of plan.json. Names of fields end with their units."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from holdfast.bench.measured.schema import Record, Versioned, column


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelRow(Record):
    """What the configuration and the tokenizer say of a model.

    Attributes:
        name: Its name.
        architecture: Class of the model.
        parameters: Number of parameters.
        layers: Number of layers; 0 if the configuration does not say.
        width: Width of the hidden states; likewise.
        context: Longest input in tokens; absent if the configuration does not say.
        experts: Number of experts of a layer; absent without any.
        vocabulary: Number of tokens of the tokenizer.
        chat: Whether the tokenizer has a chat template.
        is_adapter: Whether the model is an adapter on a base.
    """

    name: str
    architecture: str
    parameters: int
    layers: int
    width: int
    context: int | None = column(default=None)
    experts: int | None = column(default=None)
    vocabulary: int
    chat: bool
    is_adapter: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class SuspectRow(Record):
    """A row whose answer may be wrong.

    Attributes:
        origin: Where the row was read.
        why: Why it is suspected.
    """

    origin: str
    why: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataRow(Record):
    """What the rows to learn hold.

    Attributes:
        name: Name of their source.
        rows: Number of rows that were read.
        train_rows: Number of rows to train on, without those that are held out.
        tokens: Number of tokens that a pass over them reads.
        learned_tokens: Number of these tokens that are learned.
        longest: Number of tokens of the longest row.
        median: Number of tokens of a row, in the median.
        copies: Number of rows that repeat an earlier row but for case and blanks.
        alike: Number of compared rows that share four fifths of their runs of five tokens with an earlier one.
        compared: Number of rows that were compared for this.
        contradictions: Number of rows with a question that another row answers differently.
        asked: Number of rows that the base read.
        surprise_nats: Mean negative log-likelihood of their learned tokens under the base, in nats.
        conflicts: Number of these rows with an answer that the base confidently contradicts.
        suspects: Rows that contradict another row or the base, at most ten.
    """

    name: str
    rows: int
    train_rows: int
    tokens: int
    learned_tokens: int
    longest: int
    median: int
    copies: int
    alike: int
    compared: int
    contradictions: int
    asked: int = 0
    surprise_nats: float | None = column(default=None)
    conflicts: int | None = column(default=None)
    suspects: tuple[SuspectRow, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class KeptRow(Record):
    """What is kept, all suites together.

    Attributes:
        suites: Number of suites.
        count: Number of their items and texts.
        asked: Number of those that the base read: texts, and items with a right answer.
        surprise_nats: Mean negative log-likelihood of their learned tokens under the base, in nats.
        divergence_bits: Jensen-Shannon divergence of the tokens of the data from those of what is kept, 0 to 1 bit.
        halves_bits: The same between two random halves of what is kept; a divergence that is no larger means nothing.
    """

    suites: int
    count: int
    asked: int = 0
    surprise_nats: float | None = column(default=None)
    divergence_bits: float | None = column(default=None)
    halves_bits: float | None = column(default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NeedRow(Record):
    """The estimated memory of a recipe.

    Attributes:
        recipe: The recipe.
        bytes: Bytes that it needs.
        trained: Number of trained parameters.
        fits: Whether it fits into nine tenths of the free memory.
    """

    recipe: str
    bytes: int
    trained: int
    fits: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class TimeRow(Record):
    """The time of a recipe, from a few measured steps.

    Attributes:
        recipe: The recipe.
        steps: Number of measured steps, without the first.
        run_steps: Number of steps of the whole run.
        seconds_per_thousand: Seconds for a thousand tokens that the model reads.
        seconds: Estimated seconds of the whole training.
        low: Lower end of the 90% interval of the estimate; absent with a single timed step.
        high: Upper end; likewise.
        writing_seconds: Estimated seconds in which the base writes old examples before; absent if it writes none.
    """

    recipe: str
    steps: int
    run_steps: int
    seconds_per_thousand: float
    seconds: float
    low: float | None = column(default=None)
    high: float | None = column(default=None)
    writing_seconds: float | None = column(default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdviceRow(Record):
    """A piece of advice, or a rule that people read.

    Attributes:
        topic: What it is about.
        rule: Name of its rule.
        advice: The advice.
        evidence: "measured here", "published" or "folk".
        source: A page of ours, an arXiv id, or who repeats it.
        standing: What other evidence says of the rule.
        because: What that evidence is.
        figures: Rows of our study, as text.
        followed: Whether the plan follows the rule.
    """

    topic: str
    rule: str
    advice: str
    evidence: str
    source: str
    standing: str
    because: str = ""
    figures: tuple[str, ...] = ()
    followed: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class IntervalRow(Record):
    """A forecast and its interval, in points.

    Attributes:
        value: The forecast.
        low: Lower end of the interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class SuiteDriftRow(Record):
    """What the first steps have done to a suite that is kept.

    Attributes:
        name: Name of the suite.
        fall: Fall of the probability of its right answers, in points.
        drift_nats: KL from the base to the model on its right answers, in nats per token.
        rise_nats: Rise of their negative log-likelihood, in nats per token.
    """

    name: str
    fall: float
    drift_nats: float
    rise_nats: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class ForecastRow(Record):
    """What a recipe is forecast to learn and lose.

    Attributes:
        recipe: The recipe.
        learned: Points learned on the questions of the task; absent without questions.
        lost: Points lost, in the mean of the suites.
        worst: Points lost on the suite that loses most.
        first_to_go: Names of the suites whose right answers lose most of their probability, worst first.
        suites: All suites, in the same order.
        drift_nats: KL from the base to the model on the prompts of the data after the first steps, in nats per token.
        gain_nats: Fall of the negative log-likelihood of the learned tokens of the data, in nats per token.
        run_steps: Number of steps of the whole run.
        seconds: Seconds that the forecast of the recipe took.
        cost: These seconds as a share of a whole plain run.
        beyond: In what the case lies outside what the fit has seen, as phrases.
    """

    recipe: str
    learned: IntervalRow | None = column(default=None)
    lost: IntervalRow
    worst: IntervalRow
    first_to_go: tuple[str, ...] = ()
    suites: tuple[SuiteDriftRow, ...] = ()
    drift_nats: float
    gain_nats: float
    run_steps: int
    seconds: float
    cost: float
    beyond: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class ForecastRecord(Record):
    """The forecasts of a plan.

    Attributes:
        rows: A forecast for each recipe, best first.
        steps: Number of steps that each recipe trained for.
        confidence: Nominal coverage of the intervals.
        points: Budget in points by which the recipes are ordered; absent without one.
        plain: Recipe in whose runs the cost is stated.
        plain_seconds: Estimated seconds of the training of its whole run.
        seconds: Seconds that all forecasts took together, the base's part included.
        cost: These seconds in plain runs.
        checks: What was measured of the forecast outside its fit, as sentences.
    """

    rows: tuple[ForecastRow, ...]
    steps: int
    confidence: float
    points: float | None = column(default=None)
    plain: str
    plain_seconds: float
    seconds: float
    cost: float
    checks: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlanRecord(Versioned):
    """A plan: facts, then advice, then what to run.

    Attributes:
        model: The model.
        data: The data.
        kept: What is kept; absent if nothing is.
        free: Free bytes.
        where: Where they are free: "on the GPU" or "in memory".
        memory: Memory of each recipe.
        time: Time of the measured recipes.
        advice: All advice, with the rules that people read.
        forecast: What recipes are forecast to learn and lose; absent without `--forecast`.
        recipe: The advised recipe; empty if nothing fits into memory.
        run: Text of a file with the advised run, for `holdfast train --config`; empty if nothing fits.
        notes: Sentences on what was left out or assumed.
    """

    FILE: ClassVar[str] = "plan.json"

    model: ModelRow
    data: DataRow
    kept: KeptRow | None = column(default=None)
    free: int
    where: str
    memory: tuple[NeedRow, ...] = ()
    time: tuple[TimeRow, ...] = ()
    advice: tuple[AdviceRow, ...] = ()
    forecast: ForecastRecord | None = column(default=None)
    recipe: str = ""
    run: str = ""
    notes: tuple[str, ...] = ()
