"""What a guard remembers of a run, as a checkpoint holds it under "guard", beside what the methods remember."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from holdfast.core.method import State
from holdfast.train.looks import UNITS
from holdfast.train.rewind import Snapshot


@dataclasses.dataclass
class GuardState:
    """What was answered at the start, what every look saw, and the run as it was at the best of them.

    Where the run stands, how far the leash is raised and how often it went back all follow from the looks
    (`holdfast.train.control`), so that they are not kept.

    Attributes:
        asked: Number of what is asked, by which another guard's checkpoint is known; None before the start.
        before: The answers at the start, `[asked]`, float64.
        started: What the model knew of the task then; NaN if nothing shows it.
        looks: What was seen, `[looks, 5]`, float64, as `Asking.look` gives it.
        every: Steps between two looks; 0 until it is known.
        best: The run as it was at the best look; None where it does not go back.
        anew: Whether it was said that the optimizer begins anew where the run goes back.
    """

    asked: int | None = None
    before: Tensor = dataclasses.field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    started: float = math.nan
    looks: Tensor = dataclasses.field(default_factory=lambda: torch.zeros(0, len(UNITS) + 3, dtype=torch.float64))
    every: int = 0
    best: Snapshot | None = None
    anew: bool = False

    def tensors(self) -> State:
        """Returns it as a checkpoint holds it."""
        if self.asked is None:
            return {}
        state: State = {
            "asked": torch.tensor(self.asked),
            "before": self.before,
            "started": torch.tensor(self.started, dtype=torch.float64),
            "looks": self.looks,
            "every": torch.tensor(self.every),
        }
        if self.best is not None:
            state |= {"best": self.best.weights, "best_state": self.best.state}
            state |= {"best_optimizer": self.best.optimizer or {}}
        return state | ({"anew": torch.tensor(True)} if self.anew else {})

    def resume(self, state: State) -> None:
        """Takes up what `tensors` gave; nothing begins anew."""
        fresh = GuardState()
        if state:
            best = None
            if "best" in state:
                best = Snapshot(state["best"], state.get("best_state", {}), state.get("best_optimizer"))
            fresh = GuardState(
                int(state["asked"]),
                state["before"],
                float(state["started"]),
                state["looks"],
                int(state["every"]),
                best,
                "anew" in state,
            )
        vars(self).update(vars(fresh))
