"""What the base says of the units of a micro-batch, where methods compare with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.core.errors import HoldfastError
from holdfast.core.method import Chain
from holdfast.core.teacher import StateCache, Teacher, evaluating
from holdfast.core.tokens import is_on
from holdfast.kernels.chunked import uncached
from holdfast.train.head import features_of
from holdfast.train.units import Inputs, Units

Shown = Mapping[str, Any]
"""What the base reads in the place of the micro-batch (see `holdfast.core.run.SHOWN`)."""


class Compared:
    """Runs the base of a model under a recipe; `holdfast.train.forward.Forward` says what becomes of it."""

    def __init__(
        self,
        model: nn.Module,
        head: nn.Module,
        plain_head: bool,
        recipe: Chain,
        teacher: Teacher | None,
        cache: StateCache | None,
    ) -> None:
        """Runs nothing yet; the arguments are as in `Forward`."""
        self.model = model
        self.head = head
        self.plain_head = plain_head
        self.recipe = recipe
        self.teacher = teacher
        self.cache = cache

    def fill(self, inputs: Inputs) -> None:
        """Puts the base's features of a batch into the cache; called before training, on the start weights."""
        units = Units.of(inputs, None)
        with evaluating(self.model):
            features_NX = features_of(self.model, self.head, self.plain_head, inputs, units)
        if self.cache is not None:
            self.cache.put(units.keys(inputs), features_NX)

    def features(
        self, wrapped: nn.Module, inputs: Inputs, units: Units, *, bare: bool = False, shown: Shown | None = None
    ) -> Tensor:
        """Returns what the base makes of each unit: hidden states `[N, D]` before a plain head, else logits `[N, V]`.

        Args:
            wrapped: The model as the trainer calls it.
            inputs: The micro-batch.
            units: Its units.
            bare: Whether the base reads every row itself, past the cache.
            shown: What it reads in its place.
        """
        if self.cache is not None and not bare:
            return self.cache.get(units.keys(inputs), units.labels_N.device)
        teacher = self._teacher(shown)
        if teacher is None:
            raise HoldfastError(f"{self.recipe!r} needs the base, and no teacher was given.")
        if shown:
            inputs = {name: value for name, value in shown.items() if name != "weights"}
            units = Units.of(inputs, None)
        row_N = units.scored_BT.nonzero()[:, 0]
        rows = None if bare or shown else self._rows(inputs, units, row_N)
        # What autocast kept of the base's trained weights it would hand to the model after it, without gradients.
        with uncached(row_N.device.type), teacher.base(self.model):
            if rows is None:
                return features_of(wrapped, self.head, self.plain_head, inputs, units)
            if not len(rows):  # never where weights are sharded
                weight_VD: Any = self.head.weight
                return torch.zeros(len(row_N), weight_VD.shape[1], dtype=weight_VD.dtype, device=row_N.device)
            part = {name: value[rows] for name, value in inputs.items()}
            found = features_of(wrapped, self.head, self.plain_head, part, Units.of(part, None))
        features_NX = found.new_zeros(len(row_N), found.shape[1])
        features_NX[torch.isin(row_N, rows)] = found
        return features_NX

    def _rows(self, inputs: Inputs, units: Units, row_N: Tensor) -> Tensor | None:
        """Returns the rows that hold a unit which is compared with the base; None where the base has to read them all.

        Every process has the base read something, as sharded models call for.
        """
        on, shape = self.recipe.compares_on, inputs["input_ids"].shape
        if (
            on == "all"
            or not self.plain_head
            or any(getattr(value, "shape", None) != shape for value in inputs.values())
        ):
            return None
        rows = row_N[is_on(units.source_N, on)].unique()
        if not len(rows) and torch.distributed.is_available() and torch.distributed.is_initialized():
            rows = rows.new_zeros(1)
        return None if len(rows) == shape[0] else rows

    def weights(self, shown: Shown | None = None) -> tuple[Tensor, Tensor | None] | None:
        """Returns weight and bias of the base's head; None where it gives logits."""
        if not self.plain_head:
            return None
        weight: Any = self.head.weight
        bias: Any = self.head.bias
        teacher = self._teacher(shown)
        if teacher is None:
            return weight, bias
        return teacher.value(self.model, weight), None if bias is None else teacher.value(self.model, bias)

    def _teacher(self, shown: Shown | None) -> Teacher | None:
        """Returns the base, or what stands in its place."""
        if shown and shown.get("weights"):
            return Teacher("given weights", without_adapters=False, values=dict(shown["weights"]))
        return self.teacher
