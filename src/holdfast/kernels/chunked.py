"""A loss over many tokens, chunk by chunk, so that the logits of all tokens never exist at once.

Two sizes. A *block* is the tokens of one product with the head: reading the head's weights costs the same for one token
as for a hundred, so blocks are tall. A *chunk* is the tokens whose loss is computed at once, in float32: the loss needs
many buffers, so chunks are small enough to stay in a processor's caches. A block's logits keep the precision of the
product, and the gradients of its chunks overwrite the logits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import linear

CHUNK_ELEMENTS = {"cpu": 2**21, "cuda": 2**26}
"""Largest number of logits of a chunk, by kind of device. A float32 buffer of the loss then has 8 MiB on a processor,
which fits its caches, and 256 MiB on a GPU. Other devices take the larger number."""

BLOCK_ELEMENTS = {"cpu": 2**26, "cuda": 2**28}
"""Largest number of logits of a block: for a vocabulary of 262,144, 256 tokens on a processor and 1,024 on a GPU, where
arithmetic is faster relative to memory. In bfloat16 they take 128 MiB and 512 MiB."""

ChunkLoss = Callable[[slice, Tensor, Tensor], Tensor]
"""`(rows, features_CX, logits_CV) -> scalar`: the summed loss of the tokens in `rows`, with a graph to both tensors.
The logits are float32 (or float64, if they were); the caller reuses their memory after the call."""


Copies = dict[tuple[int, torch.Size, tuple[int, ...], torch.dtype], tuple[Tensor, int, Tensor]]
"""Weights by address, shape, strides and dtype of the copy: the weight, the count of its changes, and its copy."""
KEPT = 4
"""Copies of frozen weights that are kept: those of weight and bias of the model's head and of its base's."""


class Casts:
    """Copies of weights in the precision of autocast; it copies each weight at most once during its life.

    Copies of frozen weights can outlive it: a head of 262,144 words takes as long to round as its product with a
    hundred tokens does, and a step needs the copy anyway at the time when it holds most memory.
    """

    def __init__(self, frozen: Copies | None = None) -> None:
        """Takes the copies of frozen parameters that earlier ones made, and adds its own to them."""
        self._made: Copies = {}
        self._frozen: Copies = {} if frozen is None else frozen

    def __call__(self, tensor: Tensor) -> Tensor:
        """Returns `tensor`, detached, in the dtype of a product under the current autocast."""
        dtype = product_dtype(tensor)
        if tensor.dtype == dtype:
            return tensor.detach()
        key = (tensor.data_ptr(), tensor.shape, tensor.stride(), dtype)
        version = 0 if tensor.is_inference() else tensor._version  # counts changes in place
        there = self._frozen.get(key) or self._made.get(key)
        if there is None or not key[0] or there[1] != version:
            # The reference keeps the address unique: it holds the storage, also when a parameter is given another one.
            there = (tensor.detach(), version, self._copy(tensor.detach(), dtype))
        made = self._frozen if _stays(tensor) else self._made
        made[key] = there
        while len(self._frozen) > KEPT:
            del self._frozen[next(iter(self._frozen))]
        return there[2]

    def _copy(self, tensor: Tensor, dtype: torch.dtype) -> Tensor:
        return tensor.to(dtype)


def _stays(tensor: Tensor) -> bool:
    """Returns whether a tensor is a frozen parameter in one piece; sharded ones are whole for one forward alone."""
    return type(tensor) is torch.nn.Parameter and not tensor.requires_grad and not hasattr(tensor, "ds_id")


def product_dtype(tensor: Tensor) -> torch.dtype:
    """Returns the dtype in which a product computes with `tensor`: autocast's if it is on; float64 stays."""
    device = tensor.device.type
    if tensor.dtype == torch.float64 or not torch.is_autocast_enabled(device):
        return tensor.dtype
    return torch.get_autocast_dtype(device)


def sizes(tokens: int, vocabulary: int, device: torch.device, chunk: int | None = None) -> tuple[int, int]:
    """Returns the number of tokens of a chunk and of a block.

    A block is a multiple of a chunk, and all blocks have about the same size.
    """
    kind = device.type if device.type in CHUNK_ELEMENTS else "cuda"
    chunk = chunk or max(1, CHUNK_ELEMENTS[kind] // max(vocabulary, 1))
    most = max(1, BLOCK_ELEMENTS[kind] // max(vocabulary * chunk, 1))  # chunks in a block
    chunks = -(-tokens // chunk)
    blocks = max(1, -(-chunks // most))
    return chunk, chunk * max(1, -(-chunks // blocks))


class Logits:
    """Logits of a frozen head, without gradients; indexing by slices in order computes them block by block."""

    def __init__(
        self, features_NX: Tensor, head: tuple[Tensor, Tensor | None] | None, casts: Casts, chunk: int | None = None
    ) -> None:
        """Stores the arguments; it computes nothing.

        Args:
            features_NX: Hidden states `[N, D]` if there is a head, else the logits `[N, V]`.
            head: Weight `[V, D]` and bias `[V]` of the head; None if the features are logits.
            casts: Copies of the head's weights in the precision of the product.
            chunk: As in `chunked_loss`.
        """
        self.features_NX = features_NX
        self.head = head
        self._casts = casts
        self._chunk = chunk
        self._start = 0
        self._block_PV: Tensor | None = None

    @torch.no_grad()
    def __getitem__(self, rows: slice) -> Tensor:
        """Returns the logits of a chunk, `[C, V]`, float32 (or float64, if they are)."""
        if self.head is None:
            return wide(self.features_NX[rows])
        block_PV = self._block_PV
        if block_PV is None or rows.start < self._start or rows.stop > self._start + len(block_PV):
            block_PV = self._block_PV = None  # frees the memory before the next block is computed
            weight_VD, bias_V = self.head
            tokens = len(self.features_NX)
            _, block = sizes(tokens, weight_VD.shape[0], weight_VD.device, self._chunk)
            self._start = rows.start
            block_PV = self._block_PV = product(
                self.features_NX[rows.start : rows.start + max(block, rows.stop - rows.start)],
                self._casts(weight_VD),
                None if bias_V is None else self._casts(bias_V),
            )
        return wide(block_PV[rows.start - self._start : rows.stop - self._start])


def wide(logits: Tensor) -> Tensor:
    """Returns logits in float32; float64 stays."""
    return logits if logits.dtype == torch.float64 else logits.float()


def product(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Returns the logits of a block, in the precision of a product under the current autocast."""
    return linear(features.to(product_dtype(features)), weight, bias)


class _Chunked(Function):
    """Computes the gradient of each chunk right after its loss, and keeps only the summed gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        loss_of: ChunkLoss,
        chunk: int | None,
        casts: Casts,
        graph: bool,
        features_NX: Tensor,
        weight_VX: Tensor | None,
        bias_V: Tensor | None,
    ) -> Tensor:
        tensors = (features_NX, weight_VX, bias_V)
        wanted = [graph and t is not None and need for t, need in zip(tensors, ctx.needs_input_grad[4:], strict=True)]
        # The gradients stay in float32 (or wider) until the incoming gradient (a gradient scaler's factor) has
        # multiplied them: float16 would round small ones to 0. What float16 features cannot hold is lost anyway.
        sum_dtype = torch.float64 if features_NX.dtype == torch.float64 else torch.float32
        grads = [
            torch.zeros_like(t, dtype=sum_dtype) if t is not None and w else None
            for t, w in zip(tensors, wanted, strict=True)
        ]
        tokens = features_NX.shape[0]
        vocabulary = features_NX.shape[-1] if weight_VX is None else weight_VX.shape[0]
        chunk, block = sizes(tokens, vocabulary, features_NX.device, chunk)
        if weight_VX is None:
            losses = _losses_of_logits(loss_of, features_NX, chunk, wanted, grads)
        else:
            head = casts(weight_VX), None if bias_V is None else casts(bias_V)
            losses = _losses_through_head(loss_of, features_NX, head, (chunk, block), wanted, grads)
        total = features_NX.new_zeros((), dtype=sum_dtype)
        for loss in losses:
            total += loss
        ctx.save_for_backward(*grads)
        ctx.dtypes = [t.dtype if t is not None else None for t in tensors]
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        scaled = [
            None if grad is None else (grad * grad_outputs[0]).to(dtype)
            for grad, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        ]
        return None, None, None, None, *scaled


def _losses_of_logits(
    loss_of: ChunkLoss, logits_NV: Tensor, chunk: int, wanted: Sequence[bool], grads: Sequence[Tensor | None]
) -> Iterator[Tensor]:
    """Yields the loss of each chunk of given logits, and writes its gradient into `grads`."""
    for rows in slices(0, logits_NV.shape[0], chunk):
        loss, (grad_CV, _) = _chunk_loss(loss_of, rows, logits_NV[rows], None, wanted)
        if grads[0] is not None and grad_CV is not None:
            grads[0][rows] = grad_CV
        yield loss


def _losses_through_head(
    loss_of: ChunkLoss,
    features_NX: Tensor,
    head: tuple[Tensor, Tensor | None],
    sizes_of: tuple[int, int],
    wanted: Sequence[bool],
    grads: Sequence[Tensor | None],
) -> Iterator[Tensor]:
    """Yields the loss of each chunk, block by block through the head, and adds its gradients to `grads`.

    The gradient of a chunk's logits overwrites the logits, so a block needs no second buffer.
    """
    (weight, bias), (chunk, block) = head, sizes_of
    for rows in slices(0, features_NX.shape[0], block):
        part = features_NX[rows].detach()
        logits = product(part, weight, bias)
        touched = False
        for few in slices(rows.start, rows.stop, chunk):
            here = slice(few.start - rows.start, few.stop - rows.start)
            loss, (grad_CX, grad_CV) = _chunk_loss(loss_of, few, part[here], logits[here], wanted)
            if grad_CV is not None:
                touched = True
                logits[here] = grad_CV  # in the precision of the product, as autograd would pass it on
            elif any(wanted):
                logits[here] = 0.0
            if grads[0] is not None and grad_CX is not None:
                grads[0][few] += grad_CX
            yield loss
        if touched:
            _add_products(grads, rows, logits, part, weight)
        del logits  # frees the memory before the next block is computed


def slices(start: int, stop: int, size: int) -> Iterator[slice]:
    """Yields the slices of `size` rows, the last one of fewer, from `start` to `stop`."""
    return (slice(first, min(first + size, stop)) for first in range(start, stop, size))


def _chunk_loss(
    loss_of: ChunkLoss, rows: slice, features: Tensor, logits: Tensor | None, wanted: Sequence[bool]
) -> tuple[Tensor, tuple[Tensor | None, Tensor | None]]:
    """Returns the detached loss of a chunk, and its gradients to features and logits; None for each unwanted one.

    Without `logits`, the features are the logits.
    """
    with torch.enable_grad(), uncached(features.device.type):
        if logits is None:
            features = features.detach().requires_grad_(wanted[0])
            loss = loss_of(rows, features, wide(features))
            leaves = [features] if wanted[0] else []
        else:
            # In float32: gradients to the hidden states and to the logits may nearly cancel.
            features = wide(features).detach().requires_grad_(wanted[0])
            logits = wide(logits).detach().requires_grad_(any(wanted))
            loss = loss_of(rows, features, logits)
            leaves = [*([features] if wanted[0] else []), *([logits] if any(wanted) else [])]
    if not leaves or not loss.requires_grad:
        return loss.detach(), (None, None)
    grads = list(torch.autograd.grad(loss, leaves, allow_unused=True))
    to_features = grads.pop(0) if wanted[0] else None
    return loss.detach(), (to_features, grads[0] if grads else None)


def _add_products(
    grads: Sequence[Tensor | None], rows: slice, grad_logits: Tensor, part: Tensor, weight: Tensor
) -> None:
    """Adds a block's gradients to features, weight and bias, from its gradient to the logits."""
    if grads[0] is not None:
        grads[0][rows] += grad_logits @ weight
    if grads[1] is not None:
        if grad_logits.dtype == grads[1].dtype:
            grads[1].addmm_(grad_logits.T, part)
        else:  # float16 may overflow in a sum over many tokens
            few = 256 if grad_logits.dtype == torch.float16 else len(part)
            for above, below in zip(grad_logits.split(few), part.to(grad_logits.dtype).split(few), strict=True):
                grads[1] += above.T @ below
    if grads[2] is not None:
        grads[2] += grad_logits.sum(0, dtype=grads[2].dtype)


def uncached(device: str) -> AbstractContextManager[None]:
    """Returns a context with the current autocast but without its cache, which would keep the casts of each chunk."""
    if not torch.is_autocast_enabled(device):
        return nullcontext()
    return torch.autocast(device, dtype=torch.get_autocast_dtype(device), cache_enabled=False)


def chunked_loss(
    loss_of: ChunkLoss,
    features_NX: Tensor,
    weight_VX: Tensor | None = None,
    bias_V: Tensor | None = None,
    *,
    chunk: int | None = None,
    casts: Casts | None = None,
) -> Tensor:
    """Returns the sum of `loss_of` over all tokens; it keeps at most one block of logits in memory.

    Args:
        loss_of: Summed loss of a chunk; called once per chunk, in order, with autograd on.
        features_NX: Hidden states `[N, D]` if there is a head, else logits `[N, V]`; any float dtype.
        weight_VX: Weight `[V, D]` of a linear head; it receives a gradient if it requires one.
        bias_V: Bias of the head.
        chunk: Tokens per chunk; by default the number that makes `CHUNK_ELEMENTS` logits.
        casts: Copies of the head's weights in the precision of autocast, to share them with other calls.

    Returns:
        A float32 (float64 for float64 features) scalar in nats; its gradient flows to features, weight and bias.
    """
    total: Tensor = _Chunked.apply(  # type: ignore[no-untyped-call]
        loss_of, chunk, casts or Casts(), torch.is_grad_enabled(), features_NX, weight_VX, bias_V
    )
    return total
