"""The questions of a guard on a reranker: queries of the watched side, whose candidates every look ranks again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Sequence
from typing import Any, Self

from torch import nn

from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.guard import Guard
from holdfast.core.mix import Mix
from holdfast.core.precision import Precision, computing_in
from holdfast.probes.score import Answers, Role
from holdfast.probes.watch_record import Use, WatchEntry, WatchRecord, of_item
from holdfast.rerank.collection import Collection
from holdfast.rerank.scoring import CrossEncoderReranker
from holdfast.rerank.sources import read_collection
from holdfast.rerank.suite import RerankSuite, suite_of
from holdfast.train.questions import TWO_SIDED
from holdfast.train.trainers import HostTrainer, precision_of

logger = logging.getLogger("holdfast")


@dataclasses.dataclass(frozen=True)
class Asker:
    """How the queries are asked.

    Attributes:
        reranker: The cross-encoder in training.
        precision: Number format in which it computes.
    """

    reranker: CrossEncoderReranker
    precision: Precision


@dataclasses.dataclass(frozen=True)
class Watched:
    """A suite of queries in the form that a guard asks."""

    suite: RerankSuite

    def __len__(self) -> int:
        """Number of queries."""
        return len(self.suite)

    def ask(self, model: nn.Module, asker: Asker) -> Answers:
        """Returns the nDCG@10 of each query, in points."""
        with computing_in(model, asker.precision):
            return Answers(self.suite.ask(asker.reranker).scores)


@dataclasses.dataclass(frozen=True)
class RerankQuestions:
    """The questions of a guard on a reranker, read before anything of the trainer is changed.

    Attributes:
        kept: Suites whose loss the budget limits.
        learn: Suites that measure the task; may be empty.
        asker: How they are asked.
        apart: The whole watched side of given suites, which the verdict leaves out even where it is not asked.
    """

    kept: tuple[Watched, ...]
    learn: tuple[Watched, ...]
    asker: Asker
    apart: tuple[RerankSuite, ...] = ()

    @classmethod
    def of(
        cls,
        trainer: HostTrainer,
        budget: Budget,
        guard: Guard,
        keep: Any,
        learn: Any,
        batch_tokens: int | None = None,
    ) -> Self:
        """Returns the questions to a trainer's model.

        Args:
            trainer: The trainer.
            budget: The budget.
            guard: The settings of the guard.
            keep: As for `attach`.
            learn: As for `attach`.
            batch_tokens: Most tokens of a batch, padding included; 8192 if None.

        Raises:
            HoldfastError: A source holds nothing to rank, or the budget limits no points.
        """
        if budget.points is None:
            raise HoldfastError(
                f"A budget of {budget} limits nothing that queries measure: limit their nDCG@10 by Budget(points=1)."
            )
        given = _watched(keep, "retained", "keep")
        shown = [] if learn is None else _watched(learn, "learned", "learn")
        asker = Asker(CrossEncoderReranker(trainer.model, batch_tokens), precision_of(trainer.args))
        kept = _thinned(given, guard.items)
        return cls(
            tuple(map(Watched, kept)),
            tuple(map(Watched, _thinned(shown, max(1, guard.items // 4)))),
            asker,
            (*given, *shown),
        )

    def answers(self, model: nn.Module, suites: Sequence[Watched]) -> list[Answers]:
        """Returns the scores of a model on suites of this guard, one after another."""
        return [suite.ask(model, self.asker) for suite in suites]

    @property
    def watched(self) -> WatchRecord:
        """Returns the record of the queries that steer the run."""
        entries = [
            *entries_of([of.suite for of in self.kept], "keep"),
            *entries_of([of.suite for of in self.learn], "learn"),
        ]
        names = {(thing.suite, thing.id, thing.digests) for thing in entries}
        rest = (e for e in entries_of(self.apart, "apart") if (e.suite, e.id, e.digests) not in names)
        return WatchRecord((*entries, *rest))

    @property
    def fingerprint(self) -> int:
        """Returns a hash of the kept queries, their judgments and candidates, 56 bits, which tells them from others."""
        contents = []
        for suite in (of.suite for of in self.kept):
            whole = suite.collection
            for item in suite.items():
                read = [(at, whole.documents[at].content) for at in whole.candidates.get(item.id, ())]
                grades = sorted(whole.judgments[item.id].items())
                contents.append(json.dumps([suite.name, item.id, item.text, grades, read]))
        return int.from_bytes(hashlib.blake2b("\n".join(contents).encode(), digest_size=7).digest(), "big")

    def warn_of(self, mix: Mix | None) -> None:
        """Does nothing: leaks between rows and queries are sought where the data is read."""


def _watched(source: Any, role: Role, name: str) -> list[RerankSuite]:
    """Returns the watched side of the source given to `attach(keep=...)` or `attach(learn=...)`, as suites."""
    given = list(source) if isinstance(source, Sequence) and not isinstance(source, str) else [source]
    suites = []
    for part in given:
        notes: list[str] = []
        where = f"attach({name}={part!r})" if isinstance(part, str) else f"attach({name}=...)"
        whole = read_collection(part, notes) if isinstance(part, str) else part
        split_by_caller = isinstance(whole, RerankSuite)  # who judges by the other side of it
        if isinstance(whole, RerankSuite):
            whole = whole.collection
        if not isinstance(whole, Collection):
            raise HoldfastError(
                f"{where}: a reranker's guard ranks candidates; give a source of queries, a Collection or a"
                f" RerankSuite, not {type(part).__name__}."
            )
        side = whole.side("watch")
        if not split_by_caller and len({*whole.groups().values()}) < TWO_SIDED:
            logger.warning(
                "%s: the %d queries are too few to split into watched (validation) and proof (test) queries. The guard"
                " watches them all, and none is left to judge by.",
                where,
                len(whole.judged),
            )
            side = whole
        if not side.judged:
            raise HoldfastError(f"{where}: all queries are proof (test) queries, and none is watched; give others.")
        suites.append(suite_of(side, role, notes=notes))
        for note in notes:
            logger.warning("%s: %s", where, note)
    return suites


def _thinned(suites: Sequence[RerankSuite], most: int) -> list[RerankSuite]:
    """Returns at most `most` queries, as equal a number of each suite as it has, chosen by the hash of their ids."""
    left, thinned = most, dict[int, RerankSuite]()
    by_size = sorted(range(len(suites)), key=lambda i: len(suites[i]))
    for turn, i in enumerate(by_size):
        count = min(len(suites[i]), max(1, left // (len(suites) - turn)))
        left -= count
        thinned[i] = dataclasses.replace(suites[i], collection=suites[i].collection.first(count))
    return [thinned[i] for i in range(len(suites))]


def entries_of(suites: Sequence[RerankSuite], use: Use) -> list[WatchEntry]:
    """Returns the queries of suites as entries of the record."""
    return [
        WatchEntry(use, suite.name, item.id, item.group, of_item(item)) for suite in suites for item in suite.recorded()
    ]
