"""Prepares a trainer for a recipe before training: its settings, its data, its base."""

from __future__ import annotations

import dataclasses
import logging

from holdfast.core.errors import HoldfastError
from holdfast.core.method import Chain
from holdfast.core.mix import Mix
from holdfast.core.run import SOURCE
from holdfast.core.teacher import StateCache, Teacher
from holdfast.methods.schedules.train import Train
from holdfast.probes.apart import keeps_apart
from holdfast.train.base import make_teacher
from holdfast.train.comparison import Comparison
from holdfast.train.head import LossHead
from holdfast.train.mixing import CollateWithSource, MixedRows
from holdfast.train.settings import train_of, write_settings
from holdfast.train.task_loss import inner_of
from holdfast.train.trainer_view import TrainerView
from holdfast.train.trainers import HostTrainer, is_known

logger = logging.getLogger("holdfast")


def _needs_order(trainer: HostTrainer, recipe: Chain) -> None:
    """Raises `HoldfastError` for a trainer with its own order of rows, which would not keep the memories' shares."""
    for name in () if is_known(trainer, "order") else ("get_train_dataloader", "_get_train_sampler"):
        owner = next(cls for cls in (type(trainer), *type(trainer).__mro__) if name in vars(cls))
        if name in vars(trainer) or not owner.__module__.startswith(("transformers.", "trl.")):
            raise HoldfastError(
                f"{recipe!r} mixes old and new examples in an order that keeps their shares, and"
                f" {type(trainer).__name__} has its own {name}; leave it out."
            )
    strategy = str(getattr(trainer.args, "train_sampling_strategy", "random"))
    if strategy not in ("random", "sequential"):
        logger.warning("%r sets the order of the rows and replaces train_sampling_strategy=%r.", recipe, strategy)


def apply_settings(recipe: Chain, trainer: HostTrainer) -> None:
    """Writes the recipe's settings into the trainer's arguments; a schedule in the recipe replaces the trainer's."""
    args = trainer.args
    if recipe.active().uses("scale_lr"):
        if args.lr_scheduler_type != "constant" or args.get_warmup_steps(1000):
            logger.warning(
                "%r sets the learning rate: a constant scheduler replaces the trainer's %s scheduler and its warm-up.",
                recipe,
                getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type),
            )
        args.lr_scheduler_type, args.warmup_steps = type(args.lr_scheduler_type)("constant"), 0
    write_settings(train_of(recipe), args, args.train_batch_size * args.world_size)
    _warn_of_joined_documents(trainer)


def _warn_of_joined_documents(trainer: HostTrainer) -> None:
    """Warns if the rows of an SFTTrainer hold several documents, and its model reads these as one."""
    args = trainer.args
    packs = getattr(args, "packing", False) and getattr(args, "packing_strategy", "") != "wrapped"
    parted = trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled  # no weights to read with before the training
    if (packs or getattr(args, "padding_free", False)) and not parted and not keeps_apart(trainer.model):
        logger.warning(
            "%s reads the documents of a packed row as one; set packing=False and padding_free=False to keep them"
            " apart, or load it with an attention that does (attn_implementation).",
            type(inner_of(trainer.model)).__name__,
        )


def mix_data(view: TrainerView, active: Chain) -> None:
    """Adds the memories to the trainer's dataset, and sets `view.mix` to the resulting mix."""
    if active.uses("mix_data"):
        _mix_data(view, active)
    memories = view.mix is not None and view.mix.names
    for part in active.methods:
        acts = part.uses("weigh_tokens") or part.uses("token_loss")
        if acts and part.acts_on == "memory" and not memories:
            raise HoldfastError(
                f"{part!r} acts on old examples, and the recipe has none: add Rehearsal('old.jsonl') or"
                " SelfRehearsal()."
            )


def _mix_data(view: TrainerView, active: Chain) -> None:
    trainer = view.trainer
    new = Mix(tuple(view.examples("new")))
    mix = active.mix_data(view.run(new))
    changed = {i: e for i, (old, e) in enumerate(zip(new.examples, mix.examples, strict=False)) if e is not old}
    if not mix.names and not changed:
        return
    _needs_order(trainer, active)
    rows = MixedRows(trainer.train_dataset, mix, changed)
    view.mix = dataclasses.replace(mix, examples=view.as_collated(mix.examples, rows))
    trainer.train_dataset = rows
    trainer.data_collator = CollateWithSource(trainer.data_collator)
    trainer._set_signature_columns_if_needed()
    trainer._signature_columns = [*(trainer._signature_columns or ()), SOURCE]


def base_of(view: TrainerView, active: Chain, settings: Train) -> tuple[Teacher | None, StateCache | None]:
    """Returns the teacher, and for `Train(teacher="cache")` its states on the training examples; None if not needed."""
    if not active.needs.base:
        return None, None
    trainer = view.trainer
    form = "auto" if settings.teacher == "cache" else settings.teacher
    teacher = make_teacher(trainer.model, form, settings.reference)
    if settings.teacher != "cache":
        return teacher, None
    if "gradient" in active.needs.asks:
        raise HoldfastError(
            f"{active!r} compares with the base on examples outside of the cache; leave out teacher='cache'."
        )
    cache = StateCache()
    head = LossHead(trainer.model)
    comparison = Comparison(trainer.model, head, active, teacher, cache)
    with teacher.base(trainer.model), trainer.accelerator.autocast():  # the precision of the base during training
        for batch in view.batches("all", trainer.args.per_device_train_batch_size):
            comparison.fill(batch)
    # The cached states replace all start weights except the head's.
    head_ids = {id(p) for p in head.module.parameters()}
    head_names = [name for name, p in trainer.model.named_parameters() if id(p) in head_ids and name in teacher.values]
    return dataclasses.replace(teacher, form="cache", values={name: teacher.values[name] for name in head_names}), cache
