"""The questions of a guard: every look asks the same watched items and texts, paired with their scores at the start."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self, TypeVar

from torch import nn

from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.guard import Guard
from holdfast.core.mix import Example, Mix
from holdfast.data.memory import load_memory
from holdfast.probes.items import Item, Split
from holdfast.probes.score import Answers, Role
from holdfast.probes.suite import Asker, Suite, ask_together, suites_of, units_of
from holdfast.probes.watch_record import (
    Use,
    WatchEntry,
    WatchRecord,
    documents,
    group_of,
    of_document,
    of_item,
    shared_group,
    side_of,
)
from holdfast.suites.default import default_keep, default_note
from holdfast.suites.named import items_of
from holdfast.train.mixing import row_limit, tokenizer_of
from holdfast.train.trainers import HostTrainer, precision_of

logger = logging.getLogger("holdfast")

T = TypeVar("T")

TEXTS = "texts"
"""Name of the suite that holds the texts of files and examples."""
TWO_SIDED = 20
"""Fewest groups of a source that is split in two; with fewer, chance may put all of them on one side."""


@dataclasses.dataclass(frozen=True)
class Questions:
    """The questions of a guard, read before anything of the trainer is changed.

    Attributes:
        kept: Suites whose loss the budget limits.
        learn: Suites that measure the task; may be empty.
        asker: How the suites are asked.
        apart: The whole watched side of the given suites, which the verdict leaves out even where it is not asked.
    """

    kept: tuple[Suite, ...]
    learn: tuple[Suite, ...]
    asker: Asker
    apart: tuple[Suite, ...] = ()

    @classmethod
    def of(cls, trainer: HostTrainer, budget: Budget, guard: Guard, keep: Any, learn: Any) -> Self:
        """Returns the questions to a trainer's model; `keep` and `learn` are those of `attach`.

        Raises:
            HoldfastError: A source holds nothing to ask, or the budget limits no unit of `keep`.
        """
        tokenizer, limit = tokenizer_of(trainer), row_limit(trainer)
        given = watched_suites(keep, tokenizer, limit, "keep")
        kept = thinned([suite.only(budget.limits) for suite in given], guard.items)
        if not kept:
            raise HoldfastError(
                f"A budget of {budget} limits nothing that attach(keep=...) measures"
                f" ({', '.join(sorted(units_of(given)))}): limit items by points=2, texts by nll=0.02."
            )
        shown = [] if learn is None else watched_suites(learn, tokenizer, limit, "learn")
        # A caller that gives suites judges by their other side, so that the whole watched side is recorded.
        apart = (*given, *shown) if _are_all(_listed(keep), Suite) else ()
        asker = Asker(tokenizer, guard.raw, guard.batch_tokens, precision_of(trainer.args))
        return cls(tuple(kept), tuple(thinned(shown, max(1, guard.items // 4))), asker, apart)

    def answers(self, model: nn.Module, suites: Sequence[Suite]) -> list[Answers]:
        """Returns the scores and answers of a model to suites of this guard, asked together."""
        return ask_together(model, suites, self.asker)

    @property
    def watched(self) -> WatchRecord:
        """Returns the record of the items and texts that steer the run."""
        entries = [*self._entries(self.kept, "keep"), *self._entries(self.learn, "learn")]
        names = {(thing.suite, thing.id, thing.digests) for thing in entries}
        apart = self._entries(self.apart, "apart")
        return WatchRecord(
            (*entries, *(thing for thing in apart if (thing.suite, thing.id, thing.digests) not in names))
        )

    @property
    def fingerprint(self) -> int:
        """Returns a hash of the kept suites, 56 bits, which tells them from other questions."""
        contents = [str(item) for suite in self.kept for item in suite.items]
        contents += [str(list(text.input_ids)) for suite in self.kept for text in suite.texts]
        return int.from_bytes(hashlib.blake2b("\n".join(contents).encode(), digest_size=7).digest(), "big")

    def warn_of(self, mix: Mix | None) -> None:
        """Warns if kept texts are also trained on, with their number."""
        rehearsed = {tuple(example.input_ids) for example in (mix.examples if mix is not None else ())}
        texts = [text for suite in self.kept for text in suite.texts]
        both = sum(tuple(text.input_ids) in rehearsed for text in texts)
        if both:
            logger.warning(
                "%d of %d kept texts are also trained on: the loss will look smaller than it is.",
                both,
                len(texts),
            )

    def _entries(self, suites: Iterable[Suite], use: Use) -> list[WatchEntry]:
        """Returns the items and documents of suites as entries of the record."""
        entries = []
        for suite in suites:
            entries += [WatchEntry(use, item.suite, item.id, shared_group(item), of_item(item)) for item in suite.items]
            for windows in documents(suite.texts):
                digests = of_document(windows, self.asker.tokenizer)
                entries.append(WatchEntry(use, suite.name, windows[0].origin, "", digests))
        return entries


def kept_of(trainer: HostTrainer, budget: Budget | None, keep: Any) -> Any:
    """Returns what a guard watches: `keep`, or the default source if there is none and the budget limits points.

    Raises:
        HoldfastError: The default is meant, and the trainer has no tokenizer.
    """
    if keep is not None or budget is None or budget.points is None:
        return keep
    model = str(getattr(trainer.model, "name_or_path", ""))
    source = default_keep(model)
    if tokenizer_of(trainer) is None:
        raise HoldfastError(
            "A guard needs something to watch: give attach(keep='questions.jsonl'), or the trainer "
            f"processing_class=tokenizer, so that it asks {source}, the default."
        )
    logger.warning("%s", default_note(model, (source,), "attach(keep=...)"))
    return source


def thinned(suites: Sequence[Suite], most: int) -> list[Suite]:
    """Returns at most `most` items and windows, as equally many of each suite as possible, spaced evenly in it."""
    shares = _shares([len(suite) for suite in suites], most)
    return [_thinned(suite, share) for suite, share in zip(suites, shares, strict=True) if share]


def _thinned(suite: Suite, count: int) -> Suite:
    """Returns `count` items and windows, spaced evenly."""
    places = {i * len(suite) // count for i in range(count)}
    items = tuple(item for i, item in enumerate(suite.items) if i in places)
    texts = tuple(text for i, text in enumerate(suite.texts, start=len(suite.items)) if i in places)
    return dataclasses.replace(suite, items=items, texts=texts)


def _shares(sizes: Sequence[int], most: int) -> list[int]:
    """Returns how many to take of each: at least one, at most `most` together, as equal as the sizes allow."""
    taken = [min(1, size) for size in sizes]
    while sum(taken) < min(most, sum(sizes)):
        fewest = min((count, i) for i, count in enumerate(taken) if count < sizes[i])[1]
        taken[fewest] += 1
    return taken


def watched_suites(source: Any, tokenizer: Any, max_length: int, name: str) -> list[Suite]:
    """Returns the watched side of the source given to `attach(keep=...)` or `attach(learn=...)`, as suites.

    A source with fewer than `TWO_SIDED` groups is watched as a whole, with a warning. Prepared examples are used as
    they are.

    Args:
        source: A path, hub id or name of items (of a suite too) or texts, a list of these, rows, or prepared
            `Example`s, `Item`s or `Suite`s.
        tokenizer: The tokenizer of the model.
        max_length: Most tokens of a window.
        name: "keep" or "learn".

    Raises:
        HoldfastError: The source holds nothing to ask, a file is missing or malformed, or there is no tokenizer.
    """
    given, role = _listed(source), _role(name)
    if _are_all(given, Suite):
        return [side for suite in given if len(side := suite.side("watch"))]
    if _are_all(given, Example):
        return [_of_examples(given, name)]
    if tokenizer is None:
        raise HoldfastError(f"attach({name}=...) needs a tokenizer: give the trainer processing_class=tokenizer.")
    items: list[Item] = []
    all_items: list[Item] = []
    texts: list[Example] = []
    whole = _are_all(given, Item)
    for part in given if _are_all(given, str) else (source,):
        asked = given if whole else items_of(part) if isinstance(part, str) else None
        where = f"attach({name}={part!r})" if isinstance(part, str) else f"attach({name}=...)"
        if asked is None:
            read = load_memory(part, tokenizer, max_length=max_length)
            texts += _watched(read, side_of, group_of, where, "texts")
        else:
            all_items += asked
            items += _watched(asked, lambda item: item.split, lambda item: item.group or item.id, where, "items")
    _name_unwatched(all_items, items, f"attach({name}=...)")
    return [*([Suite(TEXTS, role, texts=tuple(texts))] if texts else []), *suites_of(items, role)]


def _role(name: str) -> Role:
    return "learned" if name == "learn" else "retained"


def _listed(source: Any) -> list[Any]:
    """Returns the elements of a sequence; a single suite as a list of one; an empty list for anything else."""
    if isinstance(source, Suite):
        return [source]
    return list(source) if isinstance(source, Sequence) and not isinstance(source, str) else []


def _are_all(given: Sequence[Any], kind: type) -> bool:
    return len(given) > 0 and all(isinstance(part, kind) for part in given)


def _of_examples(examples: Sequence[Example], name: str) -> Suite:
    """Returns the suite of prepared examples.

    Raises:
        HoldfastError: No example has a supervised token.
    """
    if not any(label != -100 for example in examples for label in example.labels[1:]):
        raise HoldfastError(f"attach({name}=...) has no token to score: give examples with supervised labels.")
    return Suite(TEXTS, _role(name), texts=tuple(examples))


def _name_unwatched(items: Sequence[Item], watched: Sequence[Item], where: str) -> None:
    """Warns of suites without a watched item."""
    seen = {item.suite for item in watched}
    if silent := [f"{suite.name} ({len(suite)})" for suite in suites_of(items, "retained") if suite.name not in seen]:
        logger.warning("%s: no item of %s is watched; all are test items.", where, ", ".join(silent))


def _watched(
    things: Sequence[T], side: Callable[[T], Split], group: Callable[[T], str], where: str, what: str
) -> list[T]:
    """Returns the watched side of a source, or all of it if it is too small to be split.

    Args:
        things: The items or texts of the source.
        side: Returns the side of one of them.
        group: Returns the group of one of them.
        where: The source, for messages.
        what: "items" or "texts", for messages.

    Raises:
        HoldfastError: The source is large enough, but its watched side is empty.
    """
    groups = {group(thing): side(thing) for thing in things}
    count = f"{len(groups) if what == 'texts' else len(things)} {what}"  # a text may be several windows
    watched = [thing for thing in things if side(thing) == "watch"]
    if watched and (len(watched) < len(things) or len(groups) >= TWO_SIDED):
        return watched
    if len(groups) >= TWO_SIDED:
        raise HoldfastError(
            f"{where}: all of the {count} are proof (test items), and none is watched; give others to the guard."
        )
    logger.warning(
        "%s: the %s are too few to split into watched (validation) and proof (test) items. The guard watches them all,"
        " and none is left to judge by: give at least %d, or others to `holdfast diff --keep`.",
        where,
        count,
        TWO_SIDED,
    )
    return list(things)
