"""The auxiliary loss of a mixture of experts, with the weight and scale that the trainer gives it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from torch import Tensor

from holdfast.core.errors import HoldfastError
from holdfast.train.task_loss import is_trl
from holdfast.train.trainers import HostTrainer, SFTHost

NAMES = ("router_aux_loss_coef", "aux_loss_coef")


def aux_share(config: object, model: object = None) -> float:
    """Returns the factor by which a model multiplies the auxiliary loss of its experts.

    Most models read the factor from their configuration once and keep it; vision models read it from their text
    configuration at every step.

    Args:
        config: Configuration of the model.
        model: The unwrapped model; may be a PEFT model.

    Raises:
        HoldfastError: Neither the model nor its configuration has the factor.
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
    inner = getattr(model, "get_base_model", lambda: model)()
    if inner is not None:
        yield inner
    text: object = getattr(config, "text_config", None)
    if text is not None:
        yield text
    if hasattr(config, "get_text_config"):
        yield config.get_text_config()
    yield config


def aux_weight(trainer: HostTrainer, scaled: bool | None, num_items_in_batch: Tensor | int | None) -> float:
    """Returns the factor with which a trainer adds a micro-batch's auxiliary loss to its loss.

    Args:
        trainer: The trainer.
        scaled: Its `loss_is_scaled_for_ga` before the recipe was attached.
        num_items_in_batch: The trainer's count of the step's tokens; None if it does not count them.
    """
    if is_trl(trainer):
        return cast(SFTHost, trainer).router_aux_loss_coef / trainer.current_gradient_accumulation_steps
    share = aux_share(trainer.model.config, trainer.accelerator.unwrap_model(trainer.model))
    return share * aux_scale(trainer, scaled, num_items_in_batch)


def aux_scale(trainer: HostTrainer, scaled: bool | None, num_items_in_batch: Tensor | int | None) -> float:
    """Returns the scale that `transformers.Trainer` puts on a micro-batch's auxiliary loss, apart from the model's
    factor.

    The auxiliary loss is part of the model's loss. The trainer divides that loss by the number of micro-batches, unless
    the model divides by the step's tokens; it multiplies it by the number of processes if they count tokens together.

    Args:
        trainer: The trainer.
        scaled: Its `loss_is_scaled_for_ga` before the recipe was attached.
        num_items_in_batch: The trainer's count of the step's tokens; None if it does not count them.
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
