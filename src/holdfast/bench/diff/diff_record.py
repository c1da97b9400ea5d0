"""`DiffRecord`, the typed content of diff.json, which `holdfast diff --out` writes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal

from holdfast.bench.measured.calibration_record import CalibrationRow
from holdfast.bench.measured.outcome import Amount, Outcome
from holdfast.bench.measured.ranking_record import RankingRow
from holdfast.bench.measured.schema import Record, column

OPTIONS = "options.json"
"""Name of the file beside diff.json that holds the options of the diff."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ForgettingRow(Record):
    """Forgetting of a suite, item by item (`holdfast.stats.forgetting`); all shares are from 0 to 1.

    Attributes:
        negative_flips: Share of all items that were right before and are wrong after.
        relative: `negative_flips` as a share of the expected flips of two models with independent errors.
        of_right: Lost share of the items that were right before.
        lost_share: Forgotten share, corrected for guessing; absent, like the next three, if the number of choices is
            unknown.
        known_share: Share known before, corrected for guessing.
        of_known: `lost_share` as a share of `known_share`.
        gained_share: Newly right share, corrected for guessing.
    """

    negative_flips: float
    relative: float | None = column(default=None)
    of_right: float | None = column(default=None)
    lost_share: float | None = column("lost", None)
    known_share: float | None = column("known", None)
    of_known: float | None = column(default=None)
    gained_share: float | None = column("gained", None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnswerRow(Record):
    """The answers of both models to one item.

    Attributes:
        suite: Its suite.
        item: Its id.
        asked: The last question; empty for choices without a question.
        right: The right answer, if the item has one.
        before: Answer or choice of the base.
        after: Answer or choice of the tuned model.
    """

    suite: str
    item: str
    asked: str
    right: str
    before: str
    after: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExampleRows(Record):
    """Lost and gained answers; each suite gives one before any suite gives a second.

    Attributes:
        lost: Answers that were right before and are wrong after.
        gained: Answers that were wrong before and are right after.
    """

    lost: tuple[AnswerRow, ...]
    gained: tuple[AnswerRow, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DriftRow(Record):
    """The drift of the tuned model from the base on some texts: KL(base || tuned).

    Attributes:
        nats_per_token: The divergence.
        size: A word for its size.
        documents: Number of texts.
        low: Lower end of the 95% interval, in nats per token; absent for a single text.
        high: Upper end.
    """

    nats_per_token: float
    size: str
    documents: int
    low: float | None = column(default=None)
    high: float | None = column(default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LeftOutRow(Record):
    """The part of a suite that steered a training.

    Attributes:
        left_out: Number of items or texts left out.
        of: Number of items or texts in the suite.
        kind: Items or texts.
    """

    left_out: int
    of: int
    kind: Literal["items", "texts"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SteeredRow(Record):
    """Items and texts that steered the training of one of the models, and are not judged.

    Attributes:
        suites: The part of each suite, by name.
        records: Files that record them.
        sentence: A sentence on them.
    """

    suites: Mapping[str, LeftOutRow]
    records: tuple[str, ...]
    sentence: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecoveryAmount(Amount):
    """A share of items answered right, in percent.

    Attributes:
        items: Number of items asked.
    """

    items: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecoveryRow(Record):
    """What of the lost answers of a suite comes back with worked examples, or after a few training steps.

    Attributes:
        lost: Number of answers lost.
        asked: Number of lost items asked again.
        guess: Percent that guessing gets right; absent for generated answers.
        by_examples: Share of the lost items that the tuned model answers right with worked examples; absent if not
            tried.
        base_by_examples: The base's share on the same items with the same examples: the most that can come back.
        unknown_by_examples: The tuned model's share, with examples, on items that neither model had right: what
            examples teach by themselves. Absent without such items.
        by_steps: Share of the lost items that the tuned model answers right after training steps on other items of the
            suite; absent if not tried.
        unknown_by_steps: Its share after these steps on items that neither model had right.
        note: Why something was not tried.
    """

    lost: int
    asked: int
    guess: float | None = column(default=None)
    by_examples: RecoveryAmount | None = column(default=None)
    base_by_examples: RecoveryAmount | None = column(default=None)
    unknown_by_examples: RecoveryAmount | None = column(default=None)
    by_steps: RecoveryAmount | None = column(default=None)
    unknown_by_steps: RecoveryAmount | None = column(default=None)
    note: str | None = column(default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiffRecord(Outcome):
    """The comparison of two models.

    Attributes:
        base: Name of the model before training.
        tuned: Name of the model after training.
        forgetting: Forgetting of each retained suite of answers, by name.
        examples: Lost and gained answers.
        calibration: The calibration of choices; absent if no item has choices.
        drift: Drift on prompts of the "task" and on "general" ones; absent for saved answers.
        steered: Items and texts that steered a training and are not judged; absent without any.
        recovery: What of each fallen suite comes back, by name; absent without `--recover`.
        ranking: The metrics of rerankers by suite; absent for other models.
        asked: Answers of both models to the questions of `--ask`, which are not judged.
    """

    FILE: ClassVar[str] = "diff.json"

    base: str
    tuned: str
    forgetting: Mapping[str, ForgettingRow]
    examples: ExampleRows
    calibration: CalibrationRow | None = column(default=None)
    drift: Mapping[str, DriftRow] | None = column(default=None)
    steered: SteeredRow | None = column(default=None)
    recovery: Mapping[str, RecoveryRow] | None = column(default=None)
    ranking: Mapping[str, RankingRow] | None = column(default=None)
    asked: tuple[AnswerRow, ...] = column(default=())
