"""What a guard saw learned of a run that it took back, beside which what is left says little."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.bench.measured.learning import LearnedBeforeRewind
from holdfast.bench.run.record import GuardRow
from holdfast.probes.score import Score, level


def learned_before_rewind(guard: GuardRow | None, before: Sequence[Score]) -> LearnedBeforeRewind | None:
    """Returns what a guard saw learned of a run that it took back; None where it did not, or looked at no learning.

    Args:
        guard: What it saw and did; None without a guard.
        before: All scores of the base, those of the watched side among them.
    """
    if guard is None or guard.model_of is None:
        return None
    rows = [row for row in before if _shows_learning(row, guard)]
    answers = [row for row in rows if row.unit == "points"]
    looks = [look.learned for look in guard.looks if look.learned is not None]
    most = max(looks) - level(rows) if looks and rows else 0.0
    return LearnedBeforeRewind(max(0.0, most), "points" if answers else "nats", guard.model_of == 0)


def _shows_learning(score: Score, guard: GuardRow) -> bool:
    """Whether a score is one on what the guard watched of what is learned."""
    return (score.role, score.split) == ("learned", "watch") and score.suite in guard.watched
