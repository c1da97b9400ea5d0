"""Work in batches that fit into memory: where one does not, those that are left are made half as large."""

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
Found = TypeVar("Found")

USUAL = 8192
"""Tokens of a batch, padding included, where nobody says how many."""
FEWER = 2048
"""The same where a processor reads texts with a model of at least `LARGE` parameters: it gains nothing by more, and
shows its progress more often by fewer."""
LARGE = 30_000_000

_fits = weakref.WeakKeyDictionary[nn.Module, int]()
"""Most tokens of a batch that have been found to fit, of models with which more did not."""


def tokens_of(model: nn.Module, batch_tokens: int | None, *, writes: bool = False) -> int:
    """Returns the most tokens of a batch: those that are asked for or usual, and no more than were found to fit.

    Args:
        model: The model.
        batch_tokens: What is asked for, if anything.
        writes: Whether the model writes: it reads all its weights for a token of each row, so that more rows cost less.

    Raises:
        ValueError: If `batch_tokens` is not positive.
    """
    if batch_tokens is not None and batch_tokens < 1:
        raise ValueError(f"batch_tokens {batch_tokens}: give a positive number of tokens")
    wanted = batch_tokens or USUAL
    if batch_tokens is None and not writes and next(model.parameters()).device.type == "cpu":
        wanted = FEWER if sum(p.numel() for p in model.parameters()) >= LARGE else USUAL
    return min(wanted, _fits.get(model, wanted))


def fitting(
    model: nn.Module,
    things: Sequence[Thing],
    cut: Callable[[Sequence[Thing], int], Iterable[list[Thing]]],
    size_of: Callable[[Sequence[Thing]], int],
    do: Callable[[list[Thing]], Found],
    batch_tokens: int,
) -> Iterator[tuple[list[Thing], Found]]:
    """Yields the batches of some things and what is found for each; where memory runs out, they are halved, said once.

    Args:
        model: Whose batches these are; later ones of the same model begin with what fitted.
        things: What is done.
        cut: Makes batches of at most so many tokens.
        size_of: Number of tokens of a batch, padding included.
        do: Does a batch.
        batch_tokens: Most tokens of a batch.

    Raises:
        HoldfastError: If one thing alone does not fit.
    """
    left = list(cut(things, batch_tokens))
    while left:
        batch = left.pop(0)
        error = ""
        try:
            found = do(batch)
        except TooLarge as large:
            left = list(cut([thing for each in [batch, *left] for thing in each], min(batch_tokens, large.tokens)))
            continue
        except (MemoryError, RuntimeError) as raised:
            if not is_out_of_memory(raised):
                raise
            error = " ".join(str(raised).split())[:160] or type(raised).__name__
        if not error:
            yield batch, found
            continue
        # Out of the handler, so that what the failed call holds is let go of.
        size = size_of(batch)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if len(batch) == 1:
            raise HoldfastError(
                f"There is not enough memory to read {size} tokens at once ({error}); give a smaller --max-length, a "
                "smaller model, or more memory."
            )
        if model not in _fits:
            logger.warning(
                "There is not enough memory for batches of %d tokens: smaller ones are read from here on (%d). Give "
                "--eval-batch-tokens %d to begin with these.",
                size,
                max(1, size // 2),
                max(1, size // 2),
            )
        _fits[model] = max(1, size // 2)
        left = list(cut([thing for each in [batch, *left] for thing in each], _fits[model]))
