"""What the training of a reranker costs in plain runs, counted from the tokens of its lists before it begins."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from holdfast.bench.fit.price import ADAPTED, FORWARD, TRAINED
from holdfast.bench.fit.trials import Candidate
from holdfast.methods.adapter import Adapter
from holdfast.methods.rehearsal.rehearsal import Rehearsal


@dataclasses.dataclass(frozen=True)
class RankingPlain:
    """The unit of the cost: all weights train on the lists alone, for the plan's epochs.

    Attributes:
        lists: Number of lists.
        tokens: Tokens of a list, in the mean, each pair cut to what the model reads.
        old: Tokens of an old list, in the mean, by the name of its source; some for a source that nobody named.
        epochs: Passes over the lists.
        batch: Lists of a step.
    """

    lists: int
    tokens: float
    old: Mapping[str, float]
    epochs: float
    batch: int

    @property
    def about(self) -> str:
        """Returns what a pass reads."""
        return f"{self.lists:,} queries"

    def price(self, candidate: Candidate, share: float = 1.0) -> float:
        """Returns what a candidate's training costs, in plain runs.

            e (w + c) (t + o r / (1 - r))  /  (E TRAINED t)

        for e epochs of the candidate and E of the plain run, w = TRAINED or ADAPTED, c = FORWARD if the base reads the
        rows, t tokens of a list, o of an old one, and r the share of old lists in a step. Padding is not counted, nor
        is asking, nor what else methods do beyond a forward and a backward.

        Args:
            candidate: The candidate.
            share: Share of its steps.
        """
        active = candidate.chain().active()
        parts = [part for part in active.parts() if isinstance(part, Rehearsal)]
        ratio = sum(part.ratio for part in parts)
        old = sum(part.ratio * self._tokens_of(part) for part in parts)
        small = any(isinstance(part, Adapter) and part.small for part in active.parts())
        work = (ADAPTED if small else TRAINED) + (FORWARD if active.needs.base else 0.0)
        read = self.tokens + old / (1 - ratio)
        return share * candidate.epochs * work * read / (self.epochs * TRAINED * self.tokens)

    def _tokens_of(self, part: Rehearsal) -> float:
        """Returns the tokens of an old list of a method, in the mean over its sources."""
        names = [name.strip() for name in part.memory.split(",")]
        return sum(self.old.get(name, self.tokens) for name in names) / len(names)
