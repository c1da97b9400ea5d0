"""Run and Step: what a method may ask for before training and at each of its steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from holdfast.core import phases
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example, Mix

Batch = Mapping[str, Tensor]
"""`input_ids`, `attention_mask`, `labels` (-100 ignored, unshifted), all `[B, T]`."""

SOURCE = "holdfast_source"
"""Key of a batch under which it says whose each position is, `[B, T]`; without it, all are new."""

SHOWN = "holdfast_shown"
"""Key of a batch under which a method lays what the base is to read in its place: a batch of its own with as many
supervised positions, and under "weights" the parameters, by name, with which the base reads it, if not its own."""


def _not_here(*_: Any, **__: Any) -> Any:
    raise HoldfastError("This cannot be had at this moment of a run.")


@dataclasses.dataclass
class Run:
    """What a method may ask for before training. Nothing asked for changes the model or draws on its random state.

    Attributes:
        model: The model as it is when the hook is called (for `shape_model` and later: what earlier methods made).
        mix: The examples as earlier methods left them.
        seed: Seed of the run; a method that draws anything derives its generator from it.
        total_steps: Optimizer steps of the whole run; 0 before they are known (in `mix_data` and `shape_model`).
        memory: Name or path -> its examples, prepared as the new ones are.
        batches: `batches(examples, size)` yields batches of examples, once through, in order; "new" and "memory" stand
            for those trained on.
        lr: The run's peak learning rate; 0 before it is known.
        examples: `examples(which)` gives the "new" or the "memory" examples that are trained on.
        score: `score(*fields)` gives, for every supervised token of the training examples, fields of `Tokens` under the
            model as it is, `[tokens]` each, in the order of `tok.token_N`; also `row_N`, the number of the example in
            which it is first found.
        gradient: `gradient(batch, term)` -> gradient of the mean of a term (the token loss if absent) over the
            supervised tokens of a batch under the model as it is, by parameter name; in eval mode. A method that
            calls it names "run_gradient" in `asks`.
        tokenizer: The trainer's tokenizer; None if it has none.
        longest: `longest()` gives the most tokens of an example, for which all of them may have to be read.
        keep: `keep(name, make)` gives the examples that `make()` makes, and those it made before where the run's folder
            has them.
        phase: `phase(name, total)` begins a phase that takes a while, and gives what is to be told how many are done,
            and of how many.
    """

    model: nn.Module
    mix: Mix
    seed: int
    total_steps: int
    memory: Callable[[str], Sequence[Example]] = _not_here
    batches: Callable[[str | Sequence[Example], int], Iterator[dict[str, Tensor]]] = _not_here
    lr: float = 0.0
    examples: Callable[[str], Sequence[Example]] = _not_here
    score: Callable[..., dict[str, Tensor]] = _not_here
    gradient: Callable[..., dict[str, Tensor]] = _not_here
    tokenizer: Any = None
    longest: Callable[[], int] = _not_here
    keep: Callable[[str, Callable[[], Sequence[Example]]], Sequence[Example]] = _not_here
    phase: phases.Show = phases.begin


@dataclasses.dataclass
class Step:
    """One optimizer step, as the per-step hooks see it.

    Attributes:
        index: Optimizer steps done before this one.
        total: Optimizer steps of the whole run.
        means: Mean over the step's *new* tokens, all micro-batches and ranks, of each field in a method's `means`;
            complete when `scale_lr` is called.
        params: The trainable parameters, bare, by name.
        gradient: `gradient(batch, term)` -> gradient of the mean of a term (the token loss if absent) on another batch,
            by parameter name, in eval mode; the gradients of the step itself are left alone. A method that calls it
            names "gradient" in `asks`, and "base_gradient" if its term reads fields of the base.
        start: The trainable parameters as they were before training, by name, for a method that names "start" in
            `asks`.
        values: The numbers of all the step's new tokens themselves, all micro-batches and ranks, of each field that a
            method `sees`; complete when `scale_lr` is called.
        write: `write(prompts, ends=, max_new_tokens=, temperature=, seed=)` -> the token ids that the model as it is
            puts behind each prompt (see `holdfast.probes.generation.continued`).
    """

    index: int
    total: int
    means: Mapping[str, float]
    params: Mapping[str, nn.Parameter]
    gradient: Callable[..., dict[str, Tensor]] = _not_here
    start: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)
    values: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)
    write: Callable[..., list[list[int]]] = _not_here

    @property
    def progress(self) -> float:
        """Share of the run done before this step, in [0, 1)."""
        return self.index / max(self.total, 1)
