"""What training has done to predictions: drift, likelihood and hidden states of a tuned model against its base."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from holdfast.core.errors import HoldfastError
from holdfast.core.head import Head
from holdfast.core.mix import Example
from holdfast.core.teacher import evaluating
from holdfast.probes.batching import in_fitting_batches, tokens_of
from holdfast.probes.drift import divergence
from holdfast.probes.likelihood import Window, batches, features_of, padded, pieces_of, size_of, windows_of
from holdfast.probes.score import in_unit


@dataclasses.dataclass(frozen=True)
class Shift:
    """The sums over the supervised tokens of some documents; two of them add up.

    Attributes:
        tokens: Number of supervised tokens.
        kl: Sum of KL(base || tuned), in nats.
        before: Sum of the negative log-likelihood under the base, in nats.
        after: The same under the tuned model.
        moved: Sum of the squared change of the states that the head reads; 0 where the head is not a part by itself.
        size: Sum of the squares of the base's states; likewise.
        windows: Number of windows that were read; an item is one.
        sure_before: Sum over windows of the probability of all its supervised tokens together, under the base.
        sure_after: The same under the tuned model.
    """

    tokens: int = 0
    kl: float = 0.0
    before: float = 0.0
    after: float = 0.0
    moved: float = 0.0
    size: float = 0.0
    windows: int = 0
    sure_before: float = 0.0
    sure_after: float = 0.0

    def __add__(self, other: Shift) -> Shift:
        """Returns the sums of both."""
        return Shift(*(a + b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)))

    @property
    def fall(self) -> float:
        """Returns the fall of the mean probability of a window's supervised tokens, in points; 0 without windows."""
        return in_unit((self.sure_before - self.sure_after) / max(self.windows, 1))

    @property
    def change(self) -> float | None:
        """Returns the change of the states relative to their size, root mean square; None if it is not known."""
        return math.sqrt(self.moved / self.size) if self.size else None


class ShiftReader:
    """Compares tuned models with one base on the same documents; the base reads each of them once.

    Attributes:
        base: The base; it must stay as it is while the reader is used.
        count: Number of windows that a comparison reads.
    """

    def __init__(
        self, base: nn.Module, examples: Sequence[Example], *, batch_tokens: int | None = None, pad_id: int = 0
    ) -> None:
        """Keeps the documents; the base reads them in the first comparison.

        Args:
            base: A causal language model.
            examples: Documents as for `holdfast.probes.likelihood.document_nll`; those of one origin are one document.
            batch_tokens: Most tokens of a batch, padding included; usually 8192 if absent.
            pad_id: Token id of the padding, which is not attended to.
        """
        self.base = base
        self._origins, self._windows = windows_of(examples)
        self._tokens = tokens_of(base, batch_tokens)
        self._pad = pad_id
        self._head = Head(base)
        self._kept: dict[tuple[int, ...], Tensor] = {}

    @property
    def count(self) -> int:
        """Number of windows."""
        return len(self._windows)

    def compare(self, tuned: nn.Module) -> dict[str, Shift]:
        """Returns the shift of each document with a supervised token, by its origin.

            KL = sum_t sum_v p_base(v | t) (log p_base(v | t) - log p_tuned(v | t)),   over the supervised t

        Each model computes in its own precision. Divergence and likelihood are taken in float32 and summed in float64.
        Both models are unchanged afterwards.

        Raises:
            HoldfastError: The likelihood of a document is not finite; names the document.

        Reference:
            Drift on the prompts of the new task goes with what is forgotten: "RL's Razor", 2025, arXiv 2509.04259.
        """
        head, shifts = Head(tuned), dict[str, Shift]()
        with evaluating(self.base), evaluating(tuned):
            read = in_fitting_batches(
                self.base, self._windows, batches, size_of, lambda batch: self._compared(head, batch), self._tokens
            )
            for batch, rows in read:
                for window, shift in zip(batch, rows, strict=True):
                    name = self._origins[window.document] or f"document {window.document}"
                    if not math.isfinite(shift.after + shift.kl):
                        raise HoldfastError(
                            f"The model gives {name} a likelihood of {shift.after} nats: its weights are broken or"
                            " overflow in this precision; try float32, or a lower learning rate."
                        )
                    shifts[name] = shifts.get(name, Shift()) + shift
        return shifts

    def _compared(self, head: Head, batch: Sequence[Window]) -> list[Shift]:
        input_ids_BT, labels_BT, mask_BT = padded(batch, self._pad)
        row_N, position_N = (labels_BT[:, 1:] != -100).nonzero(as_tuple=True)
        label_N = labels_BT[:, 1:][row_N, position_N]
        key = tuple(id(window) for window in batch)
        old_NX = self._kept.get(key)
        if old_NX is None:
            old_NX = features_of(self._head, row_N, position_N, input_ids_BT, mask_BT)
            if self._head.kind != "whole":  # else these are logits, which take much memory
                self._kept[key] = old_NX
        new_NX = features_of(head, row_N, position_N, input_ids_BT, mask_BT)
        sums_N5 = torch.zeros(len(row_N), 5, dtype=torch.float64)
        for rows in pieces_of(self._head, len(row_N)):
            old_CV = F.log_softmax(self._head.logits(old_NX[rows]).float(), dim=-1)
            new_CV = F.log_softmax(head.logits(new_NX[rows]).float(), dim=-1).to(old_CV.device)
            label_C1 = label_N[rows, None].to(old_CV.device)
            sums_N5[rows, 0] = divergence(old_CV, new_CV).cpu().double()
            sums_N5[rows, 1] = -old_CV.gather(1, label_C1)[:, 0].cpu().double()
            sums_N5[rows, 2] = -new_CV.gather(1, label_C1)[:, 0].cpu().double()
        if self._head.kind != "whole" and head.kind != "whole":
            old, new = old_NX.cpu().double(), new_NX.cpu().double()
            sums_N5[:, 3], sums_N5[:, 4] = (new - old).square().sum(-1), old.square().sum(-1)
        sums_B5 = torch.zeros(len(batch), 5, dtype=torch.float64).index_add_(0, row_N, sums_N5)
        counts = torch.bincount(row_N, minlength=len(batch)).tolist()
        return [
            Shift(count, kl, before, after, moved, size, 1, math.exp(-before), math.exp(-after))
            for count, (kl, before, after, moved, size) in zip(counts, sums_B5.tolist(), strict=True)
        ]
