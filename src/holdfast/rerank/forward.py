"""The recipe's part of a reranker's loss: the units of a micro-batch, and sums over them.

The trainer's own loss runs the model; the base then reads exactly the same features. As for tokens, no mean is taken
here: the session divides the sum once, by the rows of the whole step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.core.errors import HoldfastError
from holdfast.core.exact import widest
from holdfast.core.method import Chain, State
from holdfast.core.params import trainable
from holdfast.core.teacher import Teacher, evaluating
from holdfast.core.tokens import Tokens
from holdfast.kernels.chunked import uncached
from holdfast.rerank.recorder import Recorder, Scored, needed, scores_of
from holdfast.rerank.units import Rows, units_of
from holdfast.train.forward import Sums, TokenLoss

ROWS = "holdfast_rows"
"""Key of a batch for its `Rows`."""


@dataclasses.dataclass
class ScoreForward:
    """Runs the base of a cross-encoder, and sums the recipe's terms over a batch.

    Attributes:
        encoder: The cross-encoder (`sentence_transformers.CrossEncoder`).
        model: The transformer inside it, with the recipe's adapters.
        recipe: The active methods.
        teacher: The base; None if no method compares with it.
        loss: Name of the trainer's loss, for messages.
        prompt: The prompt of the trainer's arguments, which the scores before training take too.
    """

    encoder: Any
    model: nn.Module
    recipe: Chain
    teacher: Teacher | None = None
    loss: str = "The loss"
    prompt: str | None = None

    def __post_init__(self) -> None:
        """Prepares to record."""
        self.recorder = Recorder(self.encoder)

    def terms(self, rows: Rows, source_B: Tensor | None, state: State, hold: float) -> Sums:
        """Returns the sum of the terms that the recipe adds, over the rows of the micro-batch just recorded.

        Args:
            rows: The rows.
            source_B: Number of the source of each row; None if all are new.
            state: The recipe's state.
            hold: Factor on the terms.
        """
        scored = self.recorder.scored(self.loss)
        own = scores_of(rows, scored, [call.scores for call in scored], self.loss)
        base = None
        if self.recipe.needs.base_fields:
            base = scores_of(rows, scored, self._base(rows, scored), self.loss)
        tok = units_of(rows, own, base, source_B)
        loss = tok.logits_NV.new_zeros(())
        if hold and self.recipe.uses("token_loss"):
            loss = hold * self.recipe.token_loss(state, tok).sum()
        return Sums(loss, _stats(tok), {}, None)

    def gradient(self, inputs: Mapping[str, Any], term: TokenLoss | None = None) -> dict[str, Tensor]:
        """Returns the gradient of the mean of a term to each trained parameter, by name; in eval mode.

        Args:
            inputs: A batch of `RerankView.batches`.
            term: The term; the cross-entropy of the relevant document in its list if absent.
        """
        rows: Rows = inputs[ROWS]
        params = trainable(self.model)
        pairs = [pair for row in rows.pairs for pair in row]
        with evaluating(self.model, gradients=True):
            features = on_device(self.encoder.preprocess(pairs, prompt=self.prompt), self.encoder.device)
            scores = self.encoder(features)["scores"].view(-1)
            tok = units_of(rows, scores.split([len(row) for row in rows.pairs]), None, None)
            mean = (term or (lambda units: units.nll_N))(tok).mean()
            grads = torch.autograd.grad(mean, list(params.values()), allow_unused=True)
        return {n: torch.zeros_like(p) if g is None else g for (n, p), g in zip(params.items(), grads, strict=True)}

    def _base(self, rows: Rows, scored: Sequence[Scored]) -> list[Tensor | None]:
        """Returns the base's scores of each forward, on the same features; None for one without a pair of the rows."""
        if self.teacher is None:
            raise HoldfastError(f"{self.recipe!r} needs the base, and no teacher was given.")
        forward: Callable[[dict[str, Any]], dict[str, Tensor]] = self.encoder
        found: list[Tensor | None] = []
        # Without autocast's cache: it would keep casts of the base's weights, which have no gradients, for the model.
        with uncached(scored[0].scores.device.type), self.teacher.base(self.model):
            for call in scored:
                found.append(forward(dict(call.features))["scores"].view(-1) if needed(rows, call) else None)
        return found


def on_device(features: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Returns features on a device; what is no tensor stays as it is."""
    return {name: value.to(device) if isinstance(value, Tensor) else value for name, value in features.items()}


def _stats(tok: Tokens) -> dict[str, Tensor]:
    """Returns the detached sums over new rows that have a relevant document (`Sums.stats`)."""
    with torch.no_grad():
        nll_N = tok.nll_N.to(widest(tok.nll_N.device))
        new_N = tok.is_on("new") & nll_N.isfinite()
        return {"new_tokens": new_N.sum().to(nll_N), "new.nll_N": nll_N[new_N].sum()}
