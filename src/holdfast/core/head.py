"""The head of a causal language model: where it is, and how its logits are had for some positions at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.core.errors import HoldfastError
from holdfast.core.teacher import evaluating

_SAID = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory", "CUBLAS_STATUS_ALLOC")

TRIED = 4
"""Positions at which it is looked what a model does with the logits of its head."""
WHOLE_LOGITS = 2**26
"""Most logits of a batch (256 MiB in float32) of a model that makes them all; a longer row makes a batch of its own."""


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether an error says that there is not enough memory, of a GPU or of the machine."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in _SAID)


def head_of(model: nn.Module) -> nn.Module:
    """Returns the head of a causal language model; raises `HoldfastError` for a model without one."""
    head = _head(model)
    if head is None:
        raise HoldfastError(
            f"{type(model).__name__} has no output embeddings: token terms work on causal language models."
        )
    return head


def _head(model: nn.Module) -> nn.Module | None:
    getter: Any = getattr(model, "get_output_embeddings", None)
    head: nn.Module | None = getter() if getter is not None else None
    return head


@contextmanager
def head_gives(head: nn.Module, forward: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Replaces the forward of a head for a block (its hooks, by which sharded weights are gathered, stay)."""
    held = head.__dict__.get("forward")
    head.forward = forward
    try:
        yield
    finally:
        del head.forward
        if held is not None:
            head.forward = held


def is_plain(model: nn.Module, head: nn.Module) -> bool:
    """Whether the logits are exactly what a linear head makes of its input: found by looking, not by names."""
    if type(head) is not nn.Linear:
        return False
    seen: list[Tensor] = []
    handle = head.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    try:
        with evaluating(model):
            ids = torch.arange(1, 5, device=head.weight.device)[None] % head.weight.shape[0]
            logits = model(input_ids=ids, use_cache=False).logits
    finally:
        handle.remove()
    return len(seen) == 1 and seen[0].shape == logits.shape and torch.equal(seen[0], logits)


class TooLarge(Exception):
    """A batch has more logits than may exist at once, of a model of which they cannot be had in pieces.

    Attributes:
        tokens: Most tokens of a batch.
    """

    def __init__(self, tokens: int) -> None:
        super().__init__(f"a batch may have {tokens} tokens")
        self.tokens = tokens


class Head:
    """The last part of a model, apart from what is before it, so that logits need not exist for all positions at once.

    Three kinds of model, told apart by what the first call does:

        plain      the logits are what the head makes of its input;
        replayed   they are something else (soft-capped, scaled), but the same whatever stands at other positions: the
                   model is called again with one token, and its head with the kept input;
        whole      anything else: the model makes all logits of a batch, of which those asked for are kept.

    Attributes:
        model: The model, which is in eval mode while this is used.
        kind: Which of them this is; empty until it was called.
        size: Number of logits of a position.
    """

    def __init__(self, model: nn.Module) -> None:
        """Finds the head of `model`, a causal language model, plain or wrapped by PEFT; calls nothing."""
        self.model = model
        self._found = _head(model)
        self.kind = "" if self._found is not None else "whole"
        config: Any = getattr(model, "config", None)
        size = getattr(self._found, "out_features", None) or getattr(config, "vocab_size", None)
        self.size = size if isinstance(size, int) and size > 0 else 1

    def read(self, row_N: Tensor, position_N: Tensor, *, width: int, **inputs: Any) -> tuple[Tensor, Any]:
        """Runs the model and returns what its head is to be given at some positions, and its output.

        Args:
            row_N: Row of each position, `[N]` int64.
            position_N: Place of each in its row, `[N]` int64.
            width: Number of positions of a row; where the model has more (virtual tokens), they stand before these.
            inputs: What the model is called with, `input_ids` `[B, T]` among it.

        Returns:
            Features `[N, X]` for `logits`: hidden states, or the logits themselves. The output, without logits.

        Raises:
            TooLarge: The batch has too many logits for a model that makes them all.
        """
        kept: list[Tensor] = []
        made: list[Tensor] = []
        head = self._found

        def pick(states_BTX: Tensor) -> Tensor:
            before = states_BTX.shape[1] - width
            device = states_BTX.device
            kept.append(states_BTX[row_N.to(device), position_N.to(device) + before])
            return kept[-1]

        if self.kind == "whole" or head is None:
            most = max(1, WHOLE_LOGITS // self.size)
            if inputs["input_ids"].shape[0] > 1 and inputs["input_ids"].numel() > most:
                raise TooLarge(most)
            output = self.model(**inputs)
            self.size = output.logits.shape[-1]
            pick(output.logits)
            output.logits = None
            return kept[0], output
        own = _own_forward(head)

        def few(states_BTX: Tensor) -> Tensor:
            # The model goes on with these few logits, which shows what it does to them.
            made.append(own(pick(states_BTX)[None, : 1 if self.kind else TRIED]))
            return made[-1]

        try:
            with head_gives(head, few):
                output = self.model(**inputs)
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            if self.kind or not made or is_out_of_memory(error):
                raise
            output = None  # a model that wants the logits of all positions
        if not self.kind and (output is None or len(row_N)):
            self.kind = self._kind_of(kept, made, None if output is None else output.logits)
            if self.kind == "whole":
                return self.read(row_N, position_N, width=width, **inputs)
        output.logits = None
        return kept[0], output

    def _kind_of(self, kept: list[Tensor], made: list[Tensor], given_1TV: Tensor | None) -> str:
        """Returns the kind of a model, from what its head was given and made, and what became of that."""
        if len(made) != 1 or given_1TV is None or given_1TV.shape != made[0].shape:
            return "whole"
        self.size = given_1TV.shape[-1]
        if torch.equal(given_1TV, made[0]):
            # A weight that is spread over several devices is put together only while the whole model is called.
            spread = any(type(p).__name__ == "DTensor" or type(p.data).__name__ == "DTensor" for p in self._weights())
            return "replayed" if spread else "plain"
        try:
            # Beside others, so that it shows if a position's logits depend on those.
            some_TX = kept[0][:TRIED]
            again_1TV = self._replayed(torch.cat([some_TX, torch.zeros_like(some_TX)]))[None, : len(some_TX)]
        except (RuntimeError, TypeError, ValueError, IndexError):
            return "whole"
        if again_1TV.shape != given_1TV.shape:
            return "whole"
        # Products of another height are rounded otherwise.
        slack = 4 * torch.finfo(given_1TV.dtype).eps ** 0.75 * float(given_1TV.abs().max())
        return "replayed" if float((again_1TV - given_1TV).abs().max()) <= slack else "whole"

    def _weights(self) -> list[nn.Parameter]:
        return [] if self._found is None else list(self._found.parameters())

    def logits(self, features_CX: Tensor) -> Tensor:
        """Returns the logits of some positions, `[C, V]`, from what `read` gave."""
        if self.kind == "whole" or self._found is None:
            return features_CX
        if self.kind == "plain":
            logits_CV: Tensor = self._found(features_CX)
            return logits_CV
        return self._replayed(features_CX)

    def _replayed(self, features_CX: Tensor) -> Tensor:
        """Returns what the model makes of features, called with one token whose place they take before the head."""
        assert self._found is not None
        own = _own_forward(self._found)
        embeddings: Any = self.model.get_input_embeddings()  # type: ignore[operator]
        one_11 = torch.ones(1, 1, dtype=torch.long, device=embeddings.weight.device)
        with head_gives(self._found, lambda _: own(features_CX[None])):
            logits_1CV: Tensor = self.model(input_ids=one_11, use_cache=False).logits
        return logits_1CV[0]


def _own_forward(head: nn.Module) -> Callable[[Tensor], Tensor]:
    """Returns what a head does, apart from its hooks."""
    own: Callable[[Tensor], Tensor] = head.__dict__.get("forward") or type(head).forward.__get__(head)
    return own
