"""Continues prompts token by token: each pass adds a token to every row, and new rows take the place of ended ones."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from holdfast.core.errors import HoldfastError
from holdfast.probes.cache_rows import cut, joined, repeated
from holdfast.probes.parts import (
    LEAST,
    common,
    families,
    learns_prompts,
    parameters_of,
    prefix_cache,
    reads_in_parts,
    repeats,
)
from holdfast.probes.sampling import Sampling, drawn, source_of
from holdfast.probes.stops import Reader

FULL = 0.75
"""Share of the rows of a batch that must still be in progress, or new prompts join it. Each joining is one more call of
the model, which a larger share would make for fewer prompts."""
PADDING = 256
"""Most tokens of padding in a call that reads prompts; another call costs less than more of it."""


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A prompt as token ids, with the most tokens that may follow it and the key of its random numbers."""

    number: int
    name: str
    ids: Sequence[int]
    limit: int
    key: Hashable
    reader: Reader | None = None


@dataclasses.dataclass
class _Rows:
    """Rows in progress; their last tokens stand in the last column.

    Attributes:
        prompts: The prompt of each row.
        answers: Tokens of the answer of each row so far.
        sources: Random generator of each row; empty for greedy answers.
        ids_BT: Token ids, prompts and answers, `[B, T]` int64.
        mask_BT: 0 for padding, `[B, T]` int64.
        cache: Keys and values of the first columns; None before the first call, or for a model without a cache.
        seen: Number of columns in the cache.
    """

    prompts: list[Prompt]
    answers: list[list[int]]
    sources: list[torch.Generator]
    ids_BT: Tensor
    mask_BT: Tensor
    cache: Any = None
    seen: int = 0

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.ids_BT.shape[1]

    @property
    def left(self) -> list[int]:
        """Most tokens that may still follow in each row."""
        return [prompt.limit - len(answer) for prompt, answer in zip(self.prompts, self.answers, strict=True)]

    def keep(self, kept: Sequence[int]) -> None:
        """Drops all rows but some, which would cost as much as the others."""
        kept_B = torch.tensor(kept, device=self.ids_BT.device)
        self.prompts, self.answers = [self.prompts[row] for row in kept], [self.answers[row] for row in kept]
        self.sources = [self.sources[row] for row in kept] if self.sources else []
        self.ids_BT, self.mask_BT = self.ids_BT[kept_B], self.mask_BT[kept_B]
        if self.cache is not None:
            self.cache.reorder_cache(kept_B)

    def trim(self) -> None:
        """Drops columns on the left in which all rows have padding."""
        first = int(self.mask_BT.any(0).long().argmax())
        if first:
            self.ids_BT, self.mask_BT, self.seen = self.ids_BT[:, first:], self.mask_BT[:, first:], self.seen - first
            cut(self.cache, first)

    def join(self, other: _Rows, pad_id: int) -> None:
        """Adds the rows of another batch below its own."""
        self.prompts, self.answers = self.prompts + other.prompts, self.answers + other.answers
        self.sources = self.sources + other.sources
        width = max(self.width, other.width)
        self.ids_BT = torch.cat([_widened(one.ids_BT, width, pad_id) for one in (self, other)])
        self.mask_BT = torch.cat([_widened(one.mask_BT, width, 0) for one in (self, other)])
        self.cache, self.seen = joined(self.cache, other.cache), max(self.seen, other.seen)


@dataclasses.dataclass
class _Family:
    """Prompts that wait, the largest first, with the cache of the tokens with which all of them begin, once read."""

    prompts: collections.deque[Prompt]
    begun: bool = False
    shared: int = 0
    cache: Any = None


class Writer:
    """Continues prompts in batches of a bounded number of tokens, refilled as their rows end.

    A batch is refilled if the model can read a row in parts and keeps nothing of it but keys and values; otherwise the
    next batch begins when all its rows have ended. New rows are read in calls of about one length. The model reads
    tokens with which many prompts begin (a system prompt, worked examples) once.

    Attributes:
        going: The rows in progress.
        coming: New rows, before they join those in progress.
    """

    def __init__(
        self,
        model: nn.Module,
        pad_id: int,
        ends: Collection[int],
        sampling: Sampling,
        most: tuple[int, int],
        over: Callable[[Prompt, list[int]], None],
    ) -> None:
        """Makes a writer.

        Args:
            model: A causal language model, in eval mode.
            pad_id: Token id of the padding.
            ends: Tokens that end a continuation, which does not contain them.
            sampling: How the next token is chosen.
            most: Most tokens of a batch, with padding and room for all answers, and most rows of it. A longer prompt
                has its own batch.
            over: Called with each prompt that has ended, and its continuation as token ids.
        """
        self.model, self.pad_id, self.ends, self.sampling, self.over = model, pad_id, ends, sampling, over
        self.most, self.most_rows = most
        self.cached = not learns_prompts(model)
        self.takes = parameters_of(model) if self.cached else frozenset[str]()
        self.in_parts = reads_in_parts(model)
        self.device = next(model.parameters()).device
        self.going: _Rows | None = None
        self.coming: _Rows | None = None

    def write(self, prompts: Sequence[Prompt]) -> None:
        """Continues prompts until all have ended.

        Raises:
            HoldfastError: The logits are not finite; names a prompt.
        """
        waiting = collections.deque(self._families(prompts))
        full, filling = 0, False
        while waiting or self.going:
            if not waiting or not (filling or self._takes_more(full)):
                self._step()
                continue
            if taken := self._taken(waiting[0]):
                self._begin(waiting[0], taken)
            if not waiting[0].prompts:
                waiting.popleft()
            full, filling = len(self.going.prompts) if self.going else 0, bool(taken) and self.in_parts

    def in_flight(self) -> tuple[int, int]:
        """Returns the number of tokens of all rows in progress, with room for their answers, and the number of rows."""
        rows = [rows for rows in (self.going, self.coming) if rows is not None]
        left = [most for each in rows for most in each.left]
        return size_of(max(each.width for each in rows), left), len(left)

    def _families(self, prompts: Sequence[Prompt]) -> list[_Family]:
        """Returns prompts in families, the largest prompt first."""
        made = []
        for numbers in families([prompt.ids for prompt in prompts]) if self.in_parts else [range(len(prompts))]:
            own = sorted((prompts[number] for number in numbers), key=lambda prompt: -len(prompt.ids) - prompt.limit)
            made.append(_Family(collections.deque(own)))
        return sorted(made, key=lambda family: -len(family.prompts[0].ids) - family.prompts[0].limit)

    def _takes_more(self, full: int) -> bool:
        """Returns whether new prompts may join, or begin a batch.

        Args:
            full: Number of rows in progress when prompts joined last.
        """
        return self.going is None or (self.in_parts and len(self.going.prompts) <= FULL * full)

    def _taken(self, family: _Family) -> list[Prompt]:
        """Takes the next prompts of a family, as many of about one length as fit beside the rows in progress."""
        taken: list[Prompt] = []
        width, left = (0, []) if self.going is None else (self.going.width, self.going.left)
        while family.prompts and len(left) < self.most_rows:
            prompt = family.prompts[0]
            width, left = max(width, len(prompt.ids)), [*left, prompt.limit]
            if len(left) > 1 and size_of(width, left) > self.most:
                break
            lengths = [len(one.ids) for one in [*taken, prompt]]
            if self.in_parts and len(lengths) * max(lengths) - sum(lengths) > PADDING:
                break
            taken.append(family.prompts.popleft())
        return taken

    def _begin(self, family: _Family, taken: list[Prompt]) -> None:
        """Reads prompts of a family, and joins their rows to those in progress."""
        self.coming = self._rows(taken, 0)
        if not family.begun:
            # For all of the family, so that prompts that join later find it.
            family.cache, family.shared = self._prefix([*taken, *family.prompts])
            family.begun = True
        if family.cache is not None:
            self.coming = self._rows(taken, family.shared)
            self.coming.cache, self.coming.seen = repeated(family.cache, len(taken)), family.shared
        new, self.coming = self._continued(self.coming), None
        if new is not None and (new.cache is None or not repeats(new.cache)):
            self.in_parts = False  # its rows can join no others
        if self.going is None:
            self.going = new
        elif new is not None:
            self.going.join(new, self.pad_id)

    def _rows(self, prompts: list[Prompt], shared: int) -> _Rows:
        """Returns new rows, padded behind the tokens that they share."""
        ids_BT, mask_BT = (tensor.to(self.device) for tensor in _padded(prompts, self.pad_id, shared))
        sampled = self.sampling.temperature > 0
        sources = [source_of(self.sampling.seed, prompt.key) for prompt in prompts] if sampled else []
        return _Rows(prompts, [[] for _ in prompts], sources, ids_BT, mask_BT)

    def _step(self) -> None:
        """Adds a token to the rows in progress."""
        if self.going is not None:
            self.going = self._continued(self.going)

    def _continued(self, rows: _Rows) -> _Rows | None:
        """Returns rows with another token each, without those that end; None if all end."""
        options = _options(self.takes)
        if "position_ids" in self.takes:
            options["position_ids"] = (rows.mask_BT.cumsum(1) - 1).clamp(min=0)[:, rows.seen :]
        output: Any = self.model(
            input_ids=rows.ids_BT[:, rows.seen :],
            attention_mask=rows.mask_BT,
            past_key_values=rows.cache,
            use_cache=self.cached,
            **options,
        )
        next_B = _greedy(output.logits[:, -1], rows.prompts[0].name)
        if self.sampling.temperature > 0:
            next_B = drawn(output.logits[:, -1], self.sampling, rows.sources)
        rows.cache = output.past_key_values if self.cached else None
        rows.seen = 0 if rows.cache is None else rows.width
        rows.ids_BT = torch.cat([rows.ids_BT, next_B[:, None]], 1)
        rows.mask_BT = torch.cat([rows.mask_BT, rows.mask_BT.new_ones(len(next_B), 1)], 1)
        kept = [row for row, token in enumerate(next_B.tolist()) if self._goes_on(rows, row, token)]
        if not kept:
            return None
        if len(kept) < len(rows.prompts):
            rows.keep(kept)
            if self.in_parts and rows.cache is not None and repeats(rows.cache):
                rows.trim()
        return rows

    def _goes_on(self, rows: _Rows, row: int, token: int) -> bool:
        """Adds a token to an answer unless it ends the answer, and returns whether another token follows."""
        prompt, answer = rows.prompts[row], rows.answers[row]
        if token not in self.ends:
            answer.append(token)
            if len(answer) < prompt.limit and not (prompt.reader is not None and prompt.reader.ended(answer)):
                return True
        self.over(prompt, answer)
        return False

    def _prefix(self, prompts: Sequence[Prompt]) -> tuple[Any, int]:
        """Returns a cache of the tokens with which all prompts begin, and their number.

        They are None and 0 if the tokens save too little, or if the model cannot go on from them.
        """
        shared = common([prompt.ids for prompt in prompts])
        if shared * (len(prompts) - 1) < max(LEAST, 1) or not self.in_parts:
            return None, 0
        width = max(len(prompt.ids) for prompt in prompts) + max(prompt.limit for prompt in prompts)
        cache = prefix_cache(self.model, prompts[0].ids[:shared], 1, width)
        return cache, 0 if cache is None else shared


def size_of(width: int, left: Sequence[int]) -> int:
    """Returns the most tokens that rows of `width` tokens can have together, if up to `left` follow in each.

    Rows leave when they end, so that the longest answers stand alone at last.
    """
    return max(count * (width + most) for count, most in enumerate(sorted(left, reverse=True), 1))


def _padded(batch: Sequence[Prompt], pad_id: int, shared: int) -> tuple[Tensor, Tensor]:
    """Returns the token ids of prompts and the attention mask, `[B, T]` each.

    Prompts are padded on the left, but behind the tokens that they share.
    """
    width = max(len(prompt.ids) for prompt in batch)
    ids_BT = torch.full((len(batch), width), pad_id)
    mask_BT = torch.zeros_like(ids_BT)
    for row, prompt in enumerate(batch):
        start = width - len(prompt.ids) + shared
        for place, ids in ((0, prompt.ids[:shared]), (start, prompt.ids[shared:])):
            ids_BT[row, place : place + len(ids)] = torch.as_tensor(ids, dtype=torch.long)
            mask_BT[row, place : place + len(ids)] = 1
    return ids_BT, mask_BT


def _widened(rows_BT: Tensor, width: int, fill: int) -> Tensor:
    """Returns rows with columns of `fill` on the left."""
    return F.pad(rows_BT, (width - rows_BT.shape[1], 0), value=fill)


def _options(takes: Collection[str]) -> dict[str, Any]:
    """Returns those optional arguments that the model accepts."""
    # Router logits would be balanced over cached positions that this call does not compute.
    wanted = {"logits_to_keep": 1, "output_router_logits": False}
    return {name: value for name, value in wanted.items() if name in takes}


def _greedy(logits_BV: Tensor, name: str) -> Tensor:
    """Returns the likeliest token of each row, `[B]`, the first if there are several.

    Raises:
        HoldfastError: A logit is not finite; names the first row.
    """
    top_B, next_B = logits_BV.max(-1)
    if not bool(top_B.isfinite().all()):
        raise HoldfastError(
            f"The model's logits behind {name} or a conversation beside it are not finite: its weights are broken or "
            "overflow in this precision; try float32, or a lower learning rate if it was just trained."
        )
    return next_B
