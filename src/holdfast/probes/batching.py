"""Work in batches that fit into memory: after one that does not, the remaining batches are half as large."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import nn

from holdfast.core.errors import HoldfastError
from holdfast.core.head import TooLarge, is_out_of_memory

logger = logging.getLogger("holdfast")

Thing = TypeVar("Thing")
Result = TypeVar("Result")

USUAL = 8192
"""Default number of tokens of a batch, padding included."""
FEWER = 2048
"""The default if a CPU reads texts with a model of at least `LARGE` parameters: larger batches are no faster there, and
smaller ones report progress more often."""
LARGE = 30_000_000

_fits = weakref.WeakKeyDictionary[nn.Module, int]()
"""Most tokens of a batch that fit, for models whose larger batches did not."""


def tokens_of(model: nn.Module, batch_tokens: int | None, *, writes: bool = False) -> int:
    """Returns the most tokens of a batch: `batch_tokens` or the default, but no more than is known to fit.

    Args:
        model: The model.
        batch_tokens: The wish of the caller, if any.
        writes: Whether the model generates. It then reads all its weights for one token per row, so that large batches
            pay.

    Raises:
        ValueError: `batch_tokens` is not positive.
    """
    if batch_tokens is not None and batch_tokens < 1:
        raise ValueError(f"batch_tokens {batch_tokens}: give a positive number of tokens")
    wanted = batch_tokens or USUAL
    if batch_tokens is None and not writes and next(model.parameters()).device.type == "cpu":
        wanted = FEWER if sum(p.numel() for p in model.parameters()) >= LARGE else USUAL
    return min(wanted, _fits.get(model, wanted))


def in_fitting_batches(
    model: nn.Module,
    things: Sequence[Thing],
    cut: Callable[[Sequence[Thing], int], Iterable[list[Thing]]],
    size_of: Callable[[Sequence[Thing]], int],
    do: Callable[[list[Thing]], Result],
    batch_tokens: int,
) -> Iterator[tuple[list[Thing], Result]]:
    """Yields each batch with its result; if memory runs out, the remaining batches are halved, with one warning.

    Args:
        model: The model; its later calls begin with the size that fitted.
        things: The inputs to batch.
        cut: Cuts inputs into batches of at most a number of tokens.
        size_of: Returns the number of tokens of a batch, padding included.
        do: Computes the result of a batch.
        batch_tokens: Most tokens of a batch.

    Raises:
        HoldfastError: A single input does not fit.
    """
    left = list(cut(things, batch_tokens))
    while left:
        batch = left.pop(0)
        error = ""
        try:
            result = do(batch)
        except TooLarge as large:
            left = list(cut([thing for each in [batch, *left] for thing in each], min(batch_tokens, large.tokens)))
            continue
        except (MemoryError, RuntimeError) as raised:
            error = want_of_memory(raised)
        if not error:
            yield batch, result
            continue
        # Outside the handler: there the traceback still holds the tensors of the failed call.
        left = list(
            cut([thing for each in [batch, *left] for thing in each], halved(model, size_of(batch), len(batch), error))
        )


def halved(model: nn.Module, size: int, count: int, error: str) -> int:
    """Returns the most tokens of later batches after one did not fit into memory, and remembers it for the model.

    Args:
        model: The model; it warns once for each.
        size: Number of tokens of the batch, padding included.
        count: Number of its inputs.
        error: What the failed call said.

    Raises:
        HoldfastError: The batch has a single input.
    """
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if count == 1:
        raise HoldfastError(
            f"There is not enough memory to read {size} tokens at once ({error}); give a smaller --max-length, a "
            "smaller model, or more memory."
        )
    if model not in _fits:
        logger.warning(
            "There is not enough memory for batches of %d tokens: batches now have at most %d. Give "
            "--eval-batch-tokens %d to begin with these.",
            size,
            max(1, size // 2),
            max(1, size // 2),
        )
    _fits[model] = max(1, size // 2)
    return _fits[model]


def want_of_memory(raised: BaseException) -> str:
    """Returns what an error says of a want of memory.

    Raises:
        BaseException: The error itself, if it says something else.
    """
    if not is_out_of_memory(raised):
        raise raised
    return " ".join(str(raised).split())[:160] or type(raised).__name__
