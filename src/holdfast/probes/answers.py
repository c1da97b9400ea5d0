"""Asks a model the items of suites and returns an answer for each item."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal, get_args

from torch import nn

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.data.rendering import uses_template
from holdfast.data.rows import Row
from holdfast.data.tokenization import tokenize
from holdfast.probes.checks import fulfils, takes_lines
from holdfast.probes.choice import Choice, check_names, choose, name_of
from holdfast.probes.generation import answered, context_of, generate_counted
from holdfast.probes.items import Item
from holdfast.probes.likelihood import document_nll
from holdfast.probes.stops import Stop, usual

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

Form = Literal["generate", "choice", "text"]
"""How an item is asked: the model generates an answer, compares choices, or gives the likelihood of a text."""

FORMS: tuple[Form, ...] = get_args(Form)

Progress = Callable[[int, int], None]
"""Called with the number done and the total."""

WINDOW = 1024
"""Most tokens of one window of a text."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """The answer of a model to one item.

    Attributes:
        item: The item.
        form: How it was asked.
        value: 1 if the answer is right and 0 if not, or a share between if the item is graded (`Item.right`); nats per
            token for a text.
        said: The generated answer or the picked choice; empty for a text.
        choice: The costs of the choices; None in other forms.
        picked: Index of the picked choice, 0 if it is the first; None in other forms.
        confidence: Probability of the picked choice among the choices; None in other forms, and
            where the item is graded.
        nats: Negative log-likelihood of a text, in nats; None in other forms.
        tokens: Number of tokens of a text that `nats` sums over, or of a generated answer; 0 for a choice.
        cut: Whether a generated answer reached the most tokens that it may have before it ended; None in other forms.
    """

    item: Item
    form: Form
    value: float
    said: str = ""
    choice: Choice | None = None
    picked: int | None = None
    confidence: float | None = None
    nats: float | None = None
    tokens: int = 0
    cut: bool | None = None


def ask(
    model: nn.Module,
    tokenizer: Tokenizer,
    items: Sequence[Item],
    *,
    form: Literal["auto", "generate", "choice", "text"] = "auto",
    max_new_tokens: int = 96,
    raw: bool = False,
    end: bool = False,
    batch_tokens: int | None = None,
    progress: Progress | None = None,
) -> list[Answer]:
    """Returns the answer of a causal language model to each item.

    An answer does not depend on the other items, up to rounding.

    Args:
        model: A causal language model, plain or wrapped by PEFT; unchanged afterwards.
        tokenizer: Its tokenizer.
        items: Items of one or several suites.
        form: How to ask. "auto" generates if the item has a check, else compares its choices if it has any, else takes
            the likelihood of its text.
        max_new_tokens: Most tokens of a generated answer, unless the item sets `max_tokens`. The item's `stop`, or the
            usual stop, ends it earlier; see `generate`.
        raw: Whether to leave the chat template unused.
        end: Whether to score the end of a choice with it; see `choose`.
        batch_tokens: Most tokens of a batch, padding included; usually 8192 if absent.
        progress: Called with the number of items done and their total after each batch. Generated answers come first,
            then choices, then texts.

    Returns:
        One answer per item, in the order of the items.

    Raises:
        HoldfastError: An item cannot be asked in this form, does not fit into the model's context, is given twice or
            is refused by the chat template, or the model's logits are not finite; names the item.
        ValueError: `max_new_tokens` or `batch_tokens` is not positive.
    """
    if form != "auto" and form not in FORMS:
        raise HoldfastError(f"form={form!r}: choose one of 'auto', {', '.join(map(repr, FORMS))}.")
    check_names(items)
    by_form: dict[Form, list[Item]] = {form_name: [] for form_name in FORMS}
    for item in items:
        by_form[form_of(item) if form == "auto" else _asked(item, form)].append(item)
    answers: dict[str, Answer] = {}
    for form_asked, chosen in by_form.items():
        report = _part(progress, len(answers), len(chosen), len(items))
        if form_asked == "generate":
            form_answers = _generated(model, tokenizer, chosen, max_new_tokens, raw, batch_tokens, report)
        elif form_asked == "choice":
            choices = choose(model, tokenizer, chosen, raw=raw, end=end, batch_tokens=batch_tokens, progress=report)
            form_answers = [_chosen(item, choice) for item, choice in zip(chosen, choices, strict=True)]
        else:
            form_answers = _texts(model, tokenizer, chosen, batch_tokens, report)
        answers.update((name_of(answer.item), answer) for answer in form_answers)
    return [answers[name_of(item)] for item in items]


def form_of(item: Item) -> Form:
    """Returns how an item is asked by default.

    Raises:
        HoldfastError: The item has no check, no choices and no text; names the item.
    """
    for form in FORMS:
        if _can(item, form):
            return form
    raise HoldfastError(f"{name_of(item)}: asks nothing; give a 'check' with a question, 'choices' or a 'text'.")


def accuracy(answers: Iterable[Answer]) -> dict[str, float]:
    """Returns the share of right answers of each suite, 0 to 1, without texts."""
    values: dict[str, list[float]] = {}
    for answer in answers:
        if answer.form != "text":
            values.setdefault(answer.item.suite, []).append(answer.value)
    return {suite: math.fsum(members) / len(members) for suite, members in values.items()}


def _can(item: Item, form: Form) -> bool:
    if form == "generate":
        return bool(item.check and item.turns)
    return bool(item.choices if form == "choice" else item.text)


def _asked(item: Item, form: Form) -> Form:
    if not _can(item, form):
        lacks = {"generate": "no question with a 'check'", "choice": "no 'choices'", "text": "no 'text'"}[form]
        raise HoldfastError(
            f"{name_of(item)}: has {lacks}, so it cannot be asked as {form!r}; use form='{form_of(item)}' or "
            "leave it out."
        )
    return form


def _part(progress: Progress | None, before: int, share: int, total: int) -> Progress | None:
    """Returns a callback that converts the prompts, choices or windows done in one form to items done in all forms."""
    if progress is None:
        return None
    return lambda done, whole: progress(before + share * done // whole, total)


def _generated(
    model: nn.Module,
    tokenizer: Tokenizer,
    items: Sequence[Item],
    max_new_tokens: int,
    raw: bool,
    batch_tokens: int | None,
    progress: Progress | None,
) -> list[Answer]:
    """Returns the answers: first to items that never use the chat template, then to the others."""
    answers: list[Answer] = []
    for plain in (True, False):
        if chosen := [item for item in items if (raw or item.raw) == plain]:
            report = _part(progress, len(answers), len(chosen), len(items))
            answers += _written(model, tokenizer, chosen, max_new_tokens, plain, batch_tokens, report)
    return answers


def _written(
    model: nn.Module,
    tokenizer: Tokenizer,
    items: Sequence[Item],
    max_new_tokens: int,
    raw: bool,
    batch_tokens: int | None,
    progress: Progress | None,
) -> list[Answer]:
    by_template = uses_template(tokenizer, raw)
    as_asked = [item.as_asked(by_template) for item in items]
    answers = generate_counted(
        model,
        tokenizer,
        [item.turns for item in as_asked],
        max_new_tokens=[item.max_tokens or max_new_tokens for item in items],
        stops=[_stop_of(item, tokenizer, raw) for item in as_asked],
        tools=[item.tools for item in as_asked],
        batch_tokens=batch_tokens,
        raw=raw,
        names=[name_of(item) for item in items],
        progress=progress,
    )
    return [
        Answer(
            # A task of lm-eval is scored by the white space around an answer too.
            *(item, "generate", float(fulfils(answer.written if "harness" in item.check else answer.text, item.check))),
            said=answer.text,
            tokens=answer.tokens,
            cut=answer.cut,
        )
        for item, answer in zip(items, answers, strict=True)
    ]


def _stop_of(item: Item, tokenizer: Tokenizer, raw: bool) -> Stop | None:
    """Returns the stop of an answer: the item's own, or the usual one for an answer of one or several lines."""
    if item.stop is not None:
        return Stop(item.stop)
    row = answered(item.turns, "A", name_of(item)) if item.turns else None
    return None if row is None else usual(row, tokenizer, raw, lines=takes_lines(item.check))


def _chosen(item: Item, choice: Choice) -> Answer:
    picked = choice.picked
    graded = None if item.right is None else min(1.0, math.fsum(choice.probabilities[: item.right]))
    return Answer(
        item,
        "choice",
        float(picked == 0) if graded is None else graded,
        said=item.choices[picked],
        choice=choice,
        picked=picked,
        confidence=choice.probabilities[picked] if graded is None else None,
    )


def _texts(
    model: nn.Module,
    tokenizer: Tokenizer,
    items: Sequence[Item],
    batch_tokens: int | None,
    progress: Progress | None,
) -> list[Answer]:
    """Returns the likelihood of each text, read in windows that fit into the model's context."""
    rows = [Row(text=item.text, origin=name_of(item)) for item in items]
    examples: list[Example] = tokenize(rows, tokenizer, max_length=min(context_of(model) or WINDOW, WINDOW)).examples
    scores = {
        score.origin: score
        for score in document_nll(
            model, examples, batch_tokens=batch_tokens, pad_id=int(tokenizer.pad_token_id or 0), progress=progress
        )
    }
    answers = []
    for item in items:
        score = scores.get(name_of(item))
        if score is None:
            raise HoldfastError(f"{name_of(item)}: the text has no token to predict; lengthen it or leave it out.")
        answers.append(Answer(item, "text", score.nats / score.tokens, nats=score.nats, tokens=score.tokens))
    return answers
