"""The likelihood of texts under a model, in nats per document so that documents can be paired before and after."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from holdfast.core.errors import HoldfastError
from holdfast.core.head import Head
from holdfast.core.mix import Example
from holdfast.core.teacher import evaluating
from holdfast.probes.batching import in_fitting_batches, tokens_of

CHUNK_LOGITS = 2**24
"""Most logits in memory at once (64 MiB in float32), if the head can compute them in pieces (see `Head`)."""


@dataclasses.dataclass(frozen=True)
class DocumentScore:
    """The likelihood of one document.

    Attributes:
        origin: The origin of its examples.
        nats: Sum of the negative log-likelihood over the document's supervised tokens, in nats.
        tokens: Number of supervised tokens.
    """

    origin: str
    nats: float
    tokens: int


@dataclasses.dataclass(frozen=True)
class Window:
    """A stretch of tokens that is read on its own, with the number of its document."""

    input_ids: Sequence[int]
    labels: Sequence[int]
    document: int


def document_nll(
    model: nn.Module,
    examples: Sequence[Example],
    *,
    batch_tokens: int | None = None,
    pad_id: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[DocumentScore]:
    """Returns the negative log-likelihood of each document under a causal language model.

        nats_i = -sum_t log p(label_{i,t+1} | tokens_{i,<=t}),   over the t at which label_{i,t+1} is supervised

    Examples of the same `origin` (the windows of a long text) form one document; an example without an origin is a
    document; documents packed into one row are read separately. Windows are batched by length and padded on the right.
    The order depends on the lengths alone, so two models read identical batches.

    The model computes in its own precision; the log-likelihood is computed in float32 (float64 for logits in float64)
    and summed in float64. Logits are computed for supervised positions alone, in pieces (see `Head`). A batch that does
    not fit into memory is split. The model is unchanged afterwards: the mode of every module, gradients, torch's random
    state and the configuration.

    Args:
        model: A causal language model whose output has `logits` `[B, T, V]`, plain or wrapped by PEFT.
        examples: Examples to score, with unshifted `labels` that are -100 where nothing is supervised.
        batch_tokens: Most tokens of a batch, padding included (usually 8192 if absent, see `tokens_of`); a longer
            window has its own batch.
        pad_id: Token id of the padding, which the model does not attend to; any id will do.
        progress: Called with the number of windows done and their total after each batch.

    Returns:
        One score per document, in the order of their first examples; documents without a supervised token are left out.

    Raises:
        HoldfastError: The likelihood of a document is not finite; names the document.
        ValueError: `batch_tokens` is not positive.
    """
    return nll_of_groups(model, [examples], batch_tokens=batch_tokens, pad_id=pad_id, progress=progress)[0]


def nll_of_groups(
    model: nn.Module,
    groups: Sequence[Sequence[Example]],
    *,
    batch_tokens: int | None = None,
    pad_id: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[list[DocumentScore]]:
    """Returns the scores of several groups of documents as `document_nll` does, read in batches of all groups.

    Examples of the same origin form one document only within their group.

    Raises:
        HoldfastError: The likelihood of a document is not finite; names the document.
        ValueError: `batch_tokens` is not positive.
    """
    if not any(groups):
        return [[] for _ in groups]
    batch_tokens = tokens_of(model, batch_tokens)
    device = next(model.parameters()).device
    with evaluating(model), torch.random.fork_rng([device] if device.type == "cuda" else []):
        head = Head(model)
        found = _by_group(model, groups, lambda batch: _score(head, batch, pad_id, device), batch_tokens, progress)
    for scores in found:
        for number, score in enumerate(scores):
            if not math.isfinite(score.nats):
                raise HoldfastError(
                    f"The model gives {score.origin or f'document {number}'} a likelihood of {score.nats} nats: its "
                    "weights are broken or overflow in this precision; try float32, or a lower learning rate if it "
                    "was just trained."
                )
    return found


def by_document(
    model: nn.Module,
    examples: Sequence[Example],
    score: Callable[[Sequence[Window]], list[tuple[float, int]]],
    batch_tokens: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[DocumentScore]:
    """Returns for each document the sums of nats and of supervised tokens that `score` gives for its windows."""
    return _by_group(model, [examples], score, batch_tokens, progress)[0]


def _by_group(
    model: nn.Module,
    groups: Sequence[Sequence[Example]],
    score: Callable[[Sequence[Window]], list[tuple[float, int]]],
    batch_tokens: int,
    progress: Callable[[int, int], None] | None,
) -> list[list[DocumentScore]]:
    """Returns the sums of `by_document` for each group."""
    origins: list[str] = []
    windows: list[Window] = []
    bounds = []
    for examples in groups:
        own_origins, own_windows = windows_of(examples, len(origins))
        bounds.append(slice(len(origins), len(origins) + len(own_origins)))
        origins += own_origins
        windows += own_windows
    nats, tokens = [0.0] * len(origins), [0] * len(origins)
    done = 0
    for batch, costs in in_fitting_batches(model, windows, batches, size_of, score, batch_tokens):
        for window, (cost, count) in zip(batch, costs, strict=True):
            nats[window.document] += cost
            tokens[window.document] += count
        done += len(batch)
        if progress is not None:
            progress(done, len(windows))
    scores = [DocumentScore(*score) for score in zip(origins, nats, tokens, strict=True)]
    return [[score for score in scores[bound] if score.tokens] for bound in bounds]


def bits_per_byte(nats: float, n_bytes: int) -> float:
    """Returns `nats / (n_bytes ln 2)`, the mean cost of a byte of text in bits, comparable across tokenizers.

    Args:
        nats: Negative log-likelihood of the whole text, in nats.
        n_bytes: Its length in UTF-8 bytes.

    Raises:
        ValueError: `n_bytes` is not positive.
    """
    if n_bytes < 1:
        raise ValueError(f"n_bytes {n_bytes}: give the length of the text, at least 1")
    return nats / (n_bytes * math.log(2))


def windows_of(examples: Sequence[Example], first: int = 0) -> tuple[list[str], list[Window]]:
    """Returns the documents' origins and the windows with a supervised token, documents numbered from `first`."""
    origins: list[str] = []
    numbers: dict[str, int] = {}
    windows = []
    for example in examples:
        start = 0
        for length in example.lengths or (len(example.input_ids),):
            stretch = slice(start, start + length)
            start += length
            number = numbers.setdefault(example.origin, len(origins)) if example.origin else len(origins)
            if number == len(origins):
                origins.append(example.origin)
            window = Window(example.input_ids[stretch], example.labels[stretch], first + number)
            if any(label != -100 for label in window.labels[1:]):
                windows.append(window)
    return origins, windows


def batches(windows: Sequence[Window], batch_tokens: int) -> Iterator[list[Window]]:
    """Yields batches from the longest window to the shortest, as many as fit with padding."""
    batch: list[Window] = []
    for window in sorted(windows, key=lambda window: -len(window.input_ids)):
        if batch and (len(batch) + 1) * len(batch[0].input_ids) > batch_tokens:
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


def size_of(batch: Sequence[Window]) -> int:
    """Returns the number of tokens of a batch, padding included."""
    return len(batch) * max(len(window.input_ids) for window in batch)


def padded(batch: Sequence[Window], pad_id: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the tokens, labels and attention mask of a batch, longest first, `[B, T]` int64, padded on the right."""
    shape = len(batch), len(batch[0].input_ids)
    input_ids_BT = torch.full(shape, pad_id)
    labels_BT = torch.full(shape, -100)
    mask_BT = torch.zeros(shape, dtype=torch.long)
    for row, window in enumerate(batch):
        length = len(window.input_ids)
        input_ids_BT[row, :length] = torch.as_tensor(window.input_ids)
        labels_BT[row, :length] = torch.as_tensor(window.labels)
        mask_BT[row, :length] = 1
    return input_ids_BT, labels_BT, mask_BT


def features_of(head: Head, row_N: Tensor, position_N: Tensor, input_ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Returns the input of the head at some positions of a batch of `padded` (row and index of each), `[N, X]`."""
    device = next(head.model.parameters()).device
    features_NX, _ = head.read(
        row_N,
        position_N,
        width=input_ids_BT.shape[1],
        input_ids=input_ids_BT.to(device),
        attention_mask=mask_BT.to(device),
        use_cache=False,
    )
    return features_NX.detach()


def _score(head: Head, batch: Sequence[Window], pad_id: int, device: torch.device) -> list[tuple[float, int]]:
    """Returns nats and number of supervised tokens of each window of a batch, longest first."""
    input_ids_BT, labels_BT, mask_BT = padded(batch, pad_id)
    options = {"input_ids": input_ids_BT.to(device), "attention_mask": mask_BT.to(device), "use_cache": False}
    nats_B, count_B, _ = row_nll(head, labels_BT[:, 1:], input_ids_BT.shape[1], **options)
    return list(zip(nats_B.tolist(), count_B.tolist(), strict=True))


def row_nll(head: Head, next_BT: Tensor, width: int, **inputs: Any) -> tuple[Tensor, Tensor, Any]:
    """Returns nats and number of supervised tokens of each row, `[B]` float64 and int64, on the CPU; and the output.

    Args:
        head: The head of the model.
        next_BT: The label that each position predicts, `[B, T]` on the CPU, -100 where nothing is supervised.
        width: Number of positions of a row, at least that of `next_BT`, whose positions are the first ones.
        inputs: Arguments of the model.
    """
    row_N, position_N = (next_BT != -100).nonzero(as_tuple=True)
    features_NX, output = head.read(row_N, position_N, width=width, **inputs)
    nats_N = label_nll(head, features_NX, next_BT[row_N, position_N])
    nats_B = torch.zeros(len(next_BT), dtype=torch.float64).index_add_(0, row_N, nats_N)
    return nats_B, torch.bincount(row_N, minlength=len(next_BT)), output


def label_nll(head: Head, features_NX: Tensor, label_N: Tensor) -> Tensor:
    """Returns -log p of each label in nats, `[N]` float64 on the CPU, computing the logits in pieces."""
    pieces = [torch.zeros(0, dtype=torch.float64)]
    for rows in pieces_of(head, len(label_N)):
        logits_CV = head.logits(features_NX[rows])
        wide = torch.promote_types(logits_CV.dtype, torch.float32)
        label_C = label_N[rows].to(logits_CV.device)
        pieces.append(F.cross_entropy(logits_CV.to(wide), label_C, reduction="none").cpu().double())
    return torch.cat(pieces)


def pieces_of(head: Head, count: int) -> list[slice]:
    """Returns the positions in pieces of at most `CHUNK_LOGITS` logits."""
    size = max(1, CHUNK_LOGITS // head.size)
    return [slice(start, start + size) for start in range(0, count, size)]
