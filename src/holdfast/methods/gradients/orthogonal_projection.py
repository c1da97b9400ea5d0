"""Orthogonal projection: no layer's weight moves along what old examples make it read."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import torch
from torch import Tensor

from holdfast.core.adapters import is_plain_lora, plain_name, tuner_layers
from holdfast.core.errors import HoldfastError
from holdfast.core.method import Method, State
from holdfast.core.params import trainable
from holdfast.core.run import Run, Step
from holdfast.core.settings import setting
from holdfast.methods.activations import input_axis, linear_layers, second_moments
from holdfast.methods.memory import need_memory, old_examples


def leading_basis(moment: Tensor, threshold: float) -> Tensor:
    """Returns the fewest orthonormal directions that hold a share of a second moment, `[in, k]`.

    Args:
        moment: Uncentred second moment of a layer's inputs, `[in, in]`, symmetric.
        threshold: Share of its trace that they hold, in [0, 1].
    """
    values, vectors = torch.linalg.eigh(moment.double())
    values = values.flip(0).clamp(min=0.0)
    before = values.cumsum(0) - values
    count = int((before < threshold * values.sum()).sum())
    basis: Tensor = vectors.flip(1)[:, :count].to(moment.dtype).contiguous()
    return basis


def project_out(change: Tensor, basis: Tensor, axis: int = 1) -> Tensor:
    """Returns a change of a weight without what acts on the directions of a basis, in the basis's precision.

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
    """Takes from each step what would change how a linear layer answers the inputs that old examples give it.

        dW <- dW - dW M M^T,   M = the leading eigenvectors of (1/n) sum_t x_t x_t^T that hold `threshold` of its trace

    x_t are the layer's inputs on the memory before training, dW [out, in] what the optimizer did to its weight. Inputs
    in the span of M meet the weight that they met before, so that at a threshold of 1 the memory's outputs stay.

    Args:
        memory: Path, hub id or name of the old examples; several separated by commas are one.
        threshold: Share of the energy of each layer's inputs that is shut off (the paper's epsilon_th). The more, the
            less room to learn.
        samples: Most old examples that are looked at.
        rest: What becomes of trained tensors that are no linear layer's weight (norms, biases, embeddings with a head
            that is tied to them, stacked experts): "frozen", or "free", and then the outputs drift by them.

    Reference:
        Saha, Garg, Roy, Gradient Projection Memory for Continual Learning, 2021, arXiv 2103.09762, eq. 6-9 and
        algorithm 1.

    Confidence:
        code: The authors' code was read.

    Cost:
        One forward of the memory before. And in x in floats for each layer then, in x k from then on, with two thin
        products of each weight per step.

    Departs:
        The step is projected, not the gradient: Adam would undo that (and weight decay is projected with it). One old
        task. As many directions as reach the threshold, where the authors stop one short. The head is projected like
        any layer. Of a plain LoRA, A is projected: whole where B is 0 at the start, so that B may move freely; by its
        steps in one that was trained before, whose B then counts as the rest. In bfloat16 weights round what is kept.
    """

    memory: str = setting("", unit="path, hub id or name", role="memory")
    threshold: float = setting(0.97, unit="share of energy", low=0.0, high=1.0, search=(0.9, 0.999))
    samples: int = setting(128, unit="examples", low=1, integer=True, search=(32, 512), log=True)
    rest: str = setting("frozen", unit="other tensors", choices=("frozen", "free"))

    confines: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Checks the settings; without a memory there is nothing to be orthogonal to."""
        super().__post_init__()
        need_memory(self)

    def init_state(self, run: Run) -> State:
        """Returns the bases, and the number of its own for each parameter, by how it is projected.

        Raises:
            HoldfastError: Nothing that is trained can be projected.
        """
        places = _places(run)
        if not places:
            raise HoldfastError(
                f"{self!r}: nothing that is trained is the weight of a linear layer or the A of a plain LoRA."
            )
        examples, layers = old_examples(run, self, self.samples), {layer for layer, _ in places.values()}
        moments = second_moments(run, examples, wanted=layers.__contains__)
        found: dict[int, Tensor] = {id(moment): moment for moment in moments.values()}  # layers of one input share one
        number = {key: i for i, key in enumerate(found)}
        state: State = {"basis": {}, "axis0": {}, "axis1": {}, "whole": {}, "free": {}}
        for key, moment in found.items():
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
    """Returns for each trained tensor that is projected the layer whose inputs it meets, and how ("free" for B)."""
    params = trainable(run.model)
    names = {id(p): name for name, p in params.items()}
    uses: dict[int, int] = {}
    for _, p in run.model.named_parameters(remove_duplicate=False):
        uses[id(p)] = uses.get(id(p), 0) + 1
    found = {
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
            found[names[id(a)]] = (place, "whole" if fresh else "axis1")
            if fresh and id(b) in names:
                found[names[id(b)]] = (place, "free")
    return found
