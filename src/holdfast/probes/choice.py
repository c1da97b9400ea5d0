"""Multiple choice by likelihood: which of several answers a model finds likeliest."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal, get_args

from torch import nn

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.data.continuation import continuation
from holdfast.data.render import uses_template
from holdfast.data.rows import Row, Turn
from holdfast.data.tokenize import tokenize
from holdfast.probes.generate import UNCUT, answered, context_of
from holdfast.probes.shared import group_nll
from holdfast.probes.suites import Item

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

Per = Literal["raw", "tokens", "bytes", "chars", "unconditional"]
"""How the cost of a choice is made comparable: not at all (lm-eval's `acc`), divided by its number of tokens, of bytes
(`acc_bytes`) or of characters (`acc_norm`), or less what it costs without the question (`acc_mutual_info`)."""

_Text = tuple[tuple[int, ...], tuple[int, ...]]

TIE = 1e-6
"""Relative difference of two costs below which they are equal; rounding in float32 makes smaller ones."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """What each choice of an item costs a model; the first choice is right.

    Attributes:
        nats: Negative log-likelihood of each choice given the conversation.
        tokens: Number of tokens of each that the sum is over.
        bytes: Length of each in UTF-8 bytes.
        alone: Negative log-likelihood of each given nothing (see `choose`); None if not taken.
        chars: Length of each in characters; that of `bytes` if empty.
    """

    nats: tuple[float, ...]
    tokens: tuple[int, ...]
    bytes: tuple[int, ...]
    alone: tuple[float, ...] | None = None
    chars: tuple[int, ...] = ()

    def costs(self, per: Per = "raw") -> tuple[float, ...]:
        """Returns what each choice costs: nats, nats per token, byte or character, or nats beyond its cost alone.

            unconditional_k = -log p(choice_k | conversation) + log p(choice_k | nothing)

        The last is the pointwise mutual information of conversation and choice with its sign turned, so that a choice
        gains nothing by being likely whatever is asked; it may be below 0.

        Raises:
            HoldfastError: If `per` is none of these, or it is "unconditional" and that was not taken.

        Reference:
            Brown et al., "Language models are few-shot learners", 2020, arXiv:2005.14165, section 2.4.
            Holtzman et al., "Surface form competition", 2021, arXiv:2104.08315 (PMI_DC).
        """
        if per == "raw":
            return self.nats
        if per not in get_args(Per):
            raise HoldfastError(f"per={per!r}: choose one of {', '.join(map(repr, get_args(Per)))}.")
        if per == "unconditional":
            if self.alone is None:
                raise HoldfastError(
                    "per='unconditional': what the choices cost without the question was not taken; ask with "
                    "choose(..., unconditional=True) or ask(..., per='unconditional')."
                )
            return tuple(nats - alone for nats, alone in zip(self.nats, self.alone, strict=True))
        sizes = {"tokens": self.tokens, "bytes": self.bytes, "chars": self.chars or self.bytes}[per]
        return tuple(nats / size for nats, size in zip(self.nats, sizes, strict=True))

    def picked(self, per: Per = "raw") -> int:
        """Returns the place of the choice of least cost, a wrong one (not 0) where the right one is not below it.

        The right choice comes first, so that a model to which all are equal would look perfect otherwise.
        """
        right, *wrong = self.costs(per)
        least = min(wrong)
        # A difference of two sums is as inexact as the sums are, however small it is.
        slack = TIE * max(self.nats + (self.alone or ())) if per == "unconditional" else 0.0
        if right < least and not math.isclose(right, least, rel_tol=TIE, abs_tol=slack):
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
    end: bool = False,
    unconditional: bool = False,
    batch_tokens: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Choice]:
    """Returns what the choices of each item cost a causal language model.

    The cost covers the tokens of the choice itself, as in lm-eval, without the end of a turn or a text. With a chat
    template the choice is the assistant's answer to the item's conversation, written as the data room writes it for
    training. Without one, a single question is the prompt as it is, and the choice follows after a blank (none if the
    prompt ends or the choice begins with white space); white space at the end of a prompt counts with the choice.
    Conversations of several turns are written as "role: content" lines. If a token spans question and answer for one
    choice, all choices of the item are scored from that token on. Without a conversation the choice is a document; if
    the tokenizer puts no special token before it, BOS (or EOS) goes there, so that the first token is scored too. The
    model reads the common beginning of an item's choices, the question included, once (see `group_nll`).

    The unconditional cost replaces the whole conversation, system message and earlier turns included, by a single empty
    user turn. What remains says that an answer follows: the answer context of Brown et al., the domain premise of
    Holtzman et al. If the template writes nothing before the answer, or if there is no template, BOS (or EOS) stands
    there, as in lm-eval's acc_mutual_info. It scores the same tokens as with the question, with one exception: if a
    token spans question and answer through a template, only the cost with the question includes that token's part of
    the question.

    Args:
        model: A causal language model, plain or wrapped by PEFT; left as it was found.
        tokenizer: Its tokenizer.
        items: Items with choices.
        raw: Whether to leave the chat template unused.
        end: Whether to score what ends a choice too: what the chat template writes behind an answer, or the
            end-of-sequence token.
        unconditional: Whether to take what the choices cost given nothing too; each that differs is read once for all
            items.
        batch_tokens: Most tokens of a batch; see `group_nll`.
        progress: Told the number of texts done and their total after each batch: one for each choice and, if
            `unconditional`, one for each that differs.

    Returns:
        One `Choice` per item, in their order.

    Raises:
        HoldfastError: If an item has no choices, a choice is blank or too long for the model's context, two items have
            one name, the chat template refuses a conversation, a likelihood is not finite, or an item has no
            conversation to be left out if `unconditional`; names the item.
    """
    check_names(items)
    context = context_of(model)
    given, alone = [], []
    groups, once = [], dict[_Text, str]()
    for item in items:
        if not item.choices:
            raise HoldfastError(f"{name_of(item)}: has no choices; give 'choices', the right one first.")
        if unconditional and not item.turns:
            raise HoldfastError(
                f"{name_of(item)}: has no question that its choices could be scored without; use per='raw', 'tokens' "
                "or 'bytes', or give it a 'prompt'."
            )
        given.append(_examples(item, tokenizer, raw, end))
        alone.append(_alone(item, given[-1], tokenizer, raw, end) if unconditional else [])
        for example in (*given[-1], *alone[-1]):
            check_fits(example, context)
        # Many items have the same choices (yes and no).
        new = [example for example in alone[-1] if _text(example) not in once]
        once.update((_text(example), example.origin) for example in new)
        groups += [group for group in (given[-1], new) if group]
    scores = group_nll(
        model, groups, batch_tokens=batch_tokens, pad_id=int(tokenizer.pad_token_id or 0), progress=progress
    )
    by_origin = {score.origin: score for score in scores}
    found = []
    for item, of_item, without in zip(items, given, alone, strict=True):
        own = [by_origin[example.origin] for example in of_item]
        found.append(
            Choice(
                nats=tuple(score.nats for score in own),
                tokens=tuple(score.tokens for score in own),
                bytes=tuple(len(choice.encode()) for choice in item.choices),
                chars=tuple(map(len, item.choices)),
                alone=tuple(by_origin[once[_text(e)]].nats for e in without) if unconditional else None,
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


def _text(example: Example) -> _Text:
    """Returns what is read and scored of an example."""
    return tuple(example.input_ids), tuple(example.labels)


def _examples(item: Item, tokenizer: Tokenizer, raw: bool, end: bool, *, alone: bool = False) -> list[Example]:
    """Returns each choice as an example, its labels masked on what is given, or on a user who says nothing."""
    turns = (Turn("user", "", False),) if alone else item.turns
    examples, starts = [], []
    for number, choice in enumerate(item.choices):
        origin = f"{name_of(item)}, choice {number + 1}{' alone' if alone else ''}"
        if not choice.strip():
            raise HoldfastError(f"{origin}: is blank; say something or leave it out.")
        row = answered(turns, choice, origin, item.tools) if turns else Row(text=choice, origin=origin)
        if end:
            examples += tokenize([row], tokenizer, max_length=UNCUT, raw=raw).examples
            starts.append(next(k for k, label in enumerate(examples[-1].labels) if label != -100))
        else:
            found = continuation(row, tokenizer, raw=raw)
            examples.append(Example(found.ids, found.ids, origin=origin))
            starts.append(found.start)
    first = min(starts)
    masked = [
        dataclasses.replace(example, labels=(*[-100] * first, *example.input_ids[first:start], *rest))
        for example, start in zip(examples, starts, strict=True)
        for rest in [example.labels[start:]]
    ]
    return masked if first else [_begun(example, tokenizer) for example in masked]


def _alone(item: Item, given: Sequence[Example], tokenizer: Tokenizer, raw: bool, end: bool) -> list[Example]:
    """Returns each choice as an example given nothing."""
    if uses_template(tokenizer, raw):
        return _examples(item, tokenizer, raw, end, alone=True)
    made = []
    for example in given:
        said = tuple(label for label in example.labels if label != -100)
        made.append(_begun(Example(said, said, origin=f"{example.origin} alone"), tokenizer))
    return made


def _begun(example: Example, tokenizer: Tokenizer) -> Example:
    """Returns the example with a special token before its first, where it has none."""
    bos = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    if bos is None or example.input_ids[0] in tokenizer.all_special_ids:
        return example
    return dataclasses.replace(example, input_ids=(int(bos), *example.input_ids), labels=(-100, *example.labels))
