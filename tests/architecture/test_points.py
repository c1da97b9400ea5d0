"""Numbers of right answers are points everywhere; `holdfast.stats` alone counts in shares."""

from __future__ import annotations

import re
from pathlib import Path

import holdfast

SRC = Path(holdfast.__file__).parent
BETWEEN = re.compile(r"\b(100(\.0)?|POINTS)\s*\*|[*/]\s*(100(\.0)?\b|POINTS\b)")
"""A number that becomes points, or a share."""
PLACES = {
    "probes/score.py": "in_unit and for_stats, by which scores meet stats",
    "train/shipping.py": "the error of an adapter, in percent",
    "report/diff.py": "shares that the record calls shares",
    "report/yardstick.py": "shares in the files of another project",
}


def test_points_become_shares_where_scores_meet_stats_and_nowhere_else():
    found = {
        str(path.relative_to(SRC))
        for path in SRC.rglob("*.py")
        if path.relative_to(SRC).parts[0] not in ("ground", "stats")
        for line in path.read_text(encoding="utf-8").splitlines()
        if BETWEEN.search(line)
    }
    assert found == set(PLACES)
