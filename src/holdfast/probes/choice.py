"""Multiple choice by likelihood: a model picks the likeliest of several answers."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from torch import nn

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.data.continuation import continuation
from holdfast.data.rendering import uses_template
from holdfast.data.rows import Row
from holdfast.data.tokenization import tokenize
from holdfast.probes.generation import UNCUT, answered, context_of
from holdfast.probes.items import Item
from holdfast.probes.shared_prefix import group_nll

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

TIE = 1e-6
"""Two costs with a smaller relative difference are equal; rounding in float32 makes such differences."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """The cost of each choice of an item; the first choice is right.

    Attributes:
        nats: Negative log-likelihood of each choice given the conversation.
        tokens: Number of tokens of each choice that the sum covers.
    """

    nats: tuple[float, ...]
    tokens: tuple[int, ...]

    @property
    def picked(self) -> int:
        """The index of the choice with the lowest cost (lm-eval's `acc`); a tie goes to a wrong choice.

        Otherwise a model that gives all choices the same cost would look perfect, because the right one comes first.
        """
        right, *wrong = self.nats
        least = min(wrong)
        return 0 if right < least and not math.isclose(right, least, rel_tol=TIE) else 1 + wrong.index(least)

    @property
    def probabilities(self) -> tuple[float, ...]:
        """The probability of each choice among the choices: the softmax of their log-likelihoods."""
        least = min(self.nats)
        odds = [math.exp(least - nats) for nats in self.nats]
        return tuple(odd / math.fsum(odds) for odd in odds)


def choose(
    model: nn.Module,
    tokenizer: Tokenizer,
    items: Sequence[Item],
    *,
    raw: bool = False,
    end: bool = False,
    batch_tokens: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Choice]:
    """Returns the costs of the choices of each item under a causal language model.

    The cost covers the tokens of the choice itself, as in lm-eval, without the end of a turn or a text. With a chat
    template the choice is the assistant's answer to the item's conversation, written as the data room writes it for
    training. Without one, a single question is the prompt as it is, and the choice follows after a blank (no blank if
    the prompt ends or the choice begins with white space); white space at the end of a prompt counts with the choice.
    Conversations of several turns are written as "role: content" lines. If a token spans question and answer for one
    choice, all choices of the item are scored from that token on. Without a conversation the choice is a document; if
    the tokenizer puts no special token before it, BOS (or EOS) goes there, so that the first token is scored too. The
    model reads the common beginning of an item's choices, the question included, once (see `group_nll`).

    Args:
        model: A causal language model, plain or wrapped by PEFT; unchanged afterwards.
        tokenizer: Its tokenizer.
        items: Items with choices.
        raw: Whether to leave the chat template unused.
        end: Whether to also score the end of a choice: the text of the chat template behind an answer, or the
            end-of-sequence token.
        batch_tokens: Most tokens of a batch; see `group_nll`.
        progress: Called with the number of choices done and their total after each batch.

    Returns:
        One `Choice` per item, in the order of the items.

    Raises:
        HoldfastError: An item has no choices, a choice is blank or too long for the model's context, two items have the
            same name, the chat template refuses a conversation, or a likelihood is not finite; names the item.
    """
    check_names(items)
    context, by_template = context_of(model), uses_template(tokenizer, raw)
    groups = [_examples(item.as_asked(by_template), tokenizer, raw, end) for item in items]
    for example in itertools.chain.from_iterable(groups):
        check_fits(example, context)
    scores = group_nll(
        model, groups, batch_tokens=batch_tokens, pad_id=int(tokenizer.pad_token_id or 0), progress=progress
    )
    by_origin = {score.origin: score for score in scores}
    by_item = [[by_origin[example.origin] for example in group] for group in groups]
    return [Choice(tuple(score.nats for score in of), tuple(score.tokens for score in of)) for of in by_item]


def name_of(item: Item) -> str:
    """Returns the name of an item in messages."""
    return f"{item.suite}/{item.id}"


def check_names(items: Iterable[Item]) -> None:
    """Raises `HoldfastError` if two items have the same name, by which scores are paired."""
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


def _examples(item: Item, tokenizer: Tokenizer, raw: bool, end: bool) -> list[Example]:
    """Returns each choice as an example whose labels cover the choice alone.

    Raises:
        HoldfastError: The item has no choices, or a blank one; names the item.
    """
    if not item.choices:
        raise HoldfastError(f"{name_of(item)}: has no choices; give 'choices', the right one first.")
    examples, starts = [], []
    for number, choice in enumerate(item.choices):
        origin = f"{name_of(item)}, choice {number + 1}"
        if not choice.strip():
            raise HoldfastError(f"{origin}: is blank; fill it in or leave it out.")
        row = answered(item.turns, choice, origin, item.tools) if item.turns else Row(text=choice, origin=origin)
        if end:
            examples += tokenize([row], tokenizer, max_length=UNCUT, raw=raw).examples
            starts.append(next(k for k, label in enumerate(examples[-1].labels) if label != -100))
        else:
            choice_tokens = continuation(row, tokenizer, raw=raw)
            examples.append(Example(choice_tokens.ids, choice_tokens.ids, origin=origin))
            starts.append(choice_tokens.start)
    first = min(starts)
    masked = [
        dataclasses.replace(example, labels=(*[-100] * first, *example.input_ids[first:start], *rest))
        for example, start in zip(examples, starts, strict=True)
        for rest in [example.labels[start:]]
    ]
    return masked if first else [_begun(example, tokenizer) for example in masked]


def _begun(example: Example, tokenizer: Tokenizer) -> Example:
    """Returns the example with a special token at the front, unless it has one."""
    bos = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    if bos is None or example.input_ids[0] in tokenizer.all_special_ids:
        return example
    return dataclasses.replace(example, input_ids=(int(bos), *example.input_ids), labels=(-100, *example.labels))
