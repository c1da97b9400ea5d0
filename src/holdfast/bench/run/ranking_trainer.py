"""The trainer of sentence-transformers that the run of a reranker uses: its model, its arguments and its loss."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from holdfast.bench.given.model_files import reranker_or_name
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.run.arguments import arguments_of, refused_by_transformers
from holdfast.core.errors import HoldfastError
from holdfast.core.method import Chain
from holdfast.rerank.collection import CandidateList
from holdfast.rerank.extra import needed
from holdfast.rerank.loading import load_reranker
from holdfast.rerank.scoring import CrossEncoderReranker, default_prompt
from holdfast.rerank.units import pair_labels

LOSSES = {
    "listnet": "CertainListNetLoss",
    "listmle": "ListMLELoss",
    "ranknet": "RankNetLoss",
    "lambda": "LambdaLoss",
    "bce": "BinaryCrossEntropyLoss",
}
"""Names of the losses in sentence-transformers; the first is ours, over its own (`holdfast.rerank.listwise`)."""


def cross_encoder(spec: RunSpec, notes: list[str]) -> CrossEncoderReranker:
    """Returns the model of a run, in float32.

    Raises:
        HoldfastError: It cannot be loaded, or is a bi-encoder.
    """
    reranker = load_reranker(
        reranker_or_name(spec.model), notes=notes, batch_tokens=spec.eval_batch_tokens, max_length=spec.max_length
    )
    if not isinstance(reranker, CrossEncoderReranker):
        raise HoldfastError(
            f"{spec.model} embeds queries and documents apart (a bi-encoder); holdfast train trains cross-encoders, and"
            " holdfast diff measures both."
        )
    return reranker


def begin_at(reranker: CrossEncoderReranker, start: Path) -> None:
    """Gives a reranker the weights of another of its kind; what was kept of its own weights stays."""
    with torch.no_grad():
        reranker.model.load_state_dict(load_reranker(str(start)).model.state_dict())


def ranking_arguments(spec: RunSpec, recipe: Chain, folder: Path) -> Any:
    """Returns the arguments of the trainer of sentence-transformers.

    DDP does not look for unused parameters unless the user says so: it looks in the output of the model, where a
    cross-encoder keeps its scores in a mapping that DDP does not open, so it would take all parameters for unused and
    fail. A recipe freezes its parameters before DDP wraps the model, and every other one has a gradient in each step.
    """
    kind = needed("sentence_transformers.cross_encoder").CrossEncoderTrainingArguments
    training = {"ddp_find_unused_parameters": False, **spec.training}
    return arguments_of(kind, dataclasses.replace(spec, training=training), recipe, folder)


def _chances(entry: CandidateList) -> list[float]:
    """Returns the label of each document of a list as the probability that it is relevant.

    Raises:
        HoldfastError: The labels are scores of a teacher outside of [0, 1].
    """
    labels = pair_labels(entry.labels)
    if (wrong := next((label for label in labels if not 0 <= label <= 1), None)) is not None:
        raise HoldfastError(
            f"{entry.origin or repr(entry.query)}: the label {wrong:g} is no probability, and --loss bce needs one;"
            " give labels from 0 to 1, or use --loss listnet."
        )
    return labels


def build_trainer(spec: RunSpec, model: Any, lists: Sequence[CandidateList], arguments: Any) -> Any:
    """Returns a trainer of sentence-transformers on the lists, before any recipe is attached to it.

    A model with a prompt of its own trains with it, as it is asked; the trainer alone would leave it out.

    Raises:
        HoldfastError: It refuses the user's `training`, or `--loss bce` cannot take the labels.
    """
    import datasets
    from transformers import PrinterCallback

    library = needed("sentence_transformers.cross_encoder")
    listwise = needed("holdfast.rerank.listwise")
    kind = getattr(listwise if spec.loss == "listnet" else library.losses, LOSSES[spec.loss])
    rows: list[dict[str, Any]] = [
        {"query": entry.query, "documents": list(entry.documents), "labels": list(entry.labels)} for entry in lists
    ]
    arguments.prompts = default_prompt(model)
    how: dict[str, Any] = {"mini_batch_size": -1}  # one forward for all documents of a micro-batch
    if spec.loss == "bce":
        how = {}
        rows = [
            {"query": entry.query, "document": text, "label": label}
            for entry in lists
            for text, label in zip(entry.documents, _chances(entry), strict=True)
        ]
    try:
        trainer = library.CrossEncoderTrainer(
            model=model, args=arguments, train_dataset=datasets.Dataset.from_list(rows), loss=kind(model, **how)
        )
    except (ValueError, TypeError, RuntimeError, ImportError) as error:
        raise refused_by_transformers(error) from error
    trainer.remove_callback(PrinterCallback)
    return trainer
