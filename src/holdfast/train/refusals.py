"""What a recipe cannot have with a trainer: conditions, each with one sentence that says why and what to change.

Each group below is a table of both, read from above until a condition holds. `refuse` looks at the trainer as it was
given and changes nothing: settings are written only afterwards (`holdfast.train.setup.apply_settings`).
`refuse_shaped` looks at the model as the recipe shaped it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from torch import nn

from holdfast.core.adapters import acting_in, active_configs, tuner_layers
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.method import Chain, Method
from holdfast.core.teacher import StateCache, Teacher
from holdfast.methods.schedules.train import Train
from holdfast.train.reading import has_own_loss, inner_of, is_causal, is_trl, owner_of_loss, predicts_tokens, reads_on
from holdfast.train.session import owns_forward
from holdfast.train.trainers import HostTrainer

Refusal = tuple[object, str]
"""Whether something is refused, and the sentence."""

WHOLE = ("renew_batches", "edit_update", "edit_weights")
"""Hooks that read or write whole weights."""
IN_BACKWARD = ("lomo", "adalomo")
"""Optimizers of the trainer that step inside backward, beside those that are layer-wise."""
WITHOUT_BASE_RATES = ("reduce_lr_on_plateau", "greedy")
"""Schedulers of the trainer that do not count from a rate at the start."""


def refuse(trainer: HostTrainer, recipe: Chain, budget: Budget | None) -> None:
    """Raises `HoldfastError` for the first thing that cannot be had together; nothing is changed."""
    active = recipe.active()
    owns_loss = owns_forward(active, active.uses("mix_data"))
    groups = (
        _start(trainer),
        _loss(trainer, recipe, owns_loss),
        _rows(trainer, active, budget),
        _step(trainer, active, budget),
        _whole_weights(trainer, recipe, active),
        _rates(trainer, recipe),
        () if budget is None else _guard(trainer, active, budget),
    )
    raise_first(itertools.chain(*groups))


def raise_first(table: Iterable[Refusal]) -> None:
    """Raises `HoldfastError` with the sentence of the first condition of a table that holds; the rest is not asked."""
    for holds, sentence in table:
        if holds:
            raise HoldfastError(sentence)


def _start(trainer: HostTrainer) -> Iterator[Refusal]:
    """How the trainer trains, whatever the recipe."""
    args = trainer.args
    yield (
        args.n_gpu > 1,
        "Several GPUs in one process (DataParallel) split a batch behind the trainer's back; start with torchrun or"
        " accelerate launch, or show one GPU (CUDA_VISIBLE_DEVICES=0).",
    )
    yield (
        trainer.model_init is not None,
        "This trainer builds its model anew for each trial (model_init); pass model= instead.",
    )
    yield (
        args.auto_find_batch_size,
        "auto_find_batch_size=True begins the training again with smaller batches, on weights that may have moved; set"
        " it to False, and give a per_device_train_batch_size that fits, with gradient_accumulation_steps.",
    )
    merged = [layer for layer in tuner_layers(trainer.model) if getattr(layer, "merged", False)]
    yield (
        merged,
        "An adapter of this model is merged into its weights, where it does not train; take it out again first"
        " (model.unmerge_adapter()).",
    )


def _loss(trainer: HostTrainer, recipe: Chain, owns_loss: bool) -> Iterator[Refusal]:
    """The loss: a recipe that needs single tokens replaces it, one that reads its mean looks at it, others leave it."""
    args, name, model = trainer.args, type(trainer).__name__, trainer.model
    if owns_loss:
        yield (
            has_own_loss(trainer),
            f"{recipe!r} owns the loss, and {name} computes one of its own, which would be lost; token terms work on"
            " Trainer and SFTTrainer as they are.",
        )
        yield from _not_causal(model, recipe)
        yield (
            trainer.compute_loss_func is not None,
            f"{recipe!r} owns the loss, and this trainer has a compute_loss_func; use one of the two.",
        )
        yield (
            args.label_smoothing_factor > 0,
            f"{recipe!r} owns the loss; set label_smoothing_factor=0 in the trainer's arguments.",
        )
        yield getattr(args, "loss_type", "nll") != "nll", f"{recipe!r} owns the loss; set loss_type='nll' in SFTConfig."
        yield (
            max(trainer.get_tp_size(), trainer.get_cp_size(), trainer.get_sp_size()) > 1,
            f"{recipe!r}: tensor, context and sequence parallelism are not supported; use DDP.",
        )
    elif recipe.active().needs.means:
        part = next(part for part in recipe.active().methods if part.means)
        reads, leave = f"{part!r} reads the mean loss of the new tokens", f"leave {type(part).__name__}() out."
        other = has_own_loss(trainer) and owner_of_loss(trainer).startswith("trl.")
        yield other, f"{reads}, and {name} trains on another loss, over rows of its own; {leave}"
        kind = type(inner_of(model)).__name__
        foreign = not hasattr(model, "get_output_embeddings")
        yield foreign, f"{reads}, and what {kind} predicts where is not known, as it is no transformers model; {leave}"
        yield not predicts_tokens(model), f"{reads}, and {kind} predicts none; {leave}"


def _rows(trainer: HostTrainer, active: Chain, budget: Budget | None) -> Iterator[Refusal]:
    """Texts beside the trainer's rows: rehearsed, looked at or asked."""
    model, name = trainer.model, type(trainer).__name__
    kind, causal = type(inner_of(model)).__name__, reads_on(model)
    mixes = next((part for part in active.methods if part.uses("mix_data")), None)
    own = has_own_loss(trainer) and owner_of_loss(trainer).startswith("trl.")
    yield mixes and own, f"{mixes!r} puts tokenised texts among the rows, and {name} takes rows of another kind."
    asks = mixes or next((part for part in active.methods if _asks_gradients(part)), None)
    yield asks and not causal, f"{asks!r} works on predicted tokens, and {kind} is no causal language model."
    reads = next((part for part in active.methods if part.sources), None)
    takes = getattr(model, "main_input_name", "") == "input_ids"
    yield (
        reads and not takes,
        f"{reads!r} reads old examples, and {kind} is no transformers model that takes token ids.",
    )
    encodes = getattr(getattr(model, "config", None), "is_encoder_decoder", False)
    yield reads and encodes, f"{reads!r} reads old examples, which have nothing for the decoder of {kind}."
    yield (
        budget is not None and not causal,
        f"A budget asks for the tokens that the model predicts, and {kind} is no causal language model; leave it out.",
    )


def _asks_gradients(part: Method) -> bool:
    """Whether a method takes gradients of the loss on tokens, at its steps or (as a Fisher) before them."""
    return bool(part.asks & {"gradient", "run_gradient"})


def _not_causal(model: nn.Module, recipe: Chain) -> Iterator[Refusal]:
    """A model that does not predict each token from those before it, at their own places."""
    kind = type(inner_of(model)).__name__
    tokens = predicts_tokens(model)
    yield not tokens, f"{recipe!r} acts on predicted tokens, and {kind} predicts none (it has no output embeddings)."
    yield not is_causal(model), f"{recipe!r} works on causal language models, and {kind} is none."
    yield (
        any(config.is_prompt_learning for config in active_configs(model)),
        f"{recipe!r}: a prompt-learning adapter shifts positions, so that tokens do not line up; use LoRA() or another"
        " weight adapter.",
    )
    yield (
        any(getattr(config, "orth_reg_weight", 0.0) for config in active_configs(model)),
        f"{recipe!r} owns the loss, and PEFT's AdaLoRA adds a penalty to the one that the model computes; set"
        " orth_reg_weight=0.0, or let AdaLoRA() make the adapter.",
    )


def _step(trainer: HostTrainer, active: Chain, budget: Budget | None) -> Iterator[Refusal]:
    """What acts around the optimizer's step."""
    around = next((part for part in active.methods if _acts_around_step(part)), None)
    inside = _inside_backward(trainer)
    after = "use an optimizer that steps after backward"
    yield around is not None and inside, f"{around!r} acts around the optimizer's step, and {inside}; {after}."
    yield (
        inside and budget is not None and budget.on_spent == "rewind",
        f"Budget(on_spent='rewind') acts on the optimizer, whose rate it halves, and {inside}; {after}, or take another"
        " on_spent.",
    )
    deep = next((part for part in active.methods if _acts_around_step(part, parted=True)), None)
    yield (
        deep is not None and trainer.is_deepspeed_enabled,
        f"{deep!r} acts around the optimizer step, which DeepSpeed takes inside backward; use DDP.",
    )


def _whole_weights(trainer: HostTrainer, recipe: Chain, active: Chain) -> Iterator[Refusal]:
    """Which weights are there, and which model is shipped."""
    whole = active.needs.asks & {"gradient", "start"} or any(map(active.uses, WHOLE))
    yield (
        whole and (trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled),
        f"{recipe!r} needs the whole weights on each process, which FSDP and DeepSpeed part; use DDP.",
    )
    kept = [part for part in active.methods if part.on_parameters]
    yield (
        kept and trainer.args.load_best_model_at_end,
        f"{next(iter(kept), None)!r} ships what it gathered up to the last step, and load_best_model_at_end an earlier"
        " model; set load_best_model_at_end=False.",
    )


def _rates(trainer: HostTrainer, recipe: Chain) -> Iterator[Refusal]:
    """The optimizer, the learning rate and the steps, which a recipe sets only where nobody else did."""
    active, args, settings = recipe.active(), trainer.args, settings_of(recipe)
    yield (
        (active.uses("shape_model") or active.uses("group_params")) and trainer.optimizer is not None,
        f"{recipe!r} changes which parameters train; let the trainer build its optimizer (no optimizers=).",
    )
    built = trainer.optimizer is not None or trainer.optimizer_cls_and_kwargs is not None
    yield (
        built and (settings.lr is not None or settings.weight_decay is not None),
        f"{settings!r} sets the optimizer, and this trainer was given its own (optimizers= or"
        " optimizer_cls_and_kwargs=); set lr and weight_decay there, or leave the optimizer to the trainer.",
    )
    yield (
        settings.epochs is not None and args.max_steps > 0,
        f"{settings!r}: the trainer's max_steps={args.max_steps} ends the run first; give one of the two.",
    )
    yield (
        active.uses("scale_lr") and trainer.lr_scheduler is not None,
        f"{recipe!r} owns the learning rate; pass no scheduler in optimizers=(optimizer, None).",
    )


def _guard(trainer: HostTrainer, active: Chain, budget: Budget) -> Iterator[Refusal]:
    """A guard that has nothing to watch or to raise, or that another chooser of the model thwarts."""
    yield budget.keep is None, "A guard needs something to watch: give Budget(keep='questions.jsonl')."
    rewinds, holds = budget.on_spent == "rewind", budget.on_spent == "hold"
    yield (
        rewinds and trainer.args.load_best_model_at_end,
        "load_best_model_at_end and Budget(on_spent='rewind') both choose the model; set the first to False.",
    )
    yield (
        rewinds and trainer.args.lr_scheduler_type in WITHOUT_BASE_RATES,
        "Budget(on_spent='rewind') halves the learning rate, which a reduce_lr_on_plateau scheduler keeps to"
        " itself; take another lr_scheduler_type.",
    )
    adds = [part for part in active.methods if part.uses("token_loss") or part.uses("penalty")]
    yield (
        holds and not adds,
        "Budget(on_spent='hold') raises the recipe's added terms, and it has none: add MaskTheTarget() or"
        " BaseKL(), or use on_spent='rewind'.",
    )
    loose = next((part for part in adds if not part.holds), None)
    yield (
        holds and loose is not None,
        f"Budget(on_spent='hold') raises the recipe's added terms, and that of {loose!r} does not hold the"
        " model to the base; use on_spent='rewind'.",
    )


def settings_of(recipe: Chain) -> Train:
    """Returns the settings in a recipe, or none."""
    return next((part for part in recipe.parts() if isinstance(part, Train)), Train())


def _acts_around_step(part: Method, parted: bool = False) -> bool:
    """Whether a method acts where an optimizer that steps inside backward leaves no room for it.

    What weighs tokens only counts on after a step. Where weights are parted over processes (`parted`), rates and groups
    reach the optimizer, and whatever needs whole weights is refused by itself.
    """
    hooks = ("edit_grads", "edit_update") + (() if parted else ("scale_lr", "group_params"))
    gathers = part.uses("after_step") and not (part.uses("weigh_tokens") or (parted and part.uses("edit_weights")))
    return any(map(part.uses, hooks)) or gathers


def _inside_backward(trainer: HostTrainer) -> str:
    """Returns what steps, or may, inside backward, as part of a sentence; empty if nothing does."""
    optim = str(getattr(trainer.args.optim, "value", trainer.args.optim))
    if (optim.endswith("_layerwise") or optim in IN_BACKWARD) and trainer.optimizer is None:
        return f"optim={optim!r} takes it inside backward"
    given = trainer.optimizer_cls_and_kwargs[0] if trainer.optimizer_cls_and_kwargs else type(trainer.optimizer)
    names = {cls.__name__.lower() for cls in getattr(given, "__mro__", ())}
    if names & {"layerwisedummyoptimizer", *IN_BACKWARD}:
        return f"{given.__name__} takes it inside backward"
    for p in trainer.model.parameters():
        if getattr(p, "_post_accumulate_grad_hooks", None) or hasattr(p, "_in_backward_optimizers"):
            return "hooks on the model's parameters run inside backward, where an optimizer may step"
    return ""


def refuse_shaped(
    trainer: HostTrainer, recipe: Chain, teacher: Teacher | None, cache: StateCache | None, budget: Budget | None
) -> None:
    """Raises `HoldfastError` for what cannot be had with the model as the recipe shaped it."""
    raise_first(_shaped(trainer, recipe, teacher, cache, budget))


def _shaped(
    trainer: HostTrainer, recipe: Chain, teacher: Teacher | None, cache: StateCache | None, budget: Budget | None
) -> Iterator[Refusal]:
    """An adapter on the head, and what needs whole weights where each process has a part of them."""
    head = getattr(trainer.model, "get_output_embeddings", lambda: None)()
    layers = tuner_layers(trainer.model) if is_trl(trainer) and hasattr(head, "base_layer") else []
    yield (
        any(head is layer and acting_in(layer) for layer in layers),  # of a copy that is trained TRL reads the weight
        f"{recipe!r} puts an adapter on the output head, whose weight {type(trainer).__name__} reads past it, so"
        " that it would not train; leave the head out of the targets.",
    )
    parted = trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled
    yield (
        parted and budget is not None,
        "A budget asks the model on one process, which has but a part of it under FSDP and DeepSpeed; use DDP.",
    )
    yield (
        parted and (cache is not None or (teacher is not None and teacher.values)),
        "The base is compared with by putting its weights in the place of the trained ones, which FSDP and"
        " DeepSpeed part; use DDP, or train an adapter alone, whose base is the model without it.",
    )
