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
from holdfast.probes.choice import Choice, Per, check_names, choose, name_of
from holdfast.probes.generate import answered, context_of, generate
from holdfast.probes.likelihood import document_nll
from holdfast.probes.sampling import Sampling
from holdfast.probes.stops import Stop, usual
from holdfast.probes.suites import Item

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
        value: 1 if the answer is right and 0 if not, the share of right ones of several; nats per token of a text.
        said: The answer that was generated, the first of several, or the choice that was picked; empty for a text.
        choice: What the choices cost; None in other forms.
        picked: Place of the choice that was picked, 0 if it is right; None in other forms.
        confidence: Probability of the picked choice if one of them is said; None in other forms.
        nats: Negative log-likelihood of a text; None in other forms.
        tokens: Number of tokens of the text that it is the sum of; 0 in other forms.
        sampled: The answers that were drawn, if more than one; empty otherwise.
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
    sampled: tuple[str, ...] = ()


def ask(
    model: nn.Module,
    tokenizer: Tokenizer,
    items: Sequence[Item],
    *,
    form: Literal["auto", "generate", "choice", "text"] = "auto",
    max_new_tokens: int = 96,
    samples: int = 1,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    per: Per = "raw",
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
        samples: Number of answers that are drawn to each item whose answer is generated; more than one need a
            `temperature` above 0. Other items are asked as ever.
        temperature: What the logits are divided by before a token is drawn; 0 takes the likeliest. See `generate`.
        top_p: Least probability of the set of likeliest tokens that one is drawn from; 1 for all tokens.
        seed: Seed of what is drawn; what an item is answered depends on it and on the item's name, not on other items.
        per: How the costs of choices are compared before the least is picked: "raw" (as they are), "tokens", "bytes" or
            "chars" (divided by their number), or "unconditional" (less what the choice costs without the question,
            which is read for it; see `choose`).
        raw: Whether to leave the chat template unused.
        end: Whether to score what ends a choice with it; see `choose`.
        batch_tokens: Most tokens of a batch, padding included; usually 8192 if absent.
        progress: Told the number of items done and their total after each batch; those that are generated come first,
            then choices, then texts.

    Returns:
        One answer per item, in their order.

    Raises:
        HoldfastError: If an item cannot be asked in this form, does not fit into the model's context, is given twice or
            is refused by the chat template, or if the model's logits are not finite; names the item. If `samples`,
            `temperature`, `top_p` or `seed` is outside its range, or several samples could not differ.
        ValueError: If `max_new_tokens` or `batch_tokens` is not positive.
    """
    if form != "auto" and form not in FORMS:
        raise HoldfastError(f"form={form!r}: choose one of 'auto', {', '.join(map(repr, FORMS))}.")
    if per not in get_args(Per):
        raise HoldfastError(f"per={per!r}: choose one of {', '.join(map(repr, get_args(Per)))}.")
    sampling = Sampling(temperature, top_p, seed)
    _check_samples(samples, sampling, form)
    check_names(items)
    by_form: dict[Form, list[Item]] = {one: [] for one in FORMS}
    for item in items:
        by_form[form_of(item) if form == "auto" else _asked(item, form)].append(item)
    answers: dict[str, Answer] = {}
    for one, chosen in by_form.items():
        told = _part(progress, len(answers), len(chosen), len(items))
        if one == "generate":
            found = _generated(model, tokenizer, chosen, max_new_tokens, samples, sampling, raw, batch_tokens, told)
        elif one == "choice":
            choices = choose(
                model,
                tokenizer,
                chosen,
                raw=raw,
                end=end,
                unconditional=per == "unconditional",
                batch_tokens=batch_tokens,
                progress=told,
            )
            found = [_chosen(item, choice, per) for item, choice in zip(chosen, choices, strict=True)]
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


def _check_samples(samples: int, sampling: Sampling, form: str) -> None:
    """Raises `HoldfastError` if there are to be no samples, or several that could not differ."""
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise HoldfastError(f"samples={samples!r}: give a whole number from 1.")
    if samples > 1 and form in ("choice", "text"):
        raise HoldfastError(
            f"samples={samples}: with form={form!r} nothing is generated; use form='generate' or 'auto'."
        )
    if samples > 1 and sampling.temperature == 0:
        raise HoldfastError(f"samples={samples}: at temperature=0 all are the same; give a temperature above 0.")


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
    samples: int,
    sampling: Sampling,
    raw: bool,
    batch_tokens: int | None,
    progress: Progress | None,
) -> list[Answer]:
    repeated = [item for item in items for _ in range(samples)]
    texts = generate(
        model,
        tokenizer,
        [item.turns for item in repeated],
        max_new_tokens=[item.max_tokens or max_new_tokens for item in repeated],
        stops=[_stop_of(item, tokenizer, raw) for item in repeated],
        tools=[item.tools for item in repeated],
        batch_tokens=batch_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        seed=sampling.seed,
        raw=raw,
        names=[name_of(item) for item in repeated],
        progress=progress,
    )
    found = []
    for place, item in enumerate(items):
        said = texts[place * samples : (place + 1) * samples]
        value = sum(fulfils(one, item.check) for one in said) / samples
        found.append(Answer(item, "generate", value, said=said[0], sampled=tuple(said) if samples > 1 else ()))
    return found


def _stop_of(item: Item, tokenizer: Tokenizer, raw: bool) -> Stop | None:
    """Returns what ends an answer: what the item says, or what is usual for an answer of as many lines as it takes."""
    if item.stop is not None:
        return Stop(item.stop)
    row = answered(item.turns, "A", name_of(item)) if item.turns else None
    return None if row is None else usual(row, tokenizer, raw, lines=takes_lines(item.check))


def _chosen(item: Item, choice: Choice, per: Per) -> Answer:
    picked = choice.picked(per)
    return Answer(
        item,
        "choice",
        float(picked == 0),
        said=item.choices[picked],
        choice=choice,
        picked=picked,
        confidence=choice.probabilities[picked],
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
