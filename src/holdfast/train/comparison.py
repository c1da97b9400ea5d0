"""The base's features and logits at the tokens of a micro-batch, for methods that compare with the base.

The forms of the base are in `holdfast.core.teacher`, and the reasons in docs/decisions/0003-one-teacher.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from holdfast.core.base_means import BaseMeans
from holdfast.core.errors import HoldfastError
from holdfast.core.method import Chain
from holdfast.core.teacher import StateCache, Teacher, evaluating
from holdfast.core.tokens import is_on
from holdfast.kernels.chunked import Casts, Logits, product_dtype, uncached
from holdfast.kernels.means import base_means
from holdfast.train.base_cache import KNOWN_INPUTS, BaseCache, Form
from holdfast.train.head import LossHead
from holdfast.train.supervised import Call, Inputs, Shown, SupervisedTokens


class Comparison:
    """Runs the base of a model for `holdfast.train.forward.Forward`.

    Attributes:
        cache: The base's precomputed states on the training examples; None without a cache.
        kept: What the base has said of rows, on disk; None if it reads each row whenever the training does.
        precision: Returns the autocast of the training, which surrounds only the model's own forward.
        note: A sentence on `kept`, or on why there is none; "" if there is nothing to say.
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
        self.kept: BaseCache | None = None
        self.precision: Callable[[], AbstractContextManager[None]] = nullcontext
        self.note = ""

    def fill(self, inputs: Inputs) -> None:
        """Stores the base's features of a batch in the cache; call it before training, with the start weights."""
        call = Call(self.model, inputs, SupervisedTokens.of(inputs, None))
        with evaluating(self.model):
            features_NX = self.head.features(call)
        if self.cache is not None:
            self.cache.put(call.tokens.keys(inputs), features_NX)

    def base(self, call: Call, casts: Casts, chunk: int | None) -> Logits | BaseMeans:
        """Returns the base's logits of the tokens of a batch, or its means if they are kept.

        Indexing computes the logits chunk by chunk.
        """
        rows = None if self.kept is None or call.bare or call.shown else self._kept_rows(self.kept, call, casts, chunk)
        if rows is None:
            return Logits(self.features(call), self.weights(call.shown), casts, chunk)
        if "states" in rows:
            return Logits(rows["states"], self.weights(), casts, chunk)
        return BaseMeans.of_tensors(rows)

    def _kept_rows(self, kept: BaseCache, call: Call, casts: Casts, chunk: int | None) -> dict[str, Tensor] | None:
        """Returns what the base says of each token of a batch, by name; it reads the rows that it has not read before.

        It returns zeros for tokens that no method compares; None if the rows cannot be kept.
        """
        if not self._can_keep(kept.form, call):
            return None
        tokens = call.tokens
        keys = tokens.keys(call.inputs)
        counts = [count for _, count in keys]
        on = [bool(on_N.any()) for on_N in is_on(tokens.source_N, self.recipe.compares_on).split(counts)]
        missing = {key for (key, _), compared in zip(keys, on, strict=True) if compared and key not in kept.store}
        if not any(on) or (missing and kept.store.full):
            return None
        fresh = self._fresh_rows(kept, call, missing, casts, chunk) if missing else {}
        found = [
            (fresh.get(key) or kept.store.get(key)) if compared else None
            for (key, _), compared in zip(keys, on, strict=True)
        ]
        return _joined(found, counts, tokens.labels_N.device)

    def _can_keep(self, form: Form, call: Call) -> bool:
        """Returns whether rows may be kept: a head is there, frozen if means follow from it, and inputs are known.

        A mask of another shape than the tokens may hide some of them from others, so it is not known.
        """
        linear, mask = self.head.linear, call.inputs.get("attention_mask")
        if linear is None or set(call.inputs) - KNOWN_INPUTS:
            return False
        if mask is not None and mask.shape != call.inputs["input_ids"].shape:
            return False
        return form != "means" or not linear.weight.requires_grad

    def _fresh_rows(
        self, kept: BaseCache, call: Call, missing: set[str], casts: Casts, chunk: int | None
    ) -> dict[str, dict[str, Tensor]]:
        """Reads the missing rows of a batch, keeps what the base says of them, and returns it by row."""
        keys, fresh = call.tokens.keys(call.inputs), dict[str, dict[str, Tensor]]()
        wanted_N = torch.cat([call.tokens.labels_N.new_full((count,), key in missing) for key, count in keys]).bool()
        said = self._read(kept.form, call, wanted_N, casts, chunk)
        sizes = [count for key, count in keys if key in missing]
        parts = zip(*(tensor.split(sizes) for tensor in said.values()), strict=True)
        for (key, _), part in zip([one for one in keys if one[0] in missing], parts, strict=True):
            fresh[key] = dict(zip(said, part, strict=True))
            kept.store.put(key, fresh[key])
        return fresh

    def _read(self, form: Form, call: Call, wanted_N: Tensor, casts: Casts, chunk: int | None) -> dict[str, Tensor]:
        """Runs the base on the wanted tokens of a batch, and returns what is kept of them."""
        # Unwrapped: with several processes, the others may have no row to read.
        call = dataclasses.replace(call, wrapped=self.model)
        states_MD = self.features(call, wanted_N)[wanted_N]
        with self.precision():
            if form == "states":
                return {"states": states_MD.to(product_dtype(states_MD))}
            head = self.weights()
            assert head is not None
            return base_means(states_MD, call.tokens.labels_N[wanted_N], head, casts, chunk).tensors()

    def features(self, call: Call, wanted_N: Tensor | None = None) -> Tensor:
        """Returns the base's features of each token: the input `[N, D]` of a plain head, else logits `[N, V]`.

        Args:
            call: The batch.
            wanted_N: Bool mask of the tokens that need features; by default, those that a method compares. Others may
                get zeros.

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
        if wanted_N is None:
            wanted_N = is_on(call.tokens.source_N, self.recipe.compares_on)
        rows = None if everything else self._rows(call, row_N, wanted_N)
        # Without its cache: autocast would keep casts of the base's weights, which have no gradients, for the model.
        with uncached(row_N.device.type), teacher.base(self.model):
            if rows is None:
                return self.head.features(call)
            if not len(rows):  # `_rows` excludes this if weights are sharded
                return self._nothing(len(row_N), row_N.device)
            compared_MX = self.head.features(call.reading(_narrowed(call, rows)))
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

    def _rows(self, call: Call, row_N: Tensor, wanted_N: Tensor) -> Tensor | None:
        """Returns the rows with a wanted token; None if the base must read all rows.

        It must if the head is not plain, or if an input does not have one number per position (positions shared by all
        rows, packed documents), because such an input cannot be split by rows. With several processes it returns at
        least one row, because the gathering of sharded weights waits for all processes.
        """
        shape = call.inputs["input_ids"].shape
        if (
            bool(wanted_N.all())
            or not self.head.plain
            or any(getattr(value, "shape", None) != shape for value in call.inputs.values())
        ):
            return None
        rows = row_N[wanted_N].unique()
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


def _narrowed(call: Call, rows: Tensor) -> dict[str, Tensor]:
    """Returns some rows of a batch without the columns behind their last label, which the base need not read."""
    columns = call.tokens.scored_BT[rows].any(0).nonzero()
    stop = int(columns.max()) + 2 if len(columns) else 1
    return {name: value[rows][:, :stop] for name, value in call.inputs.items()}


def _joined(rows: Sequence[dict[str, Tensor] | None], counts: Sequence[int], device: torch.device) -> dict[str, Tensor]:
    """Returns the tensors of rows as one, on a device; a row that is None gets zeros for its number in `counts`."""
    some = next(row for row in rows if row is not None)
    joined = {}
    for name, like in some.items():
        parts = [
            like.new_zeros(count, *like.shape[1:]) if row is None else row[name]
            for row, count in zip(rows, counts, strict=True)
        ]
        joined[name] = torch.cat([part.to(device) for part in parts])
    return joined
