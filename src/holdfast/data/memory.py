"""Memories: old examples that are trained on beside the new ones, so that what they hold is not forgotten."""

from __future__ import annotations

import dataclasses
import logging
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example, Mix
from holdfast.data.examples import Source, read
from holdfast.data.notes import Notes
from holdfast.data.preference import Preference
from holdfast.data.tokenize import tokenize

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Memory:
    """One source of old examples.

    Attributes:
        name: What it is called in logs.
        examples: Its examples, at least one with something to learn.
        share: Its share of the supervised tokens of all memories loaded with it, in (0, 1].
        notes: What happened to its rows.
    """

    name: str
    examples: tuple[Example, ...]
    share: float
    notes: Notes


def load_memory(
    source: Source | Sequence[str | os.PathLike[str]],
    tokenizer: Tokenizer,
    *,
    max_length: int,
    raw: bool = False,
    refused: Literal["error", "drop"] = "error",
    preference: Preference = "refuse",
) -> list[Example]:
    """Returns the examples of one memory: conversations learned on their completions, documents in full.

    What is left out or cut on the way is logged as a warning.

    Args:
        source: As for `read`; several paths or hub ids are read one after the other. Where each of them is to have
            its own share of the tokens, use `load_memories`.
        tokenizer: A Hugging Face tokenizer.
        max_length: Most tokens of an example.
        raw: Whether to leave the chat template unused.
        refused: Whether conversations that the chat template cannot write are an error or are left out.
        preference: As for `read`.

    Raises:
        HoldfastError: If the source is not found, malformed, or holds nothing to learn.
    """
    name = _name(source, "memory")
    paths = _paths(source)
    rows = [row for path in paths for row in read(path, preference=preference)]
    prepared = tokenize(rows, tokenizer, max_length=max_length, raw=raw, refused=refused)
    for sentence in prepared.notes.sentences():
        _log.warning("%s: %s", name, sentence)
    if not any(example.supervised for example in prepared.examples):
        raise HoldfastError(f"{name}: holds nothing to learn; give rows with completions or text.")
    return prepared.examples


def load_memories(
    sources: Mapping[str, Source] | Sequence[str | os.PathLike[str]],
    tokenizer: Tokenizer,
    *,
    max_length: int,
    raw: bool = False,
    weights: Sequence[float] | None = None,
) -> list[Memory]:
    """Returns several memories with their shares, to be added to a mix by `add_memories`.

    Each source stays a memory of its own, so that `batches.order` keeps its share by error diffusion: no example is
    thrown away or copied in advance, and no share is off by more than a few examples at any moment.

    Args:
        sources: Names and sources, or paths and hub ids, which are named after their files.
        tokenizer: A Hugging Face tokenizer.
        max_length: Most tokens of an example.
        raw: Whether to leave the chat template unused.
        weights: Supervised tokens of each source in proportion to the others, above 0; by default as many as it
            holds, as if all were one.

    Raises:
        HoldfastError: If a source is not found, malformed, or holds nothing to learn, or for weights that do not fit.
    """
    named = dict(sources) if isinstance(sources, Mapping) else _by_name(sources)
    if not named:
        raise HoldfastError("no memory is named; give at least one source.")
    if weights is not None and len(weights) != len(named):
        raise HoldfastError(f"there are {len(named)} memories but {len(weights)} weights; give one weight for each.")
    for weight in weights or ():
        if not (weight > 0 and math.isfinite(weight)):
            raise HoldfastError(f"weights={list(weights or ())}: give numbers above 0 (in proportion to each other).")
    found = []
    for name, source in named.items():
        prepared = tokenize(read(source), tokenizer, max_length=max_length, raw=raw)
        if not prepared.notes.supervised_tokens:
            raise HoldfastError(f"{name}: holds nothing to learn; give rows with completions or text.")
        found.append((name, prepared))
    parts = weights or [prepared.notes.supervised_tokens for _, prepared in found]
    return [
        Memory(name, tuple(prepared.examples), part / sum(parts), prepared.notes)
        for (name, prepared), part in zip(found, parts, strict=True)
    ]


def add_memories(mix: Mix, memories: Sequence[Memory], ratio: float) -> Mix:
    """Returns the mix with these memories, which together have `ratio` of its supervised tokens.

    Raises:
        HoldfastError: If `ratio` is not above 0 and below 1.
    """
    if not 0 < ratio < 1:
        raise HoldfastError(f"ratio={ratio}: give a number above 0 and below 1 (of the supervised tokens).")
    for memory in memories:
        mix = mix.with_memory(memory.name, memory.examples, ratio * memory.share)
    return mix


def _by_name(sources: Sequence[str | os.PathLike[str]]) -> dict[str, Any]:
    """Returns the sources by the name of their file, or in full where two files have the same name."""
    short = [_name(source, str(source)) for source in sources]
    return {
        os.fspath(source) if short.count(name) > 1 else name: source
        for name, source in zip(short, sources, strict=True)
    }


def _name(source: Any, otherwise: str) -> str:
    if not isinstance(source, (str, os.PathLike)):
        return otherwise
    path = Path(source)
    return path.name.split(".")[0] or path.name if path.exists() else os.fspath(source)


def _paths(source: Any) -> list[Any]:
    """Returns the sources that a list of paths names, or the source itself."""
    listed = isinstance(source, Sequence) and not isinstance(source, str)
    several = listed and len(source) > 0 and all(isinstance(path, (str, os.PathLike)) for path in source)
    return list(source) if several else [source]
