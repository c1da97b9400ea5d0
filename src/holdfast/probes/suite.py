"""Suites: items and texts that are asked, split and scored together under one name."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterable, Sequence
from typing import Any, Literal

from torch import nn

from holdfast.core.mix import Example
from holdfast.core.precision import Precision, computing_in
from holdfast.probes.answers import Answer, Progress, ask, form_of
from holdfast.probes.calibration import brier_term
from holdfast.probes.choice import check_names, name_of
from holdfast.probes.items import Item, Split, split_of
from holdfast.probes.likelihood import DocumentScore, nll_of_groups
from holdfast.probes.score import Answers, Role, Said, Score, in_unit
from holdfast.probes.watch_record import documents, group_of, side_of

Unit = Literal["points", "nats"]


@dataclasses.dataclass(frozen=True)
class Asker:
    """Settings for asking suites.

    Attributes:
        tokenizer: The tokenizer of the model; needed for items.
        raw: Whether items are asked without the chat template.
        batch_tokens: Most tokens of a batch, padding included; usually 8192 if absent.
        precision: Number format in which the model computes its answers.
    """

    tokenizer: Any = None
    raw: bool = False
    batch_tokens: int | None = None
    precision: Precision = "fp32"


@dataclasses.dataclass(frozen=True)
class Suite:
    """Items and texts that are scored together.

    Attributes:
        name: Name of the suite.
        role: What it measures: the learned skill, its transfer to a shifted domain, or retained abilities.
        items: Items, scored by their answers, or by their likelihood if they are texts.
        texts: Windows of documents, scored by the likelihood of each document.
    """

    name: str
    role: Role
    items: tuple[Item, ...] = ()
    texts: tuple[Example, ...] = ()

    def __len__(self) -> int:
        """Number of items and windows."""
        return len(self.items) + len(self.texts)

    def units(self) -> set[Unit]:
        """Returns the units of its scores: "nats" for texts, "points" for answers."""
        units: set[Unit] = {"nats"} if self.texts else set()
        return units | {unit_of(item) for item in self.items}

    def splits(self) -> list[Split]:
        """Returns the side of each document and each item."""
        return [side_of(windows[0]) for windows in documents(self.texts)] + [item.split for item in self.items]

    def side(self, split: Split) -> Suite:
        """Returns the part on one side; all items of a group are on the same side, in every suite."""
        items = tuple(item for item in self.items if item.split == split)
        return dataclasses.replace(self, items=items, texts=tuple(t for t in self.texts if side_of(t) == split))

    def only(self, units: Container[str]) -> Suite:
        """Returns the part that is scored in `units`."""
        items = tuple(item for item in self.items if unit_of(item) in units)
        return dataclasses.replace(self, items=items, texts=self.texts if "nats" in units else ())

    def ask(self, model: nn.Module, asker: Asker, progress: Progress | None = None) -> Answers:
        """Returns the scores and answers of a causal language model: documents first, then items, in a fixed order.

        Args:
            model: The model; unchanged afterwards.
            asker: Settings for asking.
            progress: Called with the number of windows and items done and their total.

        Raises:
            HoldfastError: As `holdfast.probes.answers.ask` and `holdfast.probes.likelihood.document_nll` do.
        """
        return ask_together(model, [self], asker, progress)[0]

    def _read(self, documents: Iterable[DocumentScore]) -> list[Score]:
        """Returns the likelihood of each document."""
        groups = {text.origin: group_of(text) for text in reversed(self.texts) if text.origin}
        scores = []
        for i, document in enumerate(documents):
            name = document.origin or f"text {i}"
            group = groups.get(document.origin, name)
            scores.append(self._nats(name, group, split_of(group), document.nats, document.tokens))
        return scores

    def _answers(self, documents: Iterable[DocumentScore], answers: Sequence[Answer]) -> Answers:
        """Returns the scores and answers of what the model gave to its texts and items."""
        said = [self._said(answer) for answer in answers if answer.nats is None]
        return Answers([*self._read(documents), *map(self._score, answers)], said)

    def _nats(self, item: str, group: str, split: Split, nats: float, tokens: int) -> Score:
        """Returns the score of a text."""
        of: dict[str, Any] = {"suite": self.name, "role": self.role, "item": item, "group": group, "split": split}
        return Score(**of, value=nats, weight=tokens, unit="nats", higher_is_better=False)

    def _score(self, answer: Answer) -> Score:
        """Returns the score of an item: in points, or in nats for a text."""
        item, group = answer.item, answer.item.group or answer.item.id
        if answer.nats is not None:
            return self._nats(item.id, group, item.split, answer.nats, answer.tokens)
        return Score(
            suite=self.name,
            role=self.role,
            split=item.split,
            item=item.id,
            group=group,
            value=in_unit(answer.value),
            unit="points",
            higher_is_better=True,
            choices=len(item.choices) if answer.form == "choice" else 0,
        )

    def _said(self, answer: Answer) -> Said:
        """Returns the answer to an item."""
        item = answer.item
        asked, right = item.turns[-1].content if item.turns else "", item.answer or next(iter(item.choices), "")
        choice = answer.choice if answer.confidence is not None else None
        brier = None if choice is None else brier_term(choice.probabilities)
        written: dict[str, Any] = {}
        if answer.form == "generate":
            tools = tuple(str(tool.get("function", tool).get("name", "")) for tool in item.tools)
            refusal = item.check.get("refuses")
            written = {"tokens": answer.tokens, "cut": answer.cut, "tools": tools, "refusal": refusal}
        return Said(self.name, item.id, asked, answer.said, right, answer.confidence, brier, **written)


def ask_together(
    model: nn.Module, suites: Sequence[Suite], asker: Asker, progress: Progress | None = None
) -> list[Answers]:
    """Returns the scores and answers of a causal language model to each suite, as `Suite.ask` does, up to rounding.

    The windows, choices and answers of all suites share batches, so that few are small. An item that stands in several
    suites is asked once.

    Args:
        model: The model; unchanged afterwards.
        suites: The suites.
        asker: Settings for asking.
        progress: Called with the number of windows and items of all suites done and their total.

    Raises:
        HoldfastError: As `Suite.ask` does.
    """
    tokens, texts, total = asker.batch_tokens, sum(len(suite.texts) for suite in suites), sum(map(len, suites))
    pad = int(getattr(asker.tokenizer, "pad_token_id", None) or 0)
    rounds, places = _rounds(suites)
    answers: list[dict[str, Answer]] = []
    with computing_in(model, asker.precision):
        report = _part(progress, 0, texts, total)
        documents = nll_of_groups(
            model, [suite.texts for suite in suites], batch_tokens=tokens, pad_id=pad, progress=report
        )
        done = texts
        for number, items in enumerate(rounds):  # suites without items need no tokenizer
            share = sum(place == number for of_suite in places for place in of_suite)
            how: dict[str, Any] = {"batch_tokens": tokens, "progress": _part(progress, done, share, total)}
            given = ask(model, asker.tokenizer, list(items.values()), raw=asker.raw, **how)
            answers.append({name_of(answer.item): answer for answer in given})
            done += share
    return [
        suite._answers(of_suite, [answers[place][name_of(item)] for item, place in zip(suite.items, own, strict=True)])
        for suite, of_suite, own in zip(suites, documents, places, strict=True)
    ]


def _rounds(suites: Iterable[Suite]) -> tuple[list[dict[str, Item]], list[list[int]]]:
    """Returns items by name in rounds of different names, and the round of each item of each suite.

    There is one round, unless suites have different items of the same name.
    """
    rounds: list[dict[str, Item]] = []
    places = []
    for suite in suites:
        check_names(suite.items)
        own = []
        for item in suite.items:
            name = name_of(item)
            place = next((k for k, items in enumerate(rounds) if items.get(name, item) == item), len(rounds))
            if place == len(rounds):
                rounds.append({})
            rounds[place][name] = item
            own.append(place)
        places.append(own)
    return rounds, places


def unit_of(item: Item) -> Unit:
    """Returns the unit in which an item is scored."""
    return "nats" if form_of(item) == "text" else "points"


def units_of(suites: Iterable[Suite]) -> set[Unit]:
    """Returns the units of the scores of `suites`."""
    return {unit for suite in suites for unit in suite.units()}


def suites_of(items: Iterable[Item], role: Role) -> list[Suite]:
    """Returns items as suites by name, in the order of their first items."""
    by_name: dict[str, list[Item]] = {}
    for item in items:
        by_name.setdefault(item.suite, []).append(item)
    return [Suite(name, role, tuple(members)) for name, members in by_name.items()]


def _part(progress: Progress | None, done: int, size: int, total: int) -> Progress | None:
    """Returns a callback that converts the progress of documents or items to that of the suite."""
    return None if progress is None else lambda now, whole: progress(done + size * now // whole, total)
