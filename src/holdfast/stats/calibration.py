"""Calibration of choices: whether answers are right as often as their confidence says, before and after."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Sequence

import numpy as np
import numpy.typing as npt
from scipy import special

from holdfast.core.errors import HoldfastError
from holdfast.stats.group_bootstrap import Estimate, Floats, bootstrap_figures

BINS = 10
"""Number of bins of a calibration error."""


@dataclasses.dataclass(frozen=True)
class Confidences:
    """The confidence and the correctness of the answers of a model.

    Attributes:
        confidence: Probability of each picked choice among the choices, `[n]`.
        right: 1 for a right answer and 0 for a wrong one, `[n]`.
        brier: Each item's term of the Brier score, `[n]`; None if it is unknown.
    """

    confidence: Floats
    right: Floats
    brier: Floats | None = None


@dataclasses.dataclass(frozen=True)
class Paired:
    """A figure of two models on the same items.

    Attributes:
        before: The figure of the base.
        after: The figure of the tuned model.
        change: `after` minus `before`, with an interval that pairs the items.
    """

    before: Estimate
    after: Estimate
    change: Estimate


@dataclasses.dataclass(frozen=True)
class PairedCalibration:
    """The calibration of two models on the same items.

    Attributes:
        ece: The expected calibration error with bins of equal width, 0 to 1.
        adaptive_ece: The expected calibration error with bins of equal mass, 0 to 1.
        overconfidence: Mean confidence minus the share of right answers, -1 to 1.
        brier: The Brier score, 0 to 2; None if it is unknown.
    """

    ece: Paired
    adaptive_ece: Paired
    overconfidence: Paired
    brier: Paired | None


def bin_of(confidence: npt.ArrayLike, bins: int = BINS) -> npt.NDArray[np.intp]:
    """Returns the bin of equal width of each confidence, `[n]`; an edge belongs to the lower bin.

    Raises:
        ValueError: `bins` is not positive.
    """
    if bins < 1:
        raise ValueError(f"bins {bins}: give a positive number")
    edges = np.array([(place + 1) / bins for place in range(bins)])
    return np.minimum(np.searchsorted(edges, np.asarray(confidence, dtype=np.float64), side="left"), bins - 1)


def expected_calibration_error(confidence: npt.ArrayLike, right: npt.ArrayLike, bins: int = BINS) -> float:
    """Returns the expected calibration error with bins of equal width.

        ECE = sum_b n_b / n |acc_b - conf_b|

    Args:
        confidence: Probabilities of the picked choices, `[n]`.
        right: 1 for a right answer and 0 for a wrong one, `[n]`.
        bins: Number of bins.

    Raises:
        ValueError: `bins` is not positive.

    Reference:
        Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017.
    """
    sure, value = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    return float(np.abs(np.bincount(bin_of(sure, bins), value - sure, bins)).sum() / len(sure))


def adaptive_calibration_error(confidence: npt.ArrayLike, right: npt.ArrayLike, bins: int = BINS) -> float:
    """Returns the expected calibration error with bins that hold equally many answers.

    An answer at the border of two bins counts in both by its shares, so every bin holds exactly n / bins answers.
    Answers with equal confidence share their accuracy, so that their order does not matter.

    Args:
        confidence: Probabilities of the picked choices, `[n]`.
        right: 1 for a right answer and 0 for a wrong one, `[n]`.
        bins: Number of bins.

    Raises:
        ValueError: `bins` is not positive.

    Reference:
        Nguyen and O'Connor, "Posterior calibration and exploratory analysis for natural language processing models",
        EMNLP 2015, arXiv:1508.05154 (adaptive binning).
        Nixon, Dusenberry, Jerfel, Nguyen, Liu, Zhang and Tran, "Measuring calibration in deep learning", 2019,
        arXiv:1904.01685 (adaptive calibration error).

    Departs:
        It takes the mean absolute gap, where Nguyen and O'Connor take the root mean square; and the picked choice
        alone, where Nixon et al. take the probabilities of all classes.
    """
    sure, value = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    return float(_Sorted(sure, bins).errors(np.ones((1, len(sure))), value - sure)[0])


class _Sorted:
    """Answers in the order of their confidence, to be cut into bins of equal mass."""

    def __init__(self, confidence: Floats, bins: int) -> None:
        if bins < 1:
            raise ValueError(f"bins {bins}: give a positive number")
        self.order = np.argsort(confidence, kind="stable")
        sure = confidence[self.order]
        self.ends = np.flatnonzero(np.append(np.diff(sure) > 0, True))  # the last answer of each confidence
        self.borders = np.arange(bins + 1) / bins

    def errors(self, weights: Floats, gaps: Floats) -> Floats:
        """Returns the error under each row of weights, `[draws, n]`, of gaps (right minus confidence), `[n]`."""
        drawn = weights[:, self.order]
        mass = np.cumsum(drawn, axis=1)[:, self.ends]
        gap = np.cumsum(drawn * gaps[self.order], axis=1)[:, self.ends]
        errors = np.empty(len(weights))
        for row, (x, y) in enumerate(zip(mass, gap, strict=True)):
            cuts = np.interp(self.borders * x[-1], np.append(0.0, x), np.append(0.0, y))
            errors[row] = np.abs(np.diff(cuts)).sum() / x[-1]
        return errors


def error_if_calibrated(
    confidence: npt.ArrayLike, bins: int = BINS, *, draws: int = 500, seed: int = 0
) -> tuple[float, float]:
    """Returns the two calibration errors to expect of a perfectly calibrated model with these confidences.

    A calibration error of few answers is above 0 even if the model is calibrated, because the share of right answers
    in a bin varies. The answers are drawn independently, each right with a probability of its confidence.

    Args:
        confidence: Probabilities of the picked choices, `[n]`.
        bins: Number of bins.
        draws: Number of draws.
        seed: Seed of the draws.

    Returns:
        The mean error with bins of equal width, and with bins of equal mass.
    """
    sure = np.asarray(confidence, dtype=np.float64)
    rng, places, ordered = np.random.default_rng(seed), bin_of(sure, bins), _Sorted(sure, bins)
    one = np.ones((1, len(sure)))
    width, mass = 0.0, 0.0
    for _ in range(draws):
        gaps = (rng.random(len(sure)) < sure) - sure
        width += float(np.abs(np.bincount(places, gaps, bins)).sum()) / len(sure)
        mass += float(ordered.errors(one, gaps)[0])
    return width / draws, mass / draws


def paired_calibration(
    before: Confidences, after: Confidences, groups: Sequence[Hashable], *, bins: int = BINS, resamples: int = 2000
) -> PairedCalibration:
    """Returns the calibration of two models on the same items, with 95% intervals over groups.

    The intervals of the Brier score and of the overconfidence are those of `bootstrap_figures`. A calibration error is
    biased upwards, the more the better calibrated the model is and the fewer the items are, and the bootstrap does not
    correct that. Its intervals are normal, with the standard error of the bootstrap, about the error less an estimate
    of its bias; they are widened to hold the error itself.

    Args:
        before: The answers of the base.
        after: The answers of the tuned model to the same items, in the same order.
        groups: The group of each item, `[n]`; items of a group are not independent.
        bins: Number of bins of both calibration errors.
        resamples: Number of draws; see `bootstrap_figures`.

    Raises:
        HoldfastError: There is no item.
        ValueError: The shapes differ, or `bins` is not positive.
    """
    sides = (before, after)
    _check(sides, len(groups))
    numbers: dict[Hashable, int] = {}
    member = np.array([numbers.setdefault(group, len(numbers)) for group in groups])
    sizes = np.bincount(member).astype(np.float64)
    measures = [_measures(side, member, len(numbers), bins) for side in sides]

    def figures(counts: Floats) -> Floats:
        drawn = counts @ sizes
        first, last = (np.stack([measure(counts, drawn) for measure in of_side], axis=1) for of_side in measures)
        shared = min(first.shape[1], last.shape[1])  # the Brier score comes last, and may be unknown on a side
        first, last = first[:, :shared], last[:, :shared]
        return np.stack([first, last, last - first], axis=2).reshape(len(counts), -1)

    estimates = bootstrap_figures(figures, len(numbers), resamples=resamples)
    rows = [Paired(*estimates[place : place + 3]) for place in range(0, len(estimates), 3)]
    for place, cut in enumerate((bin_of, _rank_bin)):
        first, last = (_excess(side, cut(side.confidence, bins), member, bins) for side in sides)
        row = rows[place]
        rows[place] = Paired(
            _about(row.before, first), _about(row.after, last), _about(row.change, last - first, least=-1.0)
        )
    return PairedCalibration(rows[0], rows[1], rows[2], rows[3] if len(rows) > 3 else None)


def _check(sides: Sequence[Confidences], n: int) -> None:
    vectors = [v for side in sides for v in (side.confidence, side.right, side.brier) if v is not None]
    if any(vector.shape != (n,) for vector in vectors):
        raise ValueError(f"{[vector.shape for vector in vectors]} and {n} groups: give vectors of one length")
    if not n:
        raise HoldfastError("There is no choice to calibrate; ask items with 'choices'.")


def _rank_bin(confidence: Floats, bins: int) -> npt.NDArray[np.intp]:
    """Returns the bin of equal mass of each confidence by its rank, `[n]`."""
    places = np.empty(len(confidence), dtype=np.intp)
    places[np.argsort(confidence, kind="stable")] = np.arange(len(confidence)) * bins // len(confidence)
    return places


def _excess(side: Confidences, places: npt.NDArray[np.intp], member: npt.NDArray[np.intp], bins: int) -> float:
    """Returns an estimate of how far a calibration error lies above that of endlessly many items.

    The gap of a bin, T with standard error s over groups, is about normal, and the mean of its absolute value exceeds
    the absolute value of its mean, for which max(0, T^2 - s^2)^(1/2) stands.
    """
    groups = int(member.max()) + 1
    in_bins = np.zeros((groups, bins))
    np.add.at(in_bins, (member, places), (side.right - side.confidence) / len(member))
    gap = in_bins.sum(axis=0)
    error = np.sqrt(((in_bins - gap / groups) ** 2).sum(axis=0))
    true = np.sqrt(np.maximum(0.0, gap**2 - error**2))[error > 0]
    error = error[error > 0]
    ratio = true / error
    folded = error * np.sqrt(2 / np.pi) * np.exp(-(ratio**2) / 2) + true * (1 - 2 * special.ndtr(-ratio))
    return float((folded - true).sum())


def _about(estimate: Estimate, bias: float, least: float = 0.0) -> Estimate:
    """Returns an estimate whose 95% interval is normal about the value less its bias, and holds the value."""
    if estimate.error is None:
        return estimate
    half = float(special.ndtri(0.975)) * estimate.error
    low, high = estimate.value - bias - half, estimate.value - bias + half
    low, high = min(max(low, least), estimate.value), max(min(high, 1.0), estimate.value)
    return dataclasses.replace(estimate, low=low, high=high)


_Measure = Callable[[Floats, Floats], Floats]
"""Takes the counts of the groups, `[draws, groups]`, and the number of items drawn, `[draws]`."""


def _measures(side: Confidences, member: npt.NDArray[np.intp], groups: int, bins: int) -> list[_Measure]:
    """Returns the functions of one side: ECE, adaptive ECE, overconfidence and, if it is known, the Brier score."""
    gaps = side.right - side.confidence
    in_bins = np.zeros((groups, bins))
    np.add.at(in_bins, (member, bin_of(side.confidence, bins)), gaps)
    ordered = _Sorted(side.confidence, bins)
    total = in_bins.sum(axis=1)
    measures: list[_Measure] = [
        lambda counts, drawn: np.abs(counts @ in_bins).sum(axis=1) / drawn,
        lambda counts, drawn: ordered.errors(counts[:, member], gaps),
        lambda counts, drawn: -(counts @ total) / drawn,
    ]
    if side.brier is not None:
        terms = np.bincount(member, side.brier, groups)
        measures.append(lambda counts, drawn: counts @ terms / drawn)
    return measures
