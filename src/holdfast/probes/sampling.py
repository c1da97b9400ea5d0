"""Sampling of the next token, with separate random numbers for each conversation."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import math
from collections.abc import Hashable, Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from holdfast.core.errors import HoldfastError
from holdfast.core.exact import is_exact

BLOCK = 512
"""Tokens whose weights are summed at once; the place of a token is sought among the sums, then within one of them."""
CACHED = 2**18
"""Most float64 numbers of the rows that a processor works on together: 2 MiB."""
ROUNDING = 1e-9
"""More than sums of probabilities can be off: 2**-53 times twice the vocabulary, which is 2**22 at most."""
LEADING = 48
"""Bits that a grade of weights leaves out, of the 52 of a float64's fraction."""


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        temperature: Divisor of the logits, from 0; 0 takes the likeliest token.
        top_p: Least probability of the set of likeliest tokens from which one is drawn, above 0 and at most 1.
        seed: Seed of the random numbers, together with the key of the conversation.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise HoldfastError(f"temperature={self.temperature}: give a number from 0 (0 takes the likeliest token).")
        if not 0 < self.top_p <= 1:
            raise HoldfastError(f"top_p={self.top_p}: give a probability above 0 and at most 1 (1 keeps all tokens).")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise HoldfastError(f"seed={self.seed!r}: give a whole number.")


def numbered(keys: Iterable[Hashable]) -> list[tuple[Hashable, int]]:
    """Returns each key with its number of earlier occurrences, so that all pairs differ."""
    seen = collections.Counter[Hashable]()
    numbered_keys = []
    for key in keys:
        numbered_keys.append((key, seen[key]))
        seen[key] += 1
    return numbered_keys


def source_of(seed: int, key: Hashable) -> torch.Generator:
    """Returns a random generator on the CPU, seeded by a hash of a seed and the `repr` of a key."""
    digest = hashlib.blake2b(repr((seed, key)).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)


def drawn(logits_BV: Tensor, sampling: Sampling, sources: Sequence[torch.Generator]) -> Tensor:
    """Returns a token for each row, `[B]` int64, drawn with one random number from the row's own generator.

        p = softmax(logits / temperature), restricted to the nucleus and normalised

    The nucleus is the smallest set of likeliest tokens whose probability is at least `top_p`; among equally likely
    tokens, lower ids come first. The draw inverts the cumulative distribution in the order of ids: rounding may swap
    tokens in the order of probabilities, but never in the order of ids. Probabilities are float64.

    Args:
        logits_BV: Logits, `[B, V]`.
        sampling: Temperature, above 0, and `top_p`.
        sources: The generator of each row.

    Reference:
        Holtzman et al., "The curious case of neural text degeneration", ICLR 2020, arXiv:1904.09751, section 3.1.
    """
    if not is_exact(logits_BV.device):
        return drawn(logits_BV.cpu(), sampling, sources).to(logits_BV.device)
    random_B = torch.cat([torch.rand(1, 1, generator=source, dtype=torch.float64) for source in sources])[:, 0]
    random_B = random_B.to(logits_BV.device)
    # A few rows at a time, so that their float64 numbers stay in a processor's cache from one pass to the next.
    size = max(1, CACHED // logits_BV.shape[1]) if logits_BV.device.type == "cpu" else len(logits_BV)
    parts = (slice(start, start + size) for start in range(0, len(logits_BV), size))
    return torch.cat([_drawn(logits_BV[part], sampling, random_B[part]) for part in parts])


def _drawn(logits_BV: Tensor, sampling: Sampling, random_B: Tensor) -> Tensor:
    """Returns a token for each row, `[B]`, drawn with one number of at least 0 and below 1."""
    (rows, size), most_B1 = logits_BV.shape, logits_BV.amax(-1, keepdim=True)
    blocks = -(-size // BLOCK)
    weight_BV = logits_BV.new_empty((rows, blocks * BLOCK), dtype=torch.float64)
    weight_BV[:, size:] = -math.inf
    weight_BV[:, :size] = logits_BV
    # Subtract the maximum first, so that a small temperature does not overflow.
    weight_BV -= most_B1
    if sampling.temperature != 1:
        weight_BV /= sampling.temperature
    weight_BV.exp_()
    if sampling.top_p < 1:
        for weight_V, total in zip(weight_BV, weight_BV.sum(-1).tolist(), strict=True):
            weight_V *= nucleus(weight_V, total, sampling.top_p)
    weight_BKX = weight_BV.view(rows, blocks, BLOCK)
    cumulated_BK = weight_BKX.sum(-1).cumsum(-1)
    block_B = _place(cumulated_BK, random_B)
    before_B1 = F.pad(cumulated_BK, (1, 0)).gather(1, block_B[:, None])
    inside_BX = weight_BKX[torch.arange(rows, device=block_B.device), block_B].cumsum(-1) + before_B1
    return block_B * BLOCK + _place(inside_BX, random_B, cumulated_BK[:, -1:])


def nucleus(weight_V: Tensor, total: float, top_p: float) -> Tensor:
    """Returns which tokens are in the nucleus of `top_p`, `[V]` bool.

    Tokens are counted by the leading bits of their weights, in grades of 6% of a weight or less. Only those of the
    grade at which `top_p` is reached are sorted; heavier ones are in the nucleus, and lighter ones are not.

    Args:
        weight_V: Probabilities times a number, `[V]` float64, at most 1 each.
        total: Their sum.
        top_p: Least probability of the nucleus, below 1.
    """
    least = (1 - top_p) / 2 * total / len(weight_V)  # all lighter tokens together have too little to reach `top_p`
    candidate_N = (weight_V >= (least if 1 - top_p > 4 * ROUNDING else 0)).nonzero()[:, 0]
    weight_N = weight_V[candidate_N]
    grade_N = weight_N.view(torch.int64) >> LEADING  # numbers of one sign have the order of their bits
    above_G = torch.bincount(grade_N, weights=weight_N).flip(0).cumsum(0).flip(0) / total
    # Sums in another order differ by less than `ROUNDING`: within it, more than one grade is sorted.
    lower = max(0, int((above_G >= top_p + ROUNDING).sum()) - 1)
    upper = int((above_G >= top_p - ROUNDING).sum())
    band_M = ((grade_N >= lower) & (grade_N < upper)).nonzero()[:, 0]
    sorted_M, order_M = weight_N[band_M].sort(descending=True, stable=True)
    before_M = F.pad((sorted_M / total).cumsum(0)[:-1], (1, 0)) + float(F.pad(above_G, (0, 1))[upper])
    inside_N = grade_N >= upper
    inside_N[band_M[order_M[before_M < top_p]]] = True
    return torch.zeros_like(weight_V, dtype=torch.bool).index_put_((candidate_N,), inside_N)


def _place(cumulated_BV: Tensor, random_B: Tensor, total_B1: Tensor | None = None) -> Tensor:
    """Returns the first place whose cumulated weight is above a share of the total, `[B]`.

    Args:
        cumulated_BV: Cumulated weights, `[B, V]`.
        random_B: The share, at least 0 and below 1, `[B]`.
        total_B1: The total, `[B, 1]`; the last cumulated weight if absent.
    """
    last_B1 = cumulated_BV[:, -1:].contiguous()
    sought_B1 = random_B[:, None] * (last_B1 if total_B1 is None else total_B1)
    place_B1 = torch.searchsorted(cumulated_BV, sought_B1, right=True)
    # Rounding may lift what is sought to the last weight; then the last place that adds any is meant.
    return torch.minimum(place_B1, torch.searchsorted(cumulated_BV, last_B1))[:, 0]
