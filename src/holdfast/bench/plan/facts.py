"""Facts about the rows, the model and what is kept, without a forward of the model."""

from __future__ import annotations

import collections
import dataclasses
import random
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.spatial.distance import jensenshannon

from holdfast.bench.given.loading import config_of, load_tokenizer
from holdfast.bench.given.model_files import base_of, folder_of_model, folder_or_name, is_adapter
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.measured.preparation import PreparedData
from holdfast.bench.plan.record import DataRow, KeptRow, ModelRow, SuspectRow
from holdfast.bench.run.inputs import old_examples, read_data
from holdfast.core.mix import Example
from holdfast.data.examples import read
from holdfast.data.holdout import normalised
from holdfast.data.rendering import uses_template
from holdfast.data.rows import Row
from holdfast.data.sieve import ShingleIndex
from holdfast.data.tokenization import tokenize
from holdfast.probes.items import row_of
from holdfast.recipe import parse

COMPARED = 2000
"""Most rows that are compared with each other for likeness."""
ALIKE = 0.8
"""Jaccard index of two rows' runs of five tokens from which they count as alike."""
SHOWN = 10
"""Most suspected rows that a plan names."""


@dataclasses.dataclass(frozen=True)
class PlanInputs:
    """What a plan reads before any weight.

    Attributes:
        run: The run that is planned, with a recipe that uses every memory.
        tokenizer: The model's tokenizer.
        config: Configuration of the model, or of an adapter's base.
        rows: All rows of the data.
        data: Examples to train on, and suites.
        memories: Old examples, by name.
        notes: Notes for the user.
    """

    run: RunSpec
    tokenizer: Any
    config: Any
    rows: Sequence[Row]
    data: PreparedData
    memories: dict[str, list[Example]]
    notes: tuple[str, ...]

    @property
    def longest(self) -> int:
        """Returns the number of tokens of the longest row in training, old examples included."""
        examples = [*self.data.train, *(example for memory in self.memories.values() for example in memory)]
        return max((len(example.input_ids) for example in examples), default=1)


def read_plan_inputs(run: RunSpec) -> PlanInputs:
    """Reads what a plan needs before any weight.

    Args:
        run: The run, without a recipe of its own.

    Raises:
        HoldfastError: A file is missing or malformed, the model has no usable configuration or tokenizer, or there is
            nothing to learn.
    """
    tokenizer, folder = load_tokenizer(run.model), folder_of_model(folder_or_name(run.model))
    config = config_of(base_of(folder) if folder is not None and is_adapter(folder) else run.model)
    data, paths, unused = read_data(run, parse(run.recipe if run.memories() else "Train()"), tokenizer, run.allowed())
    memories = {name: old_examples(run, path, tokenizer) for name, path in paths.items()}
    rows = read(run.data, preference=run.preference)
    return PlanInputs(run, tokenizer, config, rows, data, memories, (*data.notes, *unused))


def model_row(inputs: PlanInputs, parameters: int) -> ModelRow:
    """Returns what the configuration and the tokenizer say of a model."""
    text, folder = inputs.config.get_text_config(), folder_of_model(folder_or_name(inputs.run.model))
    architectures = getattr(inputs.config, "architectures", None) or [type(inputs.config).__name__]
    return ModelRow(
        name=inputs.run.model,
        architecture=str(architectures[0]),
        parameters=parameters,
        layers=_whole(text, "num_hidden_layers", "n_layer", "n_layers") or 0,
        width=_whole(text, "hidden_size", "n_embd", "d_model") or 0,
        context=_whole(text, "max_position_embeddings", "n_positions"),
        experts=_whole(text, "num_local_experts", "num_experts", "n_routed_experts"),
        vocabulary=len(inputs.tokenizer),
        chat=uses_template(inputs.tokenizer, inputs.run.raw),
        is_adapter=folder is not None and is_adapter(folder),
    )


def _whole(config: Any, *names: str) -> int | None:
    return next((value for name in names if isinstance(value := getattr(config, name, None), int)), None)


def data_row(inputs: PlanInputs) -> DataRow:
    """Returns what the rows hold."""
    train = inputs.data.train
    lengths = [len(example.input_ids) for example in train]
    contradictions = contradicting(inputs.rows)
    alike, compared = _alike(train)
    return DataRow(
        name=inputs.run.data,
        rows=len(inputs.rows),
        train_rows=len(train),
        tokens=sum(lengths),
        learned_tokens=sum(example.supervised for example in train),
        longest=max(lengths),
        median=round(statistics.median(lengths)),
        copies=len(inputs.rows) - len({normalised(row) for row in inputs.rows}),
        alike=alike,
        compared=compared,
        contradictions=len(contradictions),
        suspects=tuple(SuspectRow(origin=row.origin, why="contradicts another row") for row in contradictions[:SHOWN]),
    )


def contradicting(rows: Sequence[Row]) -> list[Row]:
    """Returns the rows whose question another row answers differently; documents have no question."""
    answers = collections.defaultdict[str, dict[str, list[Row]]](lambda: collections.defaultdict(list))
    for row in rows:
        if row.kind == "text":
            continue
        question, answer = Row(text=" ".join(row.contents[:-1])), Row(text=row.contents[-1])
        answers[normalised(question)][normalised(answer)].append(row)
    several = [group for by_answer in answers.values() if len(by_answer) > 1 for group in by_answer.values()]
    return [row for group in several for row in group]


def _alike(examples: Sequence[Example]) -> tuple[int, int]:
    """Returns how many of the first rows are like an earlier one, and how many were compared."""
    index, alike, compared = ShingleIndex(), 0, examples[:COMPARED]
    for example in compared:
        alike += index.likeness(example.input_ids) >= ALIKE
        index.add(example.input_ids)
    return alike, len(compared)


def kept_examples(inputs: PlanInputs) -> list[Example]:
    """Returns what is kept as examples to score: texts, and items with a right answer."""
    suites = [suite for suite in inputs.data.suites if suite.role == "retained"]
    texts = [example for suite in suites for example in suite.texts]
    items = [item for suite in suites for item in suite.items if item.answer or item.choices or item.text]
    if items:
        rows, run = [row_of(item) for item in items], inputs.run
        how: dict[str, Any] = {"max_length": run.max_length, "raw": run.raw, "refused": "drop"}
        texts += tokenize(rows, inputs.tokenizer, **how).examples
    return [example for example in texts if example.supervised]


def kept_row(inputs: PlanInputs) -> KeptRow | None:
    """Returns what is kept, with the divergence of the data's tokens from its tokens; None if nothing is kept."""
    suites = [suite for suite in inputs.data.suites if suite.role == "retained"]
    if not suites:
        return None
    examples = kept_examples(inputs)
    between = halves = None
    if len(examples) > 1:
        shuffled = random.Random(0).sample(examples, len(examples))
        between, halves = divergence(inputs.data.train, examples), divergence(shuffled[::2], shuffled[1::2])
    count = sum(len(suite.items) or len(suite.texts) for suite in suites)
    return KeptRow(suites=len(suites), count=count, divergence_bits=between, halves_bits=halves)


def divergence(some: Sequence[Example], others: Sequence[Example]) -> float:
    """Returns the Jensen-Shannon divergence of the frequencies of tokens of two sets of examples, 0 to 1 bit."""
    counts = [collections.Counter(token for example in side for token in example.input_ids) for side in (some, others)]
    tokens = sorted(set(counts[0]) | set(counts[1]))
    shares = [np.array([count[token] for token in tokens], dtype=float) for count in counts]
    return float(jensenshannon(shares[0], shares[1], base=2) ** 2)
