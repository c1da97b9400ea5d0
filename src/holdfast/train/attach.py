"""attach: put a recipe on a trainer that somebody else built.

The trainer keeps its class's behaviour: the instance is given a subclass of its own class with one mixin, and with a
recipe that needs no units its loss is untouched. Evaluation always passes through.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from transformers import Trainer, TrainerCallback

from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.method import Chain, Method, chain
from holdfast.core.mix import NEW
from holdfast.core.params import trainable
from holdfast.core.run import SHOWN, SOURCE
from holdfast.core.teacher import Teacher
from holdfast.data.order import order
from holdfast.probes.watched import Watched
from holdfast.recipe import parse
from holdfast.train import checkpoint
from holdfast.train.before import Before
from holdfast.train.experts import aux_scale
from holdfast.train.experts import aux_share as _aux_share
from holdfast.train.guard import Guard
from holdfast.train.mixing import OrderSampler
from holdfast.train.places import gather, split_groups, start_of, unwrap
from holdfast.train.reading import is_task_loss, is_trl, reading, shifts_labels
from holdfast.train.recording import record, steering
from holdfast.train.refusals import refuse, refuse_shaped, settings_of
from holdfast.train.session import Session
from holdfast.train.setup import apply_settings, base_of, mix_data
from holdfast.train.ship import Shipping
from holdfast.train.units import scored_of

T = TypeVar("T", bound=Trainer)

Memories = Mapping[str, Any]


def attach(
    trainer: T,
    recipe: Method | str | None = None,
    budget: Budget | None = None,
    *,
    memories: Memories | None = None,
) -> T:
    """Puts a recipe, a budget or both on a built trainer, before `.train()`, and returns the same trainer.

    The base that methods compare with, and that the budget counts from, is the model as it is now, in every later call
    of `.train()`.

    Args:
        trainer: A `transformers.Trainer` or a subclass (`trl.SFTTrainer`), not yet trained. What acts on tokens, and a
            budget, need a causal language model; what acts on weights works with any loss.
        recipe: A method, a sum of methods, or its text; absent, training is as it was.
        budget: What may be lost, and what is done when it is spent; without a recipe the guard works alone. What it
            saw and did is `trainer.holdfast_guard.summary()`.
        memories: Old examples by the name that `Rehearsal` gives them: a path, a hub id, rows, a dataset, or prepared
            `Example`s. Names that are not here are taken for paths or hub ids.

    Raises:
        HoldfastError: The trainer's settings and the recipe cannot be had together; the sentence says which, and what
            to change.
    """
    parts = parse(recipe) if isinstance(recipe, str) else chain(*([recipe] if recipe is not None else []))
    if isinstance(trainer, Attached):
        raise HoldfastError("This trainer has a recipe already; join the two with + and attach once.")
    own, arguments = dict(vars(trainer)), dict(vars(trainer.args))
    trained = [(p, p.requires_grad) for p in trainer.model.parameters()]  # type: ignore[union-attr]
    try:
        refuse(trainer, parts, budget)
        guard = None if budget is None else Guard(trainer, budget)
        settings = settings_of(parts)
        apply_settings(parts, trainer)
        active = parts.active()
        before = Before(trainer, dict(memories or {}))
        mix_data(before, active)
        for shaped in active.shapes(before.run()):
            trainer.model = trainer.model_wrapped = shaped
        model: Any = trainer.model
        if trainer.args.gradient_checkpointing and hasattr(model, "peft_config"):
            model.enable_input_require_grads()
        teacher, cache = base_of(before, active, settings)
        refuse_shaped(trainer, active, teacher, cache, budget)
        session = Session(
            model,
            active,
            reduce=functools.partial(trainer.accelerator.reduce, reduction="sum"),
            gather=functools.partial(gather, trainer.accelerator),
            teacher=teacher,
            cache=cache,
            index=before.index(active),
            mixes=before.mix is not None,
            metrics=is_trl(trainer),
            reads=not is_task_loss(trainer),
        )
        shipping = Shipping(model, active, settings.ship)
        if guard is not None:
            guard.check(active, before.mix)
        watched = steering(trainer, Watched() if guard is None else guard.watched)
    except BaseException:  # what is refused leaves trainer and model as they were
        if trainer.model is not own["model"]:
            unwrap(trainer.model)
        for p, was in trained:
            p.requires_grad = was
        vars(trainer).update(own)
        vars(trainer.args).update(arguments)
        raise
    trainer.__class__ = type(f"Attached{type(trainer).__name__}", (Attached, type(trainer)), {})
    assert isinstance(trainer, Attached)
    trainer._begin_holdfast(parts, session, teacher, before, shipping)
    trainer.holdfast_guard = guard
    if guard is not None:
        trainer.add_callback(guard)
    record(trainer, watched)
    return trainer


class Attached(Trainer):
    """The mixin: the places where a recipe acts in a trainer's step."""

    model: Any
    optimizer: Any
    lr_scheduler: Any
    holdfast_guard: Guard | None
    # What TRL's trainers have besides.
    _metrics: dict[str, Any]
    _total_train_tokens: int
    router_aux_loss_coef: float

    def _begin_holdfast(
        self, recipe: Chain, session: Session, teacher: Teacher | None, before: Before, shipping: Shipping
    ) -> None:
        self.holdfast_recipe = recipe
        self.holdfast_mix = before.mix
        self._holdfast_before = before
        self.holdfast_teacher = teacher
        self.holdfast = session
        self._holdfast_scaled = self.loss_is_scaled_for_ga  # as the trainer's own loss would be
        if self.holdfast.owns_forward:
            self.loss_is_scaled_for_ga = True
        self._holdfast_facts = {"recipe": repr(recipe), "starting model": start_of(self.model, teacher)}
        self._holdfast_resume: Path | None = None
        self._holdfast_shipping = shipping
        self.holdfast_shipped: dict[str, Any] = {}
        self.add_callback(_Hooks(self))

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> Any:
        """Trains; `resume_from_checkpoint=True` takes the newest finished checkpoint."""
        if resume_from_checkpoint is True:
            last = checkpoint.last_checkpoint(self._output)
            if last is None:
                raise HoldfastError(f"{self._output} has no finished checkpoint to resume from; train afresh.")
            resume_from_checkpoint = str(last)
        shipping = self._holdfast_shipping
        if shipping.model is not self.model or (shipping.has_moved and self.holdfast_shipped):
            raise HoldfastError(
                "This trainer has shipped its model in another form than it was trained in; build a new trainer on it"
                " to train on."
            )
        self._holdfast_resume = Path(resume_from_checkpoint) if resume_from_checkpoint else None
        return super().train(resume_from_checkpoint, *args, **kwargs)

    @property
    def _output(self) -> Path:
        return Path(str(self.args.output_dir))

    def _begin_state(self) -> None:
        """Makes the recipe's state, or reads it back; called when the number of steps is known."""
        output, session = self._output, self.holdfast
        if self._holdfast_resume is not None:
            session.state, self._holdfast_marks = checkpoint.load(output, self._holdfast_resume, self._holdfast_facts)
            return
        before = self._holdfast_before
        session.state = session.recipe.init_state(before.run(forward=session.forward, begins=True))
        self._holdfast_marks = checkpoint.mark(session.state)
        if self.args.should_save:
            checkpoint.save_start(output, session.state)
            before.save_made()

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Builds the trainer's optimizer, then parts its groups where the recipe wants other rates."""
        optimizer = super().create_optimizer(*([] if model is None else [model]))
        factors = self.holdfast.recipe.group_params(trainable(self.holdfast.model))
        if factors:
            split_groups(optimizer, {id(p): factors.get(n, 1.0) for n, p in self.holdfast.model.named_parameters()})
        return optimizer

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        mix = self.holdfast_mix
        if mix is None:
            return super()._get_train_sampler(train_dataset)
        new = sum(example.source == NEW for example in mix.examples)
        epochs = math.ceil(self.args.num_train_epochs)
        if self.args.max_steps > 0:
            per_step = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
            epochs = max(1, math.ceil(self.args.max_steps * per_step / new))
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        drawn = str(getattr(self.args, "train_sampling_strategy", "random")) != "sequential"
        return OrderSampler(
            order(mix, epochs=epochs, seed=seed, shuffle=drawn), lambda: int((self.state.epoch or 0.0) + 1e-6)
        )

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: Any) -> Any:
        """Fetches the micro-batches of a step and counts its units before the first forward."""
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        session = self.holdfast
        session.begin_step(self.state.global_step, self.state.max_steps)
        batches = list(session.renew(batches))
        if session.owns_forward or self.holdfast_mix is not None:
            if not all("labels" in batch for batch in batches):
                raise HoldfastError(
                    "A batch has no labels: give the train dataset a labels column, or the trainer a collator that"
                    " makes them (DataCollatorForLanguageModeling(tokenizer, mlm=False))."
                )
            session.count_units(
                [(scored_of(batch["labels"], batch.get("attention_mask")), batch.get(SOURCE)) for batch in batches]
            )
        return batches, items

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Returns the micro-batch's part of the step's loss; sets the learning rate before the last backward."""
        source_BT, shown = inputs.pop(SOURCE, None), inputs.pop(SHOWN, None)
        if not model.training:
            return super().compute_loss(
                model, inputs, return_outputs=return_outputs, num_items_in_batch=num_items_in_batch
            )
        session = self.holdfast
        if session.owns_forward:
            loss = self._units_loss(model, inputs, source_BT, shown, num_items_in_batch)
        elif session.reads:
            with reading(model, inputs, shifts_labels(session.model)) as losses:
                loss = super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)  # type: ignore[assignment]
            session.read(losses, type(self).__mro__[2].__name__)
        else:
            loss = super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)  # type: ignore[assignment]
            session.observe(loss.detach() / self._loss_divisor(num_items_in_batch))
        if self.accelerator.sync_gradients:
            penalty = session.finish_forward(self.accelerator.num_processes)
            if isinstance(penalty, Tensor):
                loss = loss + penalty * (1 if session.owns_forward else self._loss_divisor(num_items_in_batch))
            if session.scales_lr:
                self._set_lr(session.lr_factor)
        return (loss, {}) if return_outputs else loss

    def _units_loss(
        self, model: Any, inputs: dict[str, Any], source_BT: Tensor | None, shown: Any, num_items_in_batch: Any
    ) -> Tensor:
        with self.compute_loss_context_manager():
            loss, stats, aux = self.holdfast.loss(model, inputs, source_BT, shown)
        processes = int(self.accelerator.num_processes)
        loss = loss * processes  # DDP averages gradients over processes, and the sum is already over all of them
        trl = is_trl(self)
        if trl:
            self._trl_metrics(inputs, stats, aux)
        if aux is None:
            return loss
        # The auxiliary loss of experts, weighted and scaled as each trainer does it.
        if trl:
            scale = self.router_aux_loss_coef / self.current_gradient_accumulation_steps
        else:
            scale = _aux_share(self.model.config, self.accelerator.unwrap_model(self.model))
            scale *= aux_scale(self, self._holdfast_scaled, num_items_in_batch)
        return loss + scale * aux.to(loss.device)

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

    def _ship(self) -> None:
        """Applies what the recipe does to weights after training, and takes the model that is shipped."""
        model, self.holdfast_shipped = self._holdfast_shipping.ship(self.holdfast.state)
        if model is not self.model:
            self.model = self.model_wrapped = self.holdfast.model = model

    def as_shipped(self) -> contextlib.AbstractContextManager[None]:
        """Returns a context in which the weights are those that would be shipped if training ended now."""
        return self._holdfast_shipping.as_shipped(self.holdfast.state)

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

    def slow_down(self, factor: float) -> None:
        """Scales the learning rate from here on, whatever the schedule; checkpoints keep it with the optimizer."""
        scheduler = getattr(self.lr_scheduler, "scheduler", self.lr_scheduler)
        scheduler.base_lrs = [rate * factor for rate in scheduler.base_lrs]
        for group in self.optimizer.param_groups:
            group["initial_lr"] *= factor
            group["lr"] *= factor

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
        self.trainer.holdfast.after_update(skipped=self.trainer.accelerator.optimizer_step_was_skipped)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.trainer.holdfast_guard is not None:
            self.trainer.holdfast_guard.choose()
        self.trainer._ship()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if args.should_save:
            output, trainer = Path(str(args.output_dir)), self.trainer
            folder = output / f"checkpoint-{state.global_step}"
            checkpoint.save_changed(
                output, folder, trainer.holdfast.state, trainer._holdfast_marks, trainer._holdfast_facts
            )
