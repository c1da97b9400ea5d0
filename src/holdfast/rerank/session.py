"""A recipe applied to a cross-encoder during training; the user's loss stays, and the recipe adds its terms."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from holdfast.core.method import Chain
from holdfast.core.precision import Precision
from holdfast.rerank.forward import ScoreForward
from holdfast.rerank.units import Rows
from holdfast.train.session import Session
from holdfast.train.tally import Tally


class RerankSession(Session):
    """A session whose loss is the trainer's own, with terms added.

    Attributes:
        scores: The forward that finds the scores of each row.
        adds: Whether each micro-batch needs the scores: the recipe adds terms, or reads the loss of new rows alone.
    """

    def __init__(
        self, model: nn.Module, recipe: Chain, *, scores: ScoreForward, tally: Tally, mixes: bool, precision: Precision
    ) -> None:
        """Stores the parts; `mixes` tells whether the rows contain memories."""
        how: dict[str, Any] = {"owns_forward": False, "reads": mixes, "precision": precision}
        super().__init__(model, recipe, forward=None, tally=tally, **how)
        self.scores = scores
        self.adds = recipe.uses("token_loss") or self.reads

    @property
    def acts_in_loss(self) -> bool:
        """Whether the recipe acts in the loss."""
        return self.adds or super().acts_in_loss

    def added(self, rows: Rows, source_B: Tensor | None) -> Tensor:
        """Returns the recipe's terms of the micro-batch just recorded, divided by the rows of the whole step."""
        sums = self.scores.terms(rows, source_B, self.state, self.hold)
        if self.reads:
            self.tally.add(sums)
        return sums.loss / self.tally.tokens
