"""What the guard of a run saw and did, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WORTH_SAYING = 0.05
"""Share of the training time from which it is said how to look less."""


def guard_lines(guard: Mapping[str, Any], training: float) -> list[str]:
    """Returns how often a guard looked, at what cost, what it did, and what to try next.

    Args:
        guard: As in result.json.
        training: Seconds of the training, looks included.
    """
    looks, seconds = guard["looks"], guard["seconds"]
    share = seconds / training if training else 0.0
    pace = f", every {guard['every']} steps" if guard["every"] and len(looks) > 1 else ""
    times = f"{len(looks)} time{'' if len(looks) == 1 else 's'}"
    lines = [f"Guard: looked {times}{pace}, which took {share:.0%} of the training time."]
    if share > WORTH_SAYING:
        lines[0] += " Fewer items (items=) or looks (every=) take less."
    spent, best = guard["spent_at"], guard["model_of"]
    if spent:
        at = ", ".join(f"{step:,}" for step in spent)
        done = {
            "rewind": "went back, at half the learning rate",
            "stop": "training ended",
            "hold": f"the leash ended at {guard['hold']:g} times its strength",
            "log": "training went on",
        }[guard["on_spent"]]
        lines.append(f"  The budget was spent at step{'s' if len(spent) > 1 else ''} {at}: {done}.")
    if best is not None:
        look = next((look for look in looks if look["step"] == best), None)
        start = "the start, as it was before training: no look was inside the budget"
        where = start if look is None else f"step {best:,}"
        lines.append(f"  The model is that of {where}{_saw(look)}.")
    elif looks:
        lines.append(f"  At the end{_saw(looks[-1])}.")
    if "sentence" in guard:
        lines.append(f"  {guard['sentence']}")
    return lines


def _saw(look: Mapping[str, Any] | None) -> str:
    if look is None:
        return ""
    units = {"points_lost": "{:.1f} points", "nats_lost": "{:.3f} nats per token"}
    lost = [text.format(look[name]) for name, text in units.items() if look.get(name) is not None]
    learned = look.get("learned")
    known = "" if learned is None else f", {learned:.1f} learned" if learned >= 0 else f", {-learned:.3f} nats to learn"
    return f", {' and '.join(lost) or 'no number'} lost{known} of what is watched"
