"""Sentences about the recovery probe: what of a fallen suite comes back, beside its controls."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.bench.diff.diff_record import RecoveryAmount, RecoveryRow

HALF = 50.0
"""Percent of the lost answers from which most are back."""
HEADING = "\nRecovery of lost answers [95% interval] (neither: items that no model had right; base: with them too):"


def recovery_lines(rows: Mapping[str, RecoveryRow] | None) -> list[str]:
    """Returns a line for each fallen suite, with its controls; none if nothing was asked again."""
    if rows is None:
        return []
    if not rows:
        return ["\nRecovery: no suite of questions fell by enough answers to ask them again."]
    lines = [HEADING]
    for name, row in rows.items():
        asked = "" if row.asked == row.lost else f", {row.asked} asked again"
        guess = "" if row.guess is None else f"; guessing gets {row.guess:.0f}%"
        lines.append(f"  {name}: {row.lost} lost{asked}{guess}")
        if row.by_examples is not None:
            lines.append(
                f"    by examples: {_back(row, row.by_examples, row.unknown_by_examples, row.base_by_examples)}"
            )
        if row.by_steps is not None:
            lines.append(f"    by steps: {_back(row, row.by_steps, row.unknown_by_steps)}")
        lines += [] if row.note is None else [f"    not tried: {row.note}"]
    return lines


def _back(
    row: RecoveryRow, back: RecoveryAmount, unknown: RecoveryAmount | None, base: RecoveryAmount | None = None
) -> str:
    """Returns the share that came back, its controls, and what they mean."""
    none = "no item that neither had right"
    controls = [none if unknown is None else f"neither: {unknown.value:.0f}% of {unknown.items}"]
    controls += [] if base is None else [f"base: {base.value:.0f}%"]
    means = reading(back, unknown, base, row.guess)
    return f"{back.value:.0f}% [{back.low:.0f}, {back.high:.0f}] ({', '.join(controls)}), {means}"


def reading(
    back: RecoveryAmount,
    unknown: RecoveryAmount | None,
    base: RecoveryAmount | None = None,
    guess: float | None = None,
) -> str:
    """Returns what a recovered share means: the format was lost, the knowledge was lost, or neither is shown.

    The format was lost if most of it came back, and certainly more than guessing gets and than examples or steps teach
    by themselves. The knowledge was lost if certainly less than half came back, though the base has at least half right
    with the same examples.
    """
    low, high = back.low or 0.0, back.high if back.high is not None else 100.0
    taught = max(unknown.value if unknown is not None else 0.0, guess or 0.0)
    if low > taught and back.value >= HALF:
        return "so the format was lost more than the knowledge"
    if base is not None and base.value < HALF:
        return "which says nothing, because the base fails with them too"
    if high < HALF:
        return "so the knowledge was lost more than the format"
    return "which does not settle what was lost"
