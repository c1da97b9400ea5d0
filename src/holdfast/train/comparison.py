"""The base's features and logits at the tokens of a micro-batch, for methods that compare with the base.

The forms of the base are in `holdfast.core.teacher`, and the reasons in docs/decisions/0003-one-teacher.md.
"""

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
    """Runs the base of a model for `holdfast.train.forward.Forward`.

    Attributes:
        cache: The base's precomputed states on the training examples; None without a cache.
    """

    def __init__(
        self, model: nn.Module, head: LossHead, recipe: Chain, teacher: Teacher | None, cache: StateCache | None
    ) -> None:
        """Stores the arguments, which are those of `Forward`; it runs nothing."""
        self.model = model
        self.head = head
        self.recipe = recipe
        self.teacher = teacher
        self.cache = cache

    def fill(self, inputs: Inputs) -> None:
        """Stores the base's features of a batch in the cache; call it before training, with the start weights."""
        call = Call(self.model, inputs, SupervisedTokens.of(inputs, None))
        with evaluating(self.model):
            features_NX = self.head.features(call)
        if self.cache is not None:
            self.cache.put(call.tokens.keys(inputs), features_NX)

    def logits(self, call: Call, casts: Casts, chunk: int | None) -> Logits:
        """Returns the base's logits of the tokens of a batch; indexing computes them chunk by chunk."""
        return Logits(self.features(call), self.weights(call.shown), casts, chunk)

    def features(self, call: Call) -> Tensor:
        """Returns the base's features of each token: the input `[N, D]` of a plain head, else logits `[N, V]`.

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
        # Without its cache: autocast would keep casts of the base's weights, which have no gradients, for the model.
        with uncached(row_N.device.type), teacher.base(self.model):
            if rows is None:
                return self.head.features(call)
            if not len(rows):  # `_rows` excludes this if weights are sharded
                return self._nothing(len(row_N), row_N.device)
            compared_MX = self.head.features(call.reading({name: value[rows] for name, value in call.inputs.items()}))
        # Tokens in rows that no method compares get zeros, so that the compared ones keep their positions.
        features_NX = compared_MX.new_zeros(len(row_N), compared_MX.shape[1])
        features_NX[torch.isin(row_N, rows)] = compared_MX
        return features_NX

    def weights(self, shown: Shown | None = None) -> tuple[Tensor, Tensor | None] | None:
        """Returns weight and bias of the base's head; None if the head is not plain."""
        linear = self.head.linear
        if linear is None:
            return None
        teacher = self._teacher(shown)
        if teacher is None:
            return linear.weight, linear.bias
        bias = None if linear.bias is None else teacher.value(self.model, linear.bias)
        return teacher.value(self.model, linear.weight), bias

    def _rows(self, call: Call, row_N: Tensor) -> Tensor | None:
        """Returns the rows with a token that a method compares with the base; None if the base must read all rows.

        It must if the head is not plain, or if an input does not have one number per position (positions shared by all
        rows, packed documents), because such an input cannot be split by rows. With several processes it returns at
        least one row, because the gathering of sharded weights waits for all processes.
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
        assert self.head.linear is not None  # `_rows` returns None for other heads
        weight_VD = self.head.linear.weight
        return torch.zeros(tokens, weight_VD.shape[1], dtype=weight_VD.dtype, device=device)

    def _teacher(self, shown: Shown | None) -> Teacher | None:
        """Returns the base, or the one with the weights that a method gave in `shown`."""
        if shown and shown.get("weights"):
            return Teacher("given weights", without_adapters=False, values=dict(shown["weights"]))
        return self.teacher
