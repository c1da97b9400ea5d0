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
    tokens in the order of probabilities, but never in the order of ids.

    Args:
        logits_BV: Logits, `[B, V]`.
        sampling: Temperature, above 0, and `top_p`.
        sources: The generator of each row.

    Reference:
        Holtzman et al., "The curious case of neural text degeneration", ICLR 2020, arXiv:1904.09751, section 3.1.
    """
    wide_BV = logits_BV.double()
    # Subtract the maximum first, so that a small temperature does not overflow.
    p_BV = ((wide_BV - wide_BV.max(-1, keepdim=True).values) / sampling.temperature).softmax(-1)
    if sampling.top_p < 1:
        p_BV = nucleus(p_BV, sampling.top_p)
    cumulated_BV = p_BV.cumsum(-1)
    random_B1 = torch.cat([torch.rand(1, 1, generator=source, dtype=torch.float64) for source in sources])
    return torch.searchsorted(cumulated_BV, random_B1.to(p_BV.device) * cumulated_BV[:, -1:], right=True)[:, 0]


def nucleus(p_BV: Tensor, top_p: float) -> Tensor:
    """Returns the probabilities, `[B, V]`, with 0 outside the nucleus of `top_p`."""
    sorted_BV, token_BV = p_BV.sort(dim=-1, descending=True, stable=True)
    before_BV = F.pad(sorted_BV.cumsum(-1)[:, :-1], (1, 0))
    return torch.zeros_like(p_BV).scatter(-1, token_BV, sorted_BV * (before_BV < top_p))
