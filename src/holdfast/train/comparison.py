"""What the base says of the tokens of a micro-batch, where methods compare with it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from holdfast.core.errors import HoldfastError
from holdfast.core.method import Chain
from holdfast.core.teacher import StateCache, Teacher, evaluating
from holdfast.core.tokens import is_on
from holdfast.kernels.chunked import Casts, Logits, uncached
from holdfast.train.head import LossHead
from holdfast.train.supervised import Call, Inputs, Shown, SupervisedTokens


class Comparison:
    """Runs the base of a model under a recipe; `holdfast.train.forward.Forward` says what becomes of it.

    Attributes:
        cache: The base's states on the training examples, where they are computed beforehand.
    """

    def __init__(
        self, model: nn.Module, head: LossHead, recipe: Chain, teacher: Teacher | None, cache: StateCache | None
    ) -> None:
        """Runs nothing yet; the arguments are as in `Forward`."""
        self.model = model
        self.head = head
        self.recipe = recipe
        self.teacher = teacher
        self.cache = cache

    def fill(self, inputs: Inputs) -> None:
        """Puts the base's features of a batch into the cache; called before training, on the start weights."""
        call = Call(self.model, inputs, SupervisedTokens.of(inputs, None))
        with evaluating(self.model):
            features_NX = self.head.features(call)
        if self.cache is not None:
            self.cache.put(call.tokens.keys(inputs), features_NX)

    def logits(self, call: Call, casts: Casts, chunk: int | None) -> Logits:
        """Returns the base's logits of the tokens of a batch, to be made chunk by chunk."""
        return Logits(self.features(call), self.weights(call.shown), casts, chunk)

    def features(self, call: Call) -> Tensor:
        """Returns what the base makes of each token: hidden states `[N, D]` before a plain head, else logits `[N, V]`.

        Raises:
            HoldfastError: There is no base.
        """
        if self.cache is not None and not call.bare:
            return self.cache.get(call.tokens.keys(call.inputs), call.tokens.labels_N.device)
        teacher = self._teacher(call.shown)
        if teacher is None:
            raise HoldfastError(f"{self.recipe!r} needs the base, and no teacher was given.")
        everything = call.bare or bool(call.shown)
        if call.shown:
            call = call.reading({name: value for name, value in call.shown.items() if name != "weights"})
        row_N = call.tokens.scored_BT.nonzero()[:, 0]
        rows = None if everything else self._rows(call, row_N)
        # What autocast kept of the base's trained weights it would hand to the model after it, without gradients.
        with uncached(row_N.device.type), teacher.base(self.model):
            if rows is None:
                return self.head.features(call)
            if not len(rows):  # never where weights are sharded
                return self._nothing(len(row_N), row_N.device)
            found = self.head.features(call.reading({name: value[rows] for name, value in call.inputs.items()}))
        # Tokens of rows that nobody compares get zeros, so that those compared keep their places.
        features_NX = found.new_zeros(len(row_N), found.shape[1])
        features_NX[torch.isin(row_N, rows)] = found
        return features_NX

    def weights(self, shown: Shown | None = None) -> tuple[Tensor, Tensor | None] | None:
        """Returns weight and bias of the base's head; None where it gives logits."""
        linear = self.head.linear
        if linear is None:
            return None
        teacher = self._teacher(shown)
        if teacher is None:
            return linear.weight, linear.bias
        bias = None if linear.bias is None else teacher.value(self.model, linear.bias)
        return teacher.value(self.model, linear.weight), bias

    def _rows(self, call: Call, row_N: Tensor) -> Tensor | None:
        """Returns the rows that hold a token which is compared with the base; None where the base has to read them all.

        It has to where the head is not plain, and where an input is not one number per position (positions shared by
        all rows, packed documents), as rows cannot be taken out of that. Every process has the base read something:
        the gathering of sharded weights waits for all.
        """
        on, shape = self.recipe.compares_on, call.inputs["input_ids"].shape
        if (
            on == "all"
            or not self.head.plain
            or any(getattr(value, "shape", None) != shape for value in call.inputs.values())
        ):
            return None
        rows = row_N[is_on(call.tokens.source_N, on)].unique()
        if not len(rows) and torch.distributed.is_available() and torch.distributed.is_initialized():
            rows = rows.new_zeros(1)
        return None if len(rows) == shape[0] else rows

    def _nothing(self, tokens: int, device: torch.device) -> Tensor:
        assert self.head.linear is not None  # only its rows are taken
        weight_VD = self.head.linear.weight
        return torch.zeros(tokens, weight_VD.shape[1], dtype=weight_VD.dtype, device=device)

    def _teacher(self, shown: Shown | None) -> Teacher | None:
        """Returns the base, or what stands in its place."""
        if shown and shown.get("weights"):
            return Teacher("given weights", without_adapters=False, values=dict(shown["weights"]))
        return self.teacher
