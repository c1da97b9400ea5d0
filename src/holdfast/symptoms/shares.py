"""The test of a share: of how many answers something holds, for the base and for the tuned model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from holdfast.stats.flips import Flips, flips
from holdfast.stats.sign_flip import sign_flip
from holdfast.symptoms.evidence import Pair, Reply
from holdfast.symptoms.symptom import Measured, quoted

Holds = Callable[[Pair, Reply], bool]
"""Whether something holds of an answer, the base's or the tuned model's, to the prompt of a pair."""


def share_rises(pairs: Sequence[Pair], holds: Holds, of_what: str, what: str) -> Measured:
    """Returns how much the share of answers of which something holds has risen, of all pairs.

    The p-value is that of the sign-flip test over groups (McNemar's exact test if each item is a group), the interval
    Tango's.

    Args:
        pairs: The pairs, at least one.
        holds: What is counted.
        of_what: The answers in words ("answers"), for the sentence.
        what: What holds of them in words ("end in a loop"), for the sentence.
    """
    counted, moved, shown = _counted(pairs, holds)
    low, high = counted.interval()
    return Measured(
        sentence=f"{counted.after:.1%} of {counted.items:,} {of_what} {what} (base {counted.before:.1%})",
        effect=counted.change,
        p=sign_flip(moved, [pair.cluster for pair in pairs]),
        answers=counted.items,
        low=low,
        high=high,
        before=counted.before,
        after=counted.after,
        quotes=quoted(shown),
    )


def share_lost(pairs: Sequence[Pair], holds: Holds, of_what: str, what: str) -> Measured:
    """Returns how much of something the tuned model no longer does, as a share of the base's answers that do it.

    Args:
        pairs: The pairs; the base does it in one of them at least.
        holds: What the base does.
        of_what: What the base does, as a noun in the plural ("tool calls"), for the sentence.
        what: What became of them ("are gone"), for the sentence.
    """
    counted, moved, shown = _counted([pair.swapped() for pair in pairs], holds)
    low, high = counted.interval()
    base, left = counted.right + counted.gained, counted.right + counted.lost
    return Measured(
        sentence=f"{counted.change / counted.after:.1%} of the base's {of_what} {what} ({base:,} to {left:,})",
        effect=counted.change / counted.after,
        p=sign_flip(moved, [pair.cluster for pair in pairs]),
        answers=counted.items,
        low=low / counted.after,
        high=min(1.0, high / counted.after),
        before=counted.after,
        after=counted.before,
        quotes=quoted([pair.swapped() for pair in shown]),
    )


def _counted(pairs: Sequence[Pair], holds: Holds) -> tuple[Flips, list[float], list[Pair]]:
    """Returns the counts of a property, its change in each pair, and the pairs in which it is new."""
    first = [float(holds(pair, pair.before)) for pair in pairs]
    last = [float(holds(pair, pair.after)) for pair in pairs]
    moved = [after - before for before, after in zip(first, last, strict=True)]
    counted = flips(first, last, [pair.cluster for pair in pairs])
    return counted, moved, [pair for pair, move in zip(pairs, moved, strict=True) if move > 0]
