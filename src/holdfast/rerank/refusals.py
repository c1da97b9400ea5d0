"""Combinations of recipe, budget and reranker that we refuse, each with a sentence on why and what to change."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from torch import nn

from holdfast.core.guard import Guard
from holdfast.core.method import Chain, Method
from holdfast.methods.adapter import Adapter
from holdfast.rerank.units import NOT_TEXT, form_of
from holdfast.train.refusals import Refusal, raise_first, refuse_beside_loss
from holdfast.train.settings import train_of
from holdfast.train.trainers import HostTrainer

READ = frozenset({"base_logits_NV", "base_kl_N", "base_rest_kl_N", "base_rest_N", "nll_N"})
"""Fields of `Tokens` that a list of scores gives."""


def refuse_reranker(trainer: HostTrainer, recipe: Chain, guard: Guard | None, inner: nn.Module | None) -> None:
    """Raises `HoldfastError` for the first combination that does not work; it changes nothing.

    Args:
        trainer: A trainer of sentence-transformers.
        recipe: The whole recipe.
        guard: How a budget is watched; None without one.
        inner: The transformer inside the model; None if it has none.
    """
    active = recipe.active()
    raise_first(
        itertools.chain(
            _model(trainer, inner),
            *(_method(part) for part in active.methods),
            _data(trainer, active),
            _parts(trainer, recipe),
            refuse_beside_loss(trainer, recipe, guard),
            () if guard is None else _guard(guard),
        )
    )


def _model(trainer: HostTrainer, inner: nn.Module | None) -> Iterator[Refusal]:
    """The trainer and its model."""
    encoder: Any = trainer.model
    kinds = {cls.__name__ for cls in type(encoder).__mro__}
    yield (
        "CrossEncoder" not in kinds,
        f"A recipe trains cross-encoders, and {type(encoder).__name__} is not one; measure a bi-encoder before and"
        " after with holdfast diff --task rerank.",
    )
    yield inner is None, f"{type(encoder).__name__} has no transformer of the transformers library to train."
    inside = {id(p) for p in inner.parameters()} if inner is not None else set()
    beside = [name for name, p in encoder.named_parameters() if id(p) not in inside and p.requires_grad]
    yield (
        beside,
        f"This cross-encoder trains {', '.join(beside[:3])} outside of its transformer, where no method acts; freeze"
        " them (requires_grad_(False)), or build the model with its head inside (num_labels=1).",
    )


def _method(part: Method) -> Iterator[Refusal]:
    """Methods that make no sense on scores of documents."""
    weighs = part.uses("weigh_tokens") and getattr(part, "task_loss", "dropped") != "kept"
    yield (
        weighs,
        f"{part!r} weighs the loss of single tokens; a reranker's loss compares documents and stays the one that you"
        " gave, so leave the method out.",
    )
    yield (
        part.uses("renew_batches") or (part.uses("mix_data") and not part.sources),
        f"{part!r} trains on texts that the model writes, and a reranker writes none; rehearse old rows instead"
        " (Rehearsal('old.jsonl')).",
    )
    other = sorted((part.reads | part.means | part.sees) - READ) or sorted(part.sees)
    yield (
        other,
        f"{part!r} reads what a model predicts for each token ({', '.join(other)}), and a reranker predicts a score for"
        " a whole document; leave the method out.",
    )
    yield (
        part.asks & {"gradient", "base_gradient"},
        f"{part!r} compares the gradient of each step with that of stored token sequences, and a reranker's old"
        " examples are texts; rehearse them (Rehearsal), or hold their Fisher (EWC).",
    )
    name = type(part).__name__
    yield (
        isinstance(part, Adapter) and hasattr(part, "memory"),
        f"{part!r} chooses its start by the activations of tokenised examples, and a reranker's old examples are texts;"
        " use LoRA().",
    )
    yield (
        name == "OrthogonalProjection",
        f"{part!r} collects the activations of tokenised examples, and a reranker's old examples are texts; use OSF(),"
        " which needs no examples.",
    )
    yield (
        name == "QLoRA",
        f"{part!r} keeps the weights of a large model in four bits; a cross-encoder is small, and its scores would move"
        " by the rounding: use LoRA().",
    )


def _data(trainer: HostTrainer, active: Chain) -> Iterator[Refusal]:
    """Rows that a method cannot use."""
    scores = next((part for part in active.methods if part.uses("token_loss")), None)
    labels = getattr(trainer.model, "num_labels", 1)
    yield (
        scores is not None and labels != 1,
        f"{scores!r} compares the scores of documents, and this model has {labels} labels; use a cross-encoder with"
        " num_labels=1.",
    )
    rows: Any = trainer.train_dataset
    several = isinstance(rows, dict)
    first = {} if rows is None else (next(iter(rows.values())) if several else rows)[0]
    texts = [[value] for name, value in first.items() if name not in NOT_TEXT]
    masks = next((part for part in active.methods if type(part).__name__ == "MaskTheTarget"), None)
    yield (
        masks is not None and bool(texts) and form_of(texts) == "pairs",
        f"{masks!r} keeps the base's order among the other documents of a query, and rows of single pairs have no other"
        " documents; give rows with lists (query, [documents], [labels]) and a listwise loss, or use BaseKL().",
    )
    yield from _mixing(trainer, active, several)


def _mixing(trainer: HostTrainer, active: Chain, several: bool) -> Iterator[Refusal]:
    """Old rows beside the trainer's own, in an order of their own; `several` tells whether it has several datasets."""
    mixes = next((part for part in active.methods if part.uses("mix_data")), None)
    yield (
        mixes is not None and several,
        f"{mixes!r} mixes old rows into one dataset, and this trainer has several; join them, or add the old rows as"
        " one of them.",
    )
    sampler = str(
        getattr(getattr(trainer.args, "batch_sampler", ""), "value", getattr(trainer.args, "batch_sampler", ""))
    )
    yield (
        mixes is not None and sampler not in ("", "batch_sampler"),
        f"{mixes!r} keeps the share of old rows by an order of its own, and batch_sampler={sampler!r} sets another; use"
        " the default one.",
    )


def _parts(trainer: HostTrainer, recipe: Chain) -> Iterator[Refusal]:
    """Settings of the recipe and of the trainer."""
    settings = train_of(recipe)
    yield (
        settings.teacher == "cache",
        f"{settings!r} stores the base's states of tokens; a loss of sentence-transformers chooses its pairs anew in"
        " each step. Leave out teacher='cache'.",
    )
    yield (
        bool(settings.base_cache),
        f"{settings!r} keeps on disk what the base says of each token; the base of a reranker reads its pairs at each"
        " visit. Leave out base_cache.",
    )
    yield (
        trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled,
        "A recipe on a reranker needs its whole weights on each process, and FSDP and DeepSpeed shard them; use DDP.",
    )


def _guard(guard: Guard) -> Iterator[Refusal]:
    yield (
        guard.on_spent == "steer",
        "Guard(on_spent='steer') weighs old tokens against new ones, and a reranker's loss stays the one that you gave;"
        " use on_spent='rewind' or 'hold'.",
    )
