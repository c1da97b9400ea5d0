"""Run and Step: what a method may use before training and at each step."""

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
"""Key of a batch for the source number of each position, `[B, T]`; without it, all positions are new."""

SHOWN = "holdfast_shown"
"""Key of a batch for the batch that the base reads instead. It must have the same number of supervised positions. Its
optional key "weights" holds the parameters, by name, that the base uses for it instead of its own."""


def _not_here(*_: Any, **__: Any) -> Any:
    raise HoldfastError("A method requested something that is not available at this moment of a run.")


@dataclasses.dataclass
class Run:
    """What a method may use before training. None of it changes the model or its random state.

    Attributes:
        model: The current model (for `shape_model` and later hooks: after the earlier methods).
        mix: The current examples, after the earlier methods.
        seed: Seed of the run; a method that draws random numbers derives its generator from it.
        total_steps: Optimizer steps of the whole run; 0 while unknown (in `mix_data` and `shape_model`).
        memory: `memory(name)` returns the examples of a name or path, prepared like the new ones.
        batches: `batches(examples, size)` yields batches of the examples in order, once; "new" and "memory" stand for
            the training examples of that kind.
        lr: The run's peak learning rate; 0 while unknown.
        examples: `examples(which)` returns the "new" or the "memory" training examples.
        score: `score(*fields)` returns fields of `Tokens` for every supervised token of the training examples under the
            current model, `[tokens]` each, in the order of `tok.token_N`. The field `row_N` is the number of the first
            example that contains the token.
        gradient: `gradient(batch, term)` returns the gradient of the mean of a term (by default the token loss) over
            the supervised tokens of a batch under the current model in eval mode, by parameter name. A method that
            calls it lists "run_gradient" in `asks`.
        tokenizer: The trainer's tokenizer; None if it has none.
        longest: `longest()` returns the largest number of tokens of an example; it may have to read all examples.
        keep: `keep(name, make)` returns the examples of `make()`, or those that the run's folder holds from an earlier
            call with the same name, model, chat template and `longest()`; the name must tell what else decides them.
        phase: `phase(name, total)` begins a long phase and returns `report(done, total)` for its progress.
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
        index: Number of optimizer steps before this one.
        total: Optimizer steps of the whole run.
        means: Mean of each field in a method's `means` over the step's *new* tokens, all micro-batches and ranks;
            complete from `scale_lr` on.
        params: The trainable parameters, unwrapped, by name.
        gradient: `gradient(batch, term)` returns the gradient of the mean of a term (by default the token loss) on
            another batch in eval mode, by parameter name; it leaves the step's own gradients alone. A method that calls
            it lists "gradient" in `asks`, and "base_gradient" if its term reads fields of the base.
        start: The trainable parameters before training, by name, if a method lists "start" in `asks`.
        values: The values of each field in a method's `sees` at the step's new tokens, all micro-batches and ranks;
            complete from `scale_lr` on.
        write: `write(prompts, ends=, max_new_tokens=, temperature=, seed=)` returns the token ids with which the
            current model continues each prompt (see `holdfast.probes.generation.continued`).
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
        """Share of the run before this step, in [0, 1)."""
        return self.index / max(self.total, 1)
