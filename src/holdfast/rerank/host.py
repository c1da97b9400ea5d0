"""The run of a reranker, for its guard, its checkpoints and the edits of its weights."""

from __future__ import annotations

from typing import Any

from holdfast.core.errors import HoldfastError
from holdfast.rerank.transformer import put_inner
from holdfast.train.host import Host


class RerankHost(Host):
    """A host whose trainer holds a cross-encoder, while methods see the transformer inside."""

    def ship(self) -> None:
        """Applies the recipe's edits of weights, and puts the transformer to ship into the cross-encoder."""
        model, self.shipped = self._shipping.ship(self.session.state)
        if model is not self.session.model:
            encoder: Any = self._trainer.model
            put_inner(encoder, model)
            self.session.model = model

    def check_form(self) -> None:
        """Raises `HoldfastError` if the model was shipped in another form than it had in training."""
        if self._shipping.model is not self.session.model or (self._shipping.has_moved and self.shipped):
            raise HoldfastError(
                "This trainer has shipped its model in another form than it was trained in; build a new trainer on it"
                " to continue training."
            )
