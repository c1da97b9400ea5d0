"""`attach` puts a recipe on a built trainer.

The instance gets a subclass of its own class with one mixin, `Attached`, so it keeps the behaviour of its class. A
recipe that does not need single tokens leaves the trainer's loss untouched, unless the caller wants the equal loss in
chunks (`chunked_loss`). Evaluation always passes through. `holdfast.train.trainers` lists the attributes of the trainer
on which the mixin relies.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Sampler
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.guard import AUTO, Guard
from holdfast.core.method import Chain, Method
from holdfast.core.mix import Mix
from holdfast.core.params import trainable
from holdfast.core.precision import computing_in
from holdfast.core.run import SHOWN, SOURCE
from holdfast.core.teacher import Teacher
from holdfast.probes.watch_record import WatchRecord
from holdfast.train import checkpoint
from holdfast.train.attaching import as_found_if_refused, attach_of, parts_of, watching_of
from holdfast.train.auto import chosen
from holdfast.train.experts import aux_weight
from holdfast.train.forward import Forward
from holdfast.train.guard import GuardCallback
from holdfast.train.host import Host
from holdfast.train.keeping import keep_base
from holdfast.train.mixing import sampler_of, with_columns
from holdfast.train.questions import Questions, kept_of
from holdfast.train.recording import record, steering
from holdfast.train.refusals import refuse, refuse_shaped, takes_chunked_loss, trains_on_task_loss
from holdfast.train.session import Session, looks_at_tokens, owns_forward
from holdfast.train.settings import train_of
from holdfast.train.setup import apply_settings, base_of, mix_data
from holdfast.train.sft_metrics import keep_metrics
from holdfast.train.shipping import Shipping
from holdfast.train.supervised import Shown, scored_of
from holdfast.train.tally import Tally
from holdfast.train.task_loss import is_trl, recorded_losses, shifts_labels
from holdfast.train.trainer_parts import gather, split_groups, start_of
from holdfast.train.trainer_view import TrainerView
from holdfast.train.trainers import HostTrainer, SFTHost, precision_of

T = TypeVar("T", bound=Trainer)
Memories = Mapping[str, Any]


def attach(
    trainer: T,
    recipe: Method | str | None = None,
    budget: Budget | None = None,
    *,
    keep: Any = None,
    learn: Any = None,
    guard: Guard | None = None,
    memories: Memories | None = None,
    chunked_loss: bool = False,
) -> T:
    """Puts a recipe, a budget or both on a built trainer, before `.train()`, and returns the same trainer.

    The current model is the base: methods compare with it, and the budget counts losses from it, in every later call of
    `.train()`.

    Args:
        trainer: A `transformers.Trainer` or a subclass (`trl.SFTTrainer`) before training. Methods that act on tokens,
            and a budget, need a causal language model; methods that act on weights work with any loss.
        recipe: A method, a sum of methods, or the text of one; by default training does not change. "auto" is the
            recipe that a plan would choose (`holdfast.train.auto`), and makes the guard steer the run.
        budget: The allowed loss. Without a recipe the guard works alone.
            `trainer.holdfast_guard.summary()` returns what the guard saw and did.
        keep: What the guard watches while the model trains: a path, hub id or name of items or texts, rows, prepared
            `Example`s, `Item`s or `Suite`s, or several paths. It asks only items and texts on the watched side. By
            default, if the budget limits points: `general:900`, plain English that comes with the package, or
            `ground:suites/cut` for the base of the proving ground.
        learn: What shows the guard how much is learned, in the same forms; without it, a later model counts as a better
            learner.
        guard: How often the guard looks, and what it does when the budget is spent; `Guard()` by default.
        memories: Old examples by the name that `Rehearsal` uses: a path, a hub id, rows, a dataset, or prepared
            `Example`s. Other names count as paths or hub ids.
        chunked_loss: Whether the loss is computed in chunks of the supervised tokens also where the recipe does not
            need single tokens, in less time and memory: the logits of all tokens then never exist at once. It is the
            trainer's own loss up to rounding. A trainer with another loss (label smoothing, for example), and a model
            whose head is not a plain linear layer, keep theirs; `trainer.holdfast.owns_forward` says which it is.

    Returns:
        The trainer.

    Raises:
        HoldfastError: The trainer's settings and the recipe do not fit together; the message tells which, and what to
            change. The trainer and its model stay as they were.
    """
    theirs = cast(HostTrainer, trainer)
    if isinstance(trainer, Attached):
        raise HoldfastError("This trainer has a recipe already; join the two with + and attach once.")
    if (other := attach_of(trainer)) is not None:
        how = {"keep": keep, "learn": learn, "guard": guard, "memories": memories, "chunked_loss": chunked_loss}
        return cast(T, other(trainer, recipe, budget, **how))
    if isinstance(recipe, str) and recipe == AUTO:
        parts, guard = chosen(theirs, budget, guard, memories or ())
    else:
        parts = parts_of(recipe)
    with as_found_if_refused(theirs, lambda: theirs.model):
        keep = kept_of(theirs, budget, keep)
        watching = watching_of(budget, guard, keep, learn)
        refuse(theirs, parts, watching)
        asked = None
        if budget is not None and watching is not None:
            asked = Questions.of(theirs, budget, watching, keep, learn)
        view = TrainerView(theirs, dict(memories or {}))
        steered = watching is not None and watching.on_spent == "steer"
        session, teacher = _session(view, parts, asked is not None, steered, chunked_loss)
        shipping = Shipping(session.model, session.recipe, train_of(parts).ship)
        if asked is not None:
            asked.warn_of(view.mix)
        watched = steering(theirs, WatchRecord() if asked is None else asked.watched)
        facts = {"recipe": repr(parts), "starting model": start_of(session.model, teacher)}
    host = Host(theirs, session, view, shipping, facts)
    looking = None
    if budget is not None and watching is not None and asked is not None:
        looking = GuardCallback(host, budget, watching, asked)
    put_on(trainer, Attached, parts, host, teacher, looking)
    cast(Attached, trainer).holdfast_watched = watched
    record(theirs, watched)
    return trainer


def put_on(
    trainer: Trainer,
    kind: type[Attached],
    recipe: Chain,
    host: Host,
    teacher: Teacher | None,
    guard: GuardCallback | None,
) -> None:
    """Gives the instance of a trainer the mixin `kind`, and hands it the parts of its run.

    `compute_loss` and `get_batch_samples` are methods, not callbacks, so a recipe can act there only in a subclass. The
    trainer is already built, so its instance gets one, of its own class.
    """
    trainer.__class__ = type(f"Attached{type(trainer).__name__}", (kind, type(trainer)), {})
    assert isinstance(trainer, Attached)
    trainer._begin_holdfast(recipe, host, teacher)
    trainer.holdfast_guard = guard
    if guard is not None:
        trainer.add_callback(guard)


def _session(
    view: TrainerView, recipe: Chain, watched: bool, steered: bool, chunked: bool
) -> tuple[Session, Teacher | None]:
    """Returns the session of the recipe on the trainer's model, and the base.

    The steps depend on each other in this order: settings, memories (the plain model prepares them), adapters and other
    shaping, the base of the shaped model, and then the forward.
    """
    trainer, settings, active = view.trainer, train_of(recipe), recipe.active()
    apply_settings(recipe, trainer)
    precision = precision_of(trainer.args)
    with computing_in(trainer.model, precision):  # the base may write old examples
        mix_data(view, active)
    for shaped in active.shapes(view.run()):
        trainer.model = trainer.model_wrapped = shaped
    model = trainer.model
    if trainer.args.gradient_checkpointing and hasattr(model, "peft_config"):
        model.enable_input_require_grads()  # type: ignore[operator]  # else a checkpointed block has no input with a gradient
    teacher, cache = base_of(view, active, settings)
    refuse_shaped(trainer, active, teacher, cache, watched)
    index, mixes, forward = view.index(active), view.mix is not None, None
    owns, chunked = owns_forward(active, mixes, steered), chunked and takes_chunked_loss(trainer, recipe)
    if chunked or looks_at_tokens(active, mixes, steered):
        forward = Forward(
            model, active, teacher=teacher, cache=cache, index=index, metrics=is_trl(trainer), signals=steered
        )
        owns = owns or (chunked and forward.head.plain)
        keep_base(view, forward, recipe)
    reduce = functools.partial(trainer.accelerator.reduce, reduction="sum")
    tally = Tally(reduce, functools.partial(gather, trainer.accelerator))
    reads = bool(active.needs.means) and not owns and not trains_on_task_loss(trainer)
    how: dict[str, Any] = {"owns_forward": owns, "reads": reads, "precision": precision}
    return Session(model, active, forward=forward, tally=tally, **how), teacher


class Attached(Trainer):
    """The mixin of an attached trainer: it calls the recipe at its moments in a step.

    Attributes:
        holdfast: The session of the recipe.
        holdfast_host: The run, for the guard, checkpoints and edits of weights.
        holdfast_guard: The guard of the budget; None without a budget.
        holdfast_watched: The record of the items that steer the run.
        holdfast_recipe: The whole recipe, with methods that are off.
        holdfast_mix: The training data; None if the recipe does not change it.
        holdfast_teacher: The base; None if no method compares with it.
    """

    model: Any
    holdfast_guard: GuardCallback | None
    holdfast_watched: WatchRecord

    def _begin_holdfast(self, recipe: Chain, host: Host, teacher: Teacher | None) -> None:
        self.holdfast = host.session
        self.holdfast_host = host
        self.holdfast_guard = None
        self.holdfast_recipe = recipe
        self.holdfast_mix: Mix | None = host.view.mix
        self.holdfast_teacher = teacher
        self._holdfast_view = host.view
        self._holdfast_scaled = self.loss_is_scaled_for_ga  # for the trainer's own loss
        if self.holdfast.owns_forward:
            self.loss_is_scaled_for_ga = True
        self.add_callback(_Hooks(self))

    @property
    def holdfast_shipped(self) -> dict[str, float]:
        """Rank and relative error of the adapter that replaced the trained one at the end; empty without one."""
        return self.holdfast_host.shipped

    def as_shipped(self) -> contextlib.AbstractContextManager[None]:
        """Returns a context in which the model has the weights that it would ship if training ended now."""
        return self.holdfast_host.as_shipped()

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> Any:
        """Trains; `resume_from_checkpoint=True` resumes from the newest finished checkpoint."""
        host = self.holdfast_host
        if resume_from_checkpoint is True:
            last = checkpoint.last_checkpoint(host.output)
            if last is None:
                raise HoldfastError(f"{host.output} has no finished checkpoint to resume from; train afresh.")
            resume_from_checkpoint = str(last)
        host.check_form()
        host.resume_from = Path(resume_from_checkpoint) if resume_from_checkpoint else None
        return super().train(resume_from_checkpoint, *args, **kwargs)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Builds the trainer's optimizer, and splits its groups if the recipe gives parameters different rates."""
        optimizer = super().create_optimizer(*([] if model is None else [model]))
        factors = self.holdfast.recipe.group_params(trainable(self.holdfast.model))
        if factors:
            split_groups(optimizer, {id(p): factors.get(n, 1.0) for n, p in self.holdfast.model.named_parameters()})
        return optimizer

    def _get_train_sampler(self, train_dataset: Dataset[Any] | None = None) -> Sampler[int] | None:
        if self.holdfast_mix is None:
            rows = self.train_dataset if train_dataset is None else train_dataset
            return super()._get_train_sampler(with_columns(rows))
        return sampler_of(cast(HostTrainer, self), self.holdfast_mix)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor | int | None]:
        """Fetches the micro-batches of a step and counts its tokens before the first forward.

        The loss of a micro-batch is its sum divided by the tokens of the whole step over all processes, so that the
        split of a step changes nothing. The count must therefore be known before the first loss.
        """
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        session = self.holdfast
        session.begin_step(self.state.global_step, self.state.max_steps)
        batches = list(session.renew(batches))
        self._count_tokens(batches)
        return batches, items

    def _count_tokens(self, batches: list[Any]) -> None:
        session = self.holdfast
        if session.owns_forward or self.holdfast_mix is not None:
            if not all("labels" in batch for batch in batches):
                raise HoldfastError(
                    "A batch has no labels: give the train dataset a labels column, or the trainer a collator that"
                    " makes them (DataCollatorForLanguageModeling(tokenizer, mlm=False))."
                )
            session.count_tokens(
                [(scored_of(batch["labels"], batch.get("attention_mask")), batch.get(SOURCE)) for batch in batches]
            )

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Returns the micro-batch's part of the step's loss; sets the learning rate before the last backward.

        Penalty and learning rate depend on means over the step, which are complete after the last forward. The last
        backward is the last moment at which a penalty can add its gradient.
        """
        source_BT, shown = inputs.pop(SOURCE, None), inputs.pop(SHOWN, None)
        if not model.training:
            return super().compute_loss(
                model, inputs, return_outputs=return_outputs, num_items_in_batch=num_items_in_batch
            )
        session = self.holdfast
        if session.owns_forward:
            loss = self._recipe_loss(model, inputs, source_BT, shown, num_items_in_batch)
        elif session.reads:
            with recorded_losses(model, inputs, shifts_labels(session.model)) as losses:
                loss = super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)  # type: ignore[assignment]
            session.read(losses, type(self).__mro__[2].__name__)
        else:
            loss = super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)  # type: ignore[assignment]
            session.observe(loss.detach() / self._loss_divisor(num_items_in_batch))
        loss = self._with_penalty(loss, num_items_in_batch)
        return (loss, {}) if return_outputs else loss

    def _with_penalty(self, loss: Tensor, num_items_in_batch: Tensor | int | None) -> Tensor:
        """Returns the loss of a micro-batch, with the step's penalty where it is the last one; sets the rate there."""
        session = self.holdfast
        if self.accelerator.sync_gradients:
            penalty = session.finish_forward(self.accelerator.num_processes)
            if isinstance(penalty, Tensor):
                loss = loss + penalty * (1 if session.owns_forward else self._loss_divisor(num_items_in_batch))
            if session.scales_lr:
                self.holdfast_host.set_lr(session.lr_factor)
        return loss

    def _recipe_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        source_BT: Tensor | None,
        shown: Shown | None,
        num_items_in_batch: Tensor | int | None,
    ) -> Tensor:
        with self.compute_loss_context_manager():
            loss, stats, aux = self.holdfast.loss(model, inputs, source_BT, shown)
        # DDP averages gradients over the processes, but the divisor already counts the tokens of all of them.
        loss = loss * int(self.accelerator.num_processes)
        if is_trl(self):
            keep_metrics(cast(SFTHost, self), inputs, stats, aux)
        if aux is None:
            return loss
        weight = aux_weight(cast(HostTrainer, self), self._holdfast_scaled, num_items_in_batch)
        return loss + weight * aux.to(loss.device)

    def _loss_divisor(self, num_items_in_batch: Tensor | int | None) -> int:
        """Returns the number by which `training_step` will divide the trainer's own loss."""
        scaled = self.loss_is_scaled_for_ga
        if scaled is None:
            scaled = (
                self.model_accepts_loss_kwargs and num_items_in_batch is not None
            ) or self.compute_loss_func is not None
        return 1 if scaled else self.current_gradient_accumulation_steps

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the recipe's numbers to a line of the training log."""
        if "loss" in logs:
            logs.update(self.holdfast.logs())
        super().log(logs, start_time)


class _Hooks(TrainerCallback):
    """Calls the recipe at the moments that a trainer offers to callbacks only."""

    def __init__(self, trainer: Attached) -> None:
        self.trainer = trainer
        self.host = trainer.holdfast_host

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        self.host.begin()

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        self.host.session.before_update()

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        self.host.session.after_update(skipped=self.trainer.accelerator.optimizer_step_was_skipped)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        if self.trainer.holdfast_guard is not None:
            self.trainer.holdfast_guard.choose()  # first, because the recipe's edits act on the chosen weights
        self.host.ship()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        if args.should_save:
            self.host.save()
