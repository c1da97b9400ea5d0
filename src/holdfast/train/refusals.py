"""Combinations of recipe, budget and trainer that we refuse, each with a sentence on why and what to change.

Each function below is a table of conditions; the first one that holds raises. `refuse` tests the trainer and changes
nothing, because `holdfast.train.setup.apply_settings` writes settings only afterwards. `refuse_shaped` tests the model
after the recipe shaped it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from torch import nn

from holdfast.core.adapters import acting_in, active_configs, tuner_layers
from holdfast.core.errors import HoldfastError
from holdfast.core.guard import GOES_BACK, Guard
from holdfast.core.method import Chain, Method
from holdfast.core.teacher import StateCache, Teacher
from holdfast.train.model_loss import has_task_loss
from holdfast.train.session import owns_forward
from holdfast.train.settings import train_of
from holdfast.train.task_loss import (
    has_own_loss,
    inner_of,
    is_causal,
    is_task_loss,
    is_trl,
    owner_of_loss,
    predicts_tokens,
    reads_on,
)
from holdfast.train.trainers import HostTrainer

Refusal = tuple[object, str]
"""A condition under which we refuse, and the sentence of the error."""

WHOLE = ("renew_batches", "edit_update", "edit_weights")
"""Hooks that read or write whole weights."""
IN_BACKWARD = ("lomo", "adalomo")
"""Optimizers of the trainer that step inside backward, besides the layer-wise ones."""
WITHOUT_BASE_RATES = ("reduce_lr_on_plateau", "greedy")
"""Schedulers of the trainer that do not compute rates from an initial rate."""


def refuse(trainer: HostTrainer, recipe: Chain, guard: Guard | None) -> None:
    """Raises `HoldfastError` for the first combination that does not work; it changes nothing."""
    active = recipe.active()
    steered = guard is not None and guard.on_spent == "steer"
    owns_loss = owns_forward(active, active.uses("mix_data"), steered)
    groups = (
        _start(trainer),
        _loss(trainer, recipe, owns_loss),
        _rows(trainer, active, guard),
        _step(trainer, active, guard),
        _whole_weights(trainer, recipe, active),
        _rates(trainer, recipe),
        () if guard is None else _guard(trainer, active, guard),
    )
    raise_first(itertools.chain(*groups))


def refuse_beside_loss(trainer: HostTrainer, recipe: Chain, guard: Guard | None) -> Iterator[Refusal]:
    """Yields the refusals that do not depend on the loss and the rows of a trainer."""
    active = recipe.active()
    yield from _start(trainer)
    yield from _step(trainer, active, guard)
    yield from _whole_weights(trainer, recipe, active)
    yield from _rates(trainer, recipe)
    yield from () if guard is None else _guard(trainer, active, guard)


def takes_chunked_loss(trainer: HostTrainer, recipe: Chain) -> bool:
    """Returns whether the chunked loss can replace the loss of a trainer: the two are equal, and nothing refuses it."""
    return is_task_loss(trainer) and not any(holds for holds, _ in _loss(trainer, recipe, owns_loss=True))


def trains_on_task_loss(trainer: HostTrainer) -> bool:
    """Returns whether the loss of a trainer, and of its model, is the mean nats over the step's supervised tokens."""
    return is_task_loss(trainer) and has_task_loss(trainer.model)


def raise_first(table: Iterable[Refusal]) -> None:
    """Raises `HoldfastError` with the sentence of the first condition that holds; it does not evaluate the rest."""
    for holds, sentence in table:
        if holds:
            raise HoldfastError(sentence)


def _start(trainer: HostTrainer) -> Iterator[Refusal]:
    """Settings of the trainer that work with no recipe."""
    args = trainer.args
    yield (
        args.n_gpu > 1,
        "Several GPUs in one process (DataParallel) split each batch inside the model, where no recipe can act; start"
        " with torchrun or accelerate launch, or show one GPU (CUDA_VISIBLE_DEVICES=0).",
    )
    yield (
        trainer.model_init is not None,
        "This trainer builds a new model for each trial (model_init); pass model= instead.",
    )
    yield (
        args.auto_find_batch_size,
        "auto_find_batch_size=True restarts training with smaller batches, on weights that may have moved; set it to"
        " False, and give a per_device_train_batch_size that fits, with gradient_accumulation_steps.",
    )
    merged = [layer for layer in tuner_layers(trainer.model) if getattr(layer, "merged", False)]
    yield (
        merged,
        "An adapter of this model is merged into its weights, where it does not train; unmerge it first"
        " (model.unmerge_adapter()).",
    )


def _loss(trainer: HostTrainer, recipe: Chain, owns_loss: bool) -> Iterator[Refusal]:
    """The loss: a recipe that needs single tokens replaces it, and one that needs the mean reads it."""
    args, name, model = trainer.args, type(trainer).__name__, trainer.model
    if owns_loss:
        yield (
            has_own_loss(trainer),
            f"{recipe!r} owns the loss, and {name} computes its own, which would be lost; token terms work on Trainer"
            " and SFTTrainer without changes of their loss.",
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
        yield (
            (getattr(args, "loss_type", None) or "nll") != "nll",
            f"{recipe!r} owns the loss; set loss_type='nll' in SFTConfig.",
        )
        yield (
            max(trainer.get_tp_size(), trainer.get_cp_size(), trainer.get_sp_size()) > 1,
            f"{recipe!r}: tensor, context and sequence parallelism are not supported; use DDP.",
        )
    elif recipe.active().needs.means:
        part = next(part for part in recipe.active().methods if part.means)
        reads, leave = f"{part!r} reads the mean loss of the new tokens", f"leave {type(part).__name__}() out."
        other = has_own_loss(trainer) and owner_of_loss(trainer).startswith("trl.")
        yield other, f"{reads}, and {name} trains on another loss, with its own kind of rows; {leave}"
        kind = type(inner_of(model)).__name__
        foreign = not hasattr(model, "get_output_embeddings")
        yield foreign, f"{reads}, and {kind} is not a transformers model, so its predictions are unknown; {leave}"
        yield not predicts_tokens(model), f"{reads}, and {kind} predicts no tokens; {leave}"


def _rows(trainer: HostTrainer, active: Chain, guard: Guard | None) -> Iterator[Refusal]:
    """Texts besides the trainer's rows: memories, batches for gradients, and items of a budget."""
    model, name = trainer.model, type(trainer).__name__
    kind, causal = type(inner_of(model)).__name__, reads_on(model)
    mixes = next((part for part in active.methods if part.uses("mix_data")), None)
    other_rows = has_own_loss(trainer) and owner_of_loss(trainer).startswith("trl.")
    yield mixes and other_rows, f"{mixes!r} adds tokenised texts to the rows, and {name} takes another kind of rows."
    asks = mixes or next((part for part in active.methods if _asks_gradients(part)), None)
    yield asks and not causal, f"{asks!r} works on predicted tokens, and {kind} is not a causal language model."
    reads = next((part for part in active.methods if part.sources), None)
    takes = getattr(model, "main_input_name", "") == "input_ids"
    yield (
        reads and not takes,
        f"{reads!r} reads old examples, and {kind} is not a transformers model that takes token ids.",
    )
    encodes = getattr(getattr(model, "config", None), "is_encoder_decoder", False)
    yield reads and encodes, f"{reads!r} reads old examples, and they contain no input for the decoder of {kind}."
    yield (
        guard is not None and not causal,
        f"A budget asks for the model's predicted tokens, and {kind} is not a causal language model; leave it out.",
    )


def _asks_gradients(part: Method) -> bool:
    """Returns whether a method needs gradients of the token loss, at its steps or before training (a Fisher)."""
    return bool(part.asks & {"gradient", "run_gradient"})


def _not_causal(model: nn.Module, recipe: Chain) -> Iterator[Refusal]:
    """A model that does not predict each token, at its position, from the tokens before it."""
    kind = type(inner_of(model)).__name__
    tokens = predicts_tokens(model)
    yield not tokens, f"{recipe!r} acts on predicted tokens, and {kind} predicts none (it has no output embeddings)."
    yield not is_causal(model), f"{recipe!r} works on causal language models, and {kind} is not one."
    yield (
        any(config.is_prompt_learning for config in active_configs(model)),
        f"{recipe!r}: a prompt-learning adapter shifts positions, so tokens do not line up; use LoRA() or another"
        " weight adapter.",
    )
    yield (
        any(getattr(config, "orth_reg_weight", 0.0) for config in active_configs(model)),
        f"{recipe!r} owns the loss, and PEFT's AdaLoRA adds a penalty to the model's own loss; set orth_reg_weight=0.0,"
        " or let AdaLoRA() make the adapter.",
    )
    yield (
        not has_task_loss(model),
        f"{recipe!r} owns the loss, and {kind} computes another one than the mean loss of the next tokens (a"
        " loss_function, or terms in its forward), which would be lost; give the model the usual loss, or leave out"
        " the methods that act on tokens.",
    )


def _step(trainer: HostTrainer, active: Chain, guard: Guard | None) -> Iterator[Refusal]:
    """Methods and guards that act around the optimizer's step."""
    around = next((part for part in active.methods if _acts_around_step(part)), None)
    inside = _inside_backward(trainer)
    after = "use an optimizer that steps after backward"
    yield around is not None and inside, f"{around!r} acts around the optimizer's step, and {inside}; {after}."
    yield (
        inside and guard is not None and guard.on_spent in GOES_BACK,
        f"Guard(on_spent={'' if guard is None else guard.on_spent!r}) changes the optimizer's learning rate, and"
        f" {inside}; {after}, or use another on_spent.",
    )
    deep = next((part for part in active.methods if _acts_around_step(part, parted=True)), None)
    yield (
        deep is not None and trainer.is_deepspeed_enabled,
        f"{deep!r} acts around the optimizer's step, which DeepSpeed takes inside backward; use DDP.",
    )


def _whole_weights(trainer: HostTrainer, recipe: Chain, active: Chain) -> Iterator[Refusal]:
    """Methods that need whole weights on each process, or the last model."""
    whole = active.needs.asks & {"gradient", "start"} or any(map(active.uses, WHOLE))
    yield (
        whole and (trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled),
        f"{recipe!r} needs the whole weights on each process, and FSDP and DeepSpeed shard them; use DDP.",
    )
    kept = [part for part in active.methods if part.on_parameters]
    yield (
        kept and trainer.args.load_best_model_at_end,
        f"{next(iter(kept), None)!r} ships weights that it gathered up to the last step, and load_best_model_at_end"
        " takes an earlier model; set load_best_model_at_end=False.",
    )


def _rates(trainer: HostTrainer, recipe: Chain) -> Iterator[Refusal]:
    """The optimizer, the learning rate and the number of steps, which only one of recipe and trainer may set."""
    active, args, settings = recipe.active(), trainer.args, train_of(recipe)
    yield (
        (active.uses("shape_model") or active.uses("group_params")) and trainer.optimizer is not None,
        f"{recipe!r} changes which parameters train; let the trainer build its optimizer (no optimizers=).",
    )
    built = trainer.optimizer is not None or trainer.optimizer_cls_and_kwargs is not None
    yield (
        built and (settings.lr is not None or settings.weight_decay is not None),
        f"{settings!r} sets the optimizer, and this trainer got its own (optimizers= or optimizer_cls_and_kwargs=); set"
        " lr and weight_decay there, or leave the optimizer to the trainer.",
    )
    yield (
        settings.epochs is not None and args.max_steps > 0,
        f"{settings!r}: the trainer's max_steps={args.max_steps} ends the run first; give one of the two.",
    )
    yield (
        active.uses("scale_lr") and trainer.lr_scheduler is not None,
        f"{recipe!r} owns the learning rate; pass no scheduler in optimizers=(optimizer, None).",
    )


def _guard(trainer: HostTrainer, active: Chain, guard: Guard) -> Iterator[Refusal]:
    """A guard without penalties to raise, or beside another setting that chooses the model."""
    rewinds, holds = guard.on_spent in GOES_BACK, guard.on_spent == "hold"
    acts = f"Guard(on_spent={guard.on_spent!r})"
    yield (
        rewinds and trainer.args.load_best_model_at_end,
        f"load_best_model_at_end and {acts} both choose the model; set the first to False.",
    )
    yield (
        rewinds and trainer.args.lr_scheduler_type in WITHOUT_BASE_RATES,
        f"{acts} changes the learning rate, and the reduce_lr_on_plateau and greedy schedulers set the"
        " rate without an initial one; use another lr_scheduler_type.",
    )
    adds = [part for part in active.methods if part.uses("token_loss") or part.uses("penalty")]
    yield (
        holds and not adds,
        "Guard(on_spent='hold') raises the recipe's penalties to the base model, and it has none: add MaskTheTarget()"
        " or BaseKL(), or use on_spent='rewind'.",
    )
    loose = next((part for part in adds if not part.holds), None)
    yield (
        (holds or guard.on_spent == "steer") and loose is not None,
        f"{acts} raises all terms that the recipe adds to the loss, and the term of {loose!r} is not a"
        " penalty to the base model; use on_spent='rewind'.",
    )


def _acts_around_step(part: Method, parted: bool = False) -> bool:
    """Returns whether a method acts around the optimizer's step, which a step inside backward makes impossible.

    A method that weighs tokens only updates its statistics after a step, which still works. If processes shard the
    weights (`parted`), learning rates and groups still reach the optimizer, and `_whole_weights` refuses the methods
    that need whole weights.
    """
    hooks = ("edit_grads", "edit_update") + (() if parted else ("scale_lr", "group_params"))
    gathers = part.uses("after_step") and not (part.uses("weigh_tokens") or (parted and part.uses("edit_weights")))
    return any(map(part.uses, hooks)) or gathers


def _inside_backward(trainer: HostTrainer) -> str:
    """Returns a clause that names an optimizer which steps, or may step, inside backward; "" without one."""
    optim = str(getattr(trainer.args.optim, "value", trainer.args.optim))
    if (optim.endswith("_layerwise") or optim in IN_BACKWARD) and trainer.optimizer is None:
        return f"optim={optim!r} takes it inside backward"
    passed = trainer.optimizer_cls_and_kwargs[0] if trainer.optimizer_cls_and_kwargs else type(trainer.optimizer)
    names = {cls.__name__.lower() for cls in getattr(passed, "__mro__", ())}
    if names & {"layerwisedummyoptimizer", *IN_BACKWARD}:
        return f"{passed.__name__} takes it inside backward"
    for p in trainer.model.parameters():
        if getattr(p, "_post_accumulate_grad_hooks", None) or hasattr(p, "_in_backward_optimizers"):
            return "hooks on the model's parameters run inside backward, where an optimizer may step"
    return ""


def refuse_shaped(
    trainer: HostTrainer, recipe: Chain, teacher: Teacher | None, cache: StateCache | None, guarded: bool
) -> None:
    """Raises `HoldfastError` for a combination that does not work on the model that the recipe shaped."""
    raise_first(_shaped(trainer, recipe, teacher, cache, guarded))


def _shaped(
    trainer: HostTrainer, recipe: Chain, teacher: Teacher | None, cache: StateCache | None, guarded: bool
) -> Iterator[Refusal]:
    """An adapter on the head, and features that need whole weights if processes shard them."""
    head = getattr(trainer.model, "get_output_embeddings", lambda: None)()
    layers = tuner_layers(trainer.model) if is_trl(trainer) and hasattr(head, "base_layer") else []
    yield (
        any(head is layer and acting_in(layer) for layer in layers),  # a trained copy works: TRL reads its weight
        f"{recipe!r} puts an adapter on the output head, and {type(trainer).__name__} reads the head's weight directly,"
        " so the adapter would not train; leave the head out of the targets.",
    )
    parted = trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled
    yield (
        parted and guarded,
        "A budget asks the model on one process, which has only a part of it under FSDP and DeepSpeed; use DDP.",
    )
    yield (
        parted and (cache is not None or (teacher is not None and teacher.values)),
        "The comparison with the base replaces the trained weights by the base's, and FSDP and DeepSpeed shard them;"
        " use DDP, or train an adapter alone, whose base is the model without it.",
    )
