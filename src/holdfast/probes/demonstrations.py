"""Prompts that demonstrate an answer; self-distillation learns from the model's own answers to them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from holdfast.core.mix import Example
from holdfast.probes.composition import HERE, ids_of

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase as Tokenizer

Ids = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Parts:
    """An example, split into prompt, answer and closing tokens.

    Attributes:
        prompt: Tokens before the answer.
        answer: Tokens of the answer.
        closing: Tokens behind the answer: the end of a turn or text, and tokens that are not learned.
    """

    prompt: Ids
    answer: Ids
    closing: Ids

    def whole(self, answer: Sequence[int], labels: Sequence[int]) -> tuple[Ids, Ids]:
        """Returns token ids and labels of this example with another answer, given its own labels."""
        closing, closed = self.closed(labels)
        return (*self.prompt, *answer, *closing), (*[-100] * len(self.prompt), *answer, *closed)

    def closed(self, labels: Sequence[int]) -> tuple[Ids, Ids]:
        """Returns token ids and labels of the closing tokens, given the example's own labels."""
        return self.closing, tuple(labels[len(labels) - len(self.closing) :])


def parts_of(example: Example, ends: Collection[int]) -> Parts | None:
    """Returns the parts of an example that is a prompt with one answer; None for any other example.

    Args:
        example: The example; for a packed one the result is None.
        ends: Tokens that end an answer.
    """
    ids, labels = tuple(example.input_ids), tuple(example.labels)
    learned = [i for i, label in enumerate(labels) if label != -100]
    if not learned or learned[0] == 0 or len(example.lengths) > 1:
        return None
    first, last = learned[0], learned[-1] + 1
    if learned != list(range(first, last)):
        return None
    end = next((i for i in range(first, last) if ids[i] in ends), last)
    return Parts(ids[:first], ids[first:end], ids[end:]) if end > first else None


@functools.lru_cache(maxsize=8)
def behind_user(tokenizer: Tokenizer) -> Ids:
    """Returns the tokens that the chat template writes between a user's words and the answer; none without one."""
    if not getattr(tokenizer, "chat_template", None):
        return ()
    turns = [{"role": "user", "content": HERE}]
    text = str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    return tuple(tokenizer(text.partition(HERE)[2], add_special_tokens=False)["input_ids"])


@dataclasses.dataclass(frozen=True)
class Demonstration:
    """How a prompt demonstrates an answer.

    Attributes:
        before: Tokens that introduce the answer.
        behind: Tokens of the instruction after the answer.
        turn: Tokens between a user's words and the answer; none without a chat template.
        ends: Tokens that end an answer.
    """

    before: Ids
    behind: Ids
    turn: Ids
    ends: Ids

    @classmethod
    def of(cls, model: nn.Module, tokenizer: Tokenizer, before: str, behind: str) -> Demonstration:
        """Returns the demonstration with the introduction `before` and the instruction `behind`, tokenised."""

        def ids(text: str) -> Ids:
            return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])

        ends = set(ids_of(model, tokenizer)[1:])
        ends |= {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
        return cls(ids(before), ids(behind), behind_user(tokenizer), tuple(sorted(ends)))

    def __call__(self, prompt: Ids, answer: Ids) -> Ids:
        """Returns a prompt that ends with the demonstrated answer, within the user's turn."""
        turn = self.turn if prompt[-len(self.turn) :] == self.turn else ()
        body = prompt[: len(prompt) - len(turn)]
        return (*body, *self.before, *answer, *self.behind, *turn)
