"""EWC: hold each weight in proportion to how much the old predictions depend on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.core.method import Method, State
from holdfast.core.needs import Ask
from holdfast.core.params import trainable
from holdfast.core.run import Run, Step
from holdfast.core.settings import setting
from holdfast.methods.distance import half_square
from holdfast.methods.memory import need_memory, new_examples, old_examples


def diagonal_fisher(grads: Iterable[tuple[Mapping[str, Tensor], int]]) -> dict[str, Tensor]:
    """Returns the diagonal of the Fisher information per token, by parameter name, in float32 or wider.

        F_i = sum_s (n_s g_si)^2 / sum_s n_s

    Args:
        grads: For each example s, the gradient g_s of the mean log-likelihood of its tokens, and the number n_s of
            tokens.
    """
    sums: dict[str, Tensor] = {}
    total = 0
    for grad, tokens in grads:
        total += tokens
        for name, g in grad.items():
            square = (g.to(torch.promote_types(g.dtype, torch.float32)) * tokens).square_()
            sums[name] = sums[name].add_(square) if name in sums else square
    return {name: square.div_(max(total, 1)) for name, square in sums.items()}


def drawn_nll(logits_NV: Tensor, generator: torch.Generator) -> Tensor:
    """Returns the negative log-likelihood of labels drawn from the model's own predictions, `[N]`, in nats."""
    with torch.no_grad():
        labels_N = torch.multinomial(logits_NV.softmax(-1), 1, generator=generator)[:, 0]
    return torch.nn.functional.cross_entropy(logits_NV, labels_N, reduction="none")


@dataclasses.dataclass(frozen=True, repr=False)
class EWC(Method):
    """Adds a distance to the base, weighted by Fisher.

    Adds the squared distance of each weight from the base, weighted by the weight's Fisher information.

        L = L_CE + strength / 2 * sum_i F_i (theta_i - theta0_i)^2
        F_i = sum_s (d/dtheta_i sum_t log p(y_st))^2 / sum_s n_s

    s runs over examples and t over the n_s supervised tokens of each; the labels y are drawn from the base. At strength
    1 the term is the divergence from the base on these texts in nats per token, to second order and without the
    off-diagonal part of the Fisher.

    Args:
        strength: Coefficient of the term (the paper's lambda).
        memory: Path, hub id or name of the old examples on which the Fisher is measured; separate several by commas.
        on: "memory" measures the Fisher on old examples. "new" measures it on the new examples, a weak substitute if
            there are no old ones.
        labels: "model" draws the labels from the base (the Fisher); "data" uses the labels of the texts (the empirical
            Fisher, which approximates no divergence).
        samples: Maximum number of examples on which the Fisher is measured.

    Reference:
        Kirkpatrick et al., Overcoming Catastrophic Forgetting in Neural Networks, 2017, arXiv 1612.00796, eq. 3.

    Confidence:
        note: The formula is simple; every implementation computes a different Fisher, so no strength carries over.

    Cost:
        One backward per example before training. Also two floats for each trained weight, and a pass over them per
        step.

    Departs:
        The paper does not say how F is computed. Here, each example gives one gradient (batch size one, because the
        square of a batch's mean is a different quantity); the sum over its tokens is squared and divided by the number
        of tokens; labels are drawn once. Most code uses the empirical Fisher and gradients of batches; strengths from
        there (TRACE's 400) mean nothing here. On an adapter, F is that of the factors. F is 0 for the A of a fresh
        LoRA, because B is 0, so the penalty holds only B.
    """

    strength: float = setting(1.0, unit="1", low=0.0, search=(0.1, 1000.0), log=True, role="strength")
    memory: str = setting("", unit="path, hub id or name", role="memory")
    on: str = setting("memory", unit="texts of the Fisher", choices=("memory", "new"))
    labels: str = setting("model", unit="source of labels", choices=("model", "data"))
    samples: int = setting(500, unit="examples", low=1, integer=True, search=(100, 2000), log=True)

    asks: ClassVar[frozenset[Ask]] = frozenset({"start", "run_gradient"})
    state_per_parameter: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Checks the settings; `on="memory"` needs a memory."""
        super().__post_init__()
        if self.on == "memory":
            need_memory(self)

    def init_state(self, run: Run) -> State:
        """Returns the diagonal of the current model's Fisher information, by parameter name."""
        find = old_examples if self.on == "memory" else new_examples
        examples = find(run, self, self.samples)
        device = next(iter(trainable(run.model).values())).device
        generator = torch.Generator(device=device).manual_seed(run.seed)
        term = (lambda tok: drawn_nll(tok.logits_NV, generator)) if self.labels == "model" else None
        batches = zip(run.batches(examples, 1), examples, strict=True)
        return {"fisher": diagonal_fisher((run.gradient(batch, term), e.supervised) for batch, e in batches)}

    def penalty(self, state: State, step: Step) -> Tensor:
        """Returns `strength / 2 * sum F (theta - theta0)^2`."""
        parts: list[Tensor] = []
        for name, p in step.params.items():
            fisher = state["fisher"][name] = state["fisher"][name].to(p.device)
            parts.append(half_square(p, step.start[name], fisher))
        return self.strength * sum((part.to(parts[0].device) for part in parts), torch.zeros(()))
