"""Symptoms as rows of a record."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from holdfast.bench.measured.schema import Record, column
from holdfast.symptoms.evidence import Evidence
from holdfast.symptoms.names import symptoms_of
from holdfast.symptoms.symptom import Symptom


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuoteRow(Record):
    """The answers of both models to one item, which show a symptom.

    Attributes:
        suite: Its suite.
        item: Its id.
        asked: The last question.
        before: The base's answer.
        after: The tuned model's answer.
    """

    suite: str
    item: str
    asked: str
    before: str
    after: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class SymptomRow(Record):
    """What became of one symptom (`holdfast.symptoms`): a test of the tuned model's answers against the base's.

    Attributes:
        name: Its name.
        family: The failure that it belongs to, such as "mode collapse".
        present: Whether the effect reaches the threshold and the adjusted p-value is below 0.05.
        unchecked: Why it was not checked; absent if it was. Most fields below are then absent.
        threshold: Least effect that counts, in points.
        effect: The effect in points (percent of answers, or of likeness), positive towards the symptom.
        low: Lower end of its 95% interval; absent without one.
        high: Upper end.
        p: One-sided p-value.
        p_holm: The p-value, adjusted for all symptoms that were checked (Holm).
        before: The base's level in points; absent without one.
        after: The tuned model's level.
        answers: Number of answers that it rests on.
        sentence: What was measured, in words.
        quotes: Pairs of answers that show it.
    """

    name: str
    family: str
    present: bool
    unchecked: str | None = column(default=None)
    threshold: float
    effect: float | None = column(default=None)
    low: float | None = column(default=None)
    high: float | None = column(default=None)
    p: float | None = column(default=None)
    p_holm: float | None = column(default=None)
    before: float | None = column(default=None)
    after: float | None = column(default=None)
    answers: int | None = column(default=None)
    sentence: str | None = column(default=None)
    quotes: tuple[QuoteRow, ...] = column(default=())


def symptom_rows(evidence: Evidence) -> tuple[SymptomRow, ...]:
    """Returns every symptom as a row, in the order of `holdfast.symptoms.names.TESTS`."""
    return rows_of(symptoms_of(evidence))


def rows_of(symptoms: Sequence[Symptom]) -> tuple[SymptomRow, ...]:
    """Returns symptoms as rows."""
    rows = []
    for symptom in symptoms:
        values = {field.name: getattr(symptom, field.name) for field in dataclasses.fields(symptom)}
        quotes = tuple(QuoteRow(**dataclasses.asdict(quote)) for quote in symptom.quotes)
        measured = symptom.effect is not None
        values |= {"quotes": quotes, "present": symptom.present, "unchecked": symptom.unchecked or None}
        values |= {} if measured else {"answers": None, "sentence": None}
        rows.append(SymptomRow(**values))
    return tuple(rows)
