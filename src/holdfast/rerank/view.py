"""A reranker's trainer as the methods of a recipe see it before training: its rows, its memories, gradients on them."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from datasets import Dataset
from torch import Tensor, nn

from holdfast.core.errors import HoldfastError
from holdfast.core.method import Chain, chain
from holdfast.core.mix import NEW, Example, Mix
from holdfast.core.run import Run
from holdfast.rerank.collection import CandidateList
from holdfast.rerank.first_stage import DEPTH
from holdfast.rerank.forward import ROWS, ScoreForward
from holdfast.rerank.rows import CollateRows, Row, joined, rows_like, stand_in, with_easy
from holdfast.rerank.sources import read_lists
from holdfast.rerank.units import NOT_TEXT, Form, Rows, form_of, rows_of
from holdfast.train.forward import TokenLoss
from holdfast.train.trainers import HostTrainer

logger = logging.getLogger("holdfast")

EASY = 1
"""Documents of other queries that each old list gets as easy negatives."""
PAIRED = 3
"""Hard negatives of an old query beside a train dataset of single pairs."""


@dataclasses.dataclass(frozen=True)
class ListOptions:
    """How a source of the command line's forms becomes lists to train on.

    Attributes:
        negatives: Most hard negatives of a query; the lists of a file keep all of theirs.
        easy: Documents of other queries that each list gets.
        depth: Number of candidates that BM25 finds for a collection without candidates.
    """

    negatives: int
    easy: int
    depth: int


@dataclasses.dataclass
class RerankView:
    """A trainer of a cross-encoder as methods see it before training.

    Attributes:
        trainer: The trainer.
        memories: Old rows, by the names that methods use.
        encoder: The cross-encoder.
        model: The transformer inside it; once the recipe has shaped it, with its adapters.
        mix: Stand-ins of the rows of the training, once the recipe has mixed them; None if it does not change the data.
        forward: The forward of the recipe, for gradients; None before it exists.
        lists: How the sources of memories become lists; as the rows of the trainer suggest if None.
    """

    trainer: HostTrainer
    memories: Mapping[str, Any]
    encoder: Any
    model: nn.Module
    mix: Mix | None = None
    forward: ScoreForward | None = None
    lists: ListOptions | None = None
    _old: dict[str, Row] = dataclasses.field(default_factory=dict)

    @property
    def rows(self) -> Any:
        """The trainer's dataset.

        Raises:
            HoldfastError: It is several datasets, has no rows, or is missing.
        """
        rows = self.trainer.train_dataset
        if not isinstance(rows, Dataset) or not len(rows):
            raise HoldfastError(
                "Methods that mix or read the rows of a reranker's trainer need one datasets.Dataset with rows, and"
                f" this trainer has {type(rows).__name__}; join them, or leave these methods out."
            )
        return rows

    @property
    def form(self) -> Form:
        """The form of the trainer's rows."""
        row = self.rows[0]
        return form_of([[value] for name, value in row.items() if name not in NOT_TEXT])

    def run(self, mix: Mix | None = None, forward: object = None, *, begins: bool = False) -> Run:
        """Returns what methods may use at this moment; `forward` is not used here.

        Args:
            mix: The rows as earlier methods of the recipe have mixed them, during mixing.
            forward: For the same call as that of another trainer's view.
            begins: Whether the training begins, so that the number of steps is known.
        """
        state, args = self.trainer.state, self.trainer.args

        def gradient(batch: Mapping[str, Any], term: TokenLoss | None = None) -> dict[str, Tensor]:
            own = self.forward or ScoreForward(self.encoder, self.model, chain())
            with self.trainer.accelerator.autocast():
                return own.gradient(batch, term)

        return Run(
            model=self.model,
            mix=mix or self.mix or Mix(()),
            seed=args.seed,
            total_steps=state.max_steps if begins else 0,
            memory=self.memory,
            batches=self.batches,
            lr=float(args.learning_rate),
            examples=self.examples,
            gradient=gradient,
        )

    def examples(self, which: str = "all") -> Sequence[Example]:
        """Returns stand-ins of the rows of the training: all of them, the "new" or the "memory" ones."""
        if self.mix is None:
            return [stand_in(str(i)) for i in range(len(self.rows))] if which != "memory" else []
        return [e for e in self.mix.examples if which == "all" or (e.source == NEW) == (which == "new")]

    def memory(self, name: str) -> list[Example]:
        """Returns stand-ins of the rows of a memory, in the form of the train dataset.

        A source of the command line's forms gets `EASY` documents of other queries in each list, unless `lists` says
        otherwise.

        Raises:
            HoldfastError: The memory is not found or empty, or its rows do not fit beside the trainer's.
        """
        source, like, where = self.memories.get(name, name), self.rows[0], f"Memory {name!r}"
        if isinstance(source, str):
            notes: list[str] = []
            how = self.lists or ListOptions(self._negatives(), EASY, DEPTH)
            lists = read_lists(source, notes, negatives=how.negatives, depth=how.depth)
            for note in notes:
                logger.warning("%s: %s", where, note)
            source = with_easy(lists, how.easy, self.trainer.args.seed)
        rows = list(source)
        if rows and isinstance(rows[0], CandidateList):
            rows, left_out = rows_like(rows, like, self.form, where)
            if left_out:
                logger.warning("%s: %d lists have too few documents for a row and are left out.", where, left_out)
        if not rows:
            raise HoldfastError(f"{where} has no row in the form of the train dataset ({', '.join(like)}).")
        if other := set(like) ^ set(rows[0]):
            raise HoldfastError(
                f"{where}: its rows and those of the train dataset do not have the same columns"
                f" ({', '.join(sorted(other))}); give both the columns {', '.join(like)}."
            )
        stand_ins = []
        for number, row in enumerate(rows):
            stand_ins.append(stand_in(f"{name}\n{number}"))
            self._old[stand_ins[-1].origin] = dict(row)
        return stand_ins

    def _negatives(self) -> int:
        """Returns how many hard negatives an old list gets, so that it is about as long as the rows to learn."""
        if self.form == "pairs":
            return PAIRED
        texts = [value for name, value in self.rows[0].items() if name not in NOT_TEXT]
        size = len(texts[1]) if self.form == "lists" else len(texts) - 1
        return max(1, size - 1 - EASY)

    def batches(self, which: str | Sequence[Example], size: int) -> Iterator[dict[str, Any]]:
        """Yields batches of `size` rows, in one pass and in order, for `Run.gradient`."""
        examples = self.examples(which) if isinstance(which, str) else which
        for start in range(0, len(examples), size):
            rows = [self._row(example) for example in examples[start : start + size]]
            yield {ROWS: self._as_rows(rows)}

    def _row(self, example: Example) -> Row:
        return self._old[example.origin] if example.origin in self._old else self.rows[int(example.origin)]

    def _as_rows(self, rows: Sequence[Row]) -> Rows:
        return rows_of({name: [row[name] for row in rows] for name in rows[0]})

    def mix_rows(self, active: Chain) -> None:
        """Adds the memories to the trainer's dataset, and sets `mix` to the resulting mix."""
        new = Mix(tuple(self.examples("new")))
        mix = active.mix_data(self.run(new))
        if not mix.names:
            return
        old = [(self._old[e.origin], e.source) for e in mix.examples[len(new.examples) :]]
        self.mix = mix
        self.trainer.train_dataset = joined(self.rows, old)
        self.trainer.data_collator = CollateRows(self.trainer.data_collator)

    def save_made(self) -> None:
        """Does nothing: no method makes rows here."""
