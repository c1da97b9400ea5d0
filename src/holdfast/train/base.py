"""Chooses the form of the teacher for a model: the adapters to switch off and the weights to keep for the base."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from holdfast.core.adapters import (
    acting_adapters,
    active_configs,
    adapted,
    own_parameters,
    trained_adapters,
    tuner_layers,
)
from holdfast.core.errors import HoldfastError
from holdfast.core.params import snapshot, trainable
from holdfast.core.teacher import Teacher

logger = logging.getLogger("holdfast")

IDENTITY_INITS = ("gaussian", "eva", "orthogonal", "mica")
"""PEFT's named initialisations with which the adapter adds nothing at the start; all others move base weights."""


def make_teacher(model: nn.Module, form: str = "auto", reference: str = "base") -> Teacher:
    """Returns the teacher for the current `model`; call it before training.

    Args:
        model: Unwrapped; a PEFT model, a model with adapters injected, or a plain one.
        form: "auto" or "copy" (see `Train`); for "cache", the caller fills the cache from an "auto" teacher.
        reference: "base" for the model without its adapter, "start" for the current model. For an adapter whose
            initialisation moved base weights (PiSSA, OLoRA) the two coincide: the original weights are gone, so the
            base of a loaded adapter is the model as loaded. An active, frozen adapter beside the trained one belongs to
            the base; an inactive one does not.

    Raises:
        HoldfastError: The adapter adds virtual tokens, so a forward without it has other positions; or `form` is "copy"
            and the adapter was trained before.
    """
    params, names = trainable(model), trained_adapters(model)
    moved = has_moved(model, names)
    _refuse(model, names, copied_base=form == "copy" and reference == "base" and not moved)
    if form == "copy" or not names:
        return Teacher("copy", False, snapshot(params))
    if moved and reference == "base":
        logger.info("The adapter began by moving base weights: the base is the current model with its adapter.")
    if reference == "start" or moved:
        return Teacher("start adapter", False, snapshot(params))
    inside = {id(p) for layer in tuner_layers(model) for p in own_parameters(layer)}
    beside = {name: p for name, p in params.items() if id(p) not in inside}
    return Teacher(
        "adapters off", True, snapshot(beside), tuple(name for name in acting_adapters(model) if name not in names)
    )


def _refuse(model: nn.Module, names: Sequence[str], *, copied_base: bool) -> None:
    """Raises `HoldfastError` for a model without a comparable base, or if a copy of the model would not be its base."""
    if any(config.is_prompt_learning for config in active_configs(model)):
        raise HoldfastError(
            f"{type(model).__name__}: a prompt-learning adapter shifts positions, so the base cannot be compared token"
            " by token; use LoRA() or another weight adapter."
        )
    if copied_base and not _add_nothing(model, names):
        raise HoldfastError(
            "Train(teacher='copy') would copy the model with its trained adapter, which is not the base; add"
            " reference='start' to compare with that model, or leave out teacher='copy' to compare with the model"
            " without the adapter."
        )


def has_moved(model: nn.Module, names: Iterable[str]) -> bool:
    """Returns whether one of the named adapters began by moving weights of the base into itself."""
    configs: Mapping[str, object] = getattr(model, "peft_config", {})
    return any(moves_base_weights(configs.get(name)) for name in names)


def _add_nothing(model: nn.Module, names: Sequence[str]) -> bool:
    weights = (weight for weight in adapted(model) if weight.param.is_floating_point())
    pairs = ((weight.tuned(), weight.tuned(names)) for weight in weights)
    return all(torch.allclose(tuned, base.to(tuned.dtype), rtol=1e-4, atol=1e-6) for tuned, base in pairs)


def moves_base_weights(config: object) -> bool:
    """Returns whether an adapter with this configuration began by moving weights of the base into itself."""
    init = getattr(config, "init_lora_weights", getattr(config, "init_weights", True))
    return isinstance(init, str) and init not in IDENTITY_INITS
