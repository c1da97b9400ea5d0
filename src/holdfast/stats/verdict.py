"""Kept, forgot, or not enough evidence: the verdict on a measured change under a budget."""

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
        """Returns the degrees of freedom of `statistic`, infinity for a normal."""

    def statistic(self, change: float) -> float:
        """Returns the distance of the observed change above a supposed one, in standard errors."""

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Returns the two-sided interval of the change."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The verdict on a loss under a limit.

    Attributes:
        word: `kept` if the loss is certainly below the limit, `forgot` if it is certainly above it.
        allowed: The limit of the loss, positive, in the unit of the evidence.
        least: The lower one-sided bound of the loss.
        most: The upper one-sided bound of the loss.
        p_forgot: One-sided p-value of the hypothesis that the loss is within the limit.
        p_kept: One-sided p-value of the hypothesis that the loss is beyond the limit.
        floor: The noise floor: the least loss that such evidence detects with a chance of 80%.
        factor: Factor on the number of items that would settle the question with a chance of 80%, if the observed
            change is the true one; 1 if it is settled, infinite if the observed loss equals the limit.
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

    "Kept" is a claim that needs proof (non-inferiority): even the upper bound of the loss is within the limit. To find
    no loss is not enough.

    Args:
        evidence: The change, `after - before`.
        allowed: The limit of the loss, positive, in the unit of the change.
        higher_is_better: True if a fall is a loss (points), False if a rise is (nats).

    Raises:
        ValueError: `allowed` is not positive.
    """
    if not allowed > 0:
        raise ValueError(f"allowed {allowed}: give a loss above 0.")
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
    """Returns the one-sided p-value of the hypothesis that the loss is within the limit `allowed`."""
    kept_by = evidence.statistic(-allowed) if higher_is_better else -evidence.statistic(allowed)
    return float(stats.t.cdf(kept_by, evidence.degrees))


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns adjusted p-values: if all hypotheses hold, one of them falls below .05 in at most 5% of all cases.

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
    """The joint verdict on several suites and on their means.

    Attributes:
        word: The word on all.
        suites: The word on each suite, after the adjustment for all tests.
        means: The word on each mean, likewise.
        adjusted: The values of `p_forgot` after Holm's adjustment: those of the suites, then those of the means.
    """

    word: Word
    suites: tuple[Word, ...]
    means: tuple[Word, ...]
    adjusted: tuple[float, ...]


def settle(verdicts: Sequence[Verdict], means: Sequence[Verdict] = (), claimed: Sequence[Verdict] = ()) -> Together:
    """Returns the joint verdict on several suites, and the word on each suite and mean that agrees with it.

    - **forgot**, if the p-value of a suite or mean is below .05 after Holm's adjustment for all of them; each such
      suite or mean gets this word too. If only the unadjusted test of a suite rejects, its word is "not enough
      evidence".
    - **kept**, if all claimed verdicts are "kept", and no suite's unadjusted test says "forgot": the gain of one suite
      does not offset the loss of another. This needs no adjustment, because the claim is wrong only if one of the
      single tests is wrong (intersection-union).

    The joint word is "forgot" if and only if the word on some part is.

    Args:
        verdicts: The verdict on each suite.
        means: The verdicts on means of several suites.
        claimed: The verdicts that a "kept" must cover; by default the means, or all suites if there are no means.

    Raises:
        ValueError: There is no verdict.
    """
    if not verdicts:
        raise ValueError("Give at least one verdict.")
    tested = (*verdicts, *means)
    adjusted = holm([verdict.p_forgot for verdict in tested])
    words: list[Word] = []
    for verdict, p in zip(tested, adjusted, strict=True):
        weaker: Word = "not enough evidence" if verdict.word == "forgot" else verdict.word
        words.append("forgot" if p < 1 - CONFIDENCE and verdict.word == "forgot" else weaker)
    word: Word = "not enough evidence"
    if "forgot" in words:
        word = "forgot"
    elif all(verdict.word == "kept" for verdict in claimed or means or verdicts):
        word = "not enough evidence" if any(verdict.word == "forgot" for verdict in verdicts) else "kept"
    return Together(word, tuple(words[: len(verdicts)]), tuple(words[len(verdicts) :]), tuple(adjusted))


def together(verdicts: Sequence[Verdict], means: Sequence[Verdict] = ()) -> Word:
    """Returns the joint word of `settle`."""
    return settle(verdicts, means).word
