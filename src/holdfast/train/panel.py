"""What a guard asks at every look: the same watched items and texts, so that each is paired with its first answer."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import itertools
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from torch import nn

from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.data.memory import load_memory
from holdfast.probes.ask import ask, form_of
from holdfast.probes.likelihood import document_nll
from holdfast.probes.sources import items_of
from holdfast.probes.suites import Item, Split
from holdfast.probes.watched import Thing, Use, documents, group_of, of_document, of_item, shared_group, side_of
from holdfast.stats.flips import Flips, flips
from holdfast.stats.verdict import holm, p_forgot

logger = logging.getLogger("holdfast")

T = TypeVar("T")

TEXTS = "texts"
"""Name of the suite of examples that are watched."""

CERTAIN = 0.05
"""Below which a p-value, adjusted for the number of suites, says that a suite is beyond the budget."""
TWO_SIDED = 20
"""Groups from which a source has a watched side and one for the proof: of fewer, all may be on one by chance."""


@dataclasses.dataclass(frozen=True)
class Score:
    """What became of one thing that was asked: 1 or 0 of an answer, or the nats of so many tokens."""

    suite: str
    group: str
    value: float
    tokens: int = 0


@dataclasses.dataclass(frozen=True)
class Panel:
    """Items and examples that are asked at every look.

    Attributes:
        items: Items, asked as their suites say.
        examples: Examples whose likelihood is taken, all one suite.
        tokenizer: The model's; needed for items.
        raw: Whether items are asked without the chat template.
        batch_tokens: Most tokens of a batch; usually 8192 if absent.
    """

    items: Sequence[Item] = ()
    examples: Sequence[Example] = ()
    tokenizer: Any = None
    raw: bool = False
    batch_tokens: int | None = None

    def __len__(self) -> int:
        """Number of things asked."""
        return len(self.items) + len(self.examples)

    @property
    def units(self) -> set[str]:
        """Returns the units in which it measures: "points", "nats"."""
        found = {"nats"} if self.examples else set()
        return found | {"nats" if form_of(item) == "text" else "points" for item in self.items}

    @property
    def fingerprint(self) -> int:
        """Returns a number that tells it from another panel."""
        asked = [*(str(item) for item in self.items), *(str(list(one.input_ids)) for one in self.examples)]
        return int.from_bytes(hashlib.blake2b("\n".join(asked).encode(), digest_size=7).digest(), "big")

    def only(self, units: Mapping[str, Any]) -> Panel:
        """Returns the part that measures in one of these units."""
        items = [item for item in self.items if ("nats" if form_of(item) == "text" else "points") in units]
        return dataclasses.replace(self, items=items, examples=self.examples if "nats" in units else ())

    def thinned(self, most: int) -> Panel:
        """Returns at most `most` of it: as many of each suite as can be, taken evenly over the suite."""
        suites: dict[str, list[Item]] = {}
        for item in self.items:
            suites.setdefault(item.suite, []).append(item)
        shares = _shares([*map(len, suites.values()), len(self.examples)], most)
        items = [_evenly(own, share) for own, share in zip(suites.values(), shares, strict=False)]
        return dataclasses.replace(
            self, items=list(itertools.chain(*items)), examples=_evenly(self.examples, shares[-1])
        )

    def things(self, use: Use) -> list[Thing]:
        """Returns all that is in it as a record of what was watched."""
        found = [Thing(use, item.suite, item.id, shared_group(item), of_item(item)) for item in self.items]
        for windows in documents(self.examples):
            found.append(Thing(use, TEXTS, windows[0].origin, "", of_document(windows, self.tokenizer)))
        return found

    def ask(self, model: nn.Module) -> list[Score]:
        """Returns what a model does with each, always in the same order; leaves the model as it was found.

        Raises:
            HoldfastError: If a likelihood is not finite, or an item cannot be asked.
        """
        scores = [
            Score(TEXTS, f"{i}", score.nats, score.tokens)
            for i, score in enumerate(document_nll(model, self.examples, batch_tokens=self.batch_tokens))
        ]
        how: dict[str, Any] = {"raw": self.raw}
        how |= {} if self.batch_tokens is None else {"batch_tokens": self.batch_tokens}
        # Without items there need be no tokenizer.
        for answer in ask(model, self.tokenizer, self.items, **how) if self.items else ():
            item = answer.item
            value = answer.value if answer.nats is None else answer.nats
            scores.append(Score(item.suite, item.group or item.id, value, answer.tokens))
        return scores


def losses(before: Sequence[Score], after: Sequence[Score], budget: Budget) -> tuple[dict[str, float], bool]:
    """Returns the loss by unit that counts under a budget, and whether a suite is beyond its limit for certain.

    With the claim "mean" the loss is the mean over suites; with "every" that of the worst suite, less a standard error,
    so that a suite of few items is not called worst for its noise.
    """
    suites: dict[tuple[str, str], list[tuple[Score, Score]]] = {}
    for pair in zip(before, after, strict=True):
        suites.setdefault((pair[0].suite, "nats" if pair[0].tokens else "points"), []).append(pair)
    found: dict[str, list[float]] = {}
    p_values = []
    for (_, unit), pairs in suites.items():
        if unit not in budget.limits:
            continue
        if unit == "points":
            change = _flips(pairs)
            lost = -100.0 * change.change
            lost -= 100.0 * math.sqrt(change.lost + change.gained) / change.items if budget.claim == "every" else 0.0
            p_values.append(p_forgot(change, budget.limits[unit] / 100.0))
        else:
            lost = sum(b.value - a.value for a, b in pairs) / sum(a.tokens for a, _ in pairs)
        found.setdefault(unit, []).append(lost)
    lost_by = {unit: max(own) if budget.claim == "every" else math.fsum(own) / len(own) for unit, own in found.items()}
    return lost_by, any(p < CERTAIN for p in holm(p_values))


def _flips(pairs: Sequence[tuple[Score, Score]]) -> Flips:
    """Returns what became of the answers of a suite."""
    return flips([a.value for a, _ in pairs], [b.value for _, b in pairs], [a.group for a, _ in pairs])


def learned(scores: Sequence[Score]) -> float:
    """Returns how much scores show: the percentage of right answers, or else the negative nats per token; or NaN."""
    answers = [score.value for score in scores if not score.tokens]
    if answers:
        return 100.0 * math.fsum(answers) / len(answers)
    tokens = sum(score.tokens for score in scores)
    return -math.fsum(score.value for score in scores) / tokens if tokens else math.nan


def panel_of(source: Any, tokenizer: Any, max_length: int, name: str) -> Panel:
    """Returns the panel of what `Budget(keep=...)` or `Budget(learn=...)` names: of items and texts the watched side.

    Of a source that is too small to have two sides, all is watched, and a warning says so. Prepared examples are taken
    as they are.

    Raises:
        HoldfastError: If there is nothing to ask, a file is missing or malformed, or there is no tokenizer.
    """
    if isinstance(source, Panel):
        return source
    given = list(source) if isinstance(source, Sequence) and not isinstance(source, str) else []
    if _are_all(given, Example):
        return _of_examples(given, name)
    if tokenizer is None:
        raise HoldfastError(f"Budget({name}=...) needs a tokenizer: give the trainer processing_class=tokenizer.")
    items: list[Item] = []
    all_items: list[Item] = []
    examples: list[Example] = []
    whole = _are_all(given, Item)
    for one in given if _are_all(given, str) else (source,):
        asked = given if whole else items_of(one) if isinstance(one, str) else None
        where = f"Budget({name}={one!r})" if isinstance(one, str) else f"Budget({name}=...)"
        if asked is None:
            read = load_memory(one, tokenizer, max_length=max_length)
            examples += _watched(read, side_of, group_of, where, "texts")
        else:
            all_items += asked
            items += _watched(asked, lambda item: item.split, lambda item: item.group or item.id, where, "items")
    _name_unwatched(all_items, items, f"Budget({name}=...)")
    return Panel(items, examples, tokenizer)


def _are_all(given: Sequence[Any], kind: type) -> bool:
    return len(given) > 0 and all(isinstance(one, kind) for one in given)


def _of_examples(examples: Sequence[Example], name: str) -> Panel:
    """Returns the panel of prepared examples.

    Raises:
        HoldfastError: If none of them has a token to score.
    """
    if not any(label != -100 for example in examples for label in example.labels[1:]):
        raise HoldfastError(f"Budget({name}=...) has no token to score: give examples with supervised labels.")
    return Panel(examples=examples)


def _name_unwatched(items: Sequence[Item], watched: Sequence[Item], where: str) -> None:
    """Names the suites of which no item is watched."""
    counts = collections.Counter(item.suite for item in items)
    if silent := [f"{suite} ({count})" for suite, count in counts.items() if suite not in {i.suite for i in watched}]:
        logger.warning(
            "%s: nothing of %s is watched, all of it is on the other side.",
            where,
            ", ".join(silent),
        )


def _watched(
    things: Sequence[T], side: Callable[[T], Split], group: Callable[[T], str], where: str, what: str
) -> list[T]:
    """Returns those things of a source that are watched: its watched side, or all where they are too few for two sides.

    Raises:
        HoldfastError: If none of many is on the watched side: they are kept for the proof.
    """
    groups = {group(thing): side(thing) for thing in things}
    count = f"{len(groups) if what == 'texts' else len(things)} {what}"  # a text may be several windows
    watched = [thing for thing in things if side(thing) == "watch"]
    if watched and (len(watched) < len(things) or len(groups) >= TWO_SIDED):
        return watched
    if len(groups) >= TWO_SIDED:
        raise HoldfastError(
            f"{where}: none of the {count} is on the watched side (they are for the proof); give others to the guard."
        )
    logger.warning(
        "%s: the %s are too few to have two sides. The guard watches them all, and none is left to judge by: give at"
        " least %d, or others to `holdfast diff --keep`.",
        where,
        count,
        TWO_SIDED,
    )
    return list(things)


def _shares(sizes: Sequence[int], most: int) -> list[int]:
    """Returns how many to take of each, together at most `most` (but one of each), as equal as the sizes allow."""
    taken = [min(1, size) for size in sizes]
    while sum(taken) < min(most, sum(sizes)):
        fewest = min((count, i) for i, count in enumerate(taken) if count < sizes[i])[1]
        taken[fewest] += 1
    return taken


def _evenly(things: Sequence[Any], count: int) -> list[Any]:
    return [things[i * len(things) // count] for i in range(count)]
