"""The inputs of a run without its weights: rows, suites, old examples, the trainer's arguments, its resources."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from transformers import TrainingArguments

from holdfast.bench.given.loading import load_model, load_tokenizer
from holdfast.bench.given.precision import resolving_precision
from holdfast.bench.given.specs import RunSpec, TrainingSpec
from holdfast.bench.machine.progress import Progress
from holdfast.bench.machine.verbosity import quiet_libraries
from holdfast.bench.measured.preparation import PreparedData, check_fit, kept_units, prepare_data, reading_of
from holdfast.bench.measured.verdict import check_limits
from holdfast.bench.run.arguments import training_arguments
from holdfast.bench.run.folder import folder_of
from holdfast.bench.run.part import Part
from holdfast.bench.run.resources import Resources, check_memory, longest_row, resources_of
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError, nearest
from holdfast.core.method import Chain
from holdfast.core.mix import Example
from holdfast.data.examples import read
from holdfast.data.memory import load_memory
from holdfast.recipe import parse
from holdfast.train.settings import train_of

KINDS = {"messages": "conversations", "completion": "prompts with completions", "text": "texts"}
"""Names of the kinds of rows in messages."""
SHOWN = 3
"""Number of rows that a dry run shows."""


@dataclasses.dataclass(frozen=True)
class RunInputs:
    """The inputs of a run before its model is loaded.

    Attributes:
        tokenizer: The model's tokenizer.
        arguments: The trainer's arguments.
        data: Examples to train on and suites to measure.
        memories: Old examples, by their names in the recipe.
        budget: The budget; None without one.
        resources: Settings and memory of the training.
        notes: Notes for the user.
    """

    tokenizer: Any
    arguments: TrainingArguments
    data: PreparedData
    memories: dict[str, list[Example]]
    budget: Budget | None
    resources: Resources
    notes: tuple[str, ...]

    @property
    def memory_examples(self) -> list[Example]:
        """Returns the old examples of all names."""
        return [example for memory in self.memories.values() for example in memory]


@dataclasses.dataclass(frozen=True)
class DryRun:
    """The output of `holdfast train --dry-run`.

    Attributes:
        spec: The run.
        recipe: Its recipe.
        kinds: Number of rows of the data, by kind.
        inputs: Inputs of the run.
        rows: Some rows as the model will see them: the origin, the number of tokens, and the text in pieces, each with
            whether the model learns it.
    """

    spec: RunSpec
    recipe: Chain
    kinds: dict[str, int]
    inputs: RunInputs
    rows: tuple[tuple[str, int, tuple[tuple[str, bool], ...]], ...]


def read_inputs(spec: RunSpec, recipe: Chain, *, refuse: bool = True, part: Part | None = None) -> RunInputs:
    """Reads the inputs of a run; writes nothing and loads no weight.

    Args:
        spec: The run.
        recipe: Its recipe.
        refuse: Whether to obey `memory_check`; if False, a run that does not fit into memory only gets a note.
        part: The part of the data that the run takes; all of it if None.

    Raises:
        HoldfastError: For anything that the user can mend.
    """
    tokenizer = load_tokenizer(spec.model)
    arguments = training_arguments(spec, recipe, folder_of(spec) / "checkpoints")
    budget = spec.allowed()
    data, paths, unused = read_data(spec, recipe, tokenizer, budget)
    data = data if part is None else part.of(data)
    memories = {name: old_examples(spec, path, tokenizer) for name, path in paths.items()}
    longest = longest_row([*data.train, *(example for memory in memories.values() for example in memory)])
    resources = resources_of(spec, recipe, arguments, data.train, longest)
    memory_spec = spec if refuse else dataclasses.replace(spec, memory_check="warn")
    notes = [*_batch_notes(spec, recipe, arguments), *check_memory(resources, memory_spec, recipe, arguments, longest)]
    return RunInputs(tokenizer, arguments, data, memories, budget, resources, (*notes, *data.notes, *unused))


def read_data(
    spec: RunSpec, recipe: Chain, tokenizer: Any, budget: Budget | None
) -> tuple[PreparedData, dict[str, str], list[str]]:
    """Reads the data of a run, and keeps measured rows apart from old examples.

    Args:
        spec: The run.
        recipe: Its recipe, which names old examples.
        tokenizer: The model's tokenizer.
        budget: The budget, which must limit a measured unit; None without one.

    Returns:
        The data; the path of each file of old examples, by name; and a note for each unused one.

    Raises:
        HoldfastError: For anything that the user can mend.
    """
    paths, unused = memory_paths(recipe, spec)
    data = prepare_data(spec, tokenizer, tuple(paths.values()))
    if budget is not None:
        check_limits(budget, kept_units(data.suites))
    return data, paths, unused


def old_examples(spec: TrainingSpec, path: str, tokenizer: Any) -> list[Example]:
    """Returns the examples of a file of old rows, which the options of a run treat as they treat new ones.

    Args:
        spec: The options.
        path: The file, or the name of a source.
        tokenizer: The model's tokenizer.

    Raises:
        HoldfastError: As for `load_memory`.
    """
    return load_memory(path, tokenizer, preference=spec.preference, **reading_of(spec))


def load_checked_model(
    spec: RunSpec, examples: Sequence[Example], console: Console, notes: list[str], *, frozen: bool = False
) -> Any:
    """Loads the model of a run, and refuses examples that it cannot read.

    Args:
        spec: The run.
        examples: All examples that the model will read.
        console: Console for the progress.
        notes: List that receives notes for the user.
        frozen: Whether training leaves the model's own weights unchanged.

    Raises:
        HoldfastError: The model is not available, or cannot read an example.
    """
    with Progress(console) as progress, progress.phase(f"loading {spec.model}"):
        model = load_model(spec.model, frozen=frozen, notes=notes)
    notes += check_fit(model, examples, spec)
    return model


@resolving_precision
@quiet_libraries()
def dry_run(spec: RunSpec, recipe: str | None = None) -> DryRun:
    """Returns what a run would do; trains nothing and writes nothing.

    Args:
        spec: The run.
        recipe: The recipe that the one of `spec` stands for, if that is `auto`.

    Raises:
        HoldfastError: For anything that the user can mend.
    """
    if spec.reranks:
        raise HoldfastError(
            "--dry-run shows rows as a language model will see them; a reranker's run prints settings and notes before"
            " it trains."
        )
    methods = parse(recipe or spec.recipe)
    inputs = read_inputs(spec, methods, refuse=False)
    kinds = collections.Counter(row.kind for row in read(spec.data, preference=spec.preference))
    shown = _evenly(inputs.data.train, SHOWN)
    rows = tuple((example.origin, len(example.input_ids), text_pieces(example, inputs.tokenizer)) for example in shown)
    return DryRun(spec, methods, {KINDS[kind]: count for kind, count in kinds.items()}, inputs, rows)


def text_pieces(example: Example, tokenizer: Any) -> tuple[tuple[str, bool], ...]:
    """Returns the text of an example with special tokens, in pieces that the model learns or does not learn.

    The model learns a token if its label counts and it is not the first.
    """
    learned = [i > 0 and label != -100 for i, label in enumerate(example.labels)]
    pieces: list[tuple[str, bool]] = []
    done = ""
    for i, is_learned in enumerate(learned):
        if i + 1 < len(learned) and learned[i + 1] == is_learned:
            continue
        text = str(tokenizer.decode(list(example.input_ids[: i + 1]), skip_special_tokens=False))
        pieces.append((text[len(done) :], is_learned))
        done = text
    return tuple(pieces)


def memory_paths(recipe: Chain, spec: RunSpec) -> tuple[dict[str, str], list[str]]:
    """Finds the files of old examples that the recipe names: by the names under `memory`, else as paths.

    Returns:
        The path of each file by name, and a note for each file under `memory` that no method uses.
    """
    paths = spec.memories()
    asked = {name for part in recipe.active().parts() for name in part.sources}
    for name in sorted(asked - set(paths)):
        if paths and not Path(name).expanduser().exists() and (hint := nearest(name, paths)):
            raise HoldfastError(f"Recipe {spec.recipe!r}: no file and no --memory is called {name!r}.{hint}")
    chosen = {name: paths.get(name, name) for name in sorted(asked)}
    unused = sorted(set(paths) - asked)
    return chosen, [f"The memory {name!r} is not used: no method of the recipe asks for it." for name in unused]


def _batch_notes(spec: RunSpec, recipe: Chain, arguments: TrainingArguments) -> list[str]:
    """Returns a note if a forward has fewer rows than `batch_size`, so that forwards divide the rows of a step."""
    rows = arguments.per_device_train_batch_size
    if rows == spec.batch_size:
        return []
    batch = train_of(recipe).batch
    return [f"--batch-size is {rows} instead of {spec.batch_size}, so that it divides Train(batch={batch})."]


def _evenly(examples: Sequence[Example], count: int) -> list[Example]:
    if len(examples) <= count:
        return list(examples)
    return [examples[i * (len(examples) - 1) // (count - 1)] for i in range(count)]
