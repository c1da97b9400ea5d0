"""attach: put a recipe on a trainer that somebody else built.

The trainer keeps its class's behaviour: the instance is given a subclass of its own class with one mixin, and with a
recipe that needs no units its loss is untouched. Evaluation always passes through.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer, TrainerCallback

from holdfast.core.errors import HoldfastError
from holdfast.core.method import Chain, Method, Run, chain
from holdfast.core.mix import Example, Mix
from holdfast.core.params import trainable
from holdfast.core.teacher import StateCache, Teacher
from holdfast.data.batches import collate, order, pack
from holdfast.data.memory import load_memory
from holdfast.methods.schedules.train import Train
from holdfast.recipe import parse
from holdfast.train import checkpoint
from holdfast.train.base import make_teacher
from holdfast.train.mixing import SOURCE, CollateWithSource, MixedRows, OrderSampler, examples_of
from holdfast.train.session import Session

logger = logging.getLogger("holdfast")

Memories = Mapping[str, Any]


def attach(trainer: Trainer, recipe: Method | str, *, memories: Memories | None = None) -> Trainer:
    """Puts a recipe on a built trainer, before `.train()`, and returns the same trainer.

    Args:
        trainer: A `transformers.Trainer` or a subclass (`trl.SFTTrainer`), on a causal language model, not yet trained.
        recipe: A method, a sum of methods, or its text.
        memories: Old examples by the name that `Rehearsal` gives them: a path, a hub id, rows, a dataset, or prepared
            `Example`s. Names that are not here are taken for paths or hub ids.

    Raises:
        HoldfastError: The trainer's settings and the recipe cannot be had together; the sentence says which, and what
            to change.
    """
    recipe = parse(recipe) if isinstance(recipe, str) else chain(recipe)
    if isinstance(trainer, Attached):
        raise HoldfastError("This trainer has a recipe already; join the two with + and attach once.")
    _refuse(trainer, recipe)
    settings = next((part for part in recipe.parts() if isinstance(part, Train)), Train())
    _apply(settings, trainer)
    active = recipe.active()
    mix = _mix(trainer, active, dict(memories or {}))
    trainer.model = trainer.model_wrapped = active.shape_model(_run(trainer, mix))
    if trainer.args.gradient_checkpointing and hasattr(trainer.model, "peft_config"):
        trainer.model.enable_input_require_grads()
    teacher, cache = _base(trainer, active, settings, mix)
    trainer.__class__ = type(f"Attached{type(trainer).__name__}", (Attached, type(trainer)), {})
    assert isinstance(trainer, Attached)
    trainer._begin_holdfast(recipe, active, teacher, cache, mix)
    return trainer


class Attached(Trainer):
    """The mixin: the places where a recipe acts in a trainer's step."""

    def _begin_holdfast(
        self, recipe: Chain, active: Chain, teacher: Teacher | None, cache: StateCache | None, mix: Mix | None
    ) -> None:
        self.holdfast_recipe = recipe
        self.holdfast_mix = mix
        self.holdfast_teacher = teacher
        self.holdfast = Session(
            self.model,
            active,
            reduce=lambda tensor: self.accelerator.reduce(tensor, "sum"),
            teacher=teacher,
            cache=cache,
            mixes=mix is not None,
            metrics=_is_trl(self),
        )
        if self.holdfast.owns_forward:
            self.loss_is_scaled_for_ga = True
        self._holdfast_facts = {
            "recipe": repr(recipe),
            "starting model": checkpoint.fingerprint(trainable(self.model)),
        }
        self._holdfast_resume: Path | None = None
        self.add_callback(_Hooks(self))

    def train(self, resume_from_checkpoint: Any = None, **kwargs: Any) -> Any:
        """Trains; `resume_from_checkpoint=True` takes the newest finished checkpoint."""
        if resume_from_checkpoint is True:
            resume_from_checkpoint = checkpoint.last_checkpoint(Path(self.args.output_dir))
            if resume_from_checkpoint is None:
                raise HoldfastError(f"{self.args.output_dir} has no finished checkpoint to resume from; train afresh.")
        self._holdfast_resume = Path(resume_from_checkpoint) if resume_from_checkpoint else None
        return super().train(resume_from_checkpoint=resume_from_checkpoint and str(resume_from_checkpoint), **kwargs)

    def _begin_state(self) -> None:
        """Makes the recipe's state, or reads it back; called when the number of steps is known."""
        output, session = Path(self.args.output_dir), self.holdfast
        if self._holdfast_resume is not None:
            session.state, self._holdfast_marks = checkpoint.load(output, self._holdfast_resume, self._holdfast_facts)
            return
        session.state = session.recipe.init_state(_run(self, self.holdfast_mix, self.state.max_steps))
        self._holdfast_marks = checkpoint.mark(session.state)
        if self.args.should_save:
            checkpoint.save_start(output, session.state)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Builds the trainer's optimizer, then parts its groups where the recipe wants other rates."""
        optimizer = super().create_optimizer(model)
        factors = self.holdfast.recipe.group_params(trainable(self.holdfast.model))
        if factors:
            _split_groups(optimizer, {id(p): factors.get(n, 1.0) for n, p in self.holdfast.model.named_parameters()})
        return optimizer

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        mix = self.holdfast_mix
        if mix is None:
            return super()._get_train_sampler(train_dataset)
        new = sum(example.source == 0 for example in mix.examples)
        epochs = math.ceil(self.args.num_train_epochs)
        if self.args.max_steps > 0:
            per_step = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
            epochs = max(1, math.ceil(self.args.max_steps * per_step / new))
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        return OrderSampler(order(mix, epochs=epochs, seed=seed), lambda: int((self.state.epoch or 0.0) + 1e-6))

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: Any) -> Any:
        """Fetches the micro-batches of a step and counts its units before the first forward."""
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        labels = [batch["labels"] for batch in batches]
        sources = [batch.get(SOURCE) for batch in batches]
        self.holdfast.begin_step(self.state.global_step, self.state.max_steps, labels, sources)
        return batches, items

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Returns the micro-batch's part of the step's loss; sets the learning rate before the last backward."""
        source_BT = inputs.pop(SOURCE, None)
        if not model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        session = self.holdfast
        if session.owns_forward:
            loss = self._units_loss(model, inputs, source_BT)
        else:
            loss = super().compute_loss(model, inputs, False, num_items_in_batch)
            session.observe(loss.detach() / self._loss_divisor(num_items_in_batch))
        if self.accelerator.sync_gradients:
            penalty = session.finish_forward(self.accelerator.num_processes)
            if isinstance(penalty, Tensor):
                loss = loss + penalty * (1 if session.owns_forward else self._loss_divisor(num_items_in_batch))
            if session.scales_lr:
                self._set_lr(session.lr_factor)
        return (loss, {}) if return_outputs else loss

    def _units_loss(self, model: Any, inputs: dict[str, Any], source_BT: Tensor | None) -> Tensor:
        with self.compute_loss_context_manager():
            loss, stats, aux = self.holdfast.loss(model, inputs, source_BT)
        processes = self.accelerator.num_processes
        loss = loss * processes  # DDP averages gradients over processes, and the sum is already over all of them
        trl = _is_trl(self)
        if trl:
            self._trl_metrics(inputs, stats, aux)
        if aux is None:
            return loss
        # The auxiliary loss of experts, weighted and scaled as each trainer does it.
        if trl:
            return loss + self.router_aux_loss_coef * aux / self.current_gradient_accumulation_steps
        config = self.holdfast.model.config.get_text_config()
        return loss + getattr(config, "router_aux_loss_coef", 0.0) * aux.to(loss.device) * processes

    def _trl_metrics(self, inputs: Mapping[str, Any], stats: Mapping[str, Tensor], aux: Tensor | None) -> None:
        """Keeps the metrics that TRL's trainer would have kept, under its names."""
        metrics = self._metrics["train"]
        units, entropy, top1 = (
            float(self.accelerator.gather_for_metrics(stats[name]).sum()) for name in ("units", "entropy", "top1")
        )
        metrics["entropy"].append(entropy / units if units else 0.0)
        metrics["mean_token_accuracy"].append(top1 / units if units else 0.0)
        seen = (
            inputs["attention_mask"].sum()
            if "attention_mask" in inputs
            else torch.tensor(inputs["position_ids"].size(1), device=inputs["position_ids"].device)
        )
        self._total_train_tokens += int(self.accelerator.gather_for_metrics(seen).sum())
        metrics["num_tokens"] = [self._total_train_tokens]
        if aux is not None:
            metrics["aux_loss"].append(float(self.accelerator.gather_for_metrics(aux.detach()).mean()))

    def _loss_divisor(self, num_items_in_batch: Any) -> int:
        """What `training_step` will divide the trainer's own loss by."""
        scaled = self.loss_is_scaled_for_ga
        if scaled is None:
            scaled = (
                self.model_accepts_loss_kwargs and num_items_in_batch is not None
            ) or self.compute_loss_func is not None
        return 1 if scaled else self.current_gradient_accumulation_steps

    def _set_lr(self, factor: float) -> None:
        rates = []
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
            rates.append(group["lr"])
        self.lr_scheduler._last_lr = rates  # what the trainer logs; the scheduler recomputes it when it steps

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the recipe's own numbers to a training log."""
        if "loss" in logs:
            logs.update(self.holdfast.logs())
        super().log(logs, start_time)


class _Hooks(TrainerCallback):
    """The moments of a step that a trainer only tells its callbacks."""

    def __init__(self, trainer: Attached) -> None:
        self.trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.trainer._begin_state()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.trainer.holdfast.before_update()

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.trainer.holdfast.after_update()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if args.should_save:
            output, trainer = Path(args.output_dir), self.trainer
            folder = output / f"checkpoint-{state.global_step}"
            checkpoint.save_changed(
                output, folder, trainer.holdfast.state, trainer._holdfast_marks, trainer._holdfast_facts
            )


def _refuse(trainer: Trainer, recipe: Chain) -> None:
    """Names what cannot be had together, before anything is changed."""
    args, active = trainer.args, recipe.active()
    units = active.uses("weigh_tokens") or active.uses("token_loss")
    if args.n_gpu > 1:
        raise HoldfastError(
            "Several GPUs in one process (DataParallel) split a batch behind the trainer's back; start with torchrun or"
            " accelerate launch, or show one GPU (CUDA_VISIBLE_DEVICES=0)."
        )
    if trainer.model_init is not None:
        raise HoldfastError("This trainer builds its model anew for each trial (model_init); pass model= instead.")
    if units and trainer.compute_loss_func is not None:
        raise HoldfastError(f"{recipe!r} owns the loss, and this trainer has a compute_loss_func; use one of the two.")
    if units and args.label_smoothing_factor > 0:
        raise HoldfastError(f"{recipe!r} owns the loss; set label_smoothing_factor=0 in the trainer's arguments.")
    if units and getattr(args, "loss_type", "nll") != "nll":
        raise HoldfastError(f"{recipe!r} owns the loss; set loss_type='nll' in SFTConfig.")
    if units and max(trainer.get_tp_size(), trainer.get_cp_size(), trainer.get_sp_size()) > 1:
        raise HoldfastError(f"{recipe!r}: tensor, context and sequence parallelism are not supported; use DDP or FSDP.")
    acts_on_update = [hook for hook in ("edit_grads", "edit_update") if active.uses(hook)]
    if acts_on_update and trainer.is_deepspeed_enabled:
        raise HoldfastError(
            f"{recipe!r} acts around the optimizer step, which DeepSpeed takes inside backward; use FSDP."
        )
    if (active.uses("shape_model") or active.uses("group_params")) and trainer.optimizer is not None:
        raise HoldfastError(
            f"{recipe!r} changes which parameters train; let the trainer build its optimizer (no optimizers=)."
        )
    if active.uses("scale_lr"):
        if trainer.lr_scheduler is not None:
            raise HoldfastError(
                f"{recipe!r} owns the learning rate; pass no scheduler in optimizers=(optimizer, None)."
            )
        if args.lr_scheduler_type != "constant" or args.get_warmup_steps(1000):
            logger.warning(
                "%r sets the learning rate: the trainer's %s scheduler is replaced by a constant one.",
                recipe,
                getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type),
            )
        args.lr_scheduler_type, args.warmup_steps = type(args.lr_scheduler_type)("constant"), 0


def _apply(settings: Train, trainer: Trainer) -> None:
    args = trainer.args
    pairs = (
        ("learning_rate", settings.lr),
        ("num_train_epochs", settings.epochs),
        ("weight_decay", settings.weight_decay),
        ("max_grad_norm", settings.clip),
    )
    for name, value in pairs:
        if value is not None:
            setattr(args, name, value)
    if settings.batch is not None:
        micro = args.train_batch_size * args.world_size
        if settings.batch % micro:
            raise HoldfastError(
                f"Train(batch={settings.batch}) is not a multiple of {micro}, the examples of one forward over all"
                f" processes; set per_device_train_batch_size to divide it."
            )
        args.gradient_accumulation_steps = settings.batch // micro


def _mix(trainer: Trainer, active: Chain, memories: dict[str, Any]) -> Mix | None:
    """Puts the memories beside the trainer's dataset; None when the recipe leaves the data alone."""
    if not active.uses("mix_data"):
        return None
    new = Mix(tuple(examples_of(trainer.train_dataset)))
    packing = bool(getattr(trainer.args, "packing", False))
    longest = getattr(trainer.args, "max_length", None) or max(len(example.input_ids) for example in new.examples)

    def memory(name: str) -> Sequence[Example]:
        source = memories.get(name, name)
        if isinstance(source, Sequence) and source and isinstance(source[0], Example):
            examples = list(source)
        else:
            if trainer.processing_class is None:
                raise HoldfastError(
                    f"Memory {name!r} must be tokenised: give the trainer its processing_class=tokenizer."
                )
            examples = load_memory(source, trainer.processing_class, max_length=longest)
        return pack(examples, longest) if packing else examples

    mix = active.mix_data(_run(trainer, new, memory=memory))
    if not mix.names:
        return None
    trainer.train_dataset = MixedRows(trainer.train_dataset, mix)  # type: ignore[assignment]
    trainer.data_collator = CollateWithSource(trainer.data_collator)  # type: ignore[arg-type]
    trainer._set_signature_columns_if_needed()
    trainer._signature_columns = [*(trainer._signature_columns or ()), SOURCE]
    return mix


def _base(
    trainer: Trainer, active: Chain, settings: Train, mix: Mix | None
) -> tuple[Teacher | None, StateCache | None]:
    """Returns the teacher and, if asked for, its states on the training examples."""
    if not any(need.startswith("base_") for need in active.all_needs):
        return None, None
    form = "auto" if settings.teacher == "cache" else settings.teacher
    teacher = make_teacher(trainer.model, form, settings.reference)
    if settings.teacher != "cache":
        return teacher, None
    from holdfast.train.forward import Forward

    cache = StateCache()
    examples = mix.examples if mix is not None else examples_of(trainer.train_dataset)
    forward = Forward(trainer.model, active, teacher=teacher, cache=cache)
    with teacher.base(trainer.model):
        for batch in _batches(examples, trainer.args.per_device_train_batch_size, trainer.args.device):
            forward.fill(batch)
    # Only the head's start weights are still needed: the states stand for the rest.
    head = {id(p) for p in forward.head.parameters()}
    kept = {n: teacher.values[n] for n, p in trainer.model.named_parameters() if id(p) in head and n in teacher.values}
    return dataclasses.replace(teacher, form="cache", values=kept), cache


def _run(trainer: Trainer, mix: Mix | None, total_steps: int = 0, memory: Any = None) -> Run:
    def batches(which: str, size: int) -> Iterator[dict[str, Tensor]]:
        examples = mix.examples if mix is not None else examples_of(trainer.train_dataset)
        wanted = [example for example in examples if (example.source == 0) == (which == "new")]
        return _batches(wanted, size, trainer.args.device)

    return Run(trainer.model, mix or Mix(()), trainer.args.seed, total_steps, memory or _no_memory, batches)


def _no_memory(name: str) -> Sequence[Example]:
    raise HoldfastError(f"Memory {name!r} can be had while examples are mixed, not later.")


def _batches(examples: Sequence[Example], size: int, device: Any) -> Iterator[dict[str, Tensor]]:
    for start in range(0, len(examples), size):
        batch = collate(examples[start : start + size], 0)
        yield {name: tensor.to(device) for name, tensor in batch.items() if name != "source"}


def _split_groups(optimizer: torch.optim.Optimizer, factors: Mapping[int, float]) -> None:
    groups = []
    for group in optimizer.param_groups:
        by_factor: dict[float, list[Any]] = {}
        for p in group["params"]:
            by_factor.setdefault(factors.get(id(p), 1.0), []).append(p)
        groups += [{**group, "params": params, "lr": group["lr"] * f} for f, params in by_factor.items()]
    optimizer.param_groups[:] = groups


def _is_trl(trainer: Trainer) -> bool:
    return any(cls.__module__.startswith("trl.") for cls in type(trainer).__mro__)
