"""The one forward of a training step: backbone once, then the supervised units chunk by chunk.

Where the head is a plain linear layer, it is the head itself that computes the loss: for the time of the call its
`forward` takes the hidden states through `chunked_loss` and gives the summed loss where the model expects logits.
The call still goes through the wrapped model, so DDP, FSDP and DeepSpeed see one ordinary forward whose output
depends on every parameter. Heads that do more (soft-capping, scaling, an adapter on the head) go logits -> chunks.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.core.errors import HoldfastError
from holdfast.core.head import head_gives, head_of, is_plain
from holdfast.core.method import Chain, State
from holdfast.core.params import trainable
from holdfast.core.teacher import StateCache, Teacher, evaluating
from holdfast.core.tokens import PLACES, Tokens
from holdfast.core.units import UnitIndex
from holdfast.kernels.chunked import Casts, Logits, chunked_loss, wide
from holdfast.train.compared import Compared
from holdfast.train.head import without_labels
from holdfast.train.units import Inputs, Units

UnitLoss = Callable[[Tokens], Tensor]
"""The loss of each unit of a chunk, `[N]`."""


@dataclasses.dataclass
class Sums:
    """What one micro-batch contributes to its step; everything is a sum over units, in nats.

    Attributes:
        loss: Weighted task loss plus `hold` times the added terms; the gradient flows from here.
        stats: Detached float64 sums: "units", "new_units", "top1", "entropy" (where asked for), and "new.<field>" for
            "nll_N" and each other field asked for.
        values: What the recipe sees of each new unit, or of each document of new units ("document_nll"), detached.
        aux_loss: The model's own auxiliary loss (mixture of experts), unweighted, where it has one.
    """

    loss: Tensor
    stats: dict[str, Tensor]
    values: dict[str, Tensor]
    aux_loss: Tensor | None


class Forward:
    """Runs a model for training under a recipe; knows its head, not its trainer."""

    def __init__(
        self,
        model: nn.Module,
        recipe: Chain,
        *,
        teacher: Teacher | None = None,
        cache: StateCache | None = None,
        index: UnitIndex | None = None,
        metrics: bool = False,
        chunk: int | None = None,
    ) -> None:
        """Looks at the head of `model` (unwrapped).

        Args:
            model: A causal language model; may be a PEFT model.
            recipe: The active methods.
            teacher: The frozen base, for recipes that need it.
            cache: Its precomputed states; filled by `fill`, and then used in the place of a forward.
            index: The numbers of the training examples' units, for recipes that read them.
            metrics: Whether entropy and top-1 accuracy are summed too.
            chunk: Units per chunk; chosen by vocabulary when absent.
        """
        self.model = model
        self.recipe = recipe
        self.teacher = teacher
        self.cache = cache
        self.index = index
        self.metrics = metrics
        self.chunk = chunk
        self.head = head_of(model)
        self.plain_head = is_plain(model, self.head)
        self.compared = Compared(model, self.head, self.plain_head, recipe, teacher, cache)
        self.needs_base = recipe.needs.base_fields
        self.compares = recipe.needs.base
        self.needs_index = bool(recipe.needs.reads & PLACES)
        self.means = sorted({"nll_N", *recipe.needs.means})
        if not self.plain_head and any("hidden" in field for field in recipe.needs.reads):
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
        shown: Mapping[str, Any] | None = None,
    ) -> Sums:
        """Returns the sums of one micro-batch.

        Args:
            wrapped: The model as the trainer calls it (DDP and the like included).
            inputs: `input_ids` and `labels`, `[B, T]`, and whatever else the model takes.
            source_BT: Source number of each position; absent when all are new.
            state: The recipe's state.
            hold: Factor on all added terms.
            shown: What the base reads in the place of `inputs` (see `holdfast.core.run.SHOWN`).
        """
        units = Units.of(inputs, source_BT)
        stats: dict[str, Tensor] = {}
        seen: dict[str, list[Tensor]] = {name: [] for name in self.recipe.needs.sees}

        def unit_loss(tok: Tokens) -> Tensor:
            loss_N = self.recipe.unit_loss(state, tok, hold)
            with torch.no_grad():
                self._count(stats, tok)
                for name, parts in seen.items():
                    parts.append((tok.nll_N if name == "document_nll" else getattr(tok, name)).detach())
            return loss_N

        self._zero(stats, units.labels_N.device)
        index = self.index if self.needs_index else None
        loss, aux = self._run(wrapped, inputs, units, unit_loss, self.needs_base, index=index, shown=shown)
        return Sums(loss, stats, {name: units.new_values(name, parts) for name, parts in seen.items()}, aux)

    def mean(self, inputs: Inputs, term: UnitLoss | None = None) -> Tensor:
        """Returns the mean of a term (of the task loss if absent) over the supervised units of a batch, with its graph.

        The model runs bare, in the mode it is in, and the base too where the recipe needs it.
        """
        units = Units.of(inputs, None)
        loss, _ = self._run(self.model, inputs, units, term or (lambda tok: tok.nll_N), self.compares, bare=True)
        return loss / max(units.labels_N.numel(), 1)

    def gradient(self, inputs: Inputs, term: UnitLoss | None = None) -> dict[str, Tensor]:
        """Returns the gradient of `mean` to each trainable parameter, by name; in eval mode: nothing is drawn."""
        params = trainable(self.model)
        with evaluating(self.model, gradients=True):
            grads = torch.autograd.grad(self.mean(inputs, term), list(params.values()), allow_unused=True)
        return {n: torch.zeros_like(p) if g is None else g for (n, p), g in zip(params.items(), grads, strict=True)}

    @torch.no_grad()
    def score(self, batches: Iterable[Inputs], fields: Sequence[str]) -> dict[str, Tensor]:
        """Returns fields of `Tokens` of every unit that the index numbers, `[units]` each, on the CPU.

        Args:
            batches: The examples that were numbered, in that order; `row` numbers them, `[B, T]`, where it is there.
            fields: Fields of the model being trained, no matter what the recipe needs, `document_N` and `row_N` (the
                example that a unit is first found in) among them.
        """
        index = UnitIndex()
        found: dict[str, list[Tensor]] = {name: [torch.zeros(0)] for name in fields}
        for batch in batches:
            inputs = {name: value for name, value in batch.items() if name != "row"}
            units = Units.of(inputs, batch.get("row"))
            keys = units.keys(inputs)
            fresh_N = torch.tensor([new for new, (_, n) in zip(index.add(keys), keys, strict=True) for _ in range(n)])
            here: dict[str, list[Tensor]] = {name: [] for name in fields}

            def look(tok: Tokens, here: dict[str, list[Tensor]] = here) -> Tensor:
                for name, parts in here.items():
                    parts.append(tok.source_N if name == "row_N" else getattr(tok, name))
                return torch.zeros_like(tok.nll_N)

            with evaluating(self.model):
                self._run(self.model, inputs, units, look, False, bare=True, index=index)
            for name, parts in here.items():
                if parts:
                    found[name].append(torch.cat(parts).cpu()[fresh_N.bool()])
        return {name: torch.cat(parts[1:] or parts) for name, parts in found.items()}

    def _run(
        self,
        wrapped: nn.Module,
        inputs: Inputs,
        units: Units,
        unit_loss: UnitLoss,
        needs_base: bool,
        *,
        bare: bool = False,
        index: UnitIndex | None = None,
        shown: Mapping[str, Any] | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Returns the sum of a loss over the units of a batch, and the model's auxiliary loss."""
        casts, base = Casts(), None
        if needs_base:
            base_NX = self._base_features(wrapped, inputs, units, bare, shown)
            base = Logits(base_NX, self._base_head(shown), casts, self.chunk)
        loss_of = self._loss_of(inputs, units, base, unit_loss, index)
        if self.plain_head:

            def head_loss(hidden_BTD: Tensor) -> Tensor:
                weight, bias = self.head.weight, self.head.bias
                return chunked_loss(
                    loss_of,
                    hidden_BTD[units.scored_BT],
                    weight,  # type: ignore[arg-type]
                    bias,  # type: ignore[arg-type]
                    chunk=self.chunk,
                    casts=casts,
                )

            with head_gives(self.head, head_loss):
                out = wrapped(**without_labels(inputs))
            loss = out.logits
        else:
            out = wrapped(**without_labels(inputs))
            loss = chunked_loss(loss_of, out.logits[units.scored_BT], chunk=self.chunk)
        return loss, getattr(out, "aux_loss", None)

    def fill(self, inputs: Inputs) -> None:
        """Puts the base's features of a batch into the cache; called before training, on the start weights."""
        self.compared.fill(inputs)

    def _base_features(
        self,
        wrapped: nn.Module,
        inputs: Inputs,
        units: Units,
        bare: bool = False,
        shown: Mapping[str, Any] | None = None,
    ) -> Tensor:
        return self.compared.features(wrapped, inputs, units, bare=bare, shown=shown)

    def _base_head(self, shown: Mapping[str, Any] | None = None) -> tuple[Tensor, Tensor | None] | None:
        return self.compared.weights(shown)

    def _loss_of(
        self,
        inputs: Inputs,
        units: Units,
        base: Logits | None,
        unit_loss: UnitLoss,
        index: UnitIndex | None,
    ) -> Callable[[slice, Tensor, Tensor], Tensor]:
        segment_N = units.segment_BT[units.scored_BT]
        unit_N = document_N = None
        if index is not None:
            unit_N, document_N = (place_N.to(segment_N.device) for place_N in index.find(units.keys(inputs)))

        def loss_of(rows: slice, features_CX: Tensor, logits_CV: Tensor) -> Tensor:
            tok = Tokens(
                wide(logits_CV),
                units.labels_N[rows],
                units.source_N[rows],
                segment_N[rows],
                base_logits_NV=None if base is None else functools.partial(base.__getitem__, rows),
                hidden_ND=features_CX if self.plain_head else None,
                base_hidden_ND=base.features_NX[rows] if base is not None and self.plain_head else None,
                unit_N=None if unit_N is None else unit_N[rows],
                document_N=None if document_N is None else document_N[rows],
            )
            return unit_loss(tok).sum()

        return loss_of

    def _zero(self, stats: dict[str, Tensor], device: torch.device) -> None:
        names = ["units", "new_units", *(f"new.{name}" for name in self.means)]
        for name in names + (["entropy", "top1"] if self.metrics else []):
            stats[name] = torch.zeros((), dtype=torch.float64 if device.type != "mps" else torch.float32, device=device)

    def _count(self, stats: dict[str, Tensor], tok: Tokens) -> None:
        new = tok.is_on("new")
        stats["units"] += new.numel()
        stats["new_units"] += new.sum()
        for name in self.means:
            stats[f"new.{name}"] += getattr(tok, name)[new].sum()
        if self.metrics:
            stats["entropy"] += tok.entropy_N.sum()
            stats["top1"] += (tok.logits_NV.argmax(-1) == tok.labels_N).sum()
