"""Multiple choice by likelihood: which of several answers a model finds likeliest."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from torch import nn

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.data.rows import Row
from holdfast.data.tokenize import tokenize
from holdfast.probes.generate import UNCUT, answered, context_of
from holdfast.probes.likelihood import document_nll
from holdfast.probes.suites import Item

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

Per = Literal["raw", "tokens", "bytes"]
"""What the cost of a choice is divided by: nothing, its number of tokens, or its number of bytes."""

TIE = 1e-6
"""Relative difference of two costs below which they are equal; rounding in float32 makes smaller ones."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """What each choice of an item costs a model; the first choice is right.

    Attributes:
        nats: Negative log-likelihood of each choice, with what ends it, given the conversation.
        tokens: Number of tokens of each that the sum is over.
        bytes: Length of each in UTF-8 bytes, without what ends it.
    """

    nats: tuple[float, ...]
    tokens: tuple[int, ...]
    bytes: tuple[int, ...]

    def costs(self, per: Per = "raw") -> tuple[float, ...]:
        """Returns nats, nats per token or nats per byte of each choice.

        Raises:
            HoldfastError: If `per` is none of these.
        """
        if per == "raw":
            return self.nats
        if per not in ("tokens", "bytes"):
            raise HoldfastError(f"per={per!r}: choose one of 'raw', 'tokens', 'bytes'.")
        sizes = self.tokens if per == "tokens" else self.bytes
        return tuple(nats / size for nats, size in zip(self.nats, sizes, strict=True))

    def picked(self, per: Per = "raw") -> int:
        """Returns the place of the choice of least cost, a wrong one (not 0) where the right one is not below it.

        The right choice comes first, so that a model to which all are equal would look perfect otherwise.
        """
        right, *wrong = self.costs(per)
        least = min(wrong)
        if right < least and not math.isclose(right, least, rel_tol=TIE):
            return 0
        return 1 + wrong.index(least)

    @property
    def probabilities(self) -> tuple[float, ...]:
        """The probability of each choice if one of them is said: the softmax of their log-likelihoods."""
        least = min(self.nats)
        odds = [math.exp(least - nats) for nats in self.nats]
        return tuple(odd / math.fsum(odds) for odd in odds)


def choose(
    model: nn.Module,
    tokenizer: Tokenizer,
    items: Sequence[Item],
    *,
    raw: bool = False,
    batch_tokens: int = 8192,
    progress: Callable[[int, int], None] | None = None,
) -> list[Choice]:
    """Returns what the choices of each item cost a causal language model.

    A choice is the assistant's answer to the item's conversation, written out as the data room writes it for training,
    with what ends its turn; where a token spans question and answer for one choice, all choices of the item are scored
    from there. Without a conversation the choice is a document, with the end-of-sequence token behind it; where the
    tokenizer puts no special token before it, its BOS (or EOS) is put there, so that the first token is scored too.

    Args:
        model: A causal language model, plain or wrapped by PEFT; left as it was found.
        tokenizer: Its tokenizer.
        items: Items with choices.
        raw: Whether to leave the chat template unused.
        batch_tokens: Most tokens of a batch; see `document_nll`.
        progress: Told the number of choices done and their total after each batch.

    Returns:
        One `Choice` per item, in their order.

    Raises:
        HoldfastError: If an item has no choices, a choice is blank or too long for the model's context, two items have
            one name, the chat template refuses a conversation, or a likelihood is not finite; names the item.
    """
    check_names(items)
    context = context_of(model)
    examples: list[Example] = []
    for item in items:
        if not item.choices:
            raise HoldfastError(f"{name_of(item)}: has no choices; give 'choices', the right one first.")
        for example in _examples(item, tokenizer, raw):
            check_fits(example, context)
            examples.append(example)
    scores = document_nll(
        model, examples, batch_tokens=batch_tokens, pad_id=int(tokenizer.pad_token_id or 0), progress=progress
    )
    by_origin = {score.origin: score for score in scores}
    found = []
    for item in items:
        of_item = [by_origin[_origin(item, number)] for number in range(len(item.choices))]
        found.append(
            Choice(
                nats=tuple(score.nats for score in of_item),
                tokens=tuple(score.tokens for score in of_item),
                bytes=tuple(len(choice.encode()) for choice in item.choices),
            )
        )
    return found


def name_of(item: Item) -> str:
    """Returns what an item is called in messages."""
    return f"{item.suite}/{item.id}"


def check_names(items: Iterable[Item]) -> None:
    """Raises `HoldfastError` if two items have one name, by which their scores are told apart."""
    seen = set[str]()
    for item in items:
        if name_of(item) in seen:
            raise HoldfastError(f"{name_of(item)}: is given twice; ask every item once.")
        seen.add(name_of(item))


def check_fits(example: Example, context: int | None) -> None:
    """Raises `HoldfastError` if an example is longer than a model's context."""
    if context is not None and len(example.input_ids) > context:
        raise HoldfastError(
            f"{example.origin}: has {len(example.input_ids)} tokens, and the model reads {context}; shorten the item "
            "or leave it out."
        )


def _origin(item: Item, number: int) -> str:
    return f"{name_of(item)}, choice {number + 1}"


def _examples(item: Item, tokenizer: Tokenizer, raw: bool) -> list[Example]:
    """Returns each choice as an example, its labels masked on what is given."""
    examples = []
    for number, choice in enumerate(item.choices):
        origin = _origin(item, number)
        row = answered(item.turns, choice, origin) if item.turns else Row(text=choice, origin=origin)
        tokenized = tokenize([row], tokenizer, max_length=UNCUT, raw=raw).examples
        if not tokenized:
            raise HoldfastError(f"{origin}: is blank; say something or leave it out.")
        examples += tokenized
    if not item.turns:
        return [_begun(example, tokenizer) for example in examples]
    starts = [next(k for k, label in enumerate(example.labels) if label != -100) for example in examples]
    first = min(starts)
    return [
        dataclasses.replace(example, labels=(*example.labels[:first], *example.input_ids[first:start], *rest))
        for example, start in zip(examples, starts, strict=True)
        for rest in [example.labels[start:]]
    ]


def _begun(example: Example, tokenizer: Tokenizer) -> Example:
    """Returns the example with a special token before its first, where it has none."""
    bos = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    if bos is None or example.input_ids[0] in tokenizer.all_special_ids:
        return example
    return dataclasses.replace(example, input_ids=(int(bos), *example.input_ids), labels=(-100, *example.labels))
