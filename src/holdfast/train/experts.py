"""The auxiliary loss of a mixture of experts, weighted and scaled as the trainer at hand does it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from torch import Tensor

from holdfast.core.errors import HoldfastError
from holdfast.train.reading import is_trl
from holdfast.train.trainers import HostTrainer, SFTHost

NAMES = ("router_aux_loss_coef", "aux_loss_coef")


def aux_share(config: object, model: object = None) -> float:
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


def _places(config: object, model: object) -> Iterator[object]:
    own = getattr(model, "get_base_model", lambda: model)()
    if own is not None:
        yield own
    text: object = getattr(config, "text_config", None)
    if text is not None:
        yield text
    if hasattr(config, "get_text_config"):
        yield config.get_text_config()
    yield config


def aux_weight(trainer: HostTrainer, scaled: bool | None, num_items_in_batch: Tensor | int | None) -> float:
    """Returns what a trainer multiplies a micro-batch's auxiliary loss by, when its own loss takes it in.

    Args:
        trainer: The trainer.
        scaled: Its `loss_is_scaled_for_ga`, as it was built.
        num_items_in_batch: The step's tokens as the trainer counts them; None where it does not.
    """
    if is_trl(trainer):
        return cast(SFTHost, trainer).router_aux_loss_coef / trainer.current_gradient_accumulation_steps
    share = aux_share(trainer.model.config, trainer.accelerator.unwrap_model(trainer.model))
    return share * aux_scale(trainer, scaled, num_items_in_batch)


def aux_scale(trainer: HostTrainer, scaled: bool | None, num_items_in_batch: Tensor | int | None) -> float:
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
        scale *= int(trainer.accelerator.num_processes) // int(trainer.get_tp_size())
    return scale
