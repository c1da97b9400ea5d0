"""Train: the settings of the training itself, as a summand of the recipe."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from holdfast.core.method import Method
from holdfast.core.settings import setting


@dataclasses.dataclass(frozen=True, repr=False)
class Train(Method):
    """Sets learning rate, length and batch of the run; what is not given stays as the trainer has it.

        theta <- theta - lr * factor(step) * update

    where `factor` is the product of the recipe's schedules (Cosine, Warmup, Finch ...), 1 if there are none.

    Args:
        lr: Peak learning rate.
        epochs: Passes over the new examples; may be fractional.
        batch: Examples per optimizer step, over all micro-batches and processes.
        weight_decay: Decoupled weight decay of the optimizer.
        clip: Largest norm of the gradient; 0 for no clipping.
        teacher: Form of the frozen base, for methods that compare with it. "auto" switches adapters off where that is
            the base and otherwise keeps a copy of the trained weights; "copy" always keeps the copy; "cache" computes
            the base's states on the training examples once, before training.
        reference: What the base is when training goes on from a trained adapter: the model without it ("base") or
            with it as it was at the start ("start").
        ship: What is shipped of a model with an adapter: the "adapter", or the model with it "merged". What edits whole
            weights after training is put back into the adapter as near as its rank can hold it.

    Reference:
        None: these are the settings every trainer has.

    Confidence:
        own: These are what every trainer has.

    Cost:
        Nothing.

    Departs:
        Nothing.
    """

    lr: float | None = setting(None, unit="1/step", low=0.0, search=(1e-6, 1e-2), log=True)
    epochs: float | None = setting(None, unit="passes", low=0.0, search=(1, 5))
    batch: int | None = setting(None, unit="examples", low=1, integer=True)
    weight_decay: float | None = setting(None, unit="1/step, times lr", low=0.0, search=(1e-4, 0.1), log=True)
    clip: float | None = setting(None, unit="gradient norm", low=0.0)
    teacher: str = setting("auto", unit="form of the base", choices=("auto", "copy", "cache"))
    reference: str = setting("base", unit="which weights", choices=("base", "start"))
    ship: str = setting("adapter", unit="form of the model", choices=("adapter", "merged"))

    once: ClassVar[str] = "a run has one set of training settings; give Train() once."
