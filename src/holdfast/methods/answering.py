"""Old examples that the base writes before training: its own answers to given prompts."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Sequence

from holdfast.core.mix import Example
from holdfast.core.run import Run
from holdfast.data.rows import Row, Turn
from holdfast.data.tokenization import tokenize
from holdfast.probes.generation import generate_counted
from holdfast.probes.stops import Stop

PLAIN = "Question: {prompt}\nAnswer:"
"""A prompt as a model without a chat template reads it, in the form of the suites."""
NEXT = Stop(("\nQuestion:",))
"""Where such a model begins a question of its own."""
MOST = 0.5
"""Largest share to which short new examples raise that of the answers."""


def answers_of_base(
    run: Run, prompts: Sequence[str], length: int, name: str, keep: Callable[[str, str], bool]
) -> list[Example]:
    """Returns examples of the base's greedy answers, of which the answers are learned.

    Args:
        run: The run; its model answers.
        prompts: What a user asks: through the chat template, or as `PLAIN` if the tokenizer has none.
        length: Maximum number of tokens in an answer. Of a longer one the beginning is learned, without an end.
        name: Name of the memory, for the progress and the origin of each example.
        keep: Called with a prompt and its answer; returns whether it becomes an example. Empty answers never do.
    """
    chat = bool(getattr(run.tokenizer, "chat_template", None))
    asked = [prompt if chat else PLAIN.format(prompt=prompt) for prompt in prompts]
    answers = generate_counted(
        run.model,
        run.tokenizer,
        [[Turn("user", text)] for text in asked],
        max_new_tokens=min(length, run.longest()),
        stops=None if chat else [NEXT] * len(asked),
        progress=run.phase(name, len(asked)),
    )
    rows, unended = [], set[str]()
    for number, (prompt, text, answer) in enumerate(zip(prompts, asked, answers, strict=True)):
        if answer.text and keep(prompt, answer.text):
            origin = f"{name}, prompt {number + 1}"
            turns = (Turn("user", text), Turn("assistant", answer.text))
            rows.append(
                Row(turns=turns, origin=origin)
                if chat
                else Row(prompt=text, completion=f" {answer.text}", origin=origin)
            )
            unended |= {origin} if answer.cut else set()
    examples = tokenize(rows, run.tokenizer, max_length=run.longest()).examples
    return [_without_end(example) if example.origin in unended else example for example in examples]


def share_read(ratio: float, per_example: float, new: Sequence[Example], answered: Sequence[Example]) -> float:
    """Returns the share of the answers in the supervised tokens.

    Args:
        ratio: Least share.
        per_example: Answers for each new example, at least; `MOST` limits the share.
        new: The new examples.
        answered: The answers.
    """
    tokens = per_example * len(new) * statistics.fmean(example.supervised for example in answered)
    return max(ratio, min(MOST, tokens / (tokens + sum(example.supervised for example in new) or 1)))


def _without_end(example: Example) -> Example:
    """Returns an example whose last learned token, the end of the turn, is not learned."""
    last = max(place for place, label in enumerate(example.labels) if label != -100)
    labels = (*example.labels[:last], -100, *example.labels[last + 1 :])
    return dataclasses.replace(example, labels=labels)
