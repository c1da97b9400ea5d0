"""A model's own answers to prompts that show it how somebody else answered: what self-distillation learns from."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from holdfast.core.mix import Example
from holdfast.probes.compose import HERE

if TYPE_CHECKING:
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
        ids = (*self.prompt, *answer, *self.closing)
        behind = labels[len(labels) - len(self.closing) :] if self.closing else ()
        return ids, (*[-100] * len(self.prompt), *answer, *behind)


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


def shown(prompt: Ids, answer: Ids, tokenizer: Tokenizer, before: str, behind: str) -> Ids:
    """Returns a prompt that shows an answer to it, as the last words of the user.

    Args:
        prompt: Tokens up to the answer.
        answer: Tokens of the answer that is shown.
        tokenizer: The tokenizer.
        before: What introduces the answer.
        behind: What is asked for after it.
    """
    turn = behind_user(tokenizer)
    if turn and prompt[-len(turn) :] != turn:
        turn = ()
    body = prompt[: len(prompt) - len(turn)]

    def ids(text: str) -> Ids:
        return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])

    return (*body, *ids(before), *answer, *ids(behind), *turn)
