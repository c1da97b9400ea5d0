"""The forward of a training step: one run of the model, then sums over the supervised tokens chunk by chunk.

`holdfast.train.head` finds the head and lets it compute the loss inside the model's forward;
`holdfast.train.comparison` runs the base on the same tokens. No mean is taken here: the session divides the sums once,
by the tokens of the whole step (docs/decisions/0001-one-number-per-token.md).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from holdfast.core.base_means import BaseMeans
from holdfast.core.errors import HoldfastError
from holdfast.core.exact import widest
from holdfast.core.method import Chain, State
from holdfast.core.params import trainable
from holdfast.core.teacher import StateCache, Teacher, evaluating
from holdfast.core.token_index import TokenIndex
from holdfast.core.tokens import PLACES, Tokens
from holdfast.kernels.chunked import Casts, ChunkLoss, Copies, Logits, wide
from holdfast.train.comparison import Comparison
from holdfast.train.head import LossHead
from holdfast.train.supervised import Call, Inputs, Shown, SupervisedTokens

TokenLoss = Callable[[Tokens], Tensor]
"""The loss of each token of a chunk, `[N]`."""

Weights = tuple[float, float]
"""Factors on the task loss of new and of old tokens."""

SIGNALS = ("old_tokens", "old.nll_N", "compared_tokens", "compared.kl")
"""Sums over old tokens, and over the tokens that the recipe compares with the base, which a controller reads."""


@dataclasses.dataclass
class Sums:
    """The contribution of one micro-batch to its step: sums over tokens, in nats.

    Attributes:
        loss: Sum of the weighted task loss and `hold` times the added terms, a scalar; gradients flow.
        stats: Detached float64 sums: "tokens", "new_tokens", "new.<field>" for "nll_N" and each field in the recipe's
            means, with metrics also "top1" and "entropy", and with signals also `SIGNALS`.
        values: Detached values of each field that the recipe sees, at the new tokens (or new documents, for
            "document_nll").
        aux_loss: The model's unweighted auxiliary loss (mixture of experts); None without one.
    """

    loss: Tensor
    stats: dict[str, Tensor]
    values: dict[str, Tensor]
    aux_loss: Tensor | None


class Forward:
    """Runs a model in training under a recipe. It knows the model's head, but no trainer."""

    def __init__(
        self,
        model: nn.Module,
        recipe: Chain,
        *,
        teacher: Teacher | None = None,
        cache: StateCache | None = None,
        index: TokenIndex | None = None,
        metrics: bool = False,
        signals: bool = False,
        chunk: int | None = None,
    ) -> None:
        """Finds the head of the model; to test it, this runs the model on four tokens.

        Args:
            model: An unwrapped causal language model; may be a PEFT model.
            recipe: The active methods.
            teacher: The frozen base, for recipes that need it.
            cache: Precomputed states of the base, which replace its forward.
            index: Numbers of the training examples' tokens, for recipes that read them.
            metrics: Whether to sum entropy and top-1 accuracy too.
            signals: Whether to sum what a controller reads: the loss of old tokens, the divergence from the base, and
                the typicality of new tokens.
            chunk: Tokens per chunk; by default chosen from the size of the vocabulary.

        Raises:
            HoldfastError: The recipe reads hidden states, and the head is not linear.
        """
        self.model = model
        self.recipe = recipe
        self.metrics = metrics
        self.signals = signals
        self.chunk = chunk
        self.head = LossHead(model)
        self._frozen_casts: Copies = {}
        self.comparison = Comparison(model, self.head, recipe, teacher, cache)
        self.needs_base = recipe.needs.base_fields
        self.compares = recipe.needs.base
        self.index = index if recipe.needs.reads & PLACES else None
        self.means = sorted({"nll_N", *recipe.needs.means, *(["typicality_N"] if signals else [])})
        if not self.head.plain and any("hidden" in field for field in recipe.needs.reads):
            raise HoldfastError(
                f"{recipe!r} reads hidden states, which {type(model).__name__} does not give: its head is not linear."
            )

    def __call__(
        self,
        wrapped: nn.Module,
        inputs: Inputs,
        source_BT: Tensor | None,
        state: State,
        hold: float = 1.0,
        shown: Shown | None = None,
        weights: Weights | None = None,
    ) -> Sums:
        """Returns the sums of one micro-batch.

        Args:
            wrapped: The model as the trainer calls it (DDP and the like included).
            inputs: `input_ids` and `labels`, `[B, T]`, and other arguments of the model.
            source_BT: Source number of each position; None if all positions are new.
            state: The recipe's state.
            hold: Factor on the added terms.
            shown: The batch that the base reads instead of `inputs` (see `holdfast.core.run.SHOWN`).
            weights: Factors on the task loss of new and of old tokens; 1 for both if absent.
        """
        tokens = SupervisedTokens.of(inputs, source_BT)
        stats = self._zeros(tokens.labels_N.device)
        seen: dict[str, list[Tensor]] = {name: [] for name in self.recipe.needs.sees}

        def per_token_loss(tok: Tokens) -> Tensor:
            loss_N = _weighted(self.recipe, state, tok, hold, weights)
            # The logits of a chunk exist only during this call, so statistics must be taken here.
            with torch.no_grad():
                self._count(stats, tok)
                for name, parts in seen.items():
                    parts.append((tok.nll_N if name == "document_nll" else getattr(tok, name)).detach())
            return loss_N

        call = Call(wrapped, inputs, tokens, shown)
        loss, aux = self._run(call, per_token_loss, self.needs_base, self.index)
        return Sums(loss, stats, {name: tokens.new_values(name, parts) for name, parts in seen.items()}, aux)

    def mean(self, inputs: Inputs, term: TokenLoss | None = None) -> Tensor:
        """Returns the mean of a term (by default the task loss) over the supervised tokens of a batch, with its graph.

        It runs the unwrapped model in its current mode, and the base if the recipe needs it.
        """
        call = Call(self.model, inputs, SupervisedTokens.of(inputs, None), bare=True)
        loss, _ = self._run(call, term or (lambda tok: tok.nll_N), self.compares)
        return loss / max(call.tokens.labels_N.numel(), 1)

    def gradient(self, inputs: Inputs, term: TokenLoss | None = None) -> dict[str, Tensor]:
        """Returns the gradient of `mean` to each trainable parameter, by name; eval mode keeps the random state."""
        params = trainable(self.model)
        with evaluating(self.model, gradients=True):
            grads = torch.autograd.grad(self.mean(inputs, term), list(params.values()), allow_unused=True)
        return {n: torch.zeros_like(p) if g is None else g for (n, p), g in zip(params.items(), grads, strict=True)}

    @torch.no_grad()
    def score(self, batches: Iterable[Inputs], fields: Sequence[str]) -> dict[str, Tensor]:
        """Returns fields of `Tokens` for every token in the order of a `TokenIndex`, `[tokens]` each, on the CPU.

        Args:
            batches: The training examples in order; an optional key `row`, `[B, T]`, holds the example's number.
            fields: Names of fields of the trained model (not `base_*`), also `document_N` and `row_N`, the number of
                the first example with the token.
        """
        index = TokenIndex()
        scores: dict[str, list[Tensor]] = {name: [torch.zeros(0)] for name in fields}
        for batch in batches:
            inputs = {name: value for name, value in batch.items() if name != "row"}
            tokens = SupervisedTokens.of(inputs, batch.get("row"))
            keys = tokens.keys(inputs)
            fresh_N = torch.tensor([new for new, (_, n) in zip(index.add(keys), keys, strict=True) for _ in range(n)])
            here: dict[str, list[Tensor]] = {name: [] for name in fields}

            def look(tok: Tokens, here: dict[str, list[Tensor]] = here) -> Tensor:
                for name, parts in here.items():
                    parts.append(tok.source_N if name == "row_N" else getattr(tok, name))
                return torch.zeros_like(tok.nll_N)

            with evaluating(self.model):
                self._run(Call(self.model, inputs, tokens, bare=True), look, False, index)
            for name, parts in here.items():
                if parts:
                    scores[name].append(torch.cat(parts).cpu()[fresh_N.bool()])
        return {name: torch.cat(parts[1:] or parts) for name, parts in scores.items()}

    def _run(
        self, call: Call, per_token_loss: TokenLoss, compares: bool, index: TokenIndex | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Returns the sum of a loss over the tokens of a batch, and the model's auxiliary loss.

        The base runs first and without a graph, so only its features are in memory when the model builds its graph. If
        base and model share the head's weight, they also share its copy in the precision of autocast; that of a frozen
        head stays for later batches.
        """
        casts = Casts(self._frozen_casts)
        base = self.comparison.base(call, casts, self.chunk) if compares else None
        return self.head.loss(call, self._loss_of(call, base, per_token_loss, index), casts=casts, chunk=self.chunk)

    def _loss_of(
        self, call: Call, base: Logits | BaseMeans | None, per_token_loss: TokenLoss, index: TokenIndex | None
    ) -> ChunkLoss:
        """Returns the function that sums the loss of a chunk: it passes the chunk to `per_token_loss` as `Tokens`."""
        tokens, plain = call.tokens, self.head.plain
        logits = base if isinstance(base, Logits) else None
        segment_N = tokens.segment_BT[tokens.scored_BT]
        token_N = document_N = None
        if index is not None:
            token_N, document_N = (place_N.to(segment_N.device) for place_N in index.find(tokens.keys(call.inputs)))

        def loss_of(rows: slice, features_CX: Tensor, logits_CV: Tensor) -> Tensor:
            tok = Tokens(
                wide(logits_CV),
                tokens.labels_N[rows],
                tokens.source_N[rows],
                segment_N[rows],
                # A function, so the base's logits of this chunk are computed only if a method reads them.
                base_logits_NV=None if logits is None else functools.partial(logits.__getitem__, rows),
                hidden_ND=features_CX if plain else None,
                base_hidden_ND=logits.features_NX[rows] if logits is not None and plain else None,
                base_means=base[rows] if isinstance(base, BaseMeans) else None,
                token_N=None if token_N is None else token_N[rows],
                document_N=None if document_N is None else document_N[rows],
            )
            return per_token_loss(tok).sum()

        return loss_of

    def _zeros(self, device: torch.device) -> dict[str, Tensor]:
        """Returns `Sums.stats` before the first chunk; a batch without tokens keeps these zeros."""
        names = ["tokens", "new_tokens", *(f"new.{name}" for name in self.means)]
        names += ["entropy", "top1"] if self.metrics else []
        names += SIGNALS if self.signals else []
        return {name: torch.zeros((), dtype=widest(device), device=device) for name in names}

    def _count(self, stats: dict[str, Tensor], tok: Tokens) -> None:
        new = tok.is_on("new")
        stats["tokens"] += new.numel()
        stats["new_tokens"] += new.sum()
        for name in self.means:
            stats[f"new.{name}"] += getattr(tok, name)[new].sum()
        if self.metrics:
            stats["entropy"] += tok.entropy_N.sum()
            stats["top1"] += (tok.logits_NV.argmax(-1) == tok.labels_N).sum()
        if self.signals:
            stats["old_tokens"] += (~new).sum()
            stats["old.nll_N"] += tok.nll_N[~new].sum()
            part = tok.only(self.recipe.compares_on) if self.compares else None
            if part is not None:
                stats["compared_tokens"] += part.labels_N.numel()
                stats["compared.kl"] += part.base_kl_N.sum()


def _weighted(recipe: Chain, state: State, tok: Tokens, hold: float, weights: Weights | None) -> Tensor:
    """Returns the loss of each token, `[N]`: the task loss weighted by the source of the token, and the added terms."""
    if weights is None:
        return recipe.per_token_loss(state, tok, hold)
    new, old = (tok.nll_N.new_tensor(weight) for weight in weights)
    task_N = torch.where(tok.is_on("new"), new, old) * recipe.per_token_loss(state, tok, 0.0)
    return task_N + hold * recipe.token_loss(state, tok) if recipe.uses("token_loss") else task_N
