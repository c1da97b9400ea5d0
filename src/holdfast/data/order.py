"""The order of the examples of a mix, in which memories keep their share of tokens at every moment."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import NEW, Mix


def order(mix: Mix, *, epochs: float, seed: int, shuffle: bool = True) -> list[list[int]]:
    """Returns for each epoch the indices into `mix.examples`, in the order of their visits.

    New examples follow one seeded permutation per pass, the same with and without memories. With memories, every
    visit goes to the source `s` that is furthest behind its share of supervised tokens (error diffusion),

        argmax_s  ratio_s * sum_r tokens_r - tokens_s,    ties to new examples, then to the first memory,

    and each memory follows its own seeded permutation, with a new one whenever it is used up. With one memory, the
    number of its tokens always differs from `ratio` times all tokens by at most the largest example.

    Without memories an epoch is a pass; if `epochs` is not a whole number, the last one is only the beginning of a
    pass. With memories the stream ends after `round(epochs * new examples)` new examples. With several epochs it then
    continues by the same rule until its length is a multiple of their number, because a trainer needs epochs of equal
    length.

    Args:
        mix: Examples, with at least one new one.
        epochs: Passes over the new examples, above 0; there are `ceil(epochs)` lists.
        seed: Chooses the permutations, from 0.
        shuffle: Whether new examples are permuted; otherwise they keep their own order.

    Raises:
        HoldfastError: `epochs`, `seed` or a ratio is outside its range, or a source has nothing to learn.
    """
    sources = _sources(mix)
    _check(mix, sources, epochs, seed)
    new = sources[NEW]
    lists, wanted = math.ceil(epochs), max(1, round(epochs * len(new)))
    stream = [
        itertools.cycle(members) if source == NEW and not shuffle else _endless(members, seed, source)
        for source, members in enumerate(sources)
    ]
    if not mix.names:
        sizes = [min(len(new), wanted - k * len(new)) for k in range(lists)]
        return [[next(stream[NEW]) for _ in range(size)] for size in sizes]

    tokens = [example.supervised for example in mix.examples]
    ratios = [1.0 - sum(mix.ratios), *mix.ratios]
    done, total, visited = [0] * len(sources), 0, 0
    visits: list[int] = []
    while visited < wanted or len(visits) % lists:
        source = max(range(len(sources)), key=lambda s: ratios[s] * total - done[s])
        index = next(stream[source])
        visits.append(index)
        done[source] += tokens[index]
        total += tokens[index]
        visited += source == NEW
    size = len(visits) // lists
    return [visits[k * size : (k + 1) * size] for k in range(lists)]


def _sources(mix: Mix) -> list[list[int]]:
    """Returns the indices of the examples of each source, by source number."""
    sources: list[list[int]] = [[] for _ in range(len(mix.names) + 1)]
    for index, example in enumerate(mix.examples):
        if not 0 <= example.source < len(sources):
            raise HoldfastError(
                f"{example.origin or f'example {index}'}: has source {example.source}, but the mix has "
                f"{len(mix.names)} memories; add memories with Mix.with_memory."
            )
        sources[example.source].append(index)
    return sources


def _check(mix: Mix, sources: Sequence[Sequence[int]], epochs: float, seed: int) -> None:
    if not (epochs > 0 and math.isfinite(epochs)):
        raise HoldfastError(f"epochs={epochs}: give a number above 0 (passes over the new examples).")
    if seed < 0:
        raise HoldfastError(f"seed={seed}: give a whole number from 0.")
    for name, members in zip(("the new examples", *mix.names), sources, strict=True):
        if not any(mix.examples[index].supervised for index in members):
            what = "hold" if name == "the new examples" else "holds"
            raise HoldfastError(f"{name} {what} no token to learn from; give rows with completions or text.")
    for name, ratio in zip(mix.names, mix.ratios, strict=True):
        if not 0 < ratio < 1:
            raise HoldfastError(f"memory {name} has ratio={ratio}: give a number above 0 and below 1 (of the tokens).")
    if sum(mix.ratios) >= 1:
        raise HoldfastError(
            f"the ratios of the memories add up to {sum(mix.ratios):g}: leave a share for new examples."
        )


def _endless(members: Sequence[int], seed: int, source: int) -> Iterator[int]:
    """Yields the members in one seeded permutation after another."""
    turn = 0
    while True:
        for k in np.random.default_rng([seed, source, turn]).permutation(len(members)):
            yield members[k]
        turn += 1
