"""Kept, forgot, or not enough evidence: what a measured change says of what may be lost."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal, Protocol

from scipy import stats

from holdfast.stats.power import CHANCE, CONFIDENCE, times_needed

Word = Literal["kept", "forgot", "not enough evidence"]


class Evidence(Protocol):
    """A measured change: `holdfast.stats.flips.Flips`, `holdfast.stats.paired.Change` or a mean of several."""

    @property
    def change(self) -> float:
        """Returns the observed change."""

    @property
    def degrees(self) -> float:
        """Returns the degrees of freedom of `statistic`, infinite for a normal."""

    def statistic(self, change: float) -> float:
        """Returns how many standard errors the observed change lies above a supposed one."""

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Returns the two-sided interval of the change."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What evidence says of a loss that is allowed.

    Attributes:
        word: `kept` if the loss is certainly within what is allowed, `forgot` if it is certainly beyond it.
        allowed: The loss that is allowed, positive, in the unit of the evidence.
        least: The lower one-sided bound of the loss.
        most: The upper one-sided bound of the loss.
        p_forgot: One-sided p-value of a loss within what is allowed: how little the evidence fits that.
        p_kept: One-sided p-value of a loss beyond it.
        floor: The noise floor: the least loss that such evidence tells from none with a chance of 80%.
        factor: How many times as many items would settle it with a chance of 80%, if what was observed is the truth;
            1 where it is settled, infinite where the observed loss is exactly what is allowed.
    """

    word: Word
    allowed: float
    least: float
    most: float
    p_forgot: float
    p_kept: float
    floor: float
    factor: float


def judge(evidence: Evidence, allowed: float, *, higher_is_better: bool = True) -> Verdict:
    """Returns the verdict on a change, by one-sided 95% bounds of the loss.

    "Kept" is a claim, and shown as one (non-inferiority): the loss is within what is allowed even at its upper bound.
    That no loss was found is not enough.

    Args:
        evidence: The change, `after - before`.
        allowed: The loss that may be, positive, in the unit of the change.
        higher_is_better: Whether a fall is the loss (points), or a rise (nats).

    Raises:
        ValueError: If `allowed` is not positive.
    """
    if not allowed > 0:
        raise ValueError(f"allowed {allowed}: give a loss above 0")
    low, high = evidence.interval(2 * CONFIDENCE - 1)
    least, most = (-high, -low) if higher_is_better else (low, high)
    at = evidence.statistic(-allowed if higher_is_better else allowed)
    kept_by = at if higher_is_better else -at
    word: Word = "kept" if most < allowed else "forgot" if least > allowed else "not enough evidence"
    factor = times_needed(kept_by) if word == "not enough evidence" else 1.0
    wide = most - (-evidence.change if higher_is_better else evidence.change)
    return Verdict(
        word=word,
        allowed=allowed,
        least=least,
        most=most,
        p_forgot=p_forgot(evidence, allowed, higher_is_better=higher_is_better),
        p_kept=float(stats.t.sf(kept_by, evidence.degrees)),
        floor=wide * (1 + float(stats.norm.ppf(CHANCE) / stats.norm.ppf(CONFIDENCE))),
        factor=max(1.0, factor),
    )


def p_forgot(evidence: Evidence, allowed: float, *, higher_is_better: bool = True) -> float:
    """Returns the one-sided p-value of a loss within what is allowed: how little the evidence fits that."""
    kept_by = evidence.statistic(-allowed) if higher_is_better else -evidence.statistic(allowed)
    return float(stats.t.cdf(kept_by, evidence.degrees))


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p-values adjusted for their number, so that one below .05 is a false alarm in 5% of all cases at most.

        adjusted_(i) = max over j <= i of min(1, (m - j + 1) p_(j)),    p_(1) <= ... <= p_(m)

    Reference:
        Sture Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics, 1979.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, most = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        most = max(most, min(1.0, (len(order) - rank) * p_values[i]))
        adjusted[i] = most
    return adjusted


@dataclasses.dataclass(frozen=True)
class Together:
    """What the verdicts on several suites, and on means of them, say together.

    Attributes:
        word: Of all.
        suites: The word on each suite, with the others looked at.
        means: The word on each mean, likewise.
        adjusted: Their p-values of a loss within what is allowed after Holm's adjustment, the suites' first.
    """

    word: Word
    suites: tuple[Word, ...]
    means: tuple[Word, ...]
    adjusted: tuple[float, ...]


def settle(verdicts: Sequence[Verdict], means: Sequence[Verdict] = (), claimed: Sequence[Verdict] = ()) -> Together:
    """Returns what the verdicts on several suites say together, and the word on each that agrees with it.

    - **forgot**, if one of all their p-values, those of the means among them, is below .05 after Holm's adjustment; and
      each whose p-value is. A test that says so alone, and not among all that were looked at, is "not enough evidence".
    - **kept**, if all that is claimed is, and no suite's own test, taken alone, says that it forgot: what some suites
      gain does not pay for what another lost. That needs no adjustment: the claim is wrong only if it is wrong for one
      that was tested alone (intersection-union).

    So the whole forgot if and only if some part is said to have forgot.

    Args:
        verdicts: On each suite.
        means: On the means of several suites.
        claimed: Those of them that "kept" is said of; the means if absent, or where there is none every suite.

    Raises:
        ValueError: If there is no verdict.
    """
    if not verdicts:
        raise ValueError("give at least one verdict")
    looked = (*verdicts, *means)
    adjusted = holm([one.p_forgot for one in looked])
    words: list[Word] = []
    for one, p in zip(looked, adjusted, strict=True):
        open_: Word = "not enough evidence" if one.word == "forgot" else one.word
        words.append("forgot" if p < 1 - CONFIDENCE and one.word == "forgot" else open_)
    word: Word = "not enough evidence"
    if "forgot" in words:
        word = "forgot"
    elif all(one.word == "kept" for one in claimed or means or verdicts):
        word = "not enough evidence" if any(one.word == "forgot" for one in verdicts) else "kept"
    return Together(word, tuple(words[: len(verdicts)]), tuple(words[len(verdicts) :]), tuple(adjusted))


def together(verdicts: Sequence[Verdict], means: Sequence[Verdict] = ()) -> Word:
    """Returns the word of `settle`."""
    return settle(verdicts, means).word
