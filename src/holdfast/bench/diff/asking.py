"""Asks two models a question each of the user's, and returns both answers."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.bench.diff.diff_record import AnswerRow
from holdfast.bench.given.asked import load_asked
from holdfast.bench.given.loading import load_tokenizer
from holdfast.bench.given.specs import DiffSpec
from holdfast.bench.measured.answers import is_saved
from holdfast.bench.measured.measurement import asker_of
from holdfast.core.errors import HoldfastError
from holdfast.probes.items import Item, item_of
from holdfast.probes.suite import Suite

NAME = "ask"
"""Name of the suite of the user's questions, which are not judged."""


def asked_rows(spec: DiffSpec, notes: list[str]) -> tuple[AnswerRow, ...]:
    """Returns the answers of both models to the questions of `--ask`; none without questions.

    Raises:
        HoldfastError: The two are files of saved answers, or a model cannot be loaded.
    """
    if not spec.ask:
        return ()
    if is_saved(spec.base) or is_saved(spec.tuned):
        raise HoldfastError("--ask asks models: give two models and not files of answers.")
    items = tuple(_item(number, question) for number, question in enumerate(spec.ask))
    before = _said(spec.base, None, items, spec, notes)
    after = _said(spec.tuned, spec.base, items, spec, notes)
    rows = zip(items, spec.ask, before, after, strict=True)
    return tuple(
        AnswerRow(suite=NAME, item=item.id, asked=question, right="", before=first, after=last)
        for item, question, first, last in rows
    )


def _item(number: int, question: str) -> Item:
    """Returns a question as an item; the check is never read, because the answers are not judged."""
    values = {"id": str(number), "suite": NAME, "prompt": question, "check": {"lacks": question}}
    return item_of(values, f"--ask {question!r}")


def _said(name: str, base: str | None, items: Sequence[Item], spec: DiffSpec, notes: list[str]) -> list[str]:
    """Returns the answers of a model, which is loaded for them alone."""
    asker = asker_of(spec, load_tokenizer(name, base=base))
    answers = Suite(NAME, "retained", items=tuple(items)).ask(load_asked(name, base=base, notes=notes), asker)
    return [said.said for said in answers.said]
