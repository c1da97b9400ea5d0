"""Sentences about symptoms: those that are present with a quoted pair, and the names of the others."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.bench.measured.symptom_record import SymptomRow
from holdfast.report.reading import short
from holdfast.symptoms.evidence import UNKNOWN


def symptom_lines(rows: Sequence[SymptomRow], mend: str = "") -> list[str]:
    """Returns the symptoms in lines without markup; none for a record without symptoms.

    Args:
        rows: All symptoms of a record.
        mend: How to name training data that are not known.
    """
    if not rows:
        return []
    checked = [row for row in rows if row.unchecked is None]
    reasons = {row.unchecked for row in rows if row.name != "capability cliff"}
    if not checked and len(reasons) == 1:
        return [f"\nSymptoms: not checked ({reasons.pop()})."]
    return [*_checked(checked), *_unchecked(rows, mend)]


def _checked(rows: Sequence[SymptomRow]) -> list[str]:
    """Returns the symptoms that are present, and the names of those that are not."""
    present, absent = ([row for row in rows if row.present is wanted] for wanted in (True, False))
    if not present:
        return [f"\nSymptoms: none of {len(rows)} that were checked."]
    lines = [f"\nSymptoms: {len(present)} of {len(rows)} that were checked:"]
    for row in present:
        lines += _present(row)
    return [*lines, f"  not seen: {', '.join(row.name for row in absent)}"] if absent else lines


def _present(row: SymptomRow) -> list[str]:
    """Returns what was measured of a symptom, and a quoted pair."""
    of = "" if row.family == row.name else f" ({row.family})"
    lines = [f"  {row.name}{of}: {row.sentence}; {_effect(row)}"]
    for quote in row.quotes[:1]:
        lines.append(f"    {quote.suite}: {short(quote.asked)}")
        lines += [f"      before: {short(quote.before)}", f"      after:  {short(quote.after)}"]
    return lines


def _effect(row: SymptomRow) -> str:
    """Returns the effect with its interval, its threshold and its adjusted p-value."""
    ends = "" if row.low is None or row.high is None else f" [{row.low:+z.1f}, {row.high:+z.1f}]"
    p = "p < 0.001" if (row.p_holm or 0.0) < 0.001 else f"p {row.p_holm:.3f}"
    return f"{row.effect:+z.1f}{ends} points, threshold {row.threshold:g}, {p}"


def _unchecked(rows: Sequence[SymptomRow], mend: str) -> list[str]:
    """Returns the symptoms that were not checked, with the reason behind those that share it."""
    by_reason: dict[str, list[str]] = {}
    for row in rows:
        if row.unchecked is not None:
            by_reason.setdefault(row.unchecked, []).append(row.name)
    parts = [f"{', '.join(names)} ({reason}{mend if reason == UNKNOWN else ''})" for reason, names in by_reason.items()]
    return [f"  not checked: {'; '.join(parts)}"] if parts else []
