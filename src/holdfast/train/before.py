"""What the methods of a recipe may ask of a trainer before training: examples, memories, a look at the data."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from holdfast.core.batches import collate, per_position
from holdfast.core.errors import HoldfastError
from holdfast.core.method import Chain, chain
from holdfast.core.mix import NEW, Example, Mix
from holdfast.core.params import trainable
from holdfast.core.rows import Row, row_length, source_apart, to_examples, to_tensors
from holdfast.core.run import Run
from holdfast.core.token_index import TokenIndex
from holdfast.core.tokens import PLACES
from holdfast.data.memory import load_memory
from holdfast.data.pack import pack
from holdfast.train import checkpoint
from holdfast.train.forward import Forward
from holdfast.train.mixing import MixedRows, as_trained, refuse_unpadded, row_limit, tokenizer_of
from holdfast.train.supervised import SupervisedTokens
from holdfast.train.task_loss import inner_of, reads_on
from holdfast.train.trainers import Collator, HostTrainer

SCORED = 16
"""Examples in one forward while the data is looked at."""


@dataclasses.dataclass
class Before:
    """A trainer as methods see it before training.

    Attributes:
        trainer: The trainer, whose `model` is the model as it is.
        memories: Old examples by the names that methods give them.
        mix: What is trained on, once it is known; None where the recipe leaves the data alone.
        made: Examples that a method made, by the file that they are to be kept in.
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
        """Returns what methods may ask for now.

        Args:
            mix: The examples as earlier methods left them, while they are being mixed.
            forward: The forward of the training, where it has one.
            begins: Whether the training begins, so that its steps are known.
        """
        state, args = self.trainer.state, self.trainer.args

        @functools.cache
        def made() -> Forward:
            return self.plain() if forward is None else forward

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
            gradient=lambda batch, term=None: made().gradient(batch, term),
            tokenizer=self.tokenizer,
            longest=self.longest,
            keep=self.keep,
        )

    def examples(self, which: str = "all") -> Sequence[Example]:
        """Returns the examples that are trained on: all, the "new" or the "memory" ones."""
        if self.mix is not None:
            everything: Sequence[Example] = self.mix.examples
        else:
            if self._examples is None:
                self._examples = as_trained(self.trainer.train_dataset, self._collate())
            everything = self._examples
        return [e for e in everything if which == "all" or (e.source == 0) == (which == "new")]

    def as_collated(self, examples: Sequence[Example], rows: MixedRows) -> tuple[Example, ...]:
        """Returns examples with the labels that the trainer's collator gives the rows made of them.

        Raises:
            HoldfastError: Rows of old examples do not go with the others, or the collator does not pad them or learns
                their prompts.
        """
        made = [i for i, example in enumerate(examples) if example.source != NEW or i in rows.changed]
        plain = [source_apart(rows[i])[0] for i in made]
        self._check_columns(plain[0], rows)
        found = list(examples)
        for i, read in zip(made, as_trained(plain, self._collate()), strict=True):
            if any(old == -100 != new for old, new in zip(examples[i].labels[1:], read.labels[1:], strict=False)):
                raise HoldfastError(
                    "Old examples have tokens that are not to be learned (prompts), and the trainer's collator learns"
                    " them; give the train dataset a 'labels' column (-100 where nothing is learned) and a collator"
                    " that keeps it."
                )
            found[i] = dataclasses.replace(examples[i], input_ids=read.input_ids, labels=read.labels)
        self._check_padding(rows)
        return tuple(found)

    def _check_padding(self, rows: MixedRows) -> None:
        if self.trainer.args.train_batch_size > 1:
            refuse_unpadded(rows, self._collate(), self.trainer.data_collator)

    def _check_columns(self, row: Row, rows: MixedRows) -> None:
        """Refuses columns that an old example has not, if the collator asks for them."""
        new = self.trainer.train_dataset[0]
        if isinstance(row, Example) or not (other := sorted(set(new) - set(row))):
            return
        try:
            self._collate()([row] if self.trainer.args.train_batch_size == 1 else [new, row])
        except Exception as error:  # of whatever kind, in a collator that somebody else wrote
            self._check_padding(rows)  # which fails on any two rows, whatever their columns
            raise HoldfastError(
                f"The rows of the train dataset have {', '.join(other)}, which old examples have not, and the trainer's"
                f" collator stumbles over it ({type(error).__name__}: {error}); take such columns out, or set"
                " remove_unused_columns=True if the model does not read them."
            ) from error

    def _collate(self) -> Collator:
        return self.trainer._get_collator_with_removed_columns(self.trainer.data_collator, "training")

    def memory(self, name: str) -> list[Example]:
        """Returns the examples of a memory, packed where the new ones are.

        Raises:
            HoldfastError: It is not found or holds nothing, or the trainer has no tokenizer.
        """
        source, longest = self.memories.get(name, name), self.longest()
        if isinstance(source, Sequence) and source and isinstance(source[0], Example):
            examples = list(source)
        else:
            if self.tokenizer is None:
                raise HoldfastError(
                    f"Memory {name!r} must be tokenised: give the trainer its processing_class=tokenizer."
                )
            examples = load_memory(source, self.tokenizer, max_length=longest)
        return pack(examples, longest) if getattr(self.trainer.args, "packing", False) else examples

    def longest(self) -> int:
        """Returns the most tokens of an example: the trainer's limit, or its own longest row where that has more."""
        rows = self.trainer.train_dataset
        if not isinstance(rows, Sized) or (len(rows) and row_length(rows[0]) is None):  # type: ignore[index]
            return row_limit(self.trainer)
        if self._longest is None:
            lengths = (row_length(rows[i]) or 0 for i in range(len(rows)))  # type: ignore[index]
            if reads_on(self.trainer.model):  # else what the collator makes of a row is not told by token
                lengths = (len(example.input_ids) for example in self.examples("new"))
            self._longest = max([row_limit(self.trainer), *lengths])
        return self._longest

    def batches(self, which: str | Sequence[Example], size: int) -> Iterator[dict[str, Tensor]]:
        """Yields batches of examples, once through, in order."""
        examples = self.examples(which) if isinstance(which, str) else which
        for start in range(0, len(examples), size):
            yield collate(examples[start : start + size], 0, self.trainer.args.device)

    def index(self, recipe: Chain) -> TokenIndex | None:
        """Returns the numbers of all tokens that are trained on, where the recipe reads them."""
        if not recipe.needs.reads & PLACES:
            return None
        index = TokenIndex()
        for batch in self.batches("all", SCORED):
            index.add(SupervisedTokens.of(batch, None).keys(batch))
        return index

    def score(self, *fields: str) -> dict[str, Tensor]:
        """Returns fields of every token that is trained on, under the model as it is."""
        examples = self.examples()
        found = self.plain().score(self._numbered(examples), sorted({*fields, "row_N"} - {"source_N"}))
        rows = found["row_N"] = found["row_N"].long()
        found["source_N"] = torch.tensor([example.source for example in examples], dtype=torch.int64)[rows]
        return {name: found[name] for name in fields}

    def _numbered(self, examples: Sequence[Example]) -> Iterator[dict[str, Tensor]]:
        """Yields batches that say which example each position belongs to, under `row`."""
        for at, batch in enumerate(self.batches(examples, SCORED)):
            here = range(at * SCORED, min((at + 1) * SCORED, len(examples)))
            lengths = [len(examples[i].input_ids) for i in here]
            yield {**batch, "row": per_position(here, lengths, batch["input_ids"].shape).to(batch["input_ids"].device)}

    def keep(self, name: str, make: Callable[[], Sequence[Example]]) -> Sequence[Example]:
        """Returns what `make` makes, or made when this run began: of the same method, seed and starting model."""
        start = checkpoint.fingerprint(trainable(self.trainer.model))
        path = Path(str(self.trainer.args.output_dir)) / "holdfast" / f"{name}-{start[:16]}.safetensors"
        if path.exists():
            return to_examples(safetensors.torch.load_file(path))
        self.made[path] = make()
        return self.made[path]

    def save_made(self) -> None:
        """Writes the examples that methods made, for a run that is resumed."""
        for path, examples in self.made.items():
            checkpoint.save_tensors(path, to_tensors(examples))

    def plain(self) -> Forward:
        """Returns a forward of the model as it is, without a recipe.

        Raises:
            HoldfastError: It does not predict tokens from left to right.
        """
        if not reads_on(self.trainer.model):
            kind = type(inner_of(self.trainer.model)).__name__
            raise HoldfastError(
                f"A method of the recipe looks, before training, at the tokens that the model predicts from left to"
                f" right, and {kind} is no causal language model; leave it out."
            )
        return Forward(self.trainer.model, chain())
