"""Which of several suites fell, tested together: the largest of their statistics under random signs (max-T)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

Moves = Mapping[str, Sequence[tuple[Hashable, float]]]
"""By suite, the group and the change (after minus before) of each item."""


def fell(moves: Moves, draws: int = 9_999) -> dict[str, float]:
    """Returns for each suite the p-value of "it did not fall", adjusted for all suites.

        T_s = -sum_g m_g / sqrt(sum_g m_g^2),    p_s = P(max over suites of T* >= T_s)

    m_g is the sum of the changes of the items of group g. T* has random signs, the same for all items of a group. The
    maximum takes into account how few flips most suites have, where Bonferroni's factor counts every suite alike.

    Reference:
        Peter H. Westfall, S. Stanley Young, "Resampling-Based Multiple Testing", 1993, section 2.3 (single-step maxT).
    """
    rng = np.random.default_rng(0)
    most = np.full(draws, -np.inf)
    shown: dict[str, float] = {}
    for name, items in moves.items():
        sums = _sums(items)
        spread = float(np.sqrt((sums**2).sum()))
        shown[name] = -float(sums.sum()) / spread if spread else 0.0
        if spread:
            signs = rng.integers(0, 2, (draws, sums.size), dtype=np.int8) * 2 - 1
            most = np.maximum(most, signs @ sums / spread)
    return {
        name: (1 + int((most >= value - 1e-9).sum())) / (1 + draws) if value > 0 else 1.0
        for name, value in shown.items()
    }


def _sums(items: Sequence[tuple[Hashable, float]]) -> npt.NDArray[np.float64]:
    """Returns the sums of the changes of the groups in which some item moved."""
    sums: dict[Hashable, float] = {}
    for group, moved in items:
        sums[group] = sums.get(group, 0.0) + moved
    return np.array([value for value in sums.values() if value], dtype=np.float64)
