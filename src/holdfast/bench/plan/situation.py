"""The situation that rules read: a model, its data, what is kept, and what the machine has."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from holdfast.train.rates import BILLION as BILLION
from holdfast.train.rates import MILLION as MILLION
from holdfast.train.rates import REAL, may_refuse

Kind = Literal["", "full", "adapter", "qlora", "none"]
"""Kinds of recipes: all weights train, an adapter trains, an adapter on 4-bit weights trains, nothing fits."""

FAR = 0.5
"""Divergence between the tokens of the data and of what is kept, in bits beyond that of two halves of what is kept,
from which data counts as far from what the base knows. Of the four tasks of the proving ground only the new language
lies beyond it (docs/plan.md); no other data was used for it."""
FEW_TOKENS = 8192
"""Largest vocabulary for which that limit counts. It was chosen at 1,536 tokens, and divergences grow with the
vocabulary: the science of the proving ground, which is not far at 1,536 tokens (0.45), has 0.66 at 262,144."""
KNOWN = 1.0
"""Surprise in nats per learned token up to which the base knows the data well enough for its disagreement to count: on
new facts and new formats it is as often sure of another answer where the row is right."""


@dataclasses.dataclass(frozen=True)
class Situation:
    """What rules know of a case; None stands for what was not measured.

    Attributes:
        parameters: Number of parameters of the model.
        rows: Number of training rows.
        tokens: Number of learned tokens in these rows.
        is_adapter: Whether the model is an adapter on a base.
        vocabulary: Number of tokens of its tokenizer.
        chat: Whether its tokenizer has a chat template.
        surprise: Mean negative log-likelihood of the learned tokens under the base, in nats.
        divergence: Divergence of its tokens from those of what is kept, in bits, less that of two halves of the latter.
        conflicts: Share of rows with an answer that the base confidently contradicts.
        contradictions: Share of rows whose question another row answers differently.
        copies: Share of rows that repeat an earlier row.
        old: Whether the user gave old examples.
        kept: Number of items and texts that are kept.
        points: Budget in points; None without one.
        needed: Bytes of memory that each kind of recipe needs.
        free: Free bytes.
        gpu: Whether there is a GPU.
        per_rank: Trained numbers that one rank of an adapter adds.
        kind: Kind of the recipe that the plan has chosen; empty while it chooses.
    """

    parameters: int
    rows: int = 0
    tokens: int = 0
    is_adapter: bool = False
    vocabulary: int = 0
    chat: bool = False
    surprise: float | None = None
    divergence: float | None = None
    conflicts: float | None = None
    contradictions: float = 0.0
    copies: float = 0.0
    old: bool = False
    kept: int = 0
    points: float | None = None
    needed: Mapping[str, int] = dataclasses.field(default_factory=dict)
    free: int = 0
    gpu: bool = False
    per_rank: int = 0
    kind: Kind = ""

    @property
    def far(self) -> bool:
        """Whether the data is known to be far from what the base knows."""
        return self.divergence is not None and self.divergence >= FAR and self.vocabulary <= FEW_TOKENS

    @property
    def noise(self) -> float:
        """Returns the share of rows that contradict another row, or the base where it knows the data."""
        known = self.surprise is not None and self.surprise <= KNOWN
        return max(self.contradictions, (self.conflicts or 0.0) if known else 0.0)

    @property
    def small(self) -> bool:
        """Whether the model is below 100M parameters: advice then rests on the study that trained all weights."""
        return self.parameters < REAL

    @property
    def may_refuse(self) -> bool:
        """Whether the model may have learned to refuse harmful requests."""
        return may_refuse(self.parameters, self.chat)

    @property
    def adapts(self) -> bool:
        """Whether the chosen recipe trains an adapter: a new one, or the one that the model is."""
        return self.kind in ("adapter", "qlora") or self.is_adapter

    def fits(self, kind: str, more: int = 0) -> bool:
        """Returns whether a kind of recipe, with more bytes, fits into nine tenths of the free memory.

        An unknown need fits.
        """
        need = self.needed.get(kind)
        return need is None or not self.free or need + more <= 0.9 * self.free
