"""What a training costs in plain runs, counted from its batches before it begins."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from holdfast.bench.fit.trials import Candidate
from holdfast.bench.run.arguments import micro_batch_rows
from holdfast.core.method import Chain
from holdfast.core.mix import NEW, Example, Mix
from holdfast.core.run import Run
from holdfast.data.order import order
from holdfast.methods.adapter import Adapter
from holdfast.train.settings import train_of

FORWARD = 1.0
"""Work at a position of a forward. The others are in this unit."""
TRAINED = 3.0
"""Work of a forward and a backward in which all weights train: the backward is two products for each of the forward."""
ADAPTED = 2.5
"""The same where an adapter trains. Without gradients of the frozen weights it would be 2; steps of LoRA took 0.73 of
the time of full ones on Gemma 3 270M and 0.8 to 1.0 of it on the proving ground (docs/studies)."""


@dataclasses.dataclass(frozen=True)
class PlainRun:
    """The unit of the cost: all weights train on the data alone, in the plan's batches, for the plan's epochs.

    Attributes:
        examples: Examples to train on.
        memories: Old examples, by their names in recipes.
        epochs: Passes over the examples.
        batch: Examples of a step.
        rows: Most rows of a forward.
        seed: Seed of the order.
    """

    examples: Sequence[Example]
    memories: Mapping[str, Sequence[Example]]
    epochs: float
    batch: int
    rows: int
    seed: int = 0

    def price(self, candidate: Candidate, share: float = 1.0) -> float:
        """Returns what a candidate's training costs, in plain runs.

            sum_batches rows * longest * (w + compared / rows)  /  sum_plain batches rows * longest * TRAINED

        for w = TRAINED or ADAPTED, and `compared` rows that the base reads besides. The batches are those of the first
        epoch, padding included; all epochs count alike. Asking is not counted. The price leaves out what methods do
        beyond a forward and a backward; none that a fit tries does more.

        Args:
            candidate: The candidate.
            share: Share of its steps.
        """
        return share * candidate.epochs * self._epoch(candidate.chain()) / (self.epochs * self._plain)

    @property
    def _plain(self) -> float:
        """Returns the work of one epoch of the plain run."""
        lengths = [len(example.input_ids) for example in self.examples]
        indices = order(Mix(tuple(self.examples)), epochs=1, seed=self.seed)[0]
        rows = micro_batch_rows(self.batch, self.rows)
        return TRAINED * sum(_positions(part, lengths) for part in _batches(indices, rows))

    def _epoch(self, recipe: Chain) -> float:
        """Returns the work of one epoch of a recipe."""
        active = recipe.active()
        mix = active.mix_data(
            Run(
                model=None,  # type: ignore[arg-type]  # recipes of a fit read their old examples from a file
                mix=Mix(tuple(self.examples)),
                seed=self.seed,
                total_steps=0,
                memory=lambda name: self.memories[name],
            )
        )
        lengths = [len(example.input_ids) for example in mix.examples]
        old = [example.source != NEW for example in mix.examples]
        small = any(isinstance(part, Adapter) and part.small for part in active.parts())
        trained, compared = ADAPTED if small else TRAINED, _compared(active)
        rows = micro_batch_rows(train_of(recipe).batch, self.rows)
        work = 0.0
        for part in _batches(order(mix, epochs=1, seed=self.seed)[0], rows):
            read = sum((compared[1] if old[i] else compared[0]) for i in part)
            work += _positions(part, lengths) * (trained + FORWARD * read / len(part))
        return work


def _batches(indices: Sequence[int], rows: int) -> Iterator[Sequence[int]]:
    for first in range(0, len(indices), rows):
        yield indices[first : first + rows]


def _positions(indices: Sequence[int], lengths: Sequence[int]) -> int:
    """Returns the positions of a padded batch."""
    return len(indices) * max(lengths[i] for i in indices)


def _compared(recipe: Chain) -> tuple[bool, bool]:
    """Returns whether the base reads new rows, and old ones."""
    if not recipe.needs.base:
        return False, False
    on = recipe.compares_on
    return on != "memory", on != "new"
