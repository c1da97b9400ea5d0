"""A-GEM: projects a gradient that conflicts with the old examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.core.batches import collate
from holdfast.core.exact import exactly
from holdfast.core.method import Method, State
from holdfast.core.needs import Ask
from holdfast.core.rows import drawn, to_examples, to_tensors
from holdfast.core.run import Run, Step
from holdfast.core.settings import setting
from holdfast.methods.memory import need_memory, old_examples


def agem_share(grads: Mapping[str, Tensor], reference: Mapping[str, Tensor]) -> float:
    """Returns the multiple of the reference gradient to add to a gradient so that the two do not conflict.

        max(0, -(g . g_ref) / (g_ref . g_ref))

    Args:
        grads: The step's gradient g by parameter name; parameters without a gradient are left out.
        reference: The memory's gradient g_ref.

    Returns:
        0 if the two agree, if the reference is 0, or if either is not finite.
    """
    dot = square = 0.0
    for name, g in grads.items():  # one tensor at a time: in float64 all of them would be twice the model
        mine, other = exactly(g).flatten(), exactly(reference[name]).flatten()
        here = torch.stack([mine @ other, other @ other]).tolist()
        dot, square = dot + here[0], square + here[1]
    return -dot / square if dot < 0 < square < float("inf") else 0.0


@dataclasses.dataclass(frozen=True, repr=False)
class AGEM(Method):
    """Removes the gradient's part against old examples.

    Removes from the gradient the part that points against the gradient of the loss on old examples.

        g <- g - (g . g_ref / g_ref . g_ref) * g_ref     where g . g_ref < 0,     else g

    g is the clipped gradient of the step over all trained parameters as one vector; g_ref is the gradient of the mean
    token loss on a random batch of old examples. To first order, a step along g does not raise the loss on old
    examples. If the two agree, the gradient does not change: the model does not rehearse.

    Args:
        memory: Path, hub id or name of the old examples; several, separated by commas, are pooled.
        samples: Old examples in the batch of each step, redrawn every step.

    Reference:
        Chaudhry et al., Efficient Lifelong Learning with A-GEM, 2019, arXiv 1812.00420, eq. 11.

    Confidence:
        code: We read the authors' code.

    Cost:
        One more backward per step. It runs on a batch of old examples; its gradient takes a float for each trained
        weight.

    Departs:
        The authors train with plain SGD. Adam scales each entry and adds momentum, so the actual step may still
        conflict: with Adam the method reduces conflicts but does not exclude them. Weight decay is not projected. On an
        adapter, the vectors are those of its factors.
    """

    memory: str = setting("", unit="path, hub id or name", role="memory")
    samples: int = setting(16, unit="examples per step", low=1, integer=True, search=(4, 256), log=True)

    asks: ClassVar[frozenset[Ask]] = frozenset({"gradient"})
    confines: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Checks the settings; a memory is required."""
        super().__post_init__()
        need_memory(self)

    def init_state(self, run: Run) -> State:
        """Returns the old examples as tensors, and the seed of the draws."""
        return {"memory": to_tensors(old_examples(run, self)), "seed": torch.tensor(run.seed)}

    def edit_grads(self, state: State, step: Step) -> None:
        """Projects the gradient."""
        grads = {name: p.grad for name, p in step.params.items() if p.grad is not None}
        if not grads:
            return
        kept = state["memory"]
        rows = drawn(len(kept["lengths"]), self.samples, int(state["seed"]), step.index)
        batch = collate(to_examples(kept, rows), 0, next(iter(grads.values())).device)
        reference = step.gradient(batch)
        share = agem_share(grads, reference)
        if share > 0.0:
            for name, grad in grads.items():
                grad.add_(reference[name].to(grad.dtype), alpha=share)
