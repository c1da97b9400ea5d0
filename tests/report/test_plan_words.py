"""Numbers and sizes have three digits and the unit in which people say them."""

from __future__ import annotations

import pytest

from holdfast.report.plan_words import count, size


@pytest.mark.parametrize(
    ("number", "counted", "sized"),
    [
        (999_400_000, "999M", "999 MB"),
        (999_600_000, "1B", "1 GB"),
        (999_999, "1M", "1 MB"),
        (1_235_000_000, "1.24B", "1.24 GB"),
        (270, "270", "0.27 kB"),
    ],
)
def test_a_number_just_below_a_unit_is_one_of_it(number, counted, sized):
    assert (count(number), size(number)) == (counted, sized)
