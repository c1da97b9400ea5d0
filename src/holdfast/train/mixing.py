"""Memories beside a trainer's own dataset: rows with the number of their source, in an order that keeps the shares."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from typing import Any

import torch
from torch.utils.data import Dataset, IterableDataset, Sampler

from holdfast.core.batches import examples_of, per_position
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import NEW, Example, Mix
from holdfast.core.rows import Row, example_of, row_length, row_like, source_apart, with_source
from holdfast.core.run import SOURCE
from holdfast.data.order import order
from holdfast.train.task_loss import text_config_of
from holdfast.train.trainers import Collator, HostTrainer

TRIED = 8
"""Number of rows with labels on which a collator is tested for changing labels."""


def tokenizer_of(trainer: HostTrainer) -> Any:
    """Returns the tokenizer of a trainer, or of its processor; None if it has neither."""
    processing = trainer.processing_class
    return getattr(processing, "tokenizer", processing)


def row_limit(trainer: HostTrainer) -> int:
    """Returns the most tokens of a row that is prepared for a trainer.

    That is the trainer's `max_length`; without one, the context of the model, but at most 1,024.
    """
    config = text_config_of(trainer.model)
    return getattr(trainer.args, "max_length", None) or min(getattr(config, "max_position_embeddings", 1024), 1024)


def has_rows(dataset: Any) -> bool:
    """Returns whether a dataset gives its rows by number; one that streams does not, even if it tells its length."""
    numbered = isinstance(dataset, Sized) and hasattr(dataset, "__getitem__")
    return numbered and not isinstance(dataset, IterableDataset)


def as_trained(dataset: Any, collate: Collator | None = None) -> list[Example]:
    """Returns the rows of a trainer's tokenised dataset as examples.

    Args:
        dataset: The rows.
        collate: The trainer's collator, which decides what is supervised and what is padding. Without it a row is read
            as it is, and a row without labels is supervised throughout. A row with labels and without padding is also
            read as it is, once the collator has left the first `TRIED` such rows unchanged.

    Raises:
        HoldfastError: The dataset streams, or is not tokenised.
    """
    if dataset is None or (isinstance(dataset, Sized) and not len(dataset)):
        raise HoldfastError("The trainer has no example to train on; give it a train_dataset with rows.")
    if not has_rows(dataset):
        raise HoldfastError(
            "Methods that mix or read the train dataset need its rows by number, and this one streams; load it whole,"
            " or leave these methods out."
        )
    examples, changes = [], False
    for i in range(len(dataset)):
        row = dataset[i]
        example = example_of(row, i)
        plain = isinstance(row, Example) or ("labels" in row and all(row.get("attention_mask", ())))
        if collate is not None and (i < TRIED or changes or not plain):
            read = _collated(example, collate([row]))
            changes = changes or read.labels[1:] != example.labels[1:]
            example = read
        examples.append(example)
    return examples


def _collated(example: Example, batch: Mapping[str, Any]) -> Example:
    """Returns an example with the tokens and labels of its own batch `[1, T]`, without the padding."""
    ids_BT, labels_BT, mask_BT = batch["input_ids"], batch.get("labels"), batch.get("attention_mask")
    if labels_BT is None:
        return example
    if labels_BT.shape != ids_BT.shape:
        raise HoldfastError(
            "The trainer's collator does not return one label for each token; leave out methods that read the tokens of"
            " the rows."
        )
    if mask_BT is None or mask_BT.shape != ids_BT.shape:
        mask_BT = (torch.arange(ids_BT.shape[1]) < len(example.input_ids)).expand(ids_BT.shape)
    read = examples_of({**batch, "attention_mask": mask_BT})[0]
    return dataclasses.replace(example, input_ids=read.input_ids, labels=read.labels)


class MixedRows(Dataset[Row]):
    """The rows of a trainer followed by those of the memories, all in one form, each with the number of its source."""

    def __init__(self, new: Any, mix: Mix, changed: Mapping[int, Example] | None = None) -> None:
        """Converts the memories of `mix` to rows in the form of the trainer's dataset, which stays as it is.

        Args:
            new: The trainer's dataset.
            mix: The examples of the training.
            changed: Examples that replace rows of the trainer, by row number.
        """
        self.new = new
        self.count = len(new)
        first = new[0]
        self.changed = {i: with_source(row_like(e, first), e.source) for i, e in (changed or {}).items()}
        self.memory = [with_source(row_like(e, first), e.source) for e in mix.examples[self.count :]]

    def __len__(self) -> int:
        """Number of rows, new and old."""
        return self.count + len(self.memory)

    def of_two_lengths(self) -> tuple[Row, Row] | None:
        """Returns two rows of different lengths, with their common columns; None if all rows have one length."""
        places = itertools.chain(
            range(self.count, len(self)), range(self.count)
        )  # memories first: they are in host memory
        first, _ = source_apart(self[next(places)])
        rows = (source_apart(self[place])[0] for place in places)
        other = next((row for row in rows if row_length(row) != row_length(first)), None)
        if other is None:
            return None
        if isinstance(first, Example) or isinstance(other, Example):
            return first, other
        columns = first.keys() & other.keys()
        return {name: first[name] for name in columns}, {name: other[name] for name in columns}

    def __getitem__(self, index: int) -> Row:
        """Returns one row."""
        if index >= self.count:
            return self.memory[index - self.count]
        return self.changed[index] if index in self.changed else with_source(self.new[index], NEW)


def refuse_unpadded(rows: MixedRows, collate: Collator, collator: object) -> None:
    """Refuses a collator that cannot put rows of different lengths into one batch, if there are such rows.

    The collator is called with two such rows. If it also fails on one row given twice, the cause is another and the
    collator is accepted here.

    Args:
        rows: The rows of the training.
        collate: The trainer's collator, with unused columns removed.
        collator: The collator that the user gave, for its name.

    Raises:
        HoldfastError: The collator does not pad; the sentence names it and one that does.
    """
    pair = rows.of_two_lengths()
    if pair is None:
        return
    first, other = pair
    try:
        collate([first, first])
    except Exception:  # a collator of the user may raise anything; other checks report this cause
        return
    try:
        collate([first, other])
    except Exception as error:
        if isinstance(first, Example):
            pads = "functools.partial(holdfast.core.batches.collate, pad_id=tokenizer.pad_token_id)"
        elif "labels" in first:
            pads = "DataCollatorForSeq2Seq(tokenizer)"
        else:
            pads = "DataCollatorForLanguageModeling(tokenizer, mlm=False)"
        raise HoldfastError(
            f"The trainer's collator ({getattr(collator, '__name__', type(collator).__name__)}) does not pad: it fails"
            f" on rows of {row_length(first)} and {row_length(other)} tokens ({type(error).__name__}:"
            f" {str(error).strip().partition(chr(10))[0]}), and old examples differ in length; give the trainer one"
            f" that pads, data_collator={pads}, or set per_device_train_batch_size=1."
        ) from error


@dataclasses.dataclass(frozen=True)
class CollateWithSource:
    """Removes the source from each row, calls the trainer's collator, and adds the sources, `[B, T]` int64.

    Attributes:
        collate: The trainer's collator.
    """

    collate: Collator

    def __call__(self, rows: list[Row]) -> dict[str, Any]:
        """Returns the batch; rows without a source (evaluation) get none."""
        parted = [source_apart(row) for row in rows]
        batch = dict(self.collate([row for row, _ in parted]))
        sources = [source for _, source in parted if source is not None]
        if sources:
            batch[SOURCE] = per_position(sources, [row_length(row) or 0 for row in rows], batch["input_ids"].shape)
        return batch


@dataclasses.dataclass(frozen=True)
class _Columns(Dataset[Row]):
    """Examples as rows with columns, the only form that the trainer's samplers by length accept."""

    examples: Sequence[Example]

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Row:
        return row_like(self.examples[index], {"labels": ()})


def with_columns(dataset: Any) -> Any:
    """Returns a dataset for a trainer's own sampler: examples become rows with columns, other rows stay as they are."""
    examples = isinstance(dataset, Sequence) and bool(dataset) and isinstance(dataset[0], Example)
    return _Columns(dataset) if examples else dataset


class OrderSampler(Sampler[int]):
    """Visits the examples in given orders, one list of indices for each epoch."""

    def __init__(self, orders: Sequence[Sequence[int]], epoch: Callable[[], int]) -> None:
        """Takes the lists, all of one length, and a function that returns the current epoch."""
        self.orders = orders
        self.epoch = epoch

    def __len__(self) -> int:
        """Examples per epoch."""
        return len(self.orders[0])

    def __iter__(self) -> Iterator[int]:
        """Yields the indices of the current epoch."""
        return iter(self.orders[min(self.epoch(), len(self.orders) - 1)])


def orders_of(trainer: HostTrainer, mix: Mix) -> list[list[int]]:
    """Returns the order of a mix for each epoch: the examples by their number, in the order of their visits."""
    args, new = trainer.args, sum(example.source == NEW for example in mix.examples)
    epochs = math.ceil(args.num_train_epochs)
    if args.max_steps > 0:
        per_step = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        epochs = max(1, math.ceil(args.max_steps * per_step / new))
    seed = args.seed if args.data_seed is None else args.data_seed
    shuffled = str(getattr(args, "train_sampling_strategy", "random")) != "sequential"
    return order(mix, epochs=epochs, seed=seed, shuffle=shuffled)


def sampler_of(trainer: HostTrainer, mix: Mix) -> OrderSampler:
    """Returns a sampler over a mix that keeps the share of each memory in every stretch of the run."""
    # The trainer computes the epoch as a fraction of steps, which rounding may leave just below a whole number.
    return OrderSampler(orders_of(trainer, mix), lambda: int((trainer.state.epoch or 0.0) + 1e-6))
