"""What a guard says: of a spent budget while training, and at the end what it did and what to try next."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from holdfast.core.budget import Budget
from holdfast.core.guard import OnSpent
from holdfast.train.control import Look, Standing, standing

GOOD = 0.9
"""Share of what was learned from which a run that was taken back is nothing to be mended."""
KEYS = {"points": "points", "nats": "nll"}
"""What a budget calls its limit on each unit."""


@dataclasses.dataclass(frozen=True)
class GuardReport:
    """What a guard knows of a run when it is over, and how it says so.

    Attributes:
        looks: What it saw.
        budget: What may be lost.
        on_spent: What the guard does when the budget is spent.
        step: Optimizer steps done.
        steps: Optimizer steps that were meant.
        started: What the model knew at the start of what is learned; NaN if nothing shows it.
        failed: How many looks failed.
        flags: Whether the reader uses the command line, and not Python.
    """

    looks: Sequence[Look]
    budget: Budget
    on_spent: OnSpent
    step: int
    steps: int
    started: float = math.nan
    failed: int = 0
    flags: bool = False

    @property
    def end(self) -> Standing:
        """Returns where the run stands after all looks."""
        return standing(self.looks, self.budget, self.on_spent)

    @property
    def rewound(self) -> bool:
        """Whether the model is an earlier one than that of the last look."""
        return self.on_spent == "rewind" and bool(self.looks) and self.end.best != len(self.looks) - 1

    @property
    def model_of(self) -> int | None:
        """Returns the step of the earlier model that is taken, 0 for that of the start; None if it is the last."""
        best = self.end.best
        return None if not self.rewound else 0 if best is None else self.looks[best].step

    @property
    def spent(self) -> dict[int, Standing]:
        """Returns, by step, where the run stood at each look that found the budget spent."""
        stood = {
            look.step: standing(self.looks[: i + 1], self.budget, self.on_spent) for i, look in enumerate(self.looks)
        }
        return {step: one for step, one in stood.items() if one.spent}

    @property
    def learned(self) -> dict[str, float]:
        """Returns what was known of the task at the `start`, at `most` at any look, in the model that is `shipped`, and
        the `share` of what was learned at most that is in it; empty where it is not known.
        """
        known = [look.learned for look in self.looks if not math.isnan(look.learned)]
        if math.isnan(self.started) or not known:
            return {}
        best = self.end.best if self.rewound else len(self.looks) - 1
        shipped = self.started if best is None else self.looks[best].learned
        found = {"start": self.started, "most": max(known), "shipped": shipped}
        found = {name: value for name, value in found.items() if math.isfinite(value)}
        if len(found) == 3 and max(known) > self.started:
            found["share"] = (shipped - self.started) / (max(known) - self.started)
        return found

    def sentence(self) -> str:
        """Returns what the guard did in a sentence, and what to try next where that is worth trying."""
        if not self.looks:
            return self._blind()
        acts = {"rewind": self._rewind, "stop": self._stop, "hold": self._hold, "log": self._log}
        idle = f"looked {_times(len(self.looks))} and had nothing to do", False
        did, mend = acts[self.on_spent]() if self.acted else idle
        said = f"The guard {did}{f': {self._advice()}' if mend else ''}."
        if self.failed:
            said += " One more look failed." if self.failed == 1 else f" {self.failed} more looks failed."
        last = self.looks[-1].step
        if last < self.step and not self.rewound:
            said += f" The model of step {self.step:,} was not looked at: the last look was at step {last:,}."
        return said

    def _blind(self) -> str:
        if self.failed:
            return (
                f"The guard could not look: {_times(self.failed)} it tried, it failed, and nothing held this model to"
                " the budget; the warnings say why (fewer items=... take less memory)."
            )
        return "The guard never looked, and nothing held this model to the budget."

    @property
    def acted(self) -> bool:
        """Whether the budget was spent, or an earlier model is taken."""
        return bool(self.spent) or self.rewound

    def _rewind(self) -> tuple[str, bool]:
        """Returns what was done, and whether something is to be mended."""
        kept, spent, of = self.learned.get("share"), self.spent, self.model_of
        to_start = bool(spent) and all(one.best is None for one in spent.values())
        did = f"went back{' to the start' if to_start else ''} {_times(len(spent))}" if spent else ""
        if of == 0:
            did = did or "found the budget overdrawn at every look"
            return f"{did} and ships the model of the start, so nothing of what was learned is kept", True
        shipped = f"ships the model of step {of:,}, the best learner seen inside the budget" if of is not None else ""
        share = f"kept {_percent(kept)} of what was learned" if kept is not None else ""
        said = _joined([part for part in (did, shipped, share) if part], comma=bool(shipped and share))
        return said, bool(spent) and (kept is None or kept < GOOD)

    def _stop(self) -> tuple[str, bool]:
        done = f"stopped the training at step {self.step:,} of {self.steps:,}, where the budget was spent"
        return f"{done}, and the model is the one that spent it", True

    def _hold(self) -> tuple[str, bool]:
        did = f"raised the leash to {max(one.hold for one in self.spent.values()):g} times its strength"
        if self.end.used > 1:
            return f"{did}, and the last look still found the budget overdrawn", True
        return f"{did}, and the last look was inside the budget", False

    def _log(self) -> tuple[str, bool]:
        times = f"{len(self.spent)} of {len(self.looks)} looks"
        return f"found the budget spent at {times} and did nothing (on_spent=log)", True

    def _advice(self) -> str:
        limits = self.budget.limits
        more = {KEYS[unit]: 2 * limit for unit, limit in limits.items() if unit != "points" or limit <= 50}
        tries = ["lower the learning rate (Train(lr=...))"]
        tries.append(f"add old examples ({'--memory' if self.flags else 'Rehearsal(...)'})")
        if more:
            pairs = [f"{name}={value:g}" for name, value in more.items()]
            how = f"--budget {' '.join(pairs)}" if self.flags else f"Budget({', '.join(pairs)})"
            tries.append(f"allow more ({how})")
        *first, last = tries
        return f"{', '.join(first)}, or {last}" if len(first) > 1 else f"{first[0]} or {last}"


def notes(look: Look, on_spent: OnSpent, now: Standing) -> dict[str, float]:
    """Returns the numbers of a look for the next line of the log; those that are none are left out."""
    found = {"kept_points_change": -look.lost.get("points", math.nan)}
    found |= {"kept_nll_change": look.lost.get("nats", math.nan), "learned": look.learned}
    found |= {"budget_used": now.smoothed} | ({"hold": now.hold} if on_spent == "hold" else {})
    return {name: value for name, value in found.items() if math.isfinite(value)}


def spent(look: Look, budget: Budget, on_spent: OnSpent, now: Standing, where: str) -> str:
    """Returns that the budget is spent and what is done.

    Args:
        look: The look that found it spent.
        budget: The budget.
        on_spent: What the guard does then.
        now: Where the run stands.
        where: Which model the run goes back to ("of step 40").
    """
    lost = {"points": "{:.1f} points", "nats": "{:.3f} nats per token"}
    found = " and ".join(lost[unit].format(value) for unit, value in look.lost.items())
    back = f"back to the model {where}"
    ends = {
        "stop": "training stops here",
        "rewind": back + (", where training ends" if now.ended else " and on at half the learning rate"),
        "hold": f"the leash is raised to {now.hold:g} times its strength",
        "log": "training goes on",
    }
    beyond = " (a suite is beyond it for certain)" if look.beyond else ""
    return (
        f"Step {look.step}: what is to be kept has lost {found}, and the budget of {budget} is spent{beyond};"
        f" {ends[on_spent]}."
    )


def summary(told: GuardReport) -> dict[str, Any]:
    """Returns what a guard saw and did, ready for JSON; a loss that was no number is null."""
    return {
        "on_spent": told.on_spent,
        "sentence": told.sentence(),
        "spent_at": list(told.spent),
        "rewinds": told.end.rewinds,
        "model_of": told.model_of,
        "hold": told.end.hold,
        "learned": told.learned,
        "failed": told.failed,
        "looks": [
            {"step": look.step}
            | {f"{unit}_lost": value if math.isfinite(value) else None for unit, value in look.lost.items()}
            | {"beyond": look.beyond}
            | ({} if math.isnan(look.learned) else {"learned": look.learned})
            for look in told.looks
        ],
    }


def _joined(parts: Sequence[str], comma: bool) -> str:
    """Returns parts of a sentence as one, the last behind "and", which may have a comma before it."""
    *some, last = parts
    return f"{', '.join(some)}{',' if comma else ''} and {last}" if some else last


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _percent(share: float) -> str:
    return "nothing" if share <= 0 else "less than 1%" if share < 0.01 else f"{min(share, 1.0):.0%}"
