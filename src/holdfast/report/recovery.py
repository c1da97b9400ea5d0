"""Sentences about the recovery probe: what of a fallen suite comes back, beside its controls."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.bench.diff.diff_record import RecoveryAmount, RecoveryRow

HALF = 50.0
"""Percent of the lost answers from which most are back."""


def recovery_lines(rows: Mapping[str, RecoveryRow] | None) -> list[str]:
    """Returns a line for each fallen suite, with its controls; none if nothing was asked again."""
    if rows is None:
        return []
    if not rows:
        return ["\nRecovery: no suite of questions fell by enough answers to ask them again."]
    lines = ["\nRecovery of lost answers (in brackets: 95% interval; items that neither model had right):"]
    for name, row in rows.items():
        asked = "" if row.asked == row.lost else f", {row.asked} asked again"
        guess = "" if row.guess is None else f"; guessing gets {row.guess:.0f}%"
        lines.append(f"  {name}: {row.lost} lost{asked}{guess}")
        if row.by_examples is not None:
            base = "" if row.base_by_examples is None else f"; the base with them {row.base_by_examples.value:.0f}%"
            lines.append(f"    by examples: {_back(row.by_examples, row.unknown_by_examples)}{base}")
        if row.by_steps is not None:
            lines.append(f"    by steps: {_back(row.by_steps, row.unknown_by_steps)}")
        lines += [] if row.note is None else [f"    not tried: {row.note}"]
    return lines


def _back(back: RecoveryAmount, unknown: RecoveryAmount | None) -> str:
    """Returns the share that came back, the control, and what the two mean."""
    control = "no item that neither had right" if unknown is None else f"neither: {unknown.value:.0f}%"
    return f"{back.value:.0f}% [{back.low:.0f}, {back.high:.0f}] ({control}), {reading(back, unknown)}"


def reading(back: RecoveryAmount, unknown: RecoveryAmount | None) -> str:
    """Returns what a recovered share means: the format was lost, the knowledge was lost, or neither is shown.

    The format was lost if certainly more came back than examples or steps teach by themselves, and most of it. The
    knowledge was lost if certainly less than half came back.
    """
    low, high = back.low or 0.0, back.high if back.high is not None else 100.0
    taught = unknown.value if unknown is not None else 0.0
    if low > taught and back.value >= HALF:
        return "so the format was lost more than the knowledge"
    if high < HALF:
        return "so the knowledge was lost more than the format"
    return "which does not settle what was lost"
