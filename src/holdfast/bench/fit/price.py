"""What a training costs in plain runs, counted from its batches before it begins.

A forward costs 2 N operations for each token and a backward 4 N (Kaplan et al. 2020, arXiv 2001.08361, section 2.1).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from holdfast.bench.fit.trials import Candidate
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.plan.facts import PlanInputs
from holdfast.bench.run.arguments import micro_batch_rows
from holdfast.bench.run.inputs import old_examples
from holdfast.core.batches import saves_time
from holdfast.core.errors import HoldfastError
from holdfast.core.method import Chain, Method, chain
from holdfast.core.mix import NEW, Example, Mix
from holdfast.core.run import Run
from holdfast.data.order import order
from holdfast.methods.adapter import Adapter
from holdfast.methods.answering import share_read
from holdfast.methods.prompts import PROMPTS
from holdfast.methods.rehearsal.prompt_rehearsal import PromptRehearsal
from holdfast.methods.rehearsal.refusal_rehearsal import RefusalRehearsal
from holdfast.methods.rehearsal.rehearsal import Rehearsal
from holdfast.methods.rehearsal.self_rehearsal import SelfRehearsal
from holdfast.methods.requests import HARMFUL, HARMLESS
from holdfast.train.settings import train_of

FORWARD = 1.0
"""Work at a position of a forward. The others are in this unit."""
TRAINED = 3.0
"""Work of a forward and a backward in which all weights train: the backward is two products for each of the forward."""
ADAPTED = 2.5
"""The same where an adapter trains. Without gradients of the frozen weights it would be 2; steps of LoRA took 0.73 of
the time of full ones on Gemma 3 270M and 0.8 to 1.0 of it on the proving ground (docs/studies)."""

WRITTEN = "written {}"
"""Name of the stand-ins for what the base writes for a method, by its number in the recipe."""


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
        width: Hidden size of the model, which reads a batch without padding where that saves time; 0 if unknown.
    """

    examples: Sequence[Example]
    memories: Mapping[str, Sequence[Example]]
    epochs: float
    batch: int
    rows: int
    seed: int = 0
    width: int = 0

    @classmethod
    def of(cls, spec: RunSpec, inputs: PlanInputs, *, epochs: float, batch: int) -> PlainRun:
        """Returns the plain run of a run's options, with the old examples that they name.

        Args:
            spec: The options.
            inputs: What `read_plan_inputs` read for them.
            epochs: Passes over the examples.
            batch: Examples of a step.
        """
        memories = {name: old_examples(spec, path, inputs.tokenizer) for name, path in spec.memories().items()}
        width = getattr(inputs.config.get_text_config(), "hidden_size", 0)
        return cls(inputs.data.train, memories, epochs, batch, spec.batch_size, spec.seed, width)

    @property
    def about(self) -> str:
        """Returns what a pass reads."""
        return f"{len(self.examples):,} examples"

    def price(self, candidate: Candidate, share: float = 1.0) -> float:
        """Returns what a candidate's training costs, in plain runs.

            sum_batches positions * (w + compared / rows)  /  sum_plain batches positions * TRAINED

        for w = TRAINED or ADAPTED, twice that if a method computes another gradient beside the step's, and `compared`
        rows that the base reads besides. The batches are those of the first epoch, with their padding; all epochs count
        alike. Old examples that the base has yet to write count as long as they may become; their writing is not
        counted, nor is asking, nor what else methods do beyond a forward and a backward.

        Args:
            candidate: The candidate.
            share: Share of its steps.

        Raises:
            HoldfastError: The recipe writes at every step, so that its batches are not known.
        """
        return share * candidate.epochs * self._epoch(candidate.chain()) / (self.epochs * self._plain)

    @property
    def _plain(self) -> float:
        """Returns the work of one epoch of the plain run."""
        lengths = [len(example.input_ids) for example in self.examples]
        indices = order(Mix(tuple(self.examples)), epochs=1, seed=self.seed)[0]
        rows = micro_batch_rows(self.batch, self.rows)
        return TRAINED * sum(self._positions(part, lengths) for part in _batches(indices, rows))

    def _mix(self, active: Chain) -> Mix:
        """Returns the examples of a recipe, with stand-ins for what the base has yet to write."""
        written = {WRITTEN.format(i): own for i, part in enumerate(active.parts()) if (own := _written(part))}
        return chain(*(_reading(part, i, self.examples) for i, part in enumerate(active.parts()))).mix_data(
            Run(
                model=None,  # type: ignore[arg-type]  # what the base would write has a stand-in
                mix=Mix(tuple(self.examples)),
                seed=self.seed,
                total_steps=0,
                memory=lambda name: written[name] if name in written else self.memories[name],
            )
        )

    def _epoch(self, recipe: Chain) -> float:
        """Returns the work of one epoch of a recipe."""
        active = recipe.active()
        if writers := [type(part).__name__ for part in active.parts() if part.uses("renew_batches")]:
            raise HoldfastError(
                f"{', '.join(writers)} writes its batches at every step, so that its cost is not known before; leave it"
                " out of the search."
            )
        mix = self._mix(active)
        lengths = [len(example.input_ids) for example in mix.examples]
        old = [example.source != NEW for example in mix.examples]
        small = any(isinstance(part, Adapter) and part.small for part in active.parts())
        trained, compared = ADAPTED if small else TRAINED, _compared(active)
        trained *= 2.0 if active.needs.asks & {"gradient", "base_gradient"} else 1.0
        rows = micro_batch_rows(train_of(recipe).batch, self.rows)
        work = 0.0
        for part in _batches(order(mix, epochs=1, seed=self.seed)[0], rows):
            read = sum((compared[1] if old[i] else compared[0]) for i in part)
            work += self._positions(part, lengths) * (trained + FORWARD * read / len(part))
        return work

    def _positions(self, indices: Sequence[int], lengths: Sequence[int]) -> int:
        """Returns the positions of a batch, padding included."""
        own = [lengths[i] for i in indices]
        return sum(own) if self.width and saves_time(own, self.width) else len(own) * max(own)


def _written(part: Method) -> list[Example]:
    """Returns stand-ins for the old examples that the base writes for a method; none for other methods."""
    if isinstance(part, SelfRehearsal):
        return [Example([0] * part.length, [0] * part.length)] * part.count
    if isinstance(part, (RefusalRehearsal, PromptRehearsal)):
        asked = len(PROMPTS) if isinstance(part, PromptRehearsal) else len([*HARMFUL, *HARMLESS])
        return [Example([0] * 2 * part.length, [-100] * part.length + [0] * part.length)] * asked
    return []


def _reading(part: Method, number: int, new: Sequence[Example]) -> Method:
    """Returns a method; in place of one for which the base writes, the rehearsal of its stand-ins."""
    if isinstance(part, PromptRehearsal):
        return Rehearsal(WRITTEN.format(number), ratio=share_read(part.ratio, part.per_example, new, _written(part)))
    if isinstance(part, (SelfRehearsal, RefusalRehearsal)):
        return Rehearsal(WRITTEN.format(number), ratio=part.ratio)
    return part


def _batches(indices: Sequence[int], rows: int) -> Iterator[Sequence[int]]:
    for first in range(0, len(indices), rows):
        yield indices[first : first + rows]


def _compared(recipe: Chain) -> tuple[bool, bool]:
    """Returns whether the base reads new rows, and old ones."""
    if not recipe.needs.base:
        return False, False
    on = recipe.compares_on
    return on != "memory", on != "new"
