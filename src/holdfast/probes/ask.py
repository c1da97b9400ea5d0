"""Asks a model the items of suites, and keeps of every item what it said."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal, get_args

from torch import nn

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.data.rows import Row
from holdfast.data.tokenize import tokenize
from holdfast.probes.checks import fulfils, takes_lines
from holdfast.probes.choice import Choice, check_names, choose, name_of
from holdfast.probes.generate import answered, context_of, generate
from holdfast.probes.items import Item
from holdfast.probes.likelihood import document_nll
from holdfast.probes.stops import Stop, usual

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

Form = Literal["generate", "choice", "text"]
"""How an item is asked: its answer generated and checked, its choices compared, or the likelihood of its text taken."""

FORMS: tuple[Form, ...] = get_args(Form)

Progress = Callable[[int, int], None]
"""Told how much is done, and of how much."""

WINDOW = 1024
"""Most tokens of a text that are read at once."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a model did with one item.

    Attributes:
        item: The item.
        form: How it was asked.
        value: 1 if the answer is right and 0 if not, or a share between where an item is graded (`Item.right`); nats
            per token of a text.
        said: The answer that was generated, or the choice that was picked; empty for a text.
        choice: What the choices cost; None in other forms.
        picked: Place of the choice that was picked, 0 if it is the first; None in other forms.
        confidence: Probability of the picked choice if one of them is said; None in other forms and where it is graded.
        nats: Negative log-likelihood of a text; None in other forms.
        tokens: Number of tokens of the text that it is the sum of; 0 in other forms.
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

    What is answered to an item does not depend on what else is asked, up to rounding.

    Args:
        model: A causal language model, plain or wrapped by PEFT; left as it was found.
        tokenizer: Its tokenizer.
        items: What to ask, of one suite or of several.
        form: How to ask; "auto" generates where there is a check, else chooses where there are choices, else takes the
            likelihood of the text.
        max_new_tokens: Most tokens of a generated answer, where the item does not say (`max_tokens`). What else ends it
            is what the item says (`stop`), or what is usual; see `generate`.
        raw: Whether to leave the chat template unused.
        end: Whether to score what ends a choice with it; see `choose`.
        batch_tokens: Most tokens of a batch, padding included; usually 8192 if absent.
        progress: Told the number of items done and their total after each batch; those that are generated come first,
            then choices, then texts.

    Returns:
        One answer per item, in their order.

    Raises:
        HoldfastError: If an item cannot be asked in this form, does not fit into the model's context, is given twice or
            is refused by the chat template, or if the model's logits are not finite; names the item.
        ValueError: If `max_new_tokens` or `batch_tokens` is not positive.
    """
    if form != "auto" and form not in FORMS:
        raise HoldfastError(f"form={form!r}: choose one of 'auto', {', '.join(map(repr, FORMS))}.")
    check_names(items)
    by_form: dict[Form, list[Item]] = {one: [] for one in FORMS}
    for item in items:
        by_form[form_of(item) if form == "auto" else _asked(item, form)].append(item)
    answers: dict[str, Answer] = {}
    for one, chosen in by_form.items():
        told = _part(progress, len(answers), len(chosen), len(items))
        if one == "generate":
            found = _generated(model, tokenizer, chosen, max_new_tokens, raw, batch_tokens, told)
        elif one == "choice":
            choices = choose(model, tokenizer, chosen, raw=raw, end=end, batch_tokens=batch_tokens, progress=told)
            found = [_chosen(item, choice) for item, choice in zip(chosen, choices, strict=True)]
        else:
            found = _texts(model, tokenizer, chosen, batch_tokens, told)
        answers.update((name_of(answer.item), answer) for answer in found)
    return [answers[name_of(item)] for item in items]


def form_of(item: Item) -> Form:
    """Returns how an item is asked unless something else is wanted.

    Raises:
        HoldfastError: If it has neither check nor choices nor text; names it.
    """
    for form in FORMS:
        if _can(item, form):
            return form
    raise HoldfastError(f"{name_of(item)}: asks nothing; give a 'check' with a question, 'choices' or a 'text'.")


def accuracy(answers: Iterable[Answer]) -> dict[str, float]:
    """Returns the share of right answers of each suite, 0 to 1; texts, which are not right or wrong, do not count."""
    values: dict[str, list[float]] = {}
    for answer in answers:
        if answer.form != "text":
            values.setdefault(answer.item.suite, []).append(answer.value)
    return {suite: math.fsum(own) / len(own) for suite, own in values.items()}


def _can(item: Item, form: Form) -> bool:
    if form == "generate":
        return bool(item.check and item.turns)
    return bool(item.choices if form == "choice" else item.text)


def _asked(item: Item, form: Form) -> Form:
    if not _can(item, form):
        lacks = {"generate": "no question with a 'check'", "choice": "no 'choices'", "text": "no 'text'"}[form]
        raise HoldfastError(
            f"{name_of(item)}: has {lacks}, so that it cannot be asked as {form!r}; use form='{form_of(item)}' or "
            "leave it out."
        )
    return form


def _part(progress: Progress | None, before: int, share: int, total: int) -> Progress | None:
    """Returns what tells the items done while one form is asked, from the prompts, choices or windows done."""
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
    """Returns the answers: first to items that are asked as they stand whatever the model, then to the others."""
    found: list[Answer] = []
    for plain in (True, False):
        if chosen := [item for item in items if (raw or item.raw) == plain]:
            told = _part(progress, len(found), len(chosen), len(items))
            found += _written(model, tokenizer, chosen, max_new_tokens, plain, batch_tokens, told)
    return found


def _written(
    model: nn.Module,
    tokenizer: Tokenizer,
    items: Sequence[Item],
    max_new_tokens: int,
    raw: bool,
    batch_tokens: int | None,
    progress: Progress | None,
) -> list[Answer]:
    texts = generate(
        model,
        tokenizer,
        [item.turns for item in items],
        max_new_tokens=[item.max_tokens or max_new_tokens for item in items],
        stops=[_stop_of(item, tokenizer, raw) for item in items],
        tools=[item.tools for item in items],
        batch_tokens=batch_tokens,
        raw=raw,
        names=[name_of(item) for item in items],
        progress=progress,
    )
    return [
        Answer(item, "generate", float(fulfils(said, item.check)), said=said)
        for item, said in zip(items, texts, strict=True)
    ]


def _stop_of(item: Item, tokenizer: Tokenizer, raw: bool) -> Stop | None:
    """Returns what ends an answer: what the item says, or what is usual for an answer of as many lines as it takes."""
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
    """Returns what the texts cost, each read in windows that fit into the model's context."""
    rows = [Row(text=item.text, origin=name_of(item)) for item in items]
    examples: list[Example] = tokenize(rows, tokenizer, max_length=min(context_of(model) or WINDOW, WINDOW)).examples
    scores = {
        score.origin: score
        for score in document_nll(
            model, examples, batch_tokens=batch_tokens, pad_id=int(tokenizer.pad_token_id or 0), progress=progress
        )
    }
    found = []
    for item in items:
        score = scores.get(name_of(item))
        if score is None:
            raise HoldfastError(f"{name_of(item)}: the text has no token to predict; lengthen it or leave it out.")
        found.append(Answer(item, "text", score.nats / score.tokens, nats=score.nats, tokens=score.tokens))
    return found
