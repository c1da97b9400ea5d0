"""The head of a causal language model: where it is, and how to compute its logits for some positions at a time."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.core.errors import HoldfastError
from holdfast.core.params import head_if_any
from holdfast.core.teacher import evaluating, unstrided

_OUT_OF_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "CUBLAS_STATUS_ALLOC",
)

TRIED = 4
"""Number of positions on which `Head` tests what a model does with the logits of its head."""
WHOLE_LOGITS = 2**26
"""Limit on the logits of a batch (256 MiB in float32) if a model computes them all; a longer row is its own batch."""


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether an error reports that a GPU or the machine has too little memory."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in _OUT_OF_MEMORY)


def head_of(model: nn.Module) -> nn.Module:
    """Returns the head of a causal language model; raises `HoldfastError` for a model without one."""
    head = head_if_any(model)
    if head is None:
        raise HoldfastError(
            f"{type(model).__name__} has no output embeddings: token terms work on causal language models."
        )
    return head


@contextmanager
def head_gives(head: nn.Module, forward: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Replaces the forward of a head for a block.

    Its hooks stay, because FSDP gathers sharded weights in them. A compiled model calls `forward` as it is, and is not
    compiled again for another one.
    """
    previous, given = head.__dict__.get("forward"), _given_to(head)
    given.forwards.append(forward)
    head.forward = given.call
    try:
        yield
    finally:
        given.forwards.pop()
        del head.forward
        if previous is not None:
            head.forward = previous


class _Given:
    """The forwards that a head is given, one inside the other.

    Attributes:
        forwards: The forwards; the last one acts.
        call: Calls it. A compiled model asks whether a head's forward is still the same object, so a head has one.
    """

    def __init__(self) -> None:
        self.forwards: list[Callable[[Tensor], Tensor]] = []
        self.call = torch.compiler.disable(self._call) if _compiles() else self._call

    def _call(self, states: Tensor) -> Tensor:
        return self.forwards[-1](states)


_GIVEN: weakref.WeakKeyDictionary[nn.Module, _Given] = weakref.WeakKeyDictionary()


def _given_to(head: nn.Module) -> _Given:
    given = _GIVEN.get(head)
    if given is None or (_compiles() and given.call == given._call):
        given = _GIVEN[head] = _Given()
    return given


def _compiles() -> bool:
    """Returns whether a model may be compiled: the compiler is loaded, which takes seconds."""
    return "torch._dynamo" in sys.modules


def is_plain(model: nn.Module, head: nn.Module) -> bool:
    """Returns whether the model's logits equal the output of its linear head; it runs the model on four tokens."""
    if type(head) is not nn.Linear:
        return False
    seen: list[Tensor] = []
    # A copy, because a model may change the head's output in place.
    handle = head.register_forward_hook(lambda _module, _inputs, output: seen.append(output.clone()))
    try:
        with evaluating(model):
            ids = torch.arange(1, 5, device=head.weight.device)[None] % head.weight.shape[0]
            logits = model(input_ids=ids, use_cache=False).logits
    finally:
        handle.remove()
    return len(seen) == 1 and seen[0].shape == logits.shape and torch.equal(seen[0], logits)


class TooLarge(Exception):
    """Raised for a batch with too many logits, if the model can only compute all of them at once.

    Attributes:
        tokens: The largest number of tokens that a batch may have.
    """

    def __init__(self, tokens: int) -> None:
        super().__init__(f"a batch may have {tokens} tokens")
        self.tokens = tokens


class Head:
    """The head of a model as a separate step, so that the logits of all positions need not exist at once.

    The first call shows which of three kinds a model is:

        plain      the logits are the output of the head;
        replayed   the model changes the head's output (soft-capping, scaling), at each position by itself: `logits`
                   calls the model again with one token and gives the head the kept input;
        whole      anything else: the model computes all logits of a batch, and `read` keeps the requested ones.

    Attributes:
        model: The model; it must be in eval mode.
        kind: The kind; empty before the first call.
        size: Number of logits of a position.
    """

    def __init__(self, model: nn.Module) -> None:
        """Finds the head of `model`, a causal language model, with or without PEFT; it does not call the model."""
        self.model = model
        self._module = head_if_any(model)
        self.kind = "" if self._module is not None else "whole"
        config: Any = getattr(model, "config", None)
        size = getattr(self._module, "out_features", None) or getattr(config, "vocab_size", None)
        self.size = size if isinstance(size, int) and size > 0 else 1

    def read(self, row_N: Tensor, position_N: Tensor, *, width: int, **inputs: Any) -> tuple[Tensor, Any]:
        """Runs the model and returns the head's input at some positions, and the model's output.

        Args:
            row_N: Row of each position, `[N]` int64.
            position_N: Index of each position in its row, `[N]` int64.
            width: Number of positions of a row; virtual tokens of the model come before them.
            inputs: The model's arguments, among them `input_ids` `[B, T]`.

        Returns:
            Features `[N, X]` for `logits` (hidden states, or the logits of a "whole" model), and the output without
            its logits.

        Raises:
            TooLarge: The model computes all logits, and the batch has too many.
        """
        kept: list[Tensor] = []
        made: list[Tensor] = []
        head = self._module

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
        head_forward = _own_forward(head)

        def few(states_BTX: Tensor) -> Tensor:
            # The model continues with these few logits, so its output shows what it does to them, also in place.
            made.append(head_forward(unstrided(pick(states_BTX)[None, : 1 if self.kind else TRIED])))
            return made[-1].clone()

        try:
            with head_gives(head, few):
                output = self.model(**inputs)
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            if self.kind or not made or is_out_of_memory(error):
                raise
            output = None  # the model needs the logits of all positions
        if not self.kind and (output is None or len(row_N)):
            self.kind = self._kind_of(kept, made, None if output is None else output.logits)
            if self.kind == "whole":
                return self.read(row_N, position_N, width=width, **inputs)
        output.logits = None
        return kept[0], output

    def _kind_of(self, kept: list[Tensor], made: list[Tensor], given_1TV: Tensor | None) -> str:
        """Returns the kind of a model.

        Args:
            kept: The head's input, one tensor `[N, X]`.
            made: The head's output in each of its calls.
            given_1TV: The model's logits; None if the call failed.
        """
        if len(made) != 1 or given_1TV is None or given_1TV.shape != made[0].shape:
            return "whole"
        self.size = given_1TV.shape[-1]
        if torch.equal(given_1TV, made[0]):
            # A sharded weight is whole only during a call of the whole model, so its head cannot be called alone.
            spread = any(type(p).__name__ == "DTensor" or type(p.data).__name__ == "DTensor" for p in self._weights())
            return "replayed" if spread else "plain"
        try:
            # With zeros at further positions: the logits differ if they depend on other positions.
            some_TX = kept[0][:TRIED]
            again_1TV = self._replayed(torch.cat([some_TX, torch.zeros_like(some_TX)]))[None, : len(some_TX)]
        except (RuntimeError, TypeError, ValueError, IndexError):
            return "whole"
        if again_1TV.shape != given_1TV.shape:
            return "whole"
        # The rounding of a product depends on its number of rows.
        slack = 4 * torch.finfo(given_1TV.dtype).eps ** 0.75 * float(given_1TV.abs().max())
        return "replayed" if float((again_1TV - given_1TV).abs().max()) <= slack else "whole"

    def _weights(self) -> list[nn.Parameter]:
        return [] if self._module is None else list(self._module.parameters())

    def logits(self, features_CX: Tensor) -> Tensor:
        """Returns the logits `[C, V]` of some positions from the features `[C, X]` that `read` returned."""
        if self.kind == "whole" or self._module is None:
            return features_CX
        if self.kind == "plain":
            logits_CV: Tensor = self._module(features_CX)
            return logits_CV
        return self._replayed(features_CX)

    def _replayed(self, features_CX: Tensor) -> Tensor:
        """Returns the model's logits for features: it calls the model with one token and replaces the head's input."""
        assert self._module is not None
        head_forward = _own_forward(self._module)
        embeddings: Any = self.model.get_input_embeddings()  # type: ignore[operator]
        one_11 = torch.ones(1, 1, dtype=torch.long, device=embeddings.weight.device)
        with head_gives(self._module, lambda _: head_forward(features_CX[None])):
            logits_1CV: Tensor = self.model(input_ids=one_11, use_cache=False).logits
        return logits_1CV[0]


def _own_forward(head: nn.Module) -> Callable[[Tensor], Tensor]:
    """Returns the forward of a head without its hooks, or the one that it is given."""
    given = _GIVEN.get(head)
    if given is not None and given.forwards:
        return given.forwards[-1]
    forward: Callable[[Tensor], Tensor] = head.__dict__.get("forward") or type(head).forward.__get__(head)
    return forward
