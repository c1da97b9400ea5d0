"""What a run had learned before its guard restored an earlier model, which the learned word is compared with."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.bench.measured.learning import LearnedBeforeRewind
from holdfast.bench.run.record import GuardRow
from holdfast.probes.score import Score, level


def learned_before_rewind(guard: GuardRow | None, before: Sequence[Score]) -> LearnedBeforeRewind | None:
    """Returns what a run had learned before its guard restored an earlier model, or pulled it back; None if neither.

    Args:
        guard: The record of the guard; None without a guard.
        before: All scores of the base, with those of the watched side.
    """
    pulled = guard is not None and bool(guard.looks) and guard.looks[-1].share is not None
    if guard is None or (guard.model_of is None and not pulled):
        return None
    rows = [row for row in before if _shows_learning(row, guard)]
    answers = [row for row in rows if row.unit == "points"]
    looks = [look.learned for look in guard.looks if look.learned is not None]
    most = max(looks) - level(rows) if looks and rows else 0.0
    return LearnedBeforeRewind(max(0.0, most), "points" if answers else "nats", guard.model_of == 0)


def _shows_learning(score: Score, guard: GuardRow) -> bool:
    """Returns whether a score measures learning on the watched side."""
    return (score.role, score.split) == ("learned", "watch") and score.suite in guard.watched
