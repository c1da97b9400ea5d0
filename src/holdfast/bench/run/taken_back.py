"""What a guard saw learned of a run that it took back, beside which what is left says little."""

from __future__ import annotations

import math
from collections.abc import Sequence

from holdfast.bench.measured.learned import Seen
from holdfast.bench.measured.scores import ScoreRow
from holdfast.bench.run.record import GuardRow


def seen(guard: GuardRow | None, before: Sequence[ScoreRow]) -> Seen | None:
    """Returns what a guard saw learned of a run that it took back; None where it did not, or looked at no learning.

    Args:
        guard: What it saw and did; None without a guard.
        before: All scores of the base, those of the watched side among them; others are passed over.
    """
    if guard is None or guard.model_of is None:
        return None
    rows = [row for row in before if _shows_learning(row, guard)]
    answers = [row for row in rows if row.unit == "points"]
    looks = [look.learned for look in guard.looks if look.learned is not None]
    known = _known(answers or rows) if looks else None  # of the base; a look says nats with a minus too
    most = 0.0 if known is None else max(looks) - known
    return Seen(max(0.0, most), "points" if answers else "nats", guard.model_of == 0)


def _known(rows: Sequence[ScoreRow]) -> float | None:
    """Returns the mean score, in points, or in nats with a minus, so that more is better; None of no score."""
    if not rows:
        return None
    if rows[0].unit == "points":
        return math.fsum(row.value for row in rows) / len(rows)
    return -math.fsum(row.value for row in rows) / math.fsum(row.weight for row in rows)


def _shows_learning(row: ScoreRow, guard: GuardRow) -> bool:
    """Whether a score is one of the base on what the guard watched of what is learned."""
    return (row.moment, row.role, row.split) == ("before", "learned", "watch") and row.suite in guard.watched
