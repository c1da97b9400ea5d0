"""A run as far as it goes without its weights: rows, suites, memories, the trainer's arguments, what it needs."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from transformers import TrainingArguments

from holdfast.bench.given.loading import load_model, load_tokenizer
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.machine.progress import Progress
from holdfast.bench.machine.verbosity import quiet_libraries
from holdfast.bench.measured.preparation import PreparedData, check_fit, kept_units, prepare_data
from holdfast.bench.measured.verdict import check_limits
from holdfast.bench.run.arguments import training_arguments
from holdfast.bench.run.folder import folder_of
from holdfast.bench.run.forecast import Forecast, check_memory, forecast_run, longest_row
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError, nearest
from holdfast.core.method import Chain
from holdfast.core.mix import Example
from holdfast.data.examples import read
from holdfast.data.memory import load_memory
from holdfast.recipe import parse
from holdfast.train.settings import train_of

KINDS = {"messages": "conversations", "completion": "prompts with completions", "text": "texts"}
"""What the kinds of rows are called."""
SHOWN = 3
"""Rows that are shown as the model will see them."""


@dataclasses.dataclass(frozen=True)
class RunInputs:
    """What a run is made of before its model is loaded.

    Attributes:
        tokenizer: The model's.
        arguments: The trainer's.
        data: Rows to learn and what is measured.
        memories: Old examples by the name that the recipe gives them.
        budget: What may be lost.
        forecast: How it trains and what it holds.
        notes: Sentences to be shown.
        need: The sentence that it does not fit, where that is not to be refused.
    """

    tokenizer: Any
    arguments: TrainingArguments
    data: PreparedData
    memories: dict[str, list[Example]]
    budget: Budget | None
    forecast: Forecast
    notes: tuple[str, ...]

    @property
    def memory_examples(self) -> list[Example]:
        """Returns the examples of all memories."""
        return [example for memory in self.memories.values() for example in memory]


@dataclasses.dataclass(frozen=True)
class DryRun:
    """What `holdfast train --dry-run` shows.

    Attributes:
        spec: The run.
        recipe: Its recipe.
        kinds: Rows of the data by kind.
        inputs: What the run is made of.
        rows: Rows as the model will see them: where each was read, its tokens, and its text as pieces, each with
            whether it is learned.
    """

    spec: RunSpec
    recipe: Chain
    kinds: dict[str, int]
    inputs: RunInputs
    rows: tuple[tuple[str, int, tuple[tuple[str, bool], ...]], ...]


def read_inputs(spec: RunSpec, recipe: Chain, *, refuse: bool = True) -> RunInputs:
    """Returns what a run is made of; nothing is written and no weight is loaded.

    Args:
        spec: The run.
        recipe: Its recipe.
        refuse: Whether a run that does not fit into memory is refused, unless it is to go on; else that is a note.

    Raises:
        HoldfastError: For anything the user can mend.
    """
    tokenizer = load_tokenizer(spec.model)
    arguments = training_arguments(spec, recipe, folder_of(spec) / "checkpoints")
    budget = spec.allowed()
    data, paths, unused = read_data(spec, recipe, tokenizer, budget)
    old: dict[str, Any] = {"raw": spec.raw, "refused": spec.refused, "preference": spec.preference}
    memories = {
        name: list(load_memory(path, tokenizer, max_length=spec.max_length, **old)) for name, path in paths.items()
    }
    longest = longest_row([*data.train, *(example for memory in memories.values() for example in memory)])
    forecast = forecast_run(spec, recipe, arguments, data.train, longest)
    checked = spec if refuse else dataclasses.replace(spec, memory_check="warn")
    notes = [*_batch_notes(spec, recipe, arguments), *check_memory(forecast, checked, recipe, arguments, longest)]
    return RunInputs(tokenizer, arguments, data, memories, budget, forecast, (*notes, *data.notes, *unused))


def read_data(
    spec: RunSpec, recipe: Chain, tokenizer: Any, budget: Budget | None
) -> tuple[PreparedData, dict[str, str], list[str]]:
    """Reads what a run learns and measures, kept apart from what it rehearses.

    Args:
        spec: The run.
        recipe: Its recipe, which names old examples.
        tokenizer: The model's.
        budget: What may be lost; checked to limit something that is measured.

    Returns:
        Rows to learn and what is measured; where each memory is; and a sentence about each memory that is not used.

    Raises:
        HoldfastError: For anything the user can mend.
    """
    paths, unused = memory_paths(recipe, spec)
    data = prepare_data(spec, tokenizer, tuple(paths.values()))
    if budget is not None:
        check_limits(budget, kept_units(data.suites))
    return data, paths, unused


def load_checked_model(
    spec: RunSpec, examples: Sequence[Example], console: Console, notes: list[str], *, frozen: bool = False
) -> Any:
    """Loads the model of a run, and refuses examples that it cannot read.

    Args:
        spec: The run.
        examples: All that it is to read.
        console: Where it is shown that the model is loading.
        notes: Gets a sentence for each thing worth saying.
        frozen: Whether the model's own weights stay as they are.

    Raises:
        HoldfastError: The model cannot be had, or an example does not fit it.
    """
    with Progress(console) as progress, progress.phase(f"loading {spec.model}"):
        model = load_model(spec.model, frozen=frozen, notes=notes)
    notes += check_fit(model, examples, spec)
    return model


@quiet_libraries()
def dry_run(spec: RunSpec) -> DryRun:
    """Returns what a run would do; nothing is trained and nothing is written.

    Raises:
        HoldfastError: For anything the user can mend.
    """
    recipe = parse(spec.recipe)
    inputs = read_inputs(spec, recipe, refuse=False)
    kinds = collections.Counter(row.kind for row in read(spec.data, preference=spec.preference))
    chosen = _evenly(inputs.data.train, SHOWN)
    rows = tuple((one.origin, len(one.input_ids), text_pieces(one, inputs.tokenizer)) for one in chosen)
    return DryRun(spec, recipe, {KINDS[kind]: count for kind, count in kinds.items()}, inputs, rows)


def text_pieces(example: Example, tokenizer: Any) -> tuple[tuple[str, bool], ...]:
    """Returns the text of an example, special tokens included, in pieces that are learned or not.

    A token is learned if the model is trained to say it: its label counts, and it is not the first.
    """
    learned = [i > 0 and label != -100 for i, label in enumerate(example.labels)]
    found: list[tuple[str, bool]] = []
    told = ""
    for i, now in enumerate(learned):
        if i + 1 < len(learned) and learned[i + 1] == now:
            continue
        text = str(tokenizer.decode(list(example.input_ids[: i + 1]), skip_special_tokens=False))
        found.append((text[len(told) :], now))
        told = text
    return tuple(found)


def memory_paths(recipe: Chain, spec: RunSpec) -> tuple[dict[str, str], list[str]]:
    """Finds the memories that the recipe asks for: by the names that the run gives, else as paths.

    Returns:
        Where each memory is, and a sentence about each that is given and not asked for.
    """
    paths = spec.memories()
    asked = {name for part in recipe.active().parts() for name in part.sources}
    for name in sorted(asked - set(paths)):
        if paths and not Path(name).expanduser().exists() and (hint := nearest(name, paths)):
            raise HoldfastError(f"Recipe {spec.recipe!r}: there is no file and no --memory called {name!r}.{hint}")
    found = {name: paths.get(name, name) for name in sorted(asked)}
    unused = sorted(set(paths) - asked)
    return found, [f"The memory {name!r} is not used: no method of the recipe asks for it." for name in unused]


def _batch_notes(spec: RunSpec, recipe: Chain, arguments: TrainingArguments) -> list[str]:
    """Says that fewer rows go through the model at once than are allowed, as those of a step divide only so."""
    rows = arguments.per_device_train_batch_size
    if rows == spec.batch_size:
        return []
    batch = train_of(recipe).batch
    return [f"--batch-size is {rows} instead of {spec.batch_size}, so that it divides Train(batch={batch})."]


def _evenly(examples: Sequence[Example], count: int) -> list[Example]:
    if len(examples) <= count:
        return list(examples)
    return [examples[i * (len(examples) - 1) // (count - 1)] for i in range(count)]
