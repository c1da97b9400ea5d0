"""A model's own answers to prompts that show it how somebody else answered: what self-distillation learns from."""

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
    """An example taken apart.

    Attributes:
        prompt: Tokens up to the answer.
        answer: Tokens of the answer.
        closing: What closes it: the end of a turn or of the text, and what is not learned behind it.
    """

    prompt: Ids
    answer: Ids
    closing: Ids

    def whole(self, answer: Sequence[int], labels: Sequence[int]) -> tuple[Ids, Ids]:
        """Returns token ids and labels of this example with another answer, given its own labels."""
        closing, closed = self.closed(labels)
        return (*self.prompt, *answer, *closing), (*[-100] * len(self.prompt), *answer, *closed)

    def closed(self, labels: Sequence[int]) -> tuple[Ids, Ids]:
        """Returns token ids and labels of what closes the answer, given the example's own labels."""
        return self.closing, tuple(labels[len(labels) - len(self.closing) :])


def parts_of(example: Example, ends: Collection[int]) -> Parts | None:
    """Takes apart an example that is a prompt and one answer behind it; None for one that is not.

    Args:
        example: The example; none that is packed is taken apart.
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
    """Returns what the chat template writes between a user's words and the answer; nothing where there is none."""
    if not getattr(tokenizer, "chat_template", None):
        return ()
    said = [{"role": "user", "content": HERE}]
    text = str(tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True))
    return tuple(tokenizer(text.partition(HERE)[2], add_special_tokens=False)["input_ids"])


@dataclasses.dataclass(frozen=True)
class Demonstration:
    """How an answer is shown.

    Attributes:
        before: Tokens that introduce the answer.
        behind: Tokens of what is asked for after it.
        turn: Tokens between a user's words and the answer; none where there is no chat template.
        ends: Tokens that end an answer.
    """

    before: Ids
    behind: Ids
    turn: Ids
    ends: Ids

    @classmethod
    def of(cls, model: nn.Module, tokenizer: Tokenizer, before: str, behind: str) -> Demonstration:
        """Returns how a model's tokenizer writes what introduces an answer and what is asked for after it."""

        def ids(text: str) -> Ids:
            return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])

        ends = set(ids_of(model, tokenizer)[1:])
        ends |= {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
        return cls(ids(before), ids(behind), behind_user(tokenizer), tuple(sorted(ends)))

    def __call__(self, prompt: Ids, answer: Ids) -> Ids:
        """Returns a prompt that shows an answer to it, as the last words of the user."""
        turn = self.turn if prompt[-len(self.turn) :] == self.turn else ()
        body = prompt[: len(prompt) - len(turn)]
        return (*body, *self.before, *answer, *self.behind, *turn)
