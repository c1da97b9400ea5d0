"""Train: the settings of the training itself, as a term of the recipe."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from holdfast.core.method import Method
from holdfast.core.settings import setting


@dataclasses.dataclass(frozen=True, repr=False)
class Train(Method):
    """Sets learning rate, length and batch size.

    Sets the learning rate, length and batch size of the run; absent settings stay as the trainer has them.

        theta <- theta - lr * factor(step) * update

    where `factor` is the product of the recipe's schedules (Cosine, Warmup, Finch ...), or 1 without a schedule.

    Args:
        lr: Peak learning rate.
        epochs: Passes over the new examples, possibly fractional.
        batch: Examples per optimizer step, over all micro-batches and processes.
        weight_decay: Decoupled weight decay of the optimizer.
        clip: Maximum norm of the gradient; 0 for no clipping.
        teacher: Form of the frozen base, for methods that compare with it. "auto" switches adapters off if that gives
            the base, and otherwise keeps a copy of the trained weights; "copy" always keeps the copy; "cache" computes
            the base's states on the training examples once, before training.
        reference: Which model is the base when training continues from a trained adapter: the model without the adapter
            ("base"), or the model with the adapter as it was at the start ("start").
        base_cache: The most GB on disk for what the base says of the rows, so that it reads each row once. By default
            up to 16 GB where compared rows come twice or more on average, or where runs share it; 0 for none; another
            number whatever the rule says. It is deleted after the last step.
        ship: What a run with an adapter saves: the "adapter", or the model with the adapter "merged". Edits of whole
            weights after training are put back into the adapter as closely as its rank allows.

    Reference:
        None: every trainer has these settings.

    Confidence:
        own: Every trainer has these settings.

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
    reference: str = setting("base", unit="base model", choices=("base", "start"))
    base_cache: float | None = setting(None, unit="GB on disk", low=0.0)
    ship: str = setting("adapter", unit="form of the model", choices=("adapter", "merged"))

    once: ClassVar[str] = "a run has one set of training settings; give Train() once."
