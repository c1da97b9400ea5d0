"""L2 to the base: a penalty on the squared size of the change in the weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from holdfast.core.adapters import is_plain_lora, tuner_layers
from holdfast.core.method import Method, State
from holdfast.core.needs import Ask
from holdfast.core.run import Run, Step
from holdfast.core.settings import setting
from holdfast.methods.distance import half_square


def low_rank_half_square(b: Tensor, a: Tensor, b0: Tensor, a0: Tensor) -> Tensor:
    """Returns `||B A - B0 A0||_F^2 / 2` from Gram matrices of twice the rank; the product is never formed.

        B A - B0 A0 = [B - B0, B0] [A; A - A0] = L R,   ||L R||_F^2 = sum (L^T L) * (R R^T)

    so that no two large numbers are subtracted when the factors are close to their start.

    Args:
        b: B `[out, rank]`; gradients flow.
        a: A `[rank, in]`; gradients flow.
        b0: B at the start.
        a0: A at the start.
    """
    wide = torch.promote_types(b.dtype, torch.float32)
    b, a, b0, a0 = (t.to(device=b.device, dtype=wide) for t in (b, a, b0, a0))
    left, right = torch.cat([b - b0, b0], dim=1), torch.cat([a, a - a0], dim=0)
    return ((left.T @ left) * (right @ right.T)).sum() / 2


@dataclasses.dataclass(frozen=True, repr=False)
class BaseL2(Method):
    """Adds the squared distance of weights to the base.

    Adds half the squared distance of the trained weights from where they started.

        L = L_CE + strength * sum_i (theta_i - theta0_i)^2 / 2

    For a plain low-rank adapter, the distance is that of its product, ||s (B A - B0 A0)||_F^2, where s is the adapter's
    scale. The penalty treats all weights alike, whatever their use. It is cheap, and the weakest penalty in
    comparisons.

    Args:
        strength: Coefficient of the sum, per unit of weight squared (the paper's alpha).

    Reference:
        Li, Grandvalet, Davoine, Explicit Inductive Bias for Transfer Learning with Convolutional Networks, 2018, arXiv
        1802.01483, eq. 3 (L2-SP).

    Confidence:
        note: The formula is simple; no source says which strength suits a language model.

    Cost:
        A copy of the trained weights. Also one pass over them per step; next to nothing with an adapter.

    Departs:
        One strength applies to all weights. The paper has a second one, beta, which pulls a new head towards zero; here
        the head is the base's. On a plain LoRA, the distance is that of B A, computed from Gram matrices of the
        factors; other adapters (DoRA, adapters on embeddings or on stacked experts) are held to the start of their own
        factors. The penalty is part of the loss, so clipping and Adam's scaling apply to it, unlike decoupled weight
        decay.
    """

    strength: float = setting(
        0.01, unit="nats per squared weight", low=0.0, search=(1e-4, 1.0), log=True, role="strength"
    )

    asks: ClassVar[frozenset[Ask]] = frozenset({"start"})

    def init_state(self, run: Run) -> State:
        """Returns the scale of each plain adapter, keyed by the name of its A, and its factors that are frozen."""
        state: State = {"scale": {}, "still": {}}
        for scale, a, b, params in _plain(run.model):
            state["scale"][a] = torch.tensor(scale, dtype=torch.float64)
            state["still"] |= {n: params[n].detach().clone() for n in (a, b) if not params[n].requires_grad}
        return state

    def penalty(self, state: State, step: Step) -> Tensor:
        """Returns `strength` times half the squared distance."""
        still, pairs = state.get("still", {}), [(a, _up(a)) for a in state.get("scale", {})]
        parts: list[Tensor] = []
        for a, b in pairs:
            now = [step.params[name] if name in step.params else still[name] for name in (b, a)]
            start = [step.start[name] if name in step.start else still[name] for name in (b, a)]
            device = next(step.params[name].device for name in (b, a) if name in step.params)
            half = low_rank_half_square(*(t.to(device) for t in (*now, *start)))
            parts.append(float(state["scale"][a]) ** 2 * half)
        inside = {name for pair in pairs for name in pair}
        parts += [half_square(p, step.start[name]) for name, p in step.params.items() if name not in inside]
        return self.strength * sum((part.to(parts[0].device) for part in parts), torch.zeros(()))


def _up(name: str) -> str:
    """Returns the name of the B that belongs to an A."""
    return name.replace(".lora_A.", ".lora_B.")


def _plain(model: nn.Module) -> Iterator[tuple[float, str, str, dict[str, nn.Parameter]]]:
    """Yields, for each trained plain low-rank adapter, its scale, the names of A and B, and all parameters."""
    params = dict(model.named_parameters())
    names = {id(p): name for name, p in params.items()}
    layer: Any
    for layer in tuner_layers(model):
        for adapter in getattr(layer, "lora_A", {}):
            if not is_plain_lora(layer, adapter):
                continue
            factors = [layer.lora_A[adapter].weight, layer.lora_B[adapter].weight]
            if any(p.requires_grad for p in factors):
                yield float(layer.scaling[adapter]), names[id(factors[0])], names[id(factors[1])], params
