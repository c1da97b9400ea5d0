"""What the base makes of the rows and of what is kept: the facts that need its weights."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from typing import Any

from holdfast.bench.plan.facts import SHOWN, PlanInputs, kept_examples
from holdfast.bench.plan.record import DataRow, KeptRow, SuspectRow
from holdfast.bench.plan.situation import KNOWN
from holdfast.core.mix import Example
from holdfast.probes.surprise import Surprise, surprise

ROWS, TOKENS = 256, 16_384
"""Most rows and tokens that the base reads of the data, and as many of what is kept."""
LEAST, WORK = 2048, 2 * 10**12
"""On a CPU a large model reads fewer tokens: as many as make this product with its parameters, but not fewer than the
least. That is about a minute of one core."""
CONFLICT = 0.1
"""Share of an answer's tokens at which the base is sure of another token, from which it contradicts the answer. Chosen
on nine suites of the proving ground that the base knows: of 100 answers taken from other questions it names 20 to 100
(85 in the median), and of 100 right ones 0 to 8."""


def sample(examples: Sequence[Example], rows: int = ROWS, tokens: int = TOKENS) -> list[Example]:
    """Returns examples drawn without repetition, the same every time, with at most so many rows and tokens."""
    drawn, left = list[Example](), tokens
    for example in random.Random(0).sample(examples, min(rows, len(examples))):
        left -= len(example.input_ids)
        if left < 0 and drawn:
            break
        drawn.append(example)
    return drawn


def read_by_base(model: Any, inputs: PlanInputs, data: DataRow, kept: KeptRow | None) -> tuple[DataRow, KeptRow | None]:
    """Returns the facts with what the base makes of a sample of the rows and of what is kept."""
    how: dict[str, Any] = {
        "batch_tokens": inputs.run.eval_batch_tokens,
        "pad_id": int(inputs.tokenizer.pad_token_id),
    }
    tokens = _most_tokens(model)
    of_data = surprise(model, sample(inputs.data.train, tokens=tokens), **how)
    against = [row for row in of_data if row.conflicts >= CONFLICT * row.tokens]
    nats = mean_nats(of_data)
    known = nats is not None and nats <= KNOWN  # elsewhere it contradicts right answers as often
    suspects = tuple(
        SuspectRow(origin=row.origin, why="the base is sure of another answer") for row in against if known
    )
    data = dataclasses.replace(
        data,
        asked=len(of_data),
        surprise_nats=nats,
        conflicts=len(against),
        suspects=(*data.suspects, *suspects)[:SHOWN],
    )
    examples = kept_examples(inputs)
    if kept is None or not examples:
        return data, kept
    of_kept = surprise(model, sample(examples, tokens=tokens), **how)
    return data, dataclasses.replace(kept, asked=len(of_kept), surprise_nats=mean_nats(of_kept))


def _most_tokens(model: Any) -> int:
    """Returns the most tokens that a model reads of the data."""
    parameter = next(model.parameters())
    if parameter.device.type != "cpu":
        return TOKENS
    parameters: int = sum(p.numel() for p in model.parameters())
    return max(LEAST, min(TOKENS, WORK // parameters))


def mean_nats(rows: Sequence[Surprise]) -> float | None:
    """Returns the nats per token of all rows together; None without rows."""
    return sum(row.nats for row in rows) / sum(row.tokens for row in rows) if rows else None
