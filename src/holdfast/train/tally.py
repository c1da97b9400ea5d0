"""Tally: sums over the micro-batches of a step and over all processes, and the numbers that the log shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from holdfast.core.exact import widest
from holdfast.core.mix import NEW
from holdfast.train.forward import SIGNALS, Sums

Reduce = Callable[[Tensor], Tensor]
"""Sums a tensor over all processes."""

Gather = Callable[[Tensor], Tensor]
"""Concatenates the vectors of all processes; their lengths may differ."""


class Tally:
    """Counts a step's tokens before its first forward, and adds the sums of each forward.

    Attributes:
        tokens: Number of the step's tokens over all processes, at least 1.
        new_share: Share of new tokens among them.
        means: Mean of each requested field over the step's new tokens; empty until the step is closed.
        values: Values of each seen field at the step's new tokens; empty until the step is closed.
        begun: Whether any loss was added since the tally exists.
    """

    def __init__(self, reduce: Reduce, gather: Gather) -> None:
        """Stores how to sum and gather over processes."""
        self.reduce = reduce
        self.gather = gather
        self.tokens = 1.0
        self.new_share = 1.0
        self.begun = False
        self._unlogged: list[tuple[float, float]] = []
        self.clear()

    def clear(self) -> None:
        """Begins a step: it clears the sums of the step before."""
        self.means: dict[str, float] = {}
        self.values: dict[str, Tensor] = {}
        self._watched: dict[str, float] = {}
        self._sums: dict[str, Tensor] = {}
        self._seen: dict[str, list[Tensor]] = {}
        self._loss = 0.0

    def count(self, micro_batches: Sequence[tuple[Tensor, Tensor | None]], device: torch.device) -> None:
        """Counts the tokens of the step's micro-batches over all processes; see `Session.count_tokens`."""
        counts = torch.zeros(2, dtype=torch.int64, device=device)
        for scored_BT, source_BT in micro_batches:
            new_BT = scored_BT if source_BT is None else scored_BT[:, :-1] & (source_BT[:, 1:] == NEW)
            counts += torch.stack([scored_BT.sum(), new_BT.sum()])
        tokens, new = self.reduce(counts).tolist()
        self.tokens = float(max(tokens, 1))
        self.new_share = new / self.tokens

    def add(self, sums: Sums) -> None:
        """Adds the sums of a micro-batch."""
        self.begun = True
        for name, value in sums.stats.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value
        for name, value in sums.values.items():
            self._seen.setdefault(name, []).append(value)

    def add_mean(self, loss: Tensor) -> None:
        """Adds a part of the step's mean loss on this process."""
        self.begun = True
        self._loss += float(loss)

    def add_losses(self, losses_N: Tensor) -> None:
        """Adds the losses `[N]` of new tokens."""
        self.begun = True
        for name, values_N in (("new_tokens", torch.ones_like(losses_N)), ("new.nll_N", losses_N)):
            self._sums[name] = self._sums.get(name, 0.0) + values_N.sum(dtype=widest(losses_N.device))

    def close(self) -> None:
        """Computes means and values over all processes; all means share one reduction."""
        names = sorted(name for name in self._sums if name in ("new_tokens", *SIGNALS) or name.startswith("new."))
        reduced = self.reduce(torch.stack([self._sums[name] for name in names]))
        sums = dict(zip(names, reduced.tolist(), strict=True))
        new = sums.pop("new_tokens")
        self._watched = {name: sums.pop(name) for name in SIGNALS if name in sums}
        self.means = {name.removeprefix("new."): value / new if new else math.nan for name, value in sums.items()}
        self.values = {name: self.gather(torch.cat(self._seen[name])) for name in sorted(self._seen)}

    @property
    def signals(self) -> dict[str, float]:
        """Returns what a controller reads of the closed step, in nats, and the quality in [0, 1].

        A signal is NaN where the step has no such token, or nothing measures it.
        """
        sums = self._watched

        def mean(name: str, tokens: str) -> float:
            return sums[name] / sums[tokens] if sums.get(tokens) else math.nan

        return {
            "task_nll": self.means.get("nll_N", math.nan),
            "old_nll": mean("old.nll_N", "old_tokens"),
            "kl": mean("compared.kl", "compared_tokens"),
            "quality": self.means.get("typicality_N", math.nan),
        }

    def close_mean(self, device: torch.device, processes: int) -> None:
        """Computes the mean loss alone, from the parts that `add_mean` took."""
        self.means = {"nll_N": float(self.reduce(torch.tensor(self._loss, device=device))) / processes}

    def note(self) -> None:
        """Stores the closed step for the next line of the log."""
        self._unlogged.append((self.means.get("nll_N", math.nan), 1.0 - self.new_share))

    def averages(self) -> tuple[float | None, float]:
        """Returns the mean task loss and the share of memories over the steps since the last call, and clears them.

        The mean loss leaves out steps without a finite loss; it is None if no step has one.
        """
        noted, self._unlogged = self._unlogged, []
        losses = [loss for loss, _ in noted if math.isfinite(loss)]
        share = sum(share for _, share in noted) / max(len(noted), 1)
        return (sum(losses) / len(losses) if losses else None), share
