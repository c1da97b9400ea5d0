"""Orthogonal projection: no layer's weight moves along the inputs that old examples give it."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import torch
from torch import Tensor

from holdfast.core.adapters import is_plain_lora, plain_name, tuner_layers
from holdfast.core.errors import HoldfastError
from holdfast.core.exact import exactly
from holdfast.core.method import Method, State
from holdfast.core.params import trainable
from holdfast.core.run import Run, Step
from holdfast.core.settings import setting
from holdfast.methods.activations import input_axis, linear_layers, second_moments
from holdfast.methods.memory import need_memory, old_examples


def leading_basis(moment: Tensor, threshold: float) -> Tensor:
    """Returns the smallest set of orthonormal directions that hold a share of a second moment, `[in, k]`.

    Args:
        moment: Uncentred second moment of a layer's inputs, `[in, in]`, symmetric.
        threshold: Share of the trace that the directions hold, in [0, 1].
    """
    values, vectors = torch.linalg.eigh(exactly(moment))
    values = values.flip(0).clamp(min=0.0)
    before = values.cumsum(0) - values
    count = int((before < threshold * values.sum()).sum())
    basis: Tensor = vectors.flip(1)[:, :count].to(moment.dtype).contiguous()
    return basis


def project_out(change: Tensor, basis: Tensor, axis: int = 1) -> Tensor:
    """Returns a change of a weight without the part that acts on the directions of a basis, in the basis's dtype.

    Args:
        change: `[out, in]`, or `[in, out]` with `axis=0`.
        basis: Orthonormal columns, `[in, k]`.
        axis: The axis of the inputs.
    """
    wide = change.to(basis.dtype)
    inside = (wide @ basis) @ basis.T if axis == 1 else basis @ (basis.T @ wide)
    return wide - inside


@dataclasses.dataclass(frozen=True, repr=False)
class OrthogonalProjection(Method):
    """Removes from steps what old inputs would notice.

    Removes from each step the part that would change a linear layer's outputs on the inputs from old examples.

        dW <- dW - dW M M^T,   M = the leading eigenvectors of (1/n) sum_t x_t x_t^T that hold `threshold` of its trace

    x_t are the layer's inputs on old examples before training, and dW [out, in] is the optimizer's change of its
    weight. Inputs in the span of M see an unchanged weight, so at a threshold of 1 the outputs on old examples stay the
    same.

    Args:
        memory: Path, hub id or name of the old examples; several, separated by commas, are pooled.
        threshold: Share of the energy of each layer's inputs that is protected (the paper's epsilon_th). A higher share
            leaves less room to learn.
        samples: Maximum number of old examples to read.
        rest: Treatment of trained tensors that are not the weight of a linear layer (norms, biases, embeddings with a
            tied head, stacked experts): "frozen", or "free", which lets the outputs drift.

    Reference:
        Saha, Garg, Roy, Gradient Projection Memory for Continual Learning, 2021, arXiv 2103.09762, eq. 6-9 and
        algorithm 1.

    Confidence:
        code: We read the authors' code.

    Cost:
        One forward of the old examples. It runs before training. Each layer needs `in` x `in` floats during that pass
        and `in` x k floats afterwards, and two thin products of each weight per step.

    Departs:
        The method projects the step, not the gradient, because Adam would undo the projection of a gradient; weight
        decay is projected too. There is one old task. The basis has enough directions to reach the threshold; the
        authors' has one fewer. The head is projected like any layer. On a plain LoRA, A is projected: the whole of A if
        B is 0 at the start, so that B may move freely; only the steps of A if the adapter was trained before, and its B
        then counts as the rest. In bfloat16, rounding of the weights breaks exact orthogonality.
    """

    memory: str = setting("", unit="path, hub id or name", role="memory")
    threshold: float = setting(0.97, unit="share of energy", low=0.0, high=1.0, search=(0.9, 0.999))
    samples: int = setting(128, unit="examples", low=1, integer=True, search=(32, 512), log=True)
    rest: str = setting("frozen", unit="other tensors", choices=("frozen", "free"))

    confines: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Checks the settings; a memory is required."""
        super().__post_init__()
        need_memory(self)

    def init_state(self, run: Run) -> State:
        """Returns the bases, and for each kind of projection the number of each parameter's basis.

        Raises:
            HoldfastError: No trained tensor can be projected.
        """
        places = _places(run)
        if not places:
            raise HoldfastError(
                f"{self!r}: no trained tensor is the weight of a linear layer or the A of a plain LoRA."
            )
        examples, layers = old_examples(run, self, self.samples), {layer for layer, _ in places.values()}
        moments = second_moments(run, examples, wanted=layers.__contains__)
        # Layers with the same input share a moment.
        unique: dict[int, Tensor] = {id(moment): moment for moment in moments.values()}
        number = {key: i for i, key in enumerate(unique)}
        state: State = {"basis": {}, "axis0": {}, "axis1": {}, "whole": {}, "free": {}}
        for key, moment in unique.items():
            state["basis"][str(number[key])] = leading_basis(moment, self.threshold)
        for name, (layer, how) in places.items():
            if layer in moments:
                state[how][name] = torch.tensor(number[id(moments[layer])])
        return state

    def edit_update(self, state: State, step: Step, name: str, before: Tensor, after: Tensor) -> Tensor:
        """Returns the weight after the projected step."""
        for how, axis in (("axis0", 0), ("axis1", 1), ("whole", 1)):
            if name in state.get(how, {}):
                number = str(int(state[how][name]))
                basis = state["basis"][number] = state["basis"][number].to(after.device)
                old = torch.zeros_like(before, dtype=basis.dtype) if how == "whole" else before.to(basis.dtype)
                return (old + project_out(after.to(basis.dtype) - old, basis, axis)).to(after.dtype)
        return after if self.rest == "free" or name in state.get("free", {}) else before


def _places(run: Run) -> dict[str, tuple[str, str]]:
    """Returns, for each projected tensor, the layer whose inputs it reads, and its projection ("free" for B)."""
    params = trainable(run.model)
    names = {id(p): name for name, p in params.items()}
    uses: dict[int, int] = {}
    for _, p in run.model.named_parameters(remove_duplicate=False):
        uses[id(p)] = uses.get(id(p), 0) + 1
    places = {
        names[id(layer.weight)]: (name, f"axis{input_axis(layer)}")
        for name, layer in linear_layers(run.model).items()
        if id(layer.weight) in names and uses[id(layer.weight)] == 1
    }
    full = {id(module): name for name, module in run.model.named_modules(remove_duplicate=False)}
    layer: Any
    for layer in tuner_layers(run.model):
        for adapter in getattr(layer, "lora_A", {}):
            if adapter not in layer.lora_B or not is_plain_lora(layer, adapter):
                continue
            a, b = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
            if id(a) not in names:
                continue
            fresh = not bool(b.detach().any())
            place = plain_name(full[id(layer)])
            places[names[id(a)]] = (place, "whole" if fresh else "axis1")
            if fresh and id(b) in names:
                places[names[id(b)]] = (place, "free")
    return places
