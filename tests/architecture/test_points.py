"""Numbers of right answers are points everywhere; `holdfast.stats` alone counts in shares."""

from __future__ import annotations

import re
from pathlib import Path

import holdfast

SRC = Path(holdfast.__file__).parent
BETWEEN = re.compile(r"\b(100(\.0)?|POINTS)\s*\*|[*/]\s*(100(\.0)?\b|POINTS\b)|scale_of\(")
"""A number that becomes points, or a share."""
PLACES = {
    "probes/score.py": "the scale itself",
    "probes/changes.py": "where scores meet stats, for the guard and the verdict",
    "probes/suite.py": "an answer that is right or wrong becomes a score",
    "bench/measured/answers.py": "a metric of lm-eval becomes a score",
    "bench/measured/power.py": "what numbers of items can prove, before there is a score",
    "bench/diff/diff.py": "calibration compares a probability with a share",
    "train/looks.py": "the standard error of a suite",
    "train/shipping.py": "an error in percent",
    "report/diff.py": "shares that the record calls shares",
    "report/yardstick.py": "shares in the files of another project",
}


def test_points_become_shares_where_scores_meet_stats_and_nowhere_else():
    found = {
        str(path.relative_to(SRC))
        for path in SRC.rglob("*.py")
        if path.relative_to(SRC).parts[0] not in ("ground", "stats")
        for line in path.read_text(encoding="utf-8").splitlines()
        if BETWEEN.search(line) and "def scale_of" not in line
    }
    assert found == set(PLACES) - {"probes/score.py"}
