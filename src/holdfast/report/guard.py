"""Sentences about the guard of a run: its looks and its actions."""

from __future__ import annotations

import math

from rich.markup import escape

from holdfast.bench.run.record import GuardRow, LookRow

WORTH_SAYING = 0.05
"""Share of the training time above which the text advises a cheaper guard."""


def guard_lines(guard: GuardRow, training_seconds: float, *, course: bool = True) -> list[str]:
    """Returns the number and cost of a guard's looks, its actions, and advice on what to try next.

    Args:
        guard: The record of the guard.
        training_seconds: Time of the training in seconds, looks included.
        course: Whether to include the table of a controller; a page has its plot.
    """
    looks, best = guard.looks, guard.model_of
    share = guard.seconds / training_seconds if training_seconds else 0.0
    pace = f", every {guard.every_steps} steps" if guard.every_steps and len(looks) > 1 else ""
    times = f"{len(looks)} time{'' if len(looks) == 1 else 's'}"
    lines = [f"Guard: looked {times}{pace}, which took {share:.0%} of the training time."]
    if share > WORTH_SAYING:
        lines[0] += " Fewer items (items=) or rarer looks (every=) take less time."
    lines += _spent_line(guard) if guard.spent_at else []
    if best is not None:
        look = next((look for look in looks if look.step == best), None)
        before = "the one before training: no look was within the budget"
        lines.append(f"  The model is {before if look is None else f'from step {best:,}'}{_saw(look)}.")
    elif looks:
        part = looks[-1].share
        pulled = "" if part is None else f", pulled back to {part:.0%} of the change of the weights"
        lines.append(f"  At the end{pulled}{_saw(looks[-1])}.")
    lines += course_lines(guard) if course else []
    return [*lines, *_last_lines(guard)]


def _last_lines(guard: GuardRow) -> list[str]:
    """Returns the alerts of a guard, and what it did."""
    alerts = [
        f"  Alert at step {alert.step:,}: {escape(alert.name)}: {escape(alert.sentence)}." for alert in guard.alerts
    ]
    return alerts if guard.sentence is None else [*alerts, f"  {escape(guard.sentence)}"]


def course_lines(guard: GuardRow) -> list[str]:
    """Returns a table of what a controller saw and set at each look; nothing if the guard did not steer."""
    rows = [row for row in guard.course if row.used_share is not None]
    if not rows:
        return []
    lines = ["  step  budget used  estimate  KL     penalty  old examples  learning rate"]
    for row in rows:
        kl = "-" if row.kl_nats is None else f"{row.kl_nats:.3f}"
        strength = "-" if row.strength is None else f"x{row.strength:.2g}"
        old = "-" if row.old_share is None else f"{row.old_share:.0%}"
        used, estimate = (f"{value:.0%}" for value in (row.used_share or 0.0, row.estimate_share or 0.0))
        lines.append(f"  {row.step:<5,} {used:<12} {estimate:<9} {kl:<6} {strength:<8} {old:<13} x{row.rate:.2g}")
    return lines


def _spent_line(guard: GuardRow) -> list[str]:
    """Returns the steps at which the budget was spent, and the guard's action."""
    at = ", ".join(f"{step:,}" for step in guard.spent_at)
    done = {
        "rewind": "the guard went back, and halved the learning rate",
        "steer": "the guard went back, and held the run back more",
        "stop": "training ended",
        "hold": f"the penalty to the base model ended at {guard.hold:g} times its strength",
        "log": "training went on",
    }[guard.on_spent]
    return [f"  The budget was spent at step{'s' if len(guard.spent_at) > 1 else ''} {at}: {done}."]


def _saw(look: LookRow | None) -> str:
    if look is None:
        return ""
    lost = []
    if look.points_lost is not None and math.isfinite(look.points_lost):
        lost.append(f"{look.points_lost:z.1f} points")
    if look.nats_lost is not None and math.isfinite(look.nats_lost):
        lost.append(f"{look.nats_lost:z.3f} nats per token")
    learned = look.learned
    known = "" if learned is None else f", {learned:.1f} learned" if learned >= 0 else f", {-learned:.3f} nats to learn"
    return f": {' and '.join(lost) or 'no finite number'} lost{known} on the validation items"
