"""Times a few optimizer steps of a recipe on a reranker, and estimates the time of its whole run."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from holdfast.bench.given.specs import RunSpec
from holdfast.bench.plan.record import TimeRow
from holdfast.bench.plan.timing import SECONDS, STEPS, StepTimer, time_row
from holdfast.bench.run.ranking_data import RankingData, lists_of
from holdfast.bench.run.ranking_trainer import build_trainer, cross_encoder, ranking_arguments
from holdfast.bench.run.resources import training_settings
from holdfast.recipe import parse
from holdfast.rerank.attach import attach_reranker


def time_ranking(run: RunSpec, data: RankingData, text: str, tokens: float) -> TimeRow:
    """Trains a fresh copy of the model for a few steps, and returns the time of the whole run.

    Args:
        run: The run that is planned.
        data: What it reads.
        text: The recipe.
        tokens: Tokens of a list, in the mean.

    Raises:
        HoldfastError: The model does not load, or the recipe does not work on it.
    """
    recipe, reranker = parse(text), cross_encoder(run, [])
    with tempfile.TemporaryDirectory(prefix="holdfast-plan-") as folder:
        arguments = ranking_arguments(run, recipe, Path(folder) / "checkpoints")
        arguments.save_strategy = "no"
        trainer = build_trainer(run, reranker.model, data.lists, arguments)
        settings = training_settings(recipe, arguments, len(trainer.train_dataset))
        attach_reranker(trainer, recipe, memories=data.memories, lists=lists_of(run))
        timer = StepTimer(STEPS, SECONDS)
        trainer.add_callback(timer)
        trainer.train()
    seconds: Sequence[float] = timer.seconds[1:] or timer.seconds
    return time_row(text, seconds, int(trainer.state.max_steps), tokens * int(settings["batch"]), None)
