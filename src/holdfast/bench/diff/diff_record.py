"""What is between two models, as types: `DiffRecord`, which is the diff.json of `holdfast diff --out`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal

from holdfast.bench.measured.outcome import Outcome
from holdfast.bench.measured.schema import Record, column


@dataclasses.dataclass(frozen=True, kw_only=True)
class ForgettingRow(Record):
    """What was forgotten of a suite, item by item (`holdfast.stats.forgetting`); all shares are from 0 to 1.

    Attributes:
        negative_flips: Share of all items that were right before and are wrong after.
        relative: `negative_flips` in parts of what two models with independent errors would have.
        of_right: Share lost of the items that were right before.
        lost_share: Share forgotten beyond what guessing flips; absent, as the next three, if it is not known how many
            choices the items have.
        known_share: Share known before beyond what guessing gets right.
        of_known: `lost_share` in parts of `known_share`.
        gained_share: Share newly right beyond what guessing flips.
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
    """What both models answered to one item.

    Attributes:
        suite: Its suite.
        item: Its identity.
        asked: The last question; empty where choices are compared without one.
        right: The right answer, where the item gives one.
        before: What the base said, or picked.
        after: What the tuned model said, or picked.
    """

    suite: str
    item: str
    asked: str
    right: str
    before: str
    after: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExampleRows(Record):
    """Answers that show what was lost and gained, of as many suites as there are before a second of one.

    Attributes:
        lost: Answers that were right before and are wrong after.
        gained: Answers that were wrong before and are right after.
    """

    lost: tuple[AnswerRow, ...]
    gained: tuple[AnswerRow, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CalibrationRow(Record):
    """The expected calibration error over all choices of what is to be kept, from 0 to 1.

    Attributes:
        items: Number of choices.
        before: Of the base.
        after: Of the tuned model.
        change: `after` less `before`.
        low: Lower end of the change's 95% interval; absent where there is one group alone.
        high: Upper end.
    """

    items: int
    before: float
    after: float
    change: float
    low: float | None = column(default=None)
    high: float | None = column(default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DriftRow(Record):
    """How far the tuned model has moved from the base on some texts: KL(base || tuned).

    Attributes:
        nats_per_token: The divergence.
        size: Its size in a word.
        documents: Number of texts.
        low: Lower end of the 95% interval, in nats per token; absent for one text.
        high: Upper end.
    """

    nats_per_token: float
    size: str
    documents: int
    low: float | None = column(default=None)
    high: float | None = column(default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LeftOutRow(Record):
    """How much of a suite steered a training.

    Attributes:
        left_out: How much of it is left out.
        of: How much it had.
        kind: Of what: items or texts.
    """

    left_out: int
    of: int
    kind: Literal["items", "texts"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SteeredRow(Record):
    """What steered the training of one of the models, and is not judged.

    Attributes:
        suites: How much of each suite, by name.
        records: Files in which it is written down.
        sentence: The same in words.
    """

    suites: Mapping[str, LeftOutRow]
    records: tuple[str, ...]
    sentence: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiffRecord(Outcome):
    """What is between two models.

    Attributes:
        base: The model before, as it was named.
        tuned: The model after.
        forgetting: What was forgotten of each retained suite of answers, by name.
        examples: Lost and gained answers.
        calibration: The expected calibration error; absent where no item has choices.
        drift: How far the model has moved on prompts of the "task" and on "general" ones; absent for saved answers.
        steered: What steered a training and is not judged; absent where nothing did.
    """

    FILE: ClassVar[str] = "diff.json"

    base: str
    tuned: str
    forgetting: Mapping[str, ForgettingRow]
    examples: ExampleRows
    calibration: CalibrationRow | None = column(default=None)
    drift: Mapping[str, DriftRow] | None = column(default=None)
    steered: SteeredRow | None = column(default=None)
