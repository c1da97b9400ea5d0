"""Runs a trainer and the reference loop on the same data, to compare where they end."""

from __future__ import annotations

import copy

import torch
import transformers

from holdfast.core.method import chain
from holdfast.core.mix import Mix
from holdfast.core.params import trainable
from holdfast.core.run import Run
from holdfast.recipe import parse
from holdfast.train.attach import attach
from holdfast.train.full_loop import train_reference
from tests import tiny


def arguments(folder, micro=8, accumulate=1, **changes):
    return transformers.TrainingArguments(
        output_dir=str(folder),
        **{
            "use_cpu": True,
            "per_device_train_batch_size": micro,
            "gradient_accumulation_steps": accumulate,
            "learning_rate": 0.05,
            "lr_scheduler_type": "constant",
            "optim": "sgd",
            "max_grad_norm": 1.0,
            "num_train_epochs": 1,
            "report_to": "none",
            "save_strategy": "no",
            "logging_steps": 1,
            "disable_tqdm": True,
            "seed": 5,
            **changes,
        },
    )


def trainer_for(model, folder, data, *, trainer_class=transformers.Trainer, **changes):
    return trainer_class(model=model, args=arguments(folder, **changes), train_dataset=data, data_collator=tiny.collate)


def batches_of(trainer):
    """The micro-batches that a trainer is about to see, grouped by optimizer step."""
    loader = trainer.get_train_dataloader()
    loader.set_epoch(0)
    found = []
    for batch in loader:
        found.append(dict(batch))
    size = trainer.args.gradient_accumulation_steps
    return [found[i : i + size] for i in range(0, len(found), size)]


def reference(model, recipe, steps, *, lr=0.05, clip=1.0, seed=5):
    """The same run by the reference loop; returns the trained model and its record."""
    active = (parse(recipe) if isinstance(recipe, str) else chain(recipe)).active()
    base, run = copy.deepcopy(model).eval(), Run(model, Mix(()), seed, len(steps), None, None)
    model = active.shape_model(run)
    state = active.init_state(run)
    factors = active.group_params(trainable(model))
    groups = [{"params": [p], "lr": lr * factors.get(name, 1.0)} for name, p in trainable(model).items()]
    record = train_reference(model, base, steps, active, state, torch.optim.SGD(groups), clip=clip)
    return model, state, record


def furthest(model, other):
    """The largest difference between the parameters of two models."""
    pairs = zip(model.state_dict().values(), other.state_dict().values(), strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)


def both(folder, recipe, *, backbone="llama", count=24, micro=8, accumulate=1, model=None, **changes):
    """Trains by both ways from the same start; returns (trainer, its model, the loop's model, the loop's record)."""
    start = tiny.tiny(backbone) if model is None else model
    data = tiny.rows(count)
    trainer = trainer_for(copy.deepcopy(start), folder, data, micro=micro, accumulate=accumulate, **changes)
    attach(trainer, recipe)
    steps = batches_of(trainer)
    trainer.train()
    expected, _state, record = reference(copy.deepcopy(start), recipe, steps)
    return trainer, trainer.model, expected, record
