"""The messages of a guard: that the budget is spent, and at the end what it did and what to try next."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from holdfast.core.budget import Budget
from holdfast.core.guard import GOES_BACK, OnSpent
from holdfast.train.control import Look, Standing, standing

GOOD = 0.9
"""From this share of what was learned, a run that went back needs no advice."""
KEYS = {"points": "points", "nats": "nll"}
"""The field of `Budget` that limits each unit."""


@dataclasses.dataclass(frozen=True)
class GuardReport:
    """What a guard knows of a run that is over, and the sentence it writes about it.

    Attributes:
        looks: The looks of the run.
        budget: What may be lost.
        on_spent: What the guard does when the budget is spent.
        step: Optimizer steps done.
        steps: Optimizer steps planned.
        started: Score of the task at the start, higher is better; NaN if nothing measures it.
        failed: Number of looks that failed.
        flags: Whether the sentence names flags of the command line instead of Python arguments.
        held: A clause that says how a controller held the run; empty without one.
    """

    looks: Sequence[Look]
    budget: Budget
    on_spent: OnSpent
    step: int
    steps: int
    started: float = math.nan
    failed: int = 0
    flags: bool = False
    held: str = ""

    @property
    def end(self) -> Standing:
        """Returns where the run stands after all looks."""
        return standing(self.looks, self.budget, self.on_spent)

    @property
    def rewound(self) -> bool:
        """Whether the run ends with an earlier model than that of the last look."""
        return self.on_spent in GOES_BACK and bool(self.looks) and self.end.best != len(self.looks) - 1

    @property
    def model_of(self) -> int | None:
        """Returns the step of the restored model, 0 for the start; None if the last model is kept."""
        best = self.end.best
        return None if not self.rewound else 0 if best is None else self.looks[best].step

    @property
    def pulled(self) -> float | None:
        """Returns the share of the change of the weights that the shipped model has; None if it was not pulled back."""
        last = self.looks[-1] if self.looks else None
        return None if last is None or last.share == 1 or self.rewound else last.share

    @property
    def spent(self) -> dict[int, Standing]:
        """Returns by step where the run stood at each look that found the budget spent."""
        stood = {
            look.step: standing(self.looks[: i + 1], self.budget, self.on_spent)
            for i, look in enumerate(self.looks)
            if look.share == 1
        }
        return {step: stood_at for step, stood_at in stood.items() if stood_at.spent}

    @property
    def learned(self) -> dict[str, float]:
        """Returns the score of the task at the `start`, the `most` of any look, and that of the `shipped` model.

        `share` is the part of the largest gain that the shipped model keeps. The result is empty if nothing measures
        the task.
        """
        known = [look.learned for look in self.looks if not math.isnan(look.learned)]
        if math.isnan(self.started) or not known:
            return {}
        best = self.end.best if self.rewound else len(self.looks) - 1
        shipped = self.started if best is None else self.looks[best].learned
        scores = {"start": self.started, "most": max(known), "shipped": shipped}
        scores = {name: value for name, value in scores.items() if math.isfinite(value)}
        if len(scores) == 3 and max(known) > self.started:
            scores["share"] = (shipped - self.started) / (max(known) - self.started)
        return scores

    def sentence(self) -> str:
        """Returns a sentence: what the guard did, and what to try next if something can be improved."""
        if not self.looks:
            return self._blind()
        acts = {"rewind": self._rewind, "steer": self._rewind, "stop": self._stop, "hold": self._hold, "log": self._log}
        looked = f"looked {_times(len(self.looks))}"
        nothing = f"{looked}, {self.held}, and never found the budget spent"
        idle = (nothing if self.held else f"{looked} and had nothing to do"), False
        did, mend = acts[self.on_spent]() if self.acted else idle
        did = f"{self.held}; it {did}" if self.held and self.acted else did
        sentence = f"The guard {did}{f': {self._advice()}' if mend else ''}."
        if self.failed:
            sentence += " One more look failed." if self.failed == 1 else f" {self.failed} more looks failed."
        last = self.looks[-1].step
        if last < self.step and not self.rewound:
            sentence += (
                f" The guard did not look at the model of step {self.step:,}: its last look was at step {last:,}."
            )
        return sentence

    def _blind(self) -> str:
        if self.failed:
            return (
                f"The guard tried to look {_times(self.failed)} and failed, so nothing held this model to the budget;"
                " the warnings say why (fewer items=... take less memory)."
            )
        return "The guard never looked, so nothing held this model to the budget."

    @property
    def acted(self) -> bool:
        """Whether the budget was spent, or the run ends with an earlier model."""
        return bool(self.spent) or self.rewound or self.pulled is not None

    def _rewind(self) -> tuple[str, bool]:
        """Returns what the guard did, and whether advice follows."""
        kept, spent, of = self.learned.get("share"), self.spent, self.model_of
        to_start = bool(spent) and all(stood_at.best is None for stood_at in spent.values())
        did = f"went back{' to the start' if to_start else ''} {_times(len(spent))}" if spent else ""
        if of == 0 or self.pulled is not None:
            return self._pulled(did or "found the budget overdrawn at every look")
        shipped = f"ships the model of step {of:,}, the best learner seen inside the budget" if of is not None else ""
        share = f"kept {_percent(kept)} of what was learned" if kept is not None else ""
        done = _joined([part for part in (did, shipped, share) if part], comma=bool(shipped and share))
        return done, bool(spent) and (kept is None or kept < GOOD)

    def _pulled(self, did: str) -> tuple[str, bool]:
        """Returns what was shipped of a run without a look inside the budget, and whether advice follows."""
        if self.pulled is None:
            return f"{did} and ships the model of the start, so nothing that was learned is kept", True
        kept = self.learned.get("share")
        most = "" if kept is None else f" and has {_percent(kept)} of what was learned"
        part = f"{self.pulled:.0%} of the change of the weights, which is inside the budget"
        return f"{did} and ships {part}{most}", kept is None or kept < GOOD

    def _stop(self) -> tuple[str, bool]:
        done = f"stopped the training at step {self.step:,} of {self.steps:,}, where the budget was spent"
        return f"{done}, and the model is the one that spent it", True

    def _hold(self) -> tuple[str, bool]:
        most = max(stood_at.hold for stood_at in self.spent.values())
        did = f"raised the penalty to the base model to {most:g} times its strength"
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
    """Returns the numbers of a look for the next line of the log, without those that are not finite."""
    numbers = {"kept_points_change": -look.lost.get("points", math.nan)}
    numbers |= {"kept_nll_change": look.lost.get("nats", math.nan), "learned": look.learned}
    numbers |= {"budget_used": now.smoothed} | ({"hold": now.hold} if on_spent == "hold" else {})
    return {name: value for name, value in numbers.items() if math.isfinite(value)}


def spent(look: Look, budget: Budget, on_spent: OnSpent, now: Standing, where: str) -> str:
    """Returns the warning that the budget is spent, with what the guard does.

    Args:
        look: The look that found the budget spent.
        budget: The budget.
        on_spent: What the guard does when the budget is spent.
        now: Where the run stands.
        where: Which model the run goes back to ("of step 40").
    """
    lost = {"points": "{:.1f} points", "nats": "{:.3f} nats per token"}
    losses = " and ".join(lost[unit].format(value) for unit, value in look.lost.items())
    back = f"back to the model {where}"
    ended, goes_on = ", where training ends", ", and training continues"
    ends = {
        "stop": "training stops here",
        "rewind": back + (ended if now.ended else f"{goes_on} at half the learning rate"),
        "steer": back + (ended if now.ended else f"{goes_on}, held back more"),
        "hold": f"the penalty to the base model is raised to {now.hold:g} times its strength",
        "log": "training continues",
    }
    beyond = " (one suite certainly exceeds it)" if look.beyond else ""
    return (
        f"Step {look.step}: the kept suites have lost {losses}, and the budget of {budget} is spent{beyond};"
        f" {ends[on_spent]}."
    )


def summary(report: GuardReport) -> dict[str, Any]:
    """Returns what a guard measured and did, ready for JSON; a loss that is not finite becomes null."""
    return {
        "on_spent": report.on_spent,
        "sentence": report.sentence(),
        "spent_at": list(report.spent),
        "rewinds": report.end.rewinds,
        "model_of": report.model_of,
        "hold": report.end.hold,
        "learned": report.learned,
        "failed": report.failed,
        "looks": [
            {"step": look.step}
            | {f"{unit}_lost": value if math.isfinite(value) else None for unit, value in look.lost.items()}
            | {"beyond": look.beyond}
            | ({} if math.isnan(look.learned) else {"learned": look.learned})
            | ({} if look.share == 1 else {"share": look.share})
            for look in report.looks
        ],
    }


def _joined(parts: Sequence[str], comma: bool) -> str:
    """Joins parts of a sentence, the last with "and", which may have a comma before it."""
    *some, last = parts
    return f"{', '.join(some)}{',' if comma else ''} and {last}" if some else last


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _percent(share: float) -> str:
    return "nothing" if share <= 0 else "less than 1%" if share < 0.01 else f"{min(share, 1.0):.0%}"
