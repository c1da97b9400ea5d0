"""Edits of weights after training, on the model of a finished run, which recipes share that differ only in edits."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from holdfast.core.method import HOOKS, Chain, Method
from holdfast.methods.adapter import Adapter
from holdfast.methods.selection.lora import LoRA
from holdfast.train.attach import Attached
from holdfast.train.settings import with_train, without_train


def is_weight_edit(method: Method) -> bool:
    """Returns whether a method acts only on the weights after training (it may also keep settings)."""
    acts = {hook for hook in HOOKS if method.uses(hook)}
    return "edit_weights" in acts and acts <= {"edit_weights", "init_state"} and not method.on_parameters


def trunk_of(recipe: Chain) -> Chain | None:
    """Returns the recipe without its edits, whose trained model this recipe edits; None if no training can be shared.

    An adapter can be shared only if it ships in the form in which it trains: a plain one that moved no weight.
    """
    active = recipe.active()
    rest = tuple(method for method in active.methods if not is_weight_edit(method))
    if len(rest) == len(active.methods) or not all(map(_shared, rest)):
        return None
    return with_train(Chain(rest), ship="adapter")


def _shared(method: Method) -> bool:
    return not isinstance(method, Adapter) or (isinstance(method, LoRA) and method.init in ("default", "orthogonal"))


def shaping_methods(recipe: Chain) -> Chain:
    """Returns the methods that shape the trained model or edit it, without those that only train it."""
    active = recipe.active()
    trained = [m for m in without_train(active) if not (m.uses("shape_model") or is_weight_edit(m))]
    return Chain(tuple(m for m in active.methods if m not in trained))


def ship_edited(trainer: Attached, folder: Path) -> None:
    """Loads the weights of a finished run into a trainer's model, as if it had trained them, and edits them."""
    host, source = trainer.holdfast_host, folder / "model"
    host.begin()
    if (source / "adapter_config.json").exists():
        import peft
        import safetensors.torch

        weights = safetensors.torch.load_file(source / "adapter_model.safetensors")
        peft.set_peft_model_state_dict(host.model, weights)
    else:
        load_weights(host.model, source)
    host.ship()


def load_weights(model: nn.Module, folder: Path) -> None:
    """Gives a model the whole weights in a folder; what was kept of its own weights stays."""
    from holdfast.bench.given.loading import load_model

    with torch.no_grad():
        model.load_state_dict(load_model(str(folder)).state_dict())
