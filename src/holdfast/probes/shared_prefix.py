"""The likelihood of texts with a shared prefix, which a model reads once."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.core.head import Head
from holdfast.core.mix import Example
from holdfast.core.teacher import evaluating
from holdfast.probes.batching import in_fitting_batches, tokens_of
from holdfast.probes.likelihood import DocumentScore, document_nll, label_nll, row_nll
from holdfast.probes.parts import LEAST, common, families, parameters_of, prefix_cache, reads_in_parts, repeats

WORTH = 0.2
"""Least share of a group's tokens that reading its prefix once must save; about half of it pays for the cache."""


@dataclasses.dataclass(frozen=True)
class _Group:
    """Examples with a shared prefix.

    Attributes:
        number: Index of the group.
        examples: The examples.
        stem: Length in tokens of the prefix, whose tokens and labels all share; shorter than every example.
    """

    number: int
    examples: Sequence[Example]
    stem: int

    @property
    def longest(self) -> int:
        """Most tokens of an example."""
        return max(len(example.input_ids) for example in self.examples)

    @property
    def saved(self) -> int:
        """Number of tokens that reading the prefix once saves; the last token of an example is never read."""
        return (len(self.examples) - 1) * self.stem + len(self.examples)

    @property
    def worth(self) -> bool:
        """Whether reading the prefix once saves enough."""
        several = len(self.examples) > 1 and self.stem > 0
        return several and self.saved >= WORTH * sum(len(example.input_ids) for example in self.examples)


def group_nll(
    model: nn.Module,
    groups: Sequence[Sequence[Example]],
    *,
    batch_tokens: int | None = None,
    pad_id: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[DocumentScore]:
    """Returns the negative log-likelihood of each example as `document_nll` does, up to rounding, in less time.

    The model reads the prefix of a group (its stem) once, and the cache of its keys and values is repeated for the
    examples, which continue from it. Prefixes are batched by length and padded on the left, the rest on the right.
    Precision, sums and the unchanged state of the model are those of `document_nll`, which scores the groups whose
    prefix saves too little (see `WORTH` and `LEAST`). It scores all groups if a row cannot be read in two parts: the
    model takes no cache or returns one with more than keys and values, has an adapter that acts on more than single
    tokens, or has position embeddings that depend on the length of the row (see `holdfast.probes.parts`).

    Args:
        model: A causal language model whose output has `logits` `[B, T, V]`, plain or wrapped by PEFT.
        groups: Examples of one document each, all with different origins.
        batch_tokens: Most tokens of a batch, padding included; a prefix counts once for each of its examples. Usually
            8192 if absent.
        pad_id: Token id of the padding, which the model does not attend to; any id will do.
        progress: Called with the number of examples done and their total after each batch.

    Returns:
        One score per example with a supervised token, in no particular order.

    Raises:
        HoldfastError: A likelihood is not finite; names the example.
        ValueError: `batch_tokens` is not positive.
    """
    batch_tokens = tokens_of(model, batch_tokens)
    total, done = sum(map(len, groups)), 0
    scores: list[DocumentScore] = []
    shared = set[int]()
    if reads_in_parts(model):
        device = next(model.parameters()).device
        with evaluating(model), torch.random.fork_rng([device] if device.type == "cuda" else []):
            head = Head(model)
            results = in_fitting_batches(
                model,
                _worth_it(groups),
                _worthy,
                _size_of,
                lambda batch: _scores(head, batch, pad_id, device),
                batch_tokens,
            )
            for batch, batch_scores in results:
                if batch_scores is None:
                    break
                # In float64, eager attention can turn a row of padding into NaN and spoil what attends to it.
                if _are_finite(batch_scores):
                    scores += batch_scores
                    shared.update(group.number for group in batch)
                    done += sum(len(group.examples) for group in batch)
                    if progress is not None:
                        progress(done, total)
    rest = [example for number, group in enumerate(groups) if number not in shared for example in group]
    later = None if progress is None else lambda now, _: progress(done + now, total)
    return scores + document_nll(model, rest, batch_tokens=batch_tokens, pad_id=pad_id, progress=later)


def _worth_it(groups: Sequence[Sequence[Example]]) -> list[_Group]:
    candidates = (_Group(number, group, _stem(group)) for number, group in enumerate(groups))
    return [group for group in candidates if group.worth]


def _are_finite(scores: Sequence[DocumentScore]) -> bool:
    return all(math.isfinite(score.nats) for score in scores)


def _worthy(groups: Sequence[_Group], batch_tokens: int) -> Iterator[list[_Group]]:
    """Yields the batches that save enough, those of groups that begin with the same tokens together."""
    for numbers in families([group.examples[0].input_ids[: group.stem] for group in groups]):
        for batch in _batches([groups[number] for number in numbers], batch_tokens):
            if sum(group.saved for group in batch) >= LEAST:
                yield batch


def _batches(groups: Sequence[_Group], batch_tokens: int) -> Iterator[list[_Group]]:
    """Yields batches from the longest prefix to the shortest, as many groups as fit."""
    batch: list[_Group] = []
    for group in sorted(groups, key=lambda group: (-group.stem, -group.longest)):
        grown = [*batch, group]
        if batch and _size_of(grown) > batch_tokens:
            yield batch
            grown = [group]
        batch = grown
    if batch:
        yield batch


def _size_of(batch: Sequence[_Group]) -> int:
    """Returns the number of tokens of a batch, longest prefix first, padding included."""
    width = batch[0].stem + max(group.longest - group.stem for group in batch)
    return width * sum(len(group.examples) for group in batch)


def _stem(group: Sequence[Example]) -> int:
    """Returns the length of the shared prefix of tokens and labels, less than the length of the shortest example."""
    columns = zip(*(zip(example.input_ids, example.labels, strict=True) for example in group), strict=False)
    alike = sum(1 for _ in itertools.takewhile(lambda column: len(set(column)) == 1, columns))
    return min(alike, *(len(example.input_ids) - 1 for example in group))


def _scores(head: Head, batch: Sequence[_Group], pad_id: int, device: torch.device) -> list[DocumentScore] | None:
    """Returns the scores of a batch, longest prefix first; None if the model's cache cannot be used."""
    takes = parameters_of(head.model)
    start, shared = _start(head, batch)
    stems = [group.examples[0].input_ids[shared : group.stem] for group in batch]
    width = len(stems[0])
    # Labels within the prefix count for each of its examples; its last position predicts a different token for each.
    labels = [group.examples[0].labels[shared + 1 : group.stem] for group in batch]
    next_BT = _aligned(labels, -100, right=True, width=width - 1)
    row_N, position_N = (next_BT != -100).nonzero(as_tuple=True)
    kept = width - int(position_N.min()) if len(position_N) else 1
    # Router logits would be balanced over cached positions that a call does not compute. `logits_to_keep` matters for a
    # head that does more than project: its cost grows with the number of positions.
    wanted = {"output_router_logits": False, "logits_to_keep": kept}
    options: dict[str, Any] = {name: value for name, value in wanted.items() if name in takes}
    skipped = width - options.get("logits_to_keep", width)
    rows_B = torch.arange(len(batch))
    mask_BT = _aligned([[1] * len(stem) for stem in stems], 0, right=True).to(device)
    mask_BT = torch.cat([mask_BT.new_ones(len(batch), shared), mask_BT], 1)
    options |= {} if start is None else {"past_key_values": start}
    features_NX, output = head.read(
        torch.cat([row_N, rows_B]),
        torch.cat([position_N, torch.full_like(rows_B, width - 1)]) - skipped,
        width=width - skipped,
        input_ids=_aligned(stems, pad_id, right=True).to(device),
        attention_mask=mask_BT,
        position_ids=(mask_BT.cumsum(1) - 1).clamp(min=0)[:, shared:],
        use_cache=True,
        **options,
    )
    options.pop("past_key_values", None)
    cache = output.past_key_values
    if not repeats(cache):
        return None
    inside_N = label_nll(head, features_NX[: len(row_N)], next_BT[row_N, position_N])
    nats_B = torch.zeros(len(batch), dtype=torch.float64).index_add_(0, row_N, inside_N)
    count_B = torch.bincount(row_N, minlength=len(batch))
    rows = [(place, example.labels[group.stem :]) for place, group in enumerate(batch) for example in group.examples]
    of_R = torch.tensor([place for place, _ in rows])
    next_R = torch.tensor([labels[0] for _, labels in rows])
    told_R = next_R != -100
    first_R = torch.zeros(len(rows), dtype=torch.float64)
    last_BX = features_NX[len(row_N) :]
    first_R[told_R] = label_nll(head, last_BX[of_R[told_R].to(last_BX.device)], next_R[told_R])
    nats_R, count_R = first_R + nats_B[of_R], told_R.long() + count_B[of_R]
    cache.reorder_cache(of_R.to(device))
    options.pop("logits_to_keep", None)
    labels_RT = _aligned([labels[1:] for _, labels in rows], -100)
    own_R, own_count_R = _tails(head, batch, labels_RT, mask_BT[of_R.to(device)], cache, pad_id, options)
    return _scored(batch, nats_R + own_R, count_R + own_count_R)


def _start(head: Head, batch: Sequence[_Group]) -> tuple[Any, int]:
    """Returns a cache of the tokens with which all prefixes of a batch begin, and their number.

    They have no label. Both are None and 0 if the tokens save too little, or if the model cannot go on from them.
    """
    examples = [group.examples[0] for group in batch]
    shared = common([example.input_ids[: group.stem] for example, group in zip(examples, batch, strict=True)])
    unlabelled = [itertools.takewhile(lambda label: label == -100, example.labels[1:]) for example in examples]
    shared = min(shared, *(sum(1 for _ in labels) for labels in unlabelled))
    if shared * (len(batch) - 1) < max(LEAST, 1):
        return None, 0
    width = batch[0].stem + max(group.longest - group.stem for group in batch)
    last = 0 if "logits_to_keep" in parameters_of(head.model) else shared - 1

    def read(**inputs: Any) -> Any:
        # Through the head, whose first call finds its kind and may run the model twice, which a cache would not bear.
        return head.read(torch.tensor([0]), torch.tensor([last]), width=last + 1, **inputs)[1]

    cache = prefix_cache(head.model, examples[0].input_ids[:shared], len(batch), width, read)
    return cache, 0 if cache is None else shared


def _tails(
    head: Head,
    batch: Sequence[_Group],
    labels_RT: Tensor,
    stem_mask_RT: Tensor,
    cache: Any,
    pad_id: int,
    options: Mapping[str, Any],
) -> tuple[Tensor, Tensor]:
    """Returns the nats and the number of supervised tokens, `[R]` each, of the tokens behind the prefixes."""
    device = stem_mask_RT.device
    if not labels_RT.shape[1]:  # every example ends with the token that its prefix predicts
        return torch.zeros(len(labels_RT), dtype=torch.float64), torch.zeros(len(labels_RT), dtype=torch.long)
    tails = [example.input_ids[group.stem : -1] for group in batch for example in group.examples]
    tail_mask_RT = _aligned([[1] * len(tail) for tail in tails], 0).to(device)
    mask_RT = torch.cat([stem_mask_RT, tail_mask_RT], 1)
    nats_R, count_R, _ = row_nll(
        head,
        labels_RT,
        tail_mask_RT.shape[1],
        input_ids=_aligned(tails, pad_id).to(device),
        attention_mask=mask_RT,
        position_ids=(mask_RT.cumsum(1) - 1)[:, stem_mask_RT.shape[1] :],
        past_key_values=cache,
        use_cache=True,
        **options,
    )
    return nats_R, count_R


def _scored(batch: Sequence[_Group], nats_R: Tensor, count_R: Tensor) -> list[DocumentScore]:
    """Returns the scores of a batch, without examples that have no supervised token."""
    origins = [example.origin for group in batch for example in group.examples]
    scores = zip(origins, nats_R.tolist(), count_R.tolist(), strict=True)
    return [DocumentScore(origin, nats, count) for origin, nats, count in scores if count]


def _aligned(rows: Sequence[Sequence[int]], fill: int, *, right: bool = False, width: int | None = None) -> Tensor:
    """Returns rows of integers as one tensor, `[B, T]` int64, aligned on the left or on the right."""
    width = max(map(len, rows)) if width is None else width
    rows_BT = torch.full((len(rows), width), fill)
    for row, values in enumerate(rows):
        start = width - len(values) if right else 0
        rows_BT[row, start : start + len(values)] = torch.as_tensor(values, dtype=torch.long)
    return rows_BT
