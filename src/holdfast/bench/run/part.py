"""A part of a run's data: a stratified share of its examples, and the validation items alone."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import math
import statistics
from collections.abc import Hashable, Sequence
from typing import Any

from holdfast.bench.measured.preparation import PreparedData
from holdfast.core.mix import Example
from holdfast.probes.items import Split

LABELS = 20
"""Most different answers that count as labels, of which a share keeps the proportions."""
REPEATED = 5
"""Least number of examples for each answer, in the mean, from which answers count as labels."""
LENGTHS = 4
"""Number of groups by length where answers are no labels."""


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of the data of a run, for a trial that costs less than the run and reads no test item.

    Attributes:
        share: Share of the examples to train on, above 0 and at most 1.
        seed: Seed of their choice.
        side: Side of the items and texts to ask; both if None. Suites with items on one side alone are left out.
    """

    share: float = 1.0
    seed: int = 0
    side: Split | None = None

    def of(self, data: PreparedData) -> PreparedData:
        """Returns the part of prepared data, with a note on what it leaves out."""
        train = chosen(data.train, self.share, self.seed)
        suites, notes = list(data.suites), list(data.notes)
        if self.side is not None:
            suites = [suite.side(self.side) for suite in suites if {*suite.splits()} == {"watch", "proof"}]
        if len(train) < len(data.train):
            notes.append(f"This trial trains on {len(train):,} of {len(data.train):,} examples.")
        return PreparedData(tuple(train), tuple(suites), tuple(notes))

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields, for spec.json."""
        return dataclasses.asdict(self)


def chosen(examples: Sequence[Example], share: float, seed: int) -> list[Example]:
    """Returns a share of the examples, in their order, in which each stratum has its proportion.

    A stratum is an answer if there are few (`LABELS`) and each repeats, else a quarter of the examples by length. The
    largest remainders get what is left over, and a hash of tokens and seed chooses within a stratum, so that the order
    of a file decides nothing and a larger share contains a smaller one but for the rounding.

    Args:
        examples: The examples.
        share: Share of them, above 0; 1 returns all.
        seed: Seed of the choice.
    """
    if share >= 1:
        return list(examples)
    strata = collections.defaultdict[Hashable, list[int]](list)
    for i, key in enumerate(_keys(examples)):
        strata[key].append(i)
    most = max(1, round(share * len(examples)))
    counts = _apportioned({key: share * len(members) for key, members in strata.items()}, most)
    taken = [
        i
        for key, members in strata.items()
        for i in sorted(members, key=lambda i: (_place(examples[i], seed), i))[: counts[key]]
    ]
    return [examples[i] for i in sorted(taken)]


def _keys(examples: Sequence[Example]) -> list[Hashable]:
    """Returns the stratum of each example."""
    answers = [tuple(label for label in example.labels if label != -100) for example in examples]
    different = len({*answers})
    if different <= LABELS and REPEATED * different <= len(examples):
        return list(answers)
    lengths = [len(example.input_ids) for example in examples]
    if len({*lengths}) < 2:
        return [0] * len(examples)
    cuts = statistics.quantiles(lengths, n=LENGTHS, method="inclusive")
    return [sum(length > cut for cut in cuts) for length in lengths]


def _apportioned(wanted: dict[Hashable, float], most: int) -> dict[Hashable, int]:
    """Returns whole numbers that add up to `most`, by the method of the largest remainders (ties: the larger stratum).

    Args:
        wanted: Exact number for each stratum.
        most: Their sum, rounded.
    """
    counts = {key: math.floor(number) for key, number in wanted.items()}
    rest = sorted(wanted, key=lambda key: (counts[key] - wanted[key], -wanted[key]))
    for key in rest[: most - sum(counts.values())]:
        counts[key] += 1
    return counts


def _place(example: Example, seed: int) -> bytes:
    """Returns a number that depends on the tokens of an example and the seed alone."""
    return hashlib.blake2b(f"{seed} {list(example.input_ids)}".encode(), digest_size=8).digest()
