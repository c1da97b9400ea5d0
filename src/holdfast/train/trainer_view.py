"""A trainer as the methods of a recipe see it before training: its examples, its memories, and scores of the data."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from holdfast.core.batches import collate, per_position
from holdfast.core.errors import HoldfastError
from holdfast.core.method import Chain, chain
from holdfast.core.mix import NEW, Example, Mix
from holdfast.core.rows import Row, row_length, source_apart, to_examples, to_tensors
from holdfast.core.run import Run
from holdfast.core.token_index import TokenIndex
from holdfast.core.tokens import PLACES
from holdfast.data.memory import load_memory
from holdfast.data.packing import pack
from holdfast.train import checkpoint
from holdfast.train.forward import Forward, TokenLoss
from holdfast.train.mixing import MixedRows, as_trained, has_rows, refuse_unpadded, row_limit, tokenizer_of
from holdfast.train.supervised import SupervisedTokens
from holdfast.train.task_loss import inner_of, reads_on
from holdfast.train.trainers import Collator, HostTrainer

SCORED = 16
"""Examples of one forward while the data is scored."""


_SHARED: contextvars.ContextVar[Path | None] = contextvars.ContextVar("shared examples", default=None)


@contextlib.contextmanager
def sharing_examples(folder: Path | None) -> Iterator[None]:
    """Shares the examples that methods make, inside the context, with other runs through a folder; None shares none."""
    token = _SHARED.set(folder)
    try:
        yield
    finally:
        _SHARED.reset(token)


def _shared_or_made(name: str, make: Callable[[], Sequence[Example]], *, saves: bool) -> Sequence[Example]:
    """Returns the examples that another run made, or those of `make`, which it then shares."""
    folder = _SHARED.get()
    if folder is not None and (folder / name).exists():
        return to_examples(safetensors.torch.load_file(folder / name))
    examples = make()
    if folder is not None and saves:
        apart = folder / f"{os.getpid()}-{name}"  # another run may write the same examples
        checkpoint.save_tensors(apart, to_tensors(examples))
        os.replace(apart, folder / name)
    return examples


@dataclasses.dataclass
class TrainerView:
    """A trainer as methods see it before training.

    Attributes:
        trainer: The trainer; its `model` is the current model.
        memories: Old examples, by the names that methods use.
        mix: The examples of the training, once the recipe has mixed them; None if the recipe does not change the data.
        made: Examples that a method made, by the file that will hold them.
    """

    trainer: HostTrainer
    memories: Mapping[str, Any]
    mix: Mix | None = None
    made: dict[Path, Sequence[Example]] = dataclasses.field(default_factory=dict)
    _longest: int | None = None
    _examples: list[Example] | None = None

    @property
    def tokenizer(self) -> Any:
        """The trainer's tokenizer, which may be part of a processor; None if it has none."""
        return tokenizer_of(self.trainer)

    def run(self, mix: Mix | None = None, forward: Forward | None = None, *, begins: bool = False) -> Run:
        """Returns what methods may use at this moment.

        Args:
            mix: The examples as earlier methods of the recipe have mixed them, during mixing.
            forward: The forward of the training, if it has one.
            begins: Whether the training begins, so that the number of steps is known.
        """
        state, args = self.trainer.state, self.trainer.args

        @functools.cache
        def prepared() -> Forward:
            return self.plain() if forward is None else forward

        def gradient(batch: Mapping[str, Tensor], term: TokenLoss | None = None) -> dict[str, Tensor]:
            with self.trainer.accelerator.autocast():
                return prepared().gradient(batch, term)

        return Run(
            model=self.trainer.model,
            mix=mix or self.mix or Mix(()),
            seed=args.seed,
            total_steps=state.max_steps if begins else 0,
            memory=self.memory,
            batches=self.batches,
            lr=float(args.learning_rate),
            examples=self.examples,
            score=self.score,
            gradient=gradient,
            tokenizer=self.tokenizer,
            longest=self.longest,
            keep=self.keep,
        )

    def examples(self, which: str = "all") -> Sequence[Example]:
        """Returns the examples of the training: all of them, the "new" or the "memory" ones."""
        if self.mix is not None:
            everything: Sequence[Example] = self.mix.examples
        else:
            if self._examples is None:
                self._examples = as_trained(self.trainer.train_dataset, self.collate())
            everything = self._examples
        return [e for e in everything if which == "all" or (e.source == 0) == (which == "new")]

    def as_collated(self, examples: Sequence[Example], rows: MixedRows) -> tuple[Example, ...]:
        """Returns examples with the labels that the trainer's collator gives their rows, and the lengths of the rows.

        Raises:
            HoldfastError: Rows of old examples lack columns that the collator needs, or the collator does not pad, or
                it supervises tokens of their prompts.
        """
        places = [i for i, example in enumerate(examples) if example.source != NEW or i in rows.changed]
        plain = [source_apart(rows[i])[0] for i in places]
        self._check_columns(plain[0], rows)
        collated = list(examples)
        for i, read in zip(places, as_trained(plain, self.collate()), strict=True):
            if any(old == -100 != new for old, new in zip(examples[i].labels[1:], read.labels[1:], strict=False)):
                raise HoldfastError(
                    "Old examples have tokens that must not be learned (prompts), but the trainer's collator puts a"
                    " loss on them; give the train dataset a 'labels' column (-100 where nothing is learned) and a"
                    " collator that keeps it."
                )
            collated[i] = dataclasses.replace(
                examples[i], input_ids=read.input_ids, labels=read.labels, lengths=read.lengths
            )
        self._check_padding(rows)
        return tuple(collated)

    def _check_padding(self, rows: MixedRows) -> None:
        if self.trainer.args.train_batch_size > 1:
            refuse_unpadded(rows, self.collate(), self.trainer.data_collator)

    def _check_columns(self, row: Row, rows: MixedRows) -> None:
        """Refuses columns that old examples lack, if the collator needs them."""
        new = self.trainer.train_dataset[0]
        if isinstance(row, Example) or not (other := sorted(set(new) - set(row))):
            return
        try:
            self.collate()([row] if self.trainer.args.train_batch_size == 1 else [new, row])
        except Exception as error:  # a collator of the user may raise anything
            self._check_padding(rows)  # a collator that does not pad fails on any two rows, so test this first
            raise HoldfastError(
                f"The rows of the train dataset have {', '.join(other)}, which old examples do not have, and the"
                f" trainer's collator fails on it ({type(error).__name__}: {error}); remove such columns, or set"
                " remove_unused_columns=True if the model does not read them."
            ) from error

    def collate(self) -> Collator:
        """Returns the trainer's collator, which leaves out the columns that the model does not take."""
        return self.trainer._get_collator_with_removed_columns(self.trainer.data_collator, "training")

    def memory(self, name: str) -> list[Example]:
        """Returns the examples of a memory, packed if the new ones are.

        Raises:
            HoldfastError: The memory is not found or empty, or the trainer has no tokenizer.
        """
        source, longest = self.memories.get(name, name), self.longest()
        if isinstance(source, Sequence) and source and isinstance(source[0], Example):
            examples = list(source)
        else:
            if self.tokenizer is None:
                raise HoldfastError(f"Memory {name!r} needs a tokenizer: give the trainer processing_class=tokenizer.")
            examples = load_memory(source, self.tokenizer, max_length=longest)
        return pack(examples, longest) if getattr(self.trainer.args, "packing", False) else examples

    def longest(self) -> int:
        """Returns the most tokens of an example: the trainer's limit, or its longest row if that has more."""
        rows = self.trainer.train_dataset
        if not has_rows(rows) or (len(rows) and row_length(rows[0]) is None):
            return row_limit(self.trainer)
        if self._longest is None:
            lengths = (row_length(rows[i]) or 0 for i in range(len(rows)))
            if reads_on(self.trainer.model):  # the collator of another kind of model may change lengths
                lengths = (len(example.input_ids) for example in self.examples("new"))
            self._longest = max([row_limit(self.trainer), *lengths])
        return self._longest

    def batches(self, which: str | Sequence[Example], size: int) -> Iterator[dict[str, Tensor]]:
        """Yields batches of `size` examples, in one pass and in order."""
        examples = self.examples(which) if isinstance(which, str) else which
        for start in range(0, len(examples), size):
            yield collate(examples[start : start + size], 0, self.trainer.args.device)

    def index(self, recipe: Chain) -> TokenIndex | None:
        """Returns the index of all supervised tokens of the training; None if the recipe does not read it."""
        if not recipe.needs.reads & PLACES:
            return None
        index = TokenIndex()
        for batch in self.batches("all", SCORED):
            index.add(SupervisedTokens.of(batch, None).keys(batch))
        return index

    def score(self, *fields: str) -> dict[str, Tensor]:
        """Returns fields of every supervised token, `[N]` each, under the current model."""
        examples = self.examples()
        with self.trainer.accelerator.autocast():
            values = self.plain().score(_numbered(self, examples), sorted({*fields, "row_N"} - {"source_N"}))
        rows = values["row_N"] = values["row_N"].long()
        values["source_N"] = torch.tensor([example.source for example in examples], dtype=torch.int64)[rows]
        return {name: values[name] for name in fields}

    def keep(self, name: str, make: Callable[[], Sequence[Example]]) -> Sequence[Example]:
        """Returns the examples that `make` returns, or those saved when the same run began.

        `name` holds the method, the seed and the data that it reads. The file's name adds a digest of the starting
        model, frozen weights included, of the chat template and of the longest row. Inside `sharing_examples`, other
        runs may have made them.
        """
        start = checkpoint.fingerprint(dict(self.trainer.model.named_parameters()))
        written_in = (start, getattr(self.tokenizer, "chat_template", None), self.longest())
        digest = hashlib.sha256(repr(written_in).encode()).hexdigest()[:16]
        path = Path(str(self.trainer.args.output_dir)) / "holdfast" / f"{name}-{digest}.safetensors"
        if path.exists():
            return to_examples(safetensors.torch.load_file(path))
        self.made[path] = _shared_or_made(path.name, make, saves=self.trainer.args.should_save)
        return self.made[path]

    def save_made(self) -> None:
        """Writes the examples that methods made, so that a resumed run finds them."""
        for path, examples in self.made.items():
            checkpoint.save_tensors(path, to_tensors(examples))

    def plain(self) -> Forward:
        """Returns a forward of the current model, without a recipe.

        Raises:
            HoldfastError: The model does not predict tokens from left to right.
        """
        if not reads_on(self.trainer.model):
            kind = type(inner_of(self.trainer.model)).__name__
            raise HoldfastError(
                "A method of the recipe reads, before training, the tokens that a model predicts from left to right,"
                f" but {kind} is not a causal language model; leave the method out."
            )
        return Forward(self.trainer.model, chain())


def _numbered(view: TrainerView, examples: Sequence[Example]) -> Iterator[dict[str, Tensor]]:
    """Yields batches whose `row` holds the number of the example at each position, `[B, T]`."""
    for at, batch in enumerate(view.batches(examples, SCORED)):
        here = range(at * SCORED, min((at + 1) * SCORED, len(examples)))
        lengths = [len(examples[i].input_ids) for i in here]
        yield {**batch, "row": per_position(here, lengths, batch["input_ids"].shape).to(batch["input_ids"].device)}
