"""The auxiliary loss of a mixture of experts, weighted and scaled as the trainer at hand does it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from holdfast.core.errors import HoldfastError

NAMES = ("router_aux_loss_coef", "aux_loss_coef")


def aux_share(config: Any, model: Any = None) -> float:
    """Returns what a model multiplies the auxiliary loss of its experts by.

    Most models read it from their configuration once and keep it; those that see images look it up in that of their
    text model at every step.

    Args:
        config: Its configuration.
        model: The model itself, unwrapped; may be a PEFT model.

    Raises:
        HoldfastError: It is found nowhere.
    """
    for place in _places(config, model):
        for name in NAMES:
            if getattr(place, name, None) is not None:
                return float(getattr(place, name))
    raise HoldfastError(
        f"{type(config).__name__} has no router_aux_loss_coef, and the model has an auxiliary loss; set one, or"
        " output_router_logits=False."
    )


def _places(config: Any, model: Any) -> Iterator[Any]:
    own = getattr(model, "get_base_model", lambda: model)()
    if own is not None:
        yield own
    if getattr(config, "text_config", None) is not None:
        yield config.text_config
    if hasattr(config, "get_text_config"):
        yield config.get_text_config()
    yield config


def aux_scale(trainer: Any, scaled: bool | None, num_items_in_batch: Any) -> float:
    """Returns what `transformers.Trainer` makes of a micro-batch's auxiliary loss, beside the model's own share.

    It is part of the model's loss, which the trainer divides by the micro-batches of the step unless the model divides
    by the step's tokens, and multiplies by the processes where it has their tokens counted together.

    Args:
        trainer: The trainer.
        scaled: Its `loss_is_scaled_for_ga`, as it was built.
        num_items_in_batch: The step's tokens as the trainer counts them; None where it does not.
    """
    divides = (trainer.model_accepts_loss_kwargs or trainer.compute_loss_func is not None) and (
        num_items_in_batch is not None
    )
    if scaled is None:
        scaled = divides or trainer.compute_loss_func is not None
    scale = 1.0 if scaled else 1.0 / trainer.current_gradient_accumulation_steps
    if divides and trainer.args.average_tokens_across_devices:
        scale *= int(trainer.accelerator.num_processes) // int(getattr(trainer, "get_tp_size", lambda: 1)())
    return scale
