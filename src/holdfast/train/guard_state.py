"""What a guard remembers of a run; a checkpoint holds it under "guard", beside the state of the methods."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from holdfast.core.method import State
from holdfast.probes.score import Said
from holdfast.train.looks import COLUMNS
from holdfast.train.rewind import Snapshot
from holdfast.train.symptom_watch import Alert


def as_bytes(entries: Iterable[Any]) -> Tensor:
    """Returns dataclasses of plain values as JSON in a tensor of bytes, which a checkpoint can hold."""
    text = json.dumps([dataclasses.asdict(entry) for entry in entries])
    return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)


def of_bytes(tensor: Any) -> list[dict[str, Any]]:
    """Returns the fields of the dataclasses that `as_bytes` wrote; none without a tensor."""
    if tensor is None:
        return []
    entries: list[dict[str, Any]] = json.loads(bytes(tensor.cpu().tolist()))
    for entry in entries:
        if entry.get("tools") is not None:
            entry["tools"] = tuple(entry["tools"])
    return entries


def _with_shares(looks: Tensor) -> Tensor:
    """Returns looks with the column of shares, which older checkpoints lack: their models were not pulled back."""
    return torch.nn.functional.pad(looks, (0, COLUMNS - looks.shape[1]), value=1.0)


@dataclasses.dataclass
class GuardState:
    """The scores at the start, every look, and a snapshot of the run at the best look.

    `holdfast.train.control` computes from the looks where the run stands, how far the penalty to the base model is
    raised and how often the run went back. The state therefore does not hold these.

    Attributes:
        asked: Fingerprint of the questions, which detects the checkpoint of another guard; None before the start.
        before: Scores at the start, `[scores]`, float64.
        started: Score of the task at the start, higher is better; NaN if nothing measures it.
        looks: Looks, `[looks, 6]`, float64, with the columns that `Asking.look` returns.
        every: Steps between two looks; 0 until it is known.
        best: Snapshot of the run at the best look; None if the guard does not go back.
        promising: Trained weights at the most promising look, as long as none was inside the budget; None without any.
        promising_look: Index of that look.
        said: Answers at the start, against which looks test symptoms.
        alerts: Symptoms that looks have shown.
        anew: Whether the guard has warned that the optimizer starts afresh when the run goes back.
    """

    asked: int | None = None
    before: Tensor = dataclasses.field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    started: float = math.nan
    looks: Tensor = dataclasses.field(default_factory=lambda: torch.zeros(0, COLUMNS, dtype=torch.float64))
    every: int = 0
    best: Snapshot | None = None
    anew: bool = False
    said: tuple[Said, ...] = ()
    alerts: list[Alert] = dataclasses.field(default_factory=list)
    promising: State | None = None
    promising_look: int = 0

    def tensors(self) -> State:
        """Returns the state as a checkpoint holds it."""
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
        if self.promising is not None:
            state |= {"promising": self.promising, "promising_look": torch.tensor(self.promising_look)}
        state |= {name: as_bytes(getattr(self, name)) for name in ("said", "alerts") if getattr(self, name)}
        return state | ({"anew": torch.tensor(True)} if self.anew else {})

    def resume(self, state: State) -> None:
        """Restores what `tensors` returned; an empty `state` resets everything."""
        fresh = GuardState()
        if state:
            best = None
            if "best" in state:
                best = Snapshot(state["best"], state.get("best_state", {}), state.get("best_optimizer"))
            fresh = GuardState(
                int(state["asked"]),
                state["before"],
                float(state["started"]),
                _with_shares(state["looks"]),
                int(state["every"]),
                best,
                "anew" in state,
                tuple(Said(**values) for values in of_bytes(state.get("said"))),
                [Alert.from_dict(values) for values in of_bytes(state.get("alerts"))],
                state.get("promising"),
                int(state.get("promising_look", 0)),
            )
        vars(self).update(vars(fresh))
