"""Writes the record of what steered a training run beside every model saved from it, and into the output folder."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from holdfast.core.mix import Example
from holdfast.data.digest import digest_of
from holdfast.probes.watch_record import WatchEntry, WatchRecord, of_document, record_path
from holdfast.train.mixing import has_rows, tokenizer_of
from holdfast.train.trainers import HostTrainer

logger = logging.getLogger("holdfast")


def steering(trainer: HostTrainer, asked: WatchRecord) -> WatchRecord:
    """Returns the record of everything that steers a trainer.

    It holds the questions of the guard, the rows by which the trainer's own evaluation chooses a checkpoint, and the
    record beside the model that the training starts from.

    Args:
        trainer: A trainer, with the model that it trains.
        asked: The questions of its guard; empty without a guard.

    Raises:
        HoldfastError: The record beside the model cannot be read.
    """
    for name in _origins(trainer.model):
        if (path := record_path(name)) is not None:
            asked |= WatchRecord.read(path)
    return asked | WatchRecord(tuple(_chosen_by(trainer)))


def record(trainer: HostTrainer, watched: WatchRecord) -> None:
    """Makes a trainer write the record wherever its model is saved.

    The output folder holds the record from the start of the training, every checkpoint holds it, and `save_pretrained`
    writes it beside the trained model, its adapter, or the merged model.
    """
    if not len(watched):
        return
    trainer.add_callback(_Record(watched))
    model: Any
    for model in (trainer.model, _inside(trainer.model)):
        if hasattr(model, "save_pretrained"):
            model.save_pretrained = Recorded(model, watched)


class Recorded:
    """Replaces the `save_pretrained` of a model, and writes the record beside the saved files."""

    def __init__(self, model: nn.Module, watched: WatchRecord) -> None:
        """Takes the model and the record."""
        self.model = model
        self.watched = watched

    def __call__(self, save_directory: str | PathLike[str], *args: object, **kwargs: object) -> object:
        """Saves the model as its class does, and the record."""
        if kwargs.get("is_main_process", True):
            self.watched.write(Path(save_directory))
        kind: Any = type(self.model)
        return kind.save_pretrained(self.model, save_directory, *args, **kwargs)

    def __deepcopy__(self, memo: dict[int, nn.Module]) -> Recorded:
        """Returns a `Recorded` of the copied model, if the copy includes the model."""
        return Recorded(memo.get(id(self.model), self.model), self.watched)


class _Record(TrainerCallback):
    """Writes the record at the start of the training and with every checkpoint."""

    def __init__(self, watched: WatchRecord) -> None:
        self.watched = watched

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        if args.should_save:
            self.watched.write(Path(str(args.output_dir)))

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        if args.should_save:
            self.watched.write(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}")


def _inside(model: Any) -> Any:
    """Returns the model below an adapter, or the model itself."""
    return model.get_base_model() if hasattr(model, "peft_config") and hasattr(model, "get_base_model") else model


def _origins(model: nn.Module) -> list[str]:
    """Returns the folders from which a model may have been loaded."""
    within = getattr(model, "transformers_model", model)  # of sentence-transformers
    names = [getattr(part, "name_or_path", "") for part in (model, _inside(model), within)]
    names += [getattr(config, "base_model_name_or_path", "") for config in getattr(model, "peft_config", {}).values()]
    return [str(name) for name in dict.fromkeys(names) if name]


def _chosen_by(trainer: HostTrainer) -> Iterable[WatchEntry]:
    """Yields the rows by which the trainer chooses a checkpoint (load_best_model_at_end)."""
    data = trainer.eval_dataset
    if not trainer.args.load_best_model_at_end or data is None:
        return
    for name, rows in data.items() if isinstance(data, dict) else (("eval", data),):
        if not has_rows(rows):
            logger.warning(
                "load_best_model_at_end chooses a checkpoint by %s, which streams: its rows are not recorded, so do not"
                " judge the model by them.",
                name,
            )
            continue
        for number in range(len(rows)):
            if digests := _digests(rows[number], tokenizer_of(trainer)):
                yield WatchEntry("eval", str(name), f"row {number}", "", digests)


def _digests(row: object, tokenizer: Any) -> tuple[str, ...]:
    """Returns the digests of a row of a trainer's dataset: of its tokens, and of its text if the row still has it."""
    if isinstance(row, Example):
        return of_document([row], tokenizer)
    if not isinstance(row, Mapping):
        return ()
    digests: tuple[str, ...] = ()
    if "input_ids" in row:
        ids = [int(token) for token in row["input_ids"]]
        digests = of_document([Example(ids, ids)], tokenizer)
    texts = [row[name] for name in ("text", "prompt", "completion") if isinstance(row.get(name), str)]
    turns = row.get("messages") or []
    if isinstance(turns, list):
        texts = texts or [turn["content"] for turn in turns if isinstance(turn, Mapping) and "content" in turn]
    return (*digests, *([digest_of(texts)] if texts else []))
