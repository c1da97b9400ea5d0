"""Mode collapse: answers to different questions that become alike."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
from scipy import sparse

from holdfast.symptoms.evidence import Evidence, Pair
from holdfast.symptoms.symptom import Measured, quoted
from holdfast.symptoms.wording import runs_of, words_of

FEWEST, MOST = 20, 400
"""Fewest pairs that show a diversity, and most that are compared with each other; evenly chosen."""
READ = 64
"""Words of an answer that are read."""
DRAWS = 1_999
"""Number of random swaps, and of resamples for the interval."""

Matrix = npt.NDArray[np.float64]


def diversity(evidence: Evidence) -> Measured | str:
    """Measures how much more alike the answers to different questions are, as a share.

        L(model) = mean over i, j of |F_i & F_j| / |F_i | F_j|

    F_i is the set of words and pairs of words of the answer to question i. The mean is over questions of different
    suites, or of different groups if there is a single suite: answers within a suite are alike by its design. The
    p-value is that of random swaps of the two models' answers, group by group; the interval resamples groups.

    Reference:
        Yaoming Zhu et al., "Texygen", 2018, arXiv:1802.01886 (self-BLEU, which compares each text with all others);
        Jiwei Li et al., 2015, arXiv:1510.03055 (distinct-n, in the sentence).
    """
    pairs = [pair for pair in evidence.retained if pair.before.text or pair.after.text]
    if len(pairs) < FEWEST:
        return f"{len(pairs)} generated answers; {FEWEST} are needed"
    chosen = [pairs[i * len(pairs) // MOST] for i in range(MOST)] if len(pairs) > MOST else pairs
    likeness, mask = _likeness(chosen), _mask(chosen)
    if not mask.any():
        return "all answers are of one group of items"
    n = len(chosen)
    first, last, across = (part * mask for part in (likeness[:n, :n], likeness[n:, n:], likeness[n:, :n]))
    total = float(mask.sum())
    before, after = float(first.sum()) / total, float(last.sum()) / total
    group = np.unique([pair.cluster for pair in chosen], return_inverse=True)[1]
    p = _swapped(first, last, across, group, total, after - before)
    low, high = _interval(last - first, mask, group)
    distinct = [_distinct(chosen, of) for of in (False, True)]
    closest = np.argsort(-(last - first).sum(1), kind="stable")
    return Measured(
        sentence=f"answers to different questions are {after:.0%} alike (base {before:.0%});"
        f" distinct pairs of words {distinct[0]:.2f} -> {distinct[1]:.2f}",
        effect=after - before,
        p=p,
        answers=n,
        low=low,
        high=high,
        before=before,
        after=after,
        quotes=quoted([chosen[i] for i in closest[:3]]),
    )


def _features(text: str) -> set[tuple[str, ...]]:
    words = words_of(text)[:READ]
    return runs_of(words, 1) | runs_of(words, 2)


def _likeness(pairs: list[Pair]) -> Matrix:
    """Returns the likeness of all answers, `[2n, 2n]`: those of the base first; two empty answers are equal."""
    sets = [_features(reply.text) for reply in [pair.before for pair in pairs] + [pair.after for pair in pairs]]
    numbers: dict[tuple[str, ...], int] = {}
    columns = [numbers.setdefault(feature, len(numbers)) for features in sets for feature in sorted(features)]
    sizes = np.array([len(features) for features in sets], dtype=np.float64)
    rows = np.repeat(np.arange(len(sets)), sizes.astype(np.int64))
    held = sparse.csr_array((np.ones(len(columns)), (rows, columns)), shape=(len(sets), max(1, len(numbers))))
    both = np.asarray((held @ held.T).todense())
    either = sizes[:, None] + sizes[None, :] - both
    return np.divide(both, either, out=np.ones_like(both), where=either > 0)


def _mask(pairs: list[Pair]) -> Matrix:
    """Returns which answers are compared, `[n, n]`, 0 or 1."""
    suites = np.array([pair.suite for pair in pairs])
    other = suites[:, None] != suites[None, :]
    if not other.any():
        groups = np.array([pair.cluster for pair in pairs])
        other = groups[:, None] != groups[None, :]
    mask: Matrix = np.asarray(other, dtype=np.float64)
    return mask


def _swapped(
    first: Matrix, last: Matrix, across: Matrix, group: npt.NDArray[np.intp], total: float, change: float
) -> float:
    """Returns the share of random swaps of the two models' answers after which the change is as large."""
    rng = np.random.default_rng(0)
    swaps = rng.integers(0, 2, (DRAWS, int(group.max()) + 1)).astype(np.float64)[:, group]

    def level(tuned: Matrix) -> Matrix:  # the likeness of answers of which those with 1 are the tuned model's
        base = 1 - tuned
        summed = (tuned @ last * tuned).sum(1) + 2 * (tuned @ across * base).sum(1) + (base @ first * base).sum(1)
        shares: Matrix = np.asarray(summed / total)
        return shares

    reached = int((level(swaps) - level(1 - swaps) >= change - 1e-12).sum())
    return (1 + reached) / (1 + DRAWS)


def _interval(moved: Matrix, mask: Matrix, group: npt.NDArray[np.intp]) -> tuple[float, float]:
    """Returns the 95% interval of the change: percentiles over groups drawn with replacement."""
    rng = np.random.default_rng(0)
    groups = int(group.max()) + 1
    weights = rng.multinomial(groups, np.full(groups, 1 / groups), DRAWS).astype(np.float64)[:, group]
    sums, sizes = ((weights @ part * weights).sum(1) for part in (moved, mask))
    drawn = sums[sizes > 0] / sizes[sizes > 0]
    return float(np.quantile(drawn, 0.025)), float(np.quantile(drawn, 0.975))


def _distinct(pairs: list[Pair], after: bool) -> float:
    """Returns the number of distinct pairs of words over that of all, in the answers of a model (distinct-2)."""
    texts = [words_of((pair.after if after else pair.before).text) for pair in pairs]
    runs = [run for words in texts for run in itertools.pairwise(words)]
    return len(set(runs)) / len(runs) if runs else 0.0
