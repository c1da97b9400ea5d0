"""The sentence that a reader takes away from a run or a diff, in plain words and with its interval."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.bench.measured.outcome import Outcome, SuiteRow, VerdictMean, VerdictRow
from holdfast.core.budget import Budget
from holdfast.report.reading import UNITS, number

JUDGED = {
    "kept": "{who} kept what it knew",
    "forgot": "{who} forgot",
    "not enough evidence": "It is not settled whether {who} kept what it knew",
}


def sentence(record: Outcome, who: str) -> str:
    """Returns what became of the old knowledge, in the units of the budget, and what was learned.

    Args:
        record: The record of a run or of a diff.
        who: The model in words, as in "the model".
    """
    judged = record.verdict
    if judged is None:
        kept = [row for row in record.suites if row.role == "retained"]
        first = f"{_upper(who)} was not judged, because no budget was given{_largest(kept)}"
    else:
        change = "; ".join(_mean(mean, judged, record) for mean in judged.means)
        first = f"{_upper(JUDGED[judged.word].format(who=who))}: {change}"
    return f"{first}. {_learned(record)}{_symptoms(record)}"


def warnings(record: Outcome) -> list[str]:
    """Returns what stands beside a sentence of the record's own: suites that certainly lost too much, and symptoms."""
    forgot = _forgot(record.verdict, record.suites) if record.verdict is not None else ""
    return [
        text.strip()
        for text in (f"Certainly too much was lost in {forgot}." if forgot else "", _symptoms(record))
        if text
    ]


def _forgot(judged: VerdictRow, rows: Sequence[SuiteRow]) -> str:
    """Returns the names of the suites among the rows in which certainly too much was lost."""
    names = {row.name for row in rows}
    return ", ".join(name for name, suite in judged.suites.items() if suite.word == "forgot" and name in names)


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _mean(mean: VerdictMean, judged: VerdictRow, record: Outcome) -> str:
    """Returns the change of the suites of one unit beside its limit."""
    unit = mean.unit
    limit = judged.limits[unit]
    limits = Budget(points=limit) if unit == "points" else Budget(nll=limit)
    rows = [row for row in record.suites if row.name in judged.suites and row.unit == unit]
    items = sum(row.items for row in rows)
    asked = "queries" if getattr(record, "ranking", None) is not None else "questions" if unit == "points" else "texts"
    over = f"on {items:,} {asked} in {mean.suite_count} suite"
    over += "s" if mean.suite_count > 1 else ""
    ends = (
        "" if mean.low is None else f" (95% interval {number(mean.low, unit, '+')} to {number(mean.high, unit, '+')})"
    )
    forgot = _forgot(judged, rows)
    parts = (
        f"{over} it changed by {number(mean.change, unit, '+')} {UNITS[unit]}{ends}, with {limits} allowed to be lost"
    )
    return f"{parts}; certainly too much was lost in {forgot}" if forgot else parts


def _largest(rows: list[SuiteRow]) -> str:
    """Returns the largest loss of some suites in words; "" without any."""
    points = [row for row in rows if row.unit == "points"] or rows
    if not points:
        return ""
    worst = max(points, key=lambda row: row.lost.value)
    if worst.lost.value <= 0:
        return "; no suite to keep fell"
    return f"; the largest fall is {number(worst.lost.value, worst.unit)} {UNITS[worst.unit]} on {worst.name}"


def _learned(record: Outcome) -> str:
    """Returns what was learned."""
    learned = record.learned
    if learned is None or not learned.units:
        return "What it learned was not measured."
    texts = []
    for unit in learned.units:
        better = "" if unit.unit == "points" else " better"
        amount = f"{number(unit.gain, unit.unit, '+')} {UNITS[unit.unit]}{better}"
        if unit.low is not None:
            amount += f" (95% interval {number(unit.low, unit.unit, '+')} to {number(unit.high, unit.unit, '+')})"
        texts.append(f"{amount} on {', '.join(unit.suites)}")
    word = {
        "learned": "It learned",
        "learned little": "It learned little",
        "not learned": "It did not learn",
        "not enough evidence": "It is not settled whether it learned",
        "not measured": "What it learned was not measured",
    }[learned.word]
    return f"{word}: {'; '.join(texts)}."


def _symptoms(record: Outcome) -> str:
    """Returns the symptoms that are present."""
    present = [row.name for row in record.symptoms if row.present]
    return f" Symptoms: {', '.join(present)}." if present else ""
