"""Memories: old examples, which a model trains on beside the new ones so as not to forget them."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.data.examples import Source, read
from holdfast.data.preference import Preference
from holdfast.data.tokenization import tokenize

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

_log = logging.getLogger(__name__)


def load_memory(
    source: Source | Sequence[str | os.PathLike[str]],
    tokenizer: Tokenizer,
    *,
    max_length: int,
    raw: bool = False,
    loss_on: Literal["completion", "all"] = "completion",
    over_long: Literal["truncate", "drop"] = "truncate",
    refused: Literal["error", "drop"] = "error",
    preference: Preference = "refuse",
) -> list[Example]:
    """Returns the examples of one memory; the loss covers completions (or all), and documents in full.

    A warning reports rows that are left out or cut.

    Args:
        source: As for `read`; several paths or hub ids are read one after the other.
        tokenizer: A Hugging Face tokenizer.
        max_length: Most tokens of an example.
        raw: Whether to leave the chat template unused.
        loss_on: Whether to learn the completions or everything; documents are always learned in full.
        over_long: Whether rows longer than `max_length` lose their end or are left out; documents become windows.
        refused: Whether a conversation that the chat template cannot write is an error or is dropped.
        preference: As for `read`.

    Raises:
        HoldfastError: The source is not found, is malformed, or holds nothing to learn.
    """
    name = _name(source, "memory")
    paths = _paths(source)
    rows = [row for path in paths for row in read(path, preference=preference)]
    how: dict[str, Any] = {"raw": raw, "loss_on": loss_on, "over_long": over_long, "refused": refused}
    prepared = tokenize(rows, tokenizer, max_length=max_length, **how)
    for sentence in prepared.notes.sentences():
        _log.warning("%s: %s", name, sentence)
    if not any(example.supervised for example in prepared.examples):
        if prepared.notes.dropped:
            raise HoldfastError(f"{name}: holds nothing to learn within {max_length} tokens; allow longer rows.")
        raise HoldfastError(f"{name}: holds nothing to learn; give rows with completions or text.")
    return prepared.examples


def _name(source: Any, otherwise: str) -> str:
    if not isinstance(source, (str, os.PathLike)):
        return otherwise
    path = Path(source)
    return path.name.split(".")[0] or path.name if path.exists() else os.fspath(source)


def _paths(source: Any) -> list[Any]:
    """Returns the paths of a list of paths, or the source itself as a list of one."""
    listed = isinstance(source, Sequence) and not isinstance(source, str)
    several = listed and len(source) > 0 and all(isinstance(path, (str, os.PathLike)) for path in source)
    return list(source) if several else [source]
