"""Adapters on a model through PEFT, for all methods that train one."""

from __future__ import annotations

import dataclasses
import re
import warnings
from typing import Any, ClassVar

import torch
from torch import nn

from holdfast.core.adapters import tuner_layers
from holdfast.core.errors import HoldfastError
from holdfast.core.method import Method
from holdfast.core.run import Run

NAME = "default"
"""Name of the adapter that a method puts on a model without any; PEFT's own."""

PARTS = {
    "mlp": re.compile(r"(^|\.)(mlp|ffn|feed_forward|block_sparse_moe)\."),
    "attention": re.compile(r"(^|\.)(\w+_)?(attn|attention)\."),
}
"""Pattern in the names of the layers of each part of a model."""


HEADS = {
    "ForSequenceClassification": ("SEQ_CLS", ["classifier", "score"]),
    "ForTokenClassification": ("TOKEN_CLS", ["classifier", "score"]),
    "ForQuestionAnswering": ("QUESTION_ANS", ["qa_outputs"]),
}
"""Endings of class names of models with a new head, with PEFT's name of the task and the modules it trains in full."""


class Adapter(Method):
    """Base of the methods that train an adapter; each has a setting `targets`.

    Class attributes:
        small: Whether few numbers train, which need higher learning rates than whole weights.
        on_frozen: Whether the weights under the adapter may stay frozen in the 16 bits of their file until they are
            shipped; not if it `moves` them.
    """

    slot: ClassVar[str] = "adapter"
    small: ClassVar[bool] = True
    on_frozen: ClassVar[bool] = False
    targets: str

    def __post_init__(self) -> None:
        """Checks the settings; `targets` must not be empty."""
        super().__post_init__()
        if not names_of(self.targets):
            raise HoldfastError(
                f"{type(self).__name__}() needs targets: 'all-linear', 'mlp', 'attention', or module name endings like"
                " 'q_proj,v_proj'."
            )

    @property
    def moves(self) -> bool:
        """Whether the method begins by moving weights of the base."""
        return False


def names_of(targets: str) -> list[str]:
    """Returns the module names or endings that `targets` gives, in order."""
    return [name.strip() for name in targets.split(",") if name.strip()]


def target_names(model: nn.Module, targets: str) -> list[str]:
    """Returns the names of the linear layers that `targets` selects; the head is in no part of the model."""
    if targets not in PARTS:
        wanted = [f".{name}" for name in names_of(targets)]
        return [name for name in linear_names(model) if any(f".{name}".endswith(end) for end in wanted)]
    return [name for name in linear_names(model) if PARTS[targets].search(name)]


def linear_names(model: nn.Module) -> list[str]:
    """Returns the names of the layers that PEFT calls linear: `nn.Linear` and `Conv1D`."""
    from transformers.pytorch_utils import Conv1D

    return [name for name, module in model.named_modules() if isinstance(module, (nn.Linear, Conv1D))]


def stacked_names(model: nn.Module, targets: str) -> list[str]:
    """Returns the names of the stacked weights of experts (3-D parameters) in a part of the model."""
    part = PARTS.get(targets)
    return [name for name, p in model.named_parameters() if part is not None and part.search(name) and p.dim() == 3]


def task_of(model: Any) -> dict[str, Any]:
    """Returns PEFT's options for the task of a model, from which it knows which head to train with the adapter."""
    name = type(model).__name__
    for ending, (task, heads) in HEADS.items():
        if name.endswith(ending):
            return {"task_type": task, "exclude_modules": heads}
    if not hasattr(model, "prepare_inputs_for_generation"):
        return {}
    return {"task_type": "SEQ_2_SEQ_LM" if getattr(model.config, "is_encoder_decoder", False) else "CAUSAL_LM"}


def adapt(run: Run, method: Adapter, kind: Any, **settings: Any) -> Any:
    """Returns `run.model` with an adapter of a kind; its random numbers depend only on the run's seed.

    Args:
        run: The run, whose model carries no adapter.
        method: The method, for its `targets` and for messages.
        kind: PEFT's configuration class.
        settings: Further arguments of that class, without the targets.

    Raises:
        HoldfastError: The model already has an adapter, or this kind of adapter fits none, or not all, of `targets`.
    """
    import peft

    model = run.model
    if isinstance(model, peft.PeftModel) or tuner_layers(model):
        raise HoldfastError(
            f"{method!r}: the model already has an adapter; merge it first (model.merge_and_unload()), or leave"
            f" {type(method).__name__}() out of the recipe to train on with it."
        )
    takes_stacked = kind is peft.LoraConfig and not settings.get("use_dora")
    settings |= _targets(model, method, takes_stacked)
    known = {field.name for field in dataclasses.fields(kind)}
    config = kind(**{name: value for name, value in task_of(model).items() if name in known}, **settings)
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="fan_in_fan_out")
        torch.manual_seed(run.seed)
        try:
            made = peft.get_peft_model(model, config, adapter_name=NAME)
        except (ValueError, TypeError) as error:
            _undo(model)
            if not re.search("target|ParamWrapper|modules_to_save", str(error), re.IGNORECASE):
                raise
            raise HoldfastError(_nothing(model, method)) from error
    if not tuner_layers(model):
        raise HoldfastError(_nothing(model, method))
    return made


def _targets(model: nn.Module, method: Adapter, takes_stacked: bool) -> dict[str, Any]:
    """Returns PEFT's arguments for the layers that a method's `targets` selects, with experts if `takes_stacked`.

    Raises:
        HoldfastError: There are no such layers, or not all named ones exist.
    """
    if method.targets == "all-linear":
        return {"target_modules": "all-linear"}
    if method.targets not in PARTS:
        named = names_of(method.targets)
        if missing := _missing(model, named):
            raise HoldfastError(_nothing(model, method, missing))
        return {"target_modules": named}
    names, stacked = target_names(model, method.targets), stacked_names(model, method.targets)
    if stacked and takes_stacked:
        return {"target_modules": names, "target_parameters": stacked}
    if not names:
        raise HoldfastError(_nothing(model, method))
    return {"target_modules": names}


def _undo(model: nn.Module) -> None:
    """Removes the adapters that were put on before an error."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(getattr(child, "_disable_adapters", None), bool):
                base: Any = child
                copied = hasattr(base, "original_module")  # a module that trains in full
                setattr(module, name, base.original_module if copied else base.get_base_layer())


def _missing(model: nn.Module, names: list[str]) -> list[str]:
    modules = [f".{name}" for name, _ in model.named_modules()]
    return [name for name in names if not any(module.endswith(f".{name}") for module in modules)]


def _nothing(model: nn.Module, method: Adapter, missing: list[str] | None = None) -> str:
    kind, linear = type(model).__name__, {name: model.get_submodule(name) for name in linear_names(model)}
    endings = ", ".join(sorted({name.rsplit(".", 1)[-1] for name in linear}))
    known = method.targets in PARTS or method.targets == "all-linear" or target_names(model, method.targets)
    if known and not missing:
        kinds = " and ".join(sorted({type(module).__name__ for module in linear.values()}))
        return (
            f"{method!r}: this kind of adapter does not support these layers of {kind}; its linear layers ({kinds})"
            f" are {endings}; name some of them as targets, or take LoRA()."
        )
    return (
        f"{method!r}: no module of {kind} ends in {' or '.join(missing or names_of(method.targets))};"
        f" its linear layers are {endings}."
    )


def freeze(layer: Any, name: str, adapter: str = NAME) -> None:
    """Freezes one factor of a layer's adapter, also after PEFT sets the adapter again."""
    held = layer.frozen_peft_weight_names
    layer.frozen_peft_weight_names = {**held, adapter: (*held.get(adapter, ()), name)}
    getattr(layer, name)[adapter].requires_grad_(False)
