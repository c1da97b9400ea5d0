"""Suites: items and texts that are asked, split and scored together under one name."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterable
from typing import Any, Literal

from torch import nn

from holdfast.core.mix import Example
from holdfast.core.precision import Precision, computing_in
from holdfast.probes.answers import Answer, Progress, ask, form_of
from holdfast.probes.items import Item, Split, split_of
from holdfast.probes.likelihood import document_nll
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
        report = _part(progress, len(self.texts), len(self.items), len(self))
        how: dict[str, Any] = {"raw": asker.raw, "batch_tokens": asker.batch_tokens, "progress": report}
        with computing_in(model, asker.precision):
            texts = self._read(model, asker, _part(progress, 0, len(self.texts), len(self)))
            # A suite without items needs no tokenizer.
            answers = ask(model, asker.tokenizer, self.items, **how) if self.items else []
        said = [self._said(answer) for answer in answers if answer.nats is None]
        return Answers([*texts, *map(self._score, answers)], said)

    def _read(self, model: nn.Module, asker: Asker, progress: Progress | None) -> list[Score]:
        """Returns the likelihood of each document."""
        pad = int(getattr(asker.tokenizer, "pad_token_id", None) or 0)
        groups = {text.origin: group_of(text) for text in reversed(self.texts) if text.origin}
        scores = []
        for i, document in enumerate(
            document_nll(model, self.texts, batch_tokens=asker.batch_tokens, pad_id=pad, progress=progress)
        ):
            name = document.origin or f"text {i}"
            group = groups.get(document.origin, name)
            scores.append(self._nats(name, group, split_of(group), document.nats, document.tokens))
        return scores

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
        written: dict[str, Any] = {}
        if answer.form == "generate":
            tools = tuple(str(tool.get("function", tool).get("name", "")) for tool in item.tools)
            refusal = item.check.get("refuses", item.check.get("declines"))
            written = {"tokens": answer.tokens, "cut": answer.cut, "tools": tools, "refusal": refusal}
        return Said(self.name, item.id, asked, answer.said, right, answer.confidence, **written)


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
