"""What a recipe asks of a trainer before training: its settings, its data, its base."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.method import Chain
from holdfast.core.mix import Mix
from holdfast.core.run import SOURCE
from holdfast.core.teacher import StateCache, Teacher
from holdfast.methods.schedules.train import Train
from holdfast.train.base import make_teacher
from holdfast.train.before import Before
from holdfast.train.forward import Forward
from holdfast.train.head import head_of
from holdfast.train.mixing import CollateWithSource, MixedRows
from holdfast.train.session import owns_forward

logger = logging.getLogger("holdfast")


def refuse(trainer: Any, recipe: Chain) -> None:
    """Names what cannot be had together, before anything is changed."""
    args, active = trainer.args, recipe.active()
    units = owns_forward(active, active.uses("mix_data"))
    if args.n_gpu > 1:
        raise HoldfastError(
            "Several GPUs in one process (DataParallel) split a batch behind the trainer's back; start with torchrun or"
            " accelerate launch, or show one GPU (CUDA_VISIBLE_DEVICES=0)."
        )
    if trainer.model_init is not None:
        raise HoldfastError("This trainer builds its model anew for each trial (model_init); pass model= instead.")
    if units and _has_own_loss(trainer):
        raise HoldfastError(
            f"{recipe!r} owns the loss, and {type(trainer).__name__} computes one of its own, which would be lost;"
            " token terms work on Trainer and SFTTrainer as they are."
        )
    if units:
        _needs_causal(trainer, recipe)
    if units and trainer.compute_loss_func is not None:
        raise HoldfastError(f"{recipe!r} owns the loss, and this trainer has a compute_loss_func; use one of the two.")
    if units and args.label_smoothing_factor > 0:
        raise HoldfastError(f"{recipe!r} owns the loss; set label_smoothing_factor=0 in the trainer's arguments.")
    if units and getattr(args, "loss_type", "nll") != "nll":
        raise HoldfastError(f"{recipe!r} owns the loss; set loss_type='nll' in SFTConfig.")
    if units and max(trainer.get_tp_size(), trainer.get_cp_size(), trainer.get_sp_size()) > 1:
        raise HoldfastError(f"{recipe!r}: tensor, context and sequence parallelism are not supported; use DDP.")
    acts_on_update = [hook for hook in ("edit_grads", "edit_update") if active.uses(hook)]
    if acts_on_update and trainer.is_deepspeed_enabled:
        raise HoldfastError(
            f"{recipe!r} acts around the optimizer step, which DeepSpeed takes inside backward; use DDP."
        )
    whole = active.all_needs & {"gradient", "start"} or any(map(active.uses, WHOLE))
    if whole and (trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled):
        raise HoldfastError(
            f"{recipe!r} needs the whole weights on each process, which FSDP and DeepSpeed part; use DDP."
        )
    kept = [part for part in active.methods if part.on_parameters]
    if kept and args.load_best_model_at_end:
        raise HoldfastError(
            f"{kept[0]!r} ships what it gathered up to the last step, and load_best_model_at_end an earlier model; set"
            " load_best_model_at_end=False."
        )
    if (active.uses("shape_model") or active.uses("group_params")) and trainer.optimizer is not None:
        raise HoldfastError(
            f"{recipe!r} changes which parameters train; let the trainer build its optimizer (no optimizers=)."
        )
    settings = next((part for part in recipe.parts() if isinstance(part, Train)), Train())
    built = trainer.optimizer is not None or trainer.optimizer_cls_and_kwargs is not None
    if built and (settings.lr is not None or settings.weight_decay is not None):
        raise HoldfastError(
            f"{settings!r} sets the optimizer, and this trainer was given its own (optimizers= or"
            " optimizer_cls_and_kwargs=); set lr and weight_decay there, or leave the optimizer to the trainer."
        )
    if settings.epochs is not None and args.max_steps > 0:
        raise HoldfastError(
            f"{settings!r}: the trainer's max_steps={args.max_steps} ends the run first; give one of the two."
        )
    if active.uses("scale_lr"):
        if trainer.lr_scheduler is not None:
            raise HoldfastError(
                f"{recipe!r} owns the learning rate; pass no scheduler in optimizers=(optimizer, None)."
            )
        if args.lr_scheduler_type != "constant" or args.get_warmup_steps(1000):
            logger.warning(
                "%r sets the learning rate: the trainer's %s scheduler (warm-up included) gives way to a constant one.",
                recipe,
                getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type),
            )
        args.lr_scheduler_type, args.warmup_steps = type(args.lr_scheduler_type)("constant"), 0


WHOLE = ("renew_batches", "edit_update", "edit_weights")
"""Hooks that read or write whole weights."""


def is_trl(trainer: Any) -> bool:
    """Returns whether a trainer is one of TRL's."""
    return any(cls.__module__.startswith("trl.") for cls in type(trainer).__mro__)


def refuse_shaped(
    trainer: Any, recipe: Chain, teacher: Teacher | None, cache: StateCache | None, budget: Budget | None
) -> None:
    """Names what cannot be had with the model as the recipe shaped it."""
    head = getattr(trainer.model, "get_output_embeddings", lambda: None)()
    if is_trl(trainer) and hasattr(head, "_disable_adapters") and hasattr(head, "base_layer"):  # not a trained copy
        raise HoldfastError(
            f"{recipe!r} puts an adapter on the output head, whose weight {type(trainer).__name__} reads past it, so"
            " that it would not train; leave the head out of the targets."
        )
    if not (trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled):
        return
    if budget is not None:
        raise HoldfastError(
            "A budget asks the model on one process, which has but a part of it under FSDP and DeepSpeed; use DDP."
        )
    if cache is not None or (teacher is not None and teacher.values):
        raise HoldfastError(
            "The base is compared with by putting its weights in the place of the trained ones, which FSDP and"
            " DeepSpeed part; use DDP, or train an adapter alone, whose base is the model without it."
        )


def _needs_causal(trainer: Any, recipe: Chain) -> None:
    """Refuses a model that does not predict each token from those before it, at their own places."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED

    model = trainer.model
    head_of(model)
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    if getattr(model.config, "is_encoder_decoder", False) or type(inner).__name__ in MASKED.values():
        raise HoldfastError(f"{recipe!r} works on causal language models, and {type(inner).__name__} is none.")
    if any(config.is_prompt_learning for config in getattr(model, "peft_config", {}).values()):
        raise HoldfastError(
            f"{recipe!r}: a prompt-learning adapter shifts positions, so that units do not line up; use LoRA() or"
            " another weight adapter."
        )
    for config in getattr(model, "peft_config", {}).values():
        if getattr(config, "orth_reg_weight", 0.0):
            raise HoldfastError(
                f"{recipe!r} owns the loss, and PEFT's AdaLoRA adds a penalty to the one that the model computes; set"
                " orth_reg_weight=0.0, or let AdaLoRA() make the adapter."
            )


def _needs_order(trainer: Any, recipe: Chain) -> None:
    """Refuses a trainer that draws its rows itself, past the order that keeps the memories' shares."""
    for name in ("get_train_dataloader", "_get_train_sampler"):
        owner = next(cls for cls in (type(trainer), *type(trainer).__mro__) if name in vars(cls))
        if name in vars(trainer) or not owner.__module__.startswith(("transformers.", "trl.")):
            raise HoldfastError(
                f"{recipe!r} mixes old examples among the new in an order that keeps their share, and"
                f" {type(trainer).__name__} has a {name} of its own; leave it out."
            )
    strategy = str(getattr(trainer.args, "train_sampling_strategy", "random"))
    if strategy not in ("random", "sequential"):
        logger.warning("%r orders the rows: train_sampling_strategy=%r gives way.", recipe, strategy)


def _has_own_loss(trainer: Any) -> bool:
    """Whether somebody has put another `compute_loss` on this trainer than those that the units are made to match."""
    owner = next(cls for cls in type(trainer).__mro__ if "compute_loss" in vars(cls))
    known = owner.__module__ in ("transformers.trainer", "trl.trainer.sft_trainer")
    return not known or "compute_loss" in vars(trainer)


def apply_settings(settings: Train, trainer: Any) -> None:
    """Writes the settings that are given into the trainer's arguments."""
    args = trainer.args
    if settings.batch is not None:
        micro = args.train_batch_size * args.world_size
        if settings.batch % micro:
            raise HoldfastError(
                f"Train(batch={settings.batch}) is not a multiple of {micro}, the rows of one forward over all"
                " processes; change it, or the trainer's per_device_train_batch_size (--batch-size), to fit."
            )
        args.gradient_accumulation_steps = settings.batch // micro
    pairs = (
        ("learning_rate", settings.lr),
        ("num_train_epochs", settings.epochs),
        ("weight_decay", settings.weight_decay),
        ("max_grad_norm", settings.clip),
    )
    for name, value in pairs:
        if value is not None:
            setattr(args, name, value)


def mix_data(before: Before, active: Chain) -> None:
    """Puts the memories beside the trainer's dataset, and says in `before.mix` what is trained on then."""
    if active.uses("mix_data"):
        _mix_data(before, active)
    memories = before.mix is not None and before.mix.names
    for part in active.methods:
        acts = part.uses("weigh_tokens") or part.uses("token_loss")
        if acts and getattr(part, "on", "all") == "memory" and not memories:
            raise HoldfastError(
                f"{part!r} acts on old examples, and the recipe has none: add Rehearsal('old.jsonl') or"
                " SelfRehearsal()."
            )


def _mix_data(before: Before, active: Chain) -> None:
    trainer = before.trainer
    new = Mix(tuple(before.examples("new")))
    mix = active.mix_data(before.run(new))
    changed = {i: e for i, (old, e) in enumerate(zip(new.examples, mix.examples, strict=False)) if e is not old}
    if not mix.names and not changed:
        return
    _needs_order(trainer, active)
    rows = MixedRows(trainer.train_dataset, mix, changed)
    before.mix = dataclasses.replace(mix, examples=before.as_collated(mix.examples, rows))
    trainer.train_dataset = rows
    trainer.data_collator = CollateWithSource(trainer.data_collator)
    trainer._set_signature_columns_if_needed()
    trainer._signature_columns = [*(trainer._signature_columns or ()), SOURCE]


def base_of(before: Before, active: Chain, settings: Train) -> tuple[Teacher | None, StateCache | None]:
    """Returns the teacher and, if asked for, its states on the training examples."""
    if not any(need.startswith("base_") for need in active.all_needs):
        return None, None
    trainer = before.trainer
    form = "auto" if settings.teacher == "cache" else settings.teacher
    teacher = make_teacher(trainer.model, form, settings.reference)
    if settings.teacher != "cache":
        return teacher, None
    if "gradient" in active.all_needs:
        raise HoldfastError(
            f"{active!r} compares with the base on examples that the cache has not; leave out teacher='cache'."
        )
    cache = StateCache()
    forward = Forward(trainer.model, active, teacher=teacher, cache=cache)
    with teacher.base(trainer.model), trainer.accelerator.autocast():  # as the base will be run beside the training
        for batch in before.batches("all", trainer.args.per_device_train_batch_size):
            forward.fill(batch)
    # Only the head's start weights are still needed: the states stand for the rest.
    head = {id(p) for p in forward.head.parameters()}
    kept = {n: teacher.values[n] for n, p in trainer.model.named_parameters() if id(p) in head and n in teacher.values}
    return dataclasses.replace(teacher, form="cache", values=kept), cache
