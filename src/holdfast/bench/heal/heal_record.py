"""`HealRecord`, the typed content of heal.json, which `holdfast heal` writes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal

from holdfast.bench.diff.diff_record import SteeredRow
from holdfast.bench.measured.outcome import Learning, Outcome, SuiteRow, VerdictRow
from holdfast.bench.measured.ranking_record import RankingRow
from holdfast.bench.measured.schema import Record, column

Form = Literal["unchanged", "adapter", "whole"]
"""Form of the healed model."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BeforeHealing(Record):
    """The tuned model before healing, on the test items.

    Attributes:
        suites: The change of each suite from the base.
        learned: The word on what was learned.
        verdict: The verdict.
    """

    suites: tuple[SuiteRow, ...]
    learned: Learning
    verdict: VerdictRow


@dataclasses.dataclass(frozen=True, kw_only=True)
class HealPoint(Record):
    """One reading of all validation items, or one glance at a quarter of them.

    Attributes:
        edit: Name of the edit.
        strength: Its strength: 0 is the base, 1 the tuned model.
        spent: Of a reading: share of the budget that the loss takes, with the room for its verdict; up to 1 is inside.
        gain: Of a reading: what was learned, in points or nats per token; without items of the task, the share of the
            change that is left.
        drift: Of a glance: rise of the nats per token of the base's right answers, as a share of the tuned model's.
        way: Of a glance: fall of the nats per token of the task's right answers, as a share of the tuned model's.
    """

    edit: str
    strength: float
    spent: float | None = column(default=None)
    gain: float | None = column(default=None)
    drift: float | None = column(default=None)
    way: float | None = column(default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class HealSearch(Record):
    """The search, on validation items.

    Attributes:
        allowed: Most evaluations; one asks a model all validation items once, and a glance is a quarter of one.
        evaluations: Evaluations used, that of the tuned model included.
        items: Number of validation items and texts.
        bound: Share of the room for the verdict that counted against the budget: 1, or less if the test items are too
            few to prove a loss within the budget.
        tuned_spent: Share of the budget that the tuned model takes.
        tuned_gain: What the tuned model learned.
        points: The readings, in order.
    """

    allowed: int
    evaluations: float
    items: int
    bound: float
    tuned_spent: float
    tuned_gain: float
    points: tuple[HealPoint, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class HealEdit(Record):
    """The edit that was chosen.

    Attributes:
        name: Its name.
        strength: Its strength.
        text: What it leaves of the change, in words.
        inside: Whether it is inside the budget on the validation items.
        change_left: Length of the change that it leaves, as a share of that of the tuned model.
    """

    name: str
    strength: float
    text: str
    inside: bool
    change_left: float = column("left")


@dataclasses.dataclass(frozen=True, kw_only=True)
class HealRetraining(Record):
    """The short retraining after the edits.

    Attributes:
        recipe: Its recipe.
        folder: Folder of its run.
        steps: Optimizer steps.
        taken: Whether its weights were taken: they learned more than the edit did, inside the budget.
        spent: Share of the budget that the retrained model takes on the validation items.
        gain: What it learned, on the validation items.
    """

    recipe: str
    folder: str
    steps: int
    taken: bool
    spent: float
    gain: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class HealRecord(Outcome):
    """The healing of a fine-tune; `suites`, `learned` and `verdict` are those of the healed model, on test items.

    Attributes:
        base: Name of the model before training.
        tuned: Name of the model after training.
        before: The tuned model.
        form: Form of the healed model: "unchanged" if the tuned model was inside the budget, "adapter" or "whole".
        model: Folder of the healed model; that of the tuned model if it is unchanged.
        edit: The chosen edit; absent if the model is unchanged.
        search: The search.
        retraining: The retraining; absent without one.
        steered: Items and texts that steered the training of a model and are not judged; absent without any.
        learning_left: Share of the tuned model's gain on the task that the healed model has; absent if the gain was not
            measured or is not positive.
        sentence: What was done, in a sentence or two.
        seconds: Wall time.
        ranking: The metrics of a reranker by suite, of the base and of the healed model; absent for other models.
    """

    FILE: ClassVar[str] = "heal.json"

    base: str
    tuned: str
    before: BeforeHealing
    form: Form
    model: str
    edit: HealEdit | None = column(default=None)
    search: HealSearch
    retraining: HealRetraining | None = column(default=None)
    steered: SteeredRow | None = column(default=None)
    learning_left: float | None = column(default=None)
    sentence: str
    seconds: float
    ranking: Mapping[str, RankingRow] | None = column(default=None)
