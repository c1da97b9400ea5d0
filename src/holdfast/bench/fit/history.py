"""The history of a search: its trials so far, and what they say about a candidate that takes all its steps."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Literal

from holdfast.bench.fit.trials import Candidate, TrialOutcome

Standing = Literal["running", "done", "abandoned", "stopped", "withdrawn"]
"""Where a trial stands: a process makes it, it has an outcome, its process ended before it had one or gave it up
(an interrupt), or another process was first with it."""
Source = Literal["given", "sampled", "promoted", "rescue"]
"""Where a trial comes from: the user, plan or pilot; the sampler; a lower fidelity; or the lack of a trial inside."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One trial of a search.

    Attributes:
        number: Its place in the order in which trials began.
        candidate: The candidate.
        fidelity: Share of its epochs.
        source: Where it comes from.
        reserved: Cost of all its steps in plain runs, which it may not exceed.
        standing: Where it stands.
        outcome: Its outcome; None unless it is done.
        attempt: How often processes that made it ended before.
    """

    number: int
    candidate: Candidate
    fidelity: float
    source: Source
    reserved: float
    standing: Standing = "running"
    outcome: TrialOutcome | None = None
    attempt: int = 0

    @property
    def charge(self) -> float:
        """Returns what it counts against the cost: what is reserved while it runs, and then what it took.

        An abandoned trial counts nothing, because the trial that takes its place continues its run.
        """
        if self.standing not in ("running", "done"):
            return 0.0
        return self.reserved if self.outcome is None else self.outcome.cost

    @property
    def key(self) -> tuple[Candidate, float]:
        """Returns what no two processes should make."""
        return self.candidate, self.fidelity


def counted(history: Sequence[Entry]) -> list[Entry]:
    """Returns the trials that count: those that run or are done."""
    return [entry for entry in history if entry.standing in ("running", "done")]


def spent(history: Sequence[Entry]) -> float:
    """Returns the cost so far in plain runs, with what running trials may still cost."""
    return math.fsum(entry.charge for entry in history)


@dataclasses.dataclass(frozen=True)
class Expected:
    """What a candidate is expected to learn, and which share of the budget to use, when it takes all its steps."""

    learned: float
    used: float

    @property
    def inside(self) -> bool:
        """Whether it is expected inside the budget."""
        return self.used <= 1.0

    @property
    def order(self) -> tuple[bool, float]:
        """Returns a key, larger is better: inside the budget by what is learned, outside by what is used."""
        return (True, self.learned) if self.inside else (False, -self.used)


ATTEMPTS = 3
"""How often a trial may begin whose process ends; after the last time it has failed."""
PRIOR_LOST, PRIOR_LEARNED = 0.5, 0.3
"""Powers of the steps with which loss and learning grow before the search has seen them grow; assumptions, which a
search corrects by its own trials at several fidelities. A random walk moves with power 0.5."""
WEIGHT = 0.25
"""Weight of these assumptions: as if a candidate had been seen whose loss takes this share of the budget."""
MOST = 1.5
"""Largest power."""


@dataclasses.dataclass(frozen=True)
class Growth:
    """How loss and learning grow with the share f of the steps: x(1) = x(f) f^-p.

    Attributes:
        lost: The power of the loss.
        learned: The power of what is learned.
    """

    lost: float = PRIOR_LOST
    learned: float = PRIOR_LEARNED

    def expected(self, entry: Entry) -> Expected | None:
        """Returns what to expect of the candidate of a trial; None without an outcome.

        Only the loss grows: its distance from the bound, which the number of items gives, does not. A failed trial uses
        an infinite share of the budget. A trial that the guard ended used up the budget.
        """
        outcome = entry.outcome
        if outcome is None:
            return None
        if outcome.learned is None or outcome.used is None or outcome.lost is None:
            return Expected(-math.inf, math.inf)
        share = outcome.lost / outcome.limit
        grown = share * entry.fidelity**-self.lost if share > 0 else share
        used = outcome.used + grown - share
        learned = outcome.learned * entry.fidelity**-self.learned if outcome.learned > 0 else outcome.learned
        return Expected(learned, max(used, 1.01) if outcome.state == "pruned" else used)


def growth_of(history: Sequence[Entry]) -> Growth:
    """Returns the growth that candidates with trials at two fidelities show, with the prior as one more of them.

        p = log(sum_i x_i(f') / sum_i x_i(f)) / log(f' / f)

    over pairs of trials of one candidate, with the prior at the mean ratio f' / f.
    """
    by_candidate: dict[Candidate, list[Entry]] = {}
    for entry in history:
        if entry.outcome is not None and entry.outcome.state == "finished":
            by_candidate.setdefault(entry.candidate, []).append(entry)
    pairs = []
    for entries in by_candidate.values():
        ordered = sorted(entries, key=lambda entry: entry.fidelity)
        pairs += [(low, high) for low, high in itertools.pairwise(ordered) if low.fidelity < high.fidelity]
    if not pairs:
        return Growth()
    ratio = math.exp(sum(math.log(high.fidelity / low.fidelity) for low, high in pairs) / len(pairs))
    lost = [tuple(_share(entry) for entry in pair) for pair in pairs]
    learned = [tuple(_learned(entry) for entry in pair) for pair in pairs]
    typical = sum(high for _, high in learned) / len(learned)
    return Growth(
        _power([*lost, (WEIGHT, WEIGHT * ratio**PRIOR_LOST)], ratio),
        _power([*learned, (WEIGHT * typical, WEIGHT * typical * ratio**PRIOR_LEARNED)], ratio),
    )


def _share(entry: Entry) -> float:
    outcome = entry.outcome
    return 0.0 if outcome is None or outcome.lost is None else max(outcome.lost / outcome.limit, 0.0)


def _learned(entry: Entry) -> float:
    outcome = entry.outcome
    return 0.0 if outcome is None or outcome.learned is None else max(outcome.learned, 0.0)


def _power(pairs: Sequence[tuple[float, ...]], ratio: float) -> float:
    low, high = math.fsum(pair[0] for pair in pairs), math.fsum(pair[1] for pair in pairs)
    if low <= 0 or high <= 0:
        return 0.0
    return min(max(math.log(high / low) / math.log(ratio), 0.0), MOST)
